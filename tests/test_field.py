"""The field in one table: every method has every column, true of what is refused, and page, screen and JSON agree."""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from accountant import PNSGD, InputError, preset
from accountant.commands.field import LETTERS
from accountant.commands.present import rough
from accountant.commands.program import app
from accountant.methods import DATA, FIELD, LOSSES, METHODS, REQUESTS, SINGLE, STEP_METHODS, VARIANTS, About
from accountant.methods.gap import Gap
from accountant.questions import Setup

ROOT = Path(__file__).parents[1]
ALL = "compare --preset mnist --epsilon 1 --epochs 1 --requests 0 --all"
GAPS = {name for name, method in METHODS.items() if isinstance(method, Gap)}
STATED = sorted(set(METHODS) - GAPS)


def run(words: str, **options: Any) -> str:
    result = CliRunner().invoke(app, words.split(), **options)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def record() -> list[dict[str, Any]]:
    """The rows of ``--json``."""
    made: list[dict[str, Any]] = json.loads(run(f"{ALL} --json"))["methods"]
    return made


def asked(name: str, **changes: Any) -> Setup:
    """MNIST as the method can be asked about it."""
    ball = {"radius": 100.0} if name in ("not-converged", "smooth-ball", "convex-ball") else {}
    learned = {"learn_epochs": 300} if name == "not-converged" else {}
    return Setup(PNSGD(preset("mnist"), dimension=784)).with_(**{**ball, **learned, **changes})


@pytest.mark.parametrize("name", [*METHODS, *(f"fine-tuning {name}" for name in STEP_METHODS)])
def test_every_method_has_every_column(name: str) -> None:
    method = STEP_METHODS[name.split()[1]] if " " in name else METHODS[name]
    about = getattr(method, "about", None)
    assert isinstance(about, About), (
        f"{name}: a row of METHODS or STEP_METHODS needs the attribute about = About(runs, losses=, data=, requests=, code=, "
        "year=) of accountant/methods/about.py, from which compare --all and the page of methods are made; then run "
        "python docs/_site/field.py"
    )
    assert len(about.runs) > 5
    assert about.losses in LOSSES
    for words, known in ((about.data, DATA), (about.requests, REQUESTS)):
        assert words
        assert list(words) == [word for word in known if word in words]
    assert about.requests[0] == "one"
    assert (about.code == "this package") == (about.year is None), "whose it is and since when go together"
    assert about.code is None or about.code.strip()
    assert about.year is None or 2010 <= about.year <= 2100
    assert method.proves
    assert method.source


@pytest.mark.parametrize("name", STATED)
def test_the_data_of_a_row_are_those_that_it_is_not_refused_for(name: str) -> None:
    for adjacency in DATA:
        more = {"batch_size": 128, "assignment": "secret"} if adjacency == "remove" else {}
        refused = METHODS[name].refusal(asked(name, adjacency=adjacency, **more))
        assert (refused is None) == (adjacency in METHODS[name].about.data), refused


@pytest.mark.parametrize("name", STATED)
def test_the_losses_of_a_row_are_those_that_it_is_not_refused_for(name: str) -> None:
    method, kind = METHODS[name], METHODS[name].about.losses
    convex = asked(name).with_(strong_convexity=0.0, learn_epochs=300)
    if kind in ("strong", "curved"):
        assert "strong_convexity must be > 0" in (method.refusal(asked(name, strong_convexity=0.0)) or "")
        alone = asked(name).with_(lipschitz=0.5)
        # Constants by hand say nothing of a Hessian.
        assert ("loss must be given" in (method.refusal(alone) or "")) == (kind == "curved")
        return
    assert method.refusal(convex) is None
    if kind in ("smooth", "any"):
        steps = 300.0 if name == "retrain" else 20.0
        question = {"epsilon": np.array([1.0]), "delta": np.array([1e-4]), "steps": np.array([steps])}
        strong = asked(name).with_(learn_epochs=300)
        assert method.sigma(convex, **question) == method.sigma(strong, **question)


@pytest.mark.parametrize("name", STATED)
def test_the_requests_of_a_row_are_those_that_it_answers(name: str) -> None:
    method, setup = METHODS[name], asked(name)
    assert (method.refusal(setup.with_(group_size=5)) is None) == ("group" in method.about.requests)
    try:
        method.stream(setup, sigma=1.0, epsilon=1.0, delta=1e-4)
        streams = True
    except InputError:
        streams = False
    assert streams == ("stream" in method.about.requests)
    assert streams or "adaptive" not in method.about.requests


def test_adaptive_requests_are_claimed_where_the_guarantee_does_not_ask_for_others() -> None:
    claimed = {name for name in STATED if "adaptive" in METHODS[name].about.requests}
    assert {"optimal", "dp", "rewind-exact", "d2d-open"}.isdisjoint(claimed)
    for name in STATED:
        said = " ".join(METHODS[name].assumptions(asked(name)))
        assert not (name in claimed and "depend neither" in said), name


def test_all_of_them_are_printed_with_the_noise_that_each_method_says_it_needs(record: list[dict[str, Any]]) -> None:
    assert [row["method"] for row in record] == list(FIELD)
    assert set(FIELD) - {"secret"} == set(METHODS) > set(SINGLE) - {"secret"}
    for row in record:
        name = row["method"]
        about = (METHODS["optimal"] if name in VARIANTS else METHODS[name]).about
        if name != "secret":
            assert {key: row[key] for key in About._fields} == about.to_dict()
        if row["sigma"] is None or name in ("secret", "not-converged", "retrain", "dp"):
            continue
        step = {} if METHODS[name].family == "pnsgd" or name.startswith("rewind") else {"step_size": None}
        question = {"epsilon": np.array([1.0]), "delta": np.array([1 / 11_264]), "steps": np.array([1.0])}
        assert row["sigma"] == METHODS[name].sigma(asked(name, **step), **question)[0], name


