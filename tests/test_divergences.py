"""Hockey-stick, trade-off and Rényi functions agree with 60-digit evaluation, and err on the safe side only."""

import math

import mpmath as mp
import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accountant import (
    InputError,
    gdp_delta,
    gdp_epsilon,
    gdp_log_delta,
    gdp_mu,
    gdp_tradeoff,
    mixture_delta,
    mixture_epsilon,
    mixture_log_delta,
    mixture_rdp,
    mixture_tradeoff,
    rdp_delta,
    rdp_epsilon,
    rdp_to_epsilon,
)

epsilons = st.floats(-9, 4).map(lambda x: 10.0**x)
mus = st.floats(-12, 3).map(lambda x: 10.0**x)
log_deltas = st.floats(math.log(1e-300), math.log(0.5))
weights3 = st.tuples(*[st.floats(0.01, 1)] * 3).map(lambda w: [x / sum(w) for x in w])


def above(value: float, exact: mp.mpf, tolerance: float = 1e-10) -> bool:
    """``value`` is not below ``exact`` and within the relative tolerance."""
    with mp.workdps(60):
        return 0 <= mp.mpf(value) - exact <= tolerance * abs(exact)


@settings(max_examples=300, deadline=None)
@given(epsilon=epsilons, mu=mus)
def test_log_delta_of_gdp_is_right_to_ten_digits_and_never_too_small(epsilon: float, mu: float) -> None:
    value, exact = gdp_log_delta(epsilon=epsilon, mu=mu), oracle.gdp_log_delta(epsilon=epsilon, mu=mu)
    # Where delta is 1 - tiny, one rounding of its logarithm is all that a double can say.
    assert above(value, exact) or abs(value - exact) < 1e-15


@settings(max_examples=150, deadline=None)
@given(log_delta=log_deltas, mu=mus)
def test_epsilon_of_gdp_is_the_smallest_that_reaches_delta(log_delta: float, mu: float) -> None:
    delta = math.exp(log_delta)
    epsilon = gdp_epsilon(delta=delta, mu=mu)
    with mp.workdps(60):
        assert oracle.gdp_log_delta(epsilon=epsilon, mu=mu) <= mp.log(delta)
        if epsilon > 0:
            # A billionth less would not do; where epsilon is tiny against mu, a double of delta fixes it less well.
            less = epsilon * (1 - mp.mpf(10) ** -10) - mp.mpf(10) ** -12 * mu
            assert less < 0 or oracle.gdp_log_delta(epsilon=less, mu=mu) > mp.log(delta)


@settings(max_examples=100, deadline=None)
@given(epsilon=epsilons, log_delta=log_deltas)
def test_mu_of_a_target_inverts_delta_from_below(epsilon: float, log_delta: float) -> None:
    delta = math.exp(log_delta)
    mu = gdp_mu(epsilon=epsilon, delta=delta)
    with mp.workdps(60):
        assert oracle.gdp_log_delta(epsilon=epsilon, mu=mu) <= mp.log(delta)
        assert oracle.gdp_log_delta(epsilon=epsilon, mu=mu * (1 + mp.mpf(10) ** -10)) > mp.log(delta)


def test_known_values_of_the_gaussian_mechanism() -> None:
    # Balle & Wang 2018: noise 3.730 for epsilon = 1, delta = 1e-5 and sensitivity 1 (their public calibration code).
    assert 1 / gdp_mu(epsilon=1.0, delta=1e-5) == pytest.approx(3.730631634, rel=1e-8)
    # Total variation of N(0,1) and N(mu,1) is 2 Phi(mu/2) - 1.
    assert gdp_delta(epsilon=0.0, mu=2.0) == pytest.approx(math.erf(1 / math.sqrt(2)), rel=1e-13)
    assert gdp_tradeoff(type_i=0.5, mu=1.0) == pytest.approx(0.5 * math.erfc(1 / math.sqrt(2)), rel=1e-12)


