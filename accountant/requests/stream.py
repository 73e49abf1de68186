"""Streams of deletion requests: the fewest steps per request that keep every request so far at (epsilon, delta).

How requests add up is a rule of ``rules.py``, one for the product's own bound and one for the published ones.
"""

from __future__ import annotations

from contextlib import suppress
from copy import copy
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant.bounds import BOUNDS
from accountant.curves import Guarantee, Mixture
from accountant.numerics import (
    MAX_COUNT,
    Floats,
    InputError,
    UnreachableError,
    choice,
    guided_whole,
    integer,
    number,
    numbers,
    shown,
    smallest_whole,
)
from accountant.problem import DOUBLES, Number
from accountant.questions import StepAccountant, UnlearningAccountant
from accountant.requests.alone import Alone, alone
from accountant.requests.averaged import AveragedRule
from accountant.requests.classes import checked_class, counted_classes, in_units, merged
from accountant.requests.covered import check_covered, one_run
from accountant.requests.joining import check_newcomers, check_stand_ins
from accountant.requests.published import PublishedRule
from accountant.requests.rules import Place, Rule, learned_epochs
from accountant.requests.saved import check_same, read, restored, written
from accountant.requests.secret import SecretRule
from accountant.requests.state import StreamState
from accountant.requests.stated import averaging, out_of_reach, stated

UNITS: Final = ("steps", "epochs")


class Followed(NamedTuple):
    """What holds after each request of a stream that was answered as somebody says, (k,) each."""

    #: epsilon at the stream's delta, rounded up; inf where nothing is proved.
    epsilon: Floats
    #: Fewest steps that would have done, after the requests before; inf where none would.
    needed: Floats


class Planned(NamedTuple):
    """What a request would take, and what would then hold of it and all before it."""

    steps: int
    guarantee: Guarantee


