// Definitions to start from: the examples of the built-in objectives.

const function_ = {
  name: "function-quickstart",
  description: "A test function in two dimensions; needs no torch and no data.",
  objective: { name: "function", options: { function: "branin" } },
  metrics: [{ name: "value", direction: "minimize" }],
  space: [
    { name: "x0", type: "float", low: -5, high: 10 },
    { name: "x1", type: "float", low: 0, high: 15 },
  ],
  suggester: { name: "auto", seed: 42 },
  limits: { max_trials: 25 },
};

const mnist = {
  name: "mnist-gp",
  description: "Learning rate and batch size of a small network on MNIST, proposed by a Gaussian process.",
  objective: { name: "mnist-mlp", options: { epochs: 3 } },
  metrics: [{ name: "accuracy", direction: "maximize" }],
  space: [
    { name: "learning_rate", type: "float", low: 0.001, high: 0.01, log: true },
    { name: "batch_size", type: "int", low: 16, high: 128 },
  ],
  suggester: { name: "gp", seed: 42 },
  limits: { max_trials: 10 },
};

const conditional = {
  name: "mnist-asha",
  description: "A conditional space over 9 epochs; the best third goes on at epochs 1 and 3.",
  objective: { name: "mnist-mlp", options: { epochs: 9 } },
  metrics: [{ name: "accuracy", direction: "maximize" }],
  space: [
    { name: "learning_rate", type: "float", low: 0.00001, high: 1, log: true },
    { name: "batch_size", type: "int", low: 32, high: 256, log: true },
    { name: "model", type: "categorical", choices: ["simple", "batchnorm"] },
    { name: "momentum", type: "float", low: 0.01, high: 0.99, when: { param: "model", in: ["batchnorm"] } },
  ],
  suggester: { name: "random", seed: 42 },
  early_stopping: { name: "asha", options: { min_resource: 1, max_resource: 9, eta: 3 } },
  limits: { max_trials: 27 },
};

const forest = {
  name: "forest-tpe",
  description: "A random forest on California housing.",
  objective: { name: "random-forest", options: { folds: 5, random_state: 42 } },
  metrics: [{ name: "mse", direction: "minimize" }],
  space: [
    { name: "n_estimators", type: "int", low: 10, high: 200 },
    { name: "max_depth", type: "int", low: 5, high: 50 },
  ],
  suggester: { name: "tpe", seed: 42 },
  limits: { max_trials: 50 },
};

const own = {
  name: "my-study",
  metrics: [{ name: "accuracy", direction: "maximize" }],
  space: [{ name: "learning_rate", type: "float", low: 0.00001, high: 0.1, log: true }],
  limits: { max_trials: 50 },
};

export const BLANK = { name: "", metrics: [{ name: "", direction: "minimize" }], space: [{ name: "", type: "float" }], limits: {} };

// By its name in the address: what is offered, and the definition.
export const TEMPLATES = new Map([
  ["function", ["a test function (function)", function_]],
  ["mnist", ["MNIST network (mnist-mlp)", mnist]],
  ["mnist-asha", ["MNIST, conditional space, early stopping (mnist-mlp)", conditional]],
  ["forest", ["random forest (random-forest)", forest]],
  ["own", ["own program that asks for trials", own]],
]);
