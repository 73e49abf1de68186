"""Speed of the trainer at MNIST's sizes beside a plain loop; results of one run in README.md.

Times are those of the processor, so that other work on the machine counts little.
Run: OMP_NUM_THREADS=1 python benchmarks/trainer.py
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
from numpy.typing import NDArray

from accountant import PNSGD, preset
from accountant.trainer import Logistic, Trainer
from accountant.trainer.data import unit_rows

PROBLEM = preset("mnist")
LOSS = Logistic(regularisation=PROBLEM.strong_convexity)
SIGMA = 0.03


def naive(x: NDArray[np.float64], y: NDArray[np.float64], *, epochs: int, trials: int, batch_size: int = 128) -> None:
    """One trial after the other, every per-sample gradient written out and clipped by its norm."""
    n, d = x.shape
    eta, m = 1 / PROBLEM.smoothness, PROBLEM.strong_convexity
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        order = rng.permutation(n)
        w = np.zeros(d, x.dtype)
        for _ in range(epochs):
            for start in range(0, n, batch_size):
                batch = order[start : start + batch_size]
                rows, labels = x[batch], y[batch]
                gradients = (-labels / (1 + np.exp(labels * (rows @ w))))[:, None] * rows
                norms = np.linalg.norm(gradients, axis=1)
                gradients *= np.minimum(1, 1 / np.maximum(norms, 1e-12))[:, None]
                noise = rng.standard_normal(d, dtype=x.dtype)
                w = w - eta * (gradients.mean(axis=0) + m * w) + np.sqrt(2 * eta).astype(x.dtype) * x.dtype.type(SIGMA) * noise


def seconds(trainer: Trainer, x: NDArray[np.float64], y: NDArray[np.float64], epochs: int) -> float:
    start = time.process_time()
    trainer.learn(x, y, epochs=epochs)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3, help="the fastest of so many counts")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    exact = unit_rows(rng.random((PROBLEM.n, 784)) - 0.5)
    signs = rng.choice([-1.0, 1.0], PROBLEM.n)
    print("| what | dtype | ms per trial and epoch | times the plain loop |")
    print("| --- | --- | --- | --- |")
    for dtype in ("float32", "float64"):
        x, y = exact.astype(dtype), signs.astype(dtype)

        def trainer(batch_size: int | str, trials: int, orders: str, dtype: str = dtype) -> Trainer:
            return Trainer(LOSS, PNSGD(PROBLEM, batch_size), sigma=SIGMA, trials=trials, orders=orders, dtype=dtype, seed=0)

        start = [time.process_time()]
        for _ in range(options.rounds):
            naive(x, y, epochs=2, trials=1)
            start.append(time.process_time())
        plain = float(np.diff(start).min()) / 2
        print(f"| plain loop, b = 128 | {dtype} | {1e3 * plain:.3g} | 1 |", flush=True)
        for name, trials, orders in (
            ("own batch orders, 20 trials, b = 128", 20, "own"),
            ("one shared batch order, 100 trials, b = 128", 100, "shared"),
        ):
            own = min(seconds(trainer(128, trials, orders), x, y, options.epochs) for _ in range(options.rounds))
            each = own / options.epochs / trials
            print(f"| {name} | {dtype} | {1e3 * each:.3g} | {plain / each:.3g} |", flush=True)
        own = min(seconds(trainer("full", 100, "shared"), x, y, options.epochs) for _ in range(options.rounds))
        print(f"| full batch, 100 trials | {dtype} | {1e3 * own / options.epochs / 100:.3g} | |", flush=True)
        if dtype == "float32":
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"\nPeak memory so far, of the whole process with its data twice: {peak:.0f} MB\n", flush=True)
    print(f"\nPeak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
