"""Who may join a stream: newcomers and stand-ins, of records that draw their batches by themselves."""

from __future__ import annotations

from accountant.numerics import InputError
from accountant.problem import PNSGD
from accountant.requests.state import StreamState


def check_newcomers(algorithm: PNSGD, state: StreamState, pending: int, points: int) -> None:
    """Refuse ``points`` more records where nobody may join, or so many not."""
    if not algorithm.own_draws:
        raise InputError(
            f"records join only where they draw their batches by themselves, got assignment={algorithm.assignment}"
        )
    if algorithm.redraw:
        raise InputError("records cannot join where the key was redrawn until no batch was too large (redraw)")
    _check_room(algorithm, state, pending, points, "")


def check_stand_ins(algorithm: PNSGD, state: StreamState, pending: int, points: int) -> None:
    """Refuse more records that take the places of others than were declared: they draw batches, too."""
    if _stands_in(algorithm):
        _check_room(algorithm, state, pending, points, "stand-ins included, ")


def _stands_in(algorithm: PNSGD) -> bool:
    return algorithm.own_draws and algorithm.problem.adjacency == "replace"


def _check_room(algorithm: PNSGD, state: StreamState, pending: int, points: int, which: str) -> None:
    """Too large batches are counted with the records ever in, living or not."""
    most, ever = algorithm.largest_n, algorithm.problem.n + state.inserted
    assert most is not None
    if _stands_in(algorithm):
        ever += state.points + pending
    if ever + points > most:
        raise InputError(
            f"points must be at most {most - ever}: {ever} records were ever in, {which}of largest_n = {most}, got {points}"
        )
