"""The commands where records draw their batches by themselves: every one of them, their keys, files and refusals."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from accountant import PNSGD, InputError, Problem, UnlearningAccountant, UnlearningStream, preset
from accountant.commands.program import app

SECRET = ("--preset", "mnist", "--batch-size", "128", "--assignment", "secret", "--adjacency", "remove")
REMOVAL = replace(preset("mnist"), adjacency="remove")
OWN = UnlearningAccountant(PNSGD(REMOVAL, 128, assignment="secret"))


def run(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def made(*words: str) -> dict[str, Any]:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def refused(*words: str) -> str:
    result = run(*words)
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("Error: ")
    return str(line)


ASKED: dict[str, tuple[str, ...]] = {
    "sigma": ("--epsilon", "1", "--epochs", "1"),
    "epsilon": ("--sigma", "0.0001", "--epochs", "1"),
    "delta": ("--sigma", "0.0001", "--epsilon", "1", "--epochs", "1"),
    "epochs": ("--sigma", "0.0001", "--epsilon", "1"),
    "curve": ("--sigma", "0.0001", "--epochs", "1", "--grid", "3"),
}


@pytest.mark.parametrize("command", ASKED)
def test_every_command_says_how_batches_are_drawn_and_paid_for(command: str) -> None:
    found = made(command, *SECRET, *ASKED[command])
    assert found["assignment"] == "secret"
    # A delta that is asked for is smaller by what redrawing saves, however little.
    assert found["oversize"]["redraw"] is False
    if command != "delta":
        assert found["oversize"]["chance"] == pytest.approx(5.5158e-17, rel=1e-4)
    assert found["problem"]["adjacency"] == "remove"
    assert found["algorithm"]["largest_n"] == 12391
    assert any("same history without the deleted records" in line for line in found["assumptions"])
    assert any("stay secret for ever" in line for line in found["assumptions"])
    if command != "curve":
        assert found["comparison"]["assignment"] == "partition"
        assert found["comparison"]["adjacency"] == "zero-out"
    redrawn = made(command, *SECRET, *ASKED[command], "--redraw", "yes")
    assert redrawn["oversize"]["redraw"] is True
    assert any("redrawn at the start" in line for line in redrawn["assumptions"])


def test_the_numbers_are_those_of_python() -> None:
    assert made("sigma", *SECRET, *ASKED["sigma"])["sigma"] == OWN.sigma(epsilon=1.0, epochs=1)
    assert made("epsilon", *SECRET, *ASKED["epsilon"])["epsilon"] == OWN.epsilon(sigma=0.0001, epochs=1)
    points = made("curve", *SECRET, *ASKED["curve"])["points"]
    curve = OWN.guarantee(sigma=0.0001, epochs=1)
    assert [point["epsilon"] for point in points] == [curve.epsilon(point["delta"]) for point in points]
    half = made("sigma", *SECRET, *ASKED["sigma"])["comparison"]["sigma"]
    assert half == pytest.approx(0.000152590686, rel=1e-8)


def test_the_table_shows_how_batches_are_paid_for() -> None:
    assert "never redrawn" in run("sigma", *SECRET, *ASKED["sigma"], "--verbose").stdout
    small = run("sigma", *SECRET, *ASKED["sigma"], "--batch-size", "32", "--verbose").stdout
    assert "redraw the key at the start" in " ".join(small.split())
    assert "one partition" in small
    assert "oversize" not in run("sigma", "--preset", "mnist", *ASKED["sigma"]).stdout


def test_problem_files_have_the_keys_and_options_override_them(tmp_path: Path) -> None:
    file = tmp_path / "problem.toml"
    text = "n = 11264\nsmoothness = 0.261264\nstrong_convexity = 0.011264\nbatch_size = 32\nlargest_n = 11264\n"
    file.write_text(text + 'assignment = "secret"\nadjacency = "remove"\nredraw = false\n')
    words = ("sigma", "--problem", str(file), *ASKED["sigma"])
    kept, redrawn, free = made(*words), made(*words, "--redraw", "yes"), made(*words, "--redraw", "default")
    assert (kept["oversize"]["redraw"], redrawn["oversize"]["redraw"]) == (False, True)
    assert kept["sigma"] > redrawn["sigma"] == free["sigma"]
    file.write_text(text + 'assignment = "secret"\nadjacency = "remove"\nredraw = "often"\n')
    assert f"redraw in {file} must be yes or no" in refused(*words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--assignment", "partition"), "--adjacency remove needs an assignment by own draws"),
        (("--assignment", "shuffled"), "assignment must be one of partition, secret, fresh, poisson"),
        (("--adjacency", "zero-out"), "--adjacency must be remove or replace with --assignment secret"),
        (("--last-batch", "drop"), "--last-batch must be keep with --assignment secret"),
        (("--bound", "paper"), "--assignment secret needs --bound optimal"),
        (("--batches", "reshuffle"), "--batches must be random, worst or a position with --assignment secret"),
        (("--largest-n", "100"), "--largest-n must be a whole number from 11264, got 100"),
        (("--adjacency", "replace", "--redraw", "yes"), "--redraw needs --assignment secret and --adjacency remove"),
        (("--adjacency", "replace", "--assignment", "partition", "--redraw", "yes"), "redraw needs an assignment by own draws"),
        (("--adjacency", "replace", "--assignment", "partition", "--largest-n", "12000"), "--largest-n needs an assignment"),
        (("--assignment", "poisson"), "--assignment poisson needs --learn-epochs"),
        (("--assignment", "fresh", "--learn-epochs", "9", "--redraw", "yes"), "--redraw needs --assignment secret"),
        (("--batch-size", "8"), "a --step-size of at most 2.81679 or a --batch-size of 19 (the smallest) would do"),
        (
            ("--strong-convexity", "0.2", "--smoothness", "0.3", "--step-size", "6"),
            "--step-size must be at most 1/strong_convexity",
        ),
    ],
)
def test_refusals_are_one_sentence_that_names_the_option(words: tuple[str, ...], said: str) -> None:
    assert said in refused("sigma", *SECRET, *ASKED["sigma"], *words)


def test_words_for_redraw() -> None:
    result = run("sigma", *SECRET, *ASKED["sigma"], "--redraw", "maybe")
    assert result.exit_code == 2
    assert "--redraw must be yes or no, got 'maybe'" in result.stderr


def test_renyi_divergences_are_refused_where_batches_may_be_too_large() -> None:
    words = ("--sigma", "0.0001", "--epochs", "1", "--over", "alpha")
    assert "over must be delta with --assignment secret" in refused("curve", *SECRET, *words)
    # All of the curvature is the regulariser's: no batch is too large.
    own = ("--n", "100", "--smoothness", "1", "--strong-convexity", "1", "--batch-size", "10", "--step-size", "0.5")
    found = made("curve", *own, "--assignment", "secret", "--adjacency", "remove", *words, "--grid", "3")
    assert found["oversize"] == {"redraw": False, "chance": 0.0}
    with pytest.raises(InputError, match="never too large"):
        OWN.rdp(alpha=2.0, sigma=0.0001, epochs=1)
    with pytest.raises(InputError, match="gdp is about the batches of a partition"):
        OWN.gdp(sigma=0.0001, epochs=1)


# --- where theorem H does not hold


def test_a_stand_in_is_averaged_outside() -> None:
    found = made("sigma", *SECRET, "--adjacency", "replace", *ASKED["sigma"])
    assert found["sigma"] == pytest.approx(0.000201764404, rel=1e-6)
    assert found["oversize"]["redraw"] is False
    assert any("stand-in has an identifier of its own" in line for line in found["assumptions"])


def test_a_leaked_key_leaves_the_worst_batch() -> None:
    worst = made("sigma", *SECRET, *ASKED["sigma"], "--batches", "worst")
    assert worst["sigma"] == pytest.approx(0.00021323027, rel=1e-6)
    assert any("if the key leaks" in line for line in worst["assumptions"])
    zero = ("--preset", "mnist", "--batch-size", "128", "--adjacency", "zero-out", "--batches", "worst")
    assert worst["sigma"] == pytest.approx(made("sigma", *zero, *ASKED["sigma"])["sigma"], rel=1e-9)


def test_insertions_say_what_they_are_compared_with_and_need_own_draws() -> None:
    stream = UnlearningStream(OWN, sigma=0.003, epsilon=1.0)
    first = stream.request()
    stream.insert(100)
    stream.request()
    assert first == 9
    with pytest.raises(InputError, match=r"largest_n = 12391"):
        stream.insert(2000)
    with pytest.raises(InputError, match="only where they draw their batches by themselves"):
        UnlearningStream(UnlearningAccountant(PNSGD(preset("mnist"), 128)), sigma=0.003, epsilon=1.0).insert()
    redrawn = UnlearningAccountant(PNSGD(REMOVAL, 128, assignment="secret", redraw=True))
    with pytest.raises(InputError, match="redraw"):
        UnlearningStream(redrawn, sigma=0.003, epsilon=1.0).insert()
    assert any("newcomers included" in line for line in OWN.assumptions())


def test_a_partition_removes_nobody() -> None:
    with pytest.raises(InputError, match="adjacency=remove needs an assignment by own draws"):
        PNSGD(Problem(n=100, smoothness=1.0, adjacency="remove"), 10)


# --- plans


def test_plan_of_true_deletions() -> None:
    found = made("plan", *SECRET, "--sigma", "0.003", "--epsilon", "1", "--requests", "30")
    steps = [row["steps"] for row in found["requests"]]
    assert steps[0] == 9
    assert max(steps) == steps[-1] == 17
    replaced = made(
        "plan", "--preset", "mnist", "--batch-size", "128", "--sigma", "0.003", "--epsilon", "1", "--requests", "30"
    )
    assert replaced["requests"][-1]["steps"] >= 38
    assert any("newcomers included" in line for line in found["assumptions"])


JOINING = "time,points,joined\n0,1,0\n86400,0,200\n172800,2,0\n259200,1,50\n"


def test_plan_with_records_that_join(tmp_path: Path) -> None:
    file = tmp_path / "requests.csv"
    file.write_text(JOINING)
    words = ("--sigma", "0.003", "--epsilon", "1", "--requests", str(file))
    found = made("plan", *SECRET, *words)
    assert [(row["request"], row["points"]) for row in found["requests"]] == [(1, 1), (2, 2), (3, 1)]
    assert (found["joined"], found["redraw"]) == (250, False)
    assert any("250 records join after the start" in line for line in found["assumptions"])
    assert "250 records" in run("plan", *SECRET, *words).stdout
    stream = UnlearningStream(
        UnlearningAccountant(PNSGD(REMOVAL, 128, assignment="secret", redraw=False)), sigma=0.003, epsilon=1.0
    )
    steps = [stream.request()]
    stream.insert(200)
    steps.append(stream.request(2))
    stream.insert(50)
    assert [row["steps"] for row in found["requests"]] == [*steps, stream.request()]
    assert "records join only where they draw" in refused("plan", "--preset", "mnist", *words)
    assert "records cannot join where the key was redrawn" in refused("plan", *SECRET, "--redraw", "yes", *words)
    assert "of --largest-n = 11300, got 200" in refused("plan", *SECRET, "--largest-n", "11300", *words)
    assert "precision must be left out" in refused("plan", *SECRET, "--precision", "20", *words)
    later = made("plan", *SECRET, *words, "--window", "7d")
    assert [row["points"] for row in later["requests"]] == [4]
    best = made("plan", *SECRET, *words, "--optimize", "--deadline", "2d")
    assert best["joined"] == 250
    for row, said in (("0,0,0", "points must be a whole number from 1"), ("0,0,3", "at least one point")):
        file.write_text(f"time,points,joined\n{row}\n")
        assert said in refused("plan", *SECRET, *words)


def test_a_plan_settles_for_all_requests_whether_the_key_is_redrawn() -> None:
    words = ("--sigma", "0.003", "--epsilon", "1", "--requests", "3")
    small = made("plan", *SECRET, "--batch-size", "32", *words)
    assert small["redraw"] is True
    assert any("redrawn at the start" in line for line in small["assumptions"])
    assert made("plan", *SECRET, *words)["redraw"] is False
    assert made("plan", "--preset", "mnist", *words)["redraw"] is None
