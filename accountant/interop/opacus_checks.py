"""What the accountant for Opacus checks before a step is taken: the data loader, the optimizer, and what Opacus divides by."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from opacus import PrivacyEngine
from opacus.data_loader import DPDataLoader
from opacus.optimizers import DPOptimizer
from opacus.utils.uniform_sampler import UniformWithReplacementSampler
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler

from accountant.numerics import InputError, shown
from accountant.problem import ASSIGNMENTS, PARTITION, PNSGD, POISSON, RESHUFFLE, Problem


def divisor(algorithm: PNSGD) -> int:
    """What Opacus divides the sum of a batch by: int(n * (1/J)) in doubles, which may be b - 1 where b divides n."""
    return int(algorithm.problem.n * (1 / algorithm.steps_per_epoch))


def as_run(algorithm: PNSGD) -> PNSGD:
    """The algorithm that Opacus runs: its divisor scales the data part of the loss, and not the weight decay."""
    n, b = algorithm.problem.n, int(algorithm.batch_size)
    if algorithm.assignment not in (PARTITION, POISSON):
        raise InputError(
            f"assignment must be {PARTITION} or {POISSON}, the loaders that Opacus has, got {algorithm.assignment}: "
            f"{ASSIGNMENTS[algorithm.assignment].meaning}"
        )
    poisson = algorithm.assignment == POISSON
    if poisson:
        # Nobody joins a run of Opacus.
        algorithm = replace(algorithm, largest_n=n)
    elif n % b and algorithm.last_batch == "keep":
        raise InputError(
            f"batch_size must divide n = {n}, got {b}: Opacus divides the short last batch as a full one; use drop_last=True "
            'and last_batch="drop"'
        )
    divided_by = divisor(algorithm)
    if divided_by == b:
        return algorithm
    if divided_by < 1:
        raise InputError(f"batch_size = {b} makes Opacus's expected batch size 0 for n = {n}: choose another one")
    scale, problem = b / divided_by, algorithm.problem
    # Without a radius, or without a partition, all strong convexity is the weight decay's, which is not divided.
    curved = 1.0 if poisson or algorithm.radius is None else min(scale, 1.0)
    return replace(
        algorithm,
        problem=replace(
            problem,
            lipschitz=problem.lipschitz * scale,
            smoothness=problem.smoothness * max(scale, 1.0),
            strong_convexity=problem.strong_convexity * curved,
        ),
    )


def check_loader(loader: DataLoader, algorithm: PNSGD, batches: str | int, call: Mapping[str, Any]) -> None:
    """InputError unless the data loader that make_private is about to return gives the batches of ``algorithm``.

    call: the arguments of make_private.
    """
    if (points := len(loader.dataset)) != algorithm.problem.n:
        raise InputError(f"the data set must have n = {algorithm.problem.n} points, got {points}")
    if algorithm.assignment == POISSON:
        _check_poisson(loader, algorithm, call)
        return
    if call["poisson_sampling"] or isinstance(loader, DPDataLoader):
        raise InputError(
            f"poisson_sampling must be False for assignment={PARTITION}, which is about cyclic and reshuffled batches: "
            f"register PNSGD(..., assignment={POISSON!r}), or make_private(..., poisson_sampling=False)"
        )
    if loader.batch_size != algorithm.batch_size:
        raise InputError(f"the data loader must have batch_size = {algorithm.batch_size}, got {loader.batch_size}")
    if algorithm.problem.n % loader.batch_size and not loader.drop_last:
        raise InputError('the data loader must have drop_last=True, as last_batch="drop" says, got False')
    sampler = loader.sampler
    if isinstance(loader.batch_sampler, BatchSampler) and type(loader.batch_sampler) is BatchSampler:
        if type(sampler) is SequentialSampler and batches != RESHUFFLE:
            return
        drawn = type(sampler) is RandomSampler and not sampler.replacement and sampler.num_samples == algorithm.problem.n
        if drawn and batches == RESHUFFLE:
            return
    wanted = "shuffle=True" if batches == RESHUFFLE else "shuffle=False"
    raise InputError(
        f"the data loader must have {wanted} and no sampler of its own for batches={batches}, got {type(sampler).__name__}"
    )


def _check_poisson(loader: DataLoader, algorithm: PNSGD, call: Mapping[str, Any]) -> None:
    """The data loader of Opacus that takes every record by itself with probability 1/J."""
    if not call["poisson_sampling"] or not isinstance(loader, DPDataLoader):
        raise InputError(f"poisson_sampling must be True for assignment={POISSON}: make_private(..., poisson_sampling=True)")
    sampler = loader.batch_sampler
    if type(sampler) is not UniformWithReplacementSampler:
        raise InputError(f"every record must be drawn by itself, on one machine, got {type(sampler).__name__}")
    if call.get("rand_on_empty"):
        raise InputError("rand_on_empty must be False: a record would take the place of what an empty batch gets")
    if len(loader) != algorithm.steps_per_epoch:
        raise InputError(
            f"the data loader must have {algorithm.steps_per_epoch} batches an epoch, n over batch_size rounded up, got "
            f"{len(loader)}: drop_last=True rounds down"
        )


def check_optimizer(optimizer: DPOptimizer, registered: PNSGD, run: PNSGD) -> None:
    """InputError unless it is a DPOptimizer around plain SGD, with the constants of the algorithm.

    registered: the algorithm as ``register`` got it; run: the same as Opacus runs it (:func:`as_run`).
    """
    if type(optimizer) is not DPOptimizer:
        raise InputError(f"the optimizer must be a DPOptimizer with flat clipping, got {type(optimizer).__name__}")
    inner, problem, expected = optimizer.original_optimizer, registered.problem, divisor(registered)
    clip = problem.lipschitz
    if optimizer.max_grad_norm != clip:
        raise InputError(f"max_grad_norm must be the problem's lipschitz = {shown(clip)}, got {optimizer.max_grad_norm}")
    if optimizer.loss_reduction != "mean":
        raise InputError(f"loss_reduction must be mean, got {optimizer.loss_reduction}")
    if optimizer.expected_batch_size != expected:
        raise InputError(f"expected_batch_size must be {expected}, got {optimizer.expected_batch_size}")
    if type(inner) is not torch.optim.SGD:
        raise InputError(f"the optimizer must be torch.optim.SGD, got {type(inner).__name__}")
    for group in inner.param_groups:
        _check_group(group, problem, run)


def _check_group(group: Mapping[str, Any], problem: Problem, run: PNSGD) -> None:
    """One of SGD's groups of parameters: constant steps, and a weight decay that the problem's constants count."""
    if group["momentum"] or group["maximize"]:
        raise InputError("SGD must have momentum=0 and maximize=False: only the model itself is the state")
    if float(group["lr"]) != run.eta:
        raise InputError(f"the learning rate must stay at step_size = {shown(run.eta)}, got {group['lr']}")
    decay = float(group["weight_decay"])
    # A function with bounded gradients on the whole space is not strongly convex: that must come from the decay.
    poisson = run.assignment == POISSON
    if (poisson or run.radius is None) and decay < problem.strong_convexity:
        raise InputError(
            f"weight_decay must be at least strong_convexity = {shown(problem.strong_convexity)}, which "
            f"{'a small batch does' if poisson else 'clipped gradients alone do'} not have without "
            f"{'it' if poisson else 'a radius'}, got {shown(decay)}"
        )
    if poisson and decay > problem.strong_convexity and run.eta * (problem.smoothness + problem.strong_convexity) > 2:
        raise InputError(
            f"weight_decay must be strong_convexity = {shown(problem.strong_convexity)} with step sizes above "
            f"2/(smoothness + strong_convexity), got {shown(decay)}"
        )
    if decay > problem.smoothness:
        raise InputError(
            f"weight_decay must be at most smoothness = {shown(problem.smoothness)}, which counts it, got {shown(decay)}"
        )


def make_private_call() -> dict[str, Any] | None:
    """The variables of the ``PrivacyEngine.make_private`` that asks for a hook, None if somebody else does.

    Opacus tells accountants nothing of the sampling but its rate, so this is the only place where Poisson sampling can be told
    from batches before a step is taken.
    """
    frame = sys._getframe(1)
    while frame is not None and frame.f_code is not PrivacyEngine.make_private.__code__:
        frame = frame.f_back  # type: ignore[assignment]
    return None if frame is None else dict(frame.f_locals)
