"""The Mills ratio and its differences agree with mpmath, in doubles and in many digits."""

import mpmath as mp
import numpy as np
import oracle
import pytest

from accountant.curves.hockey_stick import hockey_stick
from accountant.numerics import DOUBLE
from accountant.numerics.multiprecision import Multiprecision
from accountant.shifts import log_mu_cyclic, log_mu_decay


def mills(x: mp.mpf) -> mp.mpf:
    return mp.sqrt(mp.pi / 2) * mp.exp(x * x / 2) * mp.erfc(x / mp.sqrt(2))


def test_mills_ratio_has_full_double_precision_from_zero_to_the_far_tail() -> None:
    points = np.concatenate([np.linspace(0, 40, 400), np.geomspace(40, 1e4, 40)])
    with mp.workdps(50):
        exact = [mills(mp.mpf(float(x))) for x in points]
        worst = max(abs(mp.mpf(float(r)) / e - 1) for r, e in zip(DOUBLE.mills(points), exact, strict=True))
    assert worst < 1e-15


def test_mills_difference_keeps_its_digits_however_narrow_or_far_out() -> None:
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.uniform(-1, 30, 600), rng.uniform(24.9, 25.1, 50), 10 ** rng.uniform(1, 12, 150)])
    width = 10 ** rng.uniform(-12, 3, x.size)
    logs, upper = DOUBLE.log_mills_difference(x, width)
    for a, w, log, above in zip(x, width, logs, upper, strict=True):
        with mp.workdps(90):
            a, b = mp.mpf(float(a)), mp.mpf(float(a)) + mp.mpf(float(w))
            if a > 1e4:  # asymptotic series, exact to 50 digits out there
                exact = [sum((-1) ** k * mp.fac2(2 * k - 1) / v ** (2 * k + 1) for k in range(9)) for v in (a, b)]
            else:
                exact = [mills(a), mills(b)]
            assert abs(log - mp.log(exact[0] - exact[1])) < 3e-13
            assert abs(above / exact[1] - 1) < 1e-12


@pytest.mark.parametrize(("epsilon", "mu"), [(1.0, 0.4), (1e-9, 1e-10), (30.0, 3.0), (4.0, 12.0), (1e4, 100.0)])
def test_the_same_hockey_stick_formula_runs_in_fifty_digits(epsilon: float, mu: float) -> None:
    ar = Multiprecision(50)
    log_delta = hockey_stick(ar.asarray([epsilon]), ar.asarray([mu]), ar).log_delta[0]
    with mp.workdps(60):
        assert abs(log_delta / oracle.gdp_log_delta(epsilon=epsilon, mu=mu) - 1) < 1e-45


def test_the_same_closed_form_runs_in_fifty_digits() -> None:
    ar = Multiprecision(50)
    c, h, per_epoch, visits, lead, tail = 0.9, 0.7, 5, 4, 2, 3
    log_mu = log_mu_cyclic(
        log_c=ar.log(ar.asarray(c)),
        steps_per_epoch=per_epoch,
        log_sensitivity=ar.log(ar.asarray(h)),
        log_start=-np.inf,
        visits=[visits],
        lead=lead,
        tail=tail,
        arithmetic=ar,
    )
    steps = lead + per_epoch * (visits - 1) + 1 + tail
    sensitivity = [h if k in range(lead, steps, per_epoch) and k < steps - tail else 0.0 for k in range(steps)]
    exact = oracle.taut_string(contraction=[c] * steps, sensitivity=sensitivity, variance=[1] * steps, start_distance=0)
    with mp.workdps(60):
        assert abs(mp.exp(log_mu[0]) / exact - 1) < 1e-45
    decay = log_mu_decay(log_c=ar.log(ar.asarray(c)), log_start=ar.log(ar.asarray(h)), steps=[7], arithmetic=ar)
    alone = oracle.taut_string(contraction=[c] * 7, sensitivity=[0] * 7, variance=[1] * 7, start_distance=h)
    with mp.workdps(60):
        assert abs(mp.exp(decay[0]) / alone - 1) < 1e-45
