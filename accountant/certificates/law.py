"""Certificates of streams: what they state of all their requests, proved. Of records that draw their batches by themselves
(format 5), and of a partition (format 6).

A stream states the curve of a mixture: chances and mu of what all deleted records left together, rounded up on a grid of
doubles. The certificate lists that mixture as it is, and the shifts of every choice of batches; the checker follows the law of
the records in whole numbers, sees that the list has no smaller tails, and computes epsilon from the list. So what is proved is
what was stated, to the last digits of doubles. Where only convex functions may read a group's law, it sees that the list has
nowhere a smaller mean of what is above a level.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, NamedTuple

from accountant.bounds import Optimal, Setting, Visits
from accountant.certificates.certificate import (
    canonical,
    claimed_epsilon,
    drawn_result,
    inputs_of,
    plain_result,
    sealed,
)
from accountant.certificates.format import LAW_VERSION, PARTS_VERSION, LawCertificate, Result, WrittenKind, WrittenLaw
from accountant.certificates.law_texts import (
    LAW_ASSUMPTIONS,
    LAW_LIMITS,
    LAW_THEOREMS,
    PARTS_ASSUMPTIONS,
    PARTS_LIMITS,
    PARTS_THEOREMS,
)
from accountant.certificates.listed import TAILS, LawProof, PartsProof, listed
from accountant.certificates.refused import check_group, check_law
from accountant.certificates.steps import check_again
from accountant.certificates.texts import statement
from accountant.certificates.witness import BITS
from accountant.numerics import InputError, Interval, Progress, exact_text, integer
from accountant.problem import WORST, Number, decimal
from accountant.questions import exact_delta
from accountant.requests import CurveAfter, StatedAfter, UnlearningStream, counts_at_worst, epochs_counted, stated_after

#: Cells between the least and the largest outcome of one record of a group: of a first request, and of later ones.
_FIRST_CELLS: Final = 1 << 12
_CELLS: Final = 1 << 11
_FINE: Final = "1e-40"
_COARSE: Final = "1000"
#: What chances are raised by that doubles added up; that a long recursion of a group found.
_RAISED: Final = 1 + Fraction(1, 1 << 43)
_GROUP_RAISED: Final = 1 + Fraction(1, 1 << 40)
#: By how much mu of a group is raised: a checker compares means at levels that are 1e-30 lower, however small they are.
_GROUP_ROOM: Final = Fraction(4, 10**30)
#: Choices of batches whose shifts a file has room for, in all.
_MOST_CHOICES: Final = 1 << 15
#: Components that a checker has the time for.
_MOST_COMPONENTS: Final = 1 << 13


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
    """Requests after which so many steps ran, of records that were in for so many epochs, as the stream counts them.

    worst: so many steps before the release. short: the lag of a smaller last batch.
    """

    together: int
    steps: int
    epochs: int | None
    worst: bool = False
    short: int | None = None


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

    stream: of assignment "secret" or "partition" under bound "optimal". happened: all that it answered, in order, as (points,
    steps) of a request or (0, steps, joined) of records that joined (:class:`Happened`); what follows the last request does not
    count. epsilon: the claim; None for the smallest that is proved, which is ``planned(...).guarantee.epsilon(delta)`` of the
    last request to twelve digits, or less: of a key that was redrawn a stream counts more than 31 deleted records in
    sixteenths. origins: where each constant came from. problem_file: its bytes, for a digest.
    Raises ClaimError for a claim that is not proved, InputError where ``happened`` is not what the stream has been through, and
    for streams that have no certificate.
    """
    check_law(stream)
    events = _checked(stream, happened)
    law = _Law.of(stream, events)
    target = exact_delta(stream.accountant, stream.delta)
    delta = target if isinstance(target, Fraction) else decimal(target)
    written = law.written(progress)
    claim, result, redraw = _proved(law, written, delta, epsilon, progress)
    requests = [(event.points, event.steps) for event in events]
    inputs = inputs_of(stream.accountant, decimal(stream.sigma), None, requests, claim, delta, redraw=redraw)
    # Own draws at their worst count as drawn, too: what holds for any of them holds on average.
    worst = not law.own_draws and stream.accountant.batches == WORST
    inputs |= {"placement": "worst" if worst else "law", "rounding": law.rounding}
    if law.own_draws:
        inputs["requests"] = [{"points": event.points, "steps": event.steps, "joined": event.joined} for event in events]
    texts = (LAW_THEOREMS, LAW_ASSUMPTIONS, LAW_LIMITS) if law.own_draws else (PARTS_THEOREMS, PARTS_ASSUMPTIONS, PARTS_LIMITS)
    certificate = sealed(
        version=LAW_VERSION if law.own_draws else PARTS_VERSION,
        statement=statement(inputs, stream.accountant.steps_per_epoch),
        inputs=inputs,
        origins=dict(origins or {}) | ({"epsilon": "smallest that is proved"} if epsilon is None else {}),
        theorems=texts[0],
        assumptions=texts[1],
        limits=texts[2],
        witness=[written],
        result=result,
        problem_file=problem_file,
    )
    if stream.accountant.algorithm.radius is not None:
        _check_without_ball(certificate)
    return certificate


