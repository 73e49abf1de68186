"""Bad input: one sentence on standard error that names what was typed, exit code 2, nothing else; and the same as JSON."""

from __future__ import annotations

import ast
import json
import os
import pickle
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from accountant.commands import app, choices, refusals, renamed, suggestions
from accountant.commands.program import COMMANDS, GROUPS
from accountant.numerics import InputError

MNIST = ("--preset", "mnist")
EPSILON, EPOCH, SIGMA = ("--epsilon", "1"), ("--epochs", "1"), ("--sigma", "0.01")
ASKED = (*MNIST, *EPSILON, *EPOCH)
RUN = (*MNIST, *SIGMA, *EPOCH)
STREAM = ("plan", *MNIST, *SIGMA, *EPSILON, "--requests")
TUNING = ("--algorithm", "fine-tuning", "--step-size", "0.01", "--gradient-clip", "1", "--start-clip", "1")
GIVEN = ("tune", "--n", "100", *EPSILON)
#: Call, and the option that the sentence names as it is typed; of an argument that there is not, the argument.
BAD: list[tuple[tuple[str, ...], str]] = [
    (("sigma",), "--n"),
    (("sigma", *MNIST, *EPSILON), "--epochs"),
    (("sigma", *ASKED, "--steps", "3"), "--epochs"),
    (("sigma", *MNIST, "--epsilon", "-1", *EPOCH), "--epsilon"),
    (("sigma", *MNIST, "--epsilon", "one", *EPOCH), "--epsilon"),
    (("sigma", *MNIST, "--epsilon"), "--epsilon"),
    (("sigma", *MNIST, "--eps", "1", *EPOCH), "--eps"),
    (("sigma", "--preset", "mnits", *EPSILON, *EPOCH), "--preset"),
    (("sigma", *ASKED, "--batch-size", "0"), "--batch-size"),
    (("sigma", *MNIST, *EPSILON, "--epochs", "9" * 20), "--epochs"),
    (("sigma", *ASKED, "--delta", "2"), "--delta"),
    (("sigma", *ASKED, "--step-size", "99"), "--step-size"),
    (("sigma", *ASKED, "--bound", "best"), "--bound"),
    (("sigma", *ASKED, "--batches", "middle"), "--batches"),
    (("sigma", *ASKED, "--learn-epochs", "0"), "--learn-epochs"),
    (("sigma", *ASKED, "--float", "float16"), "--float"),
    (("sigma", *ASKED, "--group-size", "0"), "--group-size"),
    (("sigma", "--n", "100", "--smoothness", "1", "--batch-size", "10", *EPSILON, *EPOCH), "--learn-epochs"),
    (("sigma", *ASKED, "extra"), "extra"),
    (("sigma", "--problem", "none.toml", *EPSILON, *EPOCH), "--problem"),
    (("sigma", *ASKED, "--adjacency", "swap"), "--adjacency"),
    (("sigma", *ASKED, "--reference", "never"), "--reference"),
    (("sigma", *ASKED, "--precision", "0"), "--precision"),
    (("sigma", *ASKED, "--last-batch", "skip"), "--last-batch"),
    (("sigma", *ASKED, "--start-clip", "1"), "--start-clip"),
    (("sigma", *ASKED, "--redraw", "perhaps"), "--redraw"),
    (("epsilon", *MNIST, *EPOCH), "--sigma"),
    (("epsilon", *MNIST, "--sigma", "0", *EPOCH), "--sigma"),
    (("epsilon", *MNIST, "--noise", "1", *EPOCH), "--noise"),
    (("epsilon", *TUNING, *SIGMA, "--delta", "1e-5"), "--steps"),
    (("delta", *RUN), "--epsilon"),
    (("delta", *MNIST, *SIGMA, *EPSILON, "--steps", "-1"), "--steps"),
    (("delta", *MNIST, "--sigma", "1e400", *EPSILON, *EPOCH), "--sigma"),
    (("epochs", *MNIST, *EPSILON), "--sigma"),
    (("epochs", *MNIST, *EPSILON, "--sigma", "-1"), "--sigma"),
    (("epochs", *MNIST, *EPSILON, "--sigma", "x"), "--sigma"),
    (("steps", *MNIST, *SIGMA), "--epsilon"),
    (("steps", *MNIST, *SIGMA, "--epsilon", "nan"), "--epsilon"),
    (("steps", *TUNING, *SIGMA, *EPSILON), "--delta"),
    (("curve", *RUN, "--grid", "1"), "--grid"),
    (("curve", *RUN, "--over", "gamma"), "--over"),
    (("curve", *RUN, "--to", "1.5"), "--to"),
    (("curve", *RUN, "--from", "0"), "--from"),
    (("curve", *MNIST), "--sigma"),
    (("plan", *MNIST, *SIGMA), "--epsilon"),
    (("plan", *MNIST, *EPSILON, "--requests", "3"), "--sigma"),
    ((*STREAM, "0"), "--requests"),
    ((*STREAM, "none.csv"), "--requests"),
    ((*STREAM, "3", "--unit", "years"), "--unit"),
    ((*STREAM, "3", "--points", "0"), "--points"),
    ((*STREAM, "3", "--max-sigma", "1"), "--max-sigma"),
    ((*STREAM, "3", "--retrain-epochs", "0"), "--retrain-epochs"),
    (("removals", *MNIST, *EPSILON), "--sigma"),
    (("removals", *MNIST, *EPSILON, "--sigma", "1", "--residual", "nan"), "--residual"),
    (("removals", *MNIST, *EPSILON, "--sigma", "1", "--gradient", "removed", "--steps", "2"), "--steps"),
    (("tune",), "--n"),
    ((*GIVEN, "--loss", "hinge"), "--loss"),
    ((*GIVEN, "--batch-size", "32,x"), "--batch-size"),
    ((*GIVEN, "--feature-bound", "0"), "--feature-bound"),
    (("tune", "--n", "0", *EPSILON), "--n"),
    (("compare", *MNIST), "--epsilon"),
    (("compare", *MNIST, *EPSILON, "--method", "best"), "--method"),
    (("compare", *MNIST, *EPSILON, "--requests", "-1"), "--requests"),
    (("compare", *MNIST, *EPSILON, "--unit", "days"), "--unit"),
    (("verify",), "TABLE"),
    (("verify", "none.csv"), "TABLE"),
    (("verify", "table.csv", "--column", "x"), "--column"),
    (("verify", "table.csv", "--wasteful", "0"), "--wasteful"),
    (("verify", "table.csv", "--method", "best"), "--method"),
    (("solve",), "NAME"),
    (("solve", "speed", *MNIST, *SIGMA, *EPSILON), "NAME"),
    (("solve", "n", *RUN, *EPSILON), "--delta"),
    (("solve", "batch-size", *RUN, *EPSILON, "--extreme", "middle"), "--extreme"),
    (("solve", "sigma", *RUN, *EPSILON), "--sigma"),
    (("certify", *MNIST, *EPOCH), "--sigma"),
    (("certify", *MNIST, *SIGMA), "--epochs"),
    (("certify", *RUN, "--sign", "none.pem"), "--sign"),
    (("certify", *RUN, "--requests", "none.csv"), "--epochs"),
    (("certify", *RUN, "--epsilon", "-1"), "--epsilon"),
    (("check",), "CERTIFICATE"),
    (("check", "none.json"), "CERTIFICATE"),
    (("check", "empty.json", "--public-key", "none.pem"), "--public-key"),
    (("check", "empty.json", "--key", "x"), "--key"),
    (("reproduce", "table9"), "WHAT"),
    (("reproduce", "table1", "--jobs", "0"), "--jobs"),
    (("reproduce", "figure3a", "--out", "new", "--trials", "0"), "--trials"),
    (("reproduce", "figure3a", "--out", "new", "--seed", "-1"), "--seed"),
    (("reproduce", "figure3a"), "--out"),
    (("audit", "--instance", "smal"), "--instance"),
    (("audit", "--trials", "3"), "--trials"),
    (("audit", "--confidence", "1"), "--confidence"),
    (("audit", "--fault", "all"), "--fault"),
    (("audit", "--instance", "mnist"), "--data"),
    (("presets", "--jsn"), "--jsn"),
    (("presets", "mnist"), "mnist"),
    (("presets", "--wide", "3"), "--wide"),
    (("ledger", "init"), "--model"),
    (("ledger", "init", "--model", "none.npz"), "--model"),
    (("ledger", "init", "--model", "model.npz", "--deadline", "soon"), "--deadline"),
    (("ledger", "init", "--model", "model.npz", "--margin", "x"), "--margin"),
    (("ledger", "add"), "--subject"),
    (("ledger", "add", "--subjects", "none.csv"), "--subjects"),
    (("ledger", "add", "--subject", "a", "--place", "x"), "--place"),
    (("ledger", "add", "--subject", "a", "--due", "never"), "--due"),
    (("ledger", "status", "--db", "none.db"), "--db"),
    (("ledger", "status", "--place", "nowhere"), "--place"),
    (("ledger", "status", "--chek"), "--chek"),
    (("ledger", "process", "--db", "none.db"), "--db"),
    (("ledger", "process", "--place", "x"), "--place"),
    (("ledger", "process", "--nov"), "--nov"),
    (("ledger", "refit", "--db", "none.db"), "--db"),
    (("ledger", "refit", "--place", "x"), "--place"),
    (("ledger", "refit", "now"), "now"),
    (("ledger", "refuse"), "--subject"),
    (("ledger", "refuse", "--subject", "a"), "--reason"),
    (("ledger", "refuse", "--subject", "a", "--reason", "r", "--db", "none.db"), "--db"),
    (("ledger", "report"), "--output"),
    (("ledger", "report", "-o", "a.html", "--last", "-1"), "--last"),
    (("ledger", "report", "-o", "a.html", "--check-certificates", "some"), "--check-certificates"),
    (("ledger", "verify", "--db", "none.db"), "--db"),
    (("ledger", "verify", "--check-certificates", "some"), "--check-certificates"),
    (("ledger", "verify", "--hed", "x"), "--hed"),
    (("ledger", "entries", "--first", "x"), "--first"),
    (("ledger", "entries", "--db", "none.db"), "--db"),
    (("ledger", "entries", "--last", "3"), "--last"),
    (("init", "--loss", "hinge"), "--loss"),
    (
        ("init", "--loss", "logistic", "--n", "0", "--feature-bound", "1", "--intercept", "--l2", "1", "--batch-size", "1"),
        "--n",
    ),
    (("init", "--jsn"), "--jsn"),
    (("doctor", "--jsn"), "--jsn"),
    (("doctor", "x"), "x"),
    (("doctor", "--dbs", "a"), "--dbs"),
    (("explain", "nonsense"), "TERM"),
    (("explain", "--nonsense"), "TERM"),
    (("explain", "--json=3"), "--json"),
    (("ledger", "rotate-key", "--db", "none.db"), "--db"),
    (("ledger", "rotate-key", "--subjects", "none.csv"), "--subjects"),
    (("ledger", "rotate-key", "--los"), "--los"),
    (("ledger", "certify", "--db", "none.db"), "--db"),
    (("ledger", "certify", "--place", "x"), "--place"),
    (("ledger", "certify", "now"), "now"),
    (("ledger", "join"), "--data"),
    (("ledger", "join", "--data", "none.csv"), "--data"),
    (("ledger", "join", "--data", "x", "--learn-epochs", "zero"), "--learn-epochs"),
    (("sgima",), "sgima"),
    (("ledger", "stauts"), "stauts"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ACCOUNTANT_LEDGER", raising=False)
    (tmp_path / "table.csv").write_text("preset,batch,sigma,eps,K\nmnist,128,0.01,1,1\n", encoding="utf-8")
    (tmp_path / "empty.json").write_text("{}", encoding="utf-8")
    (tmp_path / "model.npz").write_text("none", encoding="utf-8")
    return tmp_path


def refused(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    return result.stderr


@pytest.mark.parametrize(("words", "named"), BAD, ids=lambda value: " ".join(value)[-40:] if isinstance(value, tuple) else "")
def test_bad_input_is_one_sentence_and_the_same_in_json(folder: Path, words: tuple[str, ...], named: str) -> None:
    before = sorted(folder.iterdir())
    said = refused(*words)
    assert said.startswith("Error: ")
    assert said.endswith("\n")
    assert said.count("\n") == 1
    assert named in said
    for python in ("batch_size", "learn_epochs", "9007199254740992", "step_size", "group_size", "Invalid value", "None"):
        assert python not in said
    if words == ("ledger", "report"):
        return
    command = 2 if words[0] in GROUPS else 1
    (line,) = refused(*words[:command], "--json", *words[command:]).splitlines()
    error = json.loads(line)["error"]
    assert list(json.loads(line)) == ["error"]
    assert list(error) == ["message", "option", "value", "allowed", "hint", "missing"]
    if words[1:2] != ("entries",):
        hint = "" if error["hint"] is None else f"; {error['hint']}"
        assert said == f"Error: {error['message']}{hint}\n"
        assert named in (error["option"], error["value"], *error["missing"])
    assert sorted(folder.iterdir()) == before


def test_every_command_is_refused_three_times_and_all_together_eighty() -> None:
    asked = Counter(" ".join(words[: 2 if words[0] in GROUPS else 1]) for words, _ in BAD)
    commands = {*COMMANDS, *(f"{group} {name}" for group, (_, rows) in GROUPS.items() for name in rows)}
    assert {name for name in commands if asked[name] < 3} == set()
    assert len(BAD) >= 80


def test_all_that_is_missing_is_said_at_once() -> None:
    error = json.loads(refused("sigma", "--json"))["error"]
    assert error["missing"] == ["--n", "--smoothness", "--epsilon", "--epochs"]
    assert "--epochs (or --steps)" in error["message"]
    error = json.loads(refused("epsilon", "--algorithm", "fine-tuning", "--json"))["error"]
    assert error["missing"] == ["--step-size", "--sigma", "--delta", "--steps"]
    assert json.loads(refused("ledger", "refuse", "--json"))["error"]["missing"] == ["--subject", "--reason"]
    assert json.loads(refused("plan", *MNIST, "--json"))["error"]["missing"] == ["--epsilon", "--requests"]


def test_a_key_of_a_file_is_named_as_it_stands_there(folder: Path) -> None:
    (folder / "problem.toml").write_text(
        "n = 100\nsmoothness = 1.0\nbatch_size = 0\nstrong_convexity = 0.1\n", encoding="utf-8"
    )
    words = ("sigma", "--problem", "problem.toml", *EPSILON, *EPOCH)
    said = "must be a whole number from 1 to 100, got"
    assert refused(*words) == f"Error: batch_size in problem.toml {said} 0\n"
    assert refused(*words, "--batch-size", "101") == f"Error: --batch-size {said} 101\n"
    assert json.loads(refused(*words, "--json"))["error"]["option"] == "batch_size in problem.toml"
    (folder / "loss.toml").write_text("n = 100\nloss = 'logistic'\nl2 = 0.1\nfeature-bound = 1\nlipschitz = 1\n")
    said = refused("sigma", "--problem", "loss.toml", *EPSILON, *EPOCH)
    assert said.startswith("Error: lipschitz in loss.toml must be left out with loss = logistic in loss.toml, which says it")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--epoch", "--epochs"), ("--l2", "--l2"), ("--noise", "--sigma"), ("--lr", "--step-size"),
        ("--noise-multiplier", "--sigma"), ("--batch_size", "--batch-size"), ("--bs", "--batch-size"), ("--Epochs", "--epochs"),
        ("--max-grad-norm", "--lipschitz"), ("--dataset", "--preset"), ("--iterations", "--steps"), ("--config", "--problem"),
    ],
)  # fmt: skip
def test_an_option_is_known_by_what_others_call_it(typed: str, meant: str) -> None:
    has = [name for option in _parameters()["epsilon"] for name in option.opts]
    assert suggestions.option(typed, has) == meant
    assert suggestions.option("--eps", ["--epochs", "--epsilon"]) == "--epsilon"
    if typed not in has:
        assert refused("epsilon", *MNIST, typed, "1").endswith(f"has no option {typed}; did you mean {meant}?\n")


def test_every_synonym_leads_to_an_option_or_command_that_there_is() -> None:
    options = {name for found in _parameters().values() for option in found for name in (*option.opts, *option.secondary_opts)}
    assert {name for names in suggestions.OPTIONS.values() for name in names[:1] if f"--{name}" not in options} == set()
    assert {name for name in suggestions.COMMANDS.values() if name not in COMMANDS and not name.startswith("--")} <= {"init"}


@pytest.mark.parametrize(
    ("typed", "meant"), [("sgima", "sigma"), ("noise", "sigma"), ("Verify", "verify"), ("optimise", "tune")]
)
def test_a_command_is_known_by_what_others_call_it(typed: str, meant: str) -> None:
    assert refused(typed) == f"Error: accountant has no command {typed!r}; did you mean accountant {meant}?\n"


def test_values_of_closed_sets_may_be_in_any_case() -> None:
    words = ("sigma", "--epsilon", "1", "--epochs", "1", "--json", "--preset")
    plain, shouted = (
        json.loads(CliRunner().invoke(app, [*words, name, "--bound", bound]).stdout)
        for name, bound in (("mnist", "paper"), ("MNIST", "Paper"))
    )
    assert plain["sigma"] == shouted["sigma"]
    assert plain["bound"] == shouted["bound"] == "paper"
    assert refused("sigma", "--preset", "MNITS", *EPSILON, *EPOCH).endswith("; did you mean mnist?\n")


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    found = []
    for terminal, no_colour in ((True, ""), (True, "1"), (False, "")):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal, raising=False)
        monkeypatch.setenv("NO_COLOR", no_colour)
        refusals.show(refusals.Refusal("no"), as_json=False)
        found.append(capsys.readouterr().err)
    assert found == ["\x1b[1;31mError:\x1b[0m no\n", "Error: no\n", "Error: no\n"]


