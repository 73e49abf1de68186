"""Unlearning events in dp_accounting: its own suite and entry points, exact values, both relations, never below the truth."""

import math
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import mpmath
import numpy as np
import pytest

dp_accounting = pytest.importorskip("dp_accounting")

from absl.testing import absltest
from dp_accounting import dp_event, privacy_accountant_test
from dp_accounting import rdp as dp_rdp
from dp_accounting.pld import privacy_loss_distribution
from dp_accounting.pld.pld_privacy_accountant import PLDAccountant

from accountant import PNSGD, Guarantee, InputError, Problem, UnlearningAccountant, gdp_delta, gdp_epsilon, preset
from accountant.interop.dp_accounting import Curve, UnlearningEvent, UnlearningPrivacyAccountant

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[1]
Relation = dp_accounting.NeighboringRelation
ONE, SPECIAL = Relation.REPLACE_ONE, Relation.REPLACE_SPECIAL
Gaussian, Laplace = dp_accounting.GaussianDpEvent, dp_accounting.LaplaceDpEvent
MNIST = PNSGD(preset("mnist"), 128)
ZERO_OUT = PNSGD(Problem(n=1000, smoothness=1.0, strong_convexity=0.1, adjacency="zero-out"), 100)
#: What calibration may be off by, in units of sigma.
TOLERANCE = 1e-7


def event(mu: float, relation: Relation = ONE) -> UnlearningEvent:
    return UnlearningEvent(Curve.GDP, [1.0], [mu], relation)


def dp_sgd(steps: int) -> dp_event.DpEvent:
    return dp_event.SelfComposedDpEvent(dp_event.PoissonSampledDpEvent(0.01, Gaussian(1.0)), steps)


def special() -> UnlearningPrivacyAccountant:
    return UnlearningPrivacyAccountant(SPECIAL)


class Conformance(privacy_accountant_test.PrivacyAccountantTest):
    """The library's own suite. It skips the base class only."""

    def _make_test_accountants(self) -> list[UnlearningPrivacyAccountant]:
        return [
            UnlearningPrivacyAccountant(),
            UnlearningPrivacyAccountant(ONE, 1e-3),
            UnlearningPrivacyAccountant(SPECIAL),
            UnlearningPrivacyAccountant(SPECIAL, 1e-3),
            UnlearningPrivacyAccountant(Relation.ADD_OR_REMOVE_ONE),
        ]


def test_the_conformance_suite_is_not_empty() -> None:
    names = absltest.TestLoader().getTestCaseNames(Conformance)
    assert len(names) >= 12
    assert not getattr(Conformance, "__unittest_skip__", False)


# --- the event


@pytest.mark.parametrize("bound", ["optimal", "paper"])
def test_an_event_is_its_guarantee(bound: str) -> None:
    guarantee = UnlearningAccountant(MNIST, bound=bound).guarantee(sigma=0.003, epochs=1)
    one = UnlearningEvent.from_guarantee(guarantee)
    assert one.neighboring_relation is ONE
    assert one.assumptions == guarantee.assumptions
    assert one.guarantee.epsilon(1e-7) == guarantee.epsilon(1e-7)
    assert UnlearningPrivacyAccountant().compose(one).get_epsilon(1e-7) == guarantee.epsilon(1e-7)
    assert UnlearningPrivacyAccountant().compose(one).get_delta(0.1) == guarantee.delta(0.1)


