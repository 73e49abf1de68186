"""What an estimator's next requests take, of any size."""

from __future__ import annotations

from collections.abc import Sequence

from accountant.trainer.costs import requested
from accountant.trainer.estimator import Estimator


def foreseen_steps(model: Estimator, points: Sequence[int]) -> list[int]:
    """Steps of requests of so many rows each, one after the other, from now on; the model stays as it is.

    The list is shorter where no number of steps is enough for the next one, or it takes more than the model allows.
    """
    with model.alone():
        model._check_fitted()
        answers, most = requested(model._stream, points), model._most_steps()
    over = next((at for at, steps in enumerate(answers) if steps > most), len(answers))
    return answers[:over]
