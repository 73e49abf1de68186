"""autodp: its own transformers and calibrators, against the accountant."""

import functools
import math
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

from accountant import PNSGD, InputError, Problem, UnlearningAccountant, gdp_epsilon, preset
from accountant.numerics import MissingExtraError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("autodp")
    from autodp import calibrator_zoo, mechanism_zoo, transformer_zoo

    from accountant.interop.autodp import UnlearningCalibrator, UnlearningMechanism, compose

# autodp's searches evaluate infinite and empty ranges on their way.
pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning"),
]

DELTA = 1e-5
ACCOUNTANT = UnlearningAccountant(PNSGD(preset("mnist"), 128))
SIGMA = ACCOUNTANT.sigma(epsilon=1.0, delta=DELTA, epochs=1)
MECHANISM = UnlearningMechanism(SIGMA, accountant=ACCOUNTANT, epochs=1)
WORST = UnlearningMechanism(SIGMA, accountant=ACCOUNTANT.with_(batches="worst"), epochs=1)


def test_every_view_is_the_accountants_own() -> None:
    question: dict[str, Any] = {"sigma": SIGMA, "epochs": 1}
    assert MECHANISM.get_approxDP(DELTA) == MECHANISM.get_eps(DELTA) == pytest.approx(1.0, rel=1e-12)
    assert MECHANISM.get_approx_delta(0.5) == pytest.approx(ACCOUNTANT.delta(epsilon=0.5, **question), rel=1e-12)
    divergence = pytest.approx(ACCOUNTANT.rdp(alpha=8, **question), rel=1e-12)
    assert MECHANISM.get_RDP(8) == MECHANISM.get_approxRDP(0.1, 8) == divergence
    assert MECHANISM.get_fDP(0.2) == ACCOUNTANT.guarantee(**question).tradeoff(0.2)
    fpr, fnr = MECHANISM.plot_fDP(11)
    assert list(fpr[[0, -1]]) == [0, 1]
    assert fnr[0] == pytest.approx(1)
    assert fnr[-1] == 0
    # Divergences of orders that autodp asks for on its way: at most one, and without end.
    assert 0 < MECHANISM.get_RDP(0.5) == MECHANISM.get_RDP(1) <= MECHANISM.get_RDP(1.1)
    assert MECHANISM.get_RDP(math.inf) == math.inf
    assert (MECHANISM.get_approxDP(0), MECHANISM.get_approxDP(1)) == (math.inf, 0)


def test_one_run_composed_is_itself_and_many_are_no_better_than_exact() -> None:
    for count in (1, 10, 1000):
        autodp = transformer_zoo.Composition()([WORST], [count]).get_approxDP(DELTA)
        ours = compose([WORST], [count]).get_approxDP(DELTA)
        exact = gdp_epsilon(delta=DELTA, mu=WORST.guarantee.mu_worst * math.sqrt(count))
        assert exact <= ours <= exact * (1 + 1e-9)
        assert exact <= autodp <= exact * 1.2
    # autodp's exact composition of Gaussians is the same number.
    gaussian = mechanism_zoo.ExactGaussianMechanism(1 / WORST.guarantee.mu_worst)
    both = transformer_zoo.ComposeGaussian()([gaussian], [10])
    assert compose([WORST], [10]).get_approxDP(DELTA) == pytest.approx(both.get_approxDP(DELTA), rel=1e-6)
    assert compose([WORST], [10]).get_fDP(0.1) == pytest.approx(both.get_fDP(0.1), rel=1e-6)


def test_mixtures_compose_and_keep_their_relation() -> None:
    mixed = compose([MECHANISM, WORST], [3, 2])
    assert MECHANISM.get_approxDP(DELTA) < mixed.get_approxDP(DELTA) <= compose([WORST], [5]).get_approxDP(DELTA)
    assert mixed.get_RDP(4) == pytest.approx(3 * MECHANISM.get_RDP(4) + 2 * WORST.get_RDP(4))
    assert mixed.neighboring == "replace_one"
    assert "Unlearning" in mixed.name
    gaussian = mechanism_zoo.ExactGaussianMechanism(1.0, name="Gaussian")
    beside = transformer_zoo.Composition()([MECHANISM, gaussian], [1, 1])
    assert beside.get_approxDP(DELTA) > gaussian.get_approxDP(DELTA)
    for wrong in (([], []), ([MECHANISM], [1, 2]), ([MECHANISM], [-1]), ([gaussian], [1])):
        with pytest.raises(InputError):
            compose(*wrong)


def test_relations_are_never_another() -> None:
    problem = preset("mnist")
    fields = problem.to_dict() | {"adjacency": "zero-out"}
    dropped = UnlearningMechanism(SIGMA / 2, accountant=UnlearningAccountant(PNSGD(Problem(**fields), 128)), epochs=1)
    assert (MECHANISM.neighboring, dropped.neighboring) == ("replace_one", "zero_out")
    assert dropped.get_approxDP(DELTA) == pytest.approx(1.0, rel=1e-9)
    with pytest.raises(InputError, match="one relation and one group size"):
        compose([MECHANISM, dropped], [1, 1])
    # autodp's own composition says its default for every mechanism, its own included: compose() does not.
    assert transformer_zoo.Composition()([dropped], [1]).neighboring == "add_remove"
    assert compose([dropped], [1]).neighboring == "zero_out"
    with pytest.raises(AssertionError, match="replace_one"):
        transformer_zoo.AmplificationBySampling()(MECHANISM, 0.1)
    # Not taken for the Gaussian mechanism that its sigma would make.
    assert len(MECHANISM.params) > 1
    with pytest.raises(AssertionError):
        transformer_zoo.ComposeGaussian()([MECHANISM], [2])


