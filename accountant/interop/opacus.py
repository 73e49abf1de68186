"""Hidden-state accounting in Opacus: what the last iterate of DP-SGD reveals (the extra ``opacus``).

    from accountant.interop.opacus import register
    register(PNSGD(problem, batch_size, step_size=learning_rate, assignment="poisson"))
    engine = PrivacyEngine(accountant="hidden-state")
    engine.make_private(..., max_grad_norm=problem.lipschitz)

Without an assignment the batches are cyclic or, with batches="reshuffle", shuffled anew, and make_private needs
poisson_sampling=False.

Opacus adds noise of standard deviation noise_multiplier * max_grad_norm to the sum of a batch's clipped gradients and divides
by its expected batch size; b sigma sqrt(2/eta)/M is that multiplier in the accountant's words (docs/guides/interop-opacus.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, ClassVar, Final

import numpy as np

from accountant.averaging import SampledVisits
from accountant.curves import MAX_MU, Guarantee, mixture_epsilon
from accountant.numerics import InputError, MissingExtraError, UnreachableError, integer, number, shown
from accountant.problem import PNSGD, POISSON, RANDOM, RESHUFFLE, WORST, Learn, Schedule
from accountant.questions import UnlearningAccountant

try:
    from opacus.accountants import IAccountant, register_accountant, registry
    from opacus.optimizers import DPOptimizer

    from accountant.interop.opacus_checks import as_run, check_loader, check_optimizer, make_private_call
except ModuleNotFoundError as error:
    raise MissingExtraError("accountant.interop.opacus", error.name or "opacus", "opacus") from None

#: The name under which Opacus finds the accountant.
NAME: Final = "hidden-state"
#: A multiplier is taken for so much less, relatively, which covers every rounding between Opacus's numbers and ours.
_MARGIN: Final = 1e-12
#: Opacus's own sample rate is 1/len(data_loader); anything further from 1/J than its rounding is another rate.
_RATE_ROUNDING: Final = 1e-9
#: Stretches of one noise multiplier that are followed as such, however long; more of them are followed step by step.
_FEW_PHASES: Final = 4
_MOST_STEPS: Final = 100_000
#: Entries of a history: noise multiplier, sample rate, steps.
History = list[tuple[float, float, int]]


class HiddenStateAccountant(IAccountant):
    """Differential privacy of the last iterate alone, for convex losses; cyclic, reshuffled or Poisson-sampled batches.

    What Opacus creates by name; :func:`register` says the problem and the algorithm, without which nothing is proved and
    everything is refused. The guarantee is that of ``UnlearningAccountant`` without unlearning (N = 0), for the model after the
    last recorded step: models published on the way are outside of it. ``history`` is Opacus's list of
    (noise multiplier, sample rate, steps); no query changes it. Raises InputError.

    Source: shifted interpolation, Bok, Su & Altschuler 2024 (arXiv 2403.00278), with optimal shifts.
    """

    #: What register() sets on a subclass.
    _name: ClassVar[str] = NAME
    _given: ClassVar[PNSGD | None] = None
    _batches: ClassVar[str | int] = ""

    def __init__(self) -> None:
        self.history: History = []
        if self._given is None:
            raise InputError(
                f"{self._name} does not know the problem: call accountant.interop.opacus.register(PNSGD(...), batches=...) "
                "before naming the accountant"
            )
        self._algorithm = as_run(self._given)
        self._parameters: list[Any] = []

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies know their settings, and not the parameters of the model that is being trained."""
        state = self.__dict__ | {"_parameters": [], "history": list(self.history)}
        return _restored, (self._name, self._given, self._batches), state

    @classmethod
    def mechanism(cls) -> str:
        """The name it is registered under."""
        return cls._name

    def __len__(self) -> int:
        """Optimization steps so far."""
        return sum(steps for _, _, steps in self._entries())

    def step(self, *, noise_multiplier: float, sample_rate: float) -> None:
        """One more step. noise_multiplier > 0; sample_rate = 1/J, as every batch is one of the J of an epoch."""
        noise, rate = self._noise(noise_multiplier), self._rate(sample_rate)
        if self.history and tuple(self.history[-1][:2]) == (noise, rate):
            self.history[-1] = (noise, rate, self.history[-1][2] + 1)
        else:
            self.history.append((noise, rate, 1))

    def get_epsilon(self, delta: float, *args: object, **kwargs: object) -> float:
        """Smallest epsilon proven at ``delta`` in (0, 1) for the model after the last step, rounded up; 0 before the first."""
        if args or kwargs:
            raise InputError(f"get_epsilon takes delta only, got {[*args, *kwargs]}")
        probability = number("delta", delta, above=0, below=1)
        entries = self._entries()
        if not entries:
            return 0.0
        first = entries[0][0]
        question = self._question(entries)
        unit = _unit_curve(*question)
        mu = unit.values / first * (1 + _MARGIN)
        if not mu.max() <= MAX_MU:
            raise UnreachableError(f"noise_multiplier = {shown(first)} is so small that nothing is guaranteed")
        if self._algorithm.assignment == POISSON:
            return _poisson_epsilon(unit, (1 + _MARGIN) / first, probability)
        return float(mixture_epsilon(delta=probability, weights=unit.weights, mu=mu))

    def guarantee(self) -> Guarantee:
        """The whole privacy curve after the last step, with what it rests on."""
        entries = self._entries()
        if not entries:
            raise InputError("guarantee needs a step, got an empty history")
        sigma = self.sigma(entries[0][0]) * (1 - _MARGIN)
        return _guarantee(*self._question(entries), sigma=sigma)

    def sigma(self, noise_multiplier: float) -> float:
        """The sigma of ``PNSGD`` that a noise multiplier amounts to: noise_multiplier M sqrt(eta/2)/b."""
        return self._noise(noise_multiplier) / self._algorithm.noise_multiplier(1.0)

    def noise_multiplier(self, sigma: float) -> float:
        """The noise multiplier that a sigma > 0 of ``PNSGD`` amounts to: b sigma sqrt(2/eta)/M."""
        return self._algorithm.noise_multiplier(number("sigma", sigma, above=0))

    def get_optimizer_hook_fn(self, sample_rate: float) -> Callable[[DPOptimizer], None]:
        """What DPOptimizer calls in every step, before the model changes.

        Called by ``PrivacyEngine.make_private``, whose data loader and optimizer are checked at once; so is whether it samples
        as the algorithm says. The optimizer and the batch are checked in every step. A refused step is not taken.
        """
        if registry._ACCOUNTANTS.get(self._name) is not type(self):
            raise InputError(f"name {self._name!r} was registered anew after this accountant was made: make another one")
        given = self._given
        assert given is not None
        call = make_private_call()
        if call is not None:
            check_loader(call["data_loader"], self._algorithm, self._batches, call)
            check_optimizer(call["optimizer"], given, self._algorithm)
        self._rate(sample_rate)

        def hook(optimizer: DPOptimizer) -> None:
            check_optimizer(optimizer, given, self._algorithm)
            self._check_run(optimizer.params)
            points = len(optimizer.grad_samples[0])
            if self._algorithm.assignment != POISSON and points != self._algorithm.batch_size:
                raise InputError(
                    f"every step must be on one whole batch of {self._algorithm.batch_size} points, got {points}: what samples "
                    "by chance must be registered so, and BatchMemoryManager and gradient accumulation are not accounted for"
                )
            self.step(noise_multiplier=optimizer.noise_multiplier, sample_rate=sample_rate * optimizer.accumulated_iterations)

        return hook

    def state_dict(self, destination: dict[str, object] | None = None) -> dict[str, object]:
        """Opacus's keys ``history`` and ``mechanism``, and ``settings``: everything that epsilon depends on, as JSON types."""
        state: dict[str, object] = super().state_dict(destination)
        state["settings"] = self._settings()
        return state

    def load_state_dict(self, state_dict: Mapping[str, object]) -> None:
        """Take over a history; InputError if it belongs to other settings or is none."""
        own = self._settings()
        if isinstance(state_dict, Mapping) and state_dict.get("settings", own) != own:
            raise InputError(f"state_dict must be of these settings: {own}, got {state_dict['settings']}")
        if isinstance(state_dict, Mapping) and state_dict and "settings" not in state_dict:
            raise InputError("state_dict must have the key settings, as hidden-state accountants write it")
        before = self.history
        super().load_state_dict(state_dict)
        try:
            self.history = self._entries()
        except InputError:
            self.history = before
            raise

    # --- below: checks, and how a history becomes a question

    def _settings(self) -> dict[str, object]:
        assert self._given is not None
        return {"problem": self._given.problem.to_dict(), "algorithm": self._given.to_dict(), "batches": self._batches}

    def _noise(self, value: object) -> float:
        return number("noise_multiplier", value, above=0)

    def _rate(self, value: object) -> float:
        per_epoch = self._algorithm.steps_per_epoch
        rate = number("sample_rate", value, above=0)
        if abs(rate * per_epoch - 1) > _RATE_ROUNDING:
            raise InputError(f"sample_rate must be 1/{per_epoch}, one batch of an epoch, got {shown(rate)}")
        return rate

    def _entries(self) -> History:
        """The history, checked, without empty entries: Opacus and its users set it, too."""
        entries: History = []
        for entry in self.history:
            if not isinstance(entry, (tuple, list)) or len(entry) != 3:
                raise InputError(f"history must be a list of (noise_multiplier, sample_rate, steps), got {entry!r}")
            entries.append((self._noise(entry[0]), self._rate(entry[1]), integer("steps", entry[2], at_least=0)))
        return [entry for entry in entries if entry[2]]

    def _question(self, entries: History) -> tuple[PNSGD, str | int, tuple[tuple[float, int], ...]]:
        first = entries[0][0]
        phases: list[tuple[float, int]] = []
        for noise, _, steps in entries:
            ratio = noise / first
            if phases and phases[-1][0] == ratio:
                steps += phases.pop()[1]
            phases.append((ratio, steps))
        return self._algorithm, self._batches, tuple(phases)

    def _check_run(self, parameters: list[Any]) -> None:
        """One accountant is one run: a second model is a second release, and no longer training of the first."""
        if not self._parameters:
            self._parameters = parameters
        same = len(parameters) == len(self._parameters)
        if not same or any(a is not b for a, b in zip(parameters, self._parameters, strict=True)):
            raise InputError("the optimizer must train the model of the earlier steps: another one needs its own PrivacyEngine")


