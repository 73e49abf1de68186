"""Every term that the program prints is in the glossary, which the program and the site share."""

from __future__ import annotations

import json
import re
from importlib.resources import files

import pytest
from typer.testing import CliRunner

from accountant.bounds import BOUNDS
from accountant.commands import glossary
from accountant.commands.program import app
from accountant.methods import METHODS
from accountant.problem import PRESETS
from accountant.verification import VERDICTS

PROBLEM = "--preset mnist"
#: One of every kind of answer.
ASKED = (
    f"sigma {PROBLEM} --epsilon 1 --epochs 1 --precision 20",
    f"epsilon {PROBLEM} --sigma 0.01 --epochs 1 --batch-size 128 --assignment secret",
    f"epochs {PROBLEM} --sigma 0.01 --epsilon 1",
    f"plan {PROBLEM} --sigma 0.01 --epsilon 1 --requests 3",
    f"compare {PROBLEM} --epsilon 1 --epochs 1",
    "sigma --loss logistic --l2 0.01 --feature-bound 1 --n 1000 --epsilon 1 --epochs 1",
    f"removals {PROBLEM} --sigma 0.01 --epsilon 1",
    "verify --builtin",
    "tune --n 2000 --feature-bound 1 --epsilon 1 --requests 20",
    "epsilon --algorithm fine-tuning --start-clip 1 --weight-decay 0.1 --step-size 0.1 --gradient-clip 1 --sigma 2 "
    "--delta 1e-5 --steps 10",
)
#: Keys that say where an answer comes from, and names of lists: no terms of the field.
PLAIN = {
    "command",
    "next",
    "version",
    "columns",
    "errors",
    "for",
    "name",
    "read",
    "row",
    "rows",
    "source",
    "position",
    "first_row",
    "table",
}


def run(words: str) -> str:
    result = CliRunner().invoke(app, words.split())
    assert result.exit_code in (0, 1), result.output
    return result.stdout


def keys(made: object) -> set[str]:
    """The keys of an answer, at all depths; those of ``read`` are the columns of a table."""
    if isinstance(made, dict):
        return set(made) | {key for name, value in made.items() if name != "read" for key in keys(value)}
    return {key for each in made for key in keys(each)} if isinstance(made, list) else set()


@pytest.mark.parametrize("words", ASKED)
def test_every_key_of_an_answer_is_explained(words: str) -> None:
    missing = {key for key in keys(json.loads(run(f"{words} --json"))) - PLAIN if glossary.find(key) is None}
    assert not missing


@pytest.mark.parametrize("words", [each for each in ASKED if not each.startswith(("compare", "verify", "tune"))])
def test_every_label_of_an_answer_is_explained(words: str) -> None:
    labels = re.findall(r"^  ([a-zA-Z][^ ]*(?: [^ ]+){0,3})  +\S", run(f"{words} --verbose"), flags=re.MULTILINE)
    assert labels
    assert not {label for label in labels if glossary.find(re.sub(", [0-9]+ digits", "", label)) is None}


def test_every_word_of_a_closed_set_is_explained() -> None:
    assert not {word for word in (*BOUNDS, *METHODS, *PRESETS, *VERDICTS) if glossary.find(word) is None}


def test_no_two_entries_have_one_title_and_every_reference_has_its_entry() -> None:
    titles = [entry.term for entry in glossary.entries()]
    assert len(set(map(str.casefold, titles))) == len(titles)
    text = files("accountant.commands").joinpath("texts/glossary.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\{term\}`([^`]*)`", text)) <= set(titles)
    assert "{term}" not in "".join(entry.meaning for entry in glossary.entries())


FOUND = {
    "mu": "mu",
    "μ": "mu",
    "M": "lipschitz",
    "m": "strong convexity",
    "--batch-size": "batch",
    "EPSILON": "epsilon",
    "Gaussian differential privacy": "Gaussian differential privacy",
    "epochs": "epoch",
    "noise_multiplier": "noise multiplier",
}


@pytest.mark.parametrize(("word", "term"), FOUND.items())
def test_a_term_is_found_by_its_symbol_its_option_and_its_key(word: str, term: str) -> None:
    entry = glossary.find(word)
    assert entry is not None
    assert entry.term == term
    assert run(f"explain {word}").startswith(term)
    assert json.loads(run(f"explain {word} --json"))["entry"]["term"] == term


def test_an_option_that_is_no_term_is_explained_by_the_help_of_the_commands_that_have_it() -> None:
    assert "Processes" in run("explain --jobs")
    assert json.loads(run("explain jobs --json"))["entry"] is None


def test_a_word_that_is_not_in_it_is_refused_with_those_that_are_like_it() -> None:
    result = CliRunner().invoke(app, ["explain", "epsilonn"])
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "did you mean epsilon?" in result.stderr
