"""Composition of guarantees: against every combination of labels at 30 digits, and never below it."""

import itertools
import math
import re
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from accountant import PNSGD, Guarantee, InputError, UnlearningAccountant, preset
from accountant.curves import composition

#: Probabilities that sum to one in doubles, and mu.
SMALL = Guarantee("gdp", np.array([0.5, 0.25, 0.25]), np.array([0.1, 0.4, 1.3]))
OTHER = Guarantee("gdp", np.array([0.75, 0.25]), np.array([0.2, 0.9]))


def true_epsilon(parts: list[Guarantee], delta: float) -> float:
    """Smallest epsilon of all combinations of the parts' labels, by bisection at 30 digits; less than 1e-13 below it."""
    with mpmath.workdps(30):
        outcomes: dict[Any, Any] = {}
        for labels in itertools.product(*(range(part.values.size) for part in parts)):
            weight = mpmath.fprod(mpmath.mpf(float(part.weights[j])) for part, j in zip(parts, labels, strict=True))
            square = mpmath.fsum(mpmath.mpf(float(part.values[j])) ** 2 for part, j in zip(parts, labels, strict=True))
            outcomes[square] = outcomes.get(square, 0) + weight

        def log_delta(epsilon: Any) -> Any:
            total = mpmath.mpf(0)
            for square, weight in outcomes.items():
                mu = mpmath.sqrt(square)
                stick = mpmath.ncdf(-epsilon / mu + mu / 2) - mpmath.exp(epsilon) * mpmath.ncdf(-epsilon / mu - mu / 2)
                total += weight * stick
            return total

        low, high = mpmath.mpf(0), mpmath.mpf(64)
        if log_delta(low) <= delta:
            return 0.0
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if log_delta(middle) > delta else (low, middle)
        return float(low)


DELTAS = (0.1, 1e-3, 1e-6, 1e-12)


def close_above(found: Guarantee, parts: list[Guarantee], slack: float) -> None:
    for delta in DELTAS:
        truth = true_epsilon(parts, delta)
        epsilon = float(found.epsilon(delta))
        assert truth <= epsilon <= truth + slack, delta


@pytest.mark.parametrize("count", [2, 3, 5])
def test_powers_of_a_mixture_are_all_combinations_of_labels(count: int) -> None:
    close_above(SMALL.self_compose(count), [SMALL] * count, 1e-9)


def test_pairs_of_mixtures_are_all_combinations_of_labels() -> None:
    close_above(SMALL.compose(OTHER), [SMALL, OTHER], 1e-9)
    close_above(SMALL.compose(OTHER).compose(SMALL), [SMALL, OTHER, SMALL], 1e-9)


@pytest.mark.parametrize("count", [2, 3, 6])
def test_the_grid_is_on_the_safe_side_and_close(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composition, "LISTED", 0)
    close_above(SMALL.self_compose(count), [SMALL] * count, 1e-6)
    close_above(SMALL.compose(OTHER), [SMALL, OTHER], 1e-6)


