"""Accuracy of networks after unlearning a part of MNIST by noisy fine-tuning, published noise beside the optimal one.

Run: python benchmarks/networks.py [--data FILE] [--trials 20]. Prints the table of docs/guides/interop-torch.md.

A perceptron of 32 hidden units learns digits 3 against 8, all its parameters private; and, second, a linear head on 64 public
random features. Noisy steps come first; then plain gradient steps on what is retained, which are post-processing.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from accountant import FineTuning
from accountant.methods import compare_steps
from accountant.numerics import Floats
from accountant.trainer import Hinge, Perceptron, StepLoss, fine_tune, load, unit_rows

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist_3v8.npz"
DELTA, BATCH, STEPS, LATER = 1e-5, 256, 50, 200
EPSILONS, PARTS = (1.0, 10.0), (0.01, 0.1)
#: Methods, the run that each is about, and the word for it.
METHODS = (
    ("finetune-clipping", None, "clipping, published"),
    ("optimal", None, "clipping, optimal"),
    ("finetune-model-clipping", "first", "model clipping, published"),
    ("optimal", "first", "model clipping, optimal"),
    ("optimal", "after", "both clipped, optimal"),
)


@dataclass(frozen=True)
class Task:
    """A loss with its data, what was learned, and where learning starts."""

    name: str
    loss: StepLoss
    features: Floats
    labels: Floats
    test_features: Floats
    test_labels: Floats
    start: Floats
    clip: float
    rate: float

    def accuracy(self, w: Floats) -> float:
        """Mean over trials (t, p)."""
        if isinstance(self.loss, Perceptron):
            return float((self.loss.predictions(w, self.test_features) == self.test_labels).mean())
        return float((np.where(w @ self.test_features.T >= 0, 1.0, -1.0) == self.test_labels).mean())

    def descend(self, w: Floats, steps: int, *, first: int, seed: int) -> Floats:
        """Plain gradient steps on all records but the ``first``."""
        x, y, rng, w = self.features[first:], self.labels[first:], np.random.default_rng(seed), w.copy()
        for _ in range(steps):
            rows = rng.integers(0, y.size, BATCH)
            w -= self.rate * self.loss.gradients(w, x[rows], y[rows])
        return w


def tasks(path: str) -> list[Task]:
    digits, rng = load(path), np.random.default_rng(0)
    order = rng.permutation(digits.labels.size)
    x, y = digits.features[order], digits.labels[order].astype(np.float64)
    tests = digits.test_features, digits.test_labels.astype(np.float64)
    network = Perceptron(hidden=32)
    whole = Task("all of 25,186", network, x, (y + 1) / 2, tests[0], (tests[1] + 1) / 2, network.start(784, rng), 0.1, 1.0)
    # Random directions, which are public: they were drawn, not learned.
    directions = rng.standard_normal((784, 64))
    heads = [unit_rows(np.tanh(each @ directions * 3)) for each in (x, tests[0])]
    head = Task("a head of 64", Hinge(), heads[0], y, heads[1], tests[1], np.zeros(64), 0.5, 0.5)
    return [whole, head]


def algorithm(task: Task, clipped: str | None) -> FineTuning:
    plain = FineTuning(step_size=task.clip / STEPS, gradient_clip=1.0, start_clip=task.clip)
    return plain if clipped is None else replace(plain, model_clip=task.clip, clip_first=clipped == "first")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=str(DATA))
    parser.add_argument("--trials", type=int, default=20)
    options = parser.parse_args()
    print("| private parameters | deleted | epsilon | noise for | sigma | after the noisy steps | 200 plain steps later |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for task in tasks(options.data):
        learned = task.descend(task.start[None], 2000, first=0, seed=1)
        print(f"| {task.name} | nothing | | learned | | {task.accuracy(learned):.3f} | |", flush=True)
        for part in PARTS:
            gone = int(part * task.labels.size)
            fresh = task.descend(task.start[None], LATER, first=gone, seed=2)
            print(f"| {task.name} | {part:.0%} | | retrained, 200 steps | | | {task.accuracy(fresh):.3f} |", flush=True)
            for epsilon in EPSILONS:
                for method, clipped, word in METHODS:
                    run = algorithm(task, clipped)
                    [row] = compare_steps(run, epsilon=epsilon, delta=DELTA, steps=STEPS, methods=(method,))
                    if row.sigma is None:
                        print(f"| {task.name} | {part:.0%} | {epsilon:g} | {word} | none: {row.reason} | | |")
                        continue
                    released = fine_tune(
                        task.loss, run, learned[0], task.features[gone:], task.labels[gone:], sigma=row.sigma, steps=STEPS,
                        batch_size=BATCH, trials=options.trials, seed=3,
                    ).T  # fmt: skip
                    later = task.descend(released, LATER, first=gone, seed=2)
                    found = [f"{row.sigma:.4f}", f"{task.accuracy(released):.3f}", f"{task.accuracy(later):.3f}"]
                    print("| " + " | ".join([task.name, f"{part:.0%}", f"{epsilon:g}", word, *found]) + " |", flush=True)


if __name__ == "__main__":
    main()
