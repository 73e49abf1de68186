"""Requests that depend on released models: the guarantee about one model fails, and what all releases tell composes."""

import math

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from accountant import PNSGD, InputError, Learn, Problem, Schedule, Unlearn, UnlearningAccountant, UnlearningStream, preset
from accountant.requests import about_every_point

PROBLEM = Problem(n=100, smoothness=1.0, strong_convexity=0.1)
RUN = UnlearningAccountant(PNSGD(PROBLEM), batches="worst")


def test_a_request_that_names_a_point_by_the_model_breaks_the_guarantee_about_one_model() -> None:
    # 64 identical points; the request names the one whose share of the model's law the released model lies in. Unlearning with
    # no steps leaves the model there, which retraining hits by chance only. Losses (m/2) x^2 + d x: all laws are Gaussian.
    sigma, names = 0.3, 64
    claimed = RUN.delta(sigma=sigma, epsilon=1.0, steps=0)
    algorithm = RUN.algorithm
    std = algorithm.noise_std(sigma) / math.sqrt(1 - algorithm.contraction**2)
    shift = math.exp(algorithm.log_sensitivity(0)) / (1 - algorithm.contraction)
    edges = np.append(ndtri(np.arange(names) / names), np.inf) * std
    retrained = ndtr((edges[1:] - shift) / std) - ndtr((edges[:-1] - shift) / std)
    exact = 1 - math.e * retrained
    assert claimed < 1e-7
    assert exact.max() > 0.95
    assert any("any model learned or released before" in line for line in RUN.assumptions())


def test_every_guarantee_and_stream_says_that_requests_do_not_depend_on_models() -> None:
    word = "nor on any model learned or released before them"
    mnist = PNSGD(preset("mnist"), 128)
    for batches in ("random", "worst", "reshuffle", 3):
        accountant = UnlearningAccountant(mnist, batches=batches)
        assert any(word in line for line in accountant.guarantee(sigma=0.01, epochs=1).assumptions)
    scheduled = UnlearningAccountant(mnist, schedule=Schedule([Learn(), Unlearn(steps=9)]), bound="optimal")
    assert any(word in line for line in scheduled.assumptions(given_distance=False))
    stream = UnlearningStream(UnlearningAccountant(mnist), sigma=0.03, epsilon=1.0)
    assert any(word in line for line in stream.planned().guarantee.assumptions)


@pytest.mark.parametrize("steps", [0, 1, 5])
@pytest.mark.parametrize("threshold", [-0.3, 0.0, 0.2])
def test_two_releases_tell_no_more_of_a_point_than_is_composed(steps: int, threshold: float) -> None:
    # The point is deleted when the first model lies above the threshold; otherwise it is trained on further.
    sigma, epsilon = 0.05, 0.3
    algorithm = RUN.algorithm
    c, noise, h = algorithm.contraction, algorithm.noise_std(sigma), math.exp(algorithm.log_sensitivity(0))
    std = noise / math.sqrt(1 - c * c)
    first = np.linspace(-9, 9, 4001) * std

    def density(x: np.ndarray, mean: float, deviation: float) -> np.ndarray:
        return np.exp(-0.5 * ((x - mean) / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))

    with_point, without = density(first, h / 2 / (1 - c), std), density(first, -h / 2 / (1 - c), std)
    if steps:
        # Given the first model the second is Gaussian in both worlds, about means that the remaining differences set apart.
        spread = noise * math.sqrt((1 - c ** (2 * steps)) / (1 - c * c))
        apart = h * (1 - c**steps) / (1 - c) / spread
        second = np.linspace(-9, 9, 1201)
        for_first = np.where(first[:, None] > threshold * std, density(second, 0.0, 1.0), density(second, apart, 1.0))
        joint, other = with_point[:, None] * for_first, without[:, None] * density(second, 0.0, 1.0)
        cell = (first[1] - first[0]) * (second[1] - second[0])
    else:
        joint, other, cell = with_point, without, first[1] - first[0]
    exact = max(
        float(np.maximum(joint - math.exp(epsilon) * other, 0).sum() * cell),
        float(np.maximum(other - math.exp(epsilon) * joint, 0).sum() * cell),
    )
    assert exact <= about_every_point(RUN, sigma=sigma, releases=2).delta(epsilon) * (1 + 1e-9)
    assert exact >= 1e-3


def test_releases_compose_where_their_noise_is_their_own() -> None:
    for accountant in (
        UnlearningAccountant(PNSGD(PROBLEM), bound="paper"),
        UnlearningAccountant(PNSGD(PROBLEM, radius=1.0), reference=3),
    ):
        with pytest.raises(InputError, match="releases compose under"):
            about_every_point(accountant, sigma=0.1, releases=2)
    one, four = (about_every_point(RUN, sigma=0.3, releases=k) for k in (1, 4))
    assert four.values[0] == pytest.approx(2 * one.values[0])
    assert "4 released models" in four.statement
    assert not any("any model learned or released before" in line for line in four.assumptions)
