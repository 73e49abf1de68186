"""Answers to many digits: they agree with mpmath computed here, with each other, and with the doubles."""

import mpmath as mp
import numpy as np
import pytest
from problems import random_algorithm

from accountant import PNSGD, InputError, Problem, UnlearningAccountant, preset
from accountant.arithmetic import Precise
from accountant.components import Mixture
from accountant.constants import binary
from accountant.divergences.curves import GDPCurve
from accountant.precision import PrivacyCurve, enclose, settle

pytest.importorskip("flint")


def delta_with_mpmath(epsilon: float, mu: float) -> mp.mpf:
    """The hockey stick as a difference of tails, with digits to spare for what cancels."""
    for digits in (300, 1200, 5000):
        with mp.workdps(digits):
            a, b = mp.mpf(epsilon) / mu - mp.mpf(mu) / 2, mp.mpf(epsilon) / mu + mp.mpf(mu) / 2
            first, second = mp.erfc(a / mp.sqrt(2)) / 2, mp.exp(mp.mpf(epsilon)) * mp.erfc(b / mp.sqrt(2)) / 2
            difference = first - second
            if difference > 0 and mp.log10(first / difference) + 2 * mp.log10(2 + abs(a)) + 110 < digits:
                return +difference
    raise AssertionError("not enough digits")


