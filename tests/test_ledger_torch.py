"""PyTorch models in the deletion service: the program's own noisy fine-tuning, of parts that a function gives."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accountant import InputError
from accountant.ledger import Ledger, RunFailedError, Settings, backend_of

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.integration

PROBLEM: dict[str, Any] = {
    "algorithm": "fine-tuning", "step_size": 0.1, "gradient_clip": 1.0, "start_clip": 1.0, "epsilon": 1.0, "delta": 1e-4,
}  # fmt: skip
PARTS = """
import torch

def module():
    return torch.nn.Linear(3, 2)

def parts(*, model, rows):
    made = module()
    made.load_state_dict(torch.load(model, weights_only=True))
    X = torch.linspace(-1, 1, 120, dtype=torch.float32).reshape(40, 3)
    y = (X[:, 0] > 0).long()
    stays = torch.tensor([row not in rows for row in range(40)])
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X[stays], y[stays]), batch_size=8, shuffle=True)
    return made, loader, torch.nn.functional.cross_entropy

def two(*, model, rows):
    return parts(model=model, rows=rows)[:2]
"""


@pytest.fixture
def model(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    # Of a name of its own, since Python keeps the modules that it has imported.
    (tmp_path / f"torchparts_{tmp_path.name}.py").write_text(PARTS)
    path = tmp_path / "model.pt"
    torch.manual_seed(3)
    torch.save(torch.nn.Linear(3, 2).state_dict(), path)
    path.chmod(0o600)
    return path


def arguments(model: Path, function: str = "parts", **others: Any) -> dict[str, Any]:
    return {"call": f"torchparts_{model.parent.name}:{function}", "problem": PROBLEM, "steps": 20, **others}


def test_a_request_is_answered_by_noisy_fine_tuning_and_certified(model: Path) -> None:
    subjects = {f"p{row}": [row] for row in range(40)}
    before = torch.load(model, weights_only=True)
    with Ledger.create(
        model.with_name("deletions.db"), model=model, subjects=subjects, backend="torch", arguments=arguments(model)
    ) as ledger:
        ledger.add(["p3", "p5"])
        run = ledger.process(everything=True).run
        assert run is not None
        assert (run.steps, run.epsilon, run.delta) == (20, 1.0, 1e-4)
        assert run.certificate is not None
        saved = next(entry.content for entry in ledger.entries() if entry.kind == "saved")
        assert any("the loader gives retained records only" in line for line in saved["assumptions"])
        assert next(entry.content for entry in ledger.entries() if entry.kind == "intent")["declared"] is False
        after = torch.load(model, weights_only=True)
        assert {name: value.shape for name, value in after.items()} == {name: value.shape for name, value in before.items()}
        moved = np.concatenate([(after[name] - before[name]).numpy().ravel() for name in before])
        sigma = next(entry.content for entry in ledger.entries() if entry.kind == "intent")["plan"]["sigma"]
        # Twenty steps of noise in eight parameters, far above what learning moves.
        assert 0.3 < np.linalg.norm(moved) / (sigma * np.sqrt(20 * 8)) < 2
        assert ledger.verify(certificates=None).findings == ()
        assert json.loads(json.dumps(ledger.outlook().to_dict()))["now"] is None


def test_schedules_run_as_planned(model: Path) -> None:
    problem = {**PROBLEM, "schedule": [{"phase": "unlearn", "steps": 6}, {"phase": "unlearn", "step_size": 0.05, "sigma": 0.5}]}
    subjects = {f"p{row}": [row] for row in range(40)}
    with Ledger.create(
        model.with_name("deletions.db"), model=model, subjects=subjects, backend="torch",
        arguments=arguments(model, problem=problem, steps=4),
    ) as ledger:  # fmt: skip
        ledger.add(["p3"])
        run = ledger.process(everything=True).run
        assert run is not None
        assert run.steps == 10
        assert (run.certificate, "schedule must be left out" in str(run.without)) == (None, True)
        assert ledger.verify().findings == ()


def test_parts_that_are_none_fail_the_run(model: Path) -> None:
    subjects = {f"p{row}": [row] for row in range(40)}
    with Ledger.create(
        model.with_name("deletions.db"), model=model, subjects=subjects, backend="torch", arguments=arguments(model, "two")
    ) as ledger:
        ledger.add(["p3"])
        with pytest.raises(RunFailedError, match="the function must return a module, a loader and a loss"):
            ledger.process(everything=True)
        assert ledger.verify().findings == ()


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"public": "weight"}, "public must be a list of names"),
        ({"problem": {**PROBLEM, "algorithm": "pnsgd"}}, "step_size must|gradient_clip must|start_clip"),
        (
            {"problem": {"algorithm": "convex-nonsmooth", "step_size": 0.1, "lipschitz": 1.0, "epsilon": 1.0, "delta": 1e-4}},
            "algorithm must be fine-tuning",
        ),
        (
            {"problem": {**PROBLEM, "start_clip": None, "model_clip": 1.0}},
            "algorithm must be fine-tuning with gradient_clip and",
        ),
        ({"problem": {**PROBLEM, "model_clip": 1.0, "clip_first": True}}, "clip_first must be no"),
    ],
)
def test_what_torch_does_not_run_is_refused(model: Path, others: dict[str, Any], said: str) -> None:
    made = Settings(
        model=str(model), key="k", subjects="s", certificates="c", backend="torch", arguments=arguments(model, **others)
    )
    with pytest.raises(InputError, match=said):
        backend_of(made)
