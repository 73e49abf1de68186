"""PyTorch: models unlearned end to end, everything that is refused, and attacks on the claim that must fail or succeed."""

import copy
import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accountant
from accountant import FineTuning, InputError, Schedule, Unlearn, UnlearningAccountant
from accountant.numerics import MissingExtraError
from accountant.problem import Stage

torch = pytest.importorskip("torch")
nn = torch.nn

from accountant.interop import torch as interop
from accountant.interop import torch_steps
from accountant.interop.torch import unlearn
from accountant.interop.torch_steps import Limits, clip_together, fresh_generator, joint_norm

pytestmark = pytest.mark.integration

CHECKER = Path(accountant.__file__).parent / "certificates" / "check.py"
DELTA = 1e-5
SETTING: dict[str, Any] = {
    "epsilon": 1.0, "delta": DELTA, "gradient_clip": 1.0, "start_clip": 1.0, "steps": 3, "step_size": 0.01,
}  # fmt: skip
LOSS = nn.functional.cross_entropy


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def small(**layers: Any) -> Any:
    """Two linear layers, and more by their names."""
    model = nn.Sequential()
    model.add_module("first", nn.Linear(3, 4))
    for name, layer in layers.items():
        model.add_module(name, layer)
    model.add_module("last", nn.Linear(4, 2))
    return model


def batches(count: int = 4, rows: int = 5, *, dtype: Any = torch.float32) -> list[tuple[Any, Any]]:
    return [(torch.randn(rows, 3, dtype=dtype), torch.randint(0, 2, (rows,))) for _ in range(count)]


def loader(n: int = 20, **options: Any) -> Any:
    data = torch.utils.data.TensorDataset(torch.randn(n, 3), torch.randint(0, 2, (n,)))
    return torch.utils.data.DataLoader(data, **({"batch_size": 5, "shuffle": True} | options))


def flat(model: Any) -> Any:
    return torch.cat([each.detach().double().flatten() for each in model.parameters()]).numpy()


# --- what a run does


@pytest.mark.parametrize("model_clip", [None, 0.8])
def test_a_model_is_unlearned_with_the_noise_and_the_guarantee_that_the_accountant_says(model_clip: float | None) -> None:
    engine = UnlearningAccountant(FineTuning(step_size=0.01, gradient_clip=1.0, start_clip=1.0, model_clip=model_clip))
    given = small()
    before = copy.deepcopy(given.state_dict())
    model, guarantee = unlearn(given, loader(), LOSS, **SETTING, model_clip=model_clip)
    sigma = engine.sigma(epsilon=1.0, delta=DELTA, steps=3)
    assert guarantee.context["sigma"] == sigma
    assert guarantee.context["steps"] == 3
    assert guarantee.epsilon(DELTA) == pytest.approx(1.0, rel=1e-9)
    assert "epsilon = " in guarantee.statement
    assert any("torch.Generator" in line for line in guarantee.assumptions)
    assert model is not given
    assert all(torch.equal(each, before[name]) for name, each in given.state_dict().items())
    assert not np.array_equal(flat(model), flat(given))
    assert all(each.requires_grad and each.grad is None for each in model.parameters())
    if model_clip is not None:
        assert np.linalg.norm(flat(model)) <= model_clip * (1 + 1e-6)


