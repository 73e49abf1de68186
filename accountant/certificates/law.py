"""Certificates of streams of records that draw their batches by themselves (format 5): what the stream states, proved.

A stream states the curve of a mixture: chances and mu of what all deleted records left together, rounded up on a grid of
doubles. The certificate lists that mixture as it is, and the shifts of every choice of batches; the checker follows the law of
the records in whole numbers, sees that the list has no smaller tails, and computes epsilon from the list. So what is proved is
what was stated, to the last digits of doubles.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from accountant.bounds import Optimal, Setting, Visits
from accountant.certificates.certificate import canonical, check_small, claimed_epsilon, drawn_result, inputs_of, sealed
from accountant.certificates.drawn import DrawnProof
from accountant.certificates.format import LAW_VERSION, LawCertificate, WrittenKind, WrittenLaw
from accountant.certificates.law_texts import LAW_ASSUMPTIONS, LAW_LIMITS, LAW_THEOREMS
from accountant.certificates.ratio import ball
from accountant.certificates.refused import check_law
from accountant.certificates.steps import check_again
from accountant.certificates.texts import statement
from accountant.certificates.witness import BITS
from accountant.curves import AddedCurve, Curve, GaussianMixtureCurve, RedrawnCurve
from accountant.numerics import Floats, InputError, Progress, exact_text, integer, rounded_text
from accountant.problem import PNSGD, Number, decimal
from accountant.questions import exact_delta
from accountant.requests import CurveAfter, UnlearningStream, epochs_counted, stated_after

if TYPE_CHECKING:
    from flint import arb

    from accountant.certificates.ratio import Weighted

#: Cells between the least and the largest outcome of one record of a group: of a first request, and of later ones.
_FIRST_CELLS: Final = 1 << 12
_CELLS: Final = 1 << 11
_FINE: Final = "1e-40"
_COARSE: Final = "1000"
#: Digits of listed mu and chances, rounded up.
_DIGITS: Final = 24
#: What chances that doubles added up are raised by.
_RAISED: Final = 1 + Fraction(1, 1 << 43)
#: Choices of batches whose shifts a file has room for, in all.
_MOST_CHOICES: Final = 1 << 15
#: Components that a checker has the time for, and pairs of them at the points of the curve.
_MOST_COMPONENTS: Final = 1 << 13
_CURVE_PAIRS: Final = 1 << 14


class Happened(NamedTuple):
    """One thing that happened to a model: a request of so many points, or (points 0) so many records joined; then steps ran.

    >>> Happened(points=2, steps=77)
    Happened(points=2, steps=77, joined=0)
    """

    points: int
    steps: int
    joined: int = 0


@dataclass(frozen=True)
class _Kind:
    """Requests after which so many steps ran, of records that were in for so many epochs, as the stream counts them."""

    together: int
    steps: int
    epochs: int | None


def certify_stream(
    stream: UnlearningStream,
    happened: Sequence[tuple[int, ...]],
    *,
    epsilon: float | None = None,
    origins: Mapping[str, str] | None = None,
    problem_file: bytes | None = None,
    progress: Progress | None = None,
) -> LawCertificate:
    """A certificate of what ``stream`` states after the last of its requests; needs the extra ``certify``.

    stream: of assignment "secret" under bound "optimal". happened: all that it answered, in order, as (points, steps) of a
    request or (0, steps, joined) of records that joined (:class:`Happened`); what follows the last request does not count.
    epsilon: the claim; None for the smallest that is proved, which is ``planned(...).guarantee.epsilon(delta)`` of the last
    request to twelve digits. origins: where each constant came from. problem_file: its bytes, for a digest.
    Raises ClaimError for a claim that is not proved, InputError where ``happened`` is not what the stream has been through, and
    for streams that have no certificate.
    """
    check_law(stream)
    events = _checked(stream, happened)
    law = _Law.of(stream, events)
    target = exact_delta(stream.accountant, stream.delta)
    delta = target if isinstance(target, Fraction) else decimal(target)
    written = law.written(progress)
    gone = sum(event.points for event in events)
    proof = LawProof(written, law.after, delta, stream.accountant.algorithm, gone)
    at = proof.epsilon(delta)
    claim = claimed_epsilon(epsilon, Fraction(at.ends[0]), Fraction(at.ends[1]), delta)
    check_small(Fraction(at.ends[0]))
    inputs = inputs_of(
        stream.accountant,
        decimal(stream.sigma),
        None,
        [(event.points, event.steps) for event in events],
        claim,
        delta,
        redraw=proof.redraw,
    )
    inputs["requests"] = [{"points": event.points, "steps": event.steps, "joined": event.joined} for event in events]
    inputs |= {"placement": "law", "rounding": law.rounding}
    certificate = sealed(
        version=LAW_VERSION,
        statement=statement(inputs, stream.accountant.steps_per_epoch),
        inputs=inputs,
        origins=dict(origins or {}) | ({"epsilon": "smallest that is proved"} if epsilon is None else {}),
        theorems=LAW_THEOREMS,
        assumptions=LAW_ASSUMPTIONS,
        limits=LAW_LIMITS,
        witness=[written],
        result=drawn_result(proof, at, claim, progress),
        problem_file=problem_file,
    )
    if stream.accountant.algorithm.radius is not None:
        _check_without_ball(certificate)
    return certificate


def _check_without_ball(certificate: LawCertificate) -> None:
    """InputError where the stream states less than its shifts prove, because of the ball."""
    try:
        check_again(canonical(certificate))
    except InputError:
        raise InputError(
            "radius makes what is stated smaller than the shifts alone, which a certificate of a stream lists: no certificate"
        ) from None


def _checked(stream: UnlearningStream, happened: Sequence[tuple[int, ...]]) -> list[Happened]:
    """What happened up to the last request, or InputError."""
    events = []
    for number, entry in enumerate(happened):
        if not 2 <= len(entry) <= 3:
            raise InputError(f"happened must hold (points, steps) or (0, steps, joined), got {entry!r} at {number}")
        points, steps, joined = (integer("happened", value, at_least=0) for value in (*entry, 0)[:3])
        if (points > 0) == (joined > 0):
            raise InputError(f"happened must hold requests, or records that joined in entries of their own, got {entry!r}")
        events.append(Happened(points, steps, joined))
    state = stream.state
    told = [sum(values) for values in zip(*events, strict=True)] if events else [0, 0, 0]
    if told != [state.points, state.steps, state.inserted] or sum(event.points > 0 for event in events) != state.requests:
        raise InputError(
            f"happened must be what the stream has been through ({state.requests} requests of {state.points} points in all, "
            f"{state.inserted} that joined, {state.steps} steps), got {len(events)} entries of {told[0]}, {told[2]}, {told[1]}"
        )
    while events and not events[-1].points:
        events.pop()
    if not events:
        raise InputError("happened must have at least one request, got none")
    return events


@dataclass(frozen=True)
class _Law:
    """What a stream states after its last request, and the kinds of requests that led there."""

    stream: UnlearningStream
    kinds: list[_Kind]
    #: The kind of each request.
    requests: list[int]
    after: CurveAfter
    cell: str
    cells: int
    rounding: str

    @classmethod
    def of(cls, stream: UnlearningStream, events: list[Happened]) -> _Law:
        again, stride = stream.fresh(), stream.accountant.steps_per_epoch if stream.unit == "epochs" else 1
        kinds: dict[_Kind, int] = {}
        requests = []
        for event in events[:-1]:
            if event.points:
                kind = _kind(again, event, together=1)
                requests.append(kinds.setdefault(kind, len(kinds)))
                again.answer(event.points, event.steps // stride)
            else:
                again.insert(event.joined, event.steps)
        last = events[-1]
        facts = stated_after(again, last.points, last.steps)
        single = len(facts.curve.values) == 1
        kind = _kind(again, last, together=last.points if facts.joint and not single else 1)
        requests.append(kinds.setdefault(kind, len(kinds)))
        # One outcome, the largest, needs no law; what is no law on a grid is as good as exact.
        cell = _COARSE if single else _FINE if facts.alone else exact_text(decimal(facts.cell or 1.0))
        cells = 1 if single else _FIRST_CELLS if facts.alone else _CELLS
        rounding = exact_text(decimal(facts.rounding))
        return cls(stream, list(kinds), requests, facts.curve, cell, cells, rounding)

    def written(self, progress: Progress | None) -> WrittenLaw:
        batches = self.stream.accountant.steps_per_epoch
        choices = sum(math.comb(batches + kind.together - 1, kind.together) for kind in self.kinds)
        after = self.after
        if choices > _MOST_CHOICES or len(after.values) > _MOST_COMPONENTS:
            raise InputError(
                f"what is stated rests on the shifts of {choices} choices of batches and {len(after.values)} outcomes, more "
                "than a checker has the time for: no certificate"
            )
        listed = [_listed(after.weights, after.values, self.rounding)]
        listed += [] if after.stand_in is None else [_listed(*after.stand_in, self.rounding)]
        kinds = []
        for number, kind in enumerate(self.kinds):
            kinds.append(self._kind(kind))
            if progress is not None:
                progress(number, 3 * len(self.kinds))
        return {
            "kinds": kinds,
            "requests": self.requests,
            "cells": self.cells,
            "cell": self.cell,
            "inner": listed[0],
            "outer": listed[1] if len(listed) > 1 else [],
        }

    def _kind(self, kind: _Kind) -> WrittenKind:
        from accountant.numerics import Interval

        accountant = self.stream.accountant
        algorithm = replace(accountant.algorithm, radius=None, rounding=None, learn_epochs=kind.epochs)
        size, pieces = int(algorithm.batch_size), []
        with Interval(BITS) as ar:
            setting = Setting(algorithm, accountant.setting.reference, number=Number(ar))
            for held in itertools.combinations_with_replacement(range(algorithm.steps_per_epoch), kind.together):
                placed = [Visits(lag, held.count(lag), size) for lag in sorted(set(held))]
                case = Optimal().witness(setting, placed, kind.steps, sigma=decimal(self.stream.sigma))
                pieces.append([[piece.first, piece.last, piece.a] for piece in case.pieces])
        return {"together": kind.together, "steps": kind.steps, "epochs": kind.epochs, "pieces": pieces}


def _kind(stream: UnlearningStream, event: Happened, *, together: int) -> _Kind:
    epochs = epochs_counted(stream, event.points)
    return _Kind(together, event.steps, None if math.isinf(epochs) else int(epochs))


def _listed(weights: Floats, values: Floats, rounding: str) -> list[list[str]]:
    """[mu, the chance of more], mu rising; both rounded up."""
    order = np.argsort(values, kind="stable")
    shares = [Fraction(weight) for weight in weights[order].tolist()]
    least, whole, left = Fraction(rounding), sum(shares), Fraction(0)
    rows: list[list[str]] = []
    for share, value in zip(reversed(shares), reversed(values[order].tolist()), strict=True):
        mu = rounded_text(max(Fraction(value), least), _DIGITS, up=True)
        chance = rounded_text(left / whole * _RAISED, _DIGITS, up=True)
        if rows and rows[-1][1] == chance:
            # Nothing that counts is there.
            rows.pop()
        if share > 0 and not (rows and rows[-1][0] == mu) and Fraction(chance) < 1:
            rows.append([mu, chance])
        left += share
    return rows[::-1]


class LawProof(DrawnProof):
    """The curve of a listed law."""

    def __init__(self, written: WrittenLaw, after: CurveAfter, delta: Fraction, algorithm: PNSGD, points: int) -> None:
        self.redraw, self._algorithm, self._points = after.redrawn > 0, algorithm, points
        cost = max(after.added, after.redrawn)
        self._log_cost = math.log(cost) if cost > 0 else -math.inf
        self._lists = [_pairs(written["inner"]), _pairs(written["outer"])]
        self._target, self._tails = delta, {}

    def points(self, most: int) -> int:
        pairs = len(self._lists[0]) * max(len(self._lists[1]), 1)
        return max(min(most, _CURVE_PAIRS // pairs), 1)

    def _scales(self) -> tuple[list[Weighted], list[arb]]:
        inner, outer = ([(ball(share), ball(mu)) for share, mu in part] for part in self._lists)
        return inner, [mu for _, mu in outer] or [ball(Fraction(0))]

    def _shares(self) -> list[arb]:
        return [ball(share) for share, _ in self._lists[1]] or [ball(Fraction(1))]

    @cached_property
    def _all_sizes(self) -> tuple[Floats, Floats]:
        inner, outer = (np.array([float(mu) for _, mu in part]) for part in self._lists)
        return inner, outer if outer.size else np.zeros(1)

    @cached_property
    def _log_chances(self) -> Floats:
        return np.log([float(share) for share, _ in self._lists[0]])

    @cached_property
    def _classes(self) -> list[int]:
        return list(range(1, self._all_sizes[1].size + 1))

    def _steering(self, delta: Fraction) -> float:  # type: ignore[override]
        outer = [float(share) for share, _ in self._lists[1]]
        curve: Curve = GaussianMixtureCurve(len(outer))
        curve = RedrawnCurve(curve, self._log_cost) if self.redraw else AddedCurve(curve, self._log_cost)
        log_weights = np.append(self._log_chances, np.log(outer) if outer else [])
        with np.errstate(divide="ignore"):
            log_mu = np.log(np.append(self._sizes, self._all_sizes[1] if outer else []))[None]
        return float(curve.epsilon(np.array([math.log(delta)]), log_weights, log_mu)[0])


def _pairs(listed: list[list[str]]) -> list[tuple[Fraction, Fraction]]:
    """(chance, mu) of a list of [mu, the chance of more]."""
    before = [Fraction(1), *(Fraction(chance) for _, chance in listed)]
    return [(before[k] - before[k + 1], Fraction(mu)) for k, (mu, _) in enumerate(listed)]
