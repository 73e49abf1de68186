"""Single trials at MNIST's size: compiled steps beside the NumPy path, a plain PyTorch loop and what the machine allows.

All of them take turns, and the fastest of several rounds counts, in time of the processor, so that other work on the machine
counts little. Loading and compiling are timed apart. ``--before FOLDER`` measures another checkout in between.
Run: OMP_NUM_THREADS=1 python benchmarks/fast.py --data mnist_3v8.npz [--before FOLDER]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accountant import PNSGD, UnlearningAccountant, preset
from accountant.trainer import Logistic, Trainer, load

Array = NDArray[np.floating]
PROBLEM = preset("mnist")
LOSS = Logistic(regularisation=PROBLEM.strong_convexity)
#: Epochs of the shorter of two runs, whose difference is measured.
EPOCHS = {32: 8, 128: 16, "full": 16}
WORKER = "--worker"


def data(path: str | None) -> tuple[Array, Array]:
    """MNIST with a constant feature for the intercept, rows of norm one; or as many rows at random."""
    if path is None:
        rng = np.random.default_rng(0)
        x, y = rng.random((PROBLEM.n, 784)) - 0.5, rng.choice([-1.0, 1.0], PROBLEM.n)
    else:
        digits = load(path)
        x, y = digits.features, digits.labels
    x = np.hstack([x, np.full((x.shape[0], 1), 0.02)])
    return x / np.linalg.norm(x, axis=1, keepdims=True), y


def algorithm(batch_size: int | str) -> PNSGD:
    return PNSGD(PROBLEM, batch_size)


def trained(x: Array, y: Array, batch_size: int | str, sigma: float) -> Callable[[int], object]:
    trainer = Trainer(LOSS, algorithm(batch_size), sigma=sigma, dtype=x.dtype.name, seed=0)
    return lambda epochs: trainer.learn(x, y, epochs=epochs)


def torch_loop(x: Array, y: Array, batch_size: int | str, sigma: float) -> Callable[[int], object]:
    """The same steps as anybody would write them, rows picked out batch by batch, all in the type of the rows."""
    import torch

    torch.set_num_threads(1)
    rows, labels, eta = torch.from_numpy(x), torch.from_numpy(y.astype(x.dtype)), 1 / PROBLEM.smoothness
    n, size = x.shape[0], x.shape[0] if batch_size == "full" else int(batch_size)
    order = torch.randperm(n)

    def run(epochs: int) -> torch.Tensor:
        w = torch.zeros(x.shape[1], dtype=rows.dtype)
        for _ in range(epochs):
            for start in range(0, n, size):
                batch = order[start : start + size]
                b, c = rows[batch], labels[batch]
                gradient = b.T @ (-c * torch.sigmoid(-c * (b @ w)))
                w = w - eta * (gradient / size + LOSS.regularisation * w) + (2 * eta) ** 0.5 * sigma * torch.randn_like(w)
        return w

    return run


def limit(x: Array, batch_size: int | str) -> Callable[[int], object]:
    """The two products with every batch, and the noise, by NumPy's own calls on rows that lie in order: nothing else."""
    n, size = x.shape[0], x.shape[0] if batch_size == "full" else int(batch_size)
    w, r, noise, rng = np.zeros(x.shape[1], x.dtype), np.ones(size, x.dtype), np.empty(x.shape[1]), np.random.default_rng(0)

    def run(epochs: int) -> None:
        for _ in range(epochs):
            for start in range(0, n, size):
                batch = x[start : start + size]
                np.dot(batch, w)
                np.dot(r, batch)
                rng.standard_normal(out=noise)

    return run


def marks(run: Callable[[int], object], epochs: int) -> tuple[float, float]:
    """Processor time of so many epochs, and of three times as many."""
    times = []
    for length in (epochs, 3 * epochs):
        start = time.process_time()
        run(length)
        times.append(time.process_time() - start)
    return times[0], times[1]


