"""Certified unlearning of a PyTorch model by noisy fine-tuning on what is retained (the extra ``torch``).

    from accountant.interop.torch import unlearn
    model, guarantee = unlearn(
        model, retained_loader, torch.nn.functional.cross_entropy,
        epsilon=1.0, delta=1e-5, gradient_clip=1.0, start_clip=1.0, steps=100, step_size=0.01,
    )

The parameters are clipped, all together; then come as many steps of plain SGD as planned, each on one batch of the loader,
whose gradient is clipped, all parameters together, and with Gaussian noise on every parameter (docs/guides/interop-torch.md).
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Final

from accountant.curves import Guarantee
from accountant.numerics import InputError, MissingExtraError, Progress, atomic_file, choice, integer, number, shown
from accountant.problem import FineTuning, Schedule, Stages, Unlearn
from accountant.questions import StepAccountant, StepOutcome

try:
    import torch
    from torch import nn

    from accountant.interop import torch_checks as checks
    from accountant.interop.torch_steps import Limits, Parameters, fresh_generator, fresh_global_state
except ModuleNotFoundError as error:
    raise MissingExtraError("accountant.interop.torch", error.name or "torch", "torch") from None

#: Seconds before progress is told, and between two reports.
_PATIENCE: Final = 2.0
_BETWEEN: Final = 0.1
#: What the run takes for granted in addition to the accountant's own assumptions.
_TAKEN: Final = (
    "noise is what torch.Generator makes of numbers of the operating system, in float64, and taken for exact Gaussian noise",
    "step and noise are rounded to float64, which the clipping allows for, and released parameters once to their own format",
    "the loader gives retained records only, in an order that depends on no deleted record; nothing else that was computed "
    "from one enters the loss, the batches or the module's own Python attributes",
    "the model that was given, its optimizer and its checkpoints are not released, nor whether a run was refused on the way",
)


def unlearn(
    model: nn.Module,
    retained_loader: Iterable[Any],
    loss: Callable[..., torch.Tensor],
    *,
    delta: float,
    gradient_clip: float,
    start_clip: float,
    step_size: float,
    steps: int | None = None,
    schedule: Schedule | None = None,
    epsilon: float | None = None,
    sigma: float | None = None,
    weight_decay: float = 0.0,
    model_clip: float | None = None,
    public: Sequence[str] = (),
    buffers: str = checks.REFUSE,
    optimizer: None = None,
    certificate: str | PathLike[str] | None = None,
    progress: Progress | None = None,
) -> tuple[nn.Module, Guarantee]:
    """A new model that has unlearned, and its guarantee; the given one stays as it is, also where InputError is raised.

    model: any module in float32 or float64 on one device, CPU or CUDA, as it was learned on all records. It is copied, and the
        copy is run in the mode, train or eval, that it is in: dropout draws its masks anew and changes nothing about the claim.
    retained_loader: the records that stay, a DataLoader or another iterable that gives batches (inputs, targets), and is begun
        anew when it ends. A DataLoader with shuffle=True draws its order from numbers of the operating system here.
    loss: gives a number for ``loss(model(inputs), targets)``, mean or sum: the gradient of the batch is clipped as a whole.
    epsilon, delta: the target, from which sigma is found; or sigma > 0, one step's standard deviation, and epsilon is told.
    gradient_clip, start_clip: C and C0, for all private parameters together. model_clip: R, every step's model is clipped to
        it after its noise, which needs much less noise. steps, step_size, weight_decay: N, gamma and lambda of FineTuning.
    schedule: of ``Unlearn`` phases, whose step sizes and noise (in units of sigma) change on the way; steps are then those of
        an open last phase, left out where there is none. There is no certificate of one.
    public: names of parameters and buffers that were made without the deleted records (a pretrained backbone): they stay as
        they are. "loss.NAME" names a parameter or buffer of the loss.
    buffers: "refuse" running statistics, or "reset" them and fill them by one pass over the retained data after the last step;
        until then batch norm uses its batches.
    optimizer: must be left out; its state, momentum for example, has seen the deleted records.
    certificate: a file that gets the certificate of (epsilon, delta), written when the run is done (extra ``certify``); where
        it cannot be made or written nothing is run.
    progress: called with steps done and in all, not before two seconds are over, and at the end of a run that takes longer.

    What is done with the result is post-processing, if it uses retained and public data alone: train on without noise and with
    any new optimizer to regain accuracy. Raises InputError for everything that would make the claim wrong and can be seen:
    what else it takes for granted is in ``guarantee.assumptions``.
    """
    algorithm = FineTuning(
        step_size=step_size, gradient_clip=number("gradient_clip", gradient_clip, above=0),
        start_clip=number("start_clip", start_clip, above=0), model_clip=model_clip, weight_decay=weight_decay,
    )  # fmt: skip
    stages = Stages(Schedule([Unlearn()]) if schedule is None else schedule, algorithm)
    count = integer("steps", steps, at_least=1) if schedule is None else stages.total(steps)
    if schedule is not None and certificate is not None:
        raise InputError("certificate must be left out with a schedule: its checker verifies steps of one size and one noise")
    accountant = StepAccountant(algorithm, schedule=schedule)
    outcome = _answered(accountant, steps, epsilon=epsilon, sigma=sigma, delta=delta)
    names = _names(public)
    choice("buffers", buffers, checks.BUFFERS)
    if progress is not None and not callable(progress):
        raise InputError(f"progress must be callable with steps done and in all, got {type(progress).__name__}")
    checks.check_no_optimizer(optimizer)
    checks.check_surroundings()
    checks.check_model(model, names, buffers)
    checks.check_loss(loss, names)
    checks.check_loader(retained_loader)
    noise = float(outcome.sigma)  # type: ignore[arg-type]
    write = _certifying(certificate, algorithm, noise, count, float(outcome.delta))  # type: ignore[arg-type]
    run = _Run(_copied(model), retained_loader, loss, stages, noise, count, names)
    # What the call draws from torch's global generators is drawn anew, and does not touch the caller's.
    with _own_randomness(run.device), torch.enable_grad():
        run.steps(_Patient(progress))
        run.fill_statistics()
    unlearned = run.released(model)
    write()
    return unlearned, _guarantee(outcome, names, buffers)


def _answered(
    accountant: StepAccountant, steps: int | None, *, epsilon: float | None, sigma: float | None, delta: float
) -> StepOutcome:
    """The outcome that has sigma, epsilon and delta; InputError as the accountant raises it."""
    if (epsilon is None) == (sigma is None):
        raise InputError(f"exactly one of epsilon and sigma must be given, got {'neither' if sigma is None else 'both'}")
    level = number("delta", delta, above=0, below=1)
    if sigma is None:
        sigma = accountant.sigma(epsilon=number("epsilon", epsilon, at_least=0), delta=level, steps=steps)
    outcome = accountant.ask("epsilon", sigma=number("sigma", sigma, above=0), delta=level, steps=steps)
    for reason in outcome.refusals.values():
        raise InputError(reason)
    return replace(outcome, epsilon=outcome.answer)


def _certifying(
    path: str | PathLike[str] | None, algorithm: FineTuning, sigma: float, steps: int, delta: float
) -> Callable[[], None]:
    """What writes the certificate, which is made, checked and tried to be written now: nothing is run in vain."""
    if path is None:
        return lambda: None
    if not isinstance(path, str | PathLike) or not Path(path).parent.is_dir():
        raise InputError(f"certificate must be a file in a folder that exists, got {path!r}")
    from accountant.certificates import canonical, certify_steps, check_again

    with _refused_by_name(path), suppress(_TriedError), atomic_file(path):
        raise _TriedError
    text = canonical(certify_steps(StepAccountant(algorithm), sigma=sigma, steps=steps, delta=delta))
    check_again(text)

    def write() -> None:
        with _refused_by_name(path), atomic_file(path) as part:
            part.write_bytes(text)

    return write


class _TriedError(Exception):
    """That a file could be written, and is not."""


@contextmanager
def _refused_by_name(path: str | PathLike[str]) -> Iterator[None]:
    """An InputError that names the certificate's path, of what the system says."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"certificate must be a file that can be written, got {os.fspath(path)!r}: {reason}") from None


