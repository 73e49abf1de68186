"""The backend of PyTorch models: noisy fine-tuning on what is retained, by :func:`accountant.interop.torch.unlearn`.

    def parts(*, model: Path, rows: list[int]) -> tuple[nn.Module, Iterable, Callable]: ...

named ``module:function``, gives the module with the parameters of the file ``model``, the loader of the rows that are retained
(without ``rows`` and all that were removed before), and the loss. The steps and their noise are the program's own; that the
loader gives no removed row is for the function to see to. The new model is saved as ``torch.save(module.state_dict(), path)``
does.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from accountant.ledger.backends import Plan, Result, Row, RunFailedError
from accountant.ledger.declared import Declared
from accountant.ledger.entry import entry_point
from accountant.ledger.settings import Settings
from accountant.numerics import InputError
from accountant.problem import FineTuning
from accountant.questions import StepAccountant, step_schedule, stepping_of


class TorchBackend(Declared):
    """Arguments beside those of the problem: ``call``, as module:function; ``public`` and ``buffers`` of ``unlearn``."""

    name = "torch"
    declared = False
    own = ("call", "public", "buffers")

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        algorithm = stepping_of(self._problem, scheduled=True)
        if not isinstance(algorithm, FineTuning) or algorithm.gradient_clip is None or algorithm.start_clip is None:
            raise InputError("algorithm must be fine-tuning with gradient_clip and start_clip for backend torch")
        if algorithm.clip_first:
            raise InputError("clip_first must be no for backend torch, which clips the model after the noise")
        self._algorithm = algorithm
        public = settings.arguments.get("public", [])
        if not isinstance(public, list) or not all(isinstance(each, str) for each in public):
            raise InputError(f"public must be a list of names of parameters and buffers, got {public!r}")
        self._options = {"public": public, "buffers": settings.arguments.get("buffers", "refuse")}
        self._call = entry_point(settings.arguments.get("call"), settings.model_path.parent)

    def check(self) -> None:
        # Says which extra is missing before a ledger begins.
        import_module("accountant.interop.torch")
        super().check()

    def run(self, plan: Plan, rows: Sequence[Row]) -> Result:
        from accountant.interop.torch import unlearn

        algorithm, schedule = self._algorithm, step_schedule(self._problem)
        # Checked when the backend was made.
        assert algorithm.gradient_clip is not None
        assert algorithm.start_clip is not None
        parts = self._call(model=self.settings.model_path, rows=list(rows))
        if not isinstance(parts, tuple) or len(parts) != 3:
            raise RunFailedError("the function must return a module, a loader and a loss")
        module, guarantee = unlearn(
            *parts, delta=plan.delta, sigma=plan.sigma, steps=self._open_steps(plan), schedule=schedule,
            step_size=algorithm.step_size, gradient_clip=algorithm.gradient_clip, start_clip=algorithm.start_clip,
            model_clip=algorithm.model_clip, weight_decay=algorithm.weight_decay, **self._options,
        )  # fmt: skip
        return Result(
            model=module, steps=plan.steps, statement=guarantee.statement, assumptions=tuple(guarantee.assumptions),
            epsilon=plan.epsilon, delta=plan.delta,
        )  # fmt: skip

    def save(self, model: Any, path: Path) -> None:
        import torch

        with open(path, "xb") as file:
            torch.save(model.state_dict(), file)

    def _open_steps(self, plan: Plan) -> int | None:
        """Of the open last phase of a schedule, None where there is none; without a schedule all of them."""
        stages = StepAccountant(self._algorithm, schedule=step_schedule(self._problem)).stages
        if stages is None:
            return plan.steps
        return plan.steps - stages.fixed if stages.open else None