def test_who_is_interrupted_at_a_question_gets_the_exit_code_of_that(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*, json: bool = False) -> None:
        raise typer.Abort

    monkeypatch.setattr("accountant.commands.presets.presets", interrupted)
    result = CliRunner().invoke(app, ["presets"])
    assert (result.exit_code, result.stdout) == (130, "")


def test_refusals_keep_what_they_carry_where_processes_hand_them_on() -> None:
    error = pickle.loads(pickle.dumps(InputError("n must be given", hint="say it", missing=["n"])))
    assert (str(error), error.message, error.hint, error.missing) == (
        "n must be given; say it",
        "n must be given",
        "say it",
        ("n",),
    )


# Names of options.


def _commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    for name in group.commands:
        command = group.commands[name]
        if hasattr(command, "commands"):
            yield from _commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def _parameters() -> dict[str, list[Any]]:
    """The options of every command that its help shows."""
    root = typer.main.get_command(app)
    return {
        name: [each for each in command.params if each.param_type_name == "option" and not each.hidden]
        for name, command in _commands(root)
    }


#: Names whose values are written in several ways, and mean the same; what the first words of a metavar stand for.
SAME = {
    "--delta": "delta, or a formula of n",
    "--plot": "a picture: on the screen, or in a file until the next release",
    "--requests": "the requests that are answered: how many, a rate, or a file of them",
    "--batch-size": "points per batch; tune tries several",
    "--learn-epochs": "epochs of learning; tune tries several",
    "--db": "the ledger",
    "--data": "a file or a folder of data",
    "--certificates": "a folder",
    "--adjacency": "tune has those of its losses",
    "--assignment": "tune has those that it searches",
    "--batches": "tune has those that it searches",
    "--intercept": "whether a constant feature is added",
    "--loss": "the loss",
}


