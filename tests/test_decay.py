"""What decay leaves of a distance is never rounded away."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from accountant import ConvexHoelder, ConvexNonsmooth, FineTuning
from accountant.curves import gdp_epsilon
from accountant.problem import Stepping
from accountant.questions import StepAccountant

#: A step and a decay whose product is 1 in doubles, and is not.
NEARLY = {"step_size": 0.7, "weight_decay": 1.4285714285714286, "start_clip": 1000.0}


@pytest.mark.parametrize(
    "algorithm",
    [
        FineTuning(**NEARLY, gradient_clip=1e-30),
        ConvexNonsmooth(**NEARLY, lipschitz=1e-30),
        ConvexHoelder(**NEARLY, hoelder_constant=1e-30, hoelder_exponent=0.0),
    ],
    ids=lambda algorithm: algorithm.name,
)
def test_one_step_of_next_to_full_decay_is_the_gaussian_of_what_is_left(algorithm: Stepping) -> None:
    left = abs(1 - Fraction(0.7) * Fraction(1.4285714285714286))
    assert 0 < left < Fraction(1, 10**16)
    truth = gdp_epsilon(delta=1e-5, mu=float(left) * 2000 / 1e-14)
    assert truth <= StepAccountant(algorithm).epsilon(sigma=1e-14, delta=1e-5, steps=1) <= truth * (1 + 1e-9)


def test_what_is_kept_is_rounded_up_and_what_is_lost_down() -> None:
    rng = np.random.default_rng(0)
    for _ in range(2000):
        step = float(10 ** rng.uniform(-12, 3))
        share = rng.choice([rng.uniform(0, 1), 1.0, 1 - 10 ** rng.uniform(-16, 0), 10 ** rng.uniform(-300, 0)])
        decay = min(float(share) / step, 1 / step)
        run = FineTuning(step_size=step, weight_decay=decay, start_clip=1.0, gradient_clip=1.0)
        lost = Fraction(step) * Fraction(decay)
        assert abs(1 - lost) <= run.rho <= abs(1 - lost) * (1 + Fraction(1, 2**51))
        assert lost * (1 - Fraction(1, 2**51)) - Fraction(1, 10**320) <= run.lost <= lost
    # 0.1 is a little more than a tenth.
    beyond = FineTuning(step_size=0.1, weight_decay=10.0, start_clip=1.0, gradient_clip=1.0)
    assert (beyond.rho, beyond.lost) == (2.0**-54, 1 - 2.0**-53)
    assert FineTuning(step_size=0.5, weight_decay=2.0, start_clip=1.0, gradient_clip=1.0).rho == 0
    assert FineTuning(step_size=0.5, start_clip=1.0, gradient_clip=1.0).rho == 1
