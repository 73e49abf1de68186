"""Methods about common steps: published formulas against an oracle, round trips, validity, and peers side by side."""

import csv
import math
import random

import numpy as np
import oracle_finetuning as oracle
import pytest

from accountant import ConvexNonsmooth, FineTuning, InputError, SmoothNonconvex, UnlearningAccountant
from accountant.methods import STEP_METHODS, STEPWISE, Release, compare_steps, steps_curve
from accountant.methods.finetune import Formula
from accountant.methods.steps import Exactly
from accountant.problem import Stepping
from accountant.tables import builtin
from accountant.verification import Claims, StepClaim

ONE = FineTuning(step_size=0.01, gradient_clip=1.0, start_clip=1.0)
CLIPPED = FineTuning(step_size=0.01, model_clip=0.5, clip_first=True)
RUNS: dict[str, Stepping] = {
    "optimal": ONE,
    "finetune-clipping": ONE,
    "finetune-model-clipping": CLIPPED,
    "output-perturbation": Release(start_clip=1.0),
    "output-perturbation-exact": Release(start_clip=1.0),
    "gradient-clipping": ONE,
}


def asked(name: str, what: str, setup: Stepping, **question: float) -> float:
    arrays = {key: np.array([float(value)]) for key, value in question.items()}
    return float(getattr(STEP_METHODS[name], what)(setup, **arrays)[0])


def reason(name: str, setup: Stepping, **question: float) -> str:
    needed = STEP_METHODS[name].needed(setup, **{key: np.array([float(value)]) for key, value in question.items()})
    assert np.isinf(needed.sigma[0])
    return needed.refusals[0]


@pytest.mark.parametrize(("epsilon", "theirs", "ours"), [(1.0, 2.035842127, 1.492252654), (0.1, 20.35842127, 12.29982645)])
def test_the_printed_noise_of_the_published_formula_and_ours(epsilon: float, theirs: float, ours: float) -> None:
    found = {row.method: row for row in compare_steps(ONE, epsilon=epsilon, delta=1e-5, steps=100)}
    assert found["finetune-clipping"].sigma == pytest.approx(theirs, rel=5e-10)
    assert found["optimal"].sigma == pytest.approx(ours, rel=5e-10)
    assert found["finetune-clipping"].relative == pytest.approx(theirs / ours, rel=1e-9)
    assert found["finetune-model-clipping"].reason is not None
    assert "model_clip must be given" in found["finetune-model-clipping"].reason
    assert found["output-perturbation"].steps == 0
    assert "secondary sources" in found["finetune-clipping"].source


def test_formulas_against_the_oracle() -> None:
    draw = random.Random(17)
    for _ in range(60):
        C0, C1, gamma = (10 ** draw.uniform(-2, 1) for _ in range(3))
        T, delta = draw.choice((1, 3, 10, 70, 300)), 10 ** draw.uniform(-9, -2)
        epsilon = draw.uniform(0.01, 4.0)
        setup = FineTuning(step_size=gamma, gradient_clip=C1, start_clip=C0)
        target = {"epsilon": epsilon, "delta": delta, "steps": T}
        expected = float(oracle.clipping_sigma(C0, C1, gamma, T, epsilon, delta))
        assert asked("finetune-clipping", "sigma", setup, **target) == pytest.approx(expected, rel=1e-11)
        assert asked("finetune-clipping", "sigma", setup, **target) >= expected
        expected = float(oracle.output_sigma(C0, epsilon, delta))
        assert asked("output-perturbation", "sigma", setup, **target) == pytest.approx(expected, rel=1e-12)
        exact = float(2 * C0 / oracle.mu_of(epsilon, delta))
        assert asked("output-perturbation-exact", "sigma", setup, **target) == pytest.approx(exact, rel=1e-9)
        lam = draw.choice((0.0, 0.3, 1.0)) / gamma
        decayed = FineTuning(step_size=gamma, gradient_clip=C1, start_clip=C0, weight_decay=lam)
        expected = float(oracle.chord(C0, C1, gamma, lam, T) / oracle.mu_of(epsilon, delta))
        found = asked("gradient-clipping", "sigma", decayed, **target)
        assert expected <= found * (1 + 1e-12) <= expected * (1 + 1e-8)


