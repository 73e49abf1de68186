"""Six answers make a problem file that needs no other option, with the constants that the loss has."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from accountant.commands.program import app

GIVEN = ["--loss", "logistic", "--n", "1000", "--feature-bound", "1", "--intercept", "--l2", "0.001", "--batch-size", "32"]


def run(*words: str, answers: str | None = None) -> Any:
    return CliRunner().invoke(app, list(words), input=answers)


def test_the_file_of_six_answers_needs_no_other_option(tmp_path: Path) -> None:
    file = tmp_path / "problem.toml"
    assert run("init", "-o", str(file), answers="\n1e3\n\n\n0.001\n32\n").exit_code == 0
    made = json.loads(run("sigma", "--problem", str(file), "--json").stdout)
    by_hand = [
        "--n",
        "1000",
        "--smoothness",
        "0.501",
        "--strong-convexity",
        "0.001",
        "--lipschitz",
        str(math.nextafter(2**0.5, 2)),
    ]
    told = run("sigma", *by_hand, "--batch-size", "32", "--epsilon", "1", "--epochs", "1", "--json")
    assert made["sigma"] == pytest.approx(json.loads(told.stdout)["sigma"], rel=1e-12)
    assert tomllib.loads(file.read_text())["intercept"] is True


def test_options_and_answers_write_the_same_file(tmp_path: Path) -> None:
    asked, told = tmp_path / "asked.toml", tmp_path / "told.toml"
    assert run("init", "-o", str(asked), answers="logistic\n1000\n1\nyes\n0.001\n32\n").exit_code == 0
    result = run("init", "-o", str(told), *GIVEN, "--json")
    assert result.exit_code == 0, result.output
    assert asked.read_text() == told.read_text()
    assert json.loads(result.stdout)["constants"]["smoothness"] == 0.501


def test_a_wrong_answer_is_asked_again(tmp_path: Path) -> None:
    file = tmp_path / "problem.toml"
    result = run("init", "-o", str(file), answers="hinge\nridge\n-3\n100\n0\n2\nno\n0.1\n101\n50\n0\n1.5\n")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("must be") == 5
    keys = tomllib.loads(file.read_text())
    assert (keys["loss"], keys["n"], keys["feature-bound"], keys["batch-size"], keys["clip"]) == ("ridge", 100, 2, 50, 1.5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--batch-size", "1001"], "--batch-size must be a whole number from 1 to 1000, got 1001"),
        (["--batch-size", "many"], "--batch-size must be a whole number, got 'many'"),
        (["--feature-bound", "0"], "--feature-bound must be a number above 0, got 0"),
        (["--n", "1.000"], "1 or 1000"),
        (["--loss", "hinge"], "--loss must be one of"),
        (["--loss", "ridge"], "--clip must be given"),
    ],
)
def test_what_is_no_answer_is_refused_and_nothing_is_written(tmp_path: Path, words: list[str], said: str) -> None:
    file = tmp_path / "problem.toml"
    result = run("init", "-o", str(file), *GIVEN, *words, "--json")
    assert result.exit_code == 2
    assert said in json.loads(result.stderr)["error"]["message"]
    assert not list(tmp_path.iterdir())


def test_no_file_is_replaced_and_an_input_that_ends_writes_none(tmp_path: Path) -> None:
    file = tmp_path / "problem.toml"
    assert run("init", "-o", str(file), answers="logistic\n10\n").exit_code == 2
    assert not file.exists()
    file.write_text("mine")
    assert run("init", "-o", str(file), *GIVEN).exit_code == 2
    assert file.read_text() == "mine"


def test_without_a_terminal_it_asks_on_standard_error_only(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "accountant", "init"]
    result = subprocess.run(command, input="\n9\n\n\n0.1\n\n", capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 0
    assert result.stdout.startswith("Written: problem.toml")
    assert result.stderr.count("?") == 6
