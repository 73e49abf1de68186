"""What a guarantee rests on, a sentence each."""

from __future__ import annotations

from typing import Final

from accountant.bounds.base import Setting
from accountant.numerics import shown
from accountant.problem import ADJACENCIES, MATCHED, MAX_EPSILON, PNSGD, RANDOM, RESHUFFLE, WORST, describe, rounding_of

#: What no bound here can do without: requests named by a quantile of a released model break it (docs/theory.md).
INDEPENDENT: Final = (
    "requests, what replaces the points and all their times depend neither on the batch order nor on any model learned or "
    "released before them"
)


def assumptions_of(setting: Setting, batches: str | int | tuple[int, ...], group_size: int) -> tuple[str, ...]:
    """The list for a setting of the accountant; ``batches`` as the accountant has it."""
    algorithm, problem = setting.algorithm, setting.algorithm.problem
    convexity = f"{shown(problem.strong_convexity)}-strongly convex" if problem.strong_convexity > 0 else "convex"
    lines = [
        f"every point's loss is {shown(problem.smoothness)}-smooth and {convexity}",
        f"the data part of every per-sample gradient has norm at most {shown(problem.lipschitz)}, by construction or by "
        "clipping that keeps convexity and smoothness",
        f"adjacency {problem.adjacency}: {ADJACENCIES[problem.adjacency].meaning}",
    ]
    if batches == RESHUFFLE:
        lines.append("a fresh random permutation in every epoch of learning, the same for the model and the retrained one")
    else:
        lines.append(
            "cyclic batches: one random partition, visited in the same order in every epoch of learning and unlearning"
        )
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


def _order(setting: Setting, batches: str | int | tuple[int, ...], group_size: int) -> list[str]:
    if batches == WORST or setting.given_distance:
        return ["holds for every batch order"]
    if batches == RESHUFFLE:
        return ["averaged over the order of the most recent epochs of learning"]
    if batches == RANDOM:
        return ["averaged over the random batch order"]
    if isinstance(batches, tuple):
        return ["the deleted points are in the given batches"]
    points = "point is" if group_size == 1 else "points are"
    return [f"the deleted {points} in batch {batches} (counted from 0)"]


def _rounding(algorithm: PNSGD) -> list[str]:
    """What the bound on rounding takes for granted."""
    lines = [
        f"steps are computed in {algorithm.rounding}, with at most {algorithm.dimension} parameters: sums of products in any "
        "order, and a step and its noise are added with one rounding, of noise that is Gaussian to that precision",
    ]
    if rounding_of(algorithm) is None:
        return [*lines, "no bound on the parameters is known: rounding is not counted, its noise is only far above it"]
    if algorithm.radius is None:
        lines.append("the strongly convex part of the loss is a multiple of the squared norm, and learning starts at zero")
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
