"""Opacus with Poisson sampling: its own public entry points, end to end, against the accountant and against exact laws."""

import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_sampled import divergence, every_draw, strings

from accountant import PNSGD, InputError, UnlearningAccountant, UnreachableError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")
    pytest.importorskip("opacus")
    from opacus import PrivacyEngine
    from opacus.accountants import create_accountant
    from opacus.schedulers import ExponentialNoise
    from opacus.utils.batch_memory_manager import BatchMemoryManager
    from test_interop_opacus import DECAY, DELTA, names, private, problem, train, training

    from accountant.interop import opacus as interop

__all__ = ["names"]  # the fixture: every test registers for itself

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning"),
]

N, B = 1024, 128
J = N // B
ALGORITHM = PNSGD(problem(n=N, adjacency="remove"), B, step_size=1.0, assignment="poisson")


def own(epochs: int, **changes: Any) -> UnlearningAccountant:
    """The product's own accountant of whole epochs."""
    return UnlearningAccountant(replace(ALGORITHM, learn_epochs=epochs, largest_n=N, **changes))


@pytest.mark.parametrize("adjacency", ["remove", "replace"])
def test_a_training_run_meets_its_target_and_reports_what_the_accountant_says(adjacency: str) -> None:
    given = replace(ALGORITHM, problem=replace(ALGORITHM.problem, adjacency=adjacency))
    interop.register(given)
    engine = PrivacyEngine(accountant="hidden-state")
    module, optimizer, loader = engine.make_private_with_epsilon(
        **training(n=N, b=B), target_epsilon=1.0, target_delta=DELTA, epochs=4, max_grad_norm=1.0
    )
    train(module, optimizer, loader, epochs=4)
    assert len(engine.accountant) == 4 * J
    sigma = engine.accountant.sigma(optimizer.noise_multiplier)
    expected = own(4, problem=given.problem).epsilon(sigma=sigma, delta=DELTA, steps=0)
    reported = engine.get_epsilon(DELTA)
    assert expected * (1 - 1e-9) <= reported <= expected * (1 + 1e-9)
    assert 0.98 <= reported <= 1.0
    guarantee = engine.accountant.guarantee()
    assert guarantee.kind == "gaussian-mixture"
    assert guarantee.epsilon(DELTA) == pytest.approx(reported, rel=1e-9)
    said = " ".join(guarantee.assumptions)
    for words in (f"the divisor is b = {B} whatever", "stay secret for ever", "learning runs 32 steps", "is paid"):
        assert words in said


