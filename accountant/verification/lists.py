"""Rows that are requests of one stream, each checked on what the requests before it left."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from accountant.methods import METHODS, Method, Stream
from accountant.numerics import Floats, InputError, digits
from accountant.verification.claims import Claim
from accountant.verification.rows import short_retraining
from accountant.verification.verdicts import (
    ARITHMETIC,
    Checked,
    ListSummary,
    Numbers,
    checked,
    counted,
    finite,
    unchecked,
    value_of,
)

if TYPE_CHECKING:
    from accountant.verification.precise import PreciseList


class RequestList:
    """One stream of a table: the claimed method and the tightest one follow it, and the tightest one also plans it anew."""

    def __init__(self, first: Claim) -> None:
        self.first = first
        self._due = 1
        #: Follows the list to many digits, where they are asked for.
        self.precise: PreciseList | None = None
        self.refusal: str | None = None
        #: Rows before which another list may have begun that could not be read, with the reason.
        self.doubts: dict[int, str] = {}
        sigma, epsilon = value_of(first.sigma), value_of(first.epsilon)
        self.summary = ListSummary(
            list=first.list,
            method=first.method.name,
            tightest=first.method.tightest,
            batch_size=int(first.setup.algorithm.batch_size),
            sigma=sigma or 0.0,
            epsilon=epsilon or 0.0,
            first_row=first.row,
        )
        self.claimed: Stream | None = None
        self.best: Stream | None = None
        self.planned: Stream | None = None
        lacking = [name for name in ("sigma", "epsilon") if getattr(first, name) is None]
        if lacking:
            self.refusal = f"the list has no {' and no '.join(lacking)}"
            return
        assert sigma is not None
        assert epsilon is not None

        def stream(method: Method) -> Stream:
            return method.stream(first.setup, sigma=sigma, epsilon=epsilon, delta=first.delta, unit=first.unit)

        best = METHODS[first.method.tightest]
        try:
            self.claimed = stream(first.method)
            self.best = self.claimed if best is first.method else stream(best)
            self.planned = stream(best)
        except InputError as error:
            self.refusal = str(error)

    def check(self, claims: list[Claim], wasteful: float, unread: Mapping[int | None, list[int]]) -> list[Checked]:
        """The next rows of the list; ``unread``: by request number the rows that are no claims, in order."""
        self.summary.rows += len(claims)
        if self.refusal is not None:
            return [unchecked(claim, self.refusal) for claim in claims]
        good: list[Claim] = []
        for claim in claims:
            if claim.row in self.doubts:
                self.refusal = self.doubts[claim.row]
            elif claim.request != self._due:
                said = f"request {claim.request} comes where request {self._due} of its list should"
                self.refusal = said + self._lost(claim.row, unread)
            elif claim.count is None:
                self.refusal = f"request {claim.request} of the list has no {claim.unit}"
            if self.refusal is not None:
                break
            good.append(claim)
            self._due += 1
        rows = self._followed(good, wasteful) if good else []
        reason = self.refusal or ""
        return rows + [unchecked(claim, reason) for claim in claims[len(rows) :]]

    def _lost(self, row: int, unread: Mapping[int | None, list[int]]) -> str:
        """The row before this one that may be the request that is due, in words."""
        before = [rows[at - 1] for rows in map(unread.get, (self._due, None)) if rows and (at := bisect_left(rows, row))]
        last = max(before, default=0)
        if last <= self.first.row:
            return ""
        return f"; row {last} may be that one and is unchecked, so what it left is not known"

    def _followed(self, claims: list[Claim], wasteful: float) -> list[Checked]:
        assert self.claimed is not None
        assert self.best is not None
        counts = np.array([float(claim.count or 0) for claim in claims])
        points = np.array([float(claim.points) for claim in claims])
        try:
            claimed = self.claimed.follow(counts, points)
            tightest = claimed if self.best is self.claimed else self.best.follow(counts, points)
        except InputError as error:
            self.refusal = str(error)
            return []
        scale = 1.0 if claims[0].unit == "epochs" else 1.0 / claims[0].method.steps_per_epoch(claims[0].setup)
        self._plan(points, scale)
        rows = []
        for at, claim in enumerate(claims):
            epsilon = self.summary.epsilon
            achieved, needed = float(claimed.epsilon[at]), float(claimed.needed[at])
            tight = min(achieved, float(tightest.epsilon[at]))
            holds = achieved <= epsilon * ARITHMETIC
            factor = float(counts[at]) / needed if needed > 0 and math.isfinite(needed) else None
            numbers: Numbers = {
                "epsilon_achieved": finite(achieved),
                "epsilon_tightest": finite(tight),
                "epochs_needed": finite(needed * scale),
                "factor": factor,
            }
            verdict, reason = self._verdict(claim, holds, numbers, needed, wasteful)
            self.summary.certified += holds
            self.summary.certified_tightest += tight <= epsilon * ARITHMETIC
            self.summary.epochs += float(counts[at]) * scale
            rows.append(checked(claim, verdict, reason, **numbers))
        return rows

    def _verdict(self, claim: Claim, holds: bool, numbers: Numbers, needed: float, wasteful: float) -> tuple[str, str]:
        count, unit = float(claim.count or 0), claim.unit
        if holds:
            if count > wasteful * needed:
                return "wasteful", f"{counted(needed, unit)} would do"
            return "certified", "" if count <= needed else f"{counted(needed, unit)} would do"
        if claim.method.family == "retrain":
            per_unit = 1 if unit == "steps" else claim.method.steps_per_epoch(claim.setup)
            return "fails", short_retraining(claim, needed * per_unit)
        method, best = claim.method.name, claim.method.tightest
        achieved, tight = numbers["epsilon_achieved"], numbers["epsilon_tightest"]
        says = f"{method} proves nothing here" if achieved is None else f"{method} gives epsilon = {digits(achieved, 5)}"
        wants = f"needs {counted(needed, unit)}" if math.isfinite(needed) else f"no number of {unit} would do"
        says += f" and {wants}"
        if tight is not None and tight <= self.summary.epsilon and best != method:
            return "certified-tighter", f"{says}; {best} gives epsilon = {digits(tight, 5)}"
        if best != method:
            says += f"; {best} " + ("proves nothing either" if tight is None else f"gives epsilon = {digits(tight, 5)}")
        return "fails", says

    def _plan(self, points: Floats, scale: float) -> None:
        if self.summary.epochs_tightest is None or self.planned is None:
            return
        try:
            self.summary.epochs_tightest += scale * sum(self.planned.request(int(count)) for count in points.tolist())
        except InputError:
            self.summary.epochs_tightest = None
