"""Guarantees of secret draws in other libraries: exported exactly, soundly, or refused by name."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

dp_accounting = pytest.importorskip("dp_accounting")

from dp_accounting import dp_event
from dp_accounting.pld import privacy_loss_distribution
from dp_accounting.pld.pld_privacy_accountant import PLDAccountant

from accountant import PNSGD, Guarantee, InputError, UnlearningAccountant, preset
from accountant.interop.dp_accounting import (
    Curve,
    SharedKeyWarning,
    UnlearningEvent,
    UnlearningPrivacyAccountant,
    mixture_event,
)

pytestmark = pytest.mark.integration

ONE = dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE
MNIST = PNSGD(replace(preset("mnist"), adjacency="remove"), 128, assignment="secret")


def secret(sigma: float = 1e-4, **changes: object) -> Guarantee:
    return UnlearningAccountant(replace(MNIST, **changes)).guarantee(sigma=sigma, epochs=1)


def exported(guarantee: Guarantee, components: int | None = None) -> tuple[dp_event.MixtureOfGaussiansDpEvent, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SharedKeyWarning)
        return mixture_event(guarantee, components=components)


@pytest.mark.parametrize(("assignment", "epochs"), [("secret", None), ("fresh", 20)])
def test_remove_is_the_librarys_own_event_exactly(assignment: str, epochs: int | None) -> None:
    guarantee = secret(assignment=assignment, learn_epochs=epochs, redraw=False if assignment == "secret" else None)
    assert guarantee.kind == "gaussian-mixture"
    event, added = exported(guarantee)
    assert added == guarantee.added > 0
    assert (event.standard_deviation, list(event.sensitivities)) == (1.0, guarantee.values.tolist())
    assert list(event.sampling_probs) == guarantee.weights.tolist()
    # The library's own distribution is above it, by what its grid and fewer components cost.
    few, _ = exported(guarantee, components=300)
    assert few == event if assignment == "secret" else len(few.sensitivities) <= 300
    pld = privacy_loss_distribution.from_mixture_gaussian_mechanism(
        1.0, few.sensitivities, few.sampling_probs, value_discretization_interval=1e-2
    )
    for epsilon in (0.0, 0.3, 1.0, 3.0):
        own, theirs = guarantee.delta(epsilon), pld.get_delta_for_epsilon(epsilon) + added
        assert own <= theirs * (1 + 1e-6) + 1e-14
        assert theirs <= own * 1.1 + 1e-9
    assert PLDAccountant(ONE).supports(event)
    assert UnlearningPrivacyAccountant(ONE).supports(event)


def test_the_warning_says_what_the_event_does_not_know() -> None:
    with pytest.warns(SharedKeyWarning, match=r"keys of their own.*shared_key=True\); add .* to delta each time"):
        mixture_event(secret(redraw=False))
    exact = Guarantee("gaussian-mixture", [0.01, 0.99], [2.0, 0.0])
    with pytest.warns(SharedKeyWarning, match=r"shared_key=True\)$"):
        event, added = mixture_event(exact)
    assert added == 0.0
    # Four releases under one key: the mixture comes last, and the composed event claims too little.
    truth = exact.self_compose(4, shared_key=True).delta(1.0)
    assert truth == pytest.approx(0.00675, abs=5e-6)
    claimed = PLDAccountant(ONE, 1e-3).compose(event, 4).get_delta(1.0)
    assert claimed == pytest.approx(0.00111, abs=5e-6)
    # Composed in our accountant they are runs with keys of their own, too, from above.
    ours = UnlearningPrivacyAccountant(ONE).compose(UnlearningEvent.from_guarantee(exact, neighboring_relation=ONE), 4)
    assert claimed <= ours.get_delta(1.0) * (1 + 1e-6)


def test_what_the_library_has_no_event_for_is_refused_by_name() -> None:
    for guarantee, words in (
        (secret(redraw=True), "no redrawn key"),
        (secret(problem=preset("mnist")), "kind gaussian-mixture for adjacency remove"),
        (UnlearningAccountant(PNSGD(preset("mnist"), 128)).guarantee(sigma=0.01, epochs=1), "got gdp"),
        (UnlearningAccountant(MNIST, group_size=2).guarantee(sigma=0.01, epochs=1), "must be about one record"),
    ):
        with pytest.raises(InputError, match=words):
            mixture_event(guarantee)


@pytest.mark.parametrize("kind", ["added", "redrawn", "stand-in"])
def test_our_event_and_accountant_take_all_of_them(kind: str) -> None:
    guarantee = {
        "added": lambda: secret(redraw=False),
        "redrawn": lambda: secret(redraw=True),
        "stand-in": lambda: secret(problem=preset("mnist")),
    }[kind]()
    event = UnlearningEvent.from_guarantee(guarantee)
    relation = event.neighboring_relation
    assert event.curve is Curve.GAUSSIAN_MIXTURE
    assert event.guarantee.epsilon(1e-4) == guarantee.epsilon(1e-4)
    assert dp_event.DpEvent.from_named_tuple(event.to_named_tuple()) == event
    accountant = UnlearningPrivacyAccountant(relation, 1e-2).compose(event)
    assert accountant.get_epsilon(1e-4) == pytest.approx(guarantee.epsilon(1e-4), rel=1e-3)
    assert accountant.get_epsilon(1e-4) >= guarantee.epsilon(1e-4)
    # Beside something else both are on the library's grid, from above.
    both = UnlearningPrivacyAccountant(relation, 1e-2).compose(event).compose(dp_event.GaussianDpEvent(2.0))
    assert both.get_epsilon(1e-4) > accountant.get_epsilon(1e-4)
    twice = UnlearningPrivacyAccountant(relation, 1e-2).compose(event, 2)
    assert twice.get_epsilon(1e-3) > accountant.get_epsilon(1e-3)


def test_two_runs_with_keys_of_their_own_are_above_the_truth() -> None:
    guarantee = Guarantee("gaussian-mixture", [0.2, 0.5, 0.3], [1.5, 0.4, 0.0], added=1e-5)
    event = UnlearningEvent.from_guarantee(guarantee, neighboring_relation=ONE)
    pld = privacy_loss_distribution.from_mixture_gaussian_mechanism(
        1.0, [1.5, 0.4, 0.0], [0.2, 0.5, 0.3], value_discretization_interval=1e-3
    ).self_compose(3)
    for epsilon in (0.2, 1.0, 2.5):
        own = UnlearningPrivacyAccountant(ONE).compose(event, 3).get_delta(epsilon)
        assert own >= (pld.get_delta_for_epsilon(epsilon) + 2.9e-5) * (1 - 1e-3)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_other_libraries_refuse_by_name() -> None:
    guarantee = secret()
    pytest.importorskip("prv_accountant")
    from accountant.interop.prv_accountant import UnlearningPRV

    with pytest.raises(InputError, match="one direction each"):
        UnlearningPRV(guarantee)
    pytest.importorskip("autodp")
    from accountant.interop.autodp import UnlearningMechanism, compose

    with pytest.raises(InputError, match="have no place for it"):
        UnlearningMechanism(1e-4, accountant=UnlearningAccountant(MNIST), epochs=1)
    # Where no batch is too large the mechanism is the curve itself.
    problem = replace(preset("mnist"), adjacency="remove", smoothness=0.011264)
    never = UnlearningAccountant(PNSGD(problem, 128, step_size=3.8, assignment="secret"))
    mechanism = UnlearningMechanism(1e-3, accountant=never, epochs=1)
    assert mechanism.neighboring == "add_remove"
    assert mechanism.get_approxDP(1e-5) == never.epsilon(sigma=1e-3, delta=1e-5, epochs=1)
    assert mechanism.RenyiDP(8.0) == mechanism.guarantee.rdp(8.0)
    twice = compose([mechanism], [2])
    assert twice.neighboring == "add_remove"
    assert twice.get_approxDP(1e-5) > mechanism.get_approxDP(1e-5)
    assert np.isfinite(twice.get_approxDP(1e-5))
