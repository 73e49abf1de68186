"""The closed form: optimal shifts for one deleted point in cyclic batches, whatever the number of epochs.

In the coordinates of the taut string (see ``minorant.py``) the points just before each visit to the deleted point's batch lie
on a concave curve, so only the first and the last of them can be vertices, besides the start and the end. The greatest
convex minorant therefore has at most three pieces, and mu costs O(1) for any number of learning and unlearning steps:

    start --(lead steps)--> first visit --(visits - 1 epochs)--> last visit --(1 + tail steps)--> end

docs/theory.md, section "Three pieces", has the proof.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from accountant.numerics import DOUBLE, Arithmetic, Floats, Numbers, geometric_sum, log_power


def log_mu_decay(*, log_c: Numbers, log_start: Numbers, steps: Numbers, arithmetic: Arithmetic = DOUBLE) -> Numbers:
    """log mu at unit noise when nothing differs any more: mu = D c^N sqrt((1-c^2)/(1-c^2N)), +inf for N = 0 < D."""
    ar = arithmetic
    n, start = ar.asarray(steps), ar.asarray(log_start)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_mu = start + log_power(log_c, n) - ar.log(geometric_sum(log_c, n, stride=2, arithmetic=ar)) / 2
    return np.where(start == -np.inf, -np.inf, log_mu)


def log_mu_cyclic(
    *,
    log_c: Numbers,
    steps_per_epoch: int,
    log_sensitivity: Numbers,
    log_start: Numbers,
    visits: Numbers,
    lead: Numbers,
    tail: Numbers,
    arithmetic: Arithmetic = DOUBLE,
) -> Numbers:
    """log mu at unit noise for ``visits`` >= 1 visits, one epoch apart, to the batch of the deleted point.

    log_start: log of the distance at the start, -inf for a common start; ignored when ``visits`` is +inf.
    lead: steps before the first visit; tail: steps after the last one. All broadcast. +inf if mu is unbounded.
    """
    ar = arithmetic
    gaps, after, before = ar.asarray(visits) - 1, ar.asarray(tail) + 1, ar.asarray(lead)
    # Without contraction, differences that never stopped arriving add up to infinity: not computed, as inf/inf is no number.
    unbounded = (gaps == np.inf) & (log_c == 0)
    gaps = ar.asarray(np.where(unbounded, 0, gaps))
    log_h = ar.asarray(log_sensitivity)
    log_z = np.where(gaps == np.inf, -np.inf, log_start)
    scale, between = ar.maximum(log_h, log_z), log_power(log_c, steps_per_epoch * gaps)
    with np.errstate(all="ignore"):
        # Rises and lengths of the three pieces, in units of exp(scale) c^tail and of the noise variance.
        rise = [
            ar.exp(log_z - scale + between + log_power(log_c, before + 1)),
            ar.exp(log_h - scale + log_power(log_c, steps_per_epoch))
            * geometric_sum(log_c, gaps, stride=steps_per_epoch, arithmetic=ar),
            ar.exp(log_h - scale),
        ]
        to_end = 2 * log_power(log_c, after)
        length = [
            ar.exp(to_end + 2 * between) * geometric_sum(log_c, before, stride=2, arithmetic=ar),
            ar.exp(to_end) * geometric_sum(log_c, steps_per_epoch * gaps, stride=2, arithmetic=ar),
            geometric_sum(log_c, after, stride=2, arithmetic=ar),
        ]
        log_mu = scale + log_power(log_c, after - 1) + ar.log(_taut(rise, length, ar))
    return np.where(unbounded, np.inf, log_mu)


def _taut(rise: list[Numbers], length: list[Numbers], arithmetic: Arithmetic) -> Numbers:
    """sqrt of the sum of rise^2/length over the greatest convex minorant of three pieces.

    The slope of piece k is the max-min formula of isotonic regression, max over i <= k of min over j >= k of the slope from i
    to j, and the sum is that of slope times rise: no branch, so that enclosures need no decision. A piece of no length and no
    rise vanishes; one of no length but some rise has infinite slope and so is always pooled.
    """
    least, most = arithmetic.minimum, arithmetic.maximum
    rise12, length12 = rise[0] + rise[1], length[0] + length[1]
    rise23, length23 = rise[1] + rise[2], length[1] + length[2]
    first, second, third = (_slope(r, x) for r, x in zip(rise, length, strict=True))
    early, late, whole = (
        _slope(rise12, length12), _slope(rise23, length23), _slope(rise12 + rise[2], length12 + length[2])
    )  # fmt: skip
    slopes = (
        least(first, least(early, whole)),
        most(least(early, whole), least(second, late)),
        most(third, most(late, whole)),
    )
    total: Numbers = 0
    for slope, own in zip(slopes, rise, strict=True):
        total = total + np.where(own > 0, slope * own, 0)
    return arithmetic.sqrt(total)


def _slope(rise: Numbers, length: Numbers) -> Numbers:
    return np.where(rise > 0, np.where(length > 0, rise / np.where(length > 0, length, 1), np.inf), 0)


def restarts(*, ratio: Floats, log_q: float, steps_per_epoch: int, visits: Floats, tail: Floats) -> Iterator[Floats]:
    """Visits to come, up to ``visits`` - 1, from which a start just after a visit, the diameter apart, may be cheapest.

    ratio: of diameter and sensitivity; log_q: of what an epoch contracts by; tail: steps after the last visit. All broadcast.
    mu has two real minimisers in closed form, one for each shape of the string that the start changes (chord from start to end;
    chord from start to last visit), and is monotone on both sides of them: integer neighbours and the ends of the range do.
    """
    period, most = float(steps_per_epoch), visits - 1
    with np.errstate(all="ignore"):
        # log1p(-D (1 - c^J)/h)/(J log c), which is D/h for c = 1: epochs until the distance is back at the diameter.
        refill = ratio if log_q == 0 else np.log1p(ratio * np.expm1(log_q)) / log_q
        wanted = [refill - 2 * tail / period, refill + 2 / period - 1]
    candidates = [np.zeros_like(tail), np.ones_like(tail), np.where(np.isfinite(most), most, 0.0)]
    for real in wanted:
        real = np.where(np.isfinite(real), np.floor(real), 0.0)
        candidates += [real - 1, real, real + 1, real + 2]
    for candidate in candidates:
        yield np.clip(candidate, 0.0, np.maximum(most, 0.0))


def log_mu_restarted(
    *,
    log_c: Numbers,
    steps_per_epoch: int,
    log_sensitivity: Numbers,
    log_diameter: Numbers,
    visits: Floats,
    tail: Floats,
    arithmetic: Arithmetic = DOUBLE,
) -> Numbers:
    """Smallest log mu over starts just after a visit (:func:`restarts`), where the distance is at most the ball's diameter.

    Any other start would be valid too, only larger.
    """
    tail_, visits_ = np.asarray(tail, dtype=np.float64), np.asarray(visits, dtype=np.float64)
    log_h = np.asarray(log_sensitivity)
    log_q = float(log_power(arithmetic.midpoint(log_c), float(steps_per_epoch)))
    with np.errstate(all="ignore"):
        ratio = np.exp(arithmetic.midpoint(log_diameter - log_h))
    best = np.full(np.broadcast_shapes(tail_.shape, visits_.shape, log_h.shape), math.inf)
    decay = log_mu_decay(log_c=log_c, log_start=log_diameter, steps=tail_, arithmetic=arithmetic)
    for to_come in restarts(ratio=ratio, log_q=log_q, steps_per_epoch=steps_per_epoch, visits=visits_, tail=tail_):
        later = log_mu_cyclic(
            log_c=log_c,
            steps_per_epoch=steps_per_epoch,
            log_sensitivity=log_h,
            log_start=log_diameter,
            visits=np.maximum(to_come, 1.0),
            lead=float(steps_per_epoch) - 1,
            tail=tail_,
            arithmetic=arithmetic,
        )
        best = arithmetic.minimum(best, np.where(to_come == 0, decay, later))
    return best