def test_tails_that_underflow_still_have_logarithms() -> None:
    assert gdp_log_delta(epsilon=1e4, mu=1e-12) == pytest.approx(-5e31, rel=1e-10)
    assert gdp_delta(epsilon=1e4, mu=1.0) == 5e-324
    assert gdp_delta(epsilon=1.0, mu=0.0) == 0.0
    assert gdp_log_delta(epsilon=0.0, mu=0.0) == -math.inf
    assert gdp_epsilon(delta=1e-300, mu=1e-299) > 0
    assert gdp_epsilon(delta=1e-300, mu=1e-300) == 0  # total variation is mu/sqrt(2 pi) < delta
    assert np.isfinite(gdp_epsilon(delta=1e-300, mu=1e150))


@settings(max_examples=60, deadline=None)
@given(weights=weights3, logs=st.tuples(*[st.floats(-6, 2)] * 3), epsilon=epsilons, log_delta=log_deltas)
def test_mixtures_average_delta(weights: list[float], logs: tuple[float, ...], epsilon: float, log_delta: float) -> None:
    mu = [10.0**x for x in logs]
    exact = oracle.mixture_log_delta(epsilon=epsilon, weights=weights, mus=mu)
    value = mixture_log_delta(epsilon=epsilon, weights=weights, mu=mu)
    # The oracle normalises the weights, whose floating-point sum may differ from one in the last digit.
    assert value - exact >= -1e-15
    assert value - exact <= 1e-10 * max(abs(exact), 1e-4)
    delta = math.exp(log_delta)
    proven = mixture_epsilon(delta=delta, weights=weights, mu=mu)
    reached = mixture_delta(epsilon=proven, weights=weights, mu=mu)
    assert reached <= delta or reached == 0
    if proven > 1e-6 * max(mu):
        less = oracle.mixture_log_delta(epsilon=proven * (1 - 1e-9), weights=weights, mus=mu)
        assert less > math.log(delta) - 1e-12


def test_a_mixture_of_one_is_the_single_curve_and_dropped_points_only_help() -> None:
    single = gdp_epsilon(delta=1e-5, mu=0.7)
    assert mixture_epsilon(delta=1e-5, weights=[1.0], mu=[0.7]) == single
    assert mixture_epsilon(delta=1e-5, weights=[0.5, 0.5], mu=[0.7, 0.7]) == pytest.approx(single, rel=1e-13)
    assert mixture_epsilon(delta=1e-5, weights=[0.5, 0.5], mu=[0.7, 0.0]) < single


@pytest.mark.parametrize("x", [0.0, 1e-12, 1e-3, 0.2, 0.5, 0.9, 1.0])
def test_tradeoff_of_a_mixture_is_the_best_attack(x: float) -> None:
    weights, mu = [0.5, 0.3, 0.2], [0.3, 1.0, 2.5]
    value = mixture_tradeoff(type_i=x, weights=weights, mu=mu)
    exact = oracle.mixture_tradeoff(type_i=x, weights=weights, mus=mu)
    assert value <= exact
    assert value == pytest.approx(float(exact), abs=1e-9)
    assert mixture_tradeoff(type_i=x, weights=[1.0], mu=[1.0]) == pytest.approx(gdp_tradeoff(type_i=x, mu=1.0), abs=1e-9)


@pytest.mark.parametrize("points", [80, pytest.param(300, marks=pytest.mark.slow)])
def test_tradeoff_of_gdp_is_never_above_the_truth(points: int) -> None:
    rng = np.random.default_rng(4)
    x, mu = np.exp(-rng.uniform(1e-3, 60, points)), 10 ** rng.uniform(-6, 1.2, points)
    for point, shift, value in zip(x, mu, gdp_tradeoff(type_i=x, mu=mu), strict=True):
        exact = oracle.gdp_tradeoff(type_i=float(point), mu=float(shift))
        assert exact * (1 - mp.mpf(10) ** -11) <= value <= exact or exact < 1e-300


