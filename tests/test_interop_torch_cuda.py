"""PyTorch on a GPU: the same code as on the CPU. Skips, and says so, where there is none."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from accountant.interop.torch import unlearn
from accountant.interop.torch_steps import fresh_generator

# Not an integration: those may not be skipped in CI, which has no GPU.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason="CUDA is not available here: the code is the CPU's, but was not run on a GPU"
    ),
]


def test_a_model_on_a_gpu_is_unlearned_there() -> None:
    model = torch.nn.Sequential(
        torch.nn.Linear(30, 40), torch.nn.BatchNorm1d(40), torch.nn.Dropout(0.1), torch.nn.Linear(40, 2)
    )
    data: Any = [(torch.randn(8, 30), torch.randint(0, 2, (8,))) for _ in range(3)]
    setting: dict[str, Any] = {
        "sigma": 0.5, "delta": 1e-5, "gradient_clip": 1.0, "start_clip": 1e-3, "steps": 4, "step_size": 0.001,
        "buffers": "reset",
    }  # fmt: skip
    on_gpu, guarantee = unlearn(model.cuda(), data, torch.nn.functional.cross_entropy, **setting)
    _, same = unlearn(model.cpu(), data, torch.nn.functional.cross_entropy, **setting)
    assert guarantee == same
    assert {each.device.type for each in on_gpu.state_dict().values()} == {"cuda"}
    values = np.concatenate([each.detach().cpu().numpy().ravel() for each in on_gpu.parameters()])
    assert values.std() == pytest.approx(1.0, rel=0.1)


def test_generators_of_a_gpu_never_repeat() -> None:
    device = torch.device("cuda")
    assert len({fresh_generator(device).initial_seed() for _ in range(100)}) == 100
