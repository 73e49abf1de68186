"""Noisy steps on the parameters of a PyTorch model, in float64, and where their noise comes from.

The forward and backward passes run in the model's own precision, on parameters that are rounded from those held here: whatever
rounding does to a gradient, it is clipped afterwards. What the accountant counts, clipping, decay, step and noise, is float64.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from accountant.numerics import InputError, shown
from accountant.problem import UNITS, FineTuning, Stage

#: What torch's 64-bit seeds become on the CPU is 32 bits; its whole state is 624 words of that size behind 24 bytes.
_HEAD, _WORDS, _STATE = 24, 624, 5056
#: Roundings of one entry in a step, with room to spare.
_OPERATIONS: Final = 16
#: Roundings of a norm besides those of its sum.
_BESIDES: Final = 64
#: -log of the chance that the parameters are larger than taken for.
_CERTAIN: Final = 1500.0
#: What rounding may take of the gradient's clip.
_SHARE: Final = 0.01
#: Noise is at least so many units of the last place of the largest parameter.
_FLOOR: Final = 2.0**20


def fresh_generator(device: torch.device) -> torch.Generator:
    """A generator that the operating system seeds: 19968 bits on the CPU, elsewhere the 64 that its seed has."""
    generator = torch.Generator(device=device)
    if device.type != "cpu":
        generator.manual_seed(int.from_bytes(os.urandom(8), "little"))
        return generator
    generator.set_state(_fresh_state())
    return generator


def fresh_global_state(device: torch.device) -> None:
    """Let what draws from torch's global generators, the order of a DataLoader and dropout, begin anew."""
    torch.default_generator.set_state(_fresh_state())
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(int.from_bytes(os.urandom(8), "little"))


def _fresh_state() -> torch.Tensor:
    """A state of the CPU's generator, whose words the operating system makes."""
    state = torch.Generator().manual_seed(0).get_state()
    if state.numel() != _STATE:
        raise InputError(
            f"torch {torch.__version__} keeps its generator's state in {state.numel()} bytes, not {_STATE}: not known"
        )
    words = torch.zeros((_WORDS, 8), dtype=torch.uint8)
    words[:, :4] = torch.frombuffer(bytearray(os.urandom(4 * _WORDS)), dtype=torch.uint8).view(_WORDS, 4)
    state[_HEAD : _HEAD + 8 * _WORDS] = words.flatten()
    return state


@dataclass(frozen=True)
class Limits:
    """What a run in float64 clips to, a little less than the claim, so that rounding keeps within it.

    A step's entries are rounded a few times, each by at most u times a bound X on the parameters' norm; twice that is taken off
    the clipped gradients, and the error of computed norms off every clip. X holds but for a chance of e^-1500 a step.
    """

    gradient: float
    start: float
    model: float | None

    @classmethod
    def of(cls, algorithm: FineTuning, stages: Sequence[Stage], *, sigma: float, dimension: int) -> Limits:
        """Raises InputError where rounding would take more than 1 % of the gradient's clip, or the noise is too small.

        stages: what is run, every one with its number of steps; sigma: of a stage whose noise is 1.
        """
        clip, start, model = algorithm.gradient_clip, algorithm.start_clip, algorithm.model_clip
        assert clip is not None
        assert start is not None
        unit, steps = UNITS["float64"], sum(stage.steps or 0 for stage in stages)
        # The shortest step has the least to lose, and the longest distance and all the noise count.
        gamma, longest = (pick(stage.step_size for stage in stages) for pick in (min, max))
        loudest, softest = (pick(stage.noise for stage in stages if stage.noise > 0) * sigma for pick in (max, min))
        ways = longest if model is not None else sum(stage.step_size * (stage.steps or 0) for stage in stages)
        # The two models are at most the ball's diameter apart only if they are clipped to it before the first step, too.
        start = start if model is None else min(start, model)
        moved = start + clip * ways
        if softest < _FLOOR * 2 * unit * moved:
            raise InputError(
                f"sigma = {shown(softest)} is below 2^20 units of the last place of parameters of size {moved:g} in float64: "
                "more noise, fewer steps or smaller clips are needed"
            )
        times = steps if model is None else 1
        noise = loudest * math.sqrt(times) * (math.sqrt(dimension) + math.sqrt(2 * (_CERTAIN + math.log(steps))))
        norms = 1 - (dimension + _BESIDES) * 4 * unit
        gradient = clip * norms - _OPERATIONS * unit * (moved + noise) / gamma
        if not gradient >= (1 - _SHARE) * clip:
            raise InputError(
                f"rounding to float64 of {dimension} parameters of norm {moved + noise:.3g} costs more than 1 % of the clipped "
                f"gradient's step, {gamma * clip:.3g}: a larger step_size, a larger gradient_clip or less noise is needed"
            )
        return cls(gradient, start * norms, None if model is None else model * norms)


