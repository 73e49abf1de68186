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
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from accountant import PNSGD, UnlearningAccountant, preset
from accountant.trainer import Digits, Logistic, Run, Trainer, accuracy, load, random_points
from accountant.trainer.baselines import retrain

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PROBLEM = preset("mnist")
EPSILONS = (0.05, 0.1, 0.5, 1.0)
LOSS = Logistic(regularisation=PROBLEM.strong_convexity)
#: Bound, adjacency and assignment of the accountings that ``--what secret`` puts side by side, with the look of their lines.
ACCOUNTINGS = {
    "paper, replace": ("paper", "replace", "partition", "#0072B2", "o", "--"),
    "optimal, replace": ("optimal", "replace", "partition", "#D55E00", "s", "-"),
    "optimal, zero-out": ("optimal", "zero-out", "partition", "#E69F00", "D", "-"),
    "secret, remove": ("optimal", "remove", "secret", "#009E73", "^", "-"),
}


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


class Accounted(NamedTuple):
    """One accounting at one epsilon: its noise, and mean and standard error of the accuracy after the deletion."""

    name: str
    epsilon: float
    sigma: float
    mean: float
    error: float


def secret(digits: Digits, trials: int, batch: str, plot: Path | None) -> None:
    """One deletion, K = 1, with the noise of each accounting, run as it is accounted for. Learning: until c^N <= 1e-6."""
    rows = []
    for epsilon in EPSILONS:
        for name, (bound, adjacency, assignment, *_) in ACCOUNTINGS.items():
            start = time.perf_counter()
            algorithm = PNSGD(replace(PROBLEM, adjacency=adjacency), int(batch), assignment=assignment)
            sigma = UnlearningAccountant(algorithm, bound=bound).sigma(epsilon=epsilon, epochs=1)
            variance = 2 * sigma**2 / PROBLEM.strong_convexity
            own = Trainer(LOSS, algorithm, sigma=sigma, trials=trials, dtype="float32", initial_variance=variance, seed=5)
            epochs = math.ceil(math.log(1e-6) / algorithm.log_contraction / algorithm.steps_per_epoch)
            run = own.learn(digits.features, digits.labels, epochs=epochs)
            x, y = random_points(1, digits.features.shape[1], np.random.default_rng(3))
            put = {"features": x, "labels": y} if adjacency == "replace" else {}
            run = own.unlearn(run, [PROBLEM.n - 1], epochs=1, **put)
            found = accuracy(LOSS, run.parameters, digits.test_features, digits.test_labels)
            rows.append(Accounted(name, epsilon, sigma, float(found.mean()), float(found.std(ddof=1) / math.sqrt(trials))))
            words = [name, f"{epsilon:g}", f"{sigma:.4g}", f"{100 * found.mean():.1f} ± {100 * rows[-1].error:.1f}"]
            print("| " + " | ".join([*words, f"{time.perf_counter() - start:.0f}"]) + " |", flush=True)
    if plot is not None:
        draw(rows, plot, f"MNIST 3 against 8, b = {batch}, K = 1, δ = 1/n; bands: ±1 standard error of {trials} trials")


def draw(rows: list[Accounted], path: Path, title: str) -> None:
    """Noise and accuracy against epsilon."""
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = path.stem  # the same file from the same numbers
    figure, (noise, right) = plt.subplots(1, 2, figsize=(8.6, 3.6), layout="constrained")
    for name, (*_, colour, marker, line) in ACCOUNTINGS.items():
        mine = [row for row in rows if row.name == name]
        across = [row.epsilon for row in mine]
        means, errors = (100 * np.array([getattr(row, what) for row in mine]) for what in ("mean", "error"))
        look = {"color": colour, "marker": marker, "linestyle": line, "markerfacecolor": "white" if line == "--" else colour}
        noise.plot(across, [row.sigma for row in mine], **look, label=name)
        right.plot(across, means, **look, label=name)
        right.fill_between(across, means - errors, means + errors, color=colour, alpha=0.15, linewidth=0)
    noise.set_yscale("log")
    noise.set_ylabel("noise σ")
    right.set_ylabel("test accuracy after the deletion, %")
    for axes in (noise, right):
        axes.set_xscale("log")
        axes.set_xticks(EPSILONS, [f"{epsilon:g}" for epsilon in EPSILONS])
        axes.minorticks_off()
        axes.set_xlabel("ε")
        axes.grid(which="major", color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
    noise.legend(frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of accuracies.csv, k_lists.csv and mnist_3v8.npz")
    parser.add_argument("--trials", type=int, default=25)
    parser.add_argument("--batch-size", default="128", help="0: full batch")
    parser.add_argument("--what", choices=("learning", "deletions", "retraining", "secret"), default="learning")
    parser.add_argument("--plot", type=Path, help="with secret: draw noise and accuracy against epsilon, .svg or .png")
    options = parser.parse_args()
    digits = load(options.data / "mnist_3v8.npz")
    if options.what == "retraining":
        return 0 if retraining(options.data, digits) else 1
    if options.what == "secret":
        print("| accounting | epsilon | sigma | accuracy | seconds |")
        print("| --- | --- | --- | --- | --- |")
        secret(digits, options.trials, options.batch_size, options.plot)
        return 0
    print("| experiment | b | epsilon | sigma | deleted | mean | std | published mean | std | standard errors | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    work = {"learning": learning, "deletions": deletions}[options.what]
    return 0 if work(options.data, digits, options.trials, options.batch_size) else 1


if __name__ == "__main__":
    sys.exit(main())