def test_an_event_is_frozen_and_keeps_every_bit() -> None:
    one = UnlearningEvent.from_guarantee(UnlearningAccountant(MNIST).guarantee(sigma=0.003, epochs=1))
    with pytest.raises(AttributeError):
        one.values = (1.0,)
    for tree in (one, dp_event.ComposedDpEvent([one, Gaussian(2.0)]), dp_event.SelfComposedDpEvent(one, 3)):
        again = dp_event.DpEvent.from_named_tuple(tree.to_named_tuple())
        assert again == tree
        assert pickle.loads(pickle.dumps(tree)) == tree
    assert hash(one) == hash(pickle.loads(pickle.dumps(one)))
    ledger = UnlearningPrivacyAccountant().compose(one).compose(one, 2).compose(Gaussian(2.0)).ledger
    assert ledger == dp_event.ComposedDpEvent([dp_event.SelfComposedDpEvent(one, 3), Gaussian(2.0)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gdp", [1.0], [1.0], ONE), "curve must be a Curve, got 'gdp'"),
        ((Curve.GDP, [1.0], [1.0], "remove"), "neighboring_relation must be REPLACE_ONE, REPLACE_SPECIAL or ADD_OR_REMOVE_ONE"),
        ((Curve.GDP, [1.0], [math.nan], ONE), "values must be a finite number from 0 to .*, got nan"),
        ((Curve.GDP, [1.0], [math.inf], ONE), "values must be a finite number from 0 to .*, got inf"),
        ((Curve.GDP, [1.0], [-1.0], ONE), "values must be a number from 0 to .*, got -1"),
        ((Curve.GDP, [0.5], [1.0], ONE), "weights must sum to 1, got 0.5"),
    ],
)
def test_an_event_refuses(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        UnlearningEvent(*arguments)


# --- neighbouring relations


def test_replace_is_replace_one_and_nothing_else() -> None:
    one = UnlearningEvent.from_guarantee(UnlearningAccountant(MNIST).guarantee(sigma=0.003, epochs=1))
    assert one.neighboring_relation is ONE
    assert UnlearningPrivacyAccountant(ONE).supports(one)
    assert not UnlearningPrivacyAccountant(SPECIAL).supports(one)
    with pytest.raises(dp_accounting.UnsupportedEventError, match="neighboring_relation must be REPLACE_ONE, as in the event"):
        UnlearningPrivacyAccountant(SPECIAL).compose(dp_event.ComposedDpEvent([one]))


def test_zero_out_is_replace_special_and_nothing_else() -> None:
    one = UnlearningEvent.from_guarantee(UnlearningAccountant(ZERO_OUT).guarantee(sigma=0.1, epochs=1))
    assert one.neighboring_relation is SPECIAL
    assert UnlearningPrivacyAccountant(SPECIAL).supports(one)
    with pytest.raises(
        dp_accounting.UnsupportedEventError, match="neighboring_relation must be REPLACE_SPECIAL, as in the event"
    ):
        UnlearningPrivacyAccountant(ONE).compose(one)


def test_remove_is_add_or_remove_one_and_nothing_else() -> None:
    removed = Problem(n=1000, smoothness=1.0, strong_convexity=0.1, adjacency="remove")
    algorithm = PNSGD(removed, 100, step_size=0.5, assignment="secret")
    one = UnlearningEvent.from_guarantee(UnlearningAccountant(algorithm).guarantee(sigma=0.1, epochs=1))
    assert one.neighboring_relation is Relation.ADD_OR_REMOVE_ONE
    assert UnlearningPrivacyAccountant(Relation.ADD_OR_REMOVE_ONE).supports(one)
    for relation in (ONE, SPECIAL):
        assert not UnlearningPrivacyAccountant(relation).supports(one)
    with pytest.raises(InputError, match=r"neighboring_relation must be REPLACE_ONE, .*, got 'remove'"):
        UnlearningPrivacyAccountant("remove")
    # What is about adding and removing only in the library stays so.
    assert not UnlearningPrivacyAccountant(ONE).supports(Laplace(1.0))
    assert special().supports(Laplace(1.0))


@pytest.mark.parametrize(("relation", "mu"), [(ONE, 1.0), (SPECIAL, 0.5), (Relation.ADD_OR_REMOVE_ONE, 0.5)])
def test_a_gaussian_has_sensitivity_two_under_replace_one_as_in_the_pld_accountant(relation: Relation, mu: float) -> None:
    ours = UnlearningPrivacyAccountant(relation).compose(Gaussian(2.0)).get_epsilon(1e-6)
    theirs = PLDAccountant(relation).compose(Gaussian(2.0)).get_epsilon(1e-6)
    assert ours == pytest.approx(gdp_epsilon(delta=1e-6, mu=mu), rel=1e-12)
    assert ours <= theirs <= ours + 1e-4
    # The library's RDP accountant has sensitivity one under every relation, which under REPLACE_ONE is not comparable.
    rdp = dp_rdp.RdpAccountant(neighboring_relation=relation).compose(Gaussian(2.0)).get_epsilon(1e-6)
    assert (rdp > ours) == (relation is not ONE)


def test_from_guarantee_takes_the_relation_from_the_problem() -> None:
    replaced = UnlearningAccountant(MNIST).guarantee(sigma=0.003, epochs=1)
    zeroed = UnlearningAccountant(ZERO_OUT).guarantee(sigma=0.1, epochs=1)
    unknown = Guarantee("gdp", [1.0], [1.0])
    assert UnlearningEvent.from_guarantee(replaced.compose(replaced.self_compose(3))).neighboring_relation is ONE
    assert UnlearningEvent.from_guarantee(unknown, neighboring_relation=SPECIAL).neighboring_relation is SPECIAL
    assert UnlearningEvent.from_guarantee(replaced, neighboring_relation=ONE).neighboring_relation is ONE
    for guarantee, relation in ((replaced, SPECIAL), (zeroed, ONE), (unknown, None)):
        with pytest.raises(InputError, match="neighboring_relation must be one, that of the guarantee's adjacency, got"):
            UnlearningEvent.from_guarantee(guarantee, neighboring_relation=relation)
    with pytest.raises(InputError, match="the same adjacency"):
        replaced.compose(zeroed)
    group = UnlearningAccountant(MNIST, group_size=3).guarantee(sigma=0.01, epochs=1)
    with pytest.raises(InputError, match="guarantee must be about one record, as neighbouring datasets are, got 3 points"):
        UnlearningEvent.from_guarantee(group)


# --- exact values


@pytest.mark.parametrize("mu", [0.05, 0.7, 3.0])
@pytest.mark.parametrize("noise", [20.0, 5.0])
def test_an_event_with_ten_gaussians_is_within_a_thousandth_and_never_below(mu: float, noise: float) -> None:
    total = math.sqrt(mu**2 + 10 * (2 / noise) ** 2)
    accountant = UnlearningPrivacyAccountant().compose(event(mu))
    for _ in range(10):
        accountant.compose(Gaussian(noise))
    releases = privacy_loss_distribution.from_gaussian_mechanism(noise, neighboring_relation=ONE)
    library = releases.self_compose(10).compose(event(mu).pld())
    for delta in (1e-2, 1e-5, 1e-8, 1e-10):
        epsilon = accountant.get_epsilon(delta)
        with mpmath.workdps(30):
            a = mpmath.mpf(epsilon) / total
            truth = mpmath.ncdf(total / mpmath.mpf(2) - a) - mpmath.exp(epsilon) * mpmath.ncdf(-a - total / mpmath.mpf(2))
        assert truth <= delta
        exact = gdp_epsilon(delta=delta, mu=total)
        assert exact <= epsilon <= exact + 1e-9 * max(1.0, exact)
        # The library's own algebra on the exported distribution.
        assert exact <= library.get_epsilon_for_delta(delta) <= exact + 1e-3
        assert delta <= library.get_delta_for_epsilon(exact) <= delta * 1.01


def test_events_of_one_gaussian_add_up_in_any_order_and_nesting() -> None:
    total = gdp_epsilon(delta=1e-6, mu=math.sqrt(6 * 0.3**2 + 4 * 1.0))
    inner = dp_event.ComposedDpEvent([event(0.3), dp_event.NoOpDpEvent(), dp_event.SelfComposedDpEvent(event(0.3), 2)])
    tree = dp_event.ComposedDpEvent([dp_event.SelfComposedDpEvent(inner, 2), dp_event.SelfComposedDpEvent(Gaussian(2.0), 4)])
    assert UnlearningPrivacyAccountant().compose(tree).get_epsilon(1e-6) == pytest.approx(total, rel=1e-9)
    split = UnlearningPrivacyAccountant().compose(Gaussian(2.0), 3).compose(inner, 2).compose(Gaussian(2.0))
    assert split.get_epsilon(1e-6) == pytest.approx(total, rel=1e-9)
    private = dp_event.ComposedDpEvent([tree, dp_event.NonPrivateDpEvent()])
    assert UnlearningPrivacyAccountant().compose(private).get_epsilon(0.5) == math.inf
    assert UnlearningPrivacyAccountant().compose(private).get_delta(5.0) == 1
    assert UnlearningPrivacyAccountant().compose(Gaussian(0.0)).get_epsilon(0.5) == math.inf


def test_counts_are_composition() -> None:
    guarantee = UnlearningAccountant(MNIST).guarantee(sigma=0.0003, epochs=1)
    one = UnlearningEvent.from_guarantee(guarantee)
    twelve = guarantee.self_compose(12).epsilon(1e-6)
    assert UnlearningPrivacyAccountant().compose(one, 12).get_epsilon(1e-6) == twelve
    nested = dp_event.SelfComposedDpEvent(dp_event.SelfComposedDpEvent(one, 4), 3)
    assert UnlearningPrivacyAccountant().compose(nested).get_epsilon(1e-6) == twelve


# --- beside what only the library knows


def direct(mu: float, rest: privacy_loss_distribution.PrivacyLossDistribution, epsilon: float) -> float:
    """E delta(epsilon - loss; mu) over the library's discrete losses: exact for them, without any convolution."""
    results = []
    for pmf in (rest._pmf_remove, rest._pmf_add):
        dense = pmf.to_dense_pmf()
        argument = epsilon - (np.arange(dense.size) + dense._lower_loss) * dense._discretization
        one_way = np.asarray(gdp_delta(epsilon=np.abs(argument), mu=mu))
        other_way = 1 - np.exp(np.minimum(argument, 0)) * (1 - one_way)
        results.append(dense._infinity_mass + float(np.where(argument < 0, other_way, one_way) @ dense._probs))
    return max(results)


@pytest.mark.parametrize("mu", [0.02, 0.5, 2.0])
@pytest.mark.parametrize("other", [Laplace(2.0), dp_sgd(20)], ids=["laplace", "dp-sgd"])
def test_with_laplace_and_dp_sgd_it_is_above_the_sum_over_their_losses_and_close(mu: float, other: dp_event.DpEvent) -> None:
    rest = PLDAccountant(SPECIAL).compose(other)._pld
    accountant = special().compose(event(mu, SPECIAL)).compose(other)
    for epsilon in (0.2, 1.0, 3.0):
        truth = direct(mu, rest, epsilon)
        assert truth <= accountant.get_delta(epsilon) <= truth * 1.001 + 1e-13
        if truth > 1e-12:
            assert epsilon - 1e-12 <= accountant.get_epsilon(truth) <= epsilon + 1e-3


@pytest.mark.parametrize("bound", ["optimal", "paper"])
def test_curves_without_a_single_mu_stay_above_what_they_bound(bound: str) -> None:
    guarantee = UnlearningAccountant(MNIST, bound=bound, batches="worst").guarantee(sigma=0.0003, epochs=1)
    mixed = UnlearningEvent.from_guarantee(guarantee)
    mu = UnlearningAccountant(MNIST, batches="worst").guarantee(sigma=0.0003, epochs=1).mu_worst
    assert mu is not None
    accountant = UnlearningPrivacyAccountant().compose(mixed).compose(Gaussian(4.0), 10)
    exact = gdp_epsilon(delta=1e-6, mu=math.sqrt(mu**2 + 10 * 0.25))
    assert exact <= accountant.get_epsilon(1e-6)
    if bound == "paper":
        assert isinstance(accountant.privacy_loss_distribution(), privacy_loss_distribution.PrivacyLossDistribution)
        assert accountant.get_epsilon(1e-6) >= guarantee.epsilon(1e-6)


def test_every_kind_composes_with_every_other() -> None:
    accountant = UnlearningPrivacyAccountant(value_discretization_interval=1e-3)
    least = 0.0
    for curve in Curve:
        accountant.compose(UnlearningEvent(curve, [0.5, 0.5], [0.1, 0.2], ONE), 2)
        epsilon = accountant.get_epsilon(1e-6)
        assert least < epsilon < 100
        least = epsilon


def test_an_event_without_effect_changes_nothing() -> None:
    assert special().compose(event(0.0, SPECIAL)).get_epsilon(0) == 0
    alone = special().compose(Laplace(2.0))
    beside = special().compose(Laplace(2.0)).compose(event(0.0, SPECIAL))
    assert beside.get_epsilon(1e-3) == alone.get_epsilon(1e-3) == PLDAccountant(SPECIAL).compose(Laplace(2.0)).get_epsilon(1e-3)


# --- calibration with the library's own entry point


@pytest.mark.parametrize(("epsilon", "delta"), [(1.0, 1e-5), (0.05, 1e-8), (8.0, 1e-3)])
@pytest.mark.parametrize("bound", ["optimal", "paper"])
def test_the_calibrated_sigma_is_ours_on_the_safe_side(bound: str, epsilon: float, delta: float) -> None:
    accountant = UnlearningAccountant(MNIST, bound=bound)
    ours = accountant.sigma(epsilon=epsilon, delta=delta, epochs=1)

    def make_event(sigma: float) -> UnlearningEvent:
        return UnlearningEvent.from_guarantee(accountant.guarantee(sigma=sigma, epochs=1))

    theirs = dp_accounting.calibrate_dp_mechanism(
        UnlearningPrivacyAccountant,
        make_event,
        epsilon,
        delta,
        dp_accounting.LowerEndpointAndGuess(ours / 3, ours * 2),
        tol=TOLERANCE,
    )
    assert abs(theirs - ours) <= TOLERANCE
    assert accountant.epsilon(sigma=theirs, delta=delta, epochs=1) <= epsilon


def test_the_number_of_releases_beside_unlearning_can_be_calibrated() -> None:
    found = dp_accounting.calibrate_dp_mechanism(
        UnlearningPrivacyAccountant,
        lambda count: dp_event.ComposedDpEvent([event(0.5), dp_event.SelfComposedDpEvent(Gaussian(20.0), count)]),
        4.0,
        1e-6,
        dp_accounting.LowerEndpointAndGuess(1, 2),
        discrete=True,
    )
    epsilons = [gdp_epsilon(delta=1e-6, mu=math.sqrt(0.25 + 0.01 * count)) for count in (found, found + 1)]
    assert epsilons[0] <= 4 < epsilons[1]


# --- odd input and large numbers: an answer or one clear sentence, at once


@pytest.mark.parametrize("noise", [math.nan, math.inf, -1.0])
@pytest.mark.parametrize("make", [Gaussian, Laplace, lambda noise: dp_event.PoissonSampledDpEvent(0.1, Gaussian(noise))])
def test_noise_that_is_none_is_refused_before_anything_is_counted(make: type, noise: float) -> None:
    accountant = special()
    assert not accountant.supports(make(noise))
    with pytest.raises(
        dp_accounting.UnsupportedEventError, match=f"noise_multiplier must be a (finite )?number from 0, got {noise:g}"
    ):
        accountant.compose(dp_event.SelfComposedDpEvent(make(noise), 3))
    assert accountant.get_epsilon(1e-6) == 0
    assert accountant.ledger == dp_event.NoOpDpEvent()


@pytest.mark.no_cover  # measures time
def test_large_counts_tiny_delta_and_large_epsilon_are_answered_at_once() -> None:
    mixture = UnlearningEvent.from_guarantee(UnlearningAccountant(MNIST).guarantee(sigma=0.003, epochs=1))
    start = time.perf_counter()
    many = UnlearningPrivacyAccountant().compose(event(0.001), 10**6).compose(Gaussian(2000.0), 10**6)
    assert many.get_epsilon(1e-6) == pytest.approx(gdp_epsilon(delta=1e-6, mu=math.sqrt(2.0)), rel=1e-9)
    assert many.get_epsilon(1e-300) == pytest.approx(gdp_epsilon(delta=1e-300, mu=math.sqrt(2.0)), rel=1e-9)
    assert 0 < many.get_delta(30.0) == pytest.approx(gdp_delta(epsilon=30.0, mu=math.sqrt(2.0)), rel=1e-6)
    assert many.get_delta(500.0) < 1e-300
    assert UnlearningPrivacyAccountant().compose(mixture, 10**6).get_epsilon(1e-6) > 1
    assert UnlearningPrivacyAccountant().compose(event(1e140), 10**6).get_epsilon(1e-6) > 1e280
    assert UnlearningPrivacyAccountant().compose(event(1e149), 10**6).get_epsilon(1e-6) == math.inf
    assert time.perf_counter() - start < 3


def test_tails_below_the_librarys_precision_are_infinite_beside_its_own_losses() -> None:
    accountant = special().compose(event(1.0, SPECIAL)).compose(Laplace(2.0))
    assert accountant.get_epsilon(1e-300) == math.inf
    assert accountant.get_epsilon(1.0) == 0
    assert 0 < accountant.get_delta(500.0) < 2e-14
    assert accountant.get_delta(math.inf) < 2e-14
    wide = special().compose(event(40.0, SPECIAL)).compose(Laplace(2.0))
    with pytest.raises(
        InputError, match=r"value_discretization_interval must be at least 0\.\d+, for losses up to .*, got 0\.0001"
    ):
        wide.get_delta(500.0)
    coarse = UnlearningPrivacyAccountant(SPECIAL, 1e-2).compose(event(40.0, SPECIAL)).compose(Laplace(2.0))
    # The Laplace release costs 1/2; from losses of 745 on the library answers with a quantile of the loss.
    assert gdp_epsilon(delta=1e-6, mu=40.0) < coarse.get_epsilon(1e-6) < gdp_epsilon(delta=1e-6, mu=40.0) + 1.5
    assert coarse.get_epsilon(0.999999) < coarse.get_epsilon(0.5)


@pytest.mark.parametrize("delta", [math.nan, -1e-9, 1.1])
def test_impossible_delta_is_refused(delta: float) -> None:
    with pytest.raises(InputError, match=r"target_delta must be a (finite )?number from 0 to 1, got"):
        UnlearningPrivacyAccountant().get_epsilon(delta)


@pytest.mark.parametrize("epsilon", [math.nan, -1.0])
def test_impossible_epsilon_is_refused(epsilon: float) -> None:
    with pytest.raises(InputError, match=r"target_epsilon must be a (finite )?number from 0, got"):
        UnlearningPrivacyAccountant().get_delta(epsilon)


def test_what_is_not_private_has_no_distribution() -> None:
    with pytest.raises(InputError, match="events must be private to have a privacy loss distribution"):
        UnlearningPrivacyAccountant().compose(dp_event.NonPrivateDpEvent()).privacy_loss_distribution()


# --- imports and examples


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False)


def test_importing_the_package_does_not_import_the_library() -> None:
    code = "import sys, accountant; print([name for name in ('dp_accounting', 'attr', 'absl') if name in sys.modules])"
    assert run("-c", code).stdout.strip() == "[]"


def test_without_the_library_one_sentence_says_what_to_install() -> None:
    code = "import sys; sys.modules['dp_accounting'] = None\nimport accountant.interop.dp_accounting"
    result = run("-c", code)
    assert result.returncode == 1
    assert (
        result.stderr.strip()
        .splitlines()[-1]
        .endswith(
            "accountant.interop.dp_accounting needs dp_accounting, which is not installed: "
            "pip install 'unlearning-accountant[dp-accounting]'"
        )
    )


def test_the_example_prints_what_the_page_shows() -> None:
    result = run(str(ROOT / "docs" / "examples" / "dp_accounting_composition.py"))
    assert result.returncode == 0, result.stderr
    page = (ROOT / "docs" / "guides" / "interop-dp-accounting.md").read_text(encoding="utf-8")
    assert result.stdout
    assert "".join(f"    {line}\n" for line in result.stdout.splitlines()) in page
