"""How a question becomes rows of numbers: steps and start distances asked about, and the mixture they lead to."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from accountant.averaging import Components
from accountant.bounds import Blocks, Bound, Setting
from accountant.curves import BallCurve, Curve, Mixture
from accountant.numerics import DOUBLE, Floats, Numbers, broadcast, in_blocks
from accountant.problem import PNSGD, Rounding, rounding_of


class Rows(Protocol):
    """Numbers of steps and distances at their start that are asked about, and what answers them."""

    @property
    def start(self) -> Floats: ...
    @property
    def width(self) -> int:
        """Numbers that one row makes, for sizing blocks."""
        ...

    def at(self, steps: Floats, start: Floats) -> Rows:
        """The same question about other rows."""
        ...

    def mixture(self, steps: Floats, start: Floats) -> Mixture:
        """Components at sigma = 1 for rows (P,), (P,) that :meth:`solve` hands out together."""
        ...

    def solve(self, block: Callable[..., Floats], *arguments: Floats) -> Floats:
        """``block(steps, start, *arguments)`` on flattened rows, in blocks within which one mixture serves all rows."""
        ...


@dataclass(frozen=True, eq=False)
class Query:
    """The steps and start distances asked about, arrays that broadcast; a zero distance where learning gives it."""

    bound: Bound
    setting: Setting
    components: Components
    steps: Floats
    start: Floats

    @property
    def width(self) -> int:
        return self.components.width

    def at(self, steps: Floats, start: Floats) -> Query:
        """The same question about other rows."""
        return replace(self, steps=steps, start=start)

    @property
    def curve(self) -> Curve:
        """The kind of privacy curve that the bound proves."""
        return self.bound.curve(self.setting)

    def mixture(self, steps: Floats, start: Floats) -> Mixture:
        """Components at sigma = 1 for rows (P,), (P,)."""
        if steps.size > 1 and np.all(start == start[0]):
            # Rows that ask about equally many steps share their components.
            each, rows = np.unique(steps, return_inverse=True)
            mixture = self.components.mixture(self.bound, self.setting, each, log_of(start[: each.size]))
            mixture = mixture._replace(log_scale=mixture.log_scale[rows])
        else:
            mixture = self.components.mixture(self.bound, self.setting, steps, log_of(start))
        mixture = mixture._replace(log_scale=raised(self.setting.algorithm, mixture.log_scale))
        rounding = rounding_of(self.setting.algorithm)
        mixture = mixture if rounding is None else _rounded(mixture, rounding, steps)
        ball = self.ball
        return mixture if ball is None else mixture._replace(curve=_behind(ball, self, mixture, steps, start[:1]))

    @property
    def ball(self) -> Blocks | None:
        """What blocks prove where they contract each component by itself: not where an average has a law for every length."""
        return self.bound.ball(self.setting) if self.components.fixed else None

    def solve(self, block: Callable[..., Floats], *arguments: Floats) -> Floats:
        """``block(steps, start, *arguments)`` on flattened rows, in blocks within which one mixture serves all rows."""
        arrays = (self.steps, self.start, *arguments)
        if self.components.fixed and (self.start.ndim == 0 or self.ball is None):
            return in_blocks(block, *arrays, width=self.components.width)
        arrays = tuple(broadcast(*arrays))
        shape = arrays[0].shape
        flat = [array.ravel() for array in arrays]
        result = np.empty(flat[0].size)
        # All of one start, or all of so many steps.
        keys = flat[1 if self.components.fixed else 0]
        for key in np.unique(keys).tolist():
            rows = keys == key
            result[rows] = in_blocks(block, *(array[rows] for array in flat), width=self.components.width)
        return result.reshape(shape)


def _behind(ball: Blocks, query: Query, mixture: Mixture, steps: Floats, start: Floats) -> Curve:
    """The curve of strings and of blocks behind them, for rows of one start."""
    setting = query.setting
    algorithm, reference = setting.algorithm, setting.reference
    rounding = rounding_of(algorithm)

    def finished(log_mu: Floats, n: Floats) -> Floats:
        log_mu = raised(algorithm, log_mu)
        # What rounding costs in all of learning and n steps is enough for these alone.
        return log_mu if rounding is None else np.logaddexp(log_mu, rounding.parts(n)[0][:, None])

    def block(n: Floats) -> Floats:
        return finished(np.asarray(ball.log_block(n))[:, None], n)[:, 0]

    def first(n: Floats, total: Floats) -> Floats:
        log_start = np.broadcast_to(log_of(start), n.shape)
        return finished(before(query, setting, ball, n, total, log_start, width=mixture.log_weights.size), n)

    common = steps
    if isinstance(reference, int):
        common = np.minimum(steps, reference * algorithm.steps_per_epoch + steps % algorithm.steps_per_epoch)
    log_c = float(setting.constants.log_contraction)
    return BallCurve(common, first, block, ball.worth, mixture.log_scale.max(axis=1), log_c)


def before(
    query: Query, setting: Setting, ball: Blocks, n: Floats, total: Floats, log_start: Numbers, *, width: int
) -> Numbers:
    """log mu at sigma = 1 (U, C) of learning and the first ``n`` (U,) of ``total`` (U,) common steps, of ``width`` components.

    The query's question in the setting's arithmetic; ``ball`` of that setting.
    """
    reference, period = setting.reference, setting.algorithm.steps_per_epoch
    if not isinstance(reference, int):
        return query.components.mixture(query.bound, setting, n, log_start).log_scale
    # Retraining is aligned at the end of all steps, of which those before its beginning are not common.
    keys = np.stack([reference - total // period, n // period])
    result: Numbers = np.empty((n.size, width), dtype=float if setting.arithmetic is DOUBLE else object)
    for shared, epochs in np.unique(keys, axis=1).T.tolist():
        rows = np.flatnonzero((keys[0] == shared) & (keys[1] == epochs))
        if shared >= 1:
            aligned = replace(setting, reference=int(shared + epochs))
            result[rows] = query.components.mixture(query.bound, aligned, n[rows], log_start[rows]).log_scale
        else:
            apart = ball.log_block(np.maximum(n[rows], 1.0))
            result[rows] = np.where(n[rows] >= 1, apart, np.inf)[:, None]
    return result


def _rounded(mixture: Mixture, rounding: Rounding, steps: Floats) -> Mixture:
    """With what rounding adds to every mu, once for all points: their shifts and its own add up."""
    (added, constant), law = rounding.parts(steps), mixture.law
    log_scale = np.logaddexp(mixture.log_scale, added[:, None])
    if law is not None and added.size:
        # The rounding to a grid is judged by the largest outcome.
        mixture = mixture._replace(law=replace(law, offset=law.offset + math.exp(min(float(added.max()), 690.0))))
    return mixture._replace(log_scale=np.where(np.isneginf(mixture.log_scale), -np.inf, log_scale), constant=constant)


def raised(algorithm: PNSGD, log_scale: Floats) -> Floats:
    """log mu at sigma = 1 with its rounding errors on top."""
    # The constants enter as logarithms, whose errors grow with their size.
    constants = [algorithm.eta, algorithm.problem.lipschitz, algorithm.problem.n]
    if algorithm.radius is not None:
        constants.append(algorithm.radius)
    magnitude = sum(abs(math.log(value)) for value in constants)
    # So does the logarithm of what is left after many steps, which far smaller noise may make up for.
    size = magnitude + np.abs(np.where(np.isfinite(log_scale), log_scale, 0.0))
    return log_scale + 8 * DOUBLE.unit_roundoff * size


def log_of(values: Floats) -> Floats:
    """Natural logarithm, -inf for zero."""
    with np.errstate(divide="ignore"):
        return np.log(values)