def test_an_option_has_one_meaning_in_all_commands() -> None:
    """One kind of value, that is one metavar, unless the table above says why there are several."""
    kinds: dict[str, set[str]] = defaultdict(set)
    for options in _parameters().values():
        for option in options:
            kinds[max(option.opts, key=len)].add("flag" if option.is_flag else str(option.metavar))
    several = {name for name, found in kinds.items() if len(found) > 1}
    assert several <= set(SAME), {name: kinds[name] for name in several - set(SAME)}


OLD = [
    (("curve", *RUN), "--points", ("3",), "--grid"),
    (("audit", "--trials", "1"), "--preset", ("gaussian",), "--instance"),
    (("ledger", "add"), "--csv", ("none.csv",), "--subjects"),
    (("ledger", "process", "--db", "none.db"), "--all", (), "--now"),
    (("ledger", "report", "--db", "none.db", "--json"), "--requests", ("1",), "--last"),
    (("ledger", "verify", "--db", "none.db"), "--certificates", ("1",), "--check-certificates"),
    (("certify", *RUN), "--key", ("none.pem",), "--sign"),
]


@pytest.mark.parametrize(("words", "old", "value", "new"), OLD, ids=lambda value: str(value))
def test_old_names_work_are_hidden_and_say_the_new_one(
    folder: Path, words: tuple[str, ...], old: str, value: tuple[str, ...], new: str
) -> None:
    if words[0] == "certify":
        pytest.importorskip("flint")
    before, after = (CliRunner().invoke(app, [*words, name, *value]) for name in (old, new))
    assert (before.exit_code, before.stdout) == (after.exit_code, after.stdout)
    note, *rest = before.stderr.splitlines()
    assert rest == after.stderr.splitlines()
    said = json.loads(note)["note"]["message"] if "--json" in words else note.removeprefix("Note: ")
    assert said == f"{old} is now {new}; the old name goes with the next release"
    command = words[: 2 if words[0] == "ledger" else 1]
    shown = CliRunner().invoke(app, [*command, "--help-all" if words[0] in ("curve", "certify") else "--help"]).stdout
    assert f" {new} " in shown
    assert f" {old} " not in shown