def test_tradeoff_with_components_that_reveal_nothing() -> None:
    x = np.linspace(0, 1, 11)
    assert mixture_tradeoff(type_i=x, weights=[1.0], mu=[0.0]) == pytest.approx(1 - x)
    half = mixture_tradeoff(type_i=x, weights=[0.5, 0.5], mu=[1.0, 0.0])
    exact = [float(oracle.mixture_tradeoff(type_i=float(v), weights=[0.5, 0.5], mus=[1.0, 0])) for v in x]
    assert half == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("conversion", ["basic", "improved"])
@pytest.mark.parametrize("family", ["linear", "not-converged"])
@pytest.mark.parametrize("log10_rho", [-14, -6, -2, 0, 2])
def test_conversions_optimise_over_real_orders(family: str, conversion: str, log10_rho: float) -> None:
    weights, rho = [0.6, 0.4], [10.0**log10_rho, 3 * 10.0**log10_rho]
    chosen = {"weights": weights, "family": family, "conversion": conversion}
    for delta in (0.3, 1e-5, 1e-30):
        exact = oracle.rdp_epsilon(delta=delta, rhos=rho, **chosen)
        assert above(rdp_epsilon(delta=delta, rho=rho, **chosen), exact)
        epsilon = float(exact) or 1e-3
        log_delta = oracle.rdp_log_delta(epsilon=epsilon, rhos=rho, **chosen)
        if log_delta > -600:
            assert math.log(rdp_delta(epsilon=epsilon, rho=rho, **chosen)) == pytest.approx(float(log_delta), abs=1e-9)


def test_single_linear_curve_has_the_closed_form_of_zcdp() -> None:
    rho, delta = 0.01, 1e-6
    closed = rho + 2 * math.sqrt(rho * math.log(1 / delta))
    assert rdp_epsilon(delta=delta, weights=[1.0], rho=[rho]) == pytest.approx(closed, rel=1e-12)
    grid = np.linspace(1.1, 200, 20000)
    assert rdp_to_epsilon(alpha=grid, rdp=grid * rho, delta=delta).min() >= closed
    better = rdp_epsilon(delta=delta, weights=[1.0], rho=[rho], conversion="improved")
    exact = gdp_epsilon(delta=delta, mu=math.sqrt(2 * rho))
    assert exact < better < closed
    assert better <= rdp_to_epsilon(alpha=grid, rdp=grid * rho, delta=delta, conversion="improved").min()


@settings(max_examples=60, deadline=None)
@given(weights=weights3, logs=st.tuples(*[st.floats(-8, 1)] * 3), order=st.floats(-9, 4))
def test_rdp_of_mixtures(weights: list[float], logs: tuple[float, ...], order: float) -> None:
    mu = [10.0**x for x in logs]
    alpha = 1 + 10.0**order
    exact = oracle.mixture_rdp(alpha=alpha, weights=weights, mus=mu)
    value = mixture_rdp(alpha=alpha, weights=weights, rho=[m * m / 2 for m in mu])
    assert value == pytest.approx(float(exact), rel=1e-10)
    assert value >= exact * (1 - mp.mpf(10) ** -15)


def test_mixtures_with_tiny_or_no_weight_on_a_large_divergence() -> None:
    weights, rho = [1 - 2**-40, 2**-40], [1e-12, 10.0]
    for delta in (0.6, 0.1, 0.01, 1e-5, 1e-12):
        exact = oracle.rdp_epsilon(delta=delta, weights=weights, rhos=rho, family="linear", conversion="basic")
        assert above(rdp_epsilon(delta=delta, weights=weights, rho=rho), exact)
    sparse = {"weights": [1.0, 0.0], "rho": [1e-3, 1e3]}
    assert rdp_epsilon(delta=1e-5, **sparse) == rdp_epsilon(delta=1e-5, weights=[1.0], rho=[1e-3])
    assert rdp_delta(epsilon=1.0, **sparse) == rdp_delta(epsilon=1.0, weights=[1.0], rho=[1e-3])
    assert mixture_rdp(alpha=10, **sparse) == pytest.approx(0.01)
    weights = [0.9531180227768346, 6.399386620614678e-07, 1.482476363889873e-10, 0.04688133713625575]
    rho = [1.0384516167896816e-19, 2.6271397442653588e-17, 0.0, 2.6050803903536274e-24]
    exact = oracle.rdp_log_delta(epsilon=1.5064257730017379e-09, weights=weights, rhos=rho, family="linear", conversion="basic")
    assert math.log(rdp_delta(epsilon=1.5064257730017379e-09, weights=weights, rho=rho)) == pytest.approx(float(exact))


