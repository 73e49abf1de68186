"""The methods side by side at one guarantee: noise, steps, cost and accuracy, for one request, a group, or a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from accountant.methods.base import FullBatch, Method, Setup
from accountant.methods.langevin import accumulated_std
from accountant.methods.names import METHODS
from accountant.methods.pnsgd import BoundMethod
from accountant.numerics import InputError, Progress, choice, integer, number
from accountant.problem import PRESETS, PUBLISHED_RADIUS, default_retrain_epochs
from accountant.requests import UNITS
from accountant.tables import reported_accuracy

#: Methods compared unless others are asked for; the authors' accounting is the published bound for one request.
SINGLE: Final = tuple(name for name in METHODS if name != "pnsgd")
STREAMS: Final = tuple(name for name in METHODS if name not in ("dp", "not-converged"))


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What one method takes for one request at (epsilon, delta). None: it says nothing, for the ``reason``, or is not known.

    sigma is the method's own (``noise`` says what it is); released_std is the standard deviation of all the noise in the
    released model, per coordinate and at most, which can be compared. relative: gradient evaluations over those of one
    retraining. accuracy: mean and standard deviation reported for MNIST at (nearly) this noise.
    """

    method: str
    title: str
    proves: str
    source: str
    noise: str
    batch_size: int
    sigma: float | None
    released_std: float | None
    epochs: float | None
    steps: int | None
    gradient_evaluations: int | None
    relative: float | None
    accuracy: tuple[float, float] | None
    reason: str | None
    assumptions: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON types."""
        return asdict(self) | {
            "accuracy": None if self.accuracy is None else list(self.accuracy), "assumptions": list(self.assumptions)
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ComparedStream:
    """What one method takes for a stream of requests at one noise. None as above."""

    method: str
    title: str
    batch_size: int
    sigma: float | None
    released_std: float | None
    #: Gradient evaluations and epochs up to every request.
    gradient_evaluations: tuple[int, ...]
    epochs: tuple[float, ...]
    #: All gradient evaluations over those of a retraining at every request.
    relative: float | None
    reason: str | None

    def to_dict(self) -> dict[str, Any]:
        """JSON types."""
        return asdict(self) | {"gradient_evaluations": list(self.gradient_evaluations), "epochs": list(self.epochs)}


def setup_for(method: Method, setup: Setup) -> Setup:
    """The setup as the method runs it: full batches where it has no others, the published burn-in where it asks for one."""
    if isinstance(method, FullBatch):
        step = setup.step_size if method.family == "pnsgd" else None
        return setup.with_(batch_size=None, step_size=step, radius=None, learn_epochs=None, last_batch="keep", batches=None)
    if method.name == "not-converged" and setup.problem in PRESETS.values():
        learned = setup.learn_epochs or default_retrain_epochs(setup.algorithm)
        return setup.with_(learn_epochs=learned, radius=setup.radius or PUBLISHED_RADIUS)
    return setup


def enclosed_sigma(method: Method, setup: Setup, *, digits: int, epsilon: float, delta: float, epochs: int) -> str | None:
    """sigma of one request to so many digits, rounded up; None for methods with a formula of their own."""
    if not isinstance(method, BoundMethod):
        return None
    own = setup_for(method, setup)
    steps = epochs * method.steps_per_epoch(own)
    return str(method.enclose(own, "sigma", digits=digits, steps=steps, epsilon=epsilon, delta=delta))


def compare(
    setup: Setup,
    *,
    epsilon: float,
    delta: float | None = None,
    epochs: int = 1,
    methods: Iterable[str] = SINGLE,
) -> list[Compared]:
    """Every method at (``epsilon``, ``delta``, default 1/n) with so many epochs, for ``setup.group_size`` points at once."""
    target = number("epsilon", epsilon, at_least=0)
    chance = setup.default_delta if delta is None else number("delta", delta, above=0, below=1)
    count = integer("epochs", epochs, at_least=0)
    return [_one(METHODS[choice("method", name, METHODS)], setup, target, chance, count) for name in methods]


def _one(method: Method, setup: Setup, epsilon: float, delta: float, epochs: int) -> Compared:
    own = setup_for(method, setup)
    known: dict[str, Any] = {"sigma": None, "released_std": None, "accuracy": None, "reason": None}
    assumptions: tuple[str, ...] = ()
    length: float | None = 0.0 if method.name == "dp" else float(epochs)
    per_epoch = method.steps_per_epoch(own)
    retrain = retrain_evaluations(setup)
    steps: int | None = None
    try:
        method.check(own)
        assumptions = method.assumptions(own)
        if method.name == "retrain":
            none = np.zeros(1)
            length = float(method.fewest(own, sigma=none, epsilon=none, delta=none)[0])
        steps = int(length or 0) * per_epoch
        question = {"epsilon": np.array([epsilon]), "delta": np.array([delta]), "steps": np.array([float(steps)])}
        sigma = float(method.sigma(own, **question)[0])
        known["sigma"], known["released_std"] = sigma, method.released_std(own, sigma)
        if setup.problem == PRESETS["mnist"] and setup.group_size == 1:
            size = own.algorithm.batch_size
            place = "full" if size == setup.problem.n else size
            found = reported_accuracy(family=method.family, batch_size=place, sigma=sigma)
            known["accuracy"] = None if found is None else found[1:]
    except InputError as error:
        known["reason"], length, steps = str(error), None, None
    spent = None if steps is None else method.evaluations(own, steps)
    return Compared(
        method=method.name,
        title=method.title,
        proves=method.proves,
        source=method.source,
        noise=method.noise,
        batch_size=int(own.algorithm.batch_size),
        epochs=length,
        steps=steps,
        gradient_evaluations=spent,
        relative=None if spent is None or not retrain else spent / retrain,
        assumptions=assumptions,
        **known,
    )


def retrain_evaluations(setup: Setup) -> int | None:
    """Per-sample gradients of one retraining; None where its epochs are not known."""
    epochs = default_retrain_epochs(setup.algorithm)
    return None if epochs is None else setup.algorithm.gradient_evaluations(epochs * setup.algorithm.steps_per_epoch)


def compare_streams(
    setup: Setup,
    *,
    epsilon: float,
    sigma: float,
    requests: int,
    delta: float | None = None,
    unit: str = "epochs",
    methods: Iterable[str] = STREAMS,
    progress: Progress | None = None,
) -> list[ComparedStream]:
    """``requests`` one after the other, of ``setup.group_size`` points each, with the fewest whole epochs (or steps) each.

    Noisy SGD has noise ``sigma``; the output noise of Descent-to-Delete is the standard deviation that this noise adds up to in
    the model of noisy SGD, so that all release the same noise.
    """
    choice("unit", unit, UNITS)
    target, noise = number("epsilon", epsilon, at_least=0), number("sigma", sigma, above=0)
    chance = setup.default_delta if delta is None else number("delta", delta, above=0, below=1)
    count = integer("requests", requests, at_least=1, at_most=max(setup.problem.n // setup.group_size, 1))
    names = [choice("method", name, METHODS) for name in methods]
    rows = []
    for done, name in enumerate(names):

        def report(part: int, done: int = done) -> None:
            if progress is not None:
                progress(done * count + part, len(names) * count)

        rows.append(_stream(METHODS[name], setup, target, chance, noise, count, unit, report))
    return rows


def _stream(
    method: Method,
    setup: Setup,
    epsilon: float,
    delta: float,
    noise: float,
    count: int,
    unit: str,
    report: Callable[[int], None],
) -> ComparedStream:
    own = setup_for(method, setup)
    spent: list[int] = []
    epochs: list[float] = []
    sigma: float | None = noise
    reason = None
    retrain = retrain_evaluations(setup)
    per_epoch = method.steps_per_epoch(own)
    try:
        method.check(own)
        if method.family == "d2d":
            sigma = accumulated_std(setup, noise)
            if sigma is None:
                raise InputError("the noise of noisy SGD has no limit to compare with, or is beyond 1e300")
        if method.family == "retrain":
            sigma = 0.0
        stream = method.stream(own, sigma=sigma or 0.0, epsilon=epsilon, delta=delta, unit=unit)
        steps = 0
        for request in range(count):
            steps += stream.request(own.group_size) * (per_epoch if unit == "epochs" else 1)
            spent.append(method.evaluations(own, steps))
            epochs.append(steps / per_epoch)
            report(request + 1)
    except InputError as error:
        reason, sigma = str(error), None
    relative = spent[-1] / (retrain * count) if reason is None and retrain else None
    return ComparedStream(
        method=method.name,
        title=method.title,
        batch_size=int(own.algorithm.batch_size),
        sigma=sigma,
        released_std=None if sigma is None else method.released_std(own, sigma),
        gradient_evaluations=tuple(spent),
        epochs=tuple(epochs),
        relative=relative,
        reason=reason,
    )


def noise_curve(
    setup: Setup, *, method: str, epsilon: float, delta: float, epochs: Iterable[int]
) -> tuple[list[int], list[float], list[float | None]]:
    """Epochs, sigma and released standard deviation of a method, for those numbers of epochs that have an answer."""
    made = METHODS[choice("method", method, METHODS)]
    epsilon, delta = number("epsilon", epsilon, at_least=0), number("delta", delta, above=0, below=1)
    own = setup_for(made, setup)
    xs: list[int] = []
    sigmas: list[float] = []
    for count in epochs:
        try:
            made.check(own)
            steps = np.array([float(count * made.steps_per_epoch(own))])
            sigma = float(made.sigma(own, epsilon=np.array([epsilon]), delta=np.array([delta]), steps=steps)[0])
        except InputError:
            continue
        xs.append(count)
        sigmas.append(sigma)
    return xs, sigmas, [made.released_std(own, sigma) for sigma in sigmas]