def test_the_screen_says_what_the_json_says(record: list[dict[str, Any]]) -> None:
    lines = run(ALL).splitlines()
    assert max(map(len, lines)) <= 80
    begins = [next(at for at, line in enumerate(lines) if line.startswith(words)) for words in ("The field", "losses, the")]
    table = lines[slice(*begins)]
    cells = {line.split()[0]: line.split() for line in table if line.split() and line.split()[0] in FIELD}
    words = " ".join(" ".join(lines).split())
    for row in record:
        name, *rest = cells[row["method"]]
        noise = "gap" if name in GAPS else rough(row["released_std"])
        letters = ["".join(LETTERS[word] for word in row[key]) for key in ("data", "requests")]
        assert rest[:4] == [str(row["year"] or "-"), row["losses"], *letters]
        assert rest[5] == noise
        assert f"- {name}: {row['title']}" in words
        assert row["runs"] in words
        if row["reason"]:
            assert f"- {name}: {row['reason']}" in words
            assert rest[6] == "-"
        else:
            assert rest[6:] == f"{100 * row['relative']:.3g} %".split()
    assert all(meaning in words for word, meaning in LOSSES.items() if word in {row["losses"] for row in record})


@pytest.mark.parametrize("columns", [40, 55, 80])
def test_narrow_screens_have_all_of_it_and_nothing_is_cut(columns: int) -> None:
    told = run(f"{ALL} --method langevin --method rewind-random", env={"COLUMNS": str(columns)})
    assert max(map(len, told.splitlines())) <= columns
    after = " ".join(told[told.index("The field") :].split())
    assert all(word in after for word in ("langevin", "2024", "strong", "1gs", "public", "0.09979", "gap"))
    assert "Graph-COM/Langevin_unlearning" in after.replace(" ", "")


def test_reasons_are_about_the_users_problem() -> None:
    told = " ".join(run("compare --n 1000 --smoothness 1 --epsilon 1 --requests 0 --all").split())
    assert "langevin: strong_convexity must be > 0 for langevin, got 0" in told
    assert "smooth-ball: radius must be given for smooth-ball" in told
    own = "--batch-size 128 --assignment secret --adjacency remove"
    drawn = json.loads(run(f"compare --preset mnist {own} --epsilon 1 --requests 0 --all --json"))["methods"]
    by_name = {row["method"]: row for row in drawn}
    assert "bound=optimal" in by_name["paper"]["reason"]
    assert by_name["partition"]["data"] == ["replace", "zero-out"]


def test_what_has_no_limit_and_what_no_retraining_is_known_of_are_told() -> None:
    words = "compare --n 1000 --smoothness 1 --strong-convexity 0.1 --radius 1 --epsilon 1 --requests 0 --all"
    told = run(words)
    after = told[told.index("The field") :].splitlines()
    (line,) = [line for line in after if line.startswith(" smooth-ball ")]
    assert line.split()[6:] == ["no", "limit", "1000"]
    assert "gradients" in " ".join(after[1:5])


def test_without_all_nothing_is_said_of_the_field() -> None:
    short = run(ALL.removesuffix(" --all"))
    assert "The field" not in short
    assert "public" not in short.split("One request")[1].split("Next")[0].replace("published", "")
    help_ = " ".join(run("compare --help").split())
    assert "Example: accountant compare --preset mnist --epsilon 1 --epochs 1" in help_
    assert "accountant compare --preset mnist --epsilon 1 --requests 0 --all" in help_


def test_common_steps_have_such_a_table_too() -> None:
    words = (
        "compare --algorithm fine-tuning --gradient-clip 1 --start-clip 1 --step-size 0.01 --steps 9 --epsilon 1 --delta 1e-5"
    )
    made = json.loads(run(f"{words} --all --json"))["methods"]
    assert [row["method"] for row in made] == list(STEP_METHODS)
    assert all({key: row[key] for key in About._fields} == STEP_METHODS[row["method"]].about.to_dict() for row in made)
    told = run(f"{words} --all")
    assert max(map(len, told.splitlines())) <= 80
    assert told.startswith("optimal ")
    assert "The field" in told
    assert "The field" not in run(words)


def test_the_page_is_what_the_program_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_site"))
    field = import_module("field")
    try:
        text = field.PAGE.read_text(encoding="utf-8")
        assert field.page(text) == text, "docs/guides/methods.md is not what the rows say: python docs/_site/field.py"
    finally:
        del sys.modules["field"]
    for name in (*METHODS, *VARIANTS, *STEP_METHODS):
        assert f"`{name}`" in text or f"`{name} (fine-tuning)`" in text, name


@pytest.mark.parametrize(
    "words",
    ["compare --preset mnist --all", f"{ALL} --method langevine", f"{ALL} --epsilon -1", f"{ALL} --epochs 1.5"],
)
def test_bad_input_is_one_sentence(words: str) -> None:
    result = CliRunner().invoke(app, words.split())
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: --")


def test_the_page_of_a_comparison_has_the_table_in_words(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("plotly")
    file = tmp_path / "compare.html"
    run(f"{ALL} -o {file}")
    text = file.read_text(encoding="utf-8")
    part = text[text.index("What each method covers") :]
    for word in (
        "langevin-smooth",
        "Graph-COM/Langevin_unlearning",
        "replace, zero-out, remove",
        "one, group, stream, adaptive",
    ):
        assert word in part
