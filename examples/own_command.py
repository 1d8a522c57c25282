"""A training that knows nothing of Tunewell: fits a line by gradient descent, prints as it goes."""

import random
import sys

learning_rate = float(sys.argv[1])
rng = random.Random(int(sys.argv[2]))
points = [(x, 3.0 * x - 1.0 + rng.gauss(0.0, 0.1)) for x in (rng.random() for _ in range(200))]
training, held_out = points[:150], points[150:]
slope = offset = 0.0
for step in range(1, 501):
    x, y = rng.choice(training)
    error = slope * x + offset - y
    slope -= learning_rate * error * x
    offset -= learning_rate * error
    if step % 50 == 0:
        squares = [(slope * u + offset - v) ** 2 for u, v in held_out]
        print(f"after {step} steps: error {sum(squares) / len(squares):.6f}", flush=True)
