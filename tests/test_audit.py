"""The audit: lower bounds that hold, are tight where the exact answer is known, and find broken trainers."""

import json
import math
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import joblib
import numpy as np
import pytest
from joblib._parallel_backends import ThreadingBackend
from scipy.stats import binom, kstest, norm
from typer.testing import CliRunner

from accountant import InputError
from accountant.commands.program import app
from accountant.trainer import Instance, audit, data_instance, gaussian_instance, logistic_instance, secret_instance
from accountant.trainer import auditing as audits
from accountant.trainer.audited import ChunkSeeds, run_chunks
from accountant.trainer.faults import DRAW_FAULTS, FAULTS
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
    assert instance.replacement is not None
    labels = {"learned": instance.labels, "changed": np.append(instance.labels[:-1], instance.replacement[1])}
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


#: Faults of everything but own draws.
STEP_FAULTS = sorted(set(FAULTS) - set(DRAW_FAULTS))
#: What is audited, each where the claim is met but for little.
INSTANCES: dict[str, Callable[[], Instance]] = {
    "one request": lambda: gaussian_instance(contraction=0.6),
    "a stream": lambda: gaussian_instance(contraction=0.6, requests=3),
    "zero-out": lambda: gaussian_instance(contraction=0.6, adjacency="zero-out"),
    "a stream of zero-out": lambda: gaussian_instance(contraction=0.6, adjacency="zero-out", requests=2),
    "finite learning": lambda: gaussian_instance(contraction=0.6, learn_epochs=2),
    "remove, secret": secret_instance,
    "remove, secret, a stream": lambda: secret_instance(requests=3),
    "remove, secret, finite learning": lambda: secret_instance(learn_epochs=2),
    "remove, fresh": lambda: secret_instance(assignment="fresh"),
    "remove, poisson": lambda: secret_instance(assignment="poisson"),
}


@pytest.mark.parametrize("name", INSTANCES)
def test_no_claim_is_exceeded(name: str) -> None:
    instance = INSTANCES[name]()
    found = audit(instance, trials=4000, seed=0)
    assert not found.violated
    # And it is no idle claim: most of it is seen.
    assert found.epsilon_lower > 0.4 * found.claims[0].epsilon


@pytest.mark.campaign
@pytest.mark.parametrize("name", INSTANCES)
def test_no_claim_is_exceeded_in_fifty_seeds(name: str) -> None:
    """Each of the two bounds of an audit is wrong with probability 0.1 % if the claim is exactly met, which it hardly is."""
    instance = INSTANCES[name]()
    assert not [seed for seed in range(50) if audit(instance, trials=5000, confidence=0.999, seed=seed).violated]


@pytest.mark.parametrize("fault", STEP_FAULTS)
@pytest.mark.parametrize("name", [name for name in INSTANCES if "fresh" not in name and "poisson" not in name])
def test_a_broken_trainer_is_found(name: str, fault: str) -> None:
    instance = INSTANCES[name]()
    assert audit(instance, trials=6000, seed=3, fault=fault).violated == ("optimal",)


@pytest.mark.campaign
@pytest.mark.parametrize("fault", STEP_FAULTS)
@pytest.mark.parametrize("name", ["remove, fresh", "remove, poisson"])
def test_a_broken_trainer_of_draws_that_change_is_found(name: str, fault: str) -> None:
    assert audit(INSTANCES[name](), trials=20_000, seed=3, fault=fault).violated == ("optimal",)