@pytest.mark.parametrize("model_clip", [None, 0.8])
def test_a_certificate_is_written_that_the_checker_accepts(tmp_path: Path, model_clip: float | None) -> None:
    place = tmp_path / "certificate.json"
    _, guarantee = unlearn(small(), loader(), LOSS, **SETTING, model_clip=model_clip, certificate=place)
    run = subprocess.run([sys.executable, "-I", str(CHECKER), str(place)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    inputs = json.loads(place.read_text())["inputs"]
    assert float(Fraction(inputs["epsilon"])) == pytest.approx(1.0, rel=1e-6)
    assert float(Fraction(inputs["sigma"])) == guarantee.context["sigma"]
    assert (inputs["steps"], Fraction(inputs["start_clip"])) == (3, 1)


def test_no_certificate_of_a_run_that_was_refused(tmp_path: Path) -> None:
    place = tmp_path / "certificate.json"
    with pytest.raises(InputError, match="loss must be finite"):
        unlearn(small(), loader(), lambda out, y: out.sum() * float("nan"), **SETTING, certificate=place)
    assert not place.exists()


def run_never(outputs: Any, targets: Any) -> Any:
    raise AssertionError("a step was taken")


def test_a_certificate_that_cannot_be_written_is_refused_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "none" / "file")
    for place in (tmp_path, tmp_path / "loop", tmp_path / ("x" * 300), "a\0b", ""):
        with pytest.raises(InputError, match="certificate must be a file that can be written") as found:
            unlearn(small(), loader(), run_never, **SETTING, certificate=place)
        assert repr(str(place)) in str(found.value)
    for place in (tmp_path / "none" / "file", tmp_path / "loop" / "file"):
        with pytest.raises(InputError, match="certificate must be a file in a folder that exists"):
            unlearn(small(), loader(), run_never, **SETTING, certificate=place)
    assert [each.name for each in tmp_path.iterdir()] == ["loop"]


def test_a_certificate_is_made_and_checked_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "certificate.json"
    place.write_text("there before")

    def refused(*_: Any, **__: Any) -> Any:
        raise InputError("not this one")

    for name in ("certify_steps", "check_again"):
        with monkeypatch.context() as patch:
            patch.setattr(accountant.certificates, name, refused)
            with pytest.raises(InputError, match="not this one"):
                unlearn(small(), loader(), run_never, **SETTING, certificate=place)
    assert place.read_text() == "there before"


def test_a_certificate_that_cannot_be_written_any_more_is_named(tmp_path: Path) -> None:
    place = tmp_path / "folder" / "certificate.json"
    place.parent.mkdir()

    def removing(outputs: Any, targets: Any) -> Any:
        if place.parent.exists():
            place.parent.rmdir()
        return LOSS(outputs, targets)

    with pytest.raises(InputError, match=r"certificate must be a file that can be written, got '.*certificate.json': No such"):
        unlearn(small(), loader(), removing, **SETTING, certificate=place)


def test_sigma_may_be_given_and_epsilon_is_told() -> None:
    setting = SETTING | {"epsilon": None, "sigma": 2.5}
    _, guarantee = unlearn(small(), loader(), LOSS, **setting)
    engine = UnlearningAccountant(FineTuning(step_size=0.01, gradient_clip=1.0, start_clip=1.0))
    assert guarantee.epsilon(DELTA) == engine.epsilon(sigma=2.5, delta=DELTA, steps=3)


@pytest.mark.parametrize("decay", [0.0, 20.0])
@pytest.mark.parametrize("model_clip", [None, 0.5])
def test_the_steps_are_those_that_are_accounted_for(
    monkeypatch: pytest.MonkeyPatch, decay: float, model_clip: float | None
) -> None:
    noise = np.random.default_rng(0).standard_normal((2, 3, 26))
    drawn = iter(noise.reshape(-1, 26))
    rest: list[Any] = []

    def known(self: Any, like: Any) -> Any:
        if not rest:
            rest.extend(next(drawn))
        taken = [rest.pop(0) for _ in range(like.numel())]
        return torch.tensor(taken, dtype=torch.float64).reshape(like.shape)

    monkeypatch.setattr(torch_steps.Parameters, "noise", known)
    model, data = small(act=nn.Tanh()).double(), batches(2, dtype=torch.float64)
    setting = SETTING | {"epsilon": None, "sigma": 0.3, "gradient_clip": 0.2, "start_clip": 0.7, "step_size": 0.04}
    found, _ = unlearn(model, data, LOSS, **setting, weight_decay=decay, model_clip=model_clip)

    def clip(x: Any, limit: float | None) -> Any:
        norm = np.linalg.norm(x)
        return x if limit is None or norm <= limit else x * (limit / norm)

    own = copy.deepcopy(model)
    x = clip(clip(flat(own), 0.7), model_clip)
    for step in range(3):
        nn.utils.vector_to_parameters(torch.tensor(x), own.parameters())
        inputs, targets = data[step % 2]
        gradients = torch.autograd.grad(LOSS(own(inputs), targets), list(own.parameters()))
        g = clip(torch.cat([each.flatten() for each in gradients]).numpy(), 0.2)
        x = clip(x - 0.04 * (g + decay * x) + 0.3 * noise.reshape(-1, 26)[step], model_clip)
    assert flat(found) == pytest.approx(x, rel=1e-9, abs=1e-9)


def test_exactly_the_planned_steps_are_taken_and_the_loader_begins_again() -> None:
    seen: list[int] = []

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = small()

        def forward(self, x: Any) -> Any:
            seen.append(len(x))
            return self.inner(x)

    unlearn(Counting(), loader(12), LOSS, **(SETTING | {"steps": 7}))
    assert seen == [5, 5, 2, 5, 5, 2, 5]


def test_the_order_of_a_loader_and_the_noise_are_drawn_anew_and_leave_the_callers_generator_alone() -> None:
    seen: list[Any] = []

    class Looking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = small()

        def forward(self, x: Any) -> Any:
            seen.append(x[0, 0].item())
            return self.inner(x)

    data, model, runs, results = loader(1000), Looking(), [], []
    for _ in range(3):
        torch.manual_seed(7)
        state = torch.get_rng_state()
        results.append(flat(unlearn(model, data, LOSS, **SETTING)[0]))
        assert torch.equal(state, torch.get_rng_state())
        runs.append(tuple(seen))
        seen.clear()
    assert len(set(runs)) == 3
    assert not np.array_equal(results[0], results[1])


def test_noise_has_the_deviation_of_the_claim_in_every_parameter() -> None:
    setting = SETTING | {"epsilon": None, "sigma": 0.5, "steps": 4, "gradient_clip": 1e-3, "start_clip": 1e-6}
    model, _ = unlearn(nn.Linear(300, 300), [(torch.zeros(1, 300), torch.zeros(1, dtype=torch.long))], LOSS, **setting)
    values = flat(model)
    assert values.std() == pytest.approx(1.0, rel=0.02)
    assert np.abs(values).max() < 6.5
    assert model.bias.detach().std().item() == pytest.approx(1.0, rel=0.2)


@pytest.mark.parametrize("shape", [(4,), (1000,)])
def test_noise_is_normal(shape: tuple[int, ...]) -> None:
    from scipy.stats import kstest

    generator = fresh_generator(torch.device("cpu"))
    draws = torch.cat(
        [torch.randn(shape, dtype=torch.float64, generator=generator) for _ in range(200_000 // shape[0])]
    ).numpy()
    assert kstest(draws, "norm").pvalue > 1e-4


def test_half_of_torchs_own_seed_would_be_ignored_and_a_whole_state_is_drawn_here() -> None:
    one, other = (torch.Generator().manual_seed(5 + 2**32 * k) for k in (0, 1))
    assert torch.equal(torch.randn(8, generator=one), torch.randn(8, generator=other))
    states = {fresh_generator(torch.device("cpu")).get_state().numpy().tobytes() for _ in range(50)}
    assert len(states) == 50
    words = np.frombuffer(states.pop(), np.uint8)[24 : 24 + 8 * 624].reshape(624, 8)
    assert (words[:, 4:] == 0).all()
    assert 110 < words[:, :4].mean() < 145
    drawn = torch.randint(0, 2**31, (100_000,), generator=fresh_generator(torch.device("cpu"))).double() / 2**31
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.01)


#: In a process of its own: forked from one whose threads hold locks a child would wait for ever.
FORKS = """
import os, pickle, sys
import torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
from test_interop_torch import LOSS, SETTING, batches, flat, small, unlearn
model, data = small(), batches()
torch.manual_seed(3)
found = []
for _ in range(3):
    read, write = os.pipe()
    if os.fork() == 0:
        try:
            os.write(write, pickle.dumps(flat(unlearn(model, data, LOSS, **SETTING)[0])))
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        found.append(pickle.load(file).tobytes())
    os.wait()
print(len(set(found)))
"""


def test_no_noise_comes_twice_in_forked_processes() -> None:
    run = [sys.executable, "-c", FORKS, str(Path(__file__).parent)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "3"


def test_dropout_and_both_modes_are_kept() -> None:
    for mode in (True, False):
        model = small(drop=nn.Dropout(0.5)).train(mode)
        model.first.eval()
        found, _ = unlearn(model, loader(), LOSS, **SETTING)
        assert [module.training for module in found.modules()] == [module.training for module in model.modules()]


def test_public_parameters_stay_and_the_others_are_clipped_together() -> None:
    model = small()
    model.first.requires_grad_(False)
    with torch.no_grad():
        model.first.weight.mul_(100)
    names = ("first.weight", "first.bias")
    setting = SETTING | {"epsilon": None, "sigma": 1e-3, "gradient_clip": 1e-6}
    found, guarantee = unlearn(model, loader(), LOSS, **setting, public=names)
    assert torch.equal(found.first.weight, model.first.weight)
    assert not found.first.weight.requires_grad
    assert np.linalg.norm(np.concatenate([each.detach().numpy().ravel() for each in found.last.parameters()])) < 1.1
    assert any("first.weight, first.bias" in line for line in guarantee.assumptions)
    model.first.requires_grad_(True)
    found, _ = unlearn(model, loader(), LOSS, **setting, public=names)
    assert torch.equal(found.first.weight, model.first.weight)
    assert found.first.weight.requires_grad


def test_a_parameter_in_two_places_is_one() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
            self.other.weight = self.one.weight
            nn.init.constant_(self.one.weight, 1.0)

        def forward(self, x: Any) -> Any:
            return self.other(self.one(x))

    setting = SETTING | {"epsilon": None, "sigma": 1e-6, "gradient_clip": 1e-6}
    found, _ = unlearn(Tied(), loader(), LOSS, **setting)
    assert found.one.weight is found.other.weight
    assert found.one.weight.norm().item() == pytest.approx(1.0, rel=1e-3)


def test_running_statistics_are_filled_from_the_retained_data_and_the_released_parameters() -> None:
    model, data = small(norm=nn.BatchNorm1d(4)), batches()
    model(100 * torch.randn(50, 3) + 500)
    found, _ = unlearn(model, data, LOSS, **SETTING, buffers="reset")
    hidden = [found.first(inputs).detach() for inputs, _ in data]
    assert found.norm.running_mean.numpy() == pytest.approx(
        torch.stack([each.mean(0) for each in hidden]).mean(0).numpy(), rel=1e-4
    )
    assert found.norm.running_var.numpy() == pytest.approx(
        torch.stack([each.var(0) for each in hidden]).mean(0).numpy(), rel=1e-4
    )
    assert found.norm.num_batches_tracked == 4
    assert found.norm.momentum == model.norm.momentum
    assert found.norm.training


def test_public_statistics_normalise_and_stay() -> None:
    model = small(norm=nn.BatchNorm1d(4))
    model(torch.randn(50, 3))
    names = ("norm.running_mean", "norm.running_var", "norm.num_batches_tracked")
    found, _ = unlearn(model, loader(), LOSS, **SETTING, public=names)
    assert torch.equal(found.norm.running_mean, model.norm.running_mean)
    assert found.norm.training


@pytest.mark.parametrize("kind", ["lstm", "conv", "embedding", "float64"])
def test_networks_of_other_kinds(kind: str) -> None:
    data: Any = batches()
    if kind == "lstm":

        class Last(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.rnn = nn.LSTM(3, 4, batch_first=True)

            def forward(self, x: Any) -> Any:
                return self.rnn(x[:, None])[0][:, -1]

        model: Any = Last()
    elif kind == "conv":
        model = nn.Sequential(nn.Conv1d(1, 2, 3), nn.Flatten())
        data = [(x[:, None], y) for x, y in data]
    elif kind == "embedding":
        model, data = nn.Sequential(nn.Embedding(5, 2), nn.Flatten(), nn.Linear(6, 2)), [(x.long() % 5, y) for x, y in data]
    else:
        model, data = small().double(), batches(dtype=torch.float64)
    # No clipping at the start, which would change every parameter by itself.
    found, guarantee = unlearn(model, data, LOSS, **(SETTING | {"start_clip": 100.0}))
    assert guarantee.epsilon(DELTA) <= 1
    before = dict(model.named_parameters())
    for name, parameter in found.named_parameters():
        assert (parameter != before[name]).all(), name


# --- what is refused


def broken(change: Callable[[Any], None]) -> Any:
    model = small()
    change(model)
    return model


def _shared(model: Any) -> None:
    model.last.weight = nn.Parameter(model.first.weight.detach().view(-1)[:8].view(2, 4))


def _expanded(model: Any) -> None:
    model.first.bias = nn.Parameter(torch.zeros(1).expand(4))


class Remembering(nn.Module):
    """Keeps what it saw last."""

    def __init__(self, *, buffer: bool = False) -> None:
        super().__init__()
        self.inner, self.buffer = small(), buffer
        if buffer:
            self.register_buffer("seen", torch.zeros(3))

    def forward(self, x: Any) -> Any:
        if self.buffer:
            self.seen += x.sum(0)
        else:
            self.last_input = x
        return self.inner(x)


class Growing(nn.Module):
    """Registers what it computes, or trains on in a parameter of its own making."""

    def __init__(self, *, parameter: bool) -> None:
        super().__init__()
        self.inner, self.parameter = small(), parameter

    def forward(self, x: Any) -> Any:
        out = self.inner(x)
        if self.parameter:
            self.inner.first.bias = nn.Parameter(self.inner.first.bias.detach() + 1)
        else:
            self.register_buffer("cache", out.detach())
        return out


class Penalised(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.models = [model]

    def forward(self, outputs: Any, targets: Any) -> Any:
        return LOSS(outputs, targets) + sum(each.square().sum() for each in self.models[0].parameters())


def nan_in(name: str) -> Any:
    model = small()
    with torch.no_grad():
        model.get_parameter(name).fill_(float("nan"))
    return model


MODELS: dict[str, tuple[Callable[[], Any], dict[str, Any], str]] = {
    "no module": (lambda: 3, {}, "model must be a torch.nn.Module, got int"),
    "parallel": (lambda: nn.DataParallel(small()), {}, "give its .module"),
    "compiled": (lambda: torch.compile(small()), {}, "give what was compiled"),
    "frozen": (
        lambda: broken(lambda m: m.first.weight.requires_grad_(False)), {}, r"parameter first.weight is frozen .*public=\('f"
    ),
    "half": (lambda: small().half(), {}, "parameter first.weight must be float32 or float64, got float16"),
    "integers": (
        lambda: broken(lambda m: setattr(m, "count", nn.Parameter(torch.zeros(2, dtype=torch.long), requires_grad=False))), {},
        "parameter count must be float32 or float64, got int64",
    ),
    "complex": (
        lambda: broken(lambda m: setattr(m, "wave", nn.Parameter(torch.zeros(2, dtype=torch.complex64)))), {},
        "parameter wave must be float32 or float64, got complex64",
    ),
    "sparse": (
        lambda: broken(lambda m: setattr(m, "few", nn.Parameter(torch.eye(2).to_sparse()))), {}, "parameter few must be dense"
    ),
    "sparse gradients": (
        lambda: nn.Sequential(nn.Embedding(5, 2, sparse=True), nn.Flatten(), nn.Linear(6, 2)), {"long": True},
        "parameter 0.weight must have dense gradients, got sparse ones",
    ),
    "lazy": (lambda: nn.Sequential(nn.LazyLinear(2)), {}, "parameter 0.weight must have a shape"),
    "meta": (lambda: small().to("meta"), {}, "parameter first.weight must be on the CPU or a CUDA device, got meta"),
    "two devices": (
        lambda: broken(lambda m: m.last.to("meta")), {}, "parameter last.weight must be on the CPU or a CUDA device, got meta"
    ),
    "shared memory": (lambda: broken(_shared), {}, "parameters .*first.weight.* must not share memory"),
    "expanded": (lambda: broken(_expanded), {}, "parameter first.bias must have memory of its own"),
    "nan": (lambda: nan_in("last.bias"), {}, "parameter last.bias must be finite"),
    "nothing": (lambda: nn.Sequential(nn.Flatten()), {}, "model must have parameters that are not public"),
    "batch norm": (
        lambda: small(norm=nn.BatchNorm1d(4)), {}, r"buffer norm.running_mean may have seen .*'reset' .* public=\('norm.ru"
    ),
    "instance norm": (
        lambda: nn.Sequential(nn.InstanceNorm1d(3, track_running_stats=True, affine=True)), {}, "buffer 0.running_mean may have"
    ),
    "other buffer": (lambda: Remembering(buffer=True), {}, r"buffer seen may have seen .* declare public=\('seen',\)"),
    "other buffer, reset": (lambda: Remembering(buffer=True), {"buffers": "reset"}, r"buffer seen may have seen"),
    "public buffer that changes": (lambda: Remembering(buffer=True), {"public": ("seen",)}, "seen was declared public, but"),
    "attribute": (lambda: broken(lambda m: setattr(m, "memory", torch.zeros(2))), {}, "attribute memory holds numbers"),
    "list": (lambda: broken(lambda m: setattr(m.last, "memory", [{1: torch.zeros(2)}])), {}, "attribute last.memory holds"),
    "array": (lambda: broken(lambda m: setattr(m, "memory", np.zeros(2))), {}, "attribute memory holds numbers"),
    "module in a list": (lambda: broken(lambda m: setattr(m, "more", [nn.Linear(1, 1)])), {}, "attribute more holds numbers"),
    "buffer on the way": (lambda: Growing(parameter=False), {}, "cache was made or replaced in the forward pass"),
    "parameter on the way": (lambda: Growing(parameter=True), {}, "inner.first.bias was made or replaced in the forward pass"),
    "attribute on the way": (Remembering, {}, "attribute last_input holds numbers that are neither a parameter nor a buffer"),
    "weight norm": (
        lambda: broken(lambda m: nn.utils.weight_norm(m.last)), {}, "attribute last.weight holds numbers"
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("name", MODELS)
def test_models_whose_state_is_more_than_noisy_parameters_are_refused_by_name(name: str) -> None:
    make, changes, message = MODELS[name]
    given = dict(changes)
    data = [(x.long() % 5, y) for x, y in batches()] if given.pop("long", False) else batches()
    with pytest.raises(InputError, match=message):
        unlearn(make(), data, LOSS, **SETTING, **given)


ARGUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "loader": ({"retained_loader": 3}, "retained_loader must be a DataLoader"),
    "iterator": ({"retained_loader": iter([])}, "retained_loader must start again when it ends"),
    "empty": ({"retained_loader": []}, "retained_loader must give batches, got none"),
    "tensor": ({"retained_loader": torch.zeros(3)}, "retained_loader must give batches"),
    "singles": ({"retained_loader": [torch.zeros(2, 3)]}, "batches .inputs, targets., got Tensor"),
    "loss": ({"loss": 3}, "loss must be callable"),
    "loss vector": ({"loss": lambda out, y: out}, r"loss must give one real number .* a tensor of shape \(5, 2\)"),
    "loss number": ({"loss": lambda out, y: 3.0}, "loss must give one real number for a batch, got float"),
    "loss constant": ({"loss": lambda out, y: torch.zeros(())}, "loss must depend on the parameters"),
    "loss nan": ({"loss": lambda out, y: out.sum() * float("nan")}, "loss must be finite, got nan in step 1"),
    "gradient nan": ({"loss": lambda out, y: (out * 0).sum().sqrt()}, "in step 1 the gradient of .* must be finite"),
    "epsilon and sigma": ({"sigma": 1.0}, "exactly one of epsilon and sigma must be given, got both"),
    "neither": ({"epsilon": None}, "exactly one of epsilon and sigma must be given, got neither"),
    "epsilon": ({"epsilon": -1.0}, "epsilon must be a number from 0"),
    "delta": ({"delta": 1.0}, "delta must be"),
    "deltas": ({"delta": [1e-5, 1e-6]}, "delta must be a number"),
    "deltas of sigma": ({"epsilon": None, "sigma": 1.0, "delta": [1e-5, 1e-6]}, "delta must be a number"),
    "sigma": ({"epsilon": None, "sigma": 0.0}, "sigma must be"),
    "gradient_clip": ({"gradient_clip": 0.0}, "gradient_clip must be"),
    "gradient_clip none": ({"gradient_clip": None}, "gradient_clip must be"),
    "start_clip": ({"start_clip": float("inf")}, "start_clip must be"),
    "start_clip none": ({"start_clip": None}, "start_clip must be"),
    "model_clip": ({"model_clip": -1.0}, "model_clip must be"),
    "steps": ({"steps": 0}, "steps must be a whole number from 1"),
    "steps half": ({"steps": 1.5}, "steps must be a whole number from 1"),
    "step_size": ({"step_size": 0.0}, "step_size must be"),
    "weight_decay": ({"weight_decay": 101.0}, "weight_decay must be at most"),
    "public text": ({"public": "first.weight"}, "public must be a list of names"),
    "public number": ({"public": [3]}, "public must be a list of names"),
    "public unknown": ({"public": ["first.wait"]}, "public must name parameters .* loss.NAME, got 'first.wait'"),
    "public loss": ({"public": ["loss.weight"]}, "public must name parameters and buffers that there are, got 'loss.weight'"),
    "buffers": ({"buffers": "keep"}, "buffers must be one of refuse, reset, got 'keep'"),
    "progress": ({"progress": 3}, "progress must be callable"),
    "certificate": ({"certificate": "/nowhere/at/all.json"}, "certificate must be a file in a folder that exists, got"),
    "certificate number": ({"certificate": 3}, "certificate must be a file in a folder that exists, got 3"),
    "optimizer": ({"optimizer": "sgd"}, "optimizer must be left out, got str: momentum"),
    "little noise": ({"epsilon": None, "sigma": 1e-12}, "sigma = 1e-12 is below 2.20 units"),
    "tiny steps": ({"step_size": 1e-13}, "rounding to float64 of 26 parameters"),
}  # fmt: skip


@pytest.mark.parametrize("name", ARGUMENTS)
def test_bad_arguments_are_refused_and_the_model_stays_as_it_was(name: str) -> None:
    changes, message = ARGUMENTS[name]
    model = small()
    before = flat(model)
    given = {"model": model, "retained_loader": batches(), "loss": LOSS} | SETTING | changes
    with pytest.raises(InputError, match=message):
        unlearn(**given)
    assert np.array_equal(flat(model), before)
    assert all(each.grad is None for each in model.parameters())


def test_an_optimizer_with_momentum_is_refused() -> None:
    model = small()
    with pytest.raises(InputError, match=r"optimizer must be left out, got SGD: momentum .* has seen the deleted records"):
        unlearn(model, loader(), LOSS, optimizer=torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), **SETTING)  # type: ignore[arg-type]


def test_weight_decay_in_the_loss_is_found() -> None:
    model = small()
    with pytest.raises(InputError, match="weight decay or a penalty inside of it"):
        unlearn(model, loader(), lambda out, y: LOSS(out, y) + own_penalty(model), **SETTING)
    with pytest.raises(InputError, match="weight decay or a penalty inside of it"):
        unlearn(model, loader(), Penalised(model), **SETTING)


def own_penalty(model: Any) -> Any:
    return sum(each.square().sum() for each in model.parameters())


def test_what_a_loss_holds_must_be_public() -> None:
    weighted = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0]))
    with pytest.raises(InputError, match=r"loss must have no parameters and buffers, got weight: .*public=\('loss.weight',\)"):
        unlearn(small(), loader(), weighted, **SETTING)
    unlearn(small(), loader(), weighted, **SETTING, public=("loss.weight",))


def test_a_loader_with_a_generator_of_its_own_is_refused() -> None:
    for part in (
        {"generator": torch.Generator()},
        {"sampler": torch.utils.data.RandomSampler(range(20), generator=torch.Generator())},
    ):
        options = {"shuffle": "sampler" not in part} | part
        with pytest.raises(InputError, match="retained_loader must not have a generator of its own"):
            unlearn(small(), loader(**options), LOSS, **SETTING)


def test_autocast_and_inference_mode_are_refused_and_no_grad_is_not() -> None:
    with torch.autocast("cpu"), pytest.raises(InputError, match="autocast must be off"):
        unlearn(small(), loader(), LOSS, **SETTING)
    model = small()
    with torch.inference_mode(), pytest.raises(InputError, match="inference mode must be off"):
        unlearn(model, loader(), LOSS, **SETTING)
    with torch.no_grad():
        unlearn(model, loader(), LOSS, **SETTING)


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    with pytest.raises(InputError, match=r"torch\.distributed must not run several processes, got 2"):
        unlearn(small(), loader(), LOSS, **SETTING)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 1)
    unlearn(small(), batches(), LOSS, **SETTING)


def test_a_late_failure_leaves_everything_as_it_was() -> None:
    model, state = small(), torch.get_rng_state()
    before, calls = flat(model), []

    def failing(outputs: Any, targets: Any) -> Any:
        calls.append(1)
        return LOSS(outputs, targets) * (float("inf") if len(calls) > 3 else 1.0)

    data = batches()
    state = torch.get_rng_state()
    with pytest.raises(InputError, match=r"loss must be finite, got inf in step 3; the model is as it was"):
        unlearn(model, data, failing, **(SETTING | {"steps": 50}))
    assert np.array_equal(flat(model), before)
    assert torch.equal(state, torch.get_rng_state())


# --- arithmetic


def test_joint_norms_neither_overflow_nor_underflow() -> None:
    for scale in (1e-300, 1.0, 1e300):
        tensors = [torch.full((2, 2), 3 * scale, dtype=torch.float64), torch.zeros(0, dtype=torch.float64)]
        assert joint_norm(tensors) == pytest.approx(6 * scale, rel=1e-14)
        clip_together(tensors, 2.0)
        assert joint_norm(tensors) == pytest.approx(min(6 * scale, 2.0), rel=1e-14)
    assert joint_norm([torch.zeros(3, dtype=torch.float64)]) == 0
    assert np.isnan(joint_norm([torch.tensor([1.0, float("nan")], dtype=torch.float64)]))


def test_a_schedule_is_run_as_it_is_accounted_for() -> None:
    """Where the loss has no gradient, what is added has the variance of the stages, with what decay leaves of it."""
    phases = Schedule([Unlearn(steps=3, step_size=0.1), Unlearn(steps=2, sigma=0.0), Unlearn(step_size=0.2, sigma=3.0)])
    told: dict[str, Any] = {"step_size": 0.05, "gradient_clip": 1.0, "start_clip": 1.0, "weight_decay": 1.0}
    engine = UnlearningAccountant(FineTuning(**told), schedule=phases)
    silent = lambda outputs, targets: (outputs * 0).sum()  # noqa: E731
    rows = torch.utils.data.TensorDataset(torch.randn(20, 100), torch.randint(0, 2, (20,)))
    given = nn.Sequential(nn.Linear(100, 200))
    found, guarantee = unlearn(
        given,
        torch.utils.data.DataLoader(rows, batch_size=5),
        silent,
        delta=DELTA,
        epsilon=1.0,
        steps=4,
        schedule=phases,
        **told,
    )
    sigma = engine.sigma(epsilon=1.0, delta=DELTA, steps=4)
    assert guarantee.context["sigma"] == sigma
    assert guarantee.context["steps"] == 9
    assert any("steps from 6 on have step size 0.2 and noise 3 times sigma" in line for line in guarantee.assumptions)
    left, variance = 1.0, 0.0
    for size, noise in [(0.1, 1.0)] * 3 + [(0.05, 0.0)] * 2 + [(0.2, 3.0)] * 4:
        left, variance = left * (1 - size), variance * (1 - size) ** 2 + (sigma * noise) ** 2
    before = flat(given)
    rest = flat(found) - left * before / max(np.linalg.norm(before), 1.0)
    assert rest.std() == pytest.approx(math.sqrt(variance), rel=0.03)
    with pytest.raises(InputError, match="certificate must be left out with a schedule"):
        unlearn(given, loader(), LOSS, delta=DELTA, epsilon=1.0, steps=4, schedule=phases, certificate="x.json", **told)


def test_limits_stay_within_the_claim_by_more_than_rounding() -> None:
    algorithm = FineTuning(step_size=0.01, gradient_clip=1.0, start_clip=1.0)
    for dimension in (10, 10**6, 10**9):
        limits = Limits.of(algorithm, [Stage(100, algorithm.step_size, 1.0)], sigma=1.5, dimension=dimension)
        assert 0.99 < limits.gradient < 1 - dimension * 2**-53
        assert 0.99 < limits.start < 1 - dimension * 2**-53
    with pytest.raises(InputError, match="costs more than 1 %"):
        Limits.of(algorithm, [Stage(100, algorithm.step_size, 1.0)], sigma=1e9, dimension=10**6)


def test_a_float32_model_keeps_the_noise_that_its_own_format_would_lose() -> None:
    # Noise far below the resolution of float32 at 1, added up in float64.
    setting = SETTING | {"epsilon": None, "sigma": 2e-9, "steps": 1000, "gradient_clip": 1e-9, "start_clip": 1.0}
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(1.0)
    data = [(torch.zeros(1, 1), torch.zeros(1, dtype=torch.long))]
    found = [unlearn(model, data, LOSS, **setting)[0].weight.item() for _ in range(10)]
    assert len(set(found)) > 1


def test_progress_is_told_after_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    unlearn(small(), loader(), LOSS, **SETTING, progress=lambda done, total: told.append((done, total)))
    assert told == []
    clock = iter(np.arange(0, 1000, 0.5).tolist())
    monkeypatch.setattr(interop.time, "monotonic", lambda: next(clock))
    unlearn(small(), loader(), LOSS, **(SETTING | {"steps": 6}), progress=lambda done, total: told.append((done, total)))
    assert told == [(4, 6), (5, 6), (6, 6)]


def test_importing_the_accountant_brings_in_no_torch() -> None:
    code = "import accountant, accountant.interop, accountant.trainer, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_torch_the_extra_is_named() -> None:
    code = "import sys; sys.modules['torch'] = None\nimport accountant.interop.torch"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert MissingExtraError.__name__ in found.stderr
    assert "pip install 'unlearning-accountant[torch]'" in found.stderr