def register(
    algorithm: PNSGD, *, batches: str | int = "random", name: str = NAME, replace: bool = False
) -> type[HiddenStateAccountant]:
    """Say what ``PrivacyEngine(accountant=name)`` and ``get_noise_multiplier(accountant=name)`` account for.

    algorithm: the problem (its ``lipschitz`` is Opacus's max_grad_norm, its ``strong_convexity`` and ``smoothness`` count the
        weight decay), the batch size and the learning rate as ``step_size``. The history says how long learning is, so
        ``learn_epochs`` must be left out; the batches must have one size: a batch size that divides n, or last_batch="drop"
        with drop_last=True. ``assignment="poisson"`` is for make_private(..., poisson_sampling=True): every record is in every
        step with probability 1/J by itself, J = ceil(n/b), adjacency "remove" or "replace", and all strong convexity must be
        the weight decay's; batches too large for a step to contract cost delta. A ``radius`` is for loops that project on the
        ball after every step, which nothing here can check.
    batches: "random" (shuffle=False on data in random order, averaged over that order), "worst" (shuffle=False, any order), the
        position of the point's batch, or "reshuffle" (shuffle=True; whole epochs at one noise multiplier only). With Poisson
        sampling "random" (averaged over the record's own draws) or "worst" (as if it were in every step).
    name: another name for another problem. replace: take the name from other settings.

    Returns the registered class. Raises InputError for settings that are refused, and for a name that has other settings.
    """
    if not isinstance(algorithm, PNSGD):
        raise InputError(f"algorithm must be a PNSGD, got {algorithm!r}")
    if algorithm.public_share:
        raise InputError(
            f"public_share must be left out for opacus, whose loaders draw from all records, got {algorithm.public_share}"
        )
    if algorithm.norm_class < 1:
        raise InputError(
            f"norm_class must be left out for opacus, which clips all records at one norm, got {algorithm.norm_class}"
        )
    if algorithm.learn_epochs is not None:
        raise InputError(f"learn_epochs must be left out, as the history says it, got {algorithm.learn_epochs}")
    if not isinstance(name, str) or not name:
        raise InputError(f"name must be text, got {name!r}")
    if isinstance(batches, (list, tuple)):
        raise InputError(f"batches must be random, worst, reshuffle or a position, got {batches!r}")
    if algorithm.assignment == POISSON and batches not in (RANDOM, WORST):
        raise InputError(f"batches must be random or worst with assignment={POISSON}, got {batches!r}")
    placed = _accountant(as_run(algorithm), batches, ((1.0, as_run(algorithm).steps_per_epoch),)).batches
    assert not isinstance(placed, tuple)
    known = registry._ACCOUNTANTS.get(name, HiddenStateAccountant)
    own = issubclass(known, HiddenStateAccountant)
    if own and (known._given, known._batches) == (algorithm, placed):
        return known
    if not replace and known is not HiddenStateAccountant:
        raise InputError(f"name {name!r} is registered with other settings: give another name, or replace=True")
    configured = _configured(name, algorithm, placed)
    register_accountant(name, configured, force=True)
    return configured