def each(found: list[tuple[float, float]], epochs: int) -> float:
    """Seconds of one epoch, without what is done once per run: of the fastest runs of both lengths."""
    short, long = (min(times) for times in zip(*found, strict=True))
    return (long - short) / (2 * epochs)


def wanted(way: str, run: Callable[[int], object]) -> Callable[[int], object]:
    """The run, compiled or not."""

    def forced(epochs: int) -> object:
        os.environ["ACCOUNTANT_FAST"] = way
        return run(epochs)

    return forced


def worker(path: str | None) -> None:
    """The other checkout's process: answers ``dtype batch_size sigma epochs`` by what :func:`marks` has."""
    x, y = data(path or None)
    runs: dict[tuple[str, str], Callable[[int], object]] = {}
    for line in sys.stdin:
        dtype, name, sigma, epochs = line.split()
        if (dtype, name) not in runs:
            runs[dtype, name] = trained(x.astype(dtype), y, name if name == "full" else int(name), float(sigma))
        print(*marks(runs[dtype, name], int(epochs)), flush=True)


class Before:
    """Another checkout, in a process of its own that waits for its turns."""

    def __init__(self, folder: str, path: str | None) -> None:
        environment = {**os.environ, "PYTHONPATH": str(Path(folder).resolve())}
        command = [sys.executable, __file__, WORKER, path or ""]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def marks(self, dtype: str, batch_size: int | str, sigma: float) -> tuple[float, float]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(dtype, batch_size, sigma, EPOCHS[batch_size], file=self.process.stdin, flush=True)
        short, long = map(float, self.process.stdout.readline().split())
        return short, long


def noise(batch_size: int | str) -> tuple[float, float]:
    """Sigma for epsilon = 1 at delta = 1/n after 20 steps of unlearning, and the share of epsilon that rounding takes."""
    rounded = replace(algorithm(batch_size), rounding="float64", dimension=785)
    outcome = UnlearningAccountant(rounded).ask("sigma", epsilon=1.0, delta=1 / PROBLEM.n, steps=20)
    return outcome.sigma, outcome.rounding_share or 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="MNIST's digits as accountant.trainer.load reads them; default: rows at random")
    parser.add_argument("--before", help="folder of another checkout to compare with")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    x, y = data(options.data)
    for dtype in ("float32", "float64"):
        start = time.process_time()
        wanted("always", trained(x[:, :9].astype(dtype), y, "full", 0.1))(1)
        first = time.process_time() - start
        print(f"loading the kernels, and compiling them unless they were kept, {dtype}: {first:.2f} s", flush=True)
    before = Before(options.before, options.data) if options.before else None
    print("\n| dtype | b | σ | rounding, of ε | µs a step | times NumPy | times before | times PyTorch | share of the limit |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for dtype in ("float32", "float64"):
        rows = x.astype(dtype)
        for batch_size, epochs in EPOCHS.items():
            sigma, share = noise(batch_size)
            run = trained(rows, y, batch_size, sigma)
            ways = {"fast": wanted("always", run), "numpy": wanted("never", run)}
            ways |= {"torch": torch_loop(rows, y, batch_size, sigma), "limit": limit(rows, batch_size)}
            took: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
            for _ in range(options.rounds):
                for name, way in ways.items():
                    took[name].append(marks(way, epochs))
                if before is not None:
                    took.setdefault("before", []).append(before.marks(dtype, batch_size, sigma))
            one = {name: each(found, epochs) for name, found in took.items()}
            times = {name: one.get(name, float("nan")) / one["fast"] for name in ("numpy", "before", "torch", "limit")}
            step = 1e6 * one["fast"] / (PROBLEM.n / (PROBLEM.n if batch_size == "full" else int(batch_size)))
            print(
                f"| {dtype} | {batch_size} | {sigma:.3g} | {share:.1g} | {step:.3g} | {times['numpy']:.2f} | "
                f"{times['before']:.2f} | {times['torch']:.2f} | {times['limit']:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[1:2] == [WORKER]:
        worker(sys.argv[2])
    else:
        main()
