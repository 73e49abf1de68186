"""Opacus: its own public entry points, end to end, against the accountant and against its own arithmetic."""

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accountant import PNSGD, InputError, Problem, UnlearningAccountant, mixture_epsilon, optimal_shifts
from accountant.numerics import MissingExtraError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")
    pytest.importorskip("opacus")
    from opacus import PrivacyEngine
    from opacus.accountants import create_accountant, registry
    from opacus.accountants.utils import get_noise_multiplier
    from opacus.schedulers import ExponentialNoise

    from accountant.interop import opacus as interop

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning"),
]

N, D, B, DECAY, DELTA = 256, 5, 32, 0.02, 1e-5
J = N // B


def problem(**changes: Any) -> Problem:
    """Logistic regression on unit-norm features, with weight decay."""
    given: dict[str, Any] = {
        "n": N, "smoothness": 0.25 + DECAY, "strong_convexity": DECAY, "lipschitz": 1.0, "adjacency": "zero-out",
    }  # fmt: skip
    return Problem(**(given | changes))


ALGORITHM = PNSGD(problem(), B, step_size=1.0)


@pytest.fixture(autouse=True)
def names() -> Iterator[None]:
    """Every test registers for itself."""
    before = dict(registry._ACCOUNTANTS)
    yield
    registry._ACCOUNTANTS.clear()
    registry._ACCOUNTANTS.update(before)


def training(
    *, n: int = N, b: int = B, d: int = D, shuffle: bool = True, lr: float = 1.0, decay: float = DECAY, **loader: Any
) -> dict[str, Any]:
    """Module, optimizer and data loader, as make_private takes them."""
    torch.manual_seed(0)
    features = torch.nn.functional.normalize(torch.randn(n, d))
    data = torch.utils.data.TensorDataset(features, (features[:, 0] > 0).float())
    module = torch.nn.Linear(d, 1, bias=False)
    return {
        "module": module,
        "optimizer": torch.optim.SGD(module.parameters(), lr=lr, weight_decay=decay),
        "data_loader": torch.utils.data.DataLoader(data, batch_size=b, shuffle=shuffle, **loader),
    }


def private(engine: Any, run: dict[str, Any], **changes: Any) -> tuple[Any, Any, Any]:
    return engine.make_private(**({"noise_multiplier": 2.0, "max_grad_norm": 1.0, "poisson_sampling": False} | run | changes))


def train(module: Any, optimizer: Any, loader: Any, epochs: int = 1, after: Any = None) -> None:
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(module(x)[:, 0], y).backward()
            optimizer.step()
            if after is not None:
                after()


@pytest.mark.parametrize(("batches", "shuffle"), [("reshuffle", True), ("random", False), ("worst", False), (3, False)])
def test_a_training_run_meets_its_target_and_reports_what_the_accountant_says(batches: Any, shuffle: bool) -> None:
    interop.register(ALGORITHM, batches=batches)
    engine = PrivacyEngine(accountant="hidden-state")
    module, optimizer, loader = engine.make_private_with_epsilon(
        **training(shuffle=shuffle), target_epsilon=1.0, target_delta=DELTA, epochs=6, max_grad_norm=1.0, poisson_sampling=False
    )
    train(module, optimizer, loader, epochs=6)
    assert len(engine.accountant) == 6 * J
    own = UnlearningAccountant(PNSGD(problem(), B, step_size=1.0, learn_epochs=6), batches=batches)
    sigma = engine.accountant.sigma(optimizer.noise_multiplier)
    assert optimizer.noise_multiplier == pytest.approx(own.algorithm.noise_multiplier(sigma), rel=1e-14)
    reported, expected = engine.get_epsilon(DELTA), own.epsilon(sigma=sigma, delta=DELTA, steps=0)
    assert expected <= reported <= expected * (1 + 1e-11)
    assert 0.99 <= reported <= 1.0
    assert engine.accountant.guarantee().epsilon(DELTA) == pytest.approx(reported, rel=1e-11)


@pytest.mark.parametrize("target", [0.1, 1.0, 8.0, 500.0])
def test_calibrated_noise_is_ours_to_opacus_tolerance_and_never_less(target: float) -> None:
    interop.register(ALGORITHM)
    tolerance = 1e-7 * target
    found = get_noise_multiplier(
        target_epsilon=target, target_delta=DELTA, sample_rate=1 / J, epochs=10, accountant="hidden-state",
        epsilon_tolerance=tolerance,
    )  # fmt: skip
    own = UnlearningAccountant(PNSGD(problem(), B, step_size=1.0, learn_epochs=10))
    sigma = own.sigma(epsilon=target, delta=DELTA, steps=0)
    ours = own.algorithm.noise_multiplier(sigma)
    assert ours * (1 - 1e-12) <= found <= ours * (1 + 1e-6)


