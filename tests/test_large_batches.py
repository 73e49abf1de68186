"""Batches of own draws that may come out too large: when they are, how likely that is, and what it costs."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accountant import PNSGD, Problem, UnlearningAccountant, preset
from accountant.curves import AddedCurve, CheapestCurve, GDPCurve, RedrawnCurve, gdp_delta, gdp_mu
from accountant.numerics import InputError, UnreachableError
from accountant.problem import load_limit, oversize, too_large
from accountant.problem.loads import log_tail

MNIST = replace(preset("mnist"), adjacency="remove")


def own(batch_size: int, **settings_: object) -> PNSGD:
    return PNSGD(MNIST, batch_size, **{"assignment": "secret"} | settings_)  # type: ignore[arg-type]


def exact_tail(n: int, batches: int, least: int) -> Fraction:
    below = sum(math.comb(n, k) * (batches - 1) ** (n - k) for k in range(least))
    return 1 - Fraction(below, batches**n)


@given(st.integers(1, 400), st.integers(1, 40), st.data())
@settings(deadline=None)
def test_the_chance_of_a_large_batch_is_never_below_the_binomial_tail(n: int, batches: int, data: st.DataObject) -> None:
    least = data.draw(st.integers(0, n + 1))
    exact = exact_tail(n, batches, least)
    found = log_tail(n, batches, least)
    if exact == 0:
        assert found == -math.inf
    else:
        truth = mpmath.log(mpmath.mpf(exact.numerator) / exact.denominator)
        assert found >= truth
        # Below the mean the chance counts as one.
        assert least * batches <= n or found <= truth + 1e-6


@pytest.mark.parametrize(("n", "batches", "least"), [(10**6, 1000, 1500), (10**9, 10**6, 1400), (10**12, 10**9, 1200)])
def test_large_numbers_of_records_lose_no_digit(n: int, batches: int, least: int) -> None:
    with mpmath.workdps(60):
        q, first = mpmath.mpf(1) / batches, mpmath.binomial(n, least)
        term = first * q**least * (1 - q) ** (n - least)
        total, k = term, least
        while term > total * mpmath.mpf(10) ** -25:
            term *= mpmath.mpf(n - k) / (k + 1) / (batches - 1)
            total += term
            k += 1
        assert 0 <= log_tail(n, batches, least) - mpmath.log(total) < 1e-4


def test_the_published_chances() -> None:
    """docs/theory.md, "Secret batches": MNIST at eta = 1/L, nobody joins."""
    chances = {b: oversize(own(b, largest_n=11264)) for b in (32, 64, 128)}
    assert [f"{math.exp(chances[b].log_added):.1e}" for b in (32, 64, 128)] == ["6.7e-05", "9.1e-11", "3.4e-22"]
    assert chances[32].log_redrawn is not None
    assert math.exp(chances[32].log_redrawn) < 2.1e-7


def test_a_batch_contracts_up_to_the_limit_and_no_further() -> None:
    """f = (m/2) x^2 + (1/b) sum over the batch of (L - m)/2 x^2, the steepest that the constants allow."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        smoothness = float(rng.uniform(0.1, 3))
        m = float(rng.uniform(0, 0.9) * smoothness)
        eta = float(rng.uniform(0.05, min(2 / smoothness, 1 / m if m else np.inf)))
        b = int(rng.integers(1, 60))
        algorithm = PNSGD(
            Problem(n=1000, smoothness=smoothness, strong_convexity=m, adjacency="remove"),
            b,
            step_size=eta,
            assignment="secret",
        )
        limit = load_limit(algorithm)

        def slope(size: float, b: int = b, m: float = m, eta: float = eta, smoothness: float = smoothness) -> float:
            return abs(1 - eta * (m + (smoothness - m) * size / b))

        c = 1 - eta * m
        assert algorithm.contraction == pytest.approx(c)
        assert slope(limit) <= c * (1 + 1e-12)
        assert slope(limit + 1) > c * (1 - 1e-12)


def test_the_way_that_costs_less_is_taken_and_said() -> None:
    accountant = UnlearningAccountant(own(32))
    outcome = accountant.ask("sigma", epsilon=1.0, epochs=1)
    assert outcome.way is not None
    assert outcome.way.redrawn > 0
    assert any("redrawn at the start" in line for line in outcome.assumptions)
    told = UnlearningAccountant(own(32, redraw=True)).sigma(epsilon=1.0, epochs=1)
    assert outcome.sigma == told
    # Declared to be all that ever come in, they pay 6.7e-5 of 8.9e-5.
    kept = UnlearningAccountant(own(32, redraw=False, largest_n=11264)).sigma(epsilon=1.0, epochs=1)
    assert kept > told > 1.578941048e-9
    assert UnlearningAccountant(own(512)).ask("sigma", epsilon=1.0, epochs=1).way.redrawn == 0  # type: ignore[union-attr]


