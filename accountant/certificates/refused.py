"""What has no certificate, refused in a sentence before any work is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from accountant.curves import CONTRACTION
from accountant.numerics import InputError, integer
from accountant.problem import PNSGD, SECRET
from accountant.questions import UnlearningAccountant
from accountant.requests import StatedAfter, UnlearningStream

#: Points drawn with replacement that a checker has the time for.
_MOST_DRAWN: Final = 128


def check_certifiable(
    accountant: UnlearningAccountant, requests: Sequence[tuple[int, int]] | None, start_distance: float | None
) -> None:
    """Refuse what has no certificate."""
    algorithm: PNSGD = accountant.algorithm
    if accountant.bound != "optimal":
        raise InputError(f"bound must be optimal for a certificate, which proves at least as much, got {accountant.bound}")
    if algorithm.rounding is not None:
        raise InputError(f"rounding must be left out for a certificate, of exact arithmetic, got {algorithm.rounding}")
    if algorithm.public_share:
        raise InputError(
            "public_share must be left out for a certificate, whose checker takes every record for one that may leave, got "
            f"{algorithm.public_share}"
        )
    if algorithm.norm_class < 1:
        raise InputError(
            "norm_class must be left out for a certificate, whose checker knows one bound M for the gradients of all records, "
            f"got {algorithm.norm_class}"
        )
    if not accountant.constant:
        raise InputError("a certificate needs a constant algorithm: schedule must be left out, or change nothing")
    if algorithm.own_draws:
        _check_drawn(accountant, requests, start_distance)
        return
    if accountant.batches == "reshuffle":
        raise InputError("batches must be random, worst, a position or numbers per batch for a certificate, got reshuffle")
    if requests is not None and accountant.batches not in ("random", "worst"):
        raise InputError(f"batches must be random or worst with requests, got {accountant.batches}")
    last = accountant.group_size if requests is None else requests[-1][0] if requests else 1
    if accountant.batches == "random" and last > 1:
        raise InputError(
            f"batches must be worst (or say where the points are) for a certificate of {last} points at once, got random"
        )
    if requests is None:
        if start_distance is None:
            accountant.check()
        apart = accountant.starts_apart or start_distance is not None
        if apart and algorithm.dropped_points and accountant.batches == "random":
            raise InputError(
                "last_batch=drop has no certificate with batches=random where the two runs start apart, which a dropped "
                "point does not change: use batches=worst"
            )
        return
    if start_distance is not None:
        raise InputError("start_distance cannot be given with requests, which learning leads to")
    if accountant.group_size != 1:
        raise InputError(f"group_size must be left out with requests, which bring their own, got {accountant.group_size}")
    if isinstance(accountant.reference, int) or accountant.starts_apart:
        raise InputError(f"reference must be matched (or converged after converged learning) with requests, got "
                         f"{accountant.reference}")  # fmt: skip
    if algorithm.log_contraction == 0:
        raise InputError("requests need strong_convexity > 0: without contraction their distances are not bounded for ever")


def _check_drawn(
    accountant: UnlearningAccountant, requests: Sequence[tuple[int, int]] | None, start_distance: float | None
) -> None:
    """The same of records that draw their batches by themselves."""
    algorithm = accountant.algorithm
    if algorithm.assignment != SECRET:
        raise InputError(
            f"assignment must be partition or secret for a certificate, got {algorithm.assignment}: the law of a record's "
            "visits has too many outcomes to list"
        )
    if accountant.batches not in ("random", "worst") and (requests is not None or not isinstance(accountant.batches, int)):
        raise InputError(f"batches must be random or worst (or, of one record, a position), got {accountant.batches}")
    points = [accountant.group_size] if requests is None else [points for points, _ in requests]
    if accountant.batches != "worst" and points and points[-1] > 1:
        raise InputError(
            f"batches must be worst for a certificate of {points[-1]} records at once, got {accountant.batches}: the law of "
            "their draws together is computed on a grid, which no certificate lists"
        )
    replaced, several = algorithm.problem.adjacency == "replace", sum(points) > 1
    if replaced or several:
        what = "stand-ins (replace)" if replaced else "several records"
        if start_distance is not None:
            raise InputError(f"start_distance has no certificate with assignment=secret and {what}")
        if accountant.starts_apart:
            raise InputError(f"reference must be matched (or converged after converged learning) with assignment=secret and "
                             f"{what}, got {accountant.reference}")  # fmt: skip
    least = algorithm.problem.n + sum(points) - 1
    if replaced and points and algorithm.largest_n is not None and algorithm.largest_n < least:
        raise InputError(f"largest_n must be at least {least}, which counts stand-ins, got {algorithm.largest_n}")
    if requests is None:
        if start_distance is None:
            accountant.check()
        return
    if start_distance is not None:
        raise InputError("start_distance cannot be given with requests, which learning leads to")
    if accountant.group_size != 1:
        raise InputError(f"group_size must be left out with requests, which bring their own, got {accountant.group_size}")
    if algorithm.log_contraction == 0 and len(requests) > 1:
        raise InputError("requests need strong_convexity > 0: without contraction their distances are not bounded for ever")


def check_law(stream: UnlearningStream) -> None:
    """Refuse streams that have no certificate of all that they state."""
    accountant, algorithm = stream.accountant, stream.accountant.algorithm
    if accountant.bound != "optimal":
        raise InputError(f"bound must be optimal for a certificate, got {accountant.bound}")
    if algorithm.norm_class < 1 or stream.state.classes:
        raise InputError(
            "norm_class (and classes_of_norm) must be left out for a certificate, whose checker knows one bound M for the "
            "gradients of all records: this stream has requests of smaller classes"
        )
    if algorithm.log_contraction == 0:
        raise InputError("a certificate of a stream needs strong_convexity > 0: the checker follows distances that contract")


def check_group(facts: StatedAfter, points: int) -> None:
    """Refuse what is stated of the newest points in terms that a checker does not follow."""
    if facts.curve.kind == CONTRACTION:
        raise InputError(
            "radius makes blocks that contract prove what is stated, where a certificate of a stream lists shifts alone: no "
            "certificate"
        )
    if facts.group is None:
        return
    if facts.group.method is None:
        raise InputError(
            f"what is stated of {points} points of a partition at once, more than half of all, follows those that stay, which "
            "a checker does not: no certificate, use smaller requests"
        )
    if facts.group.method == "replaced" and points > _MOST_DRAWN:
        raise InputError(
            f"what is stated of {points} points of a partition at once is their law on a grid, which a checker follows for at "
            f"most {_MOST_DRAWN} of them: no certificate, use smaller requests"
        )


def checked(requests: Sequence[tuple[int, int]], n: int) -> list[tuple[int, int]]:
    found = []
    for points, count in requests:
        found.append((integer("points", points, at_least=1, at_most=n), integer("steps", count, at_least=0)))
    if not found:
        raise InputError("requests must have at least one entry, got none")
    if sum(points for points, _ in found) > n:
        raise InputError(f"points must sum to at most n = {n}, got {sum(points for points, _ in found)}")
    return found
