"""The claim of an unlearned PyTorch model under attack: honest runs stand, and each fault in a run is found by the audit."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accountant import FineTuning, Guarantee, UnlearningAccountant
from accountant.trainer import ToldApart, tell_apart

torch = pytest.importorskip("torch")
nn = torch.nn

from accountant.interop import torch as interop
from accountant.interop import torch_steps
from accountant.interop.torch import unlearn

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[1]
DELTA = 1e-5
EXAMPLE = ROOT / "docs" / "examples" / "torch_unlearning.py"


def released(model: Any) -> Any:
    """Everything that a state_dict hands out."""
    return torch.cat([each.double().flatten() for each in model.state_dict().values()]).numpy()


def attacked(worlds: tuple[Any, Any], loader: Any, loss: Any, *, trials: int, **setting: Any) -> tuple[ToldApart, Guarantee]:
    """Both worlds' releases, run after run, and how far apart they are at least."""
    samples = []
    for start in worlds:
        runs = [unlearn(start, loader, loss, delta=DELTA, **setting) for _ in range(trials)]
        samples.append(np.stack([released(model) for model, _ in runs], axis=1))
    return tell_apart(*samples, delta=DELTA, confidence=0.99), runs[0][1]


# --- a convolutional network on digits

NETWORK: dict[str, Any] = {
    "epsilon": 1.0, "gradient_clip": 1.0, "start_clip": 0.05, "steps": 5, "step_size": 0.001, "buffers": "reset",
}  # fmt: skip


def digits() -> Any:
    from sklearn.datasets import load_digits

    found = load_digits()
    images = torch.tensor(found.images[:256], dtype=torch.float32)[:, None] / 16
    data = torch.utils.data.TensorDataset(images, torch.tensor(found.target[:256]))
    return torch.utils.data.DataLoader(data, batch_size=64, shuffle=True)


def network(layer: str, sign: float) -> Any:
    """What a record could at worst have done to one layer: the model lies at one end of the ball of starts."""
    model = nn.Sequential()
    model.add_module("conv", nn.Conv2d(1, 6, 3, padding=1))
    model.add_module("norm", nn.BatchNorm2d(6))
    model.add_module("act", nn.ReLU())
    model.add_module("flat", nn.Flatten())
    model.add_module("last", nn.Linear(6 * 64, 10))
    with torch.no_grad():
        for each in model.parameters():
            each.mul_(1e-3)
        model.get_parameter(layer).fill_(sign)
        model.norm.running_mean.fill_(10 * sign)
    return model


def silence(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]) -> None:
    """Leave out the noise of the layer of that shape."""
    honest = torch_steps.Parameters.noise

    def noise(self: Any, like: Any) -> Any:
        return torch.zeros_like(like) if tuple(like.shape) == shape else honest(self, like)

    monkeypatch.setattr(torch_steps.Parameters, "noise", noise)


@pytest.mark.parametrize(("layer", "shape"), [("conv.weight", (6, 1, 3, 3)), ("last.bias", (10,))])
def test_the_claim_of_a_convolutional_network_stands_and_falls_with_the_noise_of_one_layer(
    monkeypatch: pytest.MonkeyPatch, layer: str, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    worlds, data = (network(layer, 1.0), network(layer, -1.0)), digits()
    found, guarantee = attacked(worlds, data, nn.functional.cross_entropy, trials=60, **NETWORK)
    assert guarantee.epsilon(DELTA) == pytest.approx(1.0, rel=1e-9)
    assert not found.refutes(guarantee)
    silence(monkeypatch, shape)
    found, guarantee = attacked(worlds, data, nn.functional.cross_entropy, trials=60, **NETWORK)
    assert found.epsilon_lower > 1.5
    assert found.refutes(guarantee)


def test_statistics_of_batch_norm_that_are_kept_refute_the_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interop._Run, "fill_statistics", lambda self: None)
    worlds = (network("conv.weight", 1.0), network("conv.weight", -1.0))
    found, guarantee = attacked(worlds, digits(), nn.functional.cross_entropy, trials=60, **NETWORK)
    assert found.refutes(guarantee)


# --- the loss that comes nearest to the claim


class Layers(nn.Module):
    """Nine layers of one parameter, which the model gives out."""

    def __init__(self, sign: float) -> None:
        super().__init__()
        self.layers = nn.ParameterList([nn.Parameter(torch.full((1,), sign)) for _ in range(9)])

    def forward(self, x: Any) -> Any:
        return torch.cat(list(self.layers))


def away(outputs: Any, targets: Any) -> Any:
    return -1e4 * torch.linalg.vector_norm(outputs)


def short(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = interop._Run.steps

    def fewer(self: Any, told: Any) -> None:
        self.count -= 1
        steps(self, told)

    monkeypatch.setattr(interop._Run, "steps", fewer)


def by_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    together = torch_steps.clip_together

    def clip(tensors: Any, limit: float) -> None:
        # Only gradients are clipped to 1 here.
        for part in [[each] for each in tensors] if limit > 0.9 else [tensors]:
            together(part, limit)

    monkeypatch.setattr(torch_steps, "clip_together", clip)


def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    honest, calls = torch_steps.Parameters.noise, []

    def noise(self: Any, like: Any) -> Any:
        calls.append(1)
        return honest(self, like) * (0.0 if len(calls) % 9 == 0 else 1.0)

    monkeypatch.setattr(torch_steps.Parameters, "noise", noise)


#: Where each fault shows most: mu, radius of the starts, step size; and how many runs of each world show it.
FAULTS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], float, float, float, int]] = {
    "one step too few": (short, 2.5, 1.0, 0.01, 700),
    "clip per layer": (by_layer, 2.0, 0.1, 1.0, 300),
    "silent layer": (silent, 2.0, 0.5, 0.1, 150),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_found_and_honest_runs_are_not_accused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    fault, mu, start, step, trials = FAULTS[name]
    algorithm = FineTuning(step_size=step, gradient_clip=1.0, start_clip=start)
    sigma = float(UnlearningAccountant(algorithm).guarantee(sigma=1.0, steps=2).values[0]) / mu
    setting = {"sigma": sigma, "gradient_clip": 1.0, "start_clip": start, "steps": 2, "step_size": step}
    worlds, data = (Layers(1.0), Layers(-1.0)), [(torch.zeros(1), torch.zeros(1))]
    found, guarantee = attacked(worlds, data, away, trials=trials, **setting)
    assert guarantee.values[0] == pytest.approx(mu)
    assert not found.refutes(guarantee)
    assert found.mu_lower > 0.1 * mu
    fault(monkeypatch)
    found, guarantee = attacked(worlds, data, away, trials=trials, **setting)
    assert found.refutes(guarantee)


def test_the_example_of_the_page_unlearns_a_convolutional_network() -> None:
    run = subprocess.run([sys.executable, str(EXAMPLE)], capture_output=True, text=True, check=True, timeout=300)
    numbers = {line.split(": ")[0]: float(line.split(": ")[1]) for line in run.stdout.splitlines() if ": " in line}
    assert "epsilon = 1.0000 at delta = 1e-05" in run.stdout
    assert numbers["learned on all records"] > 0.95
    assert numbers["unlearned"] < 0.6
    assert numbers["unlearned, and five epochs without noise"] > 0.8