def test_the_value_of_an_option_is_no_old_name() -> None:
    args = ["--reason", "--points", "--points=3", "--", "--points"]
    assert renamed.renewed(args, {"--points": "--grid"}, ["--reason", "--points"]) == (
        ["--reason", "--points", "--grid=3", "--", "--points"],
        ["--points"],
    )


def test_help_leaves_options_for_experts_to_help_all() -> None:
    run = CliRunner().invoke
    short, long = run(app, ["sigma", "--help"]).stdout, run(app, ["sigma", "--help-all"]).stdout
    for name in ("--epsilon", "--preset", "--batch-size", "--help-all"):
        assert name in short
        assert name in long
    experts = [name for name in ("--rounding", "--float-share", "--largest-n", "--clip-first", "--bound") if name in long]
    assert len(experts) >= 4
    assert [name for name in experts if name in short] == []
    assert "more options, for experts: accountant sigma --help-all" in short
    assert "--help-all" not in run(app, ["check", "--help"]).stdout


# Completion.


def completed(words: str, shell: str = "bash") -> list[str]:
    """What the shell is told, through the protocol of its script."""
    typed = f"accountant {words}"
    variables = {
        "_ACCOUNTANT_COMPLETE": f"complete_{shell}", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" ")),
        "_TYPER_COMPLETE_ARGS": typed,
    }  # fmt: skip
    found = CliRunner().invoke(app, [], prog_name="accountant", env=variables)
    assert found.exit_code == 0, found.output
    return found.stdout.split()


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("sigma --preset ", {"mnist", "cifar10"}),
        ("sigma --preset m", {"mnist"}),
        ("sigma --bound ", {"optimal", "paper", "paper-geometric"}),
        ("sigma --adjacency ", {"replace", "zero-out", "remove"}),
        ("sigma --assignment ", {"partition", "secret", "fresh", "poisson"}),
        ("sigma --batches ", {"random", "worst", "reshuffle"}),
        ("sigma --float ", {"float64", "float32"}),
        (
            "sigma --algorithm ",
            {"pnsgd", "fine-tuning", "convex-nonsmooth", "smooth-nonconvex", "convex-hoelder", "hoelder-nonconvex"},
        ),
        ("sigma --start ", {"clipped", "centre"}),
        ("sigma --last-batch ", {"keep", "drop"}),
        ("sigma --reference ", {"matched", "converged"}),
        ("sigma --loss ", {"logistic", "multinomial", "ridge", "smoothed-hinge"}),
        ("sigma --batch-size ", {"full"}),
        ("sigma --redraw ", {"yes", "no"}),
        ("plan --unit ", {"steps", "epochs"}),
        ("plan --first-bound ", {"paper", "paper-geometric"}),
        ("curve --over ", {"delta", "alpha"}),
        ("compare --method d2d-", {"d2d-open", "d2d-exact", "d2d-stochastic"}),
        ("audit --instance s", {"small", "stream", "secret"}),
        ("audit --fault one-", {"one-step", "one-draw"}),
        ("solve s", {"sigma", "steps", "step-size", "start-clip"}),
        ("reproduce table", {"table1", "table2", "table3"}),
        ("ledger init --backend ", {"estimator", "command", "python", "torch"}),
        ("ledger init --buffers ", {"refuse", "reset"}),
        ("sig", {"sigma"}),
    ],
)
def test_values_of_closed_sets_are_completed(words: str, values: set[str]) -> None:
    assert set(completed(words)) == values


