"""What attackers can do: never more than said, against closed forms, all threshold tests, attacks that attain it, and a search
over the definition of regret."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf
from scipy.stats import norm

from accountant import PNSGD, Guarantee, InputError, UnlearningAccountant, preset

CHANCES = st.floats(1e-6, 1 - 1e-6)


def gaussian(mu: float) -> Guarantee:
    return Guarantee("gdp", weights=[1.0], values=[mu])


@st.composite
def mixtures(draw: st.DrawFn, kind: str = "gdp", most: float = 4.0) -> Guarantee:
    count = draw(st.integers(1, 4))
    weights = np.array(draw(st.lists(st.floats(0.05, 1.0), min_size=count, max_size=count)))
    values = draw(st.lists(st.floats(0.02, most), min_size=count, max_size=count))
    return Guarantee(kind, weights=weights / weights.sum(), values=values)


def every_kind() -> list[Guarantee]:
    gdp = Guarantee("gdp", weights=[0.9, 0.1], values=[0.1, 0.8])
    secret = PNSGD(replace(preset("mnist"), adjacency="remove"), 1024, assignment="secret")
    return [
        gdp,
        Guarantee("gdp-tangent", weights=[0.9, 0.1], values=[0.1, 0.8]),
        Guarantee("gaussian-mixture", weights=[0.9, 0.1], values=[0.1, 0.8]),
        Guarantee("gaussian-mixture", weights=[0.9, 0.1], values=[0.1, 0.8], added=1e-3),
        Guarantee("contraction", weights=[0.9, 0.1], values=[0.1, 0.8], blocks=[0.5, 0.4]),
        Guarantee("linear", weights=[0.5, 0.5], values=[0.01, 0.1], conversion="improved"),
        UnlearningAccountant(replace(secret, redraw=True)).guarantee(sigma=1e-3, epochs=1),
        UnlearningAccountant(replace(secret, learn_epochs=2, assignment="fresh")).guarantee(sigma=1e-3, epochs=1),
    ]


@pytest.mark.parametrize("mu", [1e-150, 1e-12, 1e-3, 0.5, 1.0, 3.0, 12.0, 1e3, 1e150])
def test_the_advantage_against_one_gaussian_is_its_closed_form(mu: float) -> None:
    with mp.workdps(60):
        truth = mp.erf(mpf(mu) / (2 * mp.sqrt(2)))  # 2 Phi(mu/2) - 1
        found = mpf(gaussian(mu).advantage())
        assert truth <= found <= min(truth * (1 + mpf(10) ** -11), mpf(1))


@pytest.mark.parametrize("mu", [0.01, 0.5, 3.0])
@pytest.mark.parametrize("prior", [1e-9, 0.03, 0.5, 0.9])
def test_the_accuracy_is_that_of_the_bayes_test(mu: float, prior: float) -> None:
    with mp.workdps(40):
        p, m = mpf(prior), mpf(mu)
        threshold = m / 2 + mp.log((1 - p) / p) / m
        truth = (1 - p) * mp.ncdf(threshold) + p * mp.ncdf(m - threshold)
        assert truth <= mpf(gaussian(mu).accuracy(prior)) <= truth + mpf(10) ** -12


@pytest.mark.parametrize("mu", [1e-6, 0.01, 0.5, 3.0, 20.0])
@pytest.mark.parametrize("baseline", [1e-250, 1e-12, 0.01, 0.3, 0.5, 0.99, 1 - 1e-9])
def test_reconstruction_is_one_less_the_trade_off_function(mu: float, baseline: float) -> None:
    """To all digits also where the chance is far below the rounding of one."""
    x = mpf(float(norm.isf(baseline)))
    with mp.workdps(300):
        quantile = mp.findroot(lambda q: mp.log(mp.ncdf(-q)) - mp.log(mpf(baseline)), x)
        truth = mp.ncdf(mpf(mu) - quantile)
        found = mpf(gaussian(mu).reconstruction(baseline))
        assert truth <= found <= truth + mpf(10) ** -6 * (truth - mpf(baseline)) + mpf(10) ** -12 * truth


@given(mixtures("gaussian-mixture"), CHANCES)
@settings(max_examples=12, deadline=None)
def test_no_threshold_does_better_than_is_said(guarantee: Guarantee, prior: float) -> None:
    """All tests of one dimension, both ways round: thresholds are the best (Neyman & Pearson), and attain it."""
    t = np.linspace(-9.0, 14.0, 4001)
    of_mixture = norm.sf(t[:, None] - guarantee.values) @ guarantee.weights
    below = norm.cdf(t[:, None] - guarantee.values) @ guarantee.weights
    for false, true in ((norm.sf(t), of_mixture), (below, norm.cdf(t))):
        assert np.max(true - false) <= guarantee.advantage() * (1 + 1e-12) + 1e-15
        assert np.max((1 - prior) * (1 - false) + prior * true) <= guarantee.accuracy(prior) + 1e-15
        assert np.all(true[::400] <= guarantee.reconstruction(false[::400]) + 1e-12)
    best = max(
        np.max((1 - prior) * (1 - false) + prior * true) for false, true in ((norm.sf(t), of_mixture), (below, norm.cdf(t)))
    )
    # Symmetric in the two runs: the one of the two priors that the pair is worse for is what is said.
    other = max(
        np.max(prior * (1 - false) + (1 - prior) * true) for false, true in ((norm.sf(t), of_mixture), (below, norm.cdf(t)))
    )
    assert guarantee.accuracy(prior) <= max(best, other) + 1e-4


@pytest.mark.parametrize("guarantee", every_kind(), ids=lambda g: g.kind)
def test_every_kind_is_as_its_own_trade_off_function(guarantee: Guarantee) -> None:
    x = np.array([0.0, 1e-9, 1e-4, 0.01, 0.2, 0.5, 0.8, 0.99, 1.0])
    found, whole = guarantee.reconstruction(x), 1 - guarantee.tradeoff(x)
    assert np.all(found <= whole + 1e-5)
    assert np.all(found >= x)
    if guarantee.kind in ("gdp", "gaussian-mixture") and not guarantee.redrawn:
        assert np.all(found >= whole - 1e-9)
    assert found[-1] == 1
    assert np.all(np.diff(found) >= 0)
    # The advantage is the largest distance from the diagonal.
    grid = np.linspace(0.3, 0.5, 41)
    most = np.max(guarantee.reconstruction(grid) - grid)
    assert most <= guarantee.advantage() * (1 + 1e-9)
    # A Renyi curve is no law's: points of it with epsilon > 0 say a little more than delta(0).
    assert most >= guarantee.advantage() * (0.98 if guarantee.kind == "linear" else 0.999)
    assert guarantee.accuracy(0.5) == pytest.approx((1 + guarantee.advantage()) / 2, rel=1e-12)


@given(mixtures(), mixtures())
@settings(max_examples=25, deadline=None)
def test_two_releases_tell_at_most_the_sum_and_more_than_each(one: Guarantee, two: Guarantee) -> None:
    both = one.compose(two).advantage()
    assert max(one.advantage(), two.advantage()) * (1 - 1e-9) <= both <= one.advantage() + two.advantage() + 1e-9


def test_reconstruction_is_attained() -> None:
    """The theory's instance: records are arcs of a circle, and one guess attains 1 - G_mu."""
    mu, count = 1.3, 20
    u = (np.arange(200_000) + 0.5) / 200_000
    density = np.exp(mu * norm.isf(u) - mu**2 / 2)  # of N(mu, 1) to N(0, 1), where the share u of N(0, 1) is above
    success = 0.0
    for z in range(count):
        law = np.roll(density, z * u.size // count)
        guess = (u * count).astype(int)
        success += law[guess == z].sum() / u.size / count
    bound = gaussian(mu).reconstruction(1 / count)
    assert success == pytest.approx(bound, rel=1e-3)


@pytest.mark.parametrize("count", [2, 10, 100])
def test_an_attack_on_records_in_all_directions_stays_below(count: int) -> None:
    """A record of ``count`` as likely ones moves the model by mu in a direction of its own; the best guess is the largest."""
    mu, trials = 1.5, 200_000
    rng = np.random.default_rng(count)
    moved = rng.normal(mu, size=trials)
    largest = norm.ppf(rng.uniform(size=trials) ** (1 / (count - 1)))  # of the other directions
    rate = np.mean(moved > largest)
    assert 1 / count < rate <= gaussian(mu).reconstruction(1 / count) + 5 * np.sqrt(0.25 / trials)


@pytest.mark.parametrize("mu", [1e-100, 1e-9, 0.3, 5.0, 1e100])
def test_one_gaussian_has_no_regret(mu: float) -> None:
    of = gaussian(mu).regret()
    assert (of.mu, of.regret) == (mu, 0.0)
    assert Guarantee("gdp", weights=[1.0], values=[0.0]).regret().regret == 0.0


@given(mixtures(most=2.5))
@settings(max_examples=15, deadline=None)
def test_regret_is_the_smallest_shift_between_the_trade_off_functions(guarantee: Guarantee) -> None:
    """By the definition, searched: f(x + r) - r <= G_mu(x) for all x, and not for a smaller r."""
    of = guarantee.regret(1e-10)
    x = np.unique(np.concatenate([np.linspace(0, 1, 1501), norm.sf(np.linspace(-4, 4, 800))]))
    mine, theirs = guarantee.tradeoff(x), norm.cdf(norm.isf(x) - of.mu)
    # Where the curve counts, the one mu is below it.
    assert np.all(theirs <= mine + 1e-9)

    def holds(shift: float) -> bool:
        shifted = np.asarray(guarantee.tradeoff(np.minimum(x + shift, 1.0))) - shift
        return bool(np.all(shifted <= theirs + 1e-12))

    assert holds(of.regret + 1e-9)
    if of.regret > 1e-4:
        assert not holds(of.regret - 1e-4)


@pytest.mark.parametrize("apart", [1e-2, 1e-4, 1e-6])
def test_a_regret_that_is_nearly_none_is_still_one(apart: float) -> None:
    """Nearly one Gaussian: against the definition, on a grid of digits."""
    guarantee = Guarantee("gdp", weights=[0.5, 0.5], values=[0.5, 0.5 + apart])
    of = guarantee.regret()

    def delta(epsilon: mpf, mu: float) -> mpf:
        return mp.ncdf(-epsilon / mu + mpf(mu) / 2) - mp.exp(epsilon) * mp.ncdf(-epsilon / mu - mpf(mu) / 2)

    with mp.workdps(40):
        truth = max(
            (delta(e, of.mu) - sum(w * delta(e, mu) for w, mu in zip((0.5, 0.5), guarantee.values.tolist(), strict=True)))
            / (1 + mp.exp(e))
            for e in (mpf(at) / 200 for at in range(400))
        )
    assert truth <= of.regret <= truth * (1 + mpf("1e-4")) + mpf("1e-9")
    assert of.regret > apart / 100


@given(mixtures(), CHANCES)
@settings(max_examples=40, deadline=None)
def test_regret_is_the_most_that_mu_claims_too_much(guarantee: Guarantee, prior: float) -> None:
    of = guarantee.regret()
    alone = gaussian(of.mu)
    assert alone.accuracy(prior) - guarantee.accuracy(prior) <= of.regret + 1e-12
    assert alone.accuracy(of.prior) - guarantee.accuracy(of.prior) == pytest.approx(of.regret, abs=1e-7)
    assert guarantee.accuracy(prior) <= alone.accuracy(prior) + 1e-11


@pytest.mark.parametrize("guarantee", every_kind(), ids=lambda g: g.kind)
def test_every_kind_has_a_regret_or_says_why_not(guarantee: Guarantee) -> None:
    if guarantee.kind == "linear":
        with pytest.raises(InputError, match="Rényi"):
            guarantee.regret(1e-2)
        return
    of = guarantee.regret(1e-2)
    assert 0 <= of.regret <= gaussian(of.mu).advantage() / 2
    assert of.smallest_delta == 1e-2
    if guarantee.added:
        with pytest.raises(InputError, match="smallest_delta"):
            guarantee.regret(guarantee.added / 2)


@pytest.mark.parametrize("bad", [-1e-9, 1.0000001, float("nan"), float("inf"), "half", None, [0.1, 2.0]])
def test_what_is_no_chance_is_refused_by_name(bad: object) -> None:
    with pytest.raises(InputError, match="prior"):
        gaussian(1.0).accuracy(bad)  # type: ignore[call-overload]
    with pytest.raises(InputError, match="baseline"):
        gaussian(1.0).reconstruction(bad)  # type: ignore[call-overload]


@pytest.mark.parametrize("bad", [0.0, 1.0, float("nan"), "1%"])
def test_a_smallest_delta_is_between_zero_and_one(bad: object) -> None:
    with pytest.raises(InputError, match="smallest_delta"):
        gaussian(1.0).regret(bad)  # type: ignore[arg-type]


def test_shapes_are_those_of_the_argument() -> None:
    for asked in (gaussian(1.0).accuracy, gaussian(1.0).reconstruction):
        assert isinstance(asked(0.2), float)
        assert asked([[0.1, 0.2, 0.3]]).shape == (1, 3)
        assert asked(np.zeros((0, 2))).shape == (0, 2)


def test_the_shell_tells_the_same_risk() -> None:
    from typer.testing import CliRunner

    from accountant.commands.program import app

    words = "epsilon --preset mnist --batch-size 128 --sigma 0.001 --epochs 1"
    guarantee = UnlearningAccountant(PNSGD(preset("mnist"), 128)).guarantee(sigma=0.001, epochs=1)
    found = json.loads(CliRunner().invoke(app, [*words.split(), "--json"]).stdout)["risk"]
    assert found == {
        "advantage": guarantee.advantage(),
        "right_of_two": guarantee.accuracy(0.5),
        "guess": 0.01,
        "guess_with_model": guarantee.reconstruction(0.01),
    }
    told = " ".join(CliRunner().invoke(app, [*words.split(), "--verbose"]).stdout.split())
    assert "right in at most 50.6828 % (50 % by guessing)" in told
    assert "right in 1 % without the model: in at most 1.225 % with it" in told
    # Plans are about many requests, and say it of none.
    words = "plan --preset mnist --sigma 0.01 --epsilon 1 --requests 3"
    assert CliRunner().invoke(app, words.split()).exit_code == 0
