"""Answers to many digits: they agree with mpmath computed here, with each other, and with the doubles."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from problems import random_algorithm
from typer.testing import CliRunner

from accountant import PNSGD, InputError, Problem, UnlearningAccountant, UnlearningStream, preset
from accountant.commands.program import app
from accountant.curves import GDPCurve, Mixture, PrivacyCurve
from accountant.numerics import Precise, settle
from accountant.problem import binary
from accountant.questions import enclose
from accountant.requests import EnclosedStream

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


@pytest.mark.campaign
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
        # Without contraction and with endless learning only the ball bounds the distance.
        (
            UnlearningAccountant(PNSGD(Problem(n=18, smoothness=1.0), 16, step_size=0.3, radius=0.01), batches="worst"),
            "epsilon", 40, {"sigma": 1.0, "delta": 1e-5},
        ),
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


def run(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code in (0, 1), result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def exact_delta_of(epsilon: mp.mpf, terms: list[tuple[mp.mpf, mp.mpf]]) -> mp.mpf:
    """Of a mixture of Gaussians, (weight, mu), by tails alone."""
    return mp.fsum(w * (mp.ncdf(-epsilon / m + m / 2) - mp.exp(epsilon) * mp.ncdf(-epsilon / m - m / 2)) for w, m in terms)


@pytest.mark.parametrize("arithmetic", ["interval", "mp"])
def test_a_stream_of_full_batches_to_forty_digits(arithmetic: str) -> None:
    # One batch: every string is its chord, so mu is the sum of D c^N sqrt(1 - c^2)/nu.
    counts, sigma = [4, 1, 2], 0.003
    stream = UnlearningStream(UnlearningAccountant(PNSGD(preset("mnist"))), sigma=sigma, epsilon=1.0)
    enclosed = EnclosedStream(stream, digits=40, arithmetic=arithmetic)
    doubles = stream.follow(counts).epsilon
    with mp.workdps(80):
        n, m, smooth = mp.mpf(11264), mp.mpf("0.011264"), mp.mpf("0.261264")
        eta = 1 / smooth
        c = 1 - eta * m
        z, distance = 2 * eta / n / (1 - c), mp.mpf(0)
        for double, count in zip(doubles, counts, strict=True):
            distance = (distance + z) * c**count
            mu = distance * mp.sqrt(1 - c * c) / mp.sqrt(2 * eta) / mp.mpf(str(sigma))
            found = enclosed.enclose("epsilon", 1, count)
            exact = mp.findroot(lambda e, mu=mu: exact_delta_of(e, [(mp.mpf(1), mu)]) - 1 / n, mp.mpf(float(double)))
            assert abs(mp.mpf(str(found)) / exact - 1) < mp.mpf(10) ** -38
            assert found.upper <= Fraction(float(double)) <= found.upper * (1 + Fraction(1, 10**9))
            needed = enclosed.enclose("sigma", 1, count)
            reached = mu * mp.mpf(str(sigma)) / mp.mpf(str(needed))
            assert abs(exact_delta_of(mp.mpf(1), [(mp.mpf(1), reached)]) * n - 1) < mp.mpf(10) ** -36
            enclosed.answer(1, count)


def test_a_published_stream_to_thirty_digits() -> None:
    # epsilon = rho + 2 sqrt(rho log(1/delta)), rho = Z^2/(2 eta sigma^2) after Z <- (Z + Z_B) c^N.
    counts, sigma = [90, 85, 86], 0.01
    stream = UnlearningStream(UnlearningAccountant(PNSGD(preset("mnist"), 128), bound="paper"), sigma=sigma, epsilon=0.1)
    enclosed = EnclosedStream(stream, digits=30)
    with mp.workdps(60):
        m, smooth = mp.mpf("0.011264"), mp.mpf("0.261264")
        eta = 1 / smooth
        c = 1 - eta * m
        z, distance = 2 * eta / 128 / (1 - c**88), mp.mpf(0)
        for count in counts:
            distance = (distance + z) * c**count
            rho = distance**2 / (2 * eta * mp.mpf(str(sigma)) ** 2)
            exact = rho + 2 * mp.sqrt(rho * mp.log(11264))
            assert abs(mp.mpf(str(enclosed.enclose("epsilon", 1, count))) / exact - 1) < mp.mpf(10) ** -29
            enclosed.answer(1, count)


def test_random_streams_in_doubles_are_on_the_safe_side_of_their_digits() -> None:
    rng = np.random.default_rng(11)
    for k in range(20):
        run_ = random_algorithm(rng, **({"learn_epochs": None} if k % 2 else {}))
        bound = str(rng.choice(["optimal", "optimal", "paper-geometric"]))
        radius = None if k % 3 else float(10 ** rng.uniform(-2, 1))
        batches = str(rng.choice(["random", "worst"]))
        accountant = UnlearningAccountant(replace(run_, radius=radius), bound=bound, batches=batches)
        try:
            stream = UnlearningStream(accountant, sigma=1.0, epsilon=1.0, delta=1e-5)
        except InputError:
            continue
        counts = rng.integers(1, 12, 4).tolist()
        enclosed = EnclosedStream(stream, digits=20)
        for double, count in zip(stream.follow(counts[: run_.problem.n]).epsilon.tolist(), counts, strict=False):
            if np.isfinite(double):
                # Streams read doubles as decimals, and these constants are not.
                found = float(enclosed.enclose("epsilon", 1, count).upper)
                assert double - found <= 1e-9 * (1 + found), (run_, bound, count)
                # Enclosures show strings, which prove less than blocks between projections.
                assert double - found >= -1e-12 * (1 + found) or (radius is not None and bound == "optimal"), (run_, count)
            enclosed.answer(1, count)


def test_rows_of_a_table_print_what_the_other_commands_print(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("method,b,sigma,K,eps\npaper,128,0.0028,1,1\noptimal,128,0.0003,1,1\nd2d,full,6.2,1,1\ndp,128,0.1,,1\n")
    result = run("verify", str(table), "--preset", "mnist", "--precision", "30")
    assert {name: result["precision"][name] for name in ("digits", "proved")} == {"digits": 30, "proved": True}
    same = ("--preset", "mnist", "--batch-size", "128", "--precision", "30")
    for row, noise in zip(result["rows"][:2], ("0.0028", "0.0003"), strict=True):
        sigma = run("sigma", *same, "--bound", row["method"], "--epsilon", "1", "--epochs", "1")["precision"]["sigma"]
        epsilon = run("epsilon", *same, "--bound", row["method"], "--sigma", noise, "--epochs", "1")["precision"]["epsilon"]
        assert (row["precise"]["sigma_needed"], row["precise"]["epsilon_achieved"]) == (sigma, epsilon)
        assert row["precise"]["epochs_needed"] == "2"
        for name in ("sigma_needed", "epsilon_achieved", "epsilon_tightest", "sigma_tightest"):
            exact = Fraction(row["precise"][name])
            assert exact <= Fraction(row[name]) * (1 + Fraction(1, 10**29)) <= exact * (1 + Fraction(1, 10**9))
    assert "d2d" in result["rows"][2]["precise"].pop("reason")
    assert set(result["rows"][2]["precise"].values()) == {None}
    # No unlearning: the steps of the table are not run.
    learned = run("sigma", *same, "--epsilon", "1", "--epochs", "0")["precision"]["sigma"]
    assert result["rows"][3]["precise"]["sigma_needed"] == learned
    compared = run("compare", "--preset", "mnist", "--batch-size", "128", "--epsilon", "1", "--precision", "30")
    assert compared["precision"]["sigma"]["dp"] == learned


def test_lists_of_a_table_and_plans_have_the_digits_of_their_stream(tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    table.write_text("request,points,steps\n1,1,13\n2,1,16\n3,2,25\n4,1,30\n")
    same = ("--preset", "mnist", "--batch-size", "128", "--sigma", "0.01", "--epsilon", "1")
    rows = run("verify", str(table), *same, "--method", "optimal", "--precision", "25")["rows"]
    made = run("plan", *same, "--requests", "2", "--precision", "25")
    assert [row["steps"] for row in made["requests"]] == [13, 16]
    assert [row["precise"]["epsilon_achieved"] for row in rows[:2]] == [row["precise"] for row in made["requests"]]
    first = run("epsilon", *same[:4], "--sigma", "0.01", "--steps", "13", "--precision", "25")["precision"]["epsilon"]
    assert made["requests"][0]["precise"] == first
    assert made["precision"]["epsilon"] == max(row["precise"] for row in made["requests"])
    assert made["precision"]["sigma"] is None
    assert made["precision"]["inputs"]["delta"] == "1/11264"
    # Two points at random are averaged on a grid; what comes after them is not.
    assert rows[2]["precise"]["epsilon_achieved"] is None
    assert "grid" in rows[2]["precise"]["reason"]
    assert rows[3]["precise"]["reason"] is None
    for row in (rows[0], rows[1], rows[3]):
        assert 0 <= row["epsilon_achieved"] / float(row["precise"]["epsilon_achieved"]) - 1 < 1e-9
        assert Fraction(row["precise"]["epochs_needed"]) * 88 == pytest.approx(row["epochs_needed"] * 88)


def test_the_noise_of_an_optimized_plan_to_many_digits() -> None:
    same = ("plan", "--preset", "mnist", "--epsilon", "1", "--requests", "2", "--optimize", "--max-sigma", "0.01")
    made = run(*same, "--precision", "20")
    sigma = Fraction(made["precision"]["sigma"])
    # Found to a thousandth, and the smallest for these steps.
    assert sigma <= Fraction(made["sigma"]) <= sigma * (1 + Fraction(11, 10_000))
    steps = [row["steps"] for row in made["requests"]]
    assert sum(steps) == made["total_steps"]
    accountant = UnlearningAccountant(PNSGD(preset("mnist")))
    above, below = (
        UnlearningStream(accountant, sigma=float(sigma) * factor, epsilon=1.0).follow(steps).epsilon.max()
        for factor in (1 + 1e-9, 1 - 1e-9)
    )
    assert above <= 1 < below


def test_reproduced_tables_have_digits_where_a_bound_has_them() -> None:
    made = run("reproduce", "table3", "--precision", "20")
    row = next(row for row in made["rows"] if (row["batch_size"], row["epsilon"]) == (128, 1))
    same = ("sigma", "--preset", "mnist", "--batch-size", "128", "--epsilon", "1", "--epochs", "1", "--precision", "20")
    assert row["precise"]["ours"] == run(*same, "--bound", "paper")["precision"]["sigma"]
    assert row["precise"]["optimal"] == run(*same)["precision"]["sigma"]
    assert all(float(row["precise"][name]) <= row[name] * (1 + 1e-15) for row in made["rows"] for name in ("ours", "optimal"))


@pytest.mark.parametrize(
    "command",
    [
        ("plan", "--preset", "mnist", "--sigma", "0.01", "--epsilon", "1", "--requests", "2"),
        ("verify", "--builtin"), ("reproduce", "table3"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("digits", ["0", "1001", "ten"])
def test_bad_numbers_of_digits_are_refused_before_any_work(command: tuple[str, ...], digits: str) -> None:
    result = CliRunner().invoke(app, [*command, "--precision", digits])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "precision must be" in result.stderr or "a whole number" in result.stderr


def test_tables_without_a_bound_have_no_more_digits() -> None:
    result = CliRunner().invoke(app, ["reproduce", "table1", "--precision", "20"])
    assert result.exit_code == 2
    assert "precision must be left out for table1" in result.stderr


def test_digits_stand_in_every_form_of_the_output(tmp_path: Path) -> None:
    table, page = tmp_path / "table.csv", tmp_path / "page.html"
    table.write_text("method,b,sigma,K,eps\noptimal,full,0.006,1,1\nretrain,full,1,1000,1\n")
    sigma = "0.0050915049999203146108"
    base = ["verify", str(table), "--preset", "mnist", "--precision", "20"]
    screen = CliRunner().invoke(app, [*base, "--html", str(page)]).stdout
    assert sigma in " ".join(screen.split())
    assert "retrain has a formula of its own" in " ".join(screen.split())
    assert sigma in page.read_text(encoding="utf-8")
    assert f"| {sigma} |" in CliRunner().invoke(app, [*base, "--markdown"]).stdout
    rows = tmp_path / "rows.csv"
    plan = ["plan", "--preset", "mnist", "--sigma", "0.01", "--epsilon", "1", "--requests", "1", "--precision", "20"]
    assert CliRunner().invoke(app, [*plan, "--csv", str(rows)]).exit_code == 0
    assert rows.read_text(encoding="utf-8").splitlines()[0].endswith(",precise")