def test_the_noise_of_one_optimizer_step_is_that_of_the_algorithm() -> None:
    d = 40_000
    algorithm = PNSGD(problem(lipschitz=0.5), B, step_size=0.8)
    interop.register(algorithm, batches="worst")
    engine = PrivacyEngine(accountant="hidden-state")
    run = training(d=d, shuffle=False, lr=0.8)
    with torch.no_grad():
        run["module"].weight.zero_()
    module, optimizer, loader = private(engine, run, noise_multiplier=3.0, max_grad_norm=0.5)
    x, y = next(iter(loader))
    torch.nn.functional.binary_cross_entropy_with_logits(module(x)[:, 0], y).backward()
    optimizer.step()
    # The gradient of a batch is small against the noise in so many dimensions.
    measured = float(module._module.weight.detach().std())
    assert measured == pytest.approx(algorithm.noise_std(engine.accountant.sigma(3.0)), rel=0.015)


@pytest.mark.parametrize(("n", "b", "divisor"), [(N, B, B), (49 * 8, 8, 7), (250, 32, 35)])
def test_a_step_of_opacus_is_a_step_of_the_algorithm_as_run(n: int, b: int, divisor: int) -> None:
    given = PNSGD(problem(n=n, lipschitz=0.3), b, step_size=0.7, last_batch="drop")
    own = interop.as_run(given)
    run = training(n=n, b=b, shuffle=False, lr=0.7, drop_last=True)
    start = run["module"].weight.detach().clone()
    module, optimizer, loader = private(PrivacyEngine(accountant="rdp"), run, noise_multiplier=0.0, max_grad_norm=0.3)
    assert optimizer.expected_batch_size == divisor
    x, y = next(iter(loader))
    torch.nn.functional.binary_cross_entropy_with_logits(module(x)[:, 0], y).backward()
    optimizer.step()
    gradients = (torch.sigmoid(x @ start[0]) - y)[:, None] * x
    clipped = gradients * (0.3 / (gradients.norm(dim=1) + 1e-6)).clamp(max=1.0)[:, None]
    # A scaled data loss: M' over b is Opacus's M over its divisor; the decay is not scaled.
    scale = own.problem.lipschitz / 0.3
    assert scale == pytest.approx(b / divisor)
    expected = start[0] - 0.7 * (scale * clipped.mean(dim=0) + DECAY * start[0])
    assert torch.allclose(module._module.weight[0], expected, atol=1e-6)
    assert own.problem.strong_convexity == DECAY
    assert own.problem.smoothness >= 0.25 * scale + DECAY


@pytest.mark.parametrize(("n", "b", "epochs"), [(N, B, 3), (49 * 8, 8, 2), (250, 32, 3)])
def test_two_runs_of_opacus_are_as_far_apart_as_the_accountant_says(n: int, b: int, epochs: int) -> None:
    """Linear losses and weight decay, with and without one point's gradient: two Gaussians, the case that attains the bound."""
    d, position, decay = 5_000, 2, 0.1
    given = PNSGD(problem(n=n, smoothness=decay, strong_convexity=decay), b, step_size=1.5, last_batch="drop")
    accountant = interop.register(given, batches=position)
    finals = []
    for there in (True, False):
        engine = PrivacyEngine(accountant="hidden-state")
        run = training(n=n, b=b, d=d, shuffle=False, lr=1.5, decay=decay, drop_last=True)
        with torch.no_grad():
            run["module"].weight.zero_()
            features = run["data_loader"].dataset.tensors[0]
            features[position * b] = 0.0
            features[position * b, 0] = float(there)
        noise = torch.Generator().manual_seed(7)
        module, optimizer, loader = private(engine, run, noise_multiplier=2.0, noise_generator=noise)
        for _ in range(epochs):
            for x, _ in loader:
                optimizer.zero_grad()
                module(x).mean().backward()
                optimizer.step()
        finals.append(module._module.weight.detach()[0])
    # The same noise in both: the difference is that of the means.
    measured = float(abs(finals[0][0] - finals[1][0]) / finals[1][1:].std())
    own = UnlearningAccountant(PNSGD(accountant()._algorithm.problem, b, step_size=1.5, last_batch="drop", learn_epochs=epochs))
    slack = own.with_(batches=position).tightness(steps=0)
    assert measured == pytest.approx(float(engine.accountant.guarantee().values[0]) / slack, rel=0.03)