@pytest.mark.parametrize("delta", [1e-2, 1e-3, 1e-5, 1e-10])
def test_formulas_are_refused_where_they_give_too_little_noise(delta: float) -> None:
    for name, limit in (
        ("finetune-clipping", oracle.clipping_limit(delta)),
        ("output-perturbation", oracle.output_limit(delta)),
    ):
        setup = RUNS[name]
        most = float(limit)
        assert math.isfinite(asked(name, "sigma", setup, epsilon=most * (1 - 1e-9), delta=delta, steps=100))
        above = {"epsilon": most * (1 + 1e-9), "delta": delta, "steps": 100}
        said = reason(name, setup, **above)
        assert "gives enough noise only for 0 < epsilon <= " in said
        assert float(said.split("epsilon <= ")[1].split()[0]) == pytest.approx(most, rel=1e-3)
        sigma = float(oracle.output_sigma(1.0, most * 1.01, delta))
        if name == "output-perturbation":
            assert asked(name, "epsilon", setup, sigma=sigma, delta=delta, steps=0) == math.inf
            assert asked(name, "delta", setup, sigma=sigma, epsilon=most * 1.01, steps=0) == 1.0


def test_the_limits_at_the_delta_of_the_experiments() -> None:
    assert float(oracle.clipping_limit(1e-5)) == pytest.approx(10.98, abs=0.005)
    assert float(oracle.output_limit(1e-5)) == pytest.approx(8.42, abs=0.005)
    assert "10.98" in reason("finetune-clipping", ONE, epsilon=11, delta=1e-5, steps=100)
    assert "8.41" in reason("output-perturbation", ONE, epsilon=8.5, delta=1e-5, steps=0)
    assert "enough noise only" in reason("finetune-clipping", ONE, epsilon=0, delta=1e-5, steps=100)


def test_model_clipping_against_the_recursion() -> None:
    draw = random.Random(5)
    for _ in range(12):
        mu, T, epsilon = draw.uniform(1.5, 3.5), draw.randint(1, 5), draw.uniform(0.05, 3)
        found = asked("finetune-model-clipping", "delta", CLIPPED, sigma=1 / mu, epsilon=epsilon, steps=T)
        expected = float(oracle.chain(epsilon, mu, T))
        # To the digits of log delta: chains fall to 1e-183 here.
        assert math.log(expected) <= math.log(found) + 1e-12
        assert math.log(found) == pytest.approx(math.log(expected), rel=1e-9)
    for mu, delta in ((2.0, 1e-5), (2.5, 1e-5), (3.9 / 2, 1e-3), (1.0, 1e-8)):
        fewest = asked("finetune-model-clipping", "fewest", CLIPPED, sigma=1 / mu, epsilon=1.0, delta=delta)
        assert fewest == oracle.chain_steps(1.0, delta, mu)


def test_model_clipping_as_published_uses_neither_start_nor_gradients() -> None:
    more = FineTuning(step_size=0.01, model_clip=0.5, clip_first=True, gradient_clip=1.0, start_clip=0.01)
    question = {"epsilon": 1.0, "delta": 1e-5, "steps": 20}
    published = asked("finetune-model-clipping", "sigma", more, **question)
    assert published == asked("finetune-model-clipping", "sigma", CLIPPED, **question)
    assert asked("optimal", "sigma", more, **question) < published
    said = STEP_METHODS["finetune-model-clipping"].assumptions(more)
    assert any("gradients need not be clipped" in line for line in said)
    assert not any("gradients of batches are clipped" in line for line in said)


