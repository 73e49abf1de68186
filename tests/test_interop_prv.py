"""prv_accountant: its numerical composition, against the accountant."""

import math
import sys
import time
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from accountant import PNSGD, Guarantee, InputError, UnlearningAccountant, gdp_epsilon, preset
from accountant.numerics import MissingExtraError

pytest.importorskip("prv_accountant")
from prv_accountant import GaussianMechanism, PRVAccountant

from accountant.interop.prv_accountant import UnlearningPRV

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning"),
]

DELTA = 1e-5
ACCOUNTANT = UnlearningAccountant(PNSGD(preset("mnist"), 512))


def composed(guarantee: Guarantee, count: int, *others: tuple[Any, int], error: float = 0.01) -> tuple[float, float, float]:
    prvs, counts = [UnlearningPRV(guarantee), *(prv for prv, _ in others)], [count, *(n for _, n in others)]
    accountant = PRVAccountant(prvs, eps_error=error, delta_error=DELTA / 1000, max_self_compositions=counts)
    return accountant.compute_epsilon(DELTA, counts)


def test_one_run_is_ours() -> None:
    sigma = ACCOUNTANT.sigma(epsilon=1.0, delta=DELTA, epochs=1)
    low, estimate, high = composed(ACCOUNTANT.guarantee(sigma=sigma, epochs=1), 1)
    assert low <= 1.0 <= high
    assert estimate == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("count", [2, 30])
def test_runs_at_their_worst_compose_as_gaussians(count: int) -> None:
    guarantee = ACCOUNTANT.with_(batches="worst").guarantee(sigma=0.003, epochs=1)
    exact = gdp_epsilon(delta=DELTA, mu=guarantee.mu_worst * math.sqrt(count))
    low, estimate, high = composed(guarantee, count)
    assert low <= exact <= high
    assert estimate == pytest.approx(exact, abs=1e-3)
    # Beside a mechanism of the library's own.
    other = gdp_epsilon(delta=DELTA, mu=math.hypot(guarantee.mu_worst * math.sqrt(count), 0.5))
    low, _, high = composed(guarantee, count, (GaussianMechanism(2.0), 1))
    assert low <= other <= high


def test_averages_compose_better_than_their_worst() -> None:
    sigma = 0.003
    average = composed(ACCOUNTANT.guarantee(sigma=sigma, epochs=1), 10)[2]
    worst = composed(ACCOUNTANT.with_(batches="worst").guarantee(sigma=sigma, epochs=1), 10)[0]
    assert average < worst


def test_the_distribution_is_that_of_the_mixture() -> None:
    weights, mu = np.array([0.25, 0.5, 0.25]), np.array([0.0, 0.5, 2.0])
    prv = UnlearningPRV(Guarantee("gdp", weights, mu))
    t = np.array([-3.0, -1e-9, 0.0, 0.3, 5.0])
    expected = sum(w * (norm.cdf((t - m * m / 2) / m) if m else (t >= 0)) for w, m in zip(weights, mu, strict=True))
    assert prv.cdf(t) == pytest.approx(expected, abs=1e-15)
    assert float(prv.cdf(0.3)) == pytest.approx(expected[3], abs=1e-15)
    assert prv.probability(-1.0, 1.0) == pytest.approx(float(prv.cdf(1.0) - prv.cdf(-1.0)))
    assert prv.mean() == pytest.approx(0.5 * 0.125 + 0.25 * 2.0)
    assert prv.rdp(3.0) == pytest.approx(Guarantee("gdp", weights, mu).rdp(3.0))
    assert prv.pm_inf == 0


def test_other_guarantees_are_refused() -> None:
    with pytest.raises(InputError, match="kind gdp, which bound=optimal proves, got linear"):
        UnlearningPRV(ACCOUNTANT.with_(bound="paper").guarantee(sigma=0.01, epochs=1))
    with pytest.raises(InputError, match="must be a Guarantee"):
        UnlearningPRV(0.01)  # type: ignore[arg-type]


@pytest.mark.no_cover  # measures time
def test_what_the_grid_of_the_library_can_follow_is_fast() -> None:
    guarantee = ACCOUNTANT.with_(batches="worst").guarantee(sigma=1.0, epochs=1)
    start = time.perf_counter()
    assert 0 < composed(guarantee, 10_000, error=0.1)[1] < 1
    with pytest.raises(ValueError, match="Floating point errors"):
        PRVAccountant([UnlearningPRV(guarantee)], eps_error=0.1, delta_error=1e-303).compute_epsilon(1e-300, [1])
    assert time.perf_counter() - start < 1


def test_a_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "accountant.interop.prv_accountant")
    monkeypatch.setitem(sys.modules, "prv_accountant", None)
    with pytest.raises(MissingExtraError, match=r"needs prv_accountant, .*: pip install 'unlearning-accountant\[prv\]'"):
        import accountant.interop.prv_accountant  # noqa: F401
