"""Who is deleted when and where: the components of a stream of requests, each with what the bound proved of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from accountant.averaging import Components, OnePoint, Placed
from accountant.bounds import Case, Optimal, Setting, Visits
from accountant.numerics import Numbers, Precise, Progress
from accountant.problem import RANDOM, WORST, Batches, Number
from accountant.questions import UnlearningAccountant

#: Working precision of the shifts.
BITS: Final = 640


@dataclass(frozen=True)
class Component:
    """Of probability ``weight``; its mu is ``count`` times the largest mu of its cases, 0 of none."""

    weight: Fraction
    count: int
    cases: tuple[Case, ...]

    def mu(self, ar: Precise) -> Numbers:
        largest: Numbers = ar.asarray(0)[()]
        for case in self.cases:
            largest = ar.maximum(largest, case.mu(ar))
        return self.count * largest


@dataclass(frozen=True)
class Witness:
    """A component of weight 1 for each request before the last, and the components of the last one.

    stand_in: of the record that takes the place of one that leaves and draws for itself, if there is one.
    """

    older: tuple[Component, ...]
    newest: tuple[Component, ...]
    stand_in: tuple[Component, ...] = ()

    @property
    def written(self) -> tuple[Component, ...]:
        """What a certificate lists: a stand-in that may be wherever the leaver may be is not repeated."""
        return self.older + self.newest + (() if self.stand_in is self.newest else self.stand_in)

    def pairs(self, ar: Precise) -> tuple[list[Numbers], list[Numbers]]:
        """mu of the leaver's components and of the stand-in's, with those of the earlier requests."""
        newest = self.mus(ar)
        if not self.stand_in or self.stand_in is self.newest:
            return newest, newest if self.stand_in else []
        return newest, Witness(self.older, self.stand_in).mus(ar)

    def mus(self, ar: Precise) -> list[Numbers]:
        """mu of every component of the last request, those of the earlier requests added."""
        before: Numbers = ar.asarray(0)[()]
        for component in self.older:
            before = before + component.mu(ar)
        return [before + component.mu(ar) for component in self.newest]


def witness_of(
    accountant: UnlearningAccountant,
    requests: Sequence[tuple[int, int]],
    *,
    sigma: Fraction,
    start_distance: Fraction | None,
    progress: Progress | None,
) -> Witness:
    """What the bound proves of these requests, (points, steps) one after the other, released after the last."""
    # An extra: whoever signs or reads only does not need it.
    from accountant.numerics import Interval

    with Interval(BITS) as ar:
        deletions = _Deletions(replace(accountant.setting, number=Number(ar)), tuple(requests), sigma, start_distance)
        if accountant.algorithm.own_draws:
            return deletions.drawn(accountant.batches, progress)
        older = tuple(deletions.worst(request) for request in range(len(requests) - 1))
        if accountant.batches == WORST and not deletions.alone:
            return Witness(older, (deletions.worst(len(requests) - 1),))
        placing = replace(accountant.placing, group_size=requests[-1][0])
        return Witness(older, tuple(deletions.placed(placing.components, progress)))


@dataclass(frozen=True)
class _Deletions:
    """The requests as the bound sees them, each so many steps before the release."""

    setting: Setting
    requests: tuple[tuple[int, int], ...]
    sigma: Fraction
    start_distance: Fraction | None

    @property
    def alone(self) -> bool:
        return len(self.requests) == 1

    def _case(self, request: int, placed: Sequence[Visits], *, alone: bool) -> Case:
        age = sum(steps for _, steps in self.requests[request:])
        return Optimal().witness(self.setting, placed, age, sigma=self.sigma, start_distance=self.start_distance, alone=alone)

    def _size(self, batch: int) -> int:
        return int(self.setting.algorithm.batch_sizes(batch))

    def _visits(self, request: int, batch: int, points: int) -> Visits:
        before = sum(steps for _, steps in self.requests[:request])
        return Visits((before - 1 - batch) % self.setting.algorithm.steps_per_epoch, points, self._size(batch))

    def worst(self, request: int) -> Component:
        """Each point wherever it lies, as cases of one point of which the largest counts: the last batch may be smaller."""
        last = self.setting.algorithm.steps_per_epoch - 1
        places = [Visits(0, 1, self._size(0))]
        if self._size(last) != self._size(0):
            short = self._visits(request, last, 1)
            places = [short] if short.lag == 0 else [*places, short]
        cases = tuple(self._case(request, [place], alone=False) for place in places)
        return Component(Fraction(1), self.requests[request][0], cases)

    def drawn(self, batches: Batches, progress: Progress | None) -> Witness:
        """Of records that draw for themselves: earlier ones at their worst, in the batch that was visited last."""
        algorithm = self.setting.algorithm
        replaced = algorithm.problem.adjacency == "replace"
        if replaced or sum(points for points, _ in self.requests) > 1:
            # The shifts of several records add up where no ball caps them.
            uncapped = replace(self.setting, algorithm=replace(algorithm, radius=None))
            return replace(self, setting=uncapped)._drawn(batches, replaced, progress)
        return self._drawn(batches, replaced, progress)

    def _drawn(self, batches: Batches, replaced: bool, progress: Progress | None) -> Witness:
        last, size = len(self.requests) - 1, int(self.setting.algorithm.batch_size)
        worst = [
            Component(Fraction(1), points, (self._case(at, [Visits(0, 1, size)], alone=self.alone),))
            for at, (points, _) in enumerate(self.requests)
        ]
        older = tuple(worst[:last])
        if batches == WORST:
            return Witness(older, (worst[last],), (worst[last],) if replaced else ())
        count = self.setting.algorithm.steps_per_epoch
        newest = []
        for batch in range(count) if batches == RANDOM else [int(str(batches))]:
            case = self._case(last, [self._visits(last, batch, 1)], alone=self.alone)
            newest.append(Component(Fraction(1, count if batches == RANDOM else 1), 1, (case,)))
            if progress is not None:
                progress(batch, 3 * count)
        found = tuple(newest)
        return Witness(older, found, () if not replaced else found if batches == RANDOM else (worst[last],))

    def placed(self, components: Components, progress: Progress | None) -> Iterable[Component]:
        """Of the last request, the points together."""
        last = len(self.requests) - 1
        places = _places(components)
        for at, (weight, points) in enumerate(places):
            # By lag, which falls with the batch.
            visits = [self._visits(last, batch, points[batch]) for batch in sorted(points, reverse=True)]
            cases = (self._case(last, visits, alone=self.alone),) if visits else ()
            yield Component(weight, 1, cases)
            if progress is not None and len(places) > 1:
                progress(at, 3 * len(places))


def _places(components: Components) -> list[tuple[Fraction, dict[int, int]]]:
    """Probability and numbers of points by batch, none for points that no batch contains."""
    if isinstance(components, Placed):
        return [(Fraction(1), {batch: int(count) for batch, count in enumerate(components.counts.tolist()) if count})]
    assert isinstance(components, OnePoint)
    weights = [Fraction(int(weight), components.whole) for weight in components.weights.tolist()]
    batches = [{int(batch): 1} for batch in components.positions.tolist()]
    return list(zip(weights, [*batches, {}], strict=False))
