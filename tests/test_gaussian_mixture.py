"""A Gaussian mixture against a Gaussian: in doubles, to many digits and enclosed; its guarantee and its composition."""

from __future__ import annotations

import json
import math
import pickle
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf
from oracle_gaussian_mixture import pair_delta

from accountant import (
    Guarantee,
    InputError,
    gdp_delta,
    gdp_epsilon,
    gdp_mu,
    gdp_tradeoff,
    mixture_delta,
    mixture_pair_delta,
    mixture_pair_epsilon,
    mixture_pair_log_delta,
    mixture_pair_scale,
    mixture_pair_tradeoff,
)
from accountant.curves import AddedCurve, CheapestCurve, GaussianMixtureCurve, Mixture, PrivacyCurve, RedrawnCurve
from accountant.curves.gaussian_mixture import pair_epsilon, pair_log_scale, pair_tail
from accountant.curves.pair_core import BACKWARD, FORWARD
from accountant.curves.pair_moments import pair_rdp
from accountant.numerics import settle

KIND = "gaussian-mixture"
HALVES = np.array([0.5, 0.5])


def random_mixture(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Weights, mu and epsilon: mu over up to 18 orders of magnitude and zero, weights down to 1e-300, epsilon from 0 to 1e4."""
    while True:
        count, span = int(rng.integers(1, 6)), rng.choice([0.5, 2, 6, 9])
        mu = 10 ** rng.uniform(-span, min(span, 1.2) if rng.random() < 0.8 else 3, count)
        if rng.random() < 0.25:
            mu[rng.integers(count)] = 0
        weights = 10 ** -rng.uniform(0, rng.choice([1, 12, 12, 300]), count)
        weights /= weights.sum()
        epsilon = float(rng.choice([0, 10 ** rng.uniform(-9, 2), 10 ** rng.uniform(-2, 1), 10 ** rng.uniform(0, 4)]))
        some = weights > 0
        if mu[some].any():
            return weights[some], mu[some], epsilon


def check_random_mixtures(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        weights, mu, epsilon = random_mixture(rng)
        for direction, truth in zip((FORWARD, BACKWARD), pair_delta(epsilon, weights.tolist(), mu.tolist()), strict=True):
            found = float(pair_tail(np.array([epsilon]), np.log(weights), mu[None], direction=direction).log_delta[0])
            if truth <= 0:
                assert found < -1e3
                continue
            log_delta = mp.log(truth)
            case = direction, epsilon, weights.tolist(), mu.tolist()
            assert found >= log_delta, case
            assert found - log_delta <= 1e-10 * max(1, abs(log_delta)), case


def check_inverses(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        weights, mu, epsilon = random_mixture(rng)
        log_weights = np.log(weights)
        log_delta = float(rng.choice([-rng.uniform(0.001, 10), -rng.uniform(1, 100), -(10 ** rng.uniform(0, 2.8))]))
        case = epsilon, log_delta, weights.tolist(), mu.tolist()
        found = float(pair_epsilon(np.array([log_delta]), log_weights, mu[None])[0])
        assert mp.log(max(*pair_delta(found, weights.tolist(), mu.tolist()), mpf(10) ** -5000)) <= log_delta, case
        if found > 0:
            assert mp.log(max(pair_delta(found * (1 - 1e-9), weights.tolist(), mu.tolist()))) > log_delta, case
        with np.errstate(divide="ignore"):
            shape = np.log(mu / mu.max())
        scale = float(pair_log_scale(np.array([epsilon]), np.array([log_delta]), log_weights, shape[None])[0])
        inside = np.exp(shape + scale) * (1 - 1e-15 * (4 + abs(scale)))
        assert mp.log(max(*pair_delta(epsilon, weights.tolist(), inside.tolist()), mpf(10) ** -5000)) <= log_delta, case
        if scale < 345:
            beyond = np.exp(shape + scale) * (1 + 1e-9)
            assert mp.log(max(pair_delta(epsilon, weights.tolist(), beyond.tolist()))) > log_delta, case


def test_never_under_the_truth_and_close_to_it() -> None:
    check_random_mixtures(16, 150)


def test_inverses_are_on_the_safe_side_and_close() -> None:
    check_inverses(17, 40)


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=pytest.mark.slow if seed < 2 else pytest.mark.campaign) for seed in range(10)]
)
def test_never_under_the_truth_in_2000_mixtures(seed: int) -> None:
    check_random_mixtures(100 + seed, 200)


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=pytest.mark.slow if seed < 1 else pytest.mark.campaign) for seed in range(4)]
)
def test_inverses_of_many_mixtures(seed: int) -> None:
    check_inverses(200 + seed, 100)


def test_values_of_the_theory() -> None:
    forward, backward = (
        math.exp(pair_tail(np.array([1.0]), np.log(HALVES), np.array([[2.0, 0.5]]), direction=way).log_delta[0])
        for way in (FORWARD, BACKWARD)
    )
    assert forward == pytest.approx(0.246666620751097, abs=1e-14)
    assert backward == pytest.approx(0.084463818907154, abs=1e-14)
    assert mixture_pair_delta(epsilon=1.0, weights=[0.5, 0.5], mu=[2.0, 0.5]) == pytest.approx(0.246666620751097, abs=1e-14)
    assert mixture_delta(epsilon=1.0, weights=[0.5, 0.5], mu=[2.0, 0.5]) == pytest.approx(0.258345627518890, abs=1e-14)


#: b, epsilon, sigma for remove, sigma for replace: the table of the theory, to the digits that it prints; its 0.02996025794 is
#: 0.0299602579481..., cut off.
TABLE = [
    (512, 0.05, "0.01430485033", "0.02996025795"),
    (512, 1, "0.001045397442", "0.002212050086"),
    (512, 5, "0.0002873058778", "0.00057811614"),
    (128, 0.05, "0.0007984800218", "0.00238601708"),
    (128, 1, "0.0000784526706744", "0.000201764404"),
    (128, 5, "3.081574893e-5", "5.88633927e-5"),
    (32, 1, "1.578941048e-9", "4.85494339e-9"),
]


@pytest.mark.parametrize(("size", "epsilon", "remove", "replace"), TABLE)
def test_the_table_of_the_theory(size: int, epsilon: float, remove: str, replace: str) -> None:
    n, decay = 11264, 1e-6 * 11264
    step = 1 / (0.25 + decay)
    count, kept = n // size, 1 - step * decay
    # mu_j at sigma = 1: h c^(J-1-j)/(1 - c^J) c^N sqrt(1 - c^2)/sqrt(2 eta), N = J.
    log_c = math.log1p(-step * decay)
    scales = math.log(step / size) + np.arange(count)[::-1] * log_c - math.log1p(-(kept**count)) + count * log_c
    scales = scales + 0.5 * math.log1p(-(kept**2)) - 0.5 * math.log(2 * step)
    top, even = scales.max(), np.full(count, -math.log(count))
    given = np.array([float(epsilon)]), np.log(np.array([1 / n]))
    for outside, printed in ((0, remove), (count, replace)):
        weights = np.concatenate([even, even]) if outside else even
        shape = np.concatenate([scales, scales]) if outside else scales
        found = math.exp(top - pair_log_scale(*given, weights, (shape - top)[None], outside)[0])
        # Half a unit of the last digit, and the rounding of the closed form in doubles.
        unit = float(Fraction(10) ** int(Decimal(printed).as_tuple().exponent))
        assert found == pytest.approx(float(printed), abs=0.5 * unit, rel=1e-12)


def test_one_component_is_gdp() -> None:
    epsilon = np.array([0, 1e-9, 1e-3, 0.5, 3.0, 40.0, 1e4])[:, None]
    mu = np.array([1e-12, 1e-3, 0.3, 1.0, 7.0, 300.0])
    pair = np.asarray(mixture_pair_log_delta(epsilon=epsilon, weights=[1.0], mu=mu[:, None]))
    single = np.log(np.maximum(gdp_delta(epsilon=epsilon, mu=mu), 1e-320))
    usual = single > -700
    np.testing.assert_allclose(pair[usual], single[usual], rtol=1e-10, atol=1e-10)
    assert mixture_pair_epsilon(delta=1e-5, weights=[1.0], mu=[0.7]) == pytest.approx(
        gdp_epsilon(delta=1e-5, mu=0.7), rel=1e-12
    )
    assert mixture_pair_scale(epsilon=1.0, delta=1e-5, weights=[1.0], mu=[2.0]) == pytest.approx(
        gdp_mu(epsilon=1.0, delta=1e-5) / 2, rel=1e-12
    )
    np.testing.assert_allclose(
        mixture_pair_tradeoff(type_i=[0.0, 1e-6, 0.05, 0.5, 1.0], weights=[0.5, 0.5], mu=[0.7, 0.7]),
        gdp_tradeoff(type_i=[0.0, 1e-6, 0.05, 0.5, 1.0], mu=0.7),
        rtol=1e-11,
    )


def test_where_nothing_moves_nothing_is_told() -> None:
    assert mixture_pair_delta(epsilon=0.0, weights=[0.5, 0.5], mu=[0.0, 0.0]) == 0
    assert mixture_pair_epsilon(delta=1e-5, weights=[0.5, 0.5], mu=[0.0, 0.0]) == 0
    assert mixture_pair_log_delta(epsilon=3.0, weights=[1.0], mu=[0.0]) == -math.inf
    np.testing.assert_allclose(mixture_pair_tradeoff(type_i=[0.2, 1.0], weights=[1.0], mu=[0.0]), [0.8, 0.0], rtol=1e-13)


def test_a_loss_that_never_reaches_minus_epsilon() -> None:
    """With a mass of one half that stays, R from P is zero from log 2 on, and P from R is not."""
    below, above = (
        pair_tail(np.array([epsilon]), np.log(HALVES), np.array([[0.0, 3.0]]), direction=BACKWARD).log_delta[0]
        for epsilon in (0.69, 0.7)
    )
    assert below > -1e9
    assert above == -math.inf
    assert mixture_pair_delta(epsilon=0.7, weights=HALVES, mu=[0.0, 3.0]) > 0.2


@pytest.mark.parametrize("mu", [1e-150, 1e-12, 1e-6, 1.0, 1e6, 1e100, 1e150])
def test_monotone_in_epsilon_and_in_mu_at_every_size(mu: float) -> None:
    epsilon = np.append(0.0, np.geomspace(1e-12, 1e6, 60))
    found = np.asarray(mixture_pair_log_delta(epsilon=epsilon, weights=[0.3, 0.7], mu=[mu, 0.5]))
    assert (np.diff(found) <= 1e-12 * np.maximum(1, np.abs(found[1:]))).all()
    assert not np.isnan(found).any()
    more = np.asarray(mixture_pair_log_delta(epsilon=epsilon, weights=[0.3, 0.7], mu=[mu, 0.6]))
    assert (more >= found - 1e-12 * np.maximum(1, np.abs(found))).all()


def test_rows_do_not_depend_on_one_another() -> None:
    rng = np.random.default_rng(3)
    mu, epsilon = 10 ** rng.uniform(-6, 1, (50, 30)), 10 ** rng.uniform(-3, 2, 50)
    weights = rng.dirichlet(np.ones(30))
    every = np.asarray(mixture_pair_log_delta(epsilon=epsilon, weights=weights, mu=mu))
    each = [mixture_pair_log_delta(epsilon=e, weights=weights, mu=m) for e, m in zip(epsilon, mu, strict=True)]
    np.testing.assert_array_equal(every, each)


def test_a_stand_in_is_averaged_outside() -> None:
    weights, mu, others, moves = [0.3, 0.7], [1.0, 0.2], [0.6, 0.4], [0.5, 0.1]
    rows = [pair_delta(0.8, weights, [m + move for m in mu]) for move in moves]
    truth = max(sum(mpf(w) * row[way] for w, row in zip(others, rows, strict=True)) for way in (0, 1))
    found = mixture_pair_delta(epsilon=0.8, weights=weights, mu=mu, stand_in=(others, moves))
    assert truth <= found <= truth * (1 + mpf(10) ** -12)
    epsilon = mixture_pair_epsilon(delta=1e-6, weights=weights, mu=mu, stand_in=(others, moves))
    assert mixture_pair_delta(epsilon=epsilon, weights=weights, mu=mu, stand_in=(others, moves)) == pytest.approx(
        1e-6, rel=1e-9
    )
    scale = mixture_pair_scale(epsilon=0.8, delta=1e-6, weights=weights, mu=mu, stand_in=(others, moves))
    scaled = mixture_pair_delta(
        epsilon=0.8, weights=weights, mu=np.array(mu) * scale, stand_in=(others, np.array(moves) * scale)
    )
    assert 1e-6 * (1 - 1e-9) < scaled <= 1e-6


def test_many_components_are_pooled_upwards() -> None:
    """Beyond a few hundred of each kind classes are rounded up: never less than the truth, and near it."""
    positions = np.geomspace(0.01, 1.5, 520)
    even = np.full(520, 1 / 520)
    pooled = mixture_pair_log_delta(epsilon=1.0, weights=even, mu=positions, stand_in=(even, positions))
    log_even = np.log(even)
    rows = pair_tail(np.full(520, 1.0), log_even, positions + positions[:, None], direction=FORWARD).log_delta
    exact = np.log(np.mean(np.exp(rows)))
    assert exact <= pooled + 1e-12
    assert pooled <= exact + 0.02


def test_a_law_of_thousands_is_fast_enough_to_use() -> None:
    count = 31_250
    mu = np.geomspace(1e-6, 1.2, count)
    found = mixture_pair_scale(epsilon=1.0, delta=1e-6, weights=np.full(count, 1 / count), mu=mu)
    assert mixture_pair_delta(epsilon=1.0, weights=np.full(count, 1 / count), mu=mu * found) == pytest.approx(1e-6, rel=1e-9)


@pytest.mark.parametrize("name", ["mp", "interval"])
@pytest.mark.parametrize("outside", [0, 2])
def test_digits(name: str, outside: int) -> None:
    if name == "interval":
        pytest.importorskip("flint")
    weights = [Fraction(1, 3), Fraction(2, 3)] * (2 if outside else 1)
    mu = [Fraction(2), Fraction(0), Fraction(1, 5), Fraction(1, 10)][: 4 if outside else 2]
    curve = GaussianMixtureCurve(outside)
    doubles = np.log(np.array(weights, dtype=float)), np.array([mu], dtype=float)

    def found(unknown: str, curve: Any, start: float, **question: Fraction) -> Any:
        def evaluate(ar: Any, bits: int) -> Any:
            mixture = Mixture(ar.log(ar.asarray(weights)), ar.log(ar.asarray(mu))[None], curve)
            return PrivacyCurve(mixture, ar, bits).answer(unknown, {k: ar.asarray(v)[()] for k, v in question.items()}, start)

        return settle(evaluate, 25, name)

    one, level = Fraction(1), Fraction(1, 10**5)
    delta = float(found("delta", curve, 0.2, epsilon=one, sigma=one).upper)
    assert delta == pytest.approx(math.exp(pair_tail(np.array([1.0]), *doubles, outside).log_delta[0]), rel=1e-13)
    epsilon = float(found("epsilon", curve, 6.0, delta=level, sigma=one).upper)
    assert epsilon == pytest.approx(pair_epsilon(np.log([1e-5]), *doubles, outside)[0], rel=1e-13)
    sigma = float(found("sigma", curve, 6.0, delta=level, epsilon=one).upper)
    with np.errstate(divide="ignore"):
        shape = np.log(doubles[1] / 2)
    scale = pair_log_scale(np.array([1.0]), np.log([1e-5]), doubles[0], shape, outside)[0]
    assert sigma == pytest.approx(2 / math.exp(scale), rel=1e-13)
    # What large batches cost is paid here, too.
    added = AddedCurve(curve, math.log(1e-6))
    redrawn = RedrawnCurve(curve, math.log(1e-13))
    log_mu = np.log(np.maximum(doubles[1], 1e-300))
    for paying in (added, redrawn, CheapestCurve((added, redrawn))):
        expected = math.exp(paying.log_delta(np.array([1.0]), doubles[0], log_mu)[0])
        assert float(found("delta", paying, 0.2, epsilon=one, sigma=one).upper) == pytest.approx(expected, rel=1e-11)
        expected = paying.epsilon(np.log([1e-5]), doubles[0], log_mu)[0]
        assert float(found("epsilon", paying, 6.0, delta=level, sigma=one).upper) == pytest.approx(expected, rel=1e-11)


def test_the_enclosure_contains_the_oracle() -> None:
    pytest.importorskip("flint")
    weights, mu = [0.25, 0.5, 0.25], [1e-3, 0.75, 4.0]

    def evaluate(ar: Any, bits: int) -> Any:
        mixture = Mixture(ar.log(ar.asarray(weights)), ar.log(ar.asarray(mu))[None], GaussianMixtureCurve())
        question = {"epsilon": ar.asarray(2.5)[()], "sigma": ar.asarray(1)[()]}
        return PrivacyCurve(mixture, ar, bits).answer("delta", question, 0.1)

    enclosure = settle(evaluate, 50, "interval")
    with mp.workdps(70):
        truth = max(pair_delta(2.5, weights, mu))
        low, high = (mpf(end.numerator) / end.denominator for end in (enclosure.lower, enclosure.upper))
        assert low <= truth <= high
        assert high - low < mpf(10) ** -49


def test_renyi_divergences_are_bounded_closely() -> None:
    rng = np.random.default_rng(5)
    with mp.workdps(30):
        for _ in range(8):
            count = int(rng.integers(1, 4))
            mu, weights = 10 ** rng.uniform(-2, 0.6, count), 10 ** -rng.uniform(0, 4, count)
            weights /= weights.sum()
            alpha = float(1 + 10 ** rng.uniform(-1, 1.2))
            parts = [(mpf(float(w)) / mpf(float(weights.sum())), mpf(float(m))) for w, m in zip(weights, mu, strict=True)]
            ends = sorted(
                {-40.0, 0.0, 40.0, *(p * float(m) + s for p in (alpha, 1 - alpha) for m in mu for s in (-12, -4, 0, 4, 12))}
            )
            truth = max(
                mp.log(
                    mp.quad(
                        lambda x, p=p, parts=parts: mp.npdf(x) * mp.fsum(w * mp.exp(m * x - m * m / 2) for w, m in parts) ** p,
                        ends,
                    )
                )
                for p in (mpf(alpha), 1 - mpf(alpha))
            ) / (mpf(alpha) - 1)
            found = float(pair_rdp(np.array([alpha]), np.log(weights), mu[None])[0])
            assert truth <= found <= truth * (1 + mpf(10) ** -4)


def test_the_trade_off_function_is_that_of_both_tests() -> None:
    from scipy.special import ndtr

    weights, mu = np.array([0.9, 0.1]), np.array([0.1, 2.5])
    x = np.linspace(0, 1, 201)
    below = np.asarray(mixture_pair_tradeoff(type_i=x, weights=weights, mu=mu))
    cuts = np.linspace(-10, 14, 4001)
    first, second = ndtr(-cuts), (weights * ndtr(cuts[:, None] - mu)).sum(axis=1)
    for type_i, type_ii in ((first, second), (second, first)):
        assert (np.asarray(mixture_pair_tradeoff(type_i=type_i, weights=weights, mu=mu)) <= type_ii + 1e-15).all()
    assert (np.diff(below, 2) >= -1e-12).all()
    # It is its own inverse, and the curve of deltas is what its lines say.
    inside = below[(below > 0) & (below < 1)]
    np.testing.assert_allclose(
        mixture_pair_tradeoff(type_i=inside, weights=weights, mu=mu), x[(below > 0) & (below < 1)], atol=1e-9
    )
    for epsilon in (0.0, 0.5, 2.0):
        fine = np.geomspace(1e-9, 0.9, 4000)
        lines = 1 - math.exp(epsilon) * fine - np.asarray(mixture_pair_tradeoff(type_i=fine, weights=weights, mu=mu))
        assert lines.max() == pytest.approx(mixture_pair_delta(epsilon=epsilon, weights=weights, mu=mu), abs=1e-5)


FOUR = {"weights": [0.01, 0.99], "values": [2.0, 0.0]}


def test_releases_under_one_key_mix_last() -> None:
    """Four releases of w = (.01, .99), mu = (2, 0) at epsilon = 1: 0.00675, not the 0.00111 of independent draws."""
    one = Guarantee(KIND, **FOUR)
    assert one.self_compose(4, shared_key=True).delta(1.0) == pytest.approx(0.00675, abs=5e-6)
    twice = one.compose(one, shared_key=True)
    assert twice.compose(twice, shared_key=True).delta(1.0) == pytest.approx(
        max(map(float, pair_delta(1.0, [0.01, 0.99], [4, 0]))), rel=1e-9
    )
    apart = one.self_compose(4, shared_key=False)
    assert 0.00111 < apart.delta(1.0) < 0.00675
    for unsaid in (lambda: one.compose(one), lambda: one.self_compose(4)):
        with pytest.raises(InputError, match="shared_key must be True or False"):
            unsaid()


def test_keys_that_contexts_name_decide() -> None:
    named = [Guarantee(KIND, **FOUR, context={"key": key}) for key in ("a", "a", "b")]
    assert named[0].compose(named[1]).delta(1.0) == named[0].compose(named[1], shared_key=True).delta(1.0)
    assert named[0].compose(named[2]).delta(1.0) == named[0].compose(named[2], shared_key=False).delta(1.0)
    with pytest.raises(InputError, match="shared_key must be True for runs under one key"):
        named[0].compose(named[1], shared_key=False)
    with pytest.raises(InputError, match="shared_key must be False for runs under keys of their own"):
        named[0].compose(named[2], shared_key=True)


def test_what_one_key_cannot_compose_is_refused() -> None:
    one = Guarantee(KIND, **FOUR)
    others: list[tuple[Guarantee, str]] = [
        (Guarantee(KIND, [0.5, 0.5], [2.0, 0.0]), "same batches"),
        (Guarantee(KIND, [0.2, 0.3, 0.5], [2.0, 1.0, 0.0]), "same batches"),
        (one.self_compose(2, shared_key=False), "composition of independent"),
        (Guarantee(KIND, **FOUR, stand_in=([1.0], [0.1])), "stand-in"),
        (Guarantee(KIND, **FOUR, redrawn=1e-9), "redrawn must be 0"),
        (Guarantee(KIND, **FOUR, context={"problem": {"adjacency": "remove"}, "group_size": 2}), "sums over several draws"),
        (
            Guarantee(KIND, **FOUR, context={"problem": {"adjacency": "remove"}, "algorithm": {"assignment": "fresh"}}),
            "sums over",
        ),
    ]
    for other, reason in others:
        with pytest.raises(InputError, match=reason):
            one.compose(other, shared_key=True)
    with pytest.raises(InputError, match="shared_key must be left out"):
        one.compose(Guarantee("gdp", [1.0], [1.0]), shared_key=True)


def test_independent_keys_are_bounded_from_above() -> None:
    """Against the exact pair in two dimensions, by integration over the second one."""
    one, two = Guarantee(KIND, [0.3, 0.7], [1.5, 0.2]), Guarantee(KIND, [0.5, 0.5], [1.0, 0.0])
    grid = np.linspace(-9, 11, 4001)
    step = grid[1] - grid[0]
    densities = [
        (np.array(g.weights) * np.exp(-((grid[:, None] - g.values) ** 2) / 2)).sum(axis=1) / math.sqrt(2 * math.pi)
        for g in (one, two)
    ]
    plain = np.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi)
    for epsilon in (0.3, 1.0, 2.0):
        joint = np.outer(*densities) - math.exp(epsilon) * np.outer(plain, plain)
        exact = np.maximum(joint, 0).sum() * step**2
        bound = one.compose(two, shared_key=False).delta(epsilon)
        outside = Guarantee("gdp", one.weights, one.values).compose(Guarantee("gdp", two.weights, two.values)).delta(epsilon)
        assert exact <= bound <= outside
    # Many outcomes go on a grid that is rounded up.
    wide = Guarantee(KIND, np.full(200, 1 / 200), np.geomspace(1e-3, 1.0, 200))
    listed = wide.compose(Guarantee(KIND, [1.0], [0.5]), shared_key=False)
    assert listed.compose(wide, shared_key=False).delta(1.0) >= listed.delta(1.0)


def test_beside_another_kind_the_average_is_taken_outside() -> None:
    pair, sure = Guarantee(KIND, [0.5, 0.5], [1.0, 0.0], added=1e-7), Guarantee("gdp", [1.0], [0.5])
    both = pair.compose(sure)
    assert both.kind == "gdp"
    assert both.added == pytest.approx(1e-7)
    expected = mixture_delta(epsilon=1.0, weights=[0.5, 0.5], mu=[math.hypot(1.0, 0.5), 0.5]) + 1e-7
    assert both.delta(1.0) == pytest.approx(expected, rel=1e-9)
    with pytest.raises(InputError, match="no Rényi divergence"):
        pair.compose(Guarantee("linear", [1.0], [0.1], conversion="basic"))


def test_what_large_batches_cost_is_in_every_view() -> None:
    plain = Guarantee(KIND, [0.5, 0.5], [1.0, 0.0])
    added, redrawn = (Guarantee(KIND, [0.5, 0.5], [1.0, 0.0], **cost) for cost in ({"added": 1e-6}, {"redrawn": 1e-7}))
    assert added.delta(1.0) == pytest.approx(plain.delta(1.0) + 1e-6, rel=1e-12)
    p = 1e-7
    expected = (plain.delta(1 + math.log1p(-p)) + math.exp(1 + math.log1p(-p)) * p) / (1 - p)
    assert redrawn.delta(1.0) == pytest.approx(expected, rel=1e-11)
    for one in (added, redrawn):
        assert one.epsilon(1e-8) == math.inf
        assert one.delta(float(one.epsilon(1e-4))) == pytest.approx(1e-4, rel=1e-6)
        assert one.mu_worst is None
        x = np.array([1e-4, 0.01, 0.3, 0.9])
        assert (np.asarray(one.tradeoff(x)) < np.asarray(plain.tradeoff(x))).all()
        assert (np.asarray(one.tradeoff(x)) > np.asarray(plain.tradeoff(x)) - 1e-4).all()
        assert one.pld(interval=1e-2).delta(1.0) >= one.delta(1.0) * (1 - 1e-12)
        with pytest.raises(InputError, match="no Rényi divergence"):
            one.rdp(2.0)
        with pytest.raises(InputError, match="smallest_delta"):
            one.gdp(1e-9)
    assert plain.mu_worst == 1.0
    assert plain.gdp(1e-5) < 1.0
    assert plain.pld(interval=1e-3).delta(1.0) == pytest.approx(plain.delta(1.0), rel=1e-4)
    assert Guarantee("gdp", [1.0], [0.5], added=1e-6).delta(1.0) == pytest.approx(
        gdp_delta(epsilon=1.0, mu=0.5) + 1e-6, rel=1e-12
    )


@pytest.mark.parametrize(
    "beside",
    [
        {},
        {"added": 1e-6},
        {"redrawn": 1e-7},
        {"stand_in": ([0.5, 0.5], [0.2, 0.1])},
        {"stand_in": ([1.0], [0.2]), "added": 0.1},
    ],
)
def test_guarantees_come_back_from_json_bit_for_bit(beside: dict[str, Any]) -> None:
    one = Guarantee(KIND, [0.5, 0.5], [1.0, 0.0], statement="A statement.", context={"key": "a"}, **beside)
    for same in (Guarantee.from_json(one.to_json()), pickle.loads(pickle.dumps(one))):
        assert same == one
        assert hash(same) == hash(one)
        assert same.to_json() == one.to_json()
    assert "Gaussian mixture, 2 components" in str(one)
    assert set(json.loads(one.to_json())) >= set(beside)
    # Old kinds are written as they always were.
    assert not {"added", "redrawn", "stand_in"} & set(json.loads(Guarantee("gdp", [1.0], [1.0]).to_json()))


@pytest.mark.parametrize(
    ("kind", "beside"),
    [
        ("gdp", {"stand_in": ([1.0], [1.0])}),
        (KIND, {"stand_in": ([0.5], [1.0])}),
        (KIND, {"stand_in": 3}),
        (KIND, {"added": 2.0}),
        (KIND, {"added": 0.1, "redrawn": 0.1}),
        ("linear", {"added": 0.1, "conversion": "basic"}),
    ],
)
def test_what_makes_no_sense_is_refused(kind: str, beside: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Guarantee(kind, [1.0], [1.0], **beside)


@pytest.mark.integration
def test_dp_accounting_agrees() -> None:
    """Its mixture of Gaussians, composed once, on a grid that is pessimistic in both directions."""
    pld = pytest.importorskip("dp_accounting.pld.privacy_loss_distribution")
    theirs = pld.from_mixture_gaussian_mechanism(1.0, [2.0, 0.5], [0.5, 0.5], value_discretization_interval=1e-3)
    ours = Guarantee(KIND, [0.5, 0.5], [2.0, 0.5])
    for epsilon in (0.0, 0.5, 1.0, 3.0):
        assert ours.delta(epsilon) == pytest.approx(theirs.get_delta_for_epsilon(epsilon), rel=2e-3)