@pytest.mark.parametrize("name", sorted(STEP_METHODS))
def test_there_and_back(name: str) -> None:
    setup, method = RUNS[name], STEP_METHODS[name]
    for epsilon, delta, steps in ((0.1, 1e-5, 40), (1.0, 1e-5, 100), (4.0, 1e-3, 7), (1.0, 1e-12, 60)):
        sigma = asked(name, "sigma", setup, epsilon=epsilon, delta=delta, steps=steps)
        reached = asked(name, "epsilon", setup, sigma=sigma, delta=delta, steps=steps)
        assert reached <= epsilon
        assert reached == pytest.approx(epsilon, rel=1e-6)
        assert asked(name, "delta", setup, sigma=sigma, epsilon=epsilon, steps=steps) == pytest.approx(delta, rel=1e-6)
        fewest = asked(name, "fewest", setup, sigma=sigma, epsilon=epsilon, delta=delta)
        assert fewest <= steps
        assert asked(name, "epsilon", setup, sigma=sigma, delta=delta, steps=fewest) <= epsilon
        if fewest > 1:
            assert asked(name, "epsilon", setup, sigma=sigma, delta=delta, steps=fewest - 1) > epsilon
    assert method.title
    assert method.source
    assert method.noise
    assert method.proves
    assert all(len(line) > 20 for line in method.assumptions(setup))
    assert method.tightest in STEP_METHODS


def test_what_runs_steps_and_what_does_not() -> None:
    alone = {name for name, method in STEP_METHODS.items() if not method.runs_steps}
    assert (
        alone
        == {"output-perturbation", "output-perturbation-exact"}
        == {name for name, method in STEP_METHODS.items() if method.family == "output-perturbation"}
    )
    # Requests do not pile up: there are no streams of them.
    assert not any(hasattr(method, name) for method in STEP_METHODS.values() for name in ("stream", "released_std"))


@pytest.mark.parametrize("name", sorted(STEP_METHODS))
def test_published_formulas_come_before_the_exact_conversion(name: str) -> None:
    method = STEP_METHODS[name]
    if isinstance(method, Formula | Exactly):
        rule = Formula if isinstance(method, Formula) else Exactly
        assert all(getattr(type(method), part) is getattr(rule, part) for part in ("allows", "given", "chance"))
        assert (method.proves == "mu-GDP") == (rule is Exactly)


def test_every_method_says_what_it_is_not_about() -> None:
    hinge = ConvexNonsmooth(step_size=0.01, lipschitz=1.0, start_clip=1.0)
    smooth = SmoothNonconvex(step_size=0.01, smoothness=1.0, model_clip=1.0)
    for name in ("finetune-clipping", "finetune-model-clipping", "gradient-clipping"):
        for setup in (hinge, smooth):
            assert "algorithm must be fine-tuning" in (STEP_METHODS[name].refusal(setup) or ""), name
    decayed = FineTuning(step_size=0.01, gradient_clip=1.0, start_clip=1.0, weight_decay=1.0)
    assert "weight_decay must be 0" in (STEP_METHODS["finetune-clipping"].refusal(decayed) or "")
    assert "start_clip must be given" in (
        STEP_METHODS["gradient-clipping"].refusal(FineTuning(step_size=0.01, gradient_clip=1.0, model_clip=1.0)) or ""
    )
    assert "gradient_clip must be given" in (STEP_METHODS["finetune-clipping"].refusal(CLIPPED) or "")
    assert "start must be clipped" in (
        STEP_METHODS["finetune-clipping"].refusal(FineTuning(step_size=0.01, gradient_clip=1.0, start_clip=1.0, start="centre"))
        or ""
    )
    for name in ("optimal", "output-perturbation"):
        assert "start_clip must be given" in (STEP_METHODS[name].refusal(FineTuning(step_size=1.0, gradient_clip=1.0)) or "")
    for name in ("finetune-clipping", "gradient-clipping"):
        assert "steps must be at least 1" in reason(name, ONE, epsilon=1, delta=1e-5, steps=0)
    with pytest.raises(InputError, match="method must be one of optimal, finetune-clipping"):
        compare_steps(ONE, epsilon=1.0, delta=1e-5, steps=10, methods=["langevin"])
    for changes in ({"epsilon": -1.0}, {"delta": 0.0}, {"delta": 1.0}, {"steps": 0}, {"steps": 2.5}):
        with pytest.raises(InputError, match=next(iter(changes))):
            compare_steps(ONE, **({"epsilon": 1.0, "delta": 1e-5, "steps": 10} | changes))  # type: ignore[arg-type]


