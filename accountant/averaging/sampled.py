"""Records that draw anew in every epoch (fresh) or are in every step by chance (Poisson): laws of the scales of their visits.

Theorem H holds for any random set of visits that is independent of everybody else's draws. With r steps after it a visit alone
takes g(r) = h c^r sqrt((1 - c^2)/(1 - c^(2(r+1))))/nu; shifts of several visits add up, so the string of a set of visits is at
most the sum of g(r) over them, whose law is a convolution. Everything is rounded up: the curve of a mixture grows with every
mu, and is convex in none. A visit never proves more where it is later, nor a set of visits where it has one more, so no scale
is above that of the worst visits (docs/theory.md, "Other draws").
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from accountant.averaging.dense import on_grid, string_law
from accountant.averaging.own_draws import paying
from accountant.averaging.raised import CELLS, MOST_EXPECTED, RaisedLaw, added_up, binomial, power
from accountant.bounds import Bound, Setting
from accountant.curves import GaussianMixtureCurve, Mixture
from accountant.numerics import Floats, InputError, Numbers, geometric_sum, log_power
from accountant.problem import FRESH
from accountant.shifts import log_mu_cyclic, log_mu_decay, log_mu_restarted

#: Numbers of recent epochs whose positions may be averaged over; the epochs before them are one string, at its worst.
_RECENT: Final = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
#: Steps of recent epochs that are looked at, at most, but for one epoch.
_TERMS: Final = 1 << 21
#: Stretches of steps, older ones longer, in which every visit counts as the last step; and how far its steps may differ.
_STRETCHES: Final = 1024
_ALIKE: Final = 2e-4
#: What is old counts at its largest where that is less than this share of a cell.
_SHARE: Final = 0.25
#: Components of a mixture: of the one inside, and of each of the two where a stand-in is averaged outside.
_CLASSES: Final = 1 << 13
_PAIRED: Final = (512, 48)
#: Where visits begin to be taken together, in epochs of learning before its end, and the push down to which they are.
_APART: Final = (0.0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0, 2.0)
_FAINT: Final = 1 / 8
#: The chances' powers whose sums say where classes begin.
_POWERS: Final = (1 / 3, 1 / 16)
#: What sums of products, a few thousand in a row, may have lost of a probability; the scales are raised by so much instead.
_RAISE: Final = 1e-11


class Visits(NamedTuple):
    """Weights (C,), summing to one, and upper bounds on the scale (C,) in units of exp(log_unit)."""

    log_unit: float
    weights: Floats
    values: Floats

    @classmethod
    def sure(cls, log_scale: float) -> Visits:
        """A single outcome."""
        return cls(log_scale if math.isfinite(log_scale) else 0.0, np.ones(1), np.array([float(log_scale > -math.inf)]))

    def at_most(self, log_cap: float) -> Visits:
        """The same, no outcome above a bound on them all."""
        cap = math.exp(min(log_cap - self.log_unit, 700.0))
        return self._replace(values=np.minimum(self.values, cap))

    def pooled(self, classes: int) -> Visits:
        """Of at most so many components, each as large as its largest member."""
        order = np.argsort(self.values, kind="stable")
        values, weights = self.values[order], self.weights[order]
        starts = np.diff(values) > 0
        if np.count_nonzero(starts) >= classes:
            classed = np.zeros(starts.shape, dtype=np.bool_)
            # Half of the classes are where raising a likely outcome is cheapest, half are even in all but the unlikeliest;
            # a likely outcome is the last one of its class.
            for power_ in _POWERS:
                measure = np.cumsum(weights**power_)
                ends = np.floor(measure / measure[-1] * (classes / len(_POWERS) - 1))
                classed |= np.diff(np.append(0.0, ends[:-1])) > 0
            starts &= classed
        at = np.flatnonzero(np.append(True, starts))
        return self._replace(weights=np.add.reduceat(weights, at), values=np.maximum.reduceat(values, at))


@dataclass(frozen=True)
class SampledVisits:
    """``count`` records, each visited at random by itself; ``worst``: at the worst visits that their draws may give.

    learned: steps of learning, of Poisson sampling that ends inside an epoch, at most those of the setting's epochs.
    """

    count: int = 1
    stand_in: bool = False
    worst: bool = False
    learned: int | None = None
    fixed: bool = False

    @property
    def width(self) -> int:
        return 1 if self.worst else _PAIRED[0] * _PAIRED[1] if self.stand_in else _CLASSES

    def mixture(self, bound: Bound, setting: Setting, steps: Floats, log_start: Numbers) -> Mixture:
        curve = paying(GaussianMixtureCurve(), setting, steps=float(steps[0]), points=self.count)
        if setting.given_distance:
            addends = bound.log_addend(setting, np.zeros(1), steps, log_start)
            return Mixture(np.zeros(1), bound.log_scale(setting, addends, steps), curve)
        own = _one_law(setting, float(steps[0]), self)
        laws = [own]
        if self.stand_in:
            # The leaver's law and the stand-in's are the same: the runs differ in the learning of either.
            laws = [own.pooled(classes) for classes in _PAIRED]
            curve = paying(GaussianMixtureCurve(laws[1].values.size), setting, steps=float(steps[0]), points=self.count)
        with np.errstate(divide="ignore"):
            log_weights = np.log(np.concatenate([law.weights for law in laws]))
            log_sum = np.concatenate([np.log(law.values) + law.log_unit for law in laws])[None] + _RAISE
        log_sum = np.broadcast_to(log_sum, (steps.size, log_sum.shape[1]))
        return Mixture(log_weights, bound.log_scale(setting, log_sum, steps), curve)

    def method(self, bound: Bound, setting: Setting, steps: Floats) -> str:
        if self.worst:
            return "exact"
        return "law of the sum of the visits' own bounds on a grid rounded up, an upper bound"


@lru_cache(maxsize=64)
def _one_law(setting: Setting, steps: float, drawn: SampledVisits) -> Visits:
    """The law of all deleted records' scale together, at unit noise."""
    if drawn.stand_in:
        # The two runs' distances from the one without both records add up, which a ball would cap.
        setting = replace(setting, algorithm=replace(setting.algorithm, radius=None))
    algorithm = setting.algorithm
    epochs = float(setting.shared_epochs(np.array([steps]))[0])
    if drawn.learned is not None:
        epochs = drawn.learned / algorithm.steps_per_epoch
    if algorithm.log_contraction == 0 and math.isinf(epochs):
        raise InputError(
            f"learn_epochs must be given with assignment={algorithm.assignment} on a convex problem: visits never stop counting"
        )
    if epochs < 1 and drawn.learned is None:
        # Retraining so short that the stretch of both has no learning step.
        length = float(setting.reference) * algorithm.steps_per_epoch + steps % algorithm.steps_per_epoch
        return Visits.sure(_decay(setting, length))
    largest = _worst(setting, steps, epochs)
    diameter = _decay(setting, steps) if algorithm.radius is not None else math.inf
    if drawn.worst:
        return Visits.sure(min(largest + math.log(drawn.count), diameter))
    log_g = _Alone(algorithm.log_contraction, float(algorithm.log_sensitivity(0.0)), steps)
    start = _decay(setting, epochs * algorithm.steps_per_epoch + steps) if setting.starts_apart else -math.inf
    if log_g(0.0) == -math.inf:
        return Visits.sure(start)
    if algorithm.assignment == FRESH:
        law = _fresh(log_g, algorithm.steps_per_epoch, epochs)
    else:
        learned = epochs * algorithm.steps_per_epoch if drawn.learned is None else drawn.learned
        law = _poisson(log_g, algorithm.steps_per_epoch, learned)
    if setting.starts_apart:
        law = law._replace(values=law.values + math.exp(min(start - law.log_unit, 700.0)))
    law = law.at_most(largest)
    if drawn.count > 1:
        law = Visits(law.log_unit, *power(law.values, law.weights, drawn.count)).at_most(diameter)
    return law.pooled(_CLASSES)


