"""Losses of a batch for noisy steps that both runs share: a perceptron, and losses without convexity.

Many trials at once: parameters are (t, p), one row a trial, and every trial sees the same batch.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from accountant.numerics import Floats, InputError, integer, number


class StepLoss(ABC):
    """The mean loss of a batch: features (b, d), labels (b,)."""

    #: What it is called in refusals.
    name: ClassVar[str]
    #: Whether it is known to be convex.
    convex: ClassVar[bool] = False

    @abstractmethod
    def layers(self, features: int) -> tuple[int, ...]:
        """Numbers of parameters of its layers, for rows of so many features; their sum is p."""

    @abstractmethod
    def gradients(self, w: Floats, features: Floats, labels: Floats) -> Floats:
        """Gradients, or subgradients by one rule, (t, p) for parameters (t, p)."""

    @abstractmethod
    def values(self, w: Floats, features: Floats, labels: Floats) -> Floats:
        """The mean loss of each trial, (t,)."""

    def size(self, features: int) -> int:
        """p, the number of parameters."""
        return sum(self.layers(features))

    def hoelder_constant(self, features: int, exponent: float) -> float:
        """L with ||g(w) - g(v)|| <= L ||w - v||^exponent for the gradient of every batch; InputError where none is known."""
        raise InputError(f"loss must be one with a Hoelder constant for exponent {exponent:g}, got {self.name}")

    def check_rows(self, features: Floats) -> None:
        """InputError for rows (n, d) that the loss's constants are not about."""
        return

    def check_labels(self, labels: Floats) -> None:
        """InputError for labels (n,) that the loss is not about."""
        return


@dataclass(frozen=True)
class Perceptron(StepLoss):
    """Cross-entropy of a network of one hidden layer: scores A tanh(B x + b) + a; labels 0 ... classes - 1.

    Parameters, layer by layer: B (hidden, d), b (hidden,), A (classes, hidden), a (classes,).

    >>> Perceptron(hidden=2, classes=3).layers(4)
    (8, 2, 6, 3)
    """

    hidden: int
    classes: int = 2

    name: ClassVar[str] = "perceptron"

    def __post_init__(self) -> None:
        integer("hidden", self.hidden, at_least=1)
        integer("classes", self.classes, at_least=2)

    def layers(self, features: int) -> tuple[int, ...]:
        return (self.hidden * features, self.hidden, self.classes * self.hidden, self.classes)

    def start(self, features: int, rng: np.random.Generator) -> Floats:
        """Public initialisation, (p,): weights of variance 1/inputs, biases zero."""
        first, biases, second, last = self.layers(features)
        return np.concatenate([
            rng.standard_normal(first) / math.sqrt(features), np.zeros(biases),
            rng.standard_normal(second) / math.sqrt(self.hidden), np.zeros(last),
        ])  # fmt: skip

    def scores(self, w: Floats, features: Floats) -> Floats:
        """(t, b, classes)."""
        return self._forward(w, features)[1]

    def predictions(self, w: Floats, features: Floats) -> NDArray[np.int64]:
        """The class with the largest score, (t, b)."""
        return self.scores(w, features).argmax(axis=2)

    def values(self, w: Floats, features: Floats, labels: Floats) -> Floats:
        scores = self.scores(w, features)
        largest = scores.max(axis=2)
        total = largest + np.log(np.exp(scores - largest[..., None]).sum(axis=2))
        own = scores[:, np.arange(labels.size), self._classes(labels)]
        return np.asarray((total - own).mean(axis=1))

    def gradients(self, w: Floats, features: Floats, labels: Floats) -> Floats:
        hidden, scores = self._forward(w, features)
        trials, rows = scores.shape[:2]
        scores -= scores.max(axis=2, keepdims=True)
        error = np.exp(scores)
        error /= error.sum(axis=2, keepdims=True)
        error[:, np.arange(rows), self._classes(labels)] -= 1
        error /= rows
        second = self._parts(w, features.shape[1])[2]
        inner = np.matmul(error, second) * (1 - hidden**2)
        return np.concatenate(
            [
                np.matmul(inner.transpose(0, 2, 1), features).reshape(trials, -1),
                inner.sum(axis=1),
                np.matmul(error.transpose(0, 2, 1), hidden).reshape(trials, -1),
                error.sum(axis=1),
            ],
            axis=1,
        )

    def _parts(self, w: Floats, features: int) -> tuple[Floats, Floats, Floats, Floats]:
        first, biases, second, _ = np.cumsum(self.layers(features)).tolist()
        shape = (w.shape[0], self.hidden, features)
        return (
            w[:, :first].reshape(shape), w[:, first:biases], w[:, biases:second].reshape(-1, self.classes, self.hidden),
            w[:, second:],
        )  # fmt: skip

    def _forward(self, w: Floats, features: Floats) -> tuple[Floats, Floats]:
        first, biases, second, last = self._parts(w, features.shape[1])
        hidden = np.tanh(np.matmul(features, first.transpose(0, 2, 1)) + biases[:, None])
        return hidden, np.matmul(hidden, second.transpose(0, 2, 1)) + last[:, None]

    def _classes(self, labels: Floats) -> NDArray[np.int64]:
        classes = labels.astype(np.int64)
        if (classes != labels).any() or (classes < 0).any() or (classes >= self.classes).any():
            raise InputError(f"labels must be integers from 0 to {self.classes - 1} for {self.name}")
        return classes


