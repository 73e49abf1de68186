"""Speed of the calls that users wait for. Run: pytest benchmarks (extra ``bench``); results of one run in README.md."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from accountant import PNSGD, Learn, Problem, Schedule, Unlearn, UnlearningAccountant, UnlearningStream, optimal_shifts, preset
from accountant.problem.rates import cosine
from accountant.tables import Table
from accountant.verification import Claims
from accountant.verification.verifying import verify

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


def test_sigma_of_a_thousand_points_at_random(benchmark: Any) -> None:
    def ask() -> float:
        # A new accountant every time: the law of the placement is remembered.
        answer: float = UnlearningAccountant(MNIST_32, group_size=1000).sigma(epsilon=1.0, epochs=1)
        return answer

    assert benchmark.pedantic(ask, rounds=3) > 0


def test_a_million_requests(benchmark: Any) -> None:
    problem = Problem(n=1 << 21, smoothness=0.26, strong_convexity=0.01)
    accountant = UnlearningAccountant(PNSGD(problem, 1 << 10))

    def plan() -> int:
        stream = UnlearningStream(accountant, sigma=0.003, epsilon=1.0)
        return int(stream.request_all(np.ones(1_000_000)).sum())

    assert benchmark.pedantic(plan, rounds=3) > 0


def test_steps_after_a_schedule_that_changes_at_every_step(benchmark: Any) -> None:
    schedule = Schedule([Learn(epochs=20, step_size=cosine(start=3.8, end=0.4, steps=7040)), Unlearn()])
    accountant = UnlearningAccountant(MNIST_32, schedule=schedule)
    assert benchmark.pedantic(accountant.steps, kwargs={"sigma": 0.01, "epsilon": 1.0}, rounds=3) > 0


def claims_of_the_paper(path: Path, count: int) -> Path:
    """A table of so many different rows, all of which hold, some by a tighter bound only."""
    rng = np.random.default_rng(0)
    epochs, epsilon = rng.integers(1, 6, count).astype(float), 10 ** rng.uniform(-2, 1, count)
    paper = UnlearningAccountant(PNSGD(preset("mnist"), 128), bound="paper")
    sigma = paper.sigma(epsilon=epsilon, epochs=epochs) * rng.uniform(0.9, 1.2, count)
    lines = [f"paper,128,{s:.6g},{e:.4g},{k:.0f}\n" for s, e, k in zip(sigma, epsilon, epochs, strict=True)]
    path.write_text("method,b,sigma,eps,K\n" + "".join(lines))
    return path


def test_verify_a_hundred_thousand_rows(benchmark: Any, tmp_path: Path) -> None:
    table = claims_of_the_paper(tmp_path / "table.csv", 100_000)

    def check() -> int:
        return verify(Claims(Table(table), defaults={"preset": "mnist"}))[1].rows

    assert benchmark.pedantic(check, rounds=1) == 100_000


def test_whole_process_that_writes_a_page_of_two_thousand_rows(benchmark: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    words = ["verify", str(claims_of_the_paper(tmp_path / "table.csv", 2000)), "--preset", "mnist", "-o", str(page)]
    code = "from accountant.commands import main; main()"
    run = [sys.executable, "-c", code, *words]
    assert benchmark.pedantic(subprocess.run, (run,), {"capture_output": True}, rounds=3).returncode == 0
    assert page.stat().st_size > 1000