def _decay(setting: Setting, steps: float) -> float:
    """log of what the ball's diameter takes, ``steps`` before the end."""
    algorithm = setting.algorithm
    return float(log_mu_decay(log_c=algorithm.log_contraction, log_start=algorithm.log_diameter, steps=steps))


def _worst(setting: Setting, steps: float, epochs: float) -> float:
    """log of the scale of the worst visits: the last step of every epoch, or every step of learning."""
    algorithm = setting.algorithm
    period = algorithm.steps_per_epoch if algorithm.assignment == FRESH else 1
    visits = epochs if algorithm.assignment == FRESH else np.rint(epochs * algorithm.steps_per_epoch)
    log_h = algorithm.log_sensitivity(0.0)
    start = algorithm.log_diameter if setting.starts_apart else -math.inf
    log_mu = log_mu_cyclic(
        log_c=algorithm.log_contraction,
        steps_per_epoch=period,
        log_sensitivity=log_h,
        log_start=start,
        visits=visits,
        lead=period - 1.0,
        tail=steps,
    )
    if algorithm.radius is not None:
        restarted = log_mu_restarted(
            log_c=algorithm.log_contraction,
            steps_per_epoch=period,
            log_sensitivity=log_h,
            log_diameter=algorithm.log_diameter,
            visits=np.array([visits]),
            tail=np.array([steps]),
        )
        log_mu = min(float(log_mu), float(restarted[0]))
    return float(log_mu)


