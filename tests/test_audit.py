"""The audit: lower bounds that hold, are tight where the exact answer is known, and find broken trainers."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, norm
from typer.testing import CliRunner

from accountant import InputError
from accountant.commands.program import app
from accountant.trainer import audit, data_instance, gaussian_instance, logistic_instance
from accountant.trainer import auditing as audits
from accountant.trainer.trade_off import error_bound


def close_and_below(seeds: range) -> None:
    instance = gaussian_instance(mu=2.0)
    for seed in seeds:
        found = audit(instance, trials=20_000, seed=seed)
        assert found.claims[0].bound == "optimal"
        assert found.claims[0].mu is not None
        assert 0.95 * found.claims[0].mu <= found.mu_lower <= found.claims[0].mu, seed
        assert found.epsilon_lower <= found.epsilon_gdp_lower <= found.claims[0].epsilon, seed
        assert not found.violated


def test_the_bound_on_mu_is_close_to_the_exact_one_and_never_above() -> None:
    close_and_below(range(3))


@pytest.mark.slow
def test_the_bound_on_mu_is_close_to_the_exact_one_and_never_above_in_fifty_seeds() -> None:
    close_and_below(range(50))


def test_the_exact_distance_is_that_of_the_gaussians_of_a_recursion_in_fractions() -> None:
    instance = gaussian_instance(mu=1.5)
    eta, n, batch = instance.algorithm.eta, instance.labels.size, int(instance.algorithm.batch_size)
    steps = n // batch
    labels = {"learned": instance.labels, "changed": np.append(instance.labels[:-1], instance.replacement[1])}  # type: ignore[index]
    # Means follow x <- (1 - eta) x - eta mean(y); both variances are the same geometric sum.
    mean = {"unlearned": 0.0, "retrained": 0.0}
    variance = 0.0
    for epoch in range(instance.learn_epochs + instance.unlearn_epochs):
        for step in range(steps):
            rows = slice(step * batch, (step + 1) * batch)
            now = "learned" if epoch < instance.learn_epochs else "changed"
            mean["unlearned"] = (1 - eta) * mean["unlearned"] - eta * labels[now][rows].mean()
            mean["retrained"] = (1 - eta) * mean["retrained"] - eta * labels["changed"][rows].mean()
            variance = (1 - eta) ** 2 * variance + 2 * eta * instance.sigma**2
    mu = abs(mean["unlearned"] - mean["retrained"]) / math.sqrt(variance)
    assert mu == pytest.approx(1.5, rel=1e-6)
    found = audit(instance, trials=2000, seed=0)
    assert found.mu_exact == pytest.approx(mu, rel=1e-6)
    assert found.mu_estimate == pytest.approx(mu, abs=5 * math.sqrt(2 / 2000))


@pytest.mark.parametrize("fault", sorted(set(audits.FAULTS) - set(audits.DRAW_FAULTS)))
def test_a_broken_trainer_is_found(fault: str) -> None:
    found = audit(gaussian_instance(mu=2.0), trials=20_000, seed=3, fault=fault)
    optimal = found.claims[0]
    assert found.epsilon_lower > optimal.epsilon
    assert optimal.mu is not None
    assert found.mu_lower > optimal.mu
    assert found.violated == ("optimal",)


def test_logistic_regression_is_within_its_claim_and_its_faults_are_found() -> None:
    instance = logistic_instance(mu=2.0)
    assert not audit(instance, trials=4000, seed=0).violated
    assert audit(instance, trials=4000, seed=0, fault="kept").violated == ("optimal",)


def test_zero_out_is_audited_too() -> None:
    made = logistic_instance()
    problem = made.loss.problem(made.labels.size, adjacency="zero-out")
    instance = replace(made, algorithm=replace(made.algorithm, problem=problem), replacement=None)
    assert not audit(instance, trials=2000, seed=0).violated
    assert audit(instance, trials=2000, seed=0, fault="kept").mu_lower > audit(instance, trials=2000, seed=0).mu_lower


def test_rows_of_data_make_an_instance() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 40))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    instance = data_instance(x, np.sign(x[:, 0]), batch_size=50, learn_epochs=3)
    assert instance.replacement is not None
    assert instance.replacement[1] == -instance.labels[-1]
    found = audit(instance, trials=200, seed=0)
    assert found.claims[0].epsilon == pytest.approx(1.0, rel=1e-9)
    assert not found.violated


def test_upper_bounds_of_probabilities_are_clopper_and_pearsons() -> None:
    for k, count, risk in ((0, 50, 0.01), (7, 50, 0.005), (49, 50, 0.01), (50, 50, 0.01)):
        upper = float(error_bound(np.array(k / count), count, risk))
        # The definition: k or fewer have probability ``risk`` there.
        assert upper == 1.0 if k == count else binom.cdf(k, count, upper) == pytest.approx(risk, rel=1e-9)


def test_bounds_hold_as_often_as_they_say() -> None:
    """Scores of two normal laws at distance 1: 95 % bounds are above the truth in at most 5 % of 400 draws, plus chance."""
    rng = np.random.default_rng(5)
    mu, delta, wrong = 1.0, 0.05, np.zeros(2)
    epsilon = next(e for e in np.linspace(0, 5, 50_001) if norm.cdf(-e + 0.5) - math.exp(e) * norm.cdf(-e - 0.5) <= delta)
    for _ in range(400):
        one, other = rng.standard_normal(1200) + mu, rng.standard_normal(1200)
        tests = audits._Tests(one[:200], other[:200], one[200:], other[200:], risk=0.025)
        wrong += tests.mu_lower() > mu, tests.epsilon_lower(delta) > epsilon
    assert (wrong <= 400 * 0.05 + 3 * math.sqrt(400 * 0.05 * 0.95)).all()


def test_the_same_seed_gives_the_same_audit() -> None:
    one, again, other = (audit(gaussian_instance(), trials=500, seed=seed).to_dict() for seed in (1, 1, 2))
    assert one == again
    assert one["mu_estimate"] != other["mu_estimate"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"trials": 99}, "trials"),
        ({"confidence": 1.0}, "confidence"),
        ({"fault": "none"}, "fault"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_arguments(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        audit(gaussian_instance(), **options)


def test_the_command_tells_and_draws(tmp_path: Any) -> None:
    pytest.importorskip("matplotlib")
    runner, plot = CliRunner(), tmp_path / "audit.svg"
    told = runner.invoke(app, ["audit", "--trials", "2000", "--seed", "1", "--plot", str(plot)])
    assert told.exit_code == 0, told.output
    assert "claimed by optimal" in told.output
    assert plot.stat().st_size > 1000
    options = ["--preset", "gaussian", "--trials", "2000", "--seed", "1", "--fault", "kept"]
    asked = runner.invoke(app, ["audit", *options, "--json"])
    assert asked.exit_code == 1
    result = json.loads(asked.output)
    assert [one["instance"] for one in result["audits"]] == ["gaussian"]
    assert result["audits"][0]["violated"] == ["optimal"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--preset", "mnist"], "data must be given"),
        (["--data", "digits.npz"], "data must be given"),
        (["--preset", "mnist", "--data", "nowhere.npz"], "nowhere.npz"),
        (["--preset", "large"], "preset"),
        (["--trials", "10"], "trials"),
        (["--plot", "audit.gif"], "plot"),
        (["--fault", "all"], "fault"),
    ],
)
def test_bad_options_end_in_one_sentence(options: list[str], words: str) -> None:
    told = CliRunner().invoke(app, ["audit", *options])
    assert told.exit_code == 2
    assert words in told.output
    assert told.output.count("\n") == 1