@pytest.mark.parametrize("name", ["eps_delta_calibrator", "generalized_eps_delta_calibrator"])
@pytest.mark.parametrize("epsilon", [0.1, 1.0, 8.0])
def test_autodps_calibrators_find_our_sigma(name: str, epsilon: float) -> None:
    ours = ACCOUNTANT.sigma(epsilon=epsilon, delta=DELTA, epochs=1)

    def scaled(log_sigma: float, name: str | None = None) -> UnlearningMechanism:
        # Their search stops at steps of 1e-5 in the parameter, which is too coarse for a small sigma itself.
        return UnlearningMechanism(10**log_sigma, name, accountant=ACCOUNTANT, epochs=1)

    found = getattr(calibrator_zoo, name)()(scaled, epsilon, DELTA, [-6, 0])
    assert found.params["sigma"] == pytest.approx(ours, rel=1e-3)
    assert abs(found.get_approxDP(DELTA) - epsilon) < 1e-3


def test_our_calibrator_is_on_the_safe_side() -> None:
    for epsilon, delta in ((0.1, DELTA), (1.0, DELTA), (500.0, 1e-300), (1e-9, 0.1)):
        found = UnlearningCalibrator()(epsilon, delta, accountant=ACCOUNTANT, epochs=1, name="one")
        assert (found.name, found.params["steps"]) == ("one", 88)
        assert found.params["sigma"] == ACCOUNTANT.sigma(epsilon=epsilon, delta=delta, epochs=1)
        assert epsilon * (1 - 1e-6) <= found.get_approxDP(delta) <= epsilon


def test_plain_privacy_calibrates_directly() -> None:
    learned = ACCOUNTANT.with_().algorithm
    accountant = UnlearningAccountant(PNSGD(learned.problem, 128, learn_epochs=20))
    release = functools.partial(UnlearningMechanism, accountant=accountant, steps=0)
    found = calibrator_zoo.eps_delta_calibrator()(release, 1.0, DELTA, [0.01, 0.2])
    assert found.params["sigma"] == pytest.approx(accountant.sigma(epsilon=1.0, delta=DELTA, steps=0), rel=1e-3)


def test_published_bounds_are_mechanisms_too() -> None:
    paper = UnlearningMechanism(0.003, accountant=ACCOUNTANT.with_(bound="paper"), epochs=1)
    assert compose([paper], [2]).get_approxDP(DELTA) > paper.get_approxDP(DELTA) > 0


@pytest.mark.no_cover  # measures time
def test_extremes_are_answered_in_under_a_second() -> None:
    for count, delta in ((10**6, DELTA), (10, 1e-300), (10**6, 1e-300), (0, DELTA)):
        start = time.perf_counter()
        assert 0 <= compose([MECHANISM], [count]).get_approxDP(delta) < math.inf
        assert 0 <= transformer_zoo.Composition()([MECHANISM], [count]).get_approxDP(delta) < math.inf
        assert time.perf_counter() - start < 1
    for sigma in (math.nan, math.inf, -1.0, 0.0, "1"):
        with pytest.raises(InputError, match="sigma must be"):
            UnlearningMechanism(sigma, accountant=ACCOUNTANT, epochs=1)  # type: ignore[arg-type]
    for delta in (-1.0, 2.0, math.nan):
        with pytest.raises(InputError, match="delta must be"):
            MECHANISM.get_approxDP(delta)
    for call in (lambda: MECHANISM.get_RDP(math.nan), lambda: MECHANISM.get_fDP(2.0), lambda: MECHANISM.get_approx_delta(-1.0)):
        with pytest.raises(InputError):
            call()
    with pytest.raises(InputError, match="accountant must be an UnlearningAccountant"):
        UnlearningMechanism(1.0, accountant=ACCOUNTANT.algorithm, epochs=1)  # type: ignore[arg-type]


def test_the_fourier_accountant_is_refused_instead_of_reporting_negative_epsilon(capsys: pytest.CaptureFixture[str]) -> None:
    composed = transformer_zoo.ComposeAFA()([MECHANISM], [2])
    with pytest.raises(InputError, match="ComposeAFA is not supported"):
        composed.get_approxDP(DELTA)


def test_the_example_runs() -> None:
    path = Path(__file__).resolve().parents[1] / "docs" / "examples" / "autodp_composition.py"
    printed = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=True).stdout
    page = path.parents[1].joinpath("guides", "interop-autodp.md").read_text(encoding="utf-8")
    assert [line for line in printed.splitlines() if line not in page] == []


def test_a_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "accountant.interop.autodp")
    monkeypatch.setitem(sys.modules, "autodp", None)
    with pytest.raises(MissingExtraError, match=r"needs autodp, .*: pip install 'unlearning-accountant\[autodp\]'"):
        import accountant.interop.autodp  # noqa: F401