@pytest.mark.parametrize("requests", [2, 3])
def test_the_exact_distance_of_a_stream_is_that_of_a_recursion(requests: int) -> None:
    """Means of both runs follow x <- c x - (1 - c) mean(y), the variance is a geometric sum; all claims are met exactly."""
    instance = gaussian_instance(mu=1.5, requests=requests, contraction=0.8)
    labels = [instance.labels.copy() for _ in range(requests + 1)]
    for request in range(requests):
        for later in labels[request + 1 :]:
            later[-1 - request] = -1.0
    unlearned = retrained = variance = 0.0
    eta, steps = instance.algorithm.eta, instance.algorithm.steps_per_epoch
    for epoch in range(instance.learn_epochs + requests):
        now = labels[max(0, epoch - instance.learn_epochs + 1)]
        for rows in np.split(np.arange(now.size), steps):
            unlearned = 0.8 * unlearned - eta * now[rows].mean()
            retrained = 0.8 * retrained - eta * labels[-1][rows].mean()
            variance = 0.64 * variance + 2 * eta * instance.sigma**2
    assert instance.claim("optimal").mu == pytest.approx(abs(unlearned - retrained) / math.sqrt(variance), rel=1e-6)
    assert instance.claim("optimal").mu == pytest.approx(1.5, rel=1e-12)
    assert audit(instance, trials=2000, seed=0).mu_estimate == pytest.approx(1.5, abs=5 * math.sqrt(2 / 2000))
    assert instance.claim("paper").epsilon > instance.claim("optimal").epsilon


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


def test_results_do_not_depend_on_who_runs_the_trials() -> None:
    """More trials than a chunk has: alone, in two processes, and in threads that the caller chose."""
    instance = gaussian_instance()
    told: dict[str, list[tuple[int, int]]] = {"one": [], "two": []}
    one = audit(instance, trials=9000, seed=1, progress=lambda done, total: told["one"].append((done, total)))
    two = audit(instance, trials=9000, seed=1, jobs=2, progress=lambda done, total: told["two"].append((done, total)))
    used = []

    class Recorded(ThreadingBackend):  # type: ignore[misc]
        def submit(self, *arguments: Any, **options: Any) -> Any:
            used.append(1)
            return super().submit(*arguments, **options)

    joblib.register_parallel_backend("recorded", Recorded)
    with joblib.parallel_config(backend="recorded", n_jobs=2):
        chosen = audit(instance, trials=9000, seed=1)
    assert one.to_dict() == two.to_dict() == chosen.to_dict()
    assert one.errors == two.errors == chosen.errors
    assert used
    for calls in told.values():
        # What is done only grows, and is all of it at the end and never before.
        assert [done for done, _ in calls] == sorted(done for done, _ in calls)
        assert {total for _, total in calls} == {9000 + 1800}
        assert calls[-1][0] == 9000 + 1800 > calls[-3][0]


def test_trials_of_one_generator_are_those_of_the_law_and_independent() -> None:
    instance = gaussian_instance(mu=2.0)
    seeds = ChunkSeeds(3)
    samples = run_chunks(instance, 10_000, seeds=seeds, fault=None, directions=None, jobs=None, progress=None)
    again = run_chunks(instance, 100, seeds=ChunkSeeds(3), fault=None, directions=None, jobs=None, progress=None)
    both = np.concatenate([samples.unlearned[0], samples.retrained[0]])
    # No number is drawn twice, in whatever chunk, and the seed begins again where it is given again.
    assert np.unique(both).size == both.size
    assert not np.isin(
        run_chunks(instance, 100, seeds=seeds, fault=None, directions=None, jobs=None, progress=None).unlearned, both
    ).any()
    c, spread = instance.algorithm.contraction, instance.sigma * math.sqrt(2 * instance.algorithm.eta)
    for found in (samples.unlearned[0], samples.retrained[0], again.unlearned[0]):
        scaled = (found - found.mean()) * math.sqrt(1 - c**2) / spread
        assert kstest(scaled, "norm").pvalue > 1e-3
        assert abs(np.corrcoef(scaled[1:], scaled[:-1])[0, 1]) < 4 / math.sqrt(scaled.size)
    assert abs(np.corrcoef(samples.unlearned[0], samples.retrained[0])[0, 1]) < 4 / 100