def check_enclosures(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        mu = float(10 ** rng.uniform(-10, 2.5))
        # From delta near one down to 1e-300, and epsilon from 1e-9 to 1e4 where mu allows.
        epsilon = min(max(mu * float(rng.uniform(0, 37)) + mu * mu / 2, 1e-9), 1e4) if rng.random() < 0.8 else 0.0

        def evaluate(ar: Precise, bits: int, mu: float = mu, epsilon: float = epsilon) -> object:
            mixture = Mixture(ar.log(ar.asarray([1])), ar.log(ar.asarray([[mu]])), GDPCurve())
            given = {"epsilon": ar.asarray(epsilon)[()], "sigma": ar.asarray(1)[()]}
            return PrivacyCurve(mixture, ar, bits).answer("delta", given, 0.0)

        found = settle(evaluate, 40, "interval")
        exact = delta_with_mpmath(epsilon, mu)
        with mp.workdps(400):
            low, high = (mp.mpf(end.numerator) / end.denominator for end in (found.lower, found.upper))
            slack = exact * mp.mpf(10) ** -100
            assert low <= exact + slack
            assert exact - slack <= high
            assert high - low <= high * mp.mpf(10) ** -30


def test_enclosures_contain_what_mpmath_finds() -> None:
    check_enclosures(1, 500)


@pytest.mark.slow
def test_ten_thousand_enclosures_contain_what_mpmath_finds() -> None:
    check_enclosures(2, 10_000)


@pytest.mark.parametrize(
    ("batch", "epsilon", "paper", "optimal"),
    [
        ("full", 0.05, 0.66695533, 0.072046652), ("full", 1.0, 0.034172921, 0.005091505),
        (512, 1.0, 0.020695349, 0.0025466157), (128, 5.0, 0.00062465044, 8.3067633e-5),
        (32, 1.0, 9.9277606e-8, 8.8747761e-9),
    ],
)  # fmt: skip
def test_published_and_optimal_noise_to_the_digits_of_the_table(
    batch: int | str, epsilon: float, paper: float, optimal: float
) -> None:
    for bound, known in (("paper", paper), ("optimal", optimal)):
        accountant = UnlearningAccountant(PNSGD(preset("mnist"), batch), bound=bound)
        for arithmetic in ("interval", "mp"):
            found = enclose(accountant, "sigma", digits=20, arithmetic=arithmetic, epsilon=epsilon, epochs=1)
            assert float(found.upper) == pytest.approx(known, rel=1e-7)


def test_noise_of_a_full_batch_to_fifty_digits() -> None:
    accountant = UnlearningAccountant(PNSGD(preset("mnist")), batches="worst")
    found = enclose(accountant, "sigma", digits=50, epsilon=1.0, epochs=1)
    with mp.workdps(70):
        n, m, smooth = mp.mpf(11264), mp.mpf("0.011264"), mp.mpf("0.261264")
        eta = 1 / smooth
        c = 1 - eta * m
        distance = 2 * eta / n / (1 - c) * c * mp.sqrt(1 - c * c) / mp.sqrt(2 * eta)

        def excess(sigma: mp.mpf) -> mp.mpf:
            mu = distance / sigma
            upper, lower = mp.ncdf(-1 / mu + mu / 2), mp.e * mp.ncdf(-1 / mu - mu / 2)
            return upper - lower - 1 / n

        exact = mp.findroot(excess, mp.mpf("0.0050915"))
        assert abs(mp.mpf(str(found)) / exact - 1) < mp.mpf(10) ** -49


def test_both_arithmetics_agree_on_random_problems_and_doubles_are_safe() -> None:
    rng = np.random.default_rng(5)
    for _ in range(25):
        run = random_algorithm(rng)
        accountant = UnlearningAccountant(run, batches=str(rng.choice(["random", "worst"])))
        steps, delta = int(rng.integers(1, 30)), float(10 ** rng.uniform(-9, -2))
        sigma = accountant.sigma(epsilon=float(10 ** rng.uniform(-1, 1)), delta=delta, steps=steps)
        if not 1e-200 < sigma < 1e200:
            continue
        question = {"sigma": sigma, "delta": delta, "steps": steps}
        proved, evaluated = (
            enclose(accountant, "epsilon", digits=30, arithmetic=name, read=binary, **question) for name in ("interval", "mp")
        )
        assert abs(proved.upper - evaluated.upper) <= proved.upper / 10**29
        double = accountant.epsilon(**question)
        assert double >= proved.lower
        assert double <= float(proved.upper) * (1 + 1e-9)


def test_questions_without_an_answer_are_refused_in_one_sentence() -> None:
    accountant = UnlearningAccountant(PNSGD(preset("mnist"), 128))
    group = UnlearningAccountant(PNSGD(preset("mnist"), 128), group_size=50)
    for who, settings, message in (
        (accountant, {"digits": 0}, "precision must be"),
        (accountant, {"digits": 1001}, "precision must be"),
        (accountant, {"arithmetic": "decimal"}, "arithmetic must be"),
        (group, {}, "on a grid"),
    ):
        with pytest.raises(InputError, match=message):
            enclose(who, "epsilon", sigma=0.03, epochs=1, **settings)


@pytest.mark.parametrize(
    ("accountant", "unknown", "digits", "question"),
    [
        # A small delta hangs on its order more finely than its digits; c = 0 forgets what came before; more than doubles show.
        (UnlearningAccountant(PNSGD(preset("mnist"), 512), bound="paper"), "delta", 40, {"sigma": 0.03, "epsilon": 2.0}),
        (
            UnlearningAccountant(
                PNSGD(Problem(n=6, smoothness=0.5, strong_convexity=0.5), 3, learn_epochs=3), batches="worst"
            ),
            "epsilon", 40, {"sigma": 0.1, "delta": 1e-7},
        ),
        (UnlearningAccountant(PNSGD(preset("mnist"))), "epsilon", 1000, {"sigma": 0.03}),
    ],
)  # fmt: skip
def test_hard_questions_have_the_same_digits_in_both_arithmetics(
    accountant: UnlearningAccountant, unknown: str, digits: int, question: dict[str, float]
) -> None:
    proved, evaluated = (
        enclose(accountant, unknown, digits=digits, arithmetic=name, epochs=1, **question) for name in ("interval", "mp")
    )
    assert abs(proved.upper - evaluated.upper) * 10 ** (digits - 1) <= proved.upper


def test_a_number_with_a_million_zeros_is_refused_in_one_sentence() -> None:
    accountant = UnlearningAccountant(PNSGD(preset("mnist"), 128))
    with pytest.raises(InputError, match="too far from one"):
        enclose(accountant, "delta", arithmetic="interval", sigma=0.03, epsilon=10.0, epochs=1)
