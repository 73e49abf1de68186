"""What has no certificate, refused in a sentence before any work is done."""

from __future__ import annotations

from collections.abc import Sequence

from accountant.numerics import InputError, integer
from accountant.problem import PNSGD
from accountant.questions import UnlearningAccountant


def check_certifiable(
    accountant: UnlearningAccountant, requests: Sequence[tuple[int, int]] | None, start_distance: float | None
) -> None:
    """Refuse what has no certificate."""
    algorithm: PNSGD = accountant.algorithm
    if accountant.bound != "optimal":
        raise InputError(f"bound must be optimal for a certificate, which proves at least as much, got {accountant.bound}")
    if algorithm.rounding is not None:
        raise InputError(f"rounding must be left out for a certificate, of exact arithmetic, got {algorithm.rounding}")
    if not accountant.constant:
        raise InputError("a certificate needs a constant algorithm: schedule must be left out, or change nothing")
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


def checked(requests: Sequence[tuple[int, int]], n: int) -> list[tuple[int, int]]:
    found = []
    for points, count in requests:
        found.append((integer("points", points, at_least=1, at_most=n), integer("steps", count, at_least=0)))
    if not found:
        raise InputError("requests must have at least one entry, got none")
    if sum(points for points, _ in found) > n:
        raise InputError(f"points must sum to at most n = {n}, got {sum(points for points, _ in found)}")
    return found