def test_names_of_options_are_completed_those_for_experts_too_but_no_old_ones() -> None:
    assert set(completed("sigma --bat")) == {"--batch-size", "--batches"}
    assert "--largest-n" in completed("sigma --lar")
    assert "--points" not in completed("curve --po")


def test_zsh_completes_the_same() -> None:
    found = " ".join(completed("sigma --preset ", shell="zsh"))
    assert "mnist" in found
    assert "cifar10" in found


def test_problem_files_are_completed_as_paths(folder: Path) -> None:
    (folder / "problems").mkdir()
    (folder / "problems" / "one.toml").touch()
    (folder / "problem.toml").touch()
    assert set(completed("sigma --problem prob")) == {"problem.toml", "problems/"}
    assert completed("sigma --problem problems/") == ["problems/one.toml"]
    assert "table.csv" not in completed("sigma --problem ")


def test_help_shows_the_choices_of_every_closed_set() -> None:
    """Read off the options themselves: whatever completes stands in the help of the command."""
    for name, options in _parameters().items():
        shown = " ".join(CliRunner().invoke(app, [*name.split(), "--help-all"]).stdout.replace("│", " ").split())
        shown = shown or " ".join(CliRunner().invoke(app, [*name.split(), "--help"]).stdout.replace("│", " ").split())
        squeezed = shown.replace(" ", "")
        for option in options:
            told = option._custom_shell_complete
            if told is None or option.name == "problem":
                continue
            known = [item.value for item in told(None, option, "")]
            if option.name == "method":
                known = list(choices.METHODS)
            assert [word for word in known if word not in squeezed] == [], (name, option.name)


