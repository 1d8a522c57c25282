"""Makes the shipped subset `mnist-5k` out of the four full MNIST files; the files beside it are its
output.

Run: python workers/objectives/data/make_mnist_5k.py FOLDER_WITH_THE_FOUR_IDX_FILES
The subset is stratified: every digit has the share that it has in the full set, the images are
drawn with one fixed seed and stay in their published order, and the same input gives the same
bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import struct
import sys
from pathlib import Path

SEED = 5_000
SIZES = {"train": 4_000, "t10k": 1_000}
"""Images drawn from each part."""

N_PIXELS = 784
HERE = Path(__file__).resolve().parent


def read(folder: Path, name: str) -> bytes:
    """The uncompressed bytes of an idx file, whether it lies there packed or not."""
    packed = folder / f"{name}.gz"
    return gzip.decompress(packed.read_bytes()) if packed.exists() else (folder / name).read_bytes()


def shares(labels: bytes, size: int) -> dict[int, int]:
    """How many images of each digit to draw: proportional, largest remainders rounded up."""
    exact = {digit: labels.count(digit) * size / len(labels) for digit in range(10)}
    counts = {digit: int(share) for digit, share in exact.items()}
    by_remainder = sorted(exact, key=lambda digit: counts[digit] - exact[digit])
    for digit in by_remainder[: size - sum(counts.values())]:
        counts[digit] += 1
    return counts


def draw(labels: bytes, size: int, rng: random.Random) -> list[int]:
    """Indices of the images to keep, ascending."""
    counts = shares(labels, size)
    kept: list[int] = []
    for digit in range(10):
        of_digit = [index for index, label in enumerate(labels) if label == digit]
        kept += rng.sample(of_digit, counts[digit])
    return sorted(kept)


def write(name: str, content: bytes) -> None:
    """Packs a file without name or time stamp, so that the bytes depend on the content alone."""
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", compresslevel=9, mtime=0) as file:
        file.write(content)
    (HERE / f"mnist-5k-{name}.gz").write_bytes(packed.getvalue())
    print(name, len(packed.getvalue()), "bytes, md5", hashlib.md5(content).hexdigest())


def main() -> None:
    """Writes the four files."""
    folder = Path(sys.argv[1])
    rng = random.Random(SEED)
    for part, size in SIZES.items():
        images = read(folder, f"{part}-images-idx3-ubyte")[16:]
        labels = read(folder, f"{part}-labels-idx1-ubyte")[8:]
        kept = draw(labels, size, rng)
        pixels = b"".join(images[i * N_PIXELS : (i + 1) * N_PIXELS] for i in kept)
        write(f"{part}-images-idx3-ubyte", struct.pack(">IIII", 2051, size, 28, 28) + pixels)
        write(
            f"{part}-labels-idx1-ubyte",
            struct.pack(">II", 2049, size) + bytes(labels[i] for i in kept),
        )


if __name__ == "__main__":
    main()