@lru_cache(maxsize=64)
def _configured(name: str, algorithm: PNSGD | None, batches: str | int) -> type[HiddenStateAccountant]:
    """The class of these settings, the same one for the same settings."""
    if algorithm is None:
        return HiddenStateAccountant
    settings = {"_name": name, "_given": algorithm, "_batches": batches}
    return type(HiddenStateAccountant.__name__, (HiddenStateAccountant,), settings)


def _restored(name: str, algorithm: PNSGD | None, batches: str | int) -> HiddenStateAccountant:
    """An accountant of these settings without history, for copies and pickles: what is registered may have changed since."""
    kind = _configured(name, algorithm, batches)
    return kind.__new__(kind)


@lru_cache(maxsize=16)
def _accountant(algorithm: PNSGD, batches: str | int, phases: tuple[tuple[float, int], ...]) -> UnlearningAccountant:
    """The accountant of so many steps of learning at such relative noise."""
    per_epoch = algorithm.steps_per_epoch
    epochs, left = divmod(phases[0][1], per_epoch)
    if algorithm.assignment == POISSON:
        if len(phases) > 1:
            raise InputError(f"assignment={POISSON} is answered at one noise multiplier, got {len(phases)}")
        # Visits that were not there cost too much at most; the answers count those that were.
        return UnlearningAccountant(replace(algorithm, learn_epochs=epochs + bool(left)), batches=batches)
    if len(phases) == 1 and not left and epochs:
        return UnlearningAccountant(replace(algorithm, learn_epochs=epochs), batches=batches)
    total = sum(steps for _, steps in phases)
    if batches == RESHUFFLE:
        raise InputError(
            f"batches=reshuffle is answered after whole epochs of {per_epoch} steps at one noise multiplier, "
            f"got {total} steps at {len(phases)}"
        )
    if len(phases) <= _FEW_PHASES:
        schedule = Schedule([Learn(steps=steps, sigma=ratio) for ratio, steps in phases])
    elif total <= _MOST_STEPS:
        ratios, lengths = zip(*phases, strict=True)
        schedule = Schedule([Learn(steps=total, sigma=tuple(np.repeat(ratios, lengths).tolist()))])
    else:
        raise InputError(
            f"history must have at most {_MOST_STEPS} steps where its noise multiplier changes more than {_FEW_PHASES} times, "
            f"got {total}"
        )
    return UnlearningAccountant(algorithm, batches=batches, schedule=schedule)