def _proved(
    law: _Law, written: WrittenLaw, delta: Fraction, epsilon: float | None, progress: Progress | None
) -> tuple[Fraction, Result, bool]:
    """The claim, what is proved, and whether a key counts as redrawn."""
    if law.own_draws:
        proof = LawProof(written, law.after, delta, law.stream.accountant.algorithm, law.points)
        at = proof.epsilon(delta)
        low, high = (Fraction(end) for end in at.ends)
        claim = claimed_epsilon(epsilon, low, high, delta)
        return claim, drawn_result(proof, at, claim, progress), proof.redraw
    parts = PartsProof(written)
    proved = parts.epsilon(delta)
    claim = claimed_epsilon(epsilon, proved.lower, proved.upper, delta)
    return claim, plain_result(parts, parts.mu(), proved, claim, progress, count=parts.points), False


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
    points: int
    after: CurveAfter
    group: str
    cell: str
    cells: int
    rounding: str

    @property
    def own_draws(self) -> bool:
        return self.stream.accountant.algorithm.own_draws

    @classmethod
    def of(cls, stream: UnlearningStream, events: list[Happened]) -> _Law:
        again, stride = stream.fresh(), stream.accountant.steps_per_epoch if stream.unit == "epochs" else 1
        # Of each request its kind, and its age at the release.
        found: list[tuple[_Kind, int]] = []
        left = sum(event.steps for event in events)
        for event in events[:-1]:
            if event.points:
                found.append((_kind(again, event, together=1), left))
                again.answer(event.points, event.steps // stride)
            else:
                again.insert(event.joined, event.steps)
            left -= event.steps
        last = events[-1]
        facts = stated_after(again, last.points, last.steps)
        check_group(facts, last.points)
        single = len(facts.curve.values) == 1
        kind = _kind(again, last, together=last.points if facts.joint and not single else 1)
        found.append((replace(kind, worst=single) if facts.at_worst else kind, left))
        ages = {
            at: replace(kind, worst=True, steps=age)
            for at, (kind, age) in enumerate(found)
            if kind.worst or (facts.at_worst and at < len(found) - 1)
        }
        each = [ages.get(at, kind) for at, (kind, _) in enumerate(found)]
        kinds = list(dict.fromkeys(each))
        group, cell, cells = _grid(facts, own_draws=stream.accountant.algorithm.own_draws)
        points = sum(event.points for event in events)
        requests = [kinds.index(kind) for kind in each]
        return cls(stream, kinds, requests, points, facts.curve, group, cell, cells, exact_text(decimal(facts.rounding)))

    def written(self, progress: Progress | None) -> WrittenLaw:
        batches = self.stream.accountant.steps_per_epoch
        choices = sum(math.comb(batches + kind.together - 1, kind.together) for kind in self.kinds)
        after = self.after
        if choices > _MOST_CHOICES or len(after.values) > _MOST_COMPONENTS:
            raise InputError(
                f"what is stated rests on the shifts of {choices} choices of batches and {len(after.values)} outcomes, more "
                "than a checker has the time for: no certificate"
            )
        more, room = (_RAISED, Fraction(0)) if self.group == TAILS else (_GROUP_RAISED, _GROUP_ROOM)
        lists = [listed(after.weights, after.values, self.rounding, more=more, room=room)]
        lists += [] if after.stand_in is None else [listed(*after.stand_in, self.rounding, more=more, room=room)]
        kinds = []
        for number, kind in enumerate(self.kinds):
            kinds.append(self._kind(kind))
            if progress is not None:
                progress(number, 3 * len(self.kinds))
        written: WrittenLaw = {
            "kinds": kinds,
            "requests": self.requests,
            "cells": self.cells,
            "cell": self.cell,
            "inner": lists[0],
            "outer": lists[1] if len(lists) > 1 else [],
        }
        if not self.own_draws:
            written["group"] = self.group
        return written

    def _kind(self, kind: _Kind) -> WrittenKind:
        accountant = self.stream.accountant
        algorithm = replace(accountant.algorithm, radius=None, rounding=None, learn_epochs=kind.epochs)
        sizes, pieces = algorithm.batch_sizes, []
        with Interval(BITS) as ar:
            setting = Setting(algorithm, accountant.setting.reference, number=Number(ar))
            for held in itertools.combinations_with_replacement(range(algorithm.steps_per_epoch), kind.together):
                placed = [
                    Visits(lag, held.count(lag), int(sizes(algorithm.steps_per_epoch - 1 if lag == kind.short else 0)))
                    for lag in sorted(set(held))
                ]
                case = Optimal().witness(setting, placed, kind.steps, sigma=decimal(self.stream.sigma))
                pieces.append([[piece.first, piece.last, piece.a] for piece in case.pieces])
        written: WrittenKind = {"together": kind.together, "steps": kind.steps, "epochs": kind.epochs, "pieces": pieces}
        if not self.own_draws:
            written["worst"] = kind.worst
        return written


def _kind(stream: UnlearningStream, event: Happened, *, together: int) -> _Kind:
    epochs = epochs_counted(stream, event.points)
    algorithm = stream.accountant.algorithm
    last = algorithm.steps_per_epoch - 1
    smaller = not algorithm.own_draws and algorithm.batch_sizes(last) != algorithm.batch_sizes(0)
    return _Kind(
        together,
        event.steps,
        None if math.isinf(epochs) else int(epochs),
        worst=counts_at_worst(stream, event.points),
        short=(stream.state.steps - 1 - last) % algorithm.steps_per_epoch if smaller else None,
    )


def _grid(facts: StatedAfter, *, own_draws: bool) -> tuple[str, str, int]:
    """How the newest points are followed, the cell, and the cells of a group's own grid."""
    single = len(facts.curve.values) == 1
    if facts.group is not None:
        return str(facts.group.method), exact_text(decimal(facts.group.cell)), 1
    # One outcome, the largest, needs no law; what is no law on a grid is as good as exact.
    if single and (own_draws or facts.at_worst):
        return TAILS, _COARSE, 1
    if facts.alone or facts.at_worst:
        return TAILS, _FINE, _FIRST_CELLS
    return TAILS, exact_text(decimal(facts.cell or 1.0)), _CELLS