def test_extreme_orders_and_epsilons_give_an_answer_or_a_reason() -> None:
    assert mixture_rdp(alpha=1e150, weights=[0.5, 0.5], rho=[1e-300, 1e-299]) == pytest.approx(1e-149, rel=1e-9)
    with pytest.raises(InputError, match="exceeds the largest double"):
        mixture_rdp(alpha=1e150, weights=[1.0], rho=[1e299])
    with pytest.raises(InputError, match="alpha must be"):
        mixture_rdp(alpha=1e300, weights=[1.0], rho=[1e-290])
    assert rdp_delta(epsilon=1e300, weights=[0.5, 0.5], rho=[1.0, 2.0]) == 5e-324
    assert rdp_delta(epsilon=0.0, weights=[0.5, 0.5], rho=[1.0, 2.0]) == 1.0


def test_tradeoff_next_to_one_keeps_its_digits() -> None:
    weights, mu = [0.2, 0.3, 0.35, 0.15], [0.033, 0.058, 0.0239, 0.0]
    for gap in (1e-6, 1e-9, 2.0**-50, 2.0**-53):
        exact = oracle.mixture_tradeoff(type_i=1 - gap, weights=weights, mus=mu)
        value = mixture_tradeoff(type_i=1 - gap, weights=weights, mu=mu)
        assert value <= exact
        assert value == pytest.approx(float(exact), rel=1e-8)


def test_broadcasting_and_plain_floats() -> None:
    assert isinstance(gdp_delta(epsilon=1, mu=1), float)
    assert gdp_epsilon(delta=np.array([1e-5, 1e-6])[:, None], mu=[0.1, 1.0, 2.0]).shape == (2, 3)
    assert mixture_delta(epsilon=np.ones((4, 1)), weights=[0.5, 0.5], mu=np.ones((5, 2))).shape == (4, 5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: gdp_delta(epsilon=-1, mu=1), "epsilon must be"),
        (lambda: gdp_delta(epsilon=math.nan, mu=1), "epsilon must be"),
        (lambda: gdp_delta(epsilon=1, mu=math.inf), "mu must be"),
        (lambda: gdp_epsilon(delta=1.0, mu=1), "delta must be"),
        (lambda: gdp_epsilon(delta="x", mu=1), "delta must be"),
        (lambda: gdp_delta(epsilon=[1, 2], mu=[1, 2, 3]), "must broadcast together"),
        (lambda: gdp_tradeoff(type_i=[0.1, 0.2], mu=[1, 2, 3]), "must broadcast together"),
        (lambda: rdp_to_epsilon(alpha=[2, 3], rdp=[1, 1, 1], delta=0.1), "must broadcast together"),
        (lambda: mixture_delta(epsilon=1, weights=[0.5, 0.4], mu=[1, 2]), "weights must sum to 1"),
        (lambda: mixture_delta(epsilon=1, weights=[0.5, 0.5], mu=[1, 2, 3]), "weights must have shape"),
        (lambda: mixture_rdp(alpha=1.0, weights=[1.0], rho=[1.0]), "alpha must be"),
        (lambda: rdp_epsilon(delta=0.1, weights=[1.0], rho=[1.0], conversion="best"), "conversion must be one of"),
        (lambda: gdp_tradeoff(type_i=1.5, mu=1), "type_i must be"),
    ],
)
def test_bad_input_names_argument_and_range(call: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()  # type: ignore[operator]
