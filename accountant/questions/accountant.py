"""The accountant: sigma, epsilon, delta, epochs and steps of a PNSGD (un)learning run, each from the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant.averaging import (
    Components,
    EveryPlacement,
    OnePoint,
    Placed,
    RandomGroup,
    Reshuffled,
    WorstSum,
    every_placement,
    placement_count,
    worst_counts,
)
from accountant.bounds import BOUNDS, Bound, Setting, assumptions_of
from accountant.curves import MARGIN, MAX_ALPHA, Curve, Guarantee, Mixture, probability, rounded_up
from accountant.numerics import (
    LARGEST,
    MAX_COUNT,
    SMALLEST,
    Floats,
    InputError,
    UnreachableError,
    broadcast,
    choice,
    in_blocks,
    integer,
    number,
    numbers,
    plain,
    shown,
    smallest_count,
    word_or_count,
)
from accountant.problem import PNSGD, RANDOM, RESHUFFLE, WORST, Number, Schedule, parse_reference
from accountant.questions.query import Query, log_of
from accountant.shifts import Timeline

#: Placements of a group up to which each is looked at by itself.
MOST_PLACEMENTS: Final = 2000
#: Largest epsilon asked about; its Gaussian mu is still in range.
MAX_EPSILON: Final = 1e290


class UnlearningAccountant:
    """Certified unlearning with PNSGD of one point or a group, under a named bound.

    algorithm: the :class:`~accountant.problem.PNSGD`, with its problem.
    bound: "optimal", "paper" or "paper-geometric".
    batches: where the deleted points lie: "random" (averaged over the draw of the batch order, by joint convexity), "worst"
        (whatever the order), "reshuffle" (a fresh order in every epoch of learning; optimal only), the position 0 ... J-1 of
        their batch, or J numbers of points per batch. Default: random for optimal, worst for the published bounds.
    reference: what retraining means: "matched", "converged", or a number of retraining epochs.
    group_size: points deleted at once, 1 to n.
    schedule: phases of learning and unlearning, by default both constant. Positions are then cells of the
        permutation (its batches, if learning has one batch size), and steps are those of an open last phase.

    Numeric arguments of the methods broadcast as NumPy arrays do; scalars give a float (epochs and steps: an int). All are
    keywords: sigma > 0; epsilon >= 0; delta in (0, 1), default 1/n; epochs or steps, whole numbers >= 0, exactly one of them
    (neither for a schedule that says its length);
    start_distance >= 0, a bound on the distance of the two models when unlearning starts, default what learning gives.
    Raises InputError for bad arguments and settings that prove nothing, UnreachableError where no answer exists.
    """

    def __init__(
        self,
        algorithm: PNSGD,
        *,
        bound: str = "optimal",
        batches: str | int | Sequence[int] | None = None,
        reference: str | int = "matched",
        group_size: int | None = None,
        schedule: Schedule | None = None,
    ) -> None:
        if not isinstance(algorithm, PNSGD):
            raise InputError(f"algorithm must be a PNSGD, got {algorithm!r}")
        self._bound: Bound = BOUNDS[choice("bound", bound, BOUNDS)]
        self._given = algorithm
        self.algorithm = algorithm
        self.schedule = schedule
        timeline = None if schedule is None else Timeline(schedule, algorithm)
        if timeline is not None and timeline.plain is not None:
            # A schedule that changes nothing is the algorithm.
            self.algorithm = timeline.plain
        self._timeline = timeline
        self._setting = Setting(
            self.algorithm,
            parse_reference(reference),
            timeline=None if timeline is None or timeline.plain is not None else timeline,
        )
        self.reference = self._setting.reference
        self.batches, self.group_size = self._placing(batches, group_size)
        # A given distance replaces learning, so a setting may be refused without one and allowed with it.
        self._refusal: InputError | None = None
        try:
            self._bound.check(self._setting)
            self._check_combination()
        except InputError as error:
            self._refusal = error
        self._complete = True

    def _placing(self, batches: Any, group_size: Any) -> tuple[str | int | tuple[int, ...], int]:
        """``batches`` and ``group_size``, checked."""
        n = self.algorithm.problem.n
        size = 1 if group_size is None else integer("group_size", group_size, at_least=1, at_most=n)
        if batches is not None and not isinstance(batches, (str, int)) and np.ndim(batches) == 1:
            counts = numbers("batches", batches, at_least=0, at_most=n, whole=True)
            if counts.size != self._sizes.size:
                raise InputError(f"batches must have a number for each of the {self._sizes.size} batches, got {counts.size}")
            over = np.flatnonzero(counts > self._sizes)
            if over.size:
                j = int(over[0])
                raise InputError(f"batches must have at most {self._sizes[j]:.0f} points in batch {j}, got {counts[j]:.0f}")
            total = int(counts.sum())
            if total < 1 or (group_size is not None and total != size):
                wanted = "at least 1" if group_size is None else f"group_size = {size}"
                raise InputError(f"batches must place {wanted} points, got {total}")
            return tuple(counts.astype(int).tolist()), total
        last = (self._sizes.size if self._setting.timeline is not None else self.algorithm.steps_per_epoch) - 1
        word = word_or_count(
            "batches",
            self._bound.default_batches if batches is None else batches,
            words=(RANDOM, WORST, RESHUFFLE),
            count="a position",
            at_least=0,
            at_most=last,
        )
        if size > (room := self._room(word)):
            raise InputError(f"group_size must be at most {room}, the points in batch {word}, got {size}")
        return word, size

    def _check_combination(self) -> None:
        """Refuse what no bound here covers."""
        timeline = self._setting.timeline
        if self.group_size > 1 and self._setting.starts_apart:
            raise InputError(
                f"reference={self.reference} compares runs that start apart, which is answered for one point only: "
                f"group_size must be 1, got {self.group_size}"
            )
        if self.batches == RESHUFFLE:
            if self.bound != "optimal":
                raise InputError(f"batches=reshuffle needs bound=optimal, got {self.bound}")
            if timeline is not None or self._setting.starts_apart:
                raise InputError("batches=reshuffle needs a constant algorithm without schedule and a matched reference")
        if timeline is not None and isinstance(self.reference, int):
            raise InputError(f"reference must be matched or converged with a schedule, got {self.reference}")
        if timeline is not None and not timeline.one_layout and isinstance(self.batches, (int, tuple)):
            raise InputError(f"batches must be random or worst where learning changes its batch size, got {self.batches}")

    def __setattr__(self, name: str, value: object) -> None:
        """Settings are fixed: results are remembered for them."""
        if getattr(self, "_complete", False):
            raise AttributeError(f"an UnlearningAccountant cannot be changed; with_({name}=...) gives another one")
        super().__setattr__(name, value)

    def check(self) -> None:
        """Raise InputError, with the reason, if the setting proves nothing."""
        if self._refusal is not None:
            raise self._refusal

    @property
    def bound(self) -> str:
        """The name of the bound."""
        return self._bound.name

    def with_(self, **changes: Any) -> UnlearningAccountant:
        """The same accountant with other arguments of the constructor; a new bound brings its default batches."""
        kept: dict[str, Any] = {name: getattr(self, name) for name in ("bound", "reference", "group_size", "schedule")}
        if "bound" not in changes and not ("group_size" in changes and isinstance(self.batches, tuple)):
            kept["batches"] = self.batches
        if np.ndim(changes.get("batches", 0)) == 1:
            del kept["group_size"]
        return UnlearningAccountant(self._given, **(kept | changes))

    def __repr__(self) -> str:
        words = f"bound={self.bound!r}, batches={self.batches!r}, reference={self.reference!r}"
        if self.group_size > 1:
            words += f", group_size={self.group_size}"
        if self.schedule is not None:
            words += f", schedule={self.schedule!r}"
        return f"UnlearningAccountant({self.algorithm!r}, {words})"

    def epsilon(
        self,
        *,
        sigma: ArrayLike,
        delta: ArrayLike | None = None,
        epochs: ArrayLike | None = None,
        steps: ArrayLike | None = None,
        start_distance: ArrayLike | None = None,
    ) -> Any:
        """Smallest epsilon proven at ``delta`` for noise ``sigma`` after unlearning, rounded up."""
        query = self._query(epochs, steps, start_distance)

        def block(n: Floats, start: Floats, noise: Floats, d: Floats) -> Floats:
            mixture = query.mixture(n, start)
            return mixture.curve.epsilon(np.log(d), mixture.log_weights, mixture.log_mu(noise))

        own = plain(query.solve(block, self._sigma(sigma), self._delta(delta)))
        question = {"sigma": sigma, "delta": delta, "epochs": epochs, "steps": steps, "start_distance": start_distance}
        return self._least("epsilon", own, question)

    def delta(
        self,
        *,
        sigma: ArrayLike,
        epsilon: ArrayLike,
        epochs: ArrayLike | None = None,
        steps: ArrayLike | None = None,
        start_distance: ArrayLike | None = None,
    ) -> Any:
        """Smallest delta proven at ``epsilon`` for noise ``sigma`` after unlearning, rounded up."""
        query = self._query(epochs, steps, start_distance)

        def block(n: Floats, start: Floats, noise: Floats, e: Floats) -> Floats:
            mixture = query.mixture(n, start)
            return probability(mixture.curve.log_delta(e, mixture.log_weights, mixture.log_mu(noise)))

        own = plain(query.solve(block, self._sigma(sigma), self._epsilon(epsilon)))
        question = {"sigma": sigma, "epsilon": epsilon, "epochs": epochs, "steps": steps, "start_distance": start_distance}
        return self._least("delta", own, question)

    def sigma(
        self,
        *,
        epsilon: ArrayLike,
        delta: ArrayLike | None = None,
        epochs: ArrayLike | None = None,
        steps: ArrayLike | None = None,
        start_distance: ArrayLike | None = None,
    ) -> Any:
        """Smallest noise sigma that proves (``epsilon``, ``delta``) after unlearning.

        On the safe side: re-evaluated, it gives an epsilon at most the target. Where even less noise than 1e-300 would do,
        that number is returned.
        """
        query = self._query(epochs, steps, start_distance)

        def block(n: Floats, start: Floats, e: Floats, d: Floats) -> Floats:
            mixture, log_delta = query.mixture(n, start), np.log(d)
            log_scale = mixture.log_scale
            peak = log_scale.max(axis=1)
            moving = np.isfinite(peak)
            log_sigma = np.full(n.size, -np.inf)
            with np.errstate(invalid="ignore"):
                shape = log_scale[moving] - peak[moving, None]
            if moving.any():
                scale = mixture.curve.log_scale(e[moving], log_delta[moving], mixture.log_weights, shape)
                log_sigma[moving] = peak[moving] - scale + MARGIN
            sigma = np.exp(np.minimum(log_sigma, 709.0))
            # The search ends within some roundings of the answer; step over until the reported epsilon meets the target.
            # Where epsilon is small against delta it follows sigma steeply, and the first step is smaller.
            push = 2.0**-45 * np.minimum(1.0, 0.5 * e / d)
            sigma = np.maximum(sigma * (1 + push), SMALLEST)
            unmet = np.arange(n.size)
            while unmet.size:
                if np.any(sigma > LARGEST):
                    row = int(np.argmax(sigma > LARGEST))
                    reason = f"it would exceed {LARGEST:g}"
                    if self.kind != "gdp":
                        # The divergence goes with the square of the noise, which leaves the double range first.
                        reason = f"bound={self.bound} never reaches epsilon = 0 and is not resolved below 1e-150"
                    raise UnreachableError(f"no sigma proves epsilon={e[row]:g} at delta={d[row]:g}: {reason}")
                log_mu = mixture._replace(log_scale=log_scale[unmet]).log_mu(sigma[unmet])
                reached = mixture.curve.epsilon(log_delta[unmet], mixture.log_weights, log_mu)
                unmet = unmet[~(reached <= e[unmet])]
                push[unmet] = np.maximum(2 * push[unmet], 2.0**-52)
                sigma[unmet] *= 1 + push[unmet]
            return sigma

        own = plain(query.solve(block, self._epsilon(epsilon), self._delta(delta)))
        question = {"epsilon": epsilon, "delta": delta, "epochs": epochs, "steps": steps, "start_distance": start_distance}
        return self._least("sigma", own, question)

    def epochs(
        self,
        *,
        sigma: ArrayLike,
        epsilon: ArrayLike,
        delta: ArrayLike | None = None,
        start_distance: ArrayLike | None = None,
    ) -> Any:
        """Smallest whole number of unlearning epochs that proves (``epsilon``, ``delta``); may be 0 under "optimal"."""
        per_epoch = self.steps_per_epoch
        fewest = 0.0 if self._bound.minimum_steps == 0 else 1.0
        question: dict[str, Any] = {"sigma": sigma, "epsilon": epsilon, "delta": delta, "start_distance": start_distance}
        return self._least("epochs", self._count("epochs", per_epoch, fewest, **question), question)

    def steps(
        self,
        *,
        sigma: ArrayLike,
        epsilon: ArrayLike,
        delta: ArrayLike | None = None,
        start_distance: ArrayLike | None = None,
    ) -> Any:
        """Smallest number of unlearning steps that proves (``epsilon``, ``delta``); an epoch has J = ceil(n/b) of them.

        Also correct for a reference of a fixed number of epochs, where more steps of a started epoch help but the guarantee
        need not improve from the last step of one epoch to the first of the next.
        """
        per_epoch = self.algorithm.steps_per_epoch
        fewest = float(self._bound.minimum_steps)
        if not isinstance(self.reference, int):
            question: dict[str, Any] = {"sigma": sigma, "epsilon": epsilon, "delta": delta, "start_distance": start_distance}
            return self._least("steps", self._count("steps", 1, fewest, **question), question)
        # For a given number of whole epochs every further step is post-processing common to both runs; and with the same
        # remainder every further epoch helps. So: the fewest epochs that suffice with all J - 1 extra steps, then the steps.
        whole = self._count("steps", per_epoch, 0.0, sigma, epsilon, delta, start_distance, extra=per_epoch - 1)
        first = np.maximum(np.asarray(whole) * per_epoch, fewest)
        last = np.maximum(np.asarray(whole) * per_epoch + per_epoch - 1, fewest)
        return self._count("steps", 1, first, sigma, epsilon, delta, start_distance, most=last)

    def components_at(
        self,
        number: Number,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        start_distance: float | None = None,
    ) -> Mixture:
        """The components of the privacy curve at sigma = 1 as numbers of any arithmetic (scalars only), one row.

        InputError where the average over every_placement is bounded on a grid, which more digits do not make finer.
        """
        query = self._query(epochs, steps, start_distance)
        if query.steps.ndim or query.start.ndim:
            raise InputError("components_at takes single numbers; epochs, steps and start_distance must not be arrays")
        if not isinstance(query.components, (OnePoint, Placed, WorstSum, EveryPlacement)):
            what = "reshuffled batches" if self.batches == RESHUFFLE else "a large group at random"
            raise InputError(f"batches={self.batches} averages {what} on a grid, of which doubles are all there is; use worst")
        ar, setting = number.arithmetic, replace(query.setting, number=number)
        with np.errstate(divide="ignore"):
            start = ar.log(ar.minimum(ar.asarray(number.read(start_distance or 0.0)), ar.exp(setting.constants.log_diameter)))
        return query.components.mixture(self._bound, setting, query.steps[None], np.reshape(np.asarray(start), 1))

    def step_count(self, *, epochs: int | None = None, steps: int | None = None) -> int:
        """The number of unlearning steps that one of the two leads to, those of the schedule included (scalars only)."""
        count = self._steps(epochs, steps)
        if count.ndim:
            raise InputError("step_count takes single numbers; epochs and steps must not be arrays")
        return int(count)

    def rdp(
        self,
        *,
        alpha: ArrayLike,
        sigma: ArrayLike,
        epochs: ArrayLike | None = None,
        steps: ArrayLike | None = None,
        start_distance: ArrayLike | None = None,
    ) -> Any:
        """Bound on both Rényi divergences of order ``alpha`` > 1 after unlearning, rounded up."""
        query = self._query(epochs, steps, start_distance)
        orders = numbers("alpha", alpha, above=1, at_most=MAX_ALPHA)

        def block(n: Floats, start: Floats, noise: Floats, a: Floats) -> Floats:
            mixture = query.mixture(n, start)
            return mixture.curve.rdp(a, mixture.log_weights, mixture.log_mu(noise))

        own = plain(query.solve(block, self._sigma(sigma), orders))
        question = {"alpha": alpha, "sigma": sigma, "epochs": epochs, "steps": steps, "start_distance": start_distance}
        values = self._least("rdp", own, question)
        if not np.all(np.isfinite(values)):
            raise UnreachableError("the divergence exceeds the largest double: sigma is too small or alpha too large")
        return values

    def gdp(
        self,
        *,
        sigma: ArrayLike,
        epochs: ArrayLike | None = None,
        steps: ArrayLike | None = None,
        start_distance: ArrayLike | None = None,
    ) -> Floats:
        """mu of one point in every batch position 0 ... J-1 (cell, for a schedule), whatever ``batches`` is; shape (..., J)."""
        if self.kind != "gdp":
            raise InputError(f"bound must be optimal for gdp, got {self.bound}, which proves Renyi divergences only")
        if self.group_size > 1 or self.batches == RESHUFFLE:
            raise InputError(f"gdp is about one point in fixed batches, got {self!r}")
        query = self._query(epochs, steps, start_distance)
        if not query.setting.given_distance:
            query.components = OnePoint(self._every_position, np.ones(self._every_position.size))
        n, start, noise = broadcast(query.steps, query.start, self._sigma(sigma))
        log_mu = query.mixture(n.ravel(), start.ravel()).log_mu(noise.ravel())
        return rounded_up(log_mu).reshape(*n.shape, -1)

    def guarantee(
        self,
        *,
        sigma: float,
        epochs: int | None = None,
        steps: int | None = None,
        start_distance: float | None = None,
    ) -> Guarantee:
        """The whole privacy curve after unlearning, with what it rests on (scalars only)."""
        query = self._query(epochs, steps, start_distance)
        noise = number("sigma", sigma, above=0)
        if query.steps.ndim or query.start.ndim:
            raise InputError("guarantee takes single numbers; epochs, steps and start_distance must not be arrays")
        mixture = query.mixture(query.steps[None], query.start[None])
        if self._bounded_average and not query.setting.given_distance and self.algorithm.problem.n > 1:
            question: dict[str, Any] = {"sigma": noise, "epochs": epochs, "steps": steps}
            log_delta, worst = np.log(np.array([self.default_delta])), self.with_(batches=WORST)
            average = mixture.curve.epsilon(log_delta, mixture.log_weights, mixture.log_mu(np.array([noise])))[0]
            if worst.epsilon(**question) < average:
                return worst.guarantee(**question)
        mu = rounded_up(mixture.log_mu(np.array([noise]))[0])
        kind = mixture.curve.kind
        n = int(query.steps)
        return Guarantee(
            kind=kind,
            weights=np.exp(mixture.log_weights),
            values=mu if self.kind == "gdp" else 0.5 * mu**2,
            conversion=getattr(mixture.curve, "conversion", "exact"),
            statement=self._statement(noise, n),
            assumptions=self.assumptions(given_distance=query.setting.given_distance),
            context={
                **self.to_dict(),
                "source": self._bound.source,
                "sigma": noise,
                "steps": n,
                "averaging": query.components.method(self._bound, query.setting, query.steps[None]),
                "start_distance": None if start_distance is None else float(start_distance),
            },
        )

    @property
    def minimum_steps(self) -> int:
        """Fewest unlearning steps about which the bound says anything."""
        return self._bound.minimum_steps

    @property
    def kind(self) -> str:
        """What the bound proves: "gdp", or a Rényi family."""
        return self._bound.curve(self._setting).kind

    def averaging(self, *, epochs: int | None = None, steps: int | None = None) -> str:
        """How the average over every_placement is found: "exact", or the name of the upper bound (scalars only)."""
        self.step_count(epochs=epochs, steps=steps)
        query = self._query(epochs, steps, None)
        return query.components.method(self._bound, query.setting, query.steps[None])

    def gradient_evaluations(self, *, epochs: int | None = None, steps: int | None = None) -> int:
        """Per-sample gradients that unlearning computes: the sum of the batch sizes of its steps (scalars only)."""
        count = self.step_count(epochs=epochs, steps=steps)
        return (self._timeline or self.algorithm).gradient_evaluations(count)

    def tightness(
        self, *, epochs: int | None = None, steps: int | None = None, start_distance: float | None = None
    ) -> float | None:
        """mu/mu_exact at the worst position: 1 means that two Gaussian runs attain the bound, so nothing can improve it.

        None for the published bounds, which prove no mu, where the radius binds and for reshuffled batches, where no exact case
        is known.
        """
        query = self._query(epochs, steps, start_distance)
        if query.steps.ndim or query.start.ndim:
            raise InputError("tightness takes single numbers; epochs, steps and start_distance must not be arrays")
        counts = self._judged(query)
        if counts is None:
            return None
        gap = self._bound.log_tightness(query.setting, counts, int(query.steps), float(log_of(query.start)))
        return None if gap is None else math.exp(gap)

    def assumptions(self, *, given_distance: bool = False) -> tuple[str, ...]:
        """What the guarantee rests on, a sentence each."""
        return assumptions_of(replace(self._setting, given_distance=given_distance), self.batches, self.group_size)

    def to_dict(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types."""
        return {
            "bound": self.bound,
            "batches": list(self.batches) if isinstance(self.batches, tuple) else self.batches,
            "reference": self.reference,
            "group_size": self.group_size,
            "schedule": None if self.schedule is None else self.schedule.to_list(),
            "problem": self.algorithm.problem.to_dict(),
            "algorithm": self.algorithm.to_dict(),
        }

    @property
    def starts_apart(self) -> bool:
        """Whether retraining starts elsewhere than learning did, anywhere in the ball."""
        return self._setting.starts_apart

    @property
    def constant(self) -> bool:
        """Whether there is no schedule, or one that changes nothing and says nothing of unlearning."""
        timeline = self._timeline
        return timeline is None or (timeline.plain is not None and timeline.open and not timeline.unlearn_steps)

    @property
    def scheduled_steps(self) -> int:
        """Unlearning steps that the schedule itself says."""
        return 0 if self._timeline is None else self._timeline.unlearn_steps

    @property
    def counts_epochs(self) -> bool:
        """Whether all unlearning has one batch size, so that its steps make epochs."""
        return self._timeline is None or self._timeline.one_unlearn_layout

    @property
    def largest_group(self) -> int:
        """Most points that can be deleted at once where ``batches`` places them."""
        return self.group_size if isinstance(self.batches, tuple) else self._room(self.batches)

    @property
    def steps_per_epoch(self) -> int:
        """J of the unlearning epochs that are counted."""
        return self.algorithm.steps_per_epoch if self._timeline is None else self._timeline.unlearn_steps_per_epoch

    def _least(self, method: str, own: Any, question: dict[str, Any]) -> Any:
        """``own``, or what holds of the worst placement where that is smaller: a group's average is bounded, not computed."""
        if not self._bounded_average or question.get("start_distance") is not None:
            return own
        try:
            worst = getattr(self.with_(batches=WORST), method)(**question)
        except UnreachableError:
            return own
        return min(own, worst) if np.ndim(own) == 0 else np.minimum(own, worst)

    @property
    def _bounded_average(self) -> bool:
        return isinstance(self.components, (RandomGroup, Reshuffled)) and self.group_size > 1

    # --- below: how a question becomes rows of numbers

    @cached_property
    def _sizes(self) -> Floats:
        """Points in every batch (cell, for a schedule), those in no batch left out."""
        if self._setting.timeline is not None:
            return np.diff(self._setting.timeline.edges).astype(np.float64)
        return self._position_sizes(self.algorithm.all_positions())

    def _position_sizes(self, positions: Any) -> Floats:
        return self._sizes[positions] if self._setting.timeline is not None else self.algorithm.batch_sizes(positions)

    def _room(self, batches: str | int) -> int:
        return self.algorithm.problem.n if isinstance(batches, str) else int(self._position_sizes(np.array([batches]))[0])

    @property
    def _every_position(self) -> Floats:
        return np.arange(self._sizes.size, dtype=np.float64)

    @cached_property
    def components(self) -> Components:
        """The components of the privacy curve."""
        scheduled = self._setting.timeline is not None
        last = self.algorithm.steps_per_epoch - 1
        if self.batches == RESHUFFLE:
            return Reshuffled(self.group_size)
        if isinstance(self.batches, int):
            if self.group_size == 1:
                return OnePoint(np.array([float(self.batches)]), np.ones(1))
            return Placed(np.where(self._every_position == self.batches, float(self.group_size), 0.0))
        if isinstance(self.batches, tuple):
            return Placed(np.array(self.batches, dtype=np.float64))
        if self.batches == WORST:
            if self.group_size > 1:
                size = self.group_size
                return WorstSum(self._sizes, size) if scheduled else Placed(self._fullest())
            # Later batches are contracted less before release, and a shorter last batch weighs its points more.
            return OnePoint(self._every_position if scheduled else np.array([float(last)]), np.ones(1), worst=scheduled)
        unused = 0.0 if scheduled else float(self.algorithm.dropped_points)
        if self.group_size == 1:
            sizes = np.append(self._sizes, unused) if unused else self._sizes
            return OnePoint(self._every_position, sizes, whole=self.algorithm.problem.n)
        if not unused and placement_count(self._sizes.size, self.group_size) <= MOST_PLACEMENTS:
            return EveryPlacement(*every_placement(self._sizes, self.group_size))
        return RandomGroup(self._sizes, self.group_size, unused)

    def _fullest(self) -> Floats:
        """The worst placement of the group: the last batch is filled first, then the one before it."""
        return worst_counts(self._every_position, self._sizes, min(self.group_size, int(self._sizes.sum())))

    def _judged(self, query: Query) -> Floats | None:
        """Points per batch that tightness is about: as placed, or the worst; None where that is not one placement."""
        if query.setting.given_distance:
            return np.ones(1)
        components = self.components
        if isinstance(components, Placed):
            return components.counts
        if self.batches == RESHUFFLE or self.kind != "gdp":
            return None
        if self.group_size > 1:
            return None if self._setting.timeline is not None else self._fullest()
        counts = np.zeros(self._sizes.size)
        where = counts.size - 1 if not isinstance(self.batches, int) else self.batches
        if self._setting.timeline is not None and not isinstance(self.batches, int):
            addends = self._bound.log_addend(query.setting, self._every_position, query.steps[None], np.zeros(1))
            where = int(addends[0].argmax())
        counts[where] = 1.0
        return counts

    def _query(self, epochs: ArrayLike | None, steps: ArrayLike | None, start_distance: ArrayLike | None) -> Query:
        return self._ask(self._steps(epochs, steps), start_distance)

    def _ask(self, steps: Floats, start_distance: ArrayLike | None) -> Query:
        start = self._start(start_distance)
        if start_distance is None:
            self.check()
            return Query(self._bound, self._setting, self.components, steps, start)
        # A given distance is one number, whatever the position was.
        one = OnePoint(np.array([float(self.algorithm.steps_per_epoch - 1)]), np.ones(1))
        return Query(self._bound, replace(self._setting, given_distance=True), one, steps, start)

    def _steps(self, epochs: ArrayLike | None, steps: ArrayLike | None) -> Floats:
        per_epoch, before = self.steps_per_epoch, self.scheduled_steps
        if self._timeline is not None and not self._timeline.open:
            if epochs is not None or steps is not None:
                raise InputError("epochs and steps must not be given: the schedule says how long unlearning is")
            if before < self._bound.minimum_steps:
                raise InputError(
                    f"the schedule must have at least 1 unlearning step for bound={self.bound}, which says nothing without "
                    "unlearning, got 0"
                )
            return np.asarray(float(before))
        if steps is not None and epochs is None:
            count = numbers("steps", steps, at_least=0, at_most=MAX_COUNT, whole=True)
        elif epochs is not None and steps is None:
            count = per_epoch * numbers("epochs", epochs, at_least=0, at_most=MAX_COUNT // per_epoch, whole=True)
        else:
            given = "both" if epochs is not None else "neither"
            raise InputError(f"give either epochs or steps (0 is allowed), got {given}")
        if not np.all(count >= self._bound.minimum_steps):
            name = "steps" if steps is not None else "epochs"
            raise InputError(
                f"{name} must be at least 1 for bound={self.bound}, which says nothing without unlearning, got 0; "
                "bound=optimal answers"
            )
        return count + before

    def _start(self, start_distance: ArrayLike | None) -> Floats:
        if start_distance is None:
            return np.zeros(())
        if self._setting.timeline is not None:
            raise InputError("start_distance needs a constant algorithm without schedule")
        if isinstance(self.reference, int):
            raise InputError(
                f"start_distance needs a reference that runs alongside unlearning, matched or converged, got reference="
                f"{self.reference}"
            )
        return np.minimum(numbers("start_distance", start_distance, at_least=0, sized=True), self.algorithm.diameter)

    def _sigma(self, sigma: ArrayLike) -> Floats:
        return numbers("sigma", sigma, above=0, sized=True)

    def _epsilon(self, epsilon: ArrayLike) -> Floats:
        return numbers("epsilon", epsilon, at_least=0, at_most=MAX_EPSILON, sized=True)

    def _delta(self, delta: ArrayLike | None) -> Floats:
        return numbers("delta", self.default_delta if delta is None else delta, above=0, below=1, sized=True)

    @property
    def default_delta(self) -> float:
        """1/n; InputError for n = 1, where that is no probability below one."""
        if self.algorithm.problem.n == 1:
            raise InputError("delta must be given for n = 1: the default 1/n would be 1")
        return 1 / self.algorithm.problem.n

    def _count(
        self,
        unit: str,
        stride: int,
        fewest: ArrayLike,
        sigma: ArrayLike,
        epsilon: ArrayLike,
        delta: ArrayLike | None,
        start_distance: ArrayLike | None,
        extra: int = 0,
        most: ArrayLike | None = None,
    ) -> Any:
        """Smallest k from ``fewest`` to ``most`` such that stride * k + extra steps meet the target; monotone in between."""
        if self._timeline is not None and not self._timeline.open:
            raise InputError(f"the schedule must end with an open unlearn phase to ask for {unit}")
        before = self.scheduled_steps
        query = self._ask(np.asarray(fewest, dtype=np.float64), start_distance)
        highest = np.asarray((MAX_COUNT - extra - before) // stride if most is None else most, dtype=np.float64)

        def block(low: Floats, start: Floats, high: Floats, noise: Floats, e: Floats, d: Floats) -> Floats:
            log_delta = np.log(d)

            def each(count: Floats, rows: NDArray[np.intp], ask: Callable[..., Floats]) -> Floats:
                """``ask(mixture, log_mu, rows)`` where one mixture serves all the rows that it is asked about."""
                asked = Query(self._bound, query.setting, query.components, stride * count + extra + before, start[rows])

                def answer(n: Floats, z: Floats, at: Floats) -> Floats:
                    some = at.astype(np.intp)
                    mixture = asked.mixture(n, z)
                    return ask(mixture, mixture.log_mu(noise[some]), some)

                return asked.solve(answer, rows.astype(np.float64))

            def meets(mixture: Mixture, log_mu: Floats, rows: NDArray[np.intp]) -> Floats:
                # No noise after the last difference: nothing is guaranteed, which is an answer here and no error.
                finite = log_mu.max(axis=1) < 345
                met = np.zeros(rows.size)
                if finite.any():
                    some = rows[finite]
                    met[finite] = mixture.curve.meets(e[some], log_delta[some], mixture.log_weights, log_mu[finite])
                return met

            def holds(count: Floats, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
                return each(count, rows, meets) > 0

            def reached(mixture: Mixture, log_mu: Floats, rows: NDArray[np.intp]) -> Floats:
                return mixture.curve.epsilon(log_delta[rows], mixture.log_weights, log_mu)

            count = smallest_count(holds, low=low, high=high)
            if np.isinf(count).any():
                row = np.array([int(np.argmax(np.isinf(count)))])
                limit = float(each(high[row], row, reached)[0])
                raise UnreachableError(
                    f"no number of {unit} up to {high[row[0]]:.0f} reaches epsilon={e[row[0]]:g} at delta={d[row[0]]:g} with "
                    f"sigma={noise[row[0]]:g}: {self._limit(limit, query.curve)}"
                )
            return count

        # The search itself asks for one number of steps after the other.
        asked = (highest, self._sigma(sigma), self._epsilon(epsilon), self._delta(delta))
        counts = in_blocks(block, query.steps, query.start, *asked, width=query.components.width)
        return int(counts) if np.ndim(counts) == 0 else counts.astype(np.int64)

    def _limit(self, epsilon: float, curve: Curve) -> str:
        stays = f"epsilon stays at {epsilon:.4g} however long unlearning runs"
        if isinstance(self.reference, int):
            return f"{stays}, because retraining for {self.reference} epochs still remembers where it started"
        if curve.kind == "not-converged":
            learned = self.algorithm.learn_epochs
            return f"{stays}, because in this bound learning for {learned} epochs still remembers where it started"
        if self.algorithm.log_contraction == 0:
            return f"{stays}, because without strong convexity (contraction 1) it falls only as 1/sqrt(steps)"
        return stays

    def _statement(self, sigma: float, steps: int) -> str:
        return (
            f"After {steps} unlearning steps with noise sigma={shown(sigma)}, the unlearned model is indistinguishable from a "
            f"retrained one, up to the curve given here ({self.bound} bound, batches {self.batches}, reference "
            f"{self.reference})."
        )