def _guarantee(algorithm: PNSGD, batches: str | int, phases: tuple[tuple[float, int], ...], *, sigma: float) -> Guarantee:
    """The curve after so many steps of learning and no unlearning, which a schedule says by itself."""
    accountant = _accountant(algorithm, batches, phases)
    run = accountant.run(sigma=sigma, **({"steps": 0} if accountant.schedule is None else {}))
    visits = run.query.components
    if not isinstance(visits, SampledVisits):
        return run.guarantee
    learned = phases[0][1]
    exact = replace(run, query=replace(run.query, components=replace(visits, learned=learned))).guarantee
    said = f"learning runs {accountant.algorithm.learn_epochs} epochs"
    lines = [f"learning runs {learned} steps" if line == said else line for line in exact.assumptions]
    return replace(exact, assumptions=tuple(lines), context={**exact.context, "learned_steps": learned})


@lru_cache(maxsize=16)
def _unit_curve(algorithm: PNSGD, batches: str | int, phases: tuple[tuple[float, int], ...]) -> Guarantee:
    """The curve at noise multiplier one; every mu is proportional to its inverse."""
    return _guarantee(algorithm, batches, phases, sigma=1 / algorithm.noise_multiplier(1.0))


def _poisson_epsilon(unit: Guarantee, factor: float, delta: float) -> float:
    """epsilon of the same visits with every mu times ``factor``; UnreachableError where nothing of delta is left."""
    stand_in = None if unit.stand_in is None else (unit.stand_in[0], unit.stand_in[1] * factor)
    found = float(replace(unit, values=unit.values * factor, stand_in=stand_in).epsilon(delta))
    if not math.isfinite(found):
        raise UnreachableError(
            f"a batch is too large for its step to contract with a chance of {unit.added:.3g}, which delta = {shown(delta)} "
            "does not pay for: a smaller step_size or a larger batch_size would do"
        )
    return found


register_accountant(NAME, HiddenStateAccountant, force=True)