class UnlearningStream(Alone):
    """Requests one after the other, each a number of points to delete, in constant memory.

    accountant: an :class:`UnlearningAccountant` with batches "random" or "worst", a matched or converged reference, no
        schedule and group_size 1; assignment "partition" or "secret". Its bound decides the recursion; random averages over
        positions: of all requests under "optimal", of the newest under the published bounds.
    sigma > 0, epsilon >= 0, delta in (0, 1) (default 1/n): noise of every step, and the target after every request.
    unit: "steps", or "epochs" for whole epochs. first_bound: another published bound for the first request only, as the
        authors' code has it (``bound="paper-geometric"`` with ``first_bound="paper"``).
    Raises InputError for bad arguments and for more deletions than points, UnreachableError when no number of steps is enough.
    Threads that share a stream are answered one after the other.
    """

    def __init__(
        self,
        accountant: UnlearningAccountant,
        *,
        sigma: float,
        epsilon: float,
        delta: float | None = None,
        unit: str = "steps",
        first_bound: str | None = None,
    ) -> None:
        if isinstance(accountant, StepAccountant):
            raise InputError(
                "accountant must be that of PNSGD: where every request starts again from a clipped model, requests do not pile "
                "up, and each of them is answered by the accountant itself"
            )
        if not isinstance(accountant, UnlearningAccountant):
            raise InputError(f"accountant must be an UnlearningAccountant, got {accountant!r}")
        self.accountant = accountant
        self.sigma = number("sigma", sigma, above=0)
        self.epsilon = number("epsilon", epsilon, at_least=0)
        self.delta = accountant.default_delta if delta is None else number("delta", delta, above=0, below=1)
        self.unit = choice("unit", unit, UNITS)
        self.first_bound = first_bound
        self._stride = accountant.algorithm.steps_per_epoch if unit == "epochs" else 1
        check_covered(accountant, first_bound)
        self.accountant = one_run(accountant, self.delta)
        self._set_rules(self.sigma, DOUBLES)
        self.state = StreamState()
        self.pending = 0
        self._n = accountant.algorithm.problem.n
        self._guess = 0

    def _set_rules(self, sigma: float, number: Number) -> None:
        self._noise, self._number = sigma, number
        self._rule = self._made(self.accountant.bound, self.accountant)
        self._first = self._rule if self.first_bound is None else self._made(self.first_bound, self.accountant)
        self._of_classes: dict[float, Rule] = {}

    def _made(self, bound: str, accountant: UnlearningAccountant) -> Rule:
        own = SecretRule if accountant.algorithm.own_draws else AveragedRule
        rule = own if bound == "optimal" else PublishedRule
        return rule(
            accountant,
            BOUNDS[bound],
            sigma=self._noise,
            epsilon=self.epsilon,
            delta=self.delta,
            fewest=-(-BOUNDS[bound].minimum_steps // self._stride),
            number=self._number,
        )

    def _of_class(self, share: float) -> tuple[Rule, StreamState]:
        """The rule of the next request, of this class of norm, and the state in its units."""
        own = self.accountant.algorithm.norm_class
        if share == own:
            return self._rule if self.state.requests else self._first, self.state
        if share not in self._of_classes:
            setup = self.accountant.setup.with_(norm_class=share)
            self._of_classes[share] = self._made("optimal", UnlearningAccountant.of(setup, bound="optimal"))
        return self._of_classes[share], in_units(self.state, own / share)

    @property
    def requests(self) -> int:
        """Requests processed so far."""
        return self.state.requests

    @property
    def points(self) -> int:
        """Points deleted so far."""
        return self.state.points

    @property
    def total_steps(self) -> int:
        """Unlearning steps so far."""
        return self.state.steps

    @property
    def mu_worst(self) -> float | None:
        """GDP bound after the last request, all points at their worst positions.

        None before it, for the published bounds, and where only the ball bounds the distance and no step has run since.
        """
        return self._rule.mu_now(self.state) if self.state.requests else None

    @property
    def averaging(self) -> str:
        """How the newest request's placement is averaged: "exact", or in words where that is an upper bound."""
        return averaging(self.accountant, self.state)

    @alone
    def fresh(self) -> UnlearningStream:
        """The stream before its first request; what was computed for the placements is shared."""
        stream = copy(self)
        stream.state, stream.pending, stream._guess = StreamState(), 0, 0
        return stream

    @alone
    def ahead(self) -> UnlearningStream:
        """The stream as it is now, whose requests leave this one as it is."""
        stream = copy(self)
        stream.state = copy(self.state)
        return stream

    def at_unit_noise(self, number: Number) -> UnlearningStream:
        """The stream before its first request at sigma = 1, in any arithmetic: for :meth:`mixtures` and :meth:`answer`."""
        stream = self.fresh()
        stream._set_rules(1.0, number)
        return stream

    def mixtures(self, points: int, count: int) -> list[Mixture]:
        """The privacy curves, each of which holds, if the next request were answered with ``count`` steps (or epochs).

        Empty where nothing is proved. InputError where only doubles have them: groups at random, averaged on a grid.
        """
        rule, place = self.next_place(points)
        if count < rule.fewest:
            return []
        steps = count * self._stride
        before = np.array([rule.before(self.state, place, steps)], dtype=object)
        found = rule.mixtures(place, steps, rule.arithmetic.asarray(before))
        found += self.averaged(points, count)
        return [mixture for mixture in found if rule.arithmetic.midpoint(mixture.log_scale).max() < np.inf]

    def averaged(self, points: int, count: int) -> list[Mixture]:
        """Of :meth:`mixtures` the one that averages what older requests left, on a grid of doubles; none in other numbers."""
        rule, place = self.next_place(points)
        found = rule.averaged(self.state, place, count * self._stride) if count >= rule.fewest else None
        return [] if found is None else [found]

    @alone
    def answer(self, points: int, count: int) -> None:
        """Answer a request with ``count`` steps (or epochs), enough or not."""
        rule, place = self.next_place(points)
        self._advance(rule, place, points, count)

    def next_place(self, points: int) -> tuple[Rule, Place]:
        """The rule of the next request, and its place."""
        rule = self._rule if self.state.requests else self._first
        return rule, rule.place(self.state, points)

    @alone
    def arrive(self, points: int = 1, norm_class: float | None = None) -> None:
        """A request comes in; it is merged with those that wait already, and counts in the largest class of norm among them."""
        share = checked_class(norm_class, self.accountant.algorithm.norm_class, self.accountant.bound)
        if type(points) is not int or points < 1:
            points = integer("points", points, at_least=1)
        left = self._n + self.state.inserted - self.state.points - self.pending
        if points > left:
            raise InputError(f"points must be at most {left}, what is left of the dataset, got {points}")
        check_stand_ins(self.accountant.algorithm, self.state, self.pending, points)
        self.state.waiting = merged(self.state.waiting, self.pending, share, self.accountant.algorithm.norm_class)
        self.pending += points

    @alone
    def insert(self, points: int = 1, steps: int = 0) -> None:
        """``points`` records join, and learning goes on for ``steps``; draws of their own only. It costs nothing by itself.

        They count among the records ever in, at most ``largest_n``, and from now on what holds is compared with the same
        history without the deleted records, newcomers included. Of a key that was redrawn nobody may join. A newcomer that is
        deleted later counts as if it had been in from the start, which is never less. InputError, and nothing changes, for what
        is refused.
        """
        points, steps = integer("points", points, at_least=1), integer("steps", steps, at_least=0)
        check_newcomers(self.accountant.algorithm, self.state, self.pending, points)
        self._rule.passes(self.state, steps)
        self.state.inserted += points

    @alone
    def process(self) -> int:
        """Delete what waits, as one request; the number of steps to run now (0 if nothing waits)."""
        if not self.pending:
            return 0
        share = self._waiting
        rule, state = self._of_class(share)
        place = rule.place(state, self.pending)
        count = self._fewest(rule, place, state)
        self._advance(rule, place, self.pending, count, share)
        self.pending, self.state.waiting = 0, 0.0
        return count * self._stride

    @property
    def _waiting(self) -> float:
        """The class of those that wait."""
        return self.state.waiting or self.accountant.algorithm.norm_class

    @alone
    def request(self, points: int = 1, norm_class: float | None = None) -> int:
        """Delete ``points`` >= 1 (and whatever waits) now; the number of steps to run before the next release.

        norm_class: r/M of these records, and of what takes their places, at most that of the algorithm, which is the default.
        """
        before = self.pending, self.state.waiting
        self.arrive(points, norm_class)
        try:
            return self.process()
        except UnreachableError:
            self.pending, self.state.waiting = before
            raise

    @alone
    def planned(self, points: int = 1, norm_class: float | None = None) -> Planned:
        """What :meth:`request` would answer now: the steps, and the whole guarantee after them. Nothing changes."""
        before = self.pending, self.state.waiting
        self.arrive(points, norm_class)
        total, share = self.pending, self._waiting
        self.pending, self.state.waiting = before
        rule, state = self._of_class(share)
        place = rule.place(state, total)
        steps = self._fewest(rule, place, state) * self._stride
        after = rule.curve_after(state, place, steps)
        about: dict[str, Any] = {"accountant": self.accountant, "settings": self.settings, "state": self.state, "share": share}
        return Planned(steps, stated(after, source=rule.bound.source, points=total, steps=steps, **about))

    @alone
    def request_all(self, points: ArrayLike) -> NDArray[np.int64]:
        """:meth:`request` for each entry of a one-dimensional array."""
        counts = numbers("points", points, at_least=1, at_most=self._n, whole=True)
        if counts.ndim != 1:
            raise InputError(f"points must be one-dimensional, got shape {counts.shape}")
        return np.array([self.request(count) for count in counts.astype(np.int64).tolist()], dtype=np.int64)

    @alone
    def follow(self, steps: ArrayLike, points: ArrayLike = 1) -> Followed:
        """Answer requests of ``points`` each with ``steps``, (k,), enough or not; what holds after each.

        Steps, as :meth:`request` answers them: whole epochs of them for a stream that counts epochs. For checking what somebody
        else did: the state moves on as it did there.
        """
        asked_steps = numbers("steps", steps, at_least=0, at_most=MAX_COUNT, whole=True)
        if np.any(asked_steps % self._stride):
            odd = shown(float(asked_steps[asked_steps % self._stride > 0].flat[0]))
            raise InputError(f"steps must be whole epochs of {self._stride} steps in a stream that counts epochs, got {odd}")
        lengths = asked_steps // self._stride
        sizes = numbers("points", points, at_least=1, at_most=self._n, whole=True)
        if lengths.ndim != 1 or sizes.shape not in ((), lengths.shape):
            raise InputError(f"steps and points must be one-dimensional and of one length, got {lengths.shape}, {sizes.shape}")
        sizes = np.broadcast_to(sizes, lengths.shape)
        needed, epsilon = np.full(lengths.size, np.inf), np.full(lengths.size, np.inf)
        averaged = np.full(lengths.size, np.inf)
        # Rows that differ in their past only are read together.
        asked: dict[tuple[int, int, int], tuple[Rule, Place, int, list[int], list[tuple[float, float]]]] = {}
        for at, (count, size) in enumerate(zip(lengths.astype(int).tolist(), sizes.astype(int).tolist(), strict=True)):
            self.arrive(size)
            self.pending, self.state.waiting = 0, 0.0
            rule, place = self.next_place(size)
            with suppress(UnreachableError):
                needed[at] = self._fewest(rule, place, self.state) * self._stride
            if count >= rule.fewest:
                key = (id(rule), id(place), count)
                *_, rows, states = asked.setdefault(key, (rule, place, count * self._stride, [], []))
                rows.append(at)
                states.append(rule.before(self.state, place, count * self._stride))
                at_once = rule.contracted_epsilon(self.state, place, count * self._stride)
                averaged[at] = min(rule.averaged_epsilon(self.state, place, count * self._stride), at_once)
            try:
                self._advance(rule, place, size, count)
            except UnreachableError:
                # What this request leaves is beyond every number: nothing is proved from here on.
                break
        for rule, place, steps, rows, states in asked.values():
            epsilon[rows] = rule.epsilon_after(place, steps, np.array(states))
        return Followed(np.minimum(epsilon, averaged), needed)

    def _advance(self, rule: Rule, place: Place, points: int, count: int, share: float | None = None) -> None:
        own, steps = self.accountant.algorithm.norm_class, count * self._stride
        if share in (None, own):
            rule.advance(self.state, place, steps)
        else:
            # All at once: what is beyond every number changes nothing.
            assert share is not None
            state = in_units(self.state, own / share)
            rule.advance(state, place, steps)
            self.state = replace(in_units(state, share / own), classes=counted_classes(state.classes, share, points))
        state = self.state
        state.requests += 1
        state.points += points
        state.steps += steps
        state.since = steps
        self._guess = count

    def _fewest(self, rule: Rule, place: Place, state: StreamState) -> int:
        """The smallest number of steps (or epochs) that is enough for the request at this place, after that past."""
        stride, meets = self._stride, rule.meets
        most = (rule.most_steps - state.steps) // stride
        # Close to the last answer, which is right again in a steady stream.
        start = self._guess if self._guess > rule.fewest else rule.fewest

        def enough(count: int) -> bool:
            return meets(state, place, count * stride)

        if rule.averages:
            # Each look at a law is dear.
            count = guided_whole(enough, lambda count: rule.missed(state, place, count * stride), rule.fewest, most, start)
        else:
            count = smallest_whole(enough, rule.fewest, most, start)
        if count > most:
            asked = {"most": max(most, 0), "points": place.points, "most_steps": rule.most_steps}
            raise UnreachableError(out_of_reach(self.accountant.algorithm, self.settings, state, **asked))
        return count

    @alone
    def to_json(self) -> str:
        """The state, and what it belongs to, as one line that :meth:`from_json` restores exactly."""
        return written(self.settings, self.state, self.pending)

    @classmethod
    def from_json(cls, text: str, accountant: UnlearningAccountant) -> UnlearningStream:
        """The stream that :meth:`to_json` saved; InputError for anything else, or a state of another problem or version."""
        data = read(text)
        own = ("sigma", "epsilon", "delta", "unit", "first_bound")
        settings = data["settings"]
        if not isinstance(settings, dict) or not set(own) <= set(settings):
            raise InputError(f"stream state must have settings with {', '.join(own)}, got {settings!r}")
        stream = cls(accountant, **{name: settings[name] for name in own})
        check_same(settings, stream.settings)
        finite = learned_epochs(accountant.algorithm) < float("inf") and accountant.bound == "optimal"
        most, own_class = accountant.algorithm.largest_n, accountant.algorithm.norm_class
        stream.state, stream.pending = restored(
            data["state"], data["pending"], n=stream._n, most=most, finite=finite, own=own_class
        )
        if (stream.state.classes or stream.state.waiting) and accountant.bound != "optimal":
            raise InputError(f"classes of the stream state need bound=optimal, got {accountant.bound}")
        stream._guess = stream.state.since // stream._stride
        return stream

    @property
    def settings(self) -> dict[str, Any]:
        """All that the stream is about, as JSON types."""
        own = {name: getattr(self, name) for name in ("sigma", "epsilon", "delta", "unit", "first_bound")}
        return {**self.accountant.to_dict(), **own}