@dataclass(frozen=True)
class DoubleWell(StepLoss):
    """depth (x_1^2 - 1)^2/4 + |x_rest|^2/2 - <mean of the batch's rows, x>: two wells, and which one depends on the start."""

    depth: float = 1.0

    name: ClassVar[str] = "double well"

    def __post_init__(self) -> None:
        number("depth", self.depth, above=0)

    def layers(self, features: int) -> tuple[int, ...]:
        return (1,) if features == 1 else (1, features - 1)

    def gradients(self, w: Floats, features: Floats, labels: Floats) -> Floats:
        gradient = w.copy()
        with np.errstate(over="ignore"):
            gradient[:, 0] = np.clip(self.depth * (w[:, 0] ** 2 - 1) * w[:, 0], -1e150, 1e150)
        return gradient - features.mean(axis=0)

    def values(self, w: Floats, features: Floats, labels: Floats) -> Floats:
        wells = self.depth * (w[:, 0] ** 2 - 1) ** 2 / 4
        return np.asarray(wells + (w[:, 1:] ** 2).sum(axis=1) / 2 - w @ features.mean(axis=0))


@dataclass(frozen=True)
class Repulsive(StepLoss):
    """-strength |x|^(1 + exponent)/(1 + exponent), which drives all parameters away from the centre: the worst loss there is,
    or nearly, for clipped gradients (exponent 0) and for Hoelder ones."""

    strength: float
    exponent: float = 0.0

    name: ClassVar[str] = "repulsive"

    def __post_init__(self) -> None:
        number("strength", self.strength, above=0)
        number("exponent", self.exponent, at_least=0, at_most=1)

    def layers(self, features: int) -> tuple[int, ...]:
        return (1,) if features == 1 else (features - features // 2, features // 2)

    def gradients(self, w: Floats, features: Floats, labels: Floats) -> Floats:
        norms = np.linalg.norm(w, axis=1, keepdims=True)
        return np.asarray(-self.strength * w * np.where(norms > 0, norms, 1.0) ** (self.exponent - 1))

    def values(self, w: Floats, features: Floats, labels: Floats) -> Floats:
        return np.asarray(-self.strength * np.linalg.norm(w, axis=1) ** (1 + self.exponent) / (1 + self.exponent))

    def hoelder_constant(self, features: int, exponent: float) -> float:
        # Between opposite points; squares of the two sides are a concave and a linear function of the cosine between.
        return (
            self.strength * 2 ** (1 - exponent) if exponent == self.exponent else super().hoelder_constant(features, exponent)
        )