def test_what_the_refusal_names_works_and_a_little_less_does_not() -> None:
    algorithm = own(8)
    delta = 1e-4
    with pytest.raises(UnreachableError, match=r"step_size of at most 2\.8.* or a batch_size of 19") as refused:
        UnlearningAccountant(algorithm).sigma(epsilon=1.0, delta=delta, epochs=1)
    assert "more than 16 other records" in str(refused.value)
    assert UnlearningAccountant(replace(algorithm, batch_size=19)).sigma(epsilon=1.0, delta=delta, epochs=1) > 0
    assert too_large(replace(algorithm, batch_size=18), delta) is not None
    assert UnlearningAccountant(replace(algorithm, step_size=2.81)).sigma(epsilon=1.0, delta=delta, epochs=1) > 0
    assert too_large(replace(algorithm, step_size=2.9), delta) is not None


def test_rows_that_delta_does_not_pay_for_are_refused_and_the_others_answered() -> None:
    outcome = UnlearningAccountant(own(32, redraw=False)).ask("sigma", epsilon=1.0, delta=[1e-6, 1e-2], epochs=1)
    assert list(outcome.refusals) == [0]
    assert "delta = 1e-06 does not pay" in outcome.refusals[0]
    assert np.isinf(outcome.answer[0])  # type: ignore[index]
    assert np.isfinite(outcome.answer[1])  # type: ignore[index]
    with pytest.raises(UnreachableError, match="does not pay for"):
        UnlearningAccountant(own(32, redraw=False)).epsilon(sigma=1e-3, delta=1e-6, epochs=1)
    with pytest.raises(UnreachableError, match="does not pay for"):
        UnlearningAccountant(own(32, redraw=False)).steps(sigma=1e-3, epsilon=1.0, delta=1e-6)


ONE = np.zeros(1)


@given(st.floats(1e-4, 3), st.floats(0.01, 8), st.floats(1e-12, 1e-2))
@settings(deadline=None)
def test_an_added_chance_is_added(mu: float, epsilon: float, chance: float) -> None:
    curve = AddedCurve(GDPCurve(), math.log(chance))
    log_mu, eps = np.array([[math.log(mu)]]), np.array([epsilon])
    delta = math.exp(curve.log_delta(eps, ONE, log_mu)[0])
    assert delta >= gdp_delta(epsilon=epsilon, mu=mu) + chance
    assert delta == pytest.approx(gdp_delta(epsilon=epsilon, mu=mu) + chance, rel=1e-9)
    back = curve.epsilon(np.array([math.log(delta)]), ONE, log_mu)[0]
    if gdp_delta(epsilon=epsilon, mu=mu) > 1e-3 * chance:
        assert back == pytest.approx(epsilon, rel=1e-6)


@given(st.floats(1e-3, 3), st.floats(0.01, 6), st.floats(1e-14, 1e-4))
@settings(deadline=None)
def test_a_redrawn_key_costs_what_the_theorem_says(mu: float, epsilon: float, chance: float) -> None:
    """P <= (e^eps R + d)/(1 - p2), R <= e^eps P + d + e^eps p2: at eps - log(1 - p2), (d + e^eps p2)/(1 - p2)."""
    curve = RedrawnCurve(GDPCurve(), math.log(chance))
    outer = np.array([epsilon - math.log1p(-chance)])
    claimed = math.exp(curve.log_delta(outer, ONE, np.array([[math.log(mu)]]))[0])
    with mpmath.workdps(40):
        candidates = []
        for share in (1, 0.5, 0.25, 0.125, 0.0625, 2**-5, 2**-6, 2**-7):
            inside = mpmath.mpf(outer[0]) * share + mpmath.log1p(-mpmath.mpf(chance))
            if inside >= 0:
                d = mpmath.ncdf(-inside / mu + mu / 2) - mpmath.exp(inside) * mpmath.ncdf(-inside / mu - mu / 2)
                candidates.append((d + mpmath.exp(inside) * chance) / (1 - chance))
        truth = min(candidates, default=mpmath.mpf(1))
    assert claimed >= truth * (1 - mpmath.mpf(1e-15))
    assert claimed <= truth * (1 + 1e-8) + 4 * chance
    log_delta = np.array([math.log(min(claimed * (1 + 1e-9), 0.999))])
    back = curve.epsilon(log_delta, ONE, np.array([[math.log(mu)]]))
    assert back[0] <= outer[0] * (1 + 1e-7) + 1e-9
    assert curve.log_delta(back, ONE, np.array([[math.log(mu)]]))[0] <= log_delta[0] + 1e-12


def test_a_redrawn_key_has_a_smallest_delta() -> None:
    """However much noise: e^epsilon p2 is left."""
    curve = RedrawnCurve(GDPCurve(), math.log(1e-6))
    assert np.isinf(curve.epsilon(np.log([5e-7]), ONE, np.array([[-20.0]]))).all()
    assert np.isneginf(curve.log_scale(np.ones(1), np.log([5e-7]), ONE, np.zeros((1, 1)))).all()
    assert not curve.meets(np.ones(1), np.log([5e-7]), ONE, np.array([[-20.0]])).any()