def joint_norm(tensors: Sequence[torch.Tensor]) -> float:
    """The 2-norm of all entries together, float64, without overflow or underflow; NaN where an entry is."""
    sizes = [float(tensor.abs().max()) for tensor in tensors if tensor.numel()]
    if any(math.isnan(size) for size in sizes):
        return math.nan
    largest = max(sizes, default=0.0)
    if not 0 < largest < math.inf:
        return largest
    return largest * math.sqrt(math.fsum(float((tensor / largest).square().sum()) for tensor in tensors))


def clip_together(tensors: Sequence[torch.Tensor], limit: float) -> None:
    """All entries together to norm at most ``limit``, in place."""
    norm = joint_norm(tensors)
    if norm > limit:
        for tensor in tensors:
            # The quotient first: the norm may be so large that its reciprocal is no number.
            tensor.div_(norm).mul_(limit)


class Parameters:
    """The private parameters of a model, held in float64; ``own`` are the model's, rounded from them."""

    def __init__(self, own: Sequence[torch.nn.Parameter], generator: torch.Generator) -> None:
        self.own, self.generator = list(own), generator
        self.exact = [parameter.detach().to(torch.float64, copy=True) for parameter in own]

    @property
    def dimension(self) -> int:
        """Numbers in all."""
        return sum(tensor.numel() for tensor in self.exact)

    def clip(self, limit: float) -> None:
        """All together, and the model's own with them."""
        clip_together(self.exact, limit)
        self.hand_on()

    def step(self, stage: Stage, decay: float, sigma: float, limits: Limits) -> None:
        """x <- Clip_R(rho x - gamma clip_C(g) + sigma N(0, I)), with the gradients that backward has left.

        gamma and what there is of sigma are the stage's; decay: lambda.
        """
        gradients = self.gradients()
        clip_together(gradients, limits.gradient)
        for x, g in zip(self.exact, gradients, strict=True):
            x.mul_(1 - stage.step_size * decay).sub_(g, alpha=stage.step_size)
            x.add_(self.noise(x), alpha=stage.noise * sigma)
        if limits.model is not None:
            clip_together(self.exact, limits.model)
        self.hand_on()

    def gradients(self) -> list[torch.Tensor]:
        """In float64; zeros of parameters that the loss does not depend on."""
        found = []
        for parameter in self.own:
            gradient: Any = parameter.grad
            found.append(
                torch.zeros_like(parameter, dtype=torch.float64)
                if gradient is None
                else gradient.detach().to(torch.float64, copy=True)
            )
        return found

    def noise(self, like: torch.Tensor) -> torch.Tensor:
        """Standard normal numbers, float64, in the shape of ``like``."""
        return torch.randn(like.shape, dtype=torch.float64, device=like.device, generator=self.generator)

    def hand_on(self) -> None:
        """The model's own parameters, rounded from these."""
        with torch.no_grad():
            for parameter, x in zip(self.own, self.exact, strict=True):
                parameter.copy_(x)
