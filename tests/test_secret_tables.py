"""``verify`` and ``compare`` where records draw their batches by themselves: no row is one of a partition silently."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from accountant.commands.program import app

HEAD = "preset,b,{},adjacency,sigma,eps,K"
SECRET = ("--preset", "mnist", "--batch-size", "128", "--assignment", "secret", "--adjacency", "remove")


def run(*words: str, stdin: str | None = None) -> Any:
    return CliRunner().invoke(app, list(words), input=stdin)


def rows(table: str, *words: str) -> list[dict[str, Any]]:
    result = run("verify", "-", "--json", *words, stdin=table)
    assert result.exit_code in (0, 1), result.output
    made: list[dict[str, Any]] = json.loads(result.stdout)["rows"]
    return made


def row(said: str, adjacency: str, sigma: float, *words: str, column: str = "sampling") -> dict[str, Any]:
    (made,) = rows(f"{HEAD.format(column)}\nmnist,128,{said},{adjacency},{sigma},1,1\n", *words)
    return made


@pytest.mark.parametrize("column", ["assignment", "sampling", "Batching", "Batch sampling", "sampler", "sub-sampling"])
def test_rows_of_secret_draws_are_judged_as_such(column: str) -> None:
    good, bad = row("secret", "remove", 7.85e-5, column=column), row("secret", "remove", 7.84e-5, column=column)
    assert (good["verdict"], bad["verdict"], good["method"]) == ("certified", "fails", "optimal")
    assert good["sigma_needed"] == pytest.approx(7.84526706744738e-05, rel=1e-9)
    assert good["assumed"]["redraw"] == "no"
    assert good["assumed"]["largest_n"] == 12391
    assert good["assumed"]["method"] == "optimal"


def test_a_stand_in_needs_more_and_is_what_is_taken_where_nothing_is_said() -> None:
    assert row("secret", "replace", 7.85e-5)["sigma_needed"] == pytest.approx(0.000201764404, rel=1e-6)
    (made,) = rows("preset,b,sampling,sigma,eps,K\nmnist,128,secret,0.0001,1,1\n")
    assert made["verdict"] == "fails"
    assert made["assumed"]["adjacency"] == "replace"


@pytest.mark.parametrize("said", ["cyclic", "partition", "Fixed"])
def test_what_means_a_partition_is_one(said: str) -> None:
    assert row(said, "replace", 0.003)["verdict"] == "certified"


@pytest.mark.parametrize("said", ["shuffle", "reshuffled each epoch", "RR", "random permutation", "without replacement"])
def test_what_leaves_the_order_open_is_asked(said: str) -> None:
    made = row(said, "replace", 0.003)
    assert made["verdict"] == "unchecked"
    assert made["reason"] == (
        "assignment must say which: partition (one random order, kept in every epoch), with batches=reshuffle for a new order "
        f"in every epoch of learning, or secret, fresh or poisson, got {said!r} (line 2)"
    )


def test_an_empty_cell_is_asked_for() -> None:
    made = row("", "replace", 0.003)
    assert (made["verdict"], made["reason"]) == (
        "unchecked",
        "column 'sampling': assignment is not given: fill in the cell, or give --assignment (line 2)",
    )


def test_poisson_is_no_partition() -> None:
    made = row("Poisson", "remove", 0.003)
    assert made["verdict"] == "unchecked"
    assert "learn_epochs" in made["reason"]
    assert row("Poisson", "remove", 0.003, "--method", "paper")["verdict"] == "unchecked"
    assert "got 'uniform'" in row("uniform", "remove", 0.003)["reason"]


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("data order", "Poisson sampling"),
        ("loader", "shuffle=True"),
        ("shuffle", "yes"),
        ("poisson?", "1"),
        ("batch kind", "i.i.d."),
    ],
)
def test_a_column_that_nothing_reads_is_asked_about(column: str, cell: str) -> None:
    made = row(cell, "replace", 0.003, column=column)
    assert made["verdict"] == "unchecked"
    assert f"column {column!r} is not used" in made["reason"]
    assert "--assignment partition" in made["reason"]
    assert row(cell, "replace", 0.003, "--assignment", "partition", column=column)["verdict"] == "certified"
    assert row("no", "replace", 0.003, column=column)["verdict"] == "certified"


def test_options_and_columns_of_own_draws() -> None:
    table = "preset,b,sigma,eps,K,redraw,largest_n\nmnist,32,1e-8,1,1,{},{}\n"
    words = ("--assignment", "secret", "--adjacency", "remove", "--delta", "8.8778e-05")
    kept, redrawn = (rows(table.format(said, "11264"), *words)[0] for said in ("no", "yes"))
    assert kept["sigma_needed"] > redrawn["sigma_needed"] > 1.57894e-9
    # Of a key nobody says that it was redrawn.
    silent = rows("preset,b,sigma,eps,K,largest_n\nmnist,32,1e-8,1,1,11264\n", *words)[0]
    assert silent["sigma_needed"] == kept["sigma_needed"]
    assert "redraw must be yes or no" in rows(table.format("maybe", "11264"), *words)[0]["reason"]
    assert "largest_n must be" in rows(table.format("no", "10"), *words)[0]["reason"]
    # With 1.1 n records ever in, batches are too large too often.
    late = rows(table.format("no", ""), *words)[0]
    assert (late["verdict"], late["sigma_needed"]) == ("fails", None)
    assert "would do" in late["reason"]


def test_methods_that_know_no_draws_say_so() -> None:
    table = "preset,b,sampling,adjacency,method,sigma,eps,K\nmnist,{},secret,remove,{},0.1,1,1\n"
    assert "partition" in rows(table.format(128, "paper"))[0]["reason"]
    assert "draws no batches" in rows(table.format("full", "d2d"))[0]["reason"]


def compared(*words: str) -> dict[str, dict[str, Any]]:
    result = run("compare", "--epsilon", "1", "--requests", "0", "--json", *words)
    assert result.exit_code == 0, result.output
    return {made["method"]: made for made in json.loads(result.stdout)["methods"]}


def test_compare_puts_secret_draws_beside_a_partition() -> None:
    plain, own = compared("--preset", "mnist", "--batch-size", "128"), compared(*SECRET)
    assert plain["secret"]["sigma"] == own["optimal"]["sigma"] == pytest.approx(7.84526706744738e-05, rel=1e-9)
    assert plain["optimal"]["sigma"] == pytest.approx(0.000305181372, rel=1e-9)
    assert own["partition"]["sigma"] == pytest.approx(0.000152590686, rel=1e-8)
    assert "partition" not in plain
    assert "secret" not in own
    for name in ("paper", "paper-geometric", "not-converged"):
        assert own[name]["sigma"] is None
        assert "assignment=secret needs bound=optimal: the published bounds are about a partition" in own[name]["reason"]
    # On all points nothing is drawn.
    assert own["langevin"]["sigma"] == plain["langevin"]["sigma"]
    assert own["retrain"]["gradient_evaluations"] == plain["retrain"]["gradient_evaluations"]
    assert list(compared("--preset", "mnist", "--method", "secret")) == ["secret"]
    assert set(compared("--preset", "mnist", "--batch-size", "128", "--assignment", "secret")) >= {"secret", "partition"}
