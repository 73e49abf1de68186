"""Strings of affine steps that change on the way: omega_k(z) = rho_k z + gap_k, noise nu_k (docs/theory.md, "Any modulus").

Without shifts distances are D_k = rho_k D_{k-1} + gap_k, D_0 = z_0, and the noise that arrives has variance
T_k = rho_k^2 T_{k-1} + nu_k^2, T_0 = 0. The chord to step k is mu_k = D_k/sqrt(T_k). No shifts prove less over k steps, and
the chord is feasible unless an earlier one is smaller: if it leaves a distance negative at j < k, then D_j/T_j < D_k/T_k in
units of step k's distances, where T_j <= T_k, so D_j/sqrt(T_j) < D_k/sqrt(T_k). Stopping is allowed at any step, so what N
steps prove is the least chord, and *every* chord holds, whichever was looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np

from accountant.numerics import Floats

#: What a logarithm of sums of powers may be off by, and by how much more for each span, in units of its size.
_SLACK: Final = 2e-13
_EACH: Final = 2.0**-50
#: Most windows that a schedule is cut into.
_MOST_WINDOWS: Final = 512
#: The logarithm of any number of steps is less.
_LENGTHS: Final = 40.0


class Span(NamedTuple):
    """``steps`` (None: as many as are asked for) affine steps: log rho, gap >= 0, nu >= 0 at sigma = 1."""

    steps: int | None
    log_rho: float
    gap: float
    noise: float


#: What has ``steps``, spans or stages.
Spans = TypeVar("Spans", bound=Any)


class _State(NamedTuple):
    """log D and log(T/D^2) so far, the least log mu and the step that it is at."""

    log_d: float
    log_q: float
    log_mu: float
    stop: float


def least_chord(spans: Sequence[Span], start: float, more: Floats) -> tuple[Floats, Floats]:
    """log mu at sigma = 1 of the least chord, rounded up, and its number of steps, (P,) both; ``start`` > 0.

    more (P,): steps of the last span, where that is open; +inf for no step with noise. Each span takes the time of one step.
    """
    state = _State(math.log(start), -math.inf, math.inf, 0.0)
    done = 0.0
    for span in spans:
        if span.steps is not None:
            state = _through(span, state, done)
            done += span.steps
    log_mu, stop = np.full(more.shape, state.log_mu), np.full(more.shape, state.stop)
    if spans[-1].steps is None:
        for count in (more, *(np.minimum(more, at) for at in _turns(spans[-1], state.log_d, state.log_q))):
            found = -0.5 * _after(spans[-1], state.log_d, state.log_q, count)[1]
            less = (found < log_mu) & (count > 0)
            log_mu, stop = np.where(less, found, log_mu), np.where(less, done + count, stop)
    logs = {_log(value) for span in spans for value in (span.gap, span.noise)} | {state.log_d, math.log(start)}
    size = max(abs(value) for value in logs if math.isfinite(value))
    reached = np.where(np.isfinite(log_mu), np.abs(log_mu), 0.0)
    long = sum(span.steps != 1 for span in spans)
    return log_mu + _SLACK + _EACH * (len(spans) * (1 + size + reached) + long * _LENGTHS), stop


def chord_shifts(spans: Sequence[Span], start: float, stop: int) -> tuple[list[float], list[float]]:
    """The shifts of the chord to step ``stop`` and the distances they leave, at sigma = 1: a_k = (D/T) W_k nu_k^2, where W_k is
    what a distance after step k becomes by then."""
    steps: list[Span] = []
    for span in spans:
        steps += [span] * (stop - len(steps) if span.steps is None else min(span.steps, stop - len(steps)))
    log_d, log_q = math.log(start), -math.inf
    for step in steps:
        log_d, log_q = _one(step, log_d, log_q)
    # D/T = 1/(D q).
    shifts, log_weight = [], -log_d - log_q
    for step in reversed(steps):
        shifts.append(math.exp(log_weight + 2 * math.log(step.noise)) if step.noise > 0 else 0.0)
        log_weight += step.log_rho
    shifts.reverse()
    left, z = [], start
    for step, a in zip(steps, shifts, strict=True):
        z = max(math.exp(step.log_rho) * z + step.gap - a, 0.0)
        left.append(z)
    return shifts, left


def cuts_of(spans: Sequence[Span], steps: int) -> list[Floats]:
    """Where ``steps`` of spans of known lengths may be cut, 0 and all of them included: windows of about equally much noise.

    One window, two, three, ... eight, ten, twelve, fourteen, sixteen, twenty, ... of them.
    """
    lengths = np.array([float(span.steps or 0) for span in spans])
    ends = np.concatenate([[0.0], np.cumsum(lengths)])
    noise = np.concatenate([[0.0], np.cumsum(lengths * np.array([span.noise for span in spans]) ** 2)])
    found, count = [np.array([0.0, float(steps)])], 2
    while count <= min(steps, _MOST_WINDOWS):
        # Where no noise comes the cut is anywhere in between.
        inner = np.interp(noise[-1] * np.arange(1, count) / count, noise, ends)
        cuts = np.unique(np.concatenate([[0.0], np.clip(np.rint(inner), 1, steps - 1), [float(steps)]]))
        if cuts.size > found[-1].size:
            found.append(cuts)
        count += max(1 << (count.bit_length() - 3), 1) if count >= 4 else 1
    return found


def windows_of(spans: Sequence[Spans], lengths: Floats) -> Iterator[list[Spans]]:
    """The spans (or stages) of each window, one after the other; ``lengths`` whole, as many steps as the spans have."""
    left, place = [span.steps or 0 for span in spans], 0
    for length in lengths.tolist():
        window, missing = [], int(length)
        while missing > 0:
            taken = min(left[place], missing)
            if taken:
                window.append(spans[place]._replace(steps=taken))
            left[place] -= taken
            missing -= taken
            place += left[place] == 0
        yield window


def _through(span: Span, state: _State, done: float) -> _State:
    """After a span of known length."""
    assert span.steps is not None
    n, best, stop = span.steps, state.log_mu, state.stop
    if n == 1:
        log_d, log_q = _one(span, state.log_d, state.log_q)
        return _State(log_d, log_q, *((-0.5 * log_q, done + 1) if -0.5 * log_q < best else (best, stop)))
    counts = np.array([float(n), *(min(float(n), at) for at in _turns(span, state.log_d, state.log_q))])
    each_d, each_q = _after(span, state.log_d, state.log_q, counts)
    at = int(each_q.argmax())
    if -0.5 * each_q[at] < best:
        best, stop = -0.5 * float(each_q[at]), done + float(counts[at])
    return _State(float(each_d[0]), float(each_q[0]), best, stop)


def _one(span: Span, log_d: float, log_q: float) -> tuple[float, float]:
    kept = span.log_rho + log_d
    after = _log_sum(kept, _log(span.gap))
    return after, _log_sum(log_q + 2 * (kept - after), 2 * (_log(span.noise) - after))


def _after(span: Span, log_d: float, log_q: float, n: Floats) -> tuple[Floats, Floats]:
    """log D and log(T/D^2) after n >= 0 steps, arrays of one shape."""
    rate = span.log_rho
    with np.errstate(all="ignore"):
        kept = log_d + np.where(n > 0, n * rate, 0.0)
        moved = _log(span.gap) + _log_powers(rate, n)
        after = np.logaddexp(kept, moved)
        # What is left of a distance of one after what the steps add, in units of the new distance.
        shrinks = np.where(np.isneginf(kept), -np.inf, -np.logaddexp(0.0, moved - kept))
        noise = 2 * _log(span.noise) + (
            _log_powers(2 * rate, n) - 2 * after
            if rate <= 0
            # 1/r^2 + ... + 1/r^(2n): however far distances have grown, their logarithms cancel.
            else _log_powers(-2 * rate, n) - 2 * rate - 2 * log_d + 2 * shrinks
        )
        return after, np.logaddexp(log_q + 2 * shrinks, noise)


def _log_powers(log_rate: float, n: Floats) -> Floats:
    """log(1 + r + ... + r^(n-1)) of r = exp(log_rate), -inf for n = 0."""
    if log_rate == 0:
        return np.log(n)
    if log_rate == -math.inf:
        return np.where(n > 0, 0.0, -np.inf)
    falls = -abs(log_rate)
    sums = np.log(-np.expm1(n * falls)) - math.log(-math.expm1(falls))
    return sums if log_rate < 0 else np.where(n > 0, sums + (n - 1) * log_rate, -np.inf)


def _turns(span: Span, log_d: float, log_q: float) -> list[float]:
    """Numbers of steps >= 1 next to where the chord is least on the way, which depends on no length; none where it has no turn.

    With u = rho^n, A = gap/(1 - rho) and B = nu^2/(1 - rho^2) the square is (A + u(D - A))^2/(B + u^2(T - B)), whose slope by u
    has the sign of (D - A)B - u(T - B)A: one turn at most. In units of D.
    """
    if span.gap <= 0 or span.noise <= 0 or span.log_rho > 0 or span.log_rho == -math.inf:
        return []
    with np.errstate(all="ignore"):
        gap, nu2, t = np.exp(np.array([_log(span.gap) - log_d, 2 * (_log(span.noise) - log_d), log_q]))
        if span.log_rho == 0:
            turn = 1 / gap - 2 * t / nu2
        else:
            a, b = gap / -math.expm1(span.log_rho), nu2 / -math.expm1(2 * span.log_rho)
            turn = np.log((1 - a) * b / ((t - b) * a)) / span.log_rho
    if not math.isfinite(turn) or turn <= 0:
        return []
    low = math.floor(turn)
    return [float(at) for at in (low - 1, low, low + 1, low + 2) if at >= 1]


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _log_sum(a: float, b: float) -> float:
    """log(e^a + e^b)."""
    if a < b:
        a, b = b, a
    return a + math.log1p(math.exp(b - a)) if b > -math.inf else a
