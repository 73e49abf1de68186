"""Records of a run that come and go: who leaves takes his row along, who joins draws batches by himself.

What retraining is under draws of their own: the same history without the records that left, so who joined later joins then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accountant.numerics import InputError
from accountant.problem import PNSGD
from accountant.trainer.draws import Draws
from accountant.trainer.identifiers import Identifier
from accountant.trainer.losses import Array
from accountant.trainer.parts import Part
from accountant.trainer.runs import Run


def drawn(run: Run) -> Draws:
    """The draws of a run, or InputError for one of a partition."""
    if run.draws is None:
        raise InputError("records have identifiers and join under assignment secret, fresh or poisson only, got partition")
    return run.draws


def check_room(algorithm: PNSGD, came: int, more: int) -> None:
    """InputError where more records would come in than the tail of batch sizes was taken at."""
    most = algorithm.largest_n
    assert most is not None
    if came + more > most:
        raise InputError(
            f"largest_n = {most} records may come in, living or not, and {came} have: {more} more are too many; a larger "
            "largest_n must be set beforehand"
        )


def without(run: Run, rows: NDArray[np.int64]) -> Run:
    """The run without these rows."""
    left = np.ones(run.labels.size, dtype=bool)
    left[rows] = False
    return replace(
        run,
        rows=run.rows.without(rows),
        labels=run.labels[left],
        zeroed=run.zeroed[left],
        orders=np.empty((0, int(left.sum())), dtype=np.int64),
        draws=drawn(run).without_rows(rows),
    )


def with_rows(run: Run, x: Any, y: Array, names: Sequence[Identifier], *, since: NDArray[np.int64] | None = None) -> Run:
    """The run with these rows, of these identifiers, at its end. since: steps before the reference has them; default: now."""
    draws = drawn(run).with_records(names, run.steps)
    if since is not None:
        joined = draws.joined.copy()
        joined[-len(names) :] = since
        draws = replace(draws, joined=joined)
    return replace(
        run,
        rows=run.rows.extended(x),
        labels=np.concatenate([run.labels, y.astype(run.labels.dtype)]),
        zeroed=np.append(run.zeroed, np.zeros(len(names), dtype=bool)),
        orders=np.empty((0, run.labels.size + len(names)), dtype=np.int64),
        draws=draws,
    )


def waves(run: Run, parts: Sequence[Part]) -> Iterator[tuple[NDArray[np.int64], list[Part]]]:
    """Who joins when in retraining, and the steps until the next ones do: rows of the run and parts, one after the other."""
    joined = drawn(run).joined
    moments = sorted({0, *joined.tolist()})
    if len(moments) == 1:
        yield np.arange(joined.size), list(parts)
        return
    # Records join constant algorithms only, whose runs have one part.
    [part] = parts
    for moment, end in zip(moments, [*moments[1:], part.steps], strict=True):
        yield np.flatnonzero(joined == moment), [part._replace(steps=end - moment)]
