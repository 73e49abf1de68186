"""Problems and algorithms check themselves once; the contraction holds for every step size up to 2/L."""

import math
from typing import Any

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accountant import PNSGD, PRESETS, InputError, Problem, preset


@given(
    log_smoothness=st.floats(-250, 250),
    ratio=st.one_of(st.just(0.0), st.just(1.0), st.floats(1e-12, 1)),
    fraction=st.floats(1e-6, 1),
)
def test_contraction_is_max_of_both_ends(log_smoothness: float, ratio: float, fraction: float) -> None:
    smoothness = 10.0**log_smoothness
    strong_convexity = min(smoothness * ratio, smoothness)
    algorithm = PNSGD(
        Problem(n=10, smoothness=smoothness, strong_convexity=strong_convexity), step_size=fraction * (2 / smoothness)
    )
    exact = oracle.contraction(step_size=algorithm.eta, smoothness=smoothness, strong_convexity=strong_convexity)
    assert 0 <= algorithm.contraction <= 1
    assert algorithm.contraction == pytest.approx(float(min(exact, 1)), rel=1e-14, abs=1e-300)
    if 0 < exact < 1:
        assert algorithm.log_contraction == pytest.approx(float(oracle.mp.log(exact)), rel=1e-13)


def test_noiseless_steps_on_quadratics_contract_by_exactly_that() -> None:
    for curvature in (0.2, 1.0):
        for step_size in (0.5, 1.0, 1.5, 1.9):
            algorithm = PNSGD(Problem(n=10, smoothness=1.0, strong_convexity=0.2), step_size=step_size)
            assert abs(1 - step_size * curvature) <= algorithm.contraction + 1e-15


def test_defaults_are_the_published_algorithm() -> None:
    algorithm = PNSGD(preset("mnist"))
    assert algorithm.batch_size == 11_264
    assert algorithm.eta == pytest.approx(1 / 0.261264)
    assert algorithm.steps_per_epoch == 1
    assert algorithm.diameter == math.inf
    assert algorithm.contraction == pytest.approx(1 - 0.011264 / 0.261264)


def test_presets_have_the_published_constants() -> None:
    assert PRESETS["mnist"] == Problem(n=11_264, smoothness=0.261264, strong_convexity=0.011264, lipschitz=1.0)
    assert PRESETS["cifar10"] == Problem(n=9_728, smoothness=0.259728, strong_convexity=0.009728, lipschitz=1.0)


def test_last_batch_is_kept_with_its_own_divisor_or_dropped() -> None:
    problem = Problem(n=25, smoothness=1.0)
    kept, dropped = PNSGD(problem, 10), PNSGD(problem, 10, last_batch="drop")
    assert (kept.steps_per_epoch, dropped.steps_per_epoch) == (3, 2)
    assert kept.batch_sizes([0, 1, 2]).tolist() == [10, 10, 5]
    assert dropped.batch_sizes([0, 1]).tolist() == [10, 10]
    assert (kept.dropped_points, dropped.dropped_points) == (0, 5)
    assert np.exp(kept.log_sensitivity([0, 2])) == pytest.approx([0.2, 0.4])
    even = PNSGD(problem, 5, last_batch="drop")
    assert (even.steps_per_epoch, even.dropped_points) == (5, 0)


def test_zero_out_halves_the_sensitivity() -> None:
    replace, zero = (PNSGD(Problem(n=10, smoothness=2.0, lipschitz=3.0, adjacency=kind), 5) for kind in ("replace", "zero-out"))
    assert np.exp(replace.log_sensitivity(0)) == pytest.approx(2 * 0.5 * 3 / 5)
    assert np.exp(zero.log_sensitivity(0)) == pytest.approx(0.5 * 3 / 5)


def test_noise_in_other_units() -> None:
    algorithm = PNSGD(Problem(n=100, smoothness=4.0, lipschitz=2.0), 10)
    assert algorithm.noise_std(0.3) == pytest.approx(math.sqrt(2 * 0.25) * 0.3)
    # One DP-SGD step: eta/b (sum of gradients + z M N(0, I)); its noise must be the same.
    assert 0.25 / 10 * algorithm.noise_multiplier(0.3) * 2.0 == pytest.approx(algorithm.noise_std(0.3))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n": 0}, "n must be a whole number from 1"),
        ({"n": 10.5}, "n must be a whole number"),
        ({"n": 10.0}, "n must be a whole number"),
        ({"n": True}, "n must be a whole number"),
        ({"n": "ten"}, "n must be a whole number"),
        ({"smoothness": 0.0}, "smoothness must be"),
        ({"smoothness": math.inf}, "smoothness must be"),
        ({"smoothness": "1"}, "smoothness must be a number"),
        ({"strong_convexity": -0.1}, "strong_convexity must be"),
        ({"strong_convexity": 2.0}, "strong_convexity must be at most smoothness = 1"),
        ({"strong_convexity": math.nan}, "strong_convexity must be"),
        ({"lipschitz": 0.0}, "lipschitz must be"),
        ({"adjacency": "add"}, "adjacency must be one of replace, zero-out"),
    ],
)
def test_bad_problems_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Problem(**({"n": 10, "smoothness": 1.0} | settings))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number from 1 to 10"),
        ({"batch_size": 11}, "batch_size must be a whole number from 1 to 10"),
        ({"batch_size": "half"}, 'or "full"'),
        ({"batch_size": 2.5}, "batch_size must be a whole number"),
        ({"step_size": 2.1}, "step_size must be .* at most 2, got 2.1"),
        ({"step_size": 0.0}, "step_size must be"),
        ({"step_size": math.nan}, "step_size must be"),
        ({"radius": 0.0}, "radius must be"),
        ({"radius": -1}, "radius must be"),
        ({"learn_epochs": 0}, "learn_epochs must be a whole number from 1"),
        ({"learn_epochs": 1.5}, "learn_epochs must be a whole number"),
        ({"last_batch": "pad"}, "last_batch must be one of keep, drop"),
    ],
)
def test_bad_algorithms_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        PNSGD(Problem(n=10, smoothness=1.0), **settings)


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="mnist, cifar10, got 'imagenet'"):
        preset("imagenet")