def _names(public: Sequence[str]) -> tuple[str, ...]:
    if isinstance(public, str) or not isinstance(public, Iterable):
        raise InputError(f"public must be a list of names of parameters and buffers, got {public!r}")
    names = tuple(public)
    if not all(isinstance(name, str) for name in names):
        raise InputError(f"public must be a list of names of parameters and buffers, got {public!r}")
    return names


def _copied(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"model must be one that can be copied: {error}") from None


class _Run:
    """One run on a copy of the model."""

    def __init__(
        self,
        model: nn.Module,
        loader: Iterable[Any],
        loss: Callable[..., torch.Tensor],
        stages: Stages,
        sigma: float,
        count: int,
        public: Sequence[str],
    ) -> None:
        self.model, self.loader, self.loss = model, loader, loss
        self.stages, self.sigma, self.count, self.public = stages, sigma, count, public
        self.private = checks.private_parameters(model, public)
        own = list(self.private.values())
        self.device = own[0].device
        self.parameters = Parameters(own, fresh_generator(self.device))
        assert isinstance(stages.algorithm, FineTuning)
        self.limits = Limits.of(stages.algorithm, stages.of(count), sigma=sigma, dimension=self.parameters.dimension)
        for parameter in model.parameters():
            parameter.requires_grad_(any(parameter is each for each in own))
            parameter.grad = None
        self.kept = {name: each.detach().clone() for name, each in self._declared()}
        self.norms = list(checks.statistics(model, public))
        self.state = checks.state_names(model)

    def steps(self, told: _Patient) -> None:
        """Clip, then as many noisy steps as were planned."""
        modes = {module: module.training for module in self.model.modules()}
        for norm, _, declared in self.norms:
            # Public statistics are what normalises; others must neither be used nor be learned from on the way.
            norm.train(not declared)
        self.parameters.clip(self.limits.start)
        decay, each = self.stages.algorithm.weight_decay, self.stages.each()
        for step, (inputs, targets) in enumerate(self._batches(self.count), start=1):
            self.model.zero_grad(set_to_none=True)
            outputs = self.model(inputs)
            if step == 1:
                checks.check_no_penalty(self.loss, outputs, targets)
            checks.checked_loss(self.loss(outputs, targets), step).backward(inputs=self.parameters.own)
            checks.check_gradients(self.private, step)
            self.parameters.step(next(each), decay, self.sigma, self.limits)
            told(step, self.count)
        self.model.zero_grad(set_to_none=True)
        checks.check_finite(self.private.items(), "after the last step, parameter")
        for module, mode in modes.items():
            module.training = mode

    def fill_statistics(self) -> None:
        """Running statistics that are not public, from the retained data and the released parameters alone."""
        norms = [module for module, _, declared in self.norms if not declared]
        if not norms:
            return
        modes, momenta = {module: module.training for module in self.model.modules()}, [each.momentum for each in norms]
        self.model.eval()
        for norm in norms:
            norm.reset_running_stats()
            # The plain mean over all batches.
            norm.momentum = None
            norm.train()
        with torch.no_grad():
            for inputs, _ in self._batches(None):
                self.model(inputs)
        for module, mode in modes.items():
            module.training = mode
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        checks.check_finite(self.model.named_buffers(), "buffer")

    def released(self, given: nn.Module) -> nn.Module:
        """The model, after a look at what was declared public."""
        for name, tensor in self._declared():
            if not torch.equal(tensor, self.kept[name]):
                raise InputError(f"{name} was declared public, but the steps changed it: it would hold what no noise hides")
        checks.check_attributes(self.model)
        for changed, _ in sorted(self.state ^ checks.state_names(self.model)):
            raise InputError(f"{changed} was made or replaced in the forward pass: neither clipping nor noise reaches it")
        flags = checks.all_parameters(given)
        for name, parameter in checks.all_parameters(self.model).items():
            parameter.requires_grad_(flags[name].requires_grad)
        return self.model

    def _declared(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Everything that must stay as it is."""
        private = {id(each) for each in self.private.values()}
        named = [*checks.all_parameters(self.model).items(), *checks.named_buffers(self.model)]
        return ((name, each) for name, each in named if name in self.public and id(each) not in private)

    def _batches(self, count: int | None) -> Iterator[tuple[Any, Any]]:
        """So many batches, from the loader's beginning again when it ends; None: one pass."""
        given = 0
        while count is None or given < count:
            before = given
            for batch in self.loader:
                if not isinstance(batch, list | tuple) or len(batch) != 2:
                    raise InputError(f"retained_loader must give batches (inputs, targets), got {type(batch).__name__}")
                inputs, targets = checks.on_device(batch, self.device)
                yield inputs, targets
                given += 1
                if given == count:
                    return
            if given == before:
                raise InputError("retained_loader must give batches, got none" + (" when it began again" if given else ""))
            if count is None:
                return


class _Patient:
    """Tells progress once a run has taken two seconds, ten times a second at most, and that it is done."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress, self.next, self.told = progress, time.monotonic() + _PATIENCE, False

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self.progress is None or (now < self.next and not (self.told and done == total)):
            return
        self.progress(done, total)
        self.next, self.told = now + _BETWEEN, True


@contextmanager
def _own_randomness(device: torch.device) -> Iterator[None]:
    devices = [device] if device.type == "cuda" else []
    forked: AbstractContextManager[None] = torch.random.fork_rng(devices=devices)
    with forked:
        fresh_global_state(device)
        yield


def _guarantee(outcome: StepOutcome, public: Sequence[str], buffers: str) -> Guarantee:
    guarantee, more = outcome.guarantee, list(_TAKEN)
    if public:
        more.append(f"public, made without the deleted records and unchanged: {', '.join(public)}")
    if buffers == checks.RESET:
        more.append("running statistics were filled from the retained data by the released parameters, after the last step")
    epsilon = float(outcome.answer)
    statement = f"{guarantee.statement} epsilon = {shown(epsilon)} at delta = {shown(float(outcome.delta))}."  # type: ignore[arg-type]
    return replace(guarantee, statement=statement, assumptions=(*guarantee.assumptions, *more))