def unrolled(positions: int, steps: int, noise: np.ndarray, adjacency: str = "zero-out") -> float:
    """Epsilon of a cyclic history step by step: every position's own arrays of constants."""
    factor = 2.0 if adjacency == "replace" else 1.0
    mu = []
    for j in range(positions):
        h = np.where(np.arange(steps) % positions == j, factor / B, 0.0)
        mu.append(optimal_shifts(contraction=np.full(steps, 1 - DECAY), sensitivity=h, noise_std=noise / B).mu)
    return float(mixture_epsilon(delta=DELTA, weights=np.full(positions, 1 / positions), mu=np.array(mu)))


@pytest.mark.parametrize("steps", [1, 3, J, 2 * J + 5])
def test_histories_that_end_inside_an_epoch_are_followed_step_by_step(steps: int) -> None:
    accountant = interop.register(ALGORITHM)()
    for _ in range(steps):
        accountant.step(noise_multiplier=2.0, sample_rate=1 / J)
    assert accountant.get_epsilon(DELTA) == pytest.approx(unrolled(J, steps, np.full(steps, 2.0)), rel=1e-9)


def test_histories_whose_noise_changes_are_schedules() -> None:
    interop.register(ALGORITHM)
    engine = PrivacyEngine(accountant="hidden-state")
    module, optimizer, loader = private(engine, training(shuffle=False))
    scheduler = ExponentialNoise(optimizer, gamma=0.9)
    train(module, optimizer, loader, epochs=2, after=scheduler.step)
    noise = 2.0 * 0.9 ** np.arange(2 * J)
    assert len(engine.accountant.history) == len(engine.accountant) == 2 * J
    assert engine.get_epsilon(DELTA) == pytest.approx(unrolled(J, 2 * J, noise), rel=1e-9)
    assert engine.accountant.guarantee().epsilon(DELTA) == pytest.approx(engine.get_epsilon(DELTA), rel=1e-10)


def test_few_stretches_of_noise_are_the_same_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    accountant = interop.register(ALGORITHM)()
    accountant.history = [(2.0, 1 / J, J), (1.0, 1 / J, 3), (4.0, 1 / J, 2 * J)]
    few = accountant.get_epsilon(DELTA)
    monkeypatch.setattr(interop, "_FEW_PHASES", 0)
    interop._unit_curve.cache_clear()
    interop._accountant.cache_clear()
    assert accountant.get_epsilon(DELTA) == pytest.approx(few, rel=1e-10)
    accountant.history = [(1.0 + k, 1 / J, 10**6) for k in range(10)]
    with pytest.raises(InputError, match="at most 100000 steps where its noise multiplier changes"):
        accountant.get_epsilon(DELTA)


def test_reshuffled_batches_are_answered_after_whole_epochs_at_one_noise() -> None:
    accountant = interop.register(ALGORITHM, batches="reshuffle")()
    accountant.history = [(2.0, 1 / J, J + 1)]
    with pytest.raises(InputError, match=r"whole epochs of 8 steps at one noise multiplier, got 9 steps at 1"):
        accountant.get_epsilon(DELTA)
    accountant.history = [(2.0, 1 / J, J), (1.0, 1 / J, J)]
    with pytest.raises(InputError, match="got 16 steps at 2"):
        accountant.get_epsilon(DELTA)
    accountant.history = [(2.0, 1 / J, J), (2.0, 1 / J, J)]
    assert 0 < accountant.get_epsilon(DELTA) < 10


def test_adjacency_is_the_problems_own() -> None:
    dropped = interop.register(ALGORITHM)()
    replaced = interop.register(PNSGD(problem(adjacency="replace"), B, step_size=1.0), name="replace")()
    dropped.history, replaced.history = [(2.0, 1 / J, 3 * J)], [(4.0, 1 / J, 3 * J)]
    # A replaced point changes a step by 2M, a dropped one by M.
    assert dropped.get_epsilon(DELTA) == pytest.approx(replaced.get_epsilon(DELTA), rel=1e-12)
    said = "adjacency zero-out: the deleted point's gradient is dropped, its batch keeps its divisor"
    assert said in dropped.guarantee().assumptions
    assert "adjacency replace: the deleted point is replaced by another" in replaced.guarantee().assumptions


