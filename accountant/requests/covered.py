"""What a stream covers: the settings under which requests add up."""

from __future__ import annotations

import math
from typing import Final

from accountant.bounds import BOUNDS
from accountant.numerics import InputError, choice
from accountant.problem import RANDOM, SECRET, WORST, oversize
from accountant.questions import UnlearningAccountant

#: log of the share of delta that batches may cost which are too large before somebody must say whether a key is redrawn.
LITTLE: Final = math.log(1e-9)


def one_run(accountant: UnlearningAccountant, delta: float) -> UnlearningAccountant:
    """The accountant of one run for all requests: whether a key is redrawn is said at the start, before anybody leaves.

    Never, where that costs next to nothing; InputError where it was not said and matters.
    """
    algorithm = accountant.algorithm
    if algorithm.assignment != SECRET or algorithm.redraw is not None:
        return accountant
    cost = oversize(algorithm)
    if cost.log_redrawn is not None and cost.log_added > math.log(delta) + LITTLE:
        never, anew = (math.exp(min(log_chance, 0.0)) for log_chance in (cost.log_added, cost.log_redrawn))
        raise InputError(
            f"redraw must be true or false for a stream, which is one run: never redrawing costs {never:.3g} of delta, "
            f"redrawing {anew:.3g} for every record that leaves, and nobody may join then"
        )
    return UnlearningAccountant.of(accountant.setup.with_(redraw=False), bound=accountant.bound)


def check_covered(accountant: UnlearningAccountant, first_bound: str | None) -> None:
    """Refuse what a stream does not cover."""
    name = accountant.bound
    if accountant.batches not in (RANDOM, WORST):
        raise InputError(f"batches must be random or worst for a stream, got {accountant.batches}")
    if accountant.algorithm.own_draws and accountant.algorithm.assignment != SECRET:
        raise InputError(
            f"assignment must be partition or secret for a stream, got {accountant.algorithm.assignment}: how requests add up "
            "is proved for one draw that is kept in every epoch"
        )
    if accountant.algorithm.public_share:
        raise InputError(
            "public_share must be left out for a stream, whose rules take every record for one that may leave, got "
            f"{accountant.algorithm.public_share}"
        )
    if accountant.group_size != 1:
        raise InputError(f"group_size must be 1 for a stream, whose requests bring their own, got {accountant.group_size}")
    if not accountant.constant:
        raise InputError("a stream needs a constant algorithm: schedule must be left out, or change nothing")
    if isinstance(accountant.reference, int):
        raise InputError(f"reference must be matched or converged for a stream, got {accountant.reference}")
    if accountant.starts_apart:
        raise InputError("reference must be matched for a stream after finite learning, got converged")
    if first_bound is not None:
        published = [bound for bound in BOUNDS if bound != "optimal"]
        choice("first_bound", first_bound, published)
        if name == "optimal":
            raise InputError(f"first_bound={first_bound} goes with a published bound, got bound=optimal")
    for bound in {name, first_bound or name}:
        learned = accountant.algorithm.learn_epochs
        if bound == "paper" and learned is not None and accountant.algorithm.log_contraction < 0:
            raise InputError(
                "bound=paper is published for streams after converged learning only: learn_epochs must be left out, "
                f"got {learned}"
            )
    accountant.check()
