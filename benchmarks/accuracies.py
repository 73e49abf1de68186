"""Test accuracies of the trainer beside the published ones, on MNIST. Run: python benchmarks/accuracies.py --help

Everything is as it was published, the one epoch more than is accounted for included. Deleted are the last rows, of eights: with
them, and not with others, noiseless retraining has the published accuracies. Which random points replace them is not known.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
from pathlib import Path

import numpy as np

from accountant import PNSGD, preset
from accountant.trainer import Digits, Logistic, Run, Trainer, accuracy, load, random_points
from accountant.trainer.baselines import retrain

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PROBLEM = preset("mnist")
LOSS = Logistic(regularisation=PROBLEM.strong_convexity)


def published(data: Path, **wanted: str) -> list[dict[str, str]]:
    with open(data / "accuracies.csv", encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if all(row[name] == value for name, value in wanted.items())]


def trainer(row: dict[str, str], trials: int, seed: int) -> Trainer:
    """As published: b = 0 is the full batch, learning starts at N(0, 2 sigma^2/m I)."""
    sigma = float(row["sigma_of_run"])
    algorithm = PNSGD(PROBLEM, int(row["batch_size"]) or "full")
    variance = 2 * sigma**2 / PROBLEM.strong_convexity
    return Trainer(LOSS, algorithm, sigma=sigma, trials=trials, dtype="float32", initial_variance=variance, seed=seed)


def compare(row: dict[str, str], run: Run, digits: Digits, seconds: float) -> bool:
    """Print one comparison; whether the means are within three standard errors of each other."""
    own = accuracy(LOSS, run.parameters, digits.test_features, digits.test_labels)
    mean, std = float(row["acc_mean"]), float(row["acc_std"])
    error = math.hypot(std / math.sqrt(int(row["n_trials"])), own.std(ddof=1) / math.sqrt(own.size))
    score = (own.mean() - mean) / error
    words = [row["experiment"], row["batch_size"] or "-", row["epsilon"], f"{float(row['sigma_of_run']):.6g}", row["step"]]
    numbers = [f"{own.mean():.4f}", f"{own.std(ddof=1):.4f}", f"{mean:.4f}", f"{std:.4f}", f"{score:+.2f}", f"{seconds:.0f}"]
    print("| " + " | ".join(words + numbers) + " |", flush=True)
    return abs(score) <= 3


def learning(data: Path, digits: Digits, trials: int, batch: str) -> bool:
    """Figure 3a: learning from scratch at every epsilon."""
    good = True
    for row in published(data, method="pnsgd", experiment="baseline_nonconvergent", phase="learn_scratch", batch_size=batch):
        start = time.perf_counter()
        run = trainer(row, trials, seed=1).learn(digits.features, digits.labels, epochs=int(row["burn_in_T"]) + 1)
        good &= compare(row, run, digits, time.perf_counter() - start)
    return good


def deletions(data: Path, digits: Digits, trials: int, batch: str) -> bool:
    """Figure 3b: 100 deletions one after the other, at epsilon = 1 and sigma = 0.03, with the published epochs."""
    with open(data / "k_lists.csv", encoding="utf-8", newline="") as file:
        epochs = {
            int(row["request_index"]): int(row["k_epochs"])
            for row in csv.DictReader(file)
            if (row["dataset"], row["experiment"], row["batch_size"]) == ("MNIST", "sequential", batch)
            and (float(row["sigma"]), float(row["target_epsilon"])) == (0.03, 1.0)
        }
    rows = {int(row["step"]): row for row in published(data, method="pnsgd", experiment="sequential", batch_size=batch)}
    own = trainer(rows[0], trials, seed=2)
    start = time.perf_counter()
    run = own.learn(digits.features, digits.labels, epochs=int(rows[0]["burn_in_T"]) + 1)
    good = compare(rows[0], run, digits, time.perf_counter() - start)
    rng = np.random.default_rng(3)
    for request in range(1, 101):
        x, y = random_points(1, digits.features.shape[1], rng)
        run = own.unlearn(run, [PROBLEM.n - request], features=x, labels=y, epochs=epochs[request] + 1)
        if request in rows:
            good &= compare(rows[request], run, digits, time.perf_counter() - start)
    return good


def retraining(data: Path, digits: Digits) -> bool:
    """Descent without noise, with points replaced: the published models have no spread."""
    good, rng = True, np.random.default_rng(4)
    for row in published(data, method="pnsgd", experiment="retrain_noiseless"):
        x, y = digits.features.copy(), digits.labels.copy()
        gone = PROBLEM.n - 1 - np.arange(int(row["step"]))
        x[gone], y[gone] = random_points(gone.size, x.shape[1], rng)
        run = retrain(LOSS, PROBLEM, x, y, steps=int(row["burn_in_T"]) + 1)
        count = digits.test_labels.size
        right = round(float(accuracy(LOSS, run.parameters, digits.test_features, digits.test_labels)[0]) * count)
        theirs = round(float(row["acc_mean"]) * count)
        print(f"{row['step']} points replaced, retrained without noise: {right} of {count} right, published {theirs}")
        good &= abs(right - theirs) <= 3
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of accuracies.csv, k_lists.csv and mnist_3v8.npz")
    parser.add_argument("--trials", type=int, default=25)
    parser.add_argument("--batch-size", default="128", help="0: full batch")
    parser.add_argument("--what", choices=("learning", "deletions", "retraining"), default="learning")
    options = parser.parse_args()
    digits = load(options.data / "mnist_3v8.npz")
    if options.what == "retraining":
        return 0 if retraining(options.data, digits) else 1
    print("| experiment | b | epsilon | sigma | deleted | mean | std | published mean | std | standard errors | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    work = {"learning": learning, "deletions": deletions}[options.what]
    return 0 if work(options.data, digits, options.trials, options.batch_size) else 1


if __name__ == "__main__":
    sys.exit(main())
