"""Trainers that are broken on purpose, in one way each, to see whether an audit finds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from accountant.numerics import InputError, Progress, choice
from accountant.problem import PNSGD, SECRET
from accountant.trainer.draws import Draws
from accountant.trainer.identifiers import Identifier
from accountant.trainer.parts import Part, unlearning
from accountant.trainer.runs import Run
from accountant.trainer.training import Trainer

#: Ways to break draws.
DRAW_FAULTS: Final[dict[str, str]] = {
    "one-draw": "all records share one draw",
    "ordered": "records come into batches by their order instead of a hash",
    "stand-in": "a stand-in stays in the removed record's batch",
    "sizes": "batch sizes are published, before the deletion and after it",
}
#: In whatever is run after a request.
_RUN_FAULTS: Final[dict[str, str]] = {
    "one-step": "unlearning stops one step early",
    "silent-step": "the last step of unlearning adds no noise",
    "wrong-batch": "the request changes a record of another batch instead",
    "divisor": "unlearning divides gradients by one record too few",
}
#: All of them, for audits of the audit.
FAULTS: Final[dict[str, str]] = {
    "half-noise": "every step adds half the noise",
    "short": "unlearning stops one epoch early",
    "kept": "unlearning goes on with the deleted point",
    **_RUN_FAULTS,
    **DRAW_FAULTS,
}


def check_fault(fault: str | None, algorithm: PNSGD, name: str) -> None:
    """InputError for a fault that is none, or none of this algorithm; ``name``: what is audited."""
    if fault is None:
        return
    choice("fault", fault, tuple(FAULTS))
    if fault in DRAW_FAULTS and algorithm.assignment != SECRET:
        raise InputError(f"fault={fault} needs an instance with secret draws, got {name}")
    if fault == "wrong-batch" and algorithm.steps_per_epoch == 1:
        raise InputError(f"fault=wrong-batch needs an instance with several batches, got {name}")
    if fault == "divisor" and int(algorithm.batch_size) == 1:
        raise InputError(f"fault=divisor needs an instance with batches of two records or more, got {name}")


class Faulty(Trainer):
    """A trainer whose draws, removals or steps after a request are broken in one way; None: not at all."""

    def __init__(self, *arguments: Any, fault: str | None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.fault = fault

    def first_draws(self, names: Sequence[Identifier], key: Callable[[int], bytes]) -> Draws:
        draws = super().first_draws(names, key)
        if self.fault == "one-draw":
            assert draws.own is not None
            return replace(draws, own=np.repeat(draws.own[:, :1], len(names), axis=1))
        if self.fault == "ordered":
            batches = np.arange(len(names)) * draws.batches // self.algorithm.problem.n
            return replace(draws, own=np.repeat(batches[None], self.trials, axis=0))
        return draws

    def unlearn(self, run: Run, removed: Any = None, **options: Any) -> Run:
        if self.fault == "stand-in":
            labels = run.labels.copy()
            labels[removed] *= -1
            parts = unlearning(self._timeline, first=True, epochs=options.get("epochs"), steps=options.get("steps"))
            return self._continue(replace(run, labels=labels, requests=run.requests + 1), parts, options.get("progress"))
        # Of a broken answer all but the parameters is as it should be: nothing else tells of the fault.
        if self.fault == "wrong-batch":
            wrong = super().unlearn(run, self._others(run, removed), **options)
            right = super().unlearn(run, removed, **{**options, "epochs": None, "steps": 0, "progress": None})
            return replace(
                right, parameters=wrong.parameters, steps=wrong.steps, next_batch=wrong.next_batch, noise=wrong.noise
            )
        after = super().unlearn(run, removed, **options)
        return replace(after, steps=after.steps + 1) if self.fault == "one-step" else after

    def _others(self, run: Run, removed: Any) -> NDArray[np.int64]:
        """As many records, which are visited one batch earlier where batches are a partition."""
        size, rows = int(self.algorithm.batch_size), np.asarray(removed)
        if run.draws is not None:
            return run.draws.numbers[run.draws.find_numbers("removed", rows) - size]
        order = run.orders[0]
        return order[np.argsort(order)[rows] - size]

    def _continue(self, run: Run, parts: Sequence[Part], progress: Progress | None) -> Run:
        # Retraining has requests, too, but begins with the first step.
        if not run.requests or not run.steps or self.fault not in ("one-step", "silent-step", "divisor"):
            return super()._continue(run, parts, progress)
        *first, last = parts
        if self.fault == "one-step":
            return super()._continue(run, [*first, last._replace(steps=max(last.steps - 1, 0))], progress)
        if self.fault == "silent-step":
            silent = last._replace(steps=min(last.steps, 1), sigma=0.0)
            return super()._continue(run, [*first, last._replace(steps=last.steps - silent.steps), silent], progress)
        # A longer step with less regularisation and noise, so that nothing but the data's gradients grows.
        longer = last.batch_size / (last.batch_size - 1)
        broken = copy(self)
        broken.fault, broken.loss = None, replace(self.loss, regularisation=self.loss.regularisation / longer)
        wrong = [part._replace(step_size=longer * part.step_size, sigma=part.sigma / longer**0.5) for part in parts]
        return broken._continue(run, wrong, progress)