def test_the_tightest_bound_is_never_above_a_published_one() -> None:
    draw = random.Random(3)
    for _ in range(25):
        setup = FineTuning(
            step_size=10 ** draw.uniform(-3, -1), gradient_clip=10 ** draw.uniform(-1, 1), start_clip=10 ** draw.uniform(-1, 1),
            model_clip=draw.choice((None, 1.0)), clip_first=False,
        )  # fmt: skip
        rows = compare_steps(setup, epsilon=draw.uniform(0.1, 5), delta=1e-5, steps=draw.randint(1, 80))
        least = rows[0].sigma
        assert least is not None
        assert rows[0].relative == 1
        published = next(row for row in rows if row.method == "finetune-clipping")
        assert published.sigma is None or published.sigma >= least * (1 - 1e-9)
    both = FineTuning(step_size=0.01, gradient_clip=1.0, start_clip=1.0, model_clip=1.0, clip_first=True)
    for steps in (1, 5, 40, 200):
        found = {row.method: row.sigma for row in compare_steps(both, epsilon=1.0, delta=1e-5, steps=steps)}
        assert (found["optimal"] or 0) <= (found["finetune-model-clipping"] or 0) * (1 + 1e-9)


def test_noise_against_steps() -> None:
    for name in STEPWISE:
        counts, sigmas = steps_curve(ONE, method=name, epsilon=1.0, delta=1e-5, steps=[1, 10, 100, 200])
        assert len(counts) == len(sigmas) == (0 if name == "finetune-model-clipping" else 4)
    _, sigmas = steps_curve(ONE, method="optimal", epsilon=1.0, delta=1e-5, steps=[1, 10, 100, 200])
    assert sigmas == sorted(sigmas, reverse=True)
    assert sigmas[-1] == pytest.approx(sigmas[-2])
    _, sigmas = steps_curve(ONE, method="finetune-clipping", epsilon=1.0, delta=1e-5, steps=[100, 200])
    assert sigmas[1] > sigmas[0]


def test_every_shipped_configuration_is_the_run_that_its_row_says() -> None:
    with open(builtin("noisy-finetuning").path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    claims = list(Claims(builtin("noisy-finetuning").table()))
    assert len(rows) == len(claims) == 249
    for row, claim in zip(rows, claims, strict=True):
        assert isinstance(claim, StepClaim)
        sigma, delta, epsilon = float(row["sigma"]), float(row["delta"]), float(row["epsilon"])
        one = {"sigma": np.array([sigma]), "delta": np.array([delta]), "steps": np.array([float(row["steps"])])}
        found = float(claim.method.epsilon(claim.algorithm, **one)[0])
        if row["method"] == "gradient-clipping":
            run = (float(row[name]) for name in ("start_clip", "gradient_clip", "step_size", "weight_decay"))
            mu = float(oracle.chord(*run, int(row["steps"]))) / sigma
            # The noise was made for this mu.
            assert mu == pytest.approx(math.sqrt(2 * float(row["epsilon_renyi"])), rel=1e-12)
            assert epsilon == pytest.approx(float(oracle.logged(float(row["epsilon_renyi"]), delta)), rel=1e-12)
            assert found > 1.5 * epsilon
        elif row["method"] == "model-clipping":
            mu = 2 * float(row["model_clip"]) / sigma
            assert oracle.chain(epsilon, mu, int(row["steps"])) <= delta < oracle.chain(epsilon, mu, int(row["steps"]) - 1)
            assert found <= epsilon
        else:
            assert sigma == pytest.approx(float(oracle.output_sigma(float(row["start_clip"]), epsilon, delta)), rel=1e-12)
            assert found == pytest.approx(epsilon, rel=1e-12)


def test_the_accountant_itself_answers_as_optimal() -> None:
    sigma = UnlearningAccountant(ONE).sigma(epsilon=1.0, delta=1e-5, steps=100)
    assert asked("optimal", "sigma", ONE, epsilon=1, delta=1e-5, steps=100) == sigma