def test_memory_does_not_grow_with_trials_but_for_what_is_told_apart() -> None:
    """Beyond the pilot a trial of each law leaves one number, of which there are a few copies at the end."""
    # Of short runs, as every array is traced.
    instance = gaussian_instance(contraction=0.2)

    def peak(trials: int) -> int:
        tracemalloc.start()
        audit(instance, trials=trials, seed=0)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(250_000) - peak(150_000) < 100_000 * 2 * 8 * 5


@pytest.mark.parametrize("jobs", [None, 2])
def test_an_interrupt_ends_an_audit(jobs: int | None) -> None:
    def interrupt(done: int, total: int) -> None:
        if done > total / 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audit(gaussian_instance(), trials=30_000, seed=0, jobs=jobs, progress=interrupt)
    # And what comes next is as ever.
    assert audit(gaussian_instance(), trials=5000, seed=1, jobs=jobs) == audit(gaussian_instance(), trials=5000, seed=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"jobs": 0}, "jobs must be a whole number from 1, or -1"),
        ({"jobs": -2}, "jobs"),
        ({"jobs": 1.5}, "jobs"),
        ({"jobs": True}, "jobs"),
        ({"fault": "one-draw"}, "secret draws"),
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
    options = ["--instance", "gaussian", "--trials", "2000", "--seed", "1", "--fault", "kept"]
    asked = runner.invoke(app, ["audit", *options, "--json"])
    assert asked.exit_code == 1
    result = json.loads(asked.output)
    assert [one["instance"] for one in result["audits"]] == ["gaussian"]
    assert result["audits"][0]["violated"] == ["optimal"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: gaussian_instance(adjacency="remove"), "adjacency"),
        (lambda: gaussian_instance(learn_epochs=0), "learn_epochs"),
        (lambda: gaussian_instance(requests=6), "requests"),
        (lambda: gaussian_instance(requests=0), "requests"),
        (lambda: secret_instance(assignment="partition"), "assignment"),
        (lambda: secret_instance(assignment="fresh", requests=2), "assignment"),
        (lambda: secret_instance(requests=8), "requests"),
        (lambda: audit(gaussian_instance(batch_size=20), trials=100, fault="wrong-batch"), "several batches"),
        (lambda: audit(gaussian_instance(batch_size=1), trials=100, fault="divisor"), "two records"),
    ],
)
def test_instances_that_are_none(make: Callable[[], object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()


def test_the_command_audits_all_linear_instances_in_two_processes_as_in_one(tmp_path: Any) -> None:
    pytest.importorskip("matplotlib")
    runner, plot = CliRunner(), tmp_path / "audit.png"
    options = ["--instance", "linear", "--trials", "2000", "--seed", "1", "--json"]
    alone, together = runner.invoke(app, options := ["audit", *options]), runner.invoke(app, [*options, "--jobs", "2"])
    assert alone.exit_code == 0, alone.output
    assert alone.output == together.output
    names = [one["instance"] for one in json.loads(alone.output)["audits"]]
    assert names == ["gaussian", "stream", "zero-out", "finite", "secret"]
    drawn = runner.invoke(app, ["audit", "--instance", "stream", "--trials", "500", "--plot", str(plot)])
    assert drawn.exit_code == 0, drawn.output
    assert plot.stat().st_size > 1000


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--jobs", "0"], "jobs"),
        (["--instance", "linear", "--fault", "one-draw"], "one-draw"),
        (["--instance", "mnist"], "data must be given"),
        (["--data", "digits.npz"], "data must be given"),
        (["--instance", "mnist", "--data", "nowhere.npz"], "nowhere.npz"),
        (["--instance", "large"], "instance"),
        (["--trials", "10"], "trials"),
        (["-o", "audit.gif"], "output"),
        (["--fault", "all"], "fault"),
    ],
)
def test_bad_options_end_in_one_sentence(options: list[str], words: str) -> None:
    told = CliRunner().invoke(app, ["audit", *options])
    assert told.exit_code == 2
    assert words in told.output
    assert told.output.count("\n") == 1