def test_what_is_said_to_complete_is_what_there_is() -> None:
    from accountant.methods import METHODS
    from accountant.questions import STEP_KEYS

    assert tuple(METHODS) == choices.METHODS
    assert {name.replace("-", "_") for name in choices.STEP_UNKNOWNS} & set(STEP_KEYS) == {
        "gradient_clip", "start_clip", "model_clip", "weight_decay",
    }  # fmt: skip
    for words in (("pnsgd", choices.UNKNOWNS), ("fine-tuning", choices.STEP_UNKNOWNS)):
        for unknown in words[1]:
            said = CliRunner().invoke(app, ["solve", unknown, "--algorithm", words[0]]).stderr
            assert "NAME must be" not in said


def test_completion_of_a_shell_that_was_started_does_not_import_numbers_it_does_not_need() -> None:
    code = "import sys; from accountant.commands import app; app(); "
    typed = {"_ACCOUNTANT_COMPLETE": "complete_bash", "COMP_WORDS": "accountant sigma --pre", "COMP_CWORD": "2"}
    late = (
        "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); sys.argv[:] = ['accountant']; "
        + code
    )
    done = subprocess.run(
        [sys.executable, "-c", late], capture_output=True, text=True, check=True, env={**os.environ, **typed}
    )  # fmt: skip
    assert done.stdout.split() == ["--precision", "--preset"] or set(done.stdout.split()) == {"--precision", "--preset"}
    assert {"scipy.optimize", "pandas", "mpmath", "matplotlib"} & set(done.stderr.split()) == set()


def test_no_sentence_of_the_commands_says_an_argument_with_its_dashes() -> None:
    """Refusals name arguments as Python does, and one place shows them as they are typed."""
    folder = Path(refusals.__file__).parent
    found = []
    for path in sorted(folder.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Raise)
                and isinstance(node.exc, ast.Call)
                and getattr(node.exc.func, "id", "") == "InputError"
            ):
                first = node.exc.args[0] if node.exc.args else None
                if isinstance(first, ast.Constant) and str(first.value).startswith("--"):
                    found.append((path.name, node.lineno))
    assert found == []
