"""Speed of the calls that users wait for. Run: pytest benchmarks (extra ``bench``); results of one run in README.md."""

import subprocess
import sys
from typing import Any

import numpy as np

from accountant import PNSGD, UnlearningAccountant, optimal_shifts, preset

MNIST_32 = PNSGD(preset("mnist"), 32)


def test_sigma_averaged_over_352_positions(benchmark: Any) -> None:
    accountant = UnlearningAccountant(MNIST_32)
    assert benchmark(accountant.sigma, epsilon=1.0, epochs=1) > 0


def test_paper_sigma_averaged_over_352_positions(benchmark: Any) -> None:
    accountant = UnlearningAccountant(MNIST_32, bound="paper", batches="random")
    assert benchmark(accountant.sigma, epsilon=1.0, epochs=1) > 0


def test_steps_averaged_over_352_positions(benchmark: Any) -> None:
    accountant = UnlearningAccountant(MNIST_32)
    assert benchmark(accountant.steps, sigma=0.03, epsilon=1.0) > 0


def test_a_million_epsilons_at_one_position(benchmark: Any) -> None:
    accountant = UnlearningAccountant(PNSGD(preset("mnist"), 512), batches=21)
    rng = np.random.default_rng(0)
    sigma, epochs = 10 ** rng.uniform(-3, -1, 1_000_000), rng.integers(0, 5, 1_000_000)
    epsilon = benchmark.pedantic(accountant.epsilon, kwargs={"sigma": sigma, "epochs": epochs}, rounds=3)
    assert np.median(epsilon) > 0


def test_minorant_of_a_hundred_thousand_steps(benchmark: Any) -> None:
    sensitivity = np.random.default_rng(1).random(100_000)
    result = benchmark(optimal_shifts, contraction=0.999, sensitivity=sensitivity, noise_std=1.0)
    assert result.mu > 0


def test_whole_process_of_the_readme_command(benchmark: Any) -> None:
    words = ["sigma", "--preset", "mnist", "--batch-size", "128", "--epsilon", "1", "--epochs", "1"]
    code = "from accountant.commands import main; main()"
    benchmark(subprocess.run, [sys.executable, "-c", code, *words], check=True, capture_output=True)


def test_whole_process_that_only_imports_numpy(benchmark: Any) -> None:
    benchmark(subprocess.run, [sys.executable, "-c", "import numpy"], check=True, capture_output=True)
