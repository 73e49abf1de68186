"""One Gaussian on what is released, exactly: mu is the distance of two models over sigma, whatever brought them so near."""

from __future__ import annotations

import math
from abc import abstractmethod

import numpy as np

from accountant.curves import MARGIN, MAX_MU, mixture_log_scale, mixture_tail, mixture_tail_epsilon, probability, rounded_up
from accountant.methods.base import FullBatch, flat, shaped
from accountant.numerics import Floats
from accountant.questions import Setup


class OneGaussian(FullBatch):
    """mu-GDP of N(x, sigma^2 I) against N(x', sigma^2 I): subclasses bound ||x - x'|| after so many steps."""

    proves = "mu-GDP"

    @abstractmethod
    def _log_distance_after(self, setup: Setup, steps: Floats) -> Floats:
        """log of the distance of the two models, (P,); -inf where they are equal."""

    def epsilon(self, setup: Setup, *, sigma: Floats, delta: Floats, steps: Floats) -> Floats:
        noise, chance, count = flat(sigma, delta, steps)
        result = gaussian_epsilon(self._log_distance_after(setup, count) - np.log(noise), chance)
        return shaped(result, sigma, delta, steps)

    def delta(self, setup: Setup, *, sigma: Floats, epsilon: Floats, steps: Floats) -> Floats:
        noise, target, count = flat(sigma, epsilon, steps)
        log_mu = self._log_distance_after(setup, count) - np.log(noise)
        result = np.ones(noise.size)
        some = log_mu < math.log(MAX_MU) - 1
        tail = mixture_tail(target[some], np.zeros(1), rounded_up(log_mu[some])[:, None])
        result[some] = probability(tail.log_delta)
        return shaped(result, sigma, epsilon, steps)

    def nearly(self, setup: Setup, epsilon: Floats, delta: Floats, steps: Floats) -> Floats:
        most = mixture_log_scale(epsilon, np.log(delta), np.zeros(1), np.zeros((epsilon.size, 1)))
        with np.errstate(over="ignore"):
            return np.exp(self._log_distance_after(setup, steps) - most + MARGIN)


def gaussian_epsilon(log_mu: Floats, delta: Floats) -> Floats:
    """epsilon of mu-GDP, rounded up, for arrays (P,); inf where mu is beyond every use."""
    result = np.full(log_mu.size, np.inf)
    some = log_mu < math.log(MAX_MU) - 1
    result[some] = mixture_tail_epsilon(np.log(delta[some]), np.zeros(1), rounded_up(log_mu[some])[:, None])
    return result


def classical_factor(delta: Floats) -> Floats:
    """epsilon over mu in the classical formula of the Gaussian mechanism, sqrt(2 log(1.25/delta))."""
    return np.sqrt(2 * np.log(1.25 / delta))


def classical_delta(ratio: Floats) -> Floats:
    """delta by the same formula, 1.25 exp(-(epsilon/mu)^2/2), rounded up; ``ratio`` is epsilon/mu, up to 1e-14 of it."""
    with np.errstate(under="ignore"):
        level = np.minimum(ratio * (1 - 1e-14), 1e150) ** 2 / 2
        return np.maximum(1.25 * np.exp(-level) * (1 + level * 1e-15 + 1e-14), 1e-300)
