"""What a guarantee rests on, a sentence each."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from accountant.bounds.base import Setting
from accountant.numerics import shown
from accountant.problem import (
    ADJACENCIES,
    ASSIGNMENTS,
    MATCHED,
    MAX_EPSILON,
    PNSGD,
    RANDOM,
    RESHUFFLE,
    WORST,
    Problem,
    describe,
    load_limit,
)

#: What no bound here can do without: requests named by a quantile of a released model break it (docs/theory.md).
INDEPENDENT: Final = (
    "requests, what replaces the points and all their times depend neither on the batch order nor on any model learned or "
    "released before them"
)
#: Of constants that no loss was named for: what is forgotten most easily, and what nothing here could see.
AS_GIVEN: Final = (
    "L, m and M are as given: they were not derived from a loss here; where there is an intercept they count its constant "
    "feature 1, and m is 0 unless it is regularised, too"
)
#: What classes of norm take for granted, and what they tell.
PUBLIC_CLASSES: Final = (
    "thresholds of classes of norm are fixed before training, not taken from the data, and every record's gradient is "
    "clipped at its class's threshold, or no longer by construction; the class of a deleted record is public: steps or sigma "
    "disclose it"
)
#: How the lines begin that say what the guarantee is of, or how it was computed: nothing in them is the user's to make true.
_OURS: Final = (
    "adjacency ", "reference ", "learning has converged (or is bounded as if it had", "averaged over ", "holds for every batch",
    "holds whatever the deleted records drew", "compared with the same history", "earlier requests ", "requests may be chosen",
    "sigma is chosen for so many requests",
)  # fmt: skip


def to_check(assumptions: Iterable[str]) -> tuple[str, ...]:
    """Those of the lines that are the user's to make true; the others say what the guarantee is of, or how it was computed.

    A line that nobody has sorted is the user's: none is left out by accident.

    >>> to_check(["adjacency replace: the deleted point is replaced by another", "learning runs 3 epochs"])
    ('learning runs 3 epochs',)
    """
    return tuple(line for line in assumptions if not line.startswith(_OURS) and "; the guarantee is for all of" not in line)


def assumptions_of(setting: Setting, batches: str | int | tuple[int, ...], group_size: int) -> tuple[str, ...]:
    """The list for a setting of the accountant; ``batches`` as the accountant has it."""
    algorithm, problem = setting.algorithm, setting.algorithm.problem
    convexity = f"{shown(problem.strong_convexity)}-strongly convex" if problem.strong_convexity > 0 else "convex"
    lines = [
        f"every point's loss is {shown(problem.smoothness)}-smooth and {convexity}",
        f"the data part of every per-sample gradient has norm at most {shown(problem.lipschitz)}, by construction or by "
        "clipping that keeps convexity and smoothness",
        _constants(problem),
        f"adjacency {problem.adjacency}: {ADJACENCIES[problem.adjacency].meaning}",
    ]
    if batches == RESHUFFLE:
        lines.append("a fresh random permutation in every epoch of learning, the same for the model and the retrained one")
    else:
        lines.append(ASSIGNMENTS[algorithm.assignment].meaning)
    if algorithm.public_share:
        lines.append(
            f"{shown(algorithm.public_share)} of every batch (rounded down to whole records) is public and never deleted: the "
            f"layout puts it there, the other {algorithm.private_records} records into the other places at random"
        )
    if algorithm.norm_class < 1:
        lines += _norm_class(algorithm)
    if algorithm.own_draws:
        lines += _own_draws(algorithm)
    lines.append(f"reference {describe(setting.reference)}")
    lines += _learning(setting)
    if algorithm.radius is not None:
        lines.append(f"every step projects on a ball of radius {shown(algorithm.radius)}")
    if group_size > 1:
        lines.append(f"{group_size} points are deleted at once; the guarantee is for all of them together")
    lines += _order(setting, batches, group_size)
    if algorithm.dropped_points and not setting.given_distance:
        lines.append(_dropped(algorithm, batches))
    lines.append(INDEPENDENT)
    if algorithm.rounding is not None:
        lines += _rounding(algorithm)
    lines.append("the guarantee is about the released, unlearned model alone")
    return tuple(lines)


def _constants(problem: Problem) -> str:
    """What L, m and M rest on."""
    if problem.loss is None:
        return AS_GIVEN
    return f"L, m and M follow from the {problem.loss.about}: {', '.join(problem.loss.lines)}"


def _learning(setting: Setting) -> list[str]:
    learned = setting.algorithm.learn_epochs
    if setting.given_distance:
        return ["start_distance bounds the distance between the two models when unlearning starts"]
    if setting.timeline is not None:
        return ["learning and unlearning follow the given schedule, whose later batch sizes cut the same permutation"]
    if learned is None and setting.reference == MATCHED:
        return ["learning has converged (or is bounded as if it had: any finite matched learning of whole epochs is covered)"]
    if learned is None:
        return ["learning has run until its law no longer changes"]
    return [f"learning runs {learned} epochs"]


def _norm_class(algorithm: PNSGD) -> list[str]:
    """What the smaller sensitivity of one class of records takes for granted."""
    share, most = shown(algorithm.norm_class), shown(algorithm.norm_class * algorithm.problem.lipschitz)
    who = "the deleted record and what takes its place" if algorithm.problem.adjacency == "replace" else "the deleted record"
    return [
        f"norm class {share}: gradients of {who} have norm at most {most}, {share} of the bound for all",
        PUBLIC_CLASSES,
    ]


def _order(setting: Setting, batches: str | int | tuple[int, ...], group_size: int) -> list[str]:
    if batches == WORST or setting.given_distance:
        own = setting.algorithm.own_draws
        return ["holds whatever the deleted records drew, also if the key leaks" if own else "holds for every batch order"]
    if batches == RESHUFFLE:
        return ["averaged over the order of the most recent epochs of learning"]
    if batches == RANDOM:
        own = setting.algorithm.own_draws
        return ["averaged over the deleted records' own draws" if own else "averaged over the random batch order"]
    if isinstance(batches, tuple):
        return ["the deleted points are in the given batches"]
    points = "point is" if group_size == 1 else "points are"
    return [f"the deleted {points} in batch {batches} (counted from 0)"]


def _own_draws(algorithm: PNSGD) -> list[str]:
    """What draws of batches by the records themselves take for granted."""
    batches, limit = algorithm.steps_per_epoch, load_limit(algorithm)
    lines = [
        f"1 of J = {batches} batches, each as likely; the divisor is b = {algorithm.batch_size} whatever the batch sizes are, "
        "and the regulariser, which has all of the strong convexity, stands outside of the sum",
        "the key of the draws, and all that is computed from them while a record is in (batch sizes, losses or times of "
        "batches, iterates), stay secret for ever; the draws are those of a pseudo-random function: a computational guarantee",
        "no identifier is used twice: a record that comes back, or is edited, draws anew",
        "all constants (J, b, step_size, sigma, delta, lengths, scaling) are fixed beforehand, whatever the data are",
    ]
    if algorithm.problem.adjacency == "replace":
        lines.append("the stand-in has an identifier of its own and draws independently of the record that it replaces")
    else:
        lines.append(
            "compared with the same history without the deleted records, newcomers included; retraining from scratch on the "
            "final data is the same only where no record came in after the start"
        )
    if math.isfinite(limit):
        size = f"{limit:.0f} other records"
        never = f"at most {algorithm.largest_n} records are ever in, living or not; "
        never += f"the chance of batches of more than {size} is paid"
        anew = f"the key was redrawn at the start until no batch had more than {size}, and no record joins later"
        choices = {True: [anew], False: [f"keys are not redrawn; {never}"]}
        lines += choices.get(bool(algorithm.redraw), []) if algorithm.redraw is not None else [f"{never}, or {anew}"]
    return lines


def _rounding(algorithm: PNSGD) -> list[str]:
    """What the bound on rounding takes for granted."""
    lines = [
        f"steps are computed in {algorithm.rounding}, with at most {algorithm.dimension} parameters: sums of products in any "
        "order, and a step and its noise are added with one rounding, of noise that is Gaussian to that precision",
    ]
    if algorithm.radius is None:
        if algorithm.problem.strong_convexity > 0:
            lines.append("the strongly convex part of the loss is a multiple of the squared norm, and learning starts at zero")
        else:
            lines.append("the gradient of the loss has norm at most lipschitz, whatever the data, and learning starts at zero")
        lines.append(
            f"epsilon is at most {MAX_EPSILON:g}, and no Rényi divergence is read off: noise may exceed its bound by chance"
        )
    return lines


def _dropped(algorithm: PNSGD, batches: str | int | tuple[int, ...]) -> str:
    chance = algorithm.dropped_points / algorithm.problem.n
    line = f"{algorithm.dropped_points} points are dropped by the batch order and never used"
    if batches == RANDOM:
        line += f"; a point is among them with probability {chance:.3g}, which the average counts"
    return line