def test_without_a_problem_nothing_is_accounted() -> None:
    with pytest.raises(InputError, match=r"^hidden-state does not know the problem: call accountant\.interop\.opacus\."):
        PrivacyEngine(accountant="hidden-state")
    with pytest.raises(InputError, match="call accountant"):
        get_noise_multiplier(target_epsilon=1, target_delta=DELTA, sample_rate=0.1, epochs=1, accountant="hidden-state")


def test_poisson_sampling_is_refused_before_anything_is_trained() -> None:
    for batches, shuffle in (("random", False), ("reshuffle", True)):
        interop.register(ALGORITHM, batches=batches, replace=True)
        with pytest.raises(InputError, match=r"poisson_sampling must be False .* poisson_sampling=False\)"):
            private(PrivacyEngine(accountant="hidden-state"), training(shuffle=shuffle), poisson_sampling=True)
    # Attached by hand, it shows in the first batch of another size, before the model changes.
    accountant = interop.register(ALGORITHM, replace=True)()
    module, optimizer, loader = private(PrivacyEngine(accountant="rdp"), training(shuffle=False), poisson_sampling=True)
    optimizer.attach_step_hook(accountant.get_optimizer_hook_fn(1 / J))
    before = module._module.weight.detach().clone()
    with pytest.raises(InputError, match="one whole batch of 32 points, got"):
        train(module, optimizer, loader, after=lambda: before.copy_(module._module.weight.detach()))
    assert torch.equal(before, module._module.weight)


@pytest.mark.parametrize(
    ("batches", "run", "call", "words"),
    [
        ("random", {"shuffle": True}, {}, "must have shuffle=False and no sampler of its own for batches=random, got Random"),
        ("worst", {"shuffle": True}, {}, "must have shuffle=False"),
        ("reshuffle", {"shuffle": False}, {}, "must have shuffle=True"),
        ("reshuffle", {"n": 512}, {}, "must have n = 256 points, got 512"),
        ("reshuffle", {"b": 64}, {}, "must have batch_size = 32, got 64"),
        ("reshuffle", {"lr": 0.5}, {}, "learning rate must stay at step_size = 1, got 0.5"),
        ("reshuffle", {"decay": 0.01}, {}, "weight_decay must be at least strong_convexity = 0.02"),
        ("reshuffle", {"decay": 0.5}, {}, "weight_decay must be at most smoothness = 0.27"),
        ("reshuffle", {}, {"max_grad_norm": 1.5}, r"max_grad_norm must be the problem's lipschitz = 1, got 1\.5"),
        ("reshuffle", {}, {"loss_reduction": "sum"}, "loss_reduction must be mean"),
        ("reshuffle", {}, {"clipping": "per_layer", "max_grad_norm": [1.0]}, "DPOptimizer with flat clipping, got DPPerLayer"),
    ],
)
def test_what_the_theory_does_not_cover_is_refused_in_make_private(
    batches: str, run: dict[str, Any], call: dict[str, Any], words: str
) -> None:
    interop.register(ALGORITHM, batches=batches)
    with pytest.raises(InputError, match=words):
        private(PrivacyEngine(accountant="hidden-state"), training(**run), **call)


def test_other_optimizers_and_samplers_are_refused() -> None:
    interop.register(ALGORITHM, batches="reshuffle")
    engine = PrivacyEngine(accountant="hidden-state")

    def refused(words: str, **settings: Any) -> None:
        run = training()
        if settings:
            kind = settings.pop("kind")
            run["optimizer"] = kind(run["module"].parameters(), lr=1.0, weight_decay=DECAY, **settings)
        else:
            data = run["data_loader"].dataset
            sampler = torch.utils.data.RandomSampler(data, replacement=True)
            run["data_loader"] = torch.utils.data.DataLoader(data, batch_size=B, sampler=sampler)
        with pytest.raises(InputError, match=words):
            private(engine, run)

    refused(r"must be torch\.optim\.SGD, got Adam", kind=torch.optim.Adam)
    refused("momentum=0", kind=torch.optim.SGD, momentum=0.9)
    refused("no sampler of its own")