@settings(max_examples=10, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(
    st.lists(st.floats(1e-3, 3.0), min_size=2, max_size=3),
    st.lists(st.floats(0.01, 1.0), min_size=4, max_size=4),
    st.integers(2, 3),
)
def test_random_mixtures_on_the_grid_are_never_below_the_truth(mus: list[float], shares: list[float], count: int) -> None:
    weights = np.array(shares[: len(mus)])
    part = Guarantee("gdp", weights / weights.sum(), np.array(mus))
    law = composition.rounded_law(part.values**2 / part.values.max() ** 2, part.weights, 1 / composition._GRID).power(count)
    top = float(part.values.max()) ** 2
    w, x = composition._raised(law, top, top * count)
    found = Guarantee("gdp", w, np.sqrt(x))
    for delta in (1e-2, 1e-6):
        truth = true_epsilon([part] * count, delta)
        assert truth <= float(found.epsilon(delta)) <= truth + 1e-6 * max(1.0, truth)


def test_a_coarse_grid_without_the_raise_would_be_unsafe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The correction is what keeps it safe: on a grid of eight points its lack shows at epsilon = 0."""
    truth = float(SMALL.self_compose(2).delta(0.0))
    monkeypatch.setattr(composition, "LISTED", 0)
    monkeypatch.setattr(composition, "_GRID", 8)
    assert float(SMALL.self_compose(2).delta(0.0)) >= truth
    monkeypatch.setattr(composition, "squares_raised_by", lambda outcomes, law, unit: 0.0)
    assert float(SMALL.self_compose(2).delta(0.0)) < truth * (1 - 1e-3)


@pytest.mark.parametrize("count", [1, 7, 10**6])
def test_single_mu_composes_exactly(count: int) -> None:
    one = Guarantee("gdp", np.ones(1), np.array([0.003]))
    assert one.self_compose(count).mu_worst == pytest.approx(0.003 * math.sqrt(count), rel=1e-10)
    assert one.self_compose(count).mu_worst >= 0.003 * math.sqrt(count) * (1 - 1e-15)  # type: ignore[operator]
    assert one.compose(Guarantee("gdp", np.ones(1), np.array([0.004]))).mu_worst == pytest.approx(0.005, rel=1e-10)


def test_many_batches_compose_many_times() -> None:
    guarantee = UnlearningAccountant(PNSGD(preset("mnist"), 128)).guarantee(sigma=0.0005, epochs=1)
    before = float(guarantee.epsilon(1e-5))
    for count in (2, 3, 10, 1000, 10**6):
        made = guarantee.self_compose(count)
        assert float(made.epsilon(1e-5)) > before
        before = float(made.epsilon(1e-5))
        assert made.mu_worst == pytest.approx(guarantee.mu_worst * math.sqrt(count), rel=1e-6)  # type: ignore[operator]
        assert np.isfinite(made.epsilon(1e-300))
        # Never more than if every label were the worst one.
        assert before <= float(Guarantee("gdp", np.ones(1), np.array([made.mu_worst])).epsilon(1e-5))


def test_doubling_the_grid_changes_less_than_what_is_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    guarantee = UnlearningAccountant(PNSGD(preset("mnist"), 128)).guarantee(sigma=0.0005, epochs=1)
    for count in (3, 50, 2000):
        coarse = np.asarray(guarantee.self_compose(count).epsilon(DELTAS))
        with monkeypatch.context() as patch:
            patch.setattr(composition, "_GRID", 2 * composition._GRID)
            fine = np.asarray(guarantee.self_compose(count).epsilon(DELTAS))
        assert np.all(np.abs(coarse - fine) < 5e-7)


@pytest.mark.parametrize("kind", ["linear", "not-converged"])
def test_renyi_curves_add_up(kind: str) -> None:
    one = Guarantee(kind, np.array([0.5, 0.5]), np.array([0.1, 0.3]), conversion="basic")
    two = Guarantee(kind, np.ones(1), np.array([0.2]), conversion="basic")
    alpha = np.array([1.5, 2.0, 16.0, 300.0])
    assert np.allclose(one.compose(two).rdp(alpha), one.rdp(alpha) + two.rdp(alpha), rtol=1e-10)
    assert np.allclose(one.self_compose(5).rdp(alpha), 5 * one.rdp(alpha), rtol=1e-10)
    assert np.allclose(one.self_compose(900).rdp(alpha), 900 * one.rdp(alpha), rtol=1e-9)
    many = Guarantee(kind, np.array([0.25, 0.25, 0.5]), np.array([0.1, 0.3, 0.2]), conversion="basic")
    assert np.all(many.self_compose(5000).rdp(alpha) >= 5000 * many.rdp(alpha))


def test_kinds_meet_where_they_can() -> None:
    renyi = Guarantee("linear", np.ones(1), np.array([0.02]), conversion="improved")
    both = SMALL.compose(renyi)
    assert both.kind == "linear"
    assert np.allclose(both.rdp(3.0), SMALL.rdp(3.0) + renyi.rdp(3.0), rtol=1e-9)
    tangent = Guarantee("gdp-tangent", SMALL.weights, SMALL.values)
    assert tangent.compose(OTHER).mu_worst == pytest.approx(math.hypot(1.3, 0.9), rel=1e-10)
    with pytest.raises(InputError, match="family"):
        renyi.compose(Guarantee("not-converged", np.ones(1), np.array([0.1]), conversion="basic"))


def test_it_says_what_was_composed_and_on_what_it_rests() -> None:
    one = UnlearningAccountant(PNSGD(preset("mnist"), 128)).guarantee(sigma=0.01, epochs=1)
    made = one.compose(OTHER)
    assert one.statement in made.statement
    assert set(one.assumptions) < set(made.assumptions)
    assert "independently" in made.assumptions[-1]
    assert Guarantee.from_json(made.to_json()) == made
    shown = re.search(r"epsilon at delta: (\S+) at 0.001, (\S+) at 1e-06, (\S+) at 1e-09", str(made))
    assert shown is not None
    for text, delta in zip(shown.groups(), (1e-3, 1e-6, 1e-9), strict=True):
        # In six digits, and never less than it is.
        assert 0 <= float(text) / float(made.epsilon(delta)) - 1 < 1e-5
    assert one.self_compose(3).context["times"] == 3


@pytest.mark.parametrize("count", [0, -1, 1.5, True, None])
def test_bad_counts(count: Any) -> None:
    with pytest.raises(InputError, match="count"):
        SMALL.self_compose(count)


def test_bad_partners_and_what_is_too_large() -> None:
    with pytest.raises(InputError, match="other"):
        SMALL.compose(0.5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="too large"):
        Guarantee("gdp", np.ones(1), np.array([1e150])).self_compose(2)


def test_a_single_gaussian_is_above_the_curve_and_touches_it() -> None:
    for guarantee, smallest in ((SMALL, 1e-6), (SMALL, 1e-12), (OTHER, 1e-3)):
        mu = guarantee.gdp(smallest)
        assert mu < guarantee.mu_worst  # type: ignore[operator]
        epsilon = np.linspace(0, float(guarantee.epsilon(smallest)), 1501)
        single = np.asarray(Guarantee("gdp", np.ones(1), np.array([mu])).delta(epsilon))
        mixed = np.asarray(guarantee.delta(epsilon))
        assert np.all(single >= mixed)
        lower = np.asarray(Guarantee("gdp", np.ones(1), np.array([mu * 0.995])).delta(epsilon))
        assert np.any(lower < mixed)
    with pytest.raises(InputError, match="Rényi"):
        Guarantee("linear", np.ones(1), np.array([0.1]), conversion="basic").gdp(1e-5)