class _Alone(NamedTuple):
    """log g of a visit with r steps of learning after it, and ``steps`` of unlearning."""

    log_c: float
    log_h: float
    steps: float

    def __call__(self, r: Floats | float) -> Floats:
        after = np.asarray(r) + self.steps
        with np.errstate(divide="ignore"):
            return np.asarray(
                self.log_h + log_power(self.log_c, after) - 0.5 * np.log(geometric_sum(self.log_c, after + 1, stride=2))
            )


def _fresh(log_g: _Alone, period: int, epochs: float) -> Visits:
    """One visit in each of so many epochs, at one of ``period`` steps, each as likely."""
    unit = float(log_g(0.0))
    recent = np.arange(min(epochs, _RECENT[-1], max(_TERMS // period, 1)))
    terms = np.exp(log_g(period * recent[:, None] + np.arange(period)) - unit)
    high, low, mean = terms.max(axis=1), terms.min(axis=1), terms.mean(axis=1)
    choices = [k for k in _RECENT if k <= recent.size]
    if recent.size == epochs:
        choices.append(recent.size)
    older = {k: _older(log_g, period, epochs - k, float(k * period), unit) for k in choices}
    # Any number is valid: the more epochs are averaged, the more strings are taken apart.
    taken = min(choices, key=lambda k: older[k] + float(mean[:k].sum()))
    offset, step = older[taken] + float(low[:taken].sum()), float((high - low)[:taken].sum()) / CELLS
    law = RaisedLaw(np.ones(1), 0, step, 0.0)
    for k in range(taken - 1, -1, -1):
        if high[k] - low[k] <= _SHARE * step:
            offset += float(high[k] - low[k])
            continue
        index = np.ceil((terms[k] - low[k]) / step).astype(np.int64)
        mass = np.bincount(index) / period
        some = np.flatnonzero(mass)
        law = law.added(some, mass[some])
    weights, values = law.components(float((high - low)[:taken].sum()))
    return Visits(unit, weights, values + offset)


def _older(log_g: _Alone, period: int, epochs: float, since: float, unit: float) -> float:
    """A bound on the scale of so many epochs that end ``since`` steps before learning does, in units of exp(unit)."""
    if epochs <= 0:
        return 0.0
    worst = log_mu_cyclic(
        log_c=log_g.log_c,
        steps_per_epoch=period,
        log_sensitivity=log_g.log_h,
        log_start=-math.inf,
        visits=epochs,
        lead=period - 1.0,
        tail=since + log_g.steps,
    )
    return math.exp(min(float(worst) - unit, 700.0))


def _poisson(log_g: _Alone, period: int, learned: float) -> Visits:
    """A visit in each of so many steps with probability 1/period."""
    unit, chance = float(log_g(0.0)), 1 / period
    starts, older = _stretches(log_g, period, learned)
    lengths, starts = np.diff(starts), starts[:-1]
    values = np.exp(log_g(starts) - unit)
    pushes = np.exp(log_power(log_g.log_c, starts))
    noise = geometric_sum(log_g.log_c, starts + log_g.steps + 1, stride=2) / geometric_sum(
        log_g.log_c, log_g.steps + 1, stride=2
    )
    first, last = _dense(starts, values, pushes, noise, chance * lengths, period)
    law = RaisedLaw(np.ones(1), 0, float(values[-1]) / CELLS, 0.0)

    def visited(law: RaisedLaw, some: range) -> RaisedLaw:
        for k in some:
            least, mass, beyond = binomial(float(lengths[k]), chance)
            law = law.roomy(float(values[k]) * (least + mass.size))
            at = np.arange(least, least + mass.size)
            law = law.added(np.ceil(float(values[k]) / law.step * at).astype(np.int64), mass, beyond)
        return law

    law = visited(law, range(values.size - 1, last - 1, -1))
    if first < last:
        some = slice(first, last)
        string = on_grid(*string_law(pushes[some], noise[some], lengths[some], chance), law.step)
        law = added_up(law, string)
    law = visited(law, range(first - 1, -1, -1))
    weights, found = law.components(float((values * lengths).sum()))
    return Visits(unit, weights, found + older)


def _dense(starts: Floats, values: Floats, pushes: Floats, noise: Floats, expected: Floats, period: int) -> tuple[int, int]:
    """The stretches whose visits are taken together as one string, those from the first up to the last; any are valid."""
    every = starts.size
    last = int(np.count_nonzero(pushes > _FAINT))
    alone = np.append(0.0, np.cumsum(expected * values))
    best, found = 0.97 * float(alone[-1]), (every, every)
    for share in _APART:
        first = int(np.count_nonzero(starts < share * period))
        if last - first < 2:
            continue
        some = slice(first, last)
        mean, spread = np.cumsum((expected * pushes)[some]), np.sqrt(np.cumsum((expected * pushes**2)[some]))
        together = math.sqrt(float(((mean + spread) / noise[some]).max()) * float(mean[-1]))
        total = float(alone[first] + together + alone[-1] - alone[last])
        if total < best:
            best, found = total, (first, last)
    return found


def _stretches(log_g: _Alone, period: int, steps: float) -> tuple[Floats, float]:
    """Where stretches of similar steps begin and end, from the newest on, and what all before them add up to at most."""
    # g falls by less and less a step, so that the first step of a stretch says how far it may reach.
    unit, reach = float(log_g(0.0)), math.inf
    gap = -math.expm1(log_g.log_c)
    if gap > 0:
        reach = math.log(CELLS / _SHARE / gap) / -log_g.log_c + 1
    last = float(min(steps, np.ceil(reach)))
    drop = (unit - float(log_g(last))) / _STRETCHES
    alike = max(_ALIKE, drop if math.isfinite(drop) else 0.0)
    starts, at = [0.0], 0.0
    while at < last:
        fall = float(log_g(at) - log_g(at + 1))
        length = 1.0 if not fall < alike else alike / fall if fall > 0 else last
        at = min(at + max(min(math.floor(length), math.floor(MOST_EXPECTED * period)), 1), last)
        starts.append(at)
    older = 0.0
    if at < steps:
        left = geometric_sum(log_g.log_c, steps - at)
        older = math.exp(float(log_g(at)) - unit) * float(left)
    return np.array(starts), older