@pytest.mark.parametrize("steps", [1, 3, J - 1, J, J + 5])
def test_histories_are_followed_step_by_step(steps: int) -> None:
    accountant = interop.register(ALGORITHM)()
    accountant.history = [(2.0, 1 / J, steps)]
    found = accountant.get_epsilon(DELTA)
    whole = -(-steps // J)
    most = own(whole).epsilon(sigma=accountant.sigma(2.0), delta=DELTA, steps=0)
    assert found == pytest.approx(most, rel=1e-9) if steps % J == 0 else found < most
    assert accountant.guarantee().epsilon(DELTA) == pytest.approx(found, rel=1e-9)


def test_never_below_the_truth_of_every_draw() -> None:
    """Four batches, up to nine steps: every set of visits by its own cheapest shifts."""
    small = PNSGD(problem(n=4096, adjacency="remove"), 1024, step_size=1.0, assignment="poisson")
    accountant = interop.register(small, name="small")()
    # every_draw goes over whole epochs: of draws of nine steps those without the three oldest.
    chances, draws = every_draw(replace(small, learn_epochs=3))
    for steps in (1, 4, 9):
        kept = [k for k, draw in enumerate(draws) if all(r < steps for r in draw)]
        weights = chances[kept] / chances[kept].sum()
        mu = strings(replace(small, learn_epochs=3), [draws[k] for k in kept], 0)
        for noise in (0.7, 2.0):
            accountant.history = [(noise, 1 / 4, steps)]
            scaled = mu / accountant.sigma(noise)
            one, nothing = (weights, scaled), (np.ones(1), np.zeros(1))
            epsilon = accountant.get_epsilon(DELTA)
            truth = max(divergence(one, nothing, epsilon), divergence(nothing, one, epsilon))
            assert truth <= DELTA * (1 + 1e-9)
            assert steps > 1 or truth >= DELTA * (1 - 1e-3)


def test_a_run_of_opacus_moves_as_far_as_its_visits_say() -> None:
    """Linear losses and weight decay: what one record's visits add to the last iterate, in standard deviations of its noise."""
    d, decay = 4_000, 0.1
    given = PNSGD(problem(n=250, smoothness=decay, strong_convexity=decay, adjacency="remove"), 32, step_size=1.5,
                  assignment="poisson")  # fmt: skip
    accountant = interop.register(given, batches="worst")
    run = accountant()._algorithm
    engine = PrivacyEngine(accountant="hidden-state")
    given_run = training(n=250, b=32, d=d, lr=1.5, decay=decay)
    with torch.no_grad():
        given_run["module"].weight.zero_()
        features = given_run["data_loader"].dataset.tensors[0]
        features.zero_()
        features[7, 0] = 1.0
    module, optimizer, loader = private(engine, given_run, noise_multiplier=0.01, poisson_sampling=True)
    visited = []
    for _ in range(6):
        for x, _ in loader:
            visited.append(bool((x[:, 0] > 0).any()))
            optimizer.zero_grad()
            (module(x).sum() / max(len(x), 1)).backward()
            optimizer.step()
    steps = len(visited)
    assert steps == len(engine.accountant) == 48
    final = module._module.weight.detach()[0]
    c, noise = run.contraction, run.noise_std(engine.accountant.sigma(0.01))
    spread = noise * math.sqrt(sum(c ** (2 * k) for k in range(steps)))
    assert float(final[1:].std()) == pytest.approx(spread, rel=0.05)
    moved = math.exp(run.log_sensitivity(0.0)) * sum(c ** (steps - 1 - k) for k, there in enumerate(visited) if there)
    assert abs(float(-final[0]) - moved) < 6 * spread
    assert any(visited)


def test_memory_manager_splits_batches_and_changes_nothing() -> None:
    interop.register(ALGORITHM)
    engine = PrivacyEngine(accountant="hidden-state")
    module, optimizer, loader = private(engine, training(n=N, b=B), poisson_sampling=True)
    with BatchMemoryManager(data_loader=loader, max_physical_batch_size=50, optimizer=optimizer) as small:
        train(module, optimizer, small)
    assert len(engine.accountant) == J
    assert engine.accountant.history == [(2.0, 1 / J, J)]


def test_what_the_theory_does_not_cover_is_refused() -> None:
    interop.register(ALGORITHM)

    def refused(words: str, run: dict[str, Any], **call: Any) -> None:
        with pytest.raises(InputError, match=words):
            private(PrivacyEngine(accountant="hidden-state"), training(**({"n": N, "b": B} | run)),
                    **({"poisson_sampling": True} | call))  # fmt: skip

    refused("poisson_sampling must be True for assignment=poisson", {}, poisson_sampling=False)
    refused("must have n = 1024 points, got 512", {"n": 512})
    refused("must have 8 batches an epoch, n over batch_size rounded up, got 16", {"b": 64})
    refused("rand_on_empty must be False", {}, rand_on_empty=True)
    refused("weight_decay must be at least strong_convexity = 0.02, which a small batch does not have", {"decay": 0.01})
    refused("max_grad_norm must be", {}, max_grad_norm=2.0)
    for assignment in ("secret", "fresh"):
        with pytest.raises(InputError, match="assignment must be partition or poisson"):
            interop.register(replace(ALGORITHM, assignment=assignment), name="other")
    for batches in ("reshuffle", 3):
        with pytest.raises(InputError, match="batches must be random or worst"):
            interop.register(ALGORITHM, batches=batches, name="other")
    # A radius gives small batches no strong convexity.
    interop.register(replace(ALGORITHM, radius=1.0), name="ball")
    with pytest.raises(InputError, match="weight_decay must be at least"):
        private(PrivacyEngine(accountant="ball"), training(n=N, b=B, decay=0.0), poisson_sampling=True)


def test_noise_that_changes_is_refused_by_name() -> None:
    interop.register(ALGORITHM)
    engine = PrivacyEngine(accountant="hidden-state")
    module, optimizer, loader = private(engine, training(n=N, b=B), poisson_sampling=True)
    train(module, optimizer, loader, after=ExponentialNoise(optimizer, gamma=0.9).step)
    with pytest.raises(InputError, match="assignment=poisson is answered at one noise multiplier, got 8"):
        engine.get_epsilon(DELTA)


def test_batches_that_are_too_large_are_paid_for_or_refused() -> None:
    """With a step of 1.8/L more than 1.1 b others undo the contraction: the rule, and no delta pays for it."""
    interop.register(replace(ALGORITHM, step_size=1.8 / ALGORITHM.problem.smoothness), name="large")
    accountant = create_accountant("large")
    accountant.history = [(2.0, 1 / J, 4 * J)]
    with pytest.raises(UnreachableError, match=r"a batch is too large .* does not pay for"):
        accountant.get_epsilon(DELTA)
    assert accountant.guarantee().added > DELTA


def test_states_and_longer_runs_need_less_than_published_iterates() -> None:
    interop.register(ALGORITHM)
    accountant = create_accountant("hidden-state")
    accountant.history = [(4.0, 1 / J, 100 * J)]
    every = create_accountant("prv")
    every.history = accountant.history
    assert accountant.get_epsilon(DELTA) < every.get_epsilon(DELTA)
    again = create_accountant("hidden-state")
    again.load_state_dict(accountant.state_dict())
    assert again.get_epsilon(DELTA) == accountant.get_epsilon(DELTA)
    assert accountant.state_dict()["settings"]["algorithm"]["assignment"] == "poisson"
    assert ALGORITHM.problem.strong_convexity == DECAY
