"""Privacy losses on a grid: never below the curve they stand for, in either direction, and not far above it."""

import mpmath
import numpy as np
import pytest

from accountant import PNSGD, Guarantee, InputError, UnlearningAccountant, preset
from accountant.curves.privacy_loss import PrivacyLoss

MNIST = preset("mnist")
GUARANTEES = {
    **{f"mu = {mu}": Guarantee("gdp", [1.0], [mu]) for mu in (0.003, 0.1, 1.0, 8.0, 40.0)},
    "positions": UnlearningAccountant(PNSGD(MNIST, 32)).guarantee(sigma=3e-8, epochs=1),
    "group": UnlearningAccountant(PNSGD(MNIST, 512), group_size=30).guarantee(sigma=0.02, epochs=1),
    "tangent": Guarantee("gdp-tangent", [0.5, 0.5], [0.2, 3.0]),
    "renyi": UnlearningAccountant(PNSGD(MNIST, 128), bound="paper").guarantee(sigma=0.003, epochs=1),
    "renyi positions": UnlearningAccountant(PNSGD(MNIST, 128), bound="paper", batches="random").guarantee(
        sigma=0.003, epochs=1
    ),
    "not converged": Guarantee("not-converged", [1.0], [0.05], "improved"),
}
named = pytest.mark.parametrize("name", GUARANTEES)


def exact_delta(loss: PrivacyLoss, epsilon: float) -> mpmath.mpf:
    """The divergence of the pair with this loss, by its definition, with 40 digits; below zero it is the other direction."""
    with mpmath.workdps(40):
        terms = [
            mass * (1 - mpmath.exp(epsilon - multiple * mpmath.mpf(loss.interval)))
            for multiple, mass in zip(loss.multiples.tolist(), loss.probabilities.tolist(), strict=True)
            if multiple * loss.interval > epsilon
        ]
        return loss.infinite + mpmath.fsum(terms)


def gdp_delta(epsilon: float, mu: float) -> mpmath.mpf:
    with mpmath.workdps(40):
        a = mpmath.mpf(epsilon) / mu
        return mpmath.ncdf(mpmath.mpf(mu) / 2 - a) - mpmath.exp(epsilon) * mpmath.ncdf(-mpmath.mpf(mu) / 2 - a)


@named
def test_is_a_symmetric_distribution(name: str) -> None:
    loss = GUARANTEES[name].pld()
    assert np.all(np.diff(loss.multiples) > 0)
    assert np.array_equal(loss.multiples, -loss.multiples[::-1])
    assert np.all(loss.probabilities >= 0)
    assert 0 <= loss.infinite <= 1e-20 * (1 + 1e-9)
    assert loss.probabilities.sum() + loss.infinite == pytest.approx(1, abs=1e-11)
    positive = loss.multiples > 0
    mirrored = loss.probabilities[positive] * np.exp(-loss.multiples[positive] * loss.interval)
    assert np.allclose(mirrored, loss.probabilities[::-1][positive], rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize(
    ("interval", "mu"),
    [(1e-2, 0.003), (1e-2, 0.05), (1e-2, 1.0), (1e-2, 4.0), (1e-3, 0.003), (1e-3, 0.05)]
    + [pytest.param(1e-3, mu, marks=pytest.mark.slow) for mu in (1.0, 4.0)],
)
def test_lies_above_a_gaussian_in_both_directions_and_meets_it_on_the_grid(mu: float, interval: float) -> None:
    loss = Guarantee("gdp", [1.0], [mu]).pld(interval=interval, tail=1e-12)
    last = int(loss.multiples[-1])
    for epsilon in np.linspace(-last, last, 41) * interval:
        assert exact_delta(loss, epsilon) >= gdp_delta(epsilon, mu) * (1 - mpmath.mpf("1e-15"))
    for multiple in np.unique(np.linspace(0, last - 1, 15).astype(int)):
        epsilon = float(multiple * interval)
        assert exact_delta(loss, epsilon) <= gdp_delta(epsilon, mu) * (1 + mpmath.mpf("1e-11"))


@named
def test_its_own_delta_is_the_definition(name: str) -> None:
    loss = GUARANTEES[name].pld(interval=0.01)
    for epsilon in (0.0, 0.013, 1.0, float(loss.multiples[-1]) * loss.interval):
        assert loss.delta(epsilon) == pytest.approx(float(exact_delta(loss, epsilon)), rel=1e-12)
    assert np.shape(loss.delta([[0.0, 1.0]])) == (1, 2)


@pytest.mark.parametrize("name", [name for name in GUARANTEES if "renyi" not in name and "converged" not in name])
def test_is_within_the_square_of_the_grid_of_gaussian_mixtures(name: str) -> None:
    guarantee = GUARANTEES[name]
    epsilon = np.asarray(guarantee.epsilon(np.geomspace(1e-15, 0.3, 30)))
    truth, found = np.asarray(guarantee.delta(epsilon)), np.asarray(guarantee.pld(interval=1e-5).delta(epsilon))
    assert np.all(found >= truth * (1 - 1e-13))
    assert np.all(found <= truth * (1 + 2e-3) + 1e-20)


@pytest.mark.parametrize("name", ["renyi", "renyi positions", "not converged"])
def test_renyi_curves_are_replaced_by_their_convex_minorant(name: str) -> None:
    guarantee = GUARANTEES[name]
    loss = guarantee.pld(interval=0.01)
    x = np.exp(np.arange(0, int(loss.multiples[-1]), 7) * loss.interval)
    found, bound = np.asarray(loss.delta(np.log(x))), np.asarray(guarantee.delta(np.log(x)))
    assert np.all(found <= bound * (1 + 1e-4))
    slopes = np.diff(found) / np.diff(x)
    assert np.all(np.diff(slopes) >= -1e-9 * np.abs(slopes[1:]))
    # Where the bound itself is convex nothing may be lost.
    late = bound < 1e-3
    assert np.all(found[late] >= bound[late] * (1 - 1e-9))


def test_what_reveals_nothing_has_no_loss() -> None:
    loss = Guarantee("gdp", [1.0], [0.0]).pld()
    assert loss.multiples.tolist() == [0]
    assert loss.probabilities.tolist() == pytest.approx([1.0], abs=2e-15)
    assert loss.infinite == 0
    assert loss.delta(0.0) == 0


def test_a_loss_far_below_the_grid_costs_one_step_of_it() -> None:
    loss = Guarantee("gdp", [1.0], [1e-9]).pld()
    assert loss.multiples.tolist() == [-1, 0, 1]
    assert float(loss.delta(0.0)) == pytest.approx(1e-9 / np.sqrt(2 * np.pi), rel=1e-9)


def test_cannot_be_changed() -> None:
    loss = Guarantee("gdp", [1.0], [1.0]).pld(interval=0.1)
    with pytest.raises(ValueError, match="read-only"):
        loss.probabilities[0] = 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"interval": 0.0}, "interval must be a number above 0, got 0"),
        ({"interval": float("nan")}, "interval must be a finite number above 0, got nan"),
        ({"interval": 1e-200}, "interval must be at least .*, for losses up to .*, got 1e-200"),
        ({"tail": 0.0}, "tail must be a number above 0 and below 1, got 0"),
        ({"tail": 1.0}, "tail must be a number above 0 and below 1, got 1"),
    ],
)
def test_refuses(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Guarantee("gdp", [1.0], [1.0]).pld(**arguments)