@given(st.floats(1e-7, 1e-3), st.floats(0.05, 5), st.floats(1e-9, 1e-3), st.sampled_from(["added", "redrawn", "cheapest"]))
@settings(deadline=None)
def test_the_scale_that_is_found_meets_its_target(delta: float, epsilon: float, chance: float, way: str) -> None:
    added, redrawn = AddedCurve(GDPCurve(), math.log(chance)), RedrawnCurve(GDPCurve(), math.log(chance) - 5)
    curve = {"added": added, "redrawn": redrawn, "cheapest": CheapestCurve((added, redrawn))}[way]
    eps, log_delta = np.array([epsilon]), np.log(np.array([delta]))
    found = curve.log_scale(eps, log_delta, ONE, np.zeros((1, 1)))
    if np.isfinite(found[0]):
        assert curve.meets(eps, log_delta, ONE, found[:, None] - 1e-9).all()
        assert curve.epsilon(log_delta, ONE, found[:, None] - 1e-9)[0] <= epsilon
        assert not curve.meets(eps, log_delta, ONE, found[:, None] + 1e-3).any()


@pytest.mark.parametrize(
    ("problem", "settings_", "reason"),
    [
        ({}, {"assignment": "shuffled"}, "assignment must be one of partition, secret, fresh, poisson"),
        ({}, {"assignment": "partition"}, "adjacency=remove needs an assignment by own draws"),
        ({"adjacency": "zero-out"}, {"assignment": "secret"}, "adjacency must be remove or replace"),
        (
            {"adjacency": "replace"},
            {"assignment": "secret", "redraw": True},
            "redraw needs assignment=secret and adjacency=remove",
        ),
        ({}, {"assignment": "fresh", "redraw": True}, "redraw needs assignment=secret"),
        ({}, {"assignment": "secret", "redraw": "yes"}, "redraw must be true or false"),
        ({}, {"assignment": "secret", "largest_n": 10}, "largest_n must be a whole number from 11264"),
        ({"adjacency": "replace"}, {"largest_n": 20000}, "largest_n needs an assignment by own draws"),
        ({}, {"assignment": "secret", "last_batch": "drop"}, "last_batch must be keep"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(
    problem: dict[str, object], settings_: dict[str, object], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        PNSGD(replace(MNIST, **problem), 128, **settings_)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings_", "reason"),
    [
        ({"bound": "paper"}, "needs bound=optimal"),
        ({"batches": "reshuffle"}, "batches must be random, worst or a position"),
        ({"batches": [0] * 87 + [1]}, "batches must be random, worst or a position"),
    ],
)
def test_what_is_not_proved_of_own_draws_is_refused(settings_: dict[str, object], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        UnlearningAccountant(own(128), **settings_).sigma(epsilon=1.0, epochs=1)  # type: ignore[arg-type]


def test_draws_that_go_on_for_ever_have_no_finite_cost() -> None:
    for assignment in ("fresh", "poisson"):
        with pytest.raises(InputError, match=f"assignment={assignment} needs learn_epochs"):
            oversize(own(128, assignment=assignment), steps=88)


def test_a_group_at_a_given_distance_pays_for_each_of_its_records() -> None:
    one, ten = (UnlearningAccountant(own(32, redraw=True), group_size=count) for count in (1, 10))
    question = {"sigma": 1e-4, "epsilon": 1.0, "steps": 100, "start_distance": 1e-300}
    assert ten.delta(**question) == pytest.approx(10 * one.delta(**question), rel=1e-3)


def test_fresh_draws_at_a_given_distance_pay_for_every_step_of_their_own_row() -> None:
    accountant = UnlearningAccountant(own(64, assignment="fresh", learn_epochs=1))
    question = {"sigma": 1e-4, "epsilon": 1.0, "start_distance": 1e-300}
    few, many = accountant.delta(steps=[1, 17600], **question)
    assert [few, many] == [accountant.delta(steps=1, **question), accountant.delta(steps=17600, **question)]
    assert many == pytest.approx(101 / 2 * few, rel=0.02)


def test_a_redrawn_key_is_paid_for_at_any_epsilon() -> None:
    """e^epsilon p2 beyond the range of exp: 2.26e-6 of 1e-5."""
    curve = RedrawnCurve(GDPCurve(), -740.0)
    epsilon, log_delta = np.array([727.0]), np.log([1e-5])
    left = 1e-5 - math.exp(727 - 740)
    assert left < 0.78e-5
    scale = curve.log_scale(epsilon, log_delta, ONE, np.zeros((1, 1)))[0]
    assert gdp_delta(epsilon=727.0, mu=math.exp(scale)) <= left
    mu = float(gdp_mu(epsilon=727.0, delta=0.9e-5))
    assert not curve.meets(epsilon, log_delta, ONE, np.array([[math.log(mu)]]))[0]


@pytest.mark.parametrize(
    ("redraw", "said", "unsaid"), [(True, "was redrawn", "not redrawn"), (False, "not redrawn", "was redrawn")]
)
def test_what_was_told_of_the_key_is_what_the_answer_rests_on(redraw: bool, said: str, unsaid: str) -> None:
    outcome = UnlearningAccountant(own(128, redraw=redraw)).ask("sigma", epsilon=1.0, epochs=1)
    for lines in (outcome.assumptions, outcome.guarantee.assumptions):
        assert any(said in line for line in lines)
        assert not any(unsaid in line for line in lines)