def test_changes_during_training_stop_it_before_the_step() -> None:
    interop.register(ALGORITHM, batches="reshuffle")
    engine = PrivacyEngine(accountant="hidden-state")
    module, optimizer, loader = private(engine, training())
    train(module, optimizer, loader)
    for name, value in (("lr", 0.5), ("weight_decay", 0.0)):
        before = optimizer.param_groups[0][name]
        optimizer.param_groups[0][name] = value
        with pytest.raises(InputError):
            train(module, optimizer, loader)
        optimizer.param_groups[0][name] = before
    x, y = next(iter(loader))
    optimizer.zero_grad()
    for _ in range(2):
        torch.nn.functional.binary_cross_entropy_with_logits(module(x)[:, 0], y).backward()
    with pytest.raises(InputError, match="one whole batch of 32 points, got 64"):
        optimizer.step()
    optimizer.zero_grad()
    assert len(engine.accountant) == J
    other = private(engine, training())
    with pytest.raises(InputError, match="another one needs its own PrivacyEngine"):
        train(*other)


def test_batches_have_one_size() -> None:
    with pytest.raises(InputError, match=r"batch_size must divide n = 250, got 32: .* drop_last=True"):
        interop.register(PNSGD(problem(n=250), B, step_size=1.0))
    interop.register(PNSGD(problem(n=250), B, step_size=1.0, last_batch="drop"), batches="reshuffle")
    engine = PrivacyEngine(accountant="hidden-state")
    module, optimizer, loader = private(engine, training(n=250, drop_last=True))
    train(module, optimizer, loader, epochs=2)
    assert len(engine.accountant) == 14
    assert 0 < engine.get_epsilon(DELTA) < 10
    with pytest.raises(InputError, match="must have drop_last=True"):
        private(PrivacyEngine(accountant="hidden-state"), training(n=250))


def test_names() -> None:
    first = interop.register(ALGORITHM)
    assert interop.register(ALGORITHM) is first
    assert first.mechanism() == "hidden-state"
    with pytest.raises(InputError, match="registered with other settings: give another name, or replace=True"):
        interop.register(ALGORITHM, batches="worst")
    with pytest.raises(InputError, match="registered"):
        interop.register(ALGORITHM, name="rdp")
    other = interop.register(ALGORITHM, batches="worst", name="hidden-state-worst")
    assert type(create_accountant("hidden-state-worst")) is other
    engine = PrivacyEngine(accountant="hidden-state")
    interop.register(ALGORITHM, batches="worst", replace=True)
    with pytest.raises(InputError, match="registered anew"):
        private(engine, training(shuffle=False))
    for wrong in ({"algorithm": problem()}, {"algorithm": PNSGD(problem(), B, learn_epochs=3)}, {"batches": "poisson"},
                  {"batches": (1,) + (0,) * (J - 1)}, {"name": ""}):  # fmt: skip
        with pytest.raises(InputError):
            interop.register(**({"algorithm": ALGORITHM, "name": "wrong"} | wrong))


def test_a_state_says_everything_and_only_fits_its_own_settings(tmp_path: Any) -> None:
    interop.register(ALGORITHM, batches="reshuffle")
    engine = PrivacyEngine(accountant="hidden-state")
    module, optimizer, loader = private(engine, training())
    train(module, optimizer, loader)
    engine.save_checkpoint(path=tmp_path / "state", module=module, optimizer=optimizer)
    fresh = PrivacyEngine(accountant="hidden-state")
    module, optimizer, loader = private(fresh, training())
    fresh.load_checkpoint(path=tmp_path / "state", module=module, optimizer=optimizer)
    assert fresh.get_epsilon(DELTA) == engine.get_epsilon(DELTA)
    train(module, optimizer, loader, epochs=2)
    assert (len(fresh.accountant), len(engine.accountant)) == (3 * J, J)
    state = json.loads(json.dumps(engine.accountant.state_dict()))
    assert state["settings"]["algorithm"]["step_size"] == 1.0
    again = create_accountant("hidden-state")
    again.load_state_dict(state)
    assert again.get_epsilon(DELTA) == engine.get_epsilon(DELTA)
    state["history"][0][2] = 5
    assert len(again) == J
    other = interop.register(ALGORITHM, name="other")()
    with pytest.raises(InputError, match="must be of these settings"):
        other.load_state_dict(state)
    for wrong in ({"history": [(1.0, 1 / J)]}, {"history": [(-1.0, 1 / J, 5)]}, {"history": [(1.0, 0.01, 5)]},
                  {"history": [(1.0, 1 / J, 1.5)]}, {"mechanism": "rdp"}):  # fmt: skip
        with pytest.raises(ValueError, match=r"."):
            again.load_state_dict(dict(state) | wrong)
        assert len(again) == J
    for wrong_state in ({}, None, {"history": [], "mechanism": "hidden-state"}):
        with pytest.raises(ValueError, match=r"."):
            again.load_state_dict(wrong_state)


