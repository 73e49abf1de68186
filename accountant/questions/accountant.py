"""The accountant: sigma, epsilon, delta, epochs and steps of a PNSGD (un)learning run, each from the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack, cast, overload

import numpy as np
from numpy.typing import ArrayLike

from accountant.averaging import Components, Placing
from accountant.bounds import BOUNDS
from accountant.curves import GAUSSIAN, Guarantee, Mixture
from accountant.numerics import MAX_COUNT, Floats, InputError, choice, number, plain
from accountant.problem import PNSGD, RESHUFFLE, Batches, Number, Schedule, Stepping
from accountant.questions.answering import Answering
from accountant.questions.asking import Asking
from accountant.questions.length import Length
from accountant.questions.outcome import UNKNOWNS, Outcome, Unknown, described
from accountant.questions.question import Arrays, Question, Refusals, Scalars
from accountant.questions.setup import Setup


class UnlearningAccountant(Answering[Outcome]):
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

    _asking: Asking

    def __new__(cls, algorithm: PNSGD | Stepping | None = None, *_: Any, **options: Any) -> UnlearningAccountant:
        """The accountant of that kind of algorithm: :class:`StepAccountant` for steps that both runs share."""
        if isinstance(algorithm, Stepping):
            # Strings and blocks of common steps, which questions about noisy SGD need not load.
            from accountant.questions.step_accountant import StepAccountant

            return cast(UnlearningAccountant, StepAccountant(algorithm, **options))
        return super().__new__(cls)

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
        size = 1 if group_size is None else group_size
        setup = Setup(algorithm, batches=cast(Batches, batches), reference=reference, group_size=size, schedule=schedule)
        self._settle(setup, bound, setup.batches, group_size)

    @classmethod
    def of(cls, setup: Setup, *, bound: str = "optimal") -> UnlearningAccountant:
        """The accountant that answers about a setup under a bound."""
        accountant = cls.__new__(cls)
        accountant._settle(setup, bound, setup.batches, setup.group_size)
        return accountant

    def beside(self, bound: str) -> UnlearningAccountant:
        """The accountant of another bound for the same setup, with that bound's own batches."""
        accountant = UnlearningAccountant.__new__(UnlearningAccountant)
        accountant._settle(self.setup, bound, None, self.group_size)
        return accountant

    def _settle(self, setup: Setup, bound: str, batches: Batches | None, group_size: int | None) -> None:
        """Set what a constructor says, once."""
        proved_by = BOUNDS[choice("bound", bound, BOUNDS)]
        self.setup, self.setting, self.length = setup, setup.setting, Length(setup, proved_by)
        self.algorithm, self.schedule, self.reference = setup.setting.algorithm, setup.schedule, setup.reference
        self.placing = Placing.of(proved_by, setup.setting, batches, group_size)
        self.batches, self.group_size = self.placing.batches, self.placing.group_size
        # A given distance replaces learning, so a setting may be refused without one and allowed with it.
        refusal: InputError | None = None
        try:
            proved_by.check(self.setting)
            self.placing.check()
        except InputError as error:
            refusal = error
        self._asking = Asking(self.placing, self.length, refusal)
        self._complete = True

    def __setattr__(self, name: str, value: object) -> None:
        """Settings are fixed: results are remembered for them."""
        if getattr(self, "_complete", False):
            raise AttributeError(f"an UnlearningAccountant cannot be changed; with_({name}=...) gives another one")
        super().__setattr__(name, value)

    def check(self) -> None:
        """Raise InputError, with the reason, if the setting proves nothing."""
        if self._asking.refusal is not None:
            raise self._asking.refusal

    @property
    def bound(self) -> str:
        """The name of the bound."""
        return self.placing.bound.name

    def with_(self, **changes: Any) -> UnlearningAccountant:
        """The same accountant with other arguments of the constructor; a new bound brings its default batches."""
        kept: dict[str, Any] = {name: getattr(self, name) for name in ("bound", "reference", "group_size", "schedule")}
        if "bound" not in changes and not ("group_size" in changes and isinstance(self.batches, tuple)):
            kept["batches"] = self.batches
        if np.ndim(changes.get("batches", 0)) == 1:
            del kept["group_size"]
        return UnlearningAccountant(self.setup.algorithm, **(kept | changes))

    def __repr__(self) -> str:
        words = f"bound={self.bound!r}, batches={self.batches!r}, reference={self.reference!r}"
        if self.group_size > 1:
            words += f", group_size={self.group_size}"
        if self.schedule is not None:
            words += f", schedule={self.schedule!r}"
        return f"UnlearningAccountant({self.algorithm!r}, {words})"

    def ask(
        self, unknown: Unknown, *, sigma: ArrayLike | None = None, epsilon: ArrayLike | None = None,
        delta: ArrayLike | None = None, epochs: ArrayLike | None = None, steps: ArrayLike | None = None,
        start_distance: ArrayLike | None = None,
    ) -> Outcome:  # fmt: skip
        """The unknown from the others: rows that have no answer are refused in the :class:`Outcome`, and nothing is raised.

        InputError only where there is no question: a setting that proves nothing, or arguments that are no numbers.

        >>> from accountant import preset
        >>> outcome = UnlearningAccountant(PNSGD(preset("mnist"), 128)).ask("sigma", epsilon=1.0, epochs=1)
        >>> f"{outcome.sigma:.6g}, {outcome.steps:.0f} steps, {outcome.gradient_evaluations} gradients"
        '0.000305181, 88 steps, 11264 gradients'
        """
        choice("unknown", unknown, UNKNOWNS)
        asked = Question(sigma=sigma, epsilon=epsilon, delta=delta, epochs=epochs, steps=steps, start_distance=start_distance)
        refused = Refusals(raising=False)
        admitted = asked.admitted(refused, most_epochs=MAX_COUNT // self.length.steps_per_epoch)
        return self._asking.ask(unknown, admitted, refused)

    @overload
    def rdp(self, *, alpha: float, sigma: float, **rest: Unpack[Scalars]) -> float: ...
    @overload
    def rdp(self, *, alpha: ArrayLike, sigma: ArrayLike, **rest: Unpack[Arrays]) -> Floats: ...
    def rdp(
        self, *, alpha: ArrayLike, sigma: ArrayLike,
        epochs: ArrayLike | None = None, steps: ArrayLike | None = None, start_distance: ArrayLike | None = None,
    ) -> float | Floats:  # fmt: skip
        """Bound on both Rényi divergences of order ``alpha`` > 1 after unlearning, rounded up."""
        return self.run(sigma=sigma, epochs=epochs, steps=steps, start_distance=start_distance).rdp(alpha)

    def gdp(
        self, *, sigma: ArrayLike,
        epochs: ArrayLike | None = None, steps: ArrayLike | None = None, start_distance: ArrayLike | None = None,
    ) -> Floats:  # fmt: skip
        """mu of one point in every batch position 0 ... J-1 (cell, for a schedule), whatever ``batches`` is; shape (..., J)."""
        if self.algorithm.own_draws:
            raise InputError(f"gdp is about the batches of a partition, got assignment={self.algorithm.assignment}")
        if self.kind not in GAUSSIAN:
            raise InputError(f"bound must be optimal for gdp, got {self.bound}, which proves Renyi divergences only")
        if self.group_size > 1 or self.batches == RESHUFFLE:
            raise InputError(f"gdp is about one point in fixed batches, got {self!r}")
        return self.run(sigma=sigma, epochs=epochs, steps=steps, start_distance=start_distance).gdp

    def run(
        self, *, sigma: ArrayLike | None = None,
        epochs: ArrayLike | None = None, steps: ArrayLike | None = None, start_distance: ArrayLike | None = None,
    ) -> Outcome:  # fmt: skip
        """A run of a given length, at the noise ``sigma`` where one is given: what follows from it."""
        asked = Question(sigma=sigma, epochs=epochs, steps=steps, start_distance=start_distance)
        strictly = Refusals(raising=True)
        query = self._asking.query(self._asking.total(asked, strictly), start_distance)
        if sigma is not None:
            self._asking.check_share(query, asked.number("sigma"), strictly)
        return self._asking.outcome(
            query, asked, strictly, **({} if sigma is None else {"sigma": plain(asked.number("sigma"))})
        )

    def guarantee(
        self, *, sigma: float, epochs: int | None = None, steps: int | None = None, start_distance: float | None = None
    ) -> Guarantee:
        """The whole privacy curve after unlearning, with what it rests on (scalars only)."""
        noise = number("sigma", sigma, above=0)
        return self.run(sigma=noise, epochs=epochs, steps=steps, start_distance=start_distance).guarantee

    def averaging(self, *, epochs: int | None = None, steps: int | None = None) -> str:
        """How the average over placements is found: "exact", or the name of the upper bound (scalars only)."""
        return self.run(epochs=epochs, steps=steps).averaging

    def tightness(
        self, *, epochs: int | None = None, steps: int | None = None, start_distance: float | None = None
    ) -> float | None:
        """mu/mu_exact at the worst position: 1 means that two Gaussian runs attain the bound.

        Then, without projection, no valid bound is smaller. None for the published bounds, which prove no mu, where the radius
        binds and for reshuffled batches, where no exact case is known.
        """
        return self.run(epochs=epochs, steps=steps, start_distance=start_distance).tightness

    def gradient_evaluations(self, *, epochs: int | None = None, steps: int | None = None) -> int:
        """Per-sample gradients that unlearning computes: the sum of the batch sizes of its steps (scalars only)."""
        return self.length.gradient_evaluations(self.step_count(epochs=epochs, steps=steps))

    def step_count(self, *, epochs: int | None = None, steps: int | None = None) -> int:
        """The number of unlearning steps that one of the two leads to, those of the schedule included (scalars only)."""
        count = self._asking.total(Question(epochs=epochs, steps=steps), Refusals(raising=True))
        if count.ndim:
            raise InputError("step_count takes single numbers; epochs and steps must not be arrays")
        return int(count)

    def components_at(
        self, number: Number, *, epochs: int | None = None, steps: int | None = None, start_distance: float | None = None
    ) -> Mixture:
        """The components of the privacy curve at sigma = 1 as numbers of any arithmetic (scalars only), one row.

        InputError where the average over placements is bounded on a grid, which more digits do not make finer.
        """
        return self.run(epochs=epochs, steps=steps, start_distance=start_distance).components_in(number)

    def assumptions(self, *, given_distance: bool = False) -> tuple[str, ...]:
        """What the guarantee rests on, a sentence each."""
        return self.placing.assumptions(given_distance=given_distance)

    def to_dict(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types."""
        return described(self.placing, self.schedule)

    @property
    def components(self) -> Components:
        """The components of the privacy curve."""
        return self.placing.components

    @property
    def minimum_steps(self) -> int:
        """Fewest unlearning steps about which the bound says anything."""
        return self.placing.bound.minimum_steps

    @property
    def kind(self) -> str:
        """What the bound proves: "gdp", or a Rényi family."""
        return self.placing.bound.curve(self.setting).kind

    @property
    def starts_apart(self) -> bool:
        """Whether retraining starts elsewhere than learning did, anywhere in the ball."""
        return self.setting.starts_apart

    @property
    def constant(self) -> bool:
        """Whether there is no schedule, or one that changes nothing and says nothing of unlearning."""
        return self.length.constant

    @property
    def scheduled_steps(self) -> int:
        """Unlearning steps that the schedule itself says."""
        return self.length.scheduled_steps

    @property
    def counts_epochs(self) -> bool:
        """Whether all unlearning has one batch size, so that its steps make epochs."""
        return self.length.counts_epochs

    @property
    def steps_per_epoch(self) -> int:
        """J of the unlearning epochs that are counted."""
        return self.length.steps_per_epoch

    @property
    def default_delta(self) -> float:
        """1/n; InputError for n = 1, where that is no probability below one."""
        return self.setup.default_delta