def test_a_question_changes_nothing() -> None:
    accountant = interop.register(ALGORITHM)()
    assert (accountant.get_epsilon(DELTA), len(accountant)) == (0.0, 0)
    with pytest.raises(InputError, match="needs a step"):
        accountant.guarantee()
    accountant.history = [(3.0, 1 / J, 0)]
    assert (accountant.get_epsilon(DELTA), len(accountant)) == (0.0, 0)
    accountant.history = [[2.0, 1 / J, J], (2.0, 1 / J, 0), (1.0, 1 / J, 3)]
    before = json.dumps(accountant.state_dict())
    first = accountant.get_epsilon(DELTA)
    accountant.guarantee()
    assert accountant.get_epsilon(DELTA) == first
    assert json.dumps(accountant.state_dict()) == before


@pytest.mark.parametrize("noise", [float("nan"), float("inf"), -1.0, 0.0, "1", None])
def test_noise_that_is_none_is_refused(noise: Any) -> None:
    accountant = interop.register(ALGORITHM)()
    with pytest.raises(InputError, match="noise_multiplier must be"):
        accountant.step(noise_multiplier=noise, sample_rate=1 / J)
    assert accountant.history == []
    accountant.history = [(noise, 1 / J, 5)]
    with pytest.raises(InputError, match="noise_multiplier must be"):
        accountant.get_epsilon(DELTA)


@pytest.mark.parametrize("rate", [float("nan"), 0.0, -0.1, 1.0, 2 / J, 0.1])
def test_only_the_rate_of_one_batch_is_a_sample_rate(rate: float) -> None:
    accountant = interop.register(ALGORITHM)()
    with pytest.raises(InputError, match="sample_rate must be"):
        accountant.step(noise_multiplier=1.0, sample_rate=rate)
    with pytest.raises(InputError, match="sample_rate must be"):
        accountant.get_optimizer_hook_fn(rate)


@pytest.mark.no_cover  # measures time
def test_extremes_are_answered_in_under_a_second() -> None:
    accountant = interop.register(ALGORITHM)()
    questions = [(1e-6, 100, 1e-5), (1e6, 10**6, 1e-300), (1.0, 10**6, 1e-5), (1.0, 10**6 + 3, 1e-5), (1e-3, 10**9, 0.9)]
    for noise, steps, delta in questions:
        accountant.history = [(noise, 1 / J, steps)]
        start = time.perf_counter()
        assert 0 <= accountant.get_epsilon(delta) < float("inf")
        assert time.perf_counter() - start < 1
    accountant.history = [(1e-200, 1 / J, 100)]
    with pytest.raises(InputError, match="noise_multiplier = 1e-200 is so small that nothing is guaranteed"):
        accountant.get_epsilon(DELTA)
    for delta in (0.0, 1.0, -1.0, float("nan"), "x"):
        with pytest.raises(InputError, match="delta must be"):
            accountant.get_epsilon(delta)
    with pytest.raises(InputError, match="takes delta only"):
        accountant.get_epsilon(1e-5, alphas=[2.0])


def test_sigma_and_noise_multiplier_are_inverse() -> None:
    accountant = interop.register(ALGORITHM)()
    assert accountant.noise_multiplier(accountant.sigma(1.7)) == pytest.approx(1.7, rel=1e-15)
    assert accountant.noise_multiplier(0.1) == pytest.approx(B * 0.1 * 2**0.5, rel=1e-15)


def test_the_example_runs() -> None:
    path = Path(__file__).resolve().parents[1] / "docs" / "examples" / "opacus_hidden_state.py"
    printed = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=True).stdout
    page = path.parents[1].joinpath("guides", "interop-opacus.md").read_text(encoding="utf-8")
    assert [line for line in printed.splitlines()[1:] if line not in page] == []


def test_the_accountant_alone_imports_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    names = "('torch', 'opacus', 'autodp', 'prv_accountant', 'dp_accounting')"
    code = f"import sys, accountant, accountant.interop; print([m for m in {names} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    for name in ("opacus", "opacus_checks"):
        monkeypatch.delitem(sys.modules, f"accountant.interop.{name}")
    monkeypatch.setitem(sys.modules, "opacus", None)
    with pytest.raises(MissingExtraError, match=r"needs opacus, .*: pip install 'unlearning-accountant\[opacus\]'"):
        import accountant.interop.opacus  # noqa: F401
