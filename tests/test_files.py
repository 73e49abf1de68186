"""No command destroys what it reads: outputs are other files than inputs, whole or not there, with the permissions they had."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from accountant.commands import files, paths
from accountant.commands.program import COMMANDS, GROUPS, app

MNIST = ("--preset", "mnist", "--batch-size", "full")
CERTIFY = ("certify", *MNIST, "--sigma", "0.03", "--batches", "worst")
RUN = (*CERTIFY, "--epochs", "1")
PLAN = ("plan", *MNIST, "--sigma", "0.03", "--epsilon", "1")
PROBLEM = "n = 1000\nsmoothness = 1.0\nstrong_convexity = 0.1\n"
CONTENTS = {
    "key.pem": "a private key",
    "requests.csv": "points,steps\n1,9\n2,9\n",
    "arrivals.svg": "time,points\n5,1\n7,2\n",
    "problem.toml": PROBLEM,
    "problem.svg": PROBLEM,
    "table.csv": "preset,b,sigma,K,eps\nmnist,128,0.00287,1,1\n",
    "data.svg": "images",
    "old.svg": "old",
}
MAIN = (sys.executable, "-c", "from accountant.commands import main; main()")


def run(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def heeds_signals() -> None:
    """Whatever started the tests may ignore them."""
    for name in ("SIGHUP", "SIGINT", "SIGTERM", "SIGPIPE"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


def started(*words: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([*MAIN, *words], text=True, stderr=subprocess.PIPE, preexec_fn=heeds_signals, **options)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, content in CONTENTS.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)
    return tmp_path


def snapshot(folder: Path) -> dict[str, tuple[Any, ...]]:
    """All that there is to see of a folder's files."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_ino, path.lstat().st_mode, path.is_file() and path.read_bytes())
        for path in sorted(folder.rglob("*"))
    }


def typed(name: str) -> str:
    """A parameter as it is typed."""
    return {"table": "TABLE", "key": "--sign"}.get(name, f"--{name}")


#: Call, output in it and the input that it names; the output is replaced by other names of the same file.
CLASHES = [
    ((*RUN, "--sign", "key.pem", "-o", "@"), "output", "key", "key.pem"),
    ((*CERTIFY, "--requests", "requests.csv", "-o", "@"), "output", "requests", "requests.csv"),
    (("certify", "--problem", "problem.toml", "--sigma", "1", "--epochs", "1", "-o", "@"), "output", "problem", "problem.toml"),
    (("verify", "table.csv", "-o", "@"), "output", "table", "table.csv"),
    (("verify", "table.csv", "--problem", "problem.toml", "--html", "@"), "html", "problem", "problem.toml"),
    (("verify", "table.csv", "-o", "@", "--json"), "output", "table", "table.csv"),
    ((*PLAN, "--requests", "arrivals.svg", "--csv", "@"), "csv", "requests", "arrivals.svg"),
    ((*PLAN, "--requests", "arrivals.svg", "--plot", "@"), "plot", "requests", "arrivals.svg"),
    ((*PLAN, "--requests", "3", "--csv", "old.svg", "--plot", "@"), "plot", "csv", "old.svg"),
    (("plan", "--problem", "problem.toml", *PLAN[5:], "--requests", "3", "--csv", "@"), "csv", "problem", "problem.toml"),
    (("plan", "--problem", "problem.svg", *PLAN[5:], "--requests", "3", "--plot", "@"), "plot", "problem", "problem.svg"),
    (("compare", "--problem", "problem.svg", "--epsilon", "1", "--plot", "@"), "plot", "problem", "problem.svg"),
    (("reproduce", "figure2", "--csv", "old.svg", "--plot", "@"), "plot", "csv", "old.svg"),
    (("audit", "--instance", "mnist", "--data", "data.svg", "--plot", "@"), "plot", "data", "data.svg"),
]
NAMES = {
    "itself": lambda path: path.name,
    "another spelling": lambda path: f"../{path.parent.name}/./{path.name}",
    "whole path": str,
    "symlink": lambda path: linked(path, "link", hard=False),
    "symlink of a symlink": lambda path: linked(Path(linked(path, "link", hard=False)), "link2", hard=False),
    "hard link": lambda path: linked(path, "hard", hard=True),
}


def linked(path: Path, name: str, *, hard: bool) -> str:
    link = path.with_name(name + path.suffix)
    if hard:
        os.link(path, link)
    else:
        link.symlink_to(path)
    return link.name


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("words", "output", "source", "file"), CLASHES, ids=lambda value: "")
def test_an_output_that_is_an_input_is_refused_and_nothing_touched(
    folder: Path, words: tuple[str, ...], output: str, source: str, file: str, name: str
) -> None:
    other = NAMES[name](folder / file)
    before = snapshot(folder)
    result = run(*(other if word == "@" else word for word in words))
    assert result.exit_code == 2, result.output
    said = json.loads(result.stderr)["error"]["message"] if "--json" in words else result.stderr
    assert f"{typed(output)} must be another file than {typed(source)}, got {other!r}" in said
    assert result.stdout == ""
    assert snapshot(folder) == before


@pytest.mark.parametrize("hard", [False, True])
def test_the_input_may_be_the_link(folder: Path, hard: bool) -> None:
    link = linked(folder / "table.csv", "link", hard=hard)
    before = snapshot(folder)
    result = run("verify", link, "--html", "table.csv")
    assert (result.exit_code, "--html must be another file than TABLE" in result.stderr) == (2, True)
    assert snapshot(folder) == before


def test_files_of_an_experiment_are_not_its_data(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "data").mkdir()
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte.gz"):
        (folder / "data" / name).write_text("images")
    os.link(folder / "data" / "train-labels-idx1-ubyte.gz", folder / "out" / "figure3c.png")
    (folder / "out" / "figure3a.csv").symlink_to(folder / "data.svg")
    before = snapshot(folder)
    for words in (
        ("figure3a", "--data", "data.svg", "--out", "out"),
        ("--all", "--data", "data.svg", "--out", "out"),
        ("figure3c", "--data", "data", "--out", "out"),
        ("--all", "--data", "data", "--out", "out/../out"),
    ):
        result = run("reproduce", *words)
        assert result.exit_code == 2
        assert "--out must be another file than --data" in result.stderr, words
        assert snapshot(folder) == before
    # Another figure's files are none of this call's.
    assert "must be another file" not in run("reproduce", "figure3d", "--data", "data", "--out", "out").stderr


def test_standard_streams_that_are_files_count(folder: Path) -> None:
    (folder / "page.html").write_text("")
    before = snapshot(folder)
    with open("table.csv") as table:
        piped = started("verify", "-", "--html", "table.csv", stdin=table, stdout=subprocess.PIPE)
        assert "--html must be another file than TABLE, got 'table.csv'" in piped.communicate()[1]
        assert piped.returncode == 2
    for words, source in ((("table.csv", "--html", "page.html"), "page.html"), (("table.csv", "--markdown"), "table.csv")):
        with open(source, "a") as output:
            shown = started("verify", *words, stdout=output)
            assert "must be another file than" in shown.communicate()[1]
            assert shown.returncode == 2
    assert snapshot(folder) == before
    with open("table.csv") as table, open("page.html", "a") as output:
        assert started("verify", "-", stdin=table, stdout=output).communicate()[1] == ""
    assert "1 certified" in (folder / "page.html").read_text()


def test_every_option_that_names_a_file_says_what_is_done_with_it() -> None:
    named = {"FILE", "PATH", "DIR", "[TABLE]", "CERTIFICATE", "COUNT|RATE|FILE"}
    found: dict[str, set[str]] = {"read": set(), "written": set()}
    every: dict[str, Any] = dict(get_command(app).commands)  # type: ignore[attr-defined]
    for group in GROUPS:
        every |= {f"{group} {name}": one for name, one in every.pop(group).commands.items()}
    assert len(every) >= len(COMMANDS) + len(GROUPS)
    for command, one in every.items():
        callback = one.callback.__wrapped__
        for name, annotation in callback.__annotations__.items():
            metavars = {getattr(part, "metavar", None) for part in get_args(annotation)[1:]}
            marked = [part for part in get_args(annotation)[1:] if isinstance(part, paths.Read | paths.Written)]
            assert len(marked) == bool(metavars & named), (command, name)
            for mark in marked:
                found["read" if isinstance(mark, paths.Read) else "written"].add(name)
    assert found == {
        "read": {
            "problem",
            "table",
            "certificate",
            "public_key",
            "key",
            "requests",
            "data",
            "scores",
            "model",
            "subjects",
            "sign",
            "csv",
        },
        "written": {"html", "keep", "csv", "plot", "output", "out", "key"},
    }


WRITERS = [
    ((*RUN, "-o", "@"), "a.json"),
    (("verify", "table.csv", "--html", "@"), "a.html"),
    ((*PLAN, "--requests", "2", "--csv", "@"), "a.csv"),
    ((*PLAN, "--requests", "2", "--plot", "@"), "a.svg"),
    (("compare", *MNIST, "--epsilon", "1", "--requests", "0", "--plot", "@"), "a.png"),
    (("reproduce", "table3", "--csv", "@"), "a.csv"),
]


@pytest.mark.parametrize(("words", "name"), WRITERS, ids=lambda value: value[0] if isinstance(value, tuple) else "")
def test_a_replaced_file_keeps_its_permissions_and_links_stay(folder: Path, words: tuple[str, ...], name: str) -> None:
    if not name.endswith(("json", "html", "csv")):
        pytest.importorskip("matplotlib")
    elif words[0] == "certify":
        pytest.importorskip("flint")
    target = folder / name
    for mode in (0o600, 0o644, 0o640):
        target.write_text("old")
        target.chmod(mode)
        assert run(*(name if word == "@" else word for word in words)).exit_code in (0, 1)
        assert target.read_bytes() != b"old"
        assert stat.S_IMODE(target.stat().st_mode) == mode
    link = Path(linked(target, "link", hard=False))
    target.write_text("old")
    assert run(*(link.name if word == "@" else word for word in words)).exit_code in (0, 1)
    assert link.is_symlink()
    assert target.read_bytes() != b"old"
    target.unlink()
    before = os.umask(0o027)
    try:
        run(*(name if word == "@" else word for word in words))
    finally:
        os.umask(before)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert {path.name for path in folder.iterdir()} == {*CONTENTS, name, link.name}


DRAWERS = [
    ((*PLAN, "--requests", "2", "--csv", "@", "--plot", "b.svg"), "a.csv"),
    ((*PLAN, "--requests", "2", "--csv", "b.csv", "--plot", "@"), "a.svg"),
    (("reproduce", "figure2", "--plot", "@"), "a.svg"),
    (("audit", "--trials", "200", "--seed", "1", "--plot", "@"), "a.svg"),
]


@pytest.mark.parametrize("fails", ["at the end", "half way"])
@pytest.mark.parametrize(("words", "name"), WRITERS + DRAWERS, ids=lambda value: value[0] if isinstance(value, tuple) else "")
def test_a_disk_that_is_full_leaves_what_was_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], name: str, fails: str
) -> None:
    if not name.endswith(("json", "html", "csv")) or "--plot" in words:
        pytest.importorskip("matplotlib")
    elif words[0] == "certify":
        pytest.importorskip("flint")
    (folder / name).write_text("old")
    before = snapshot(folder)
    full = OSError(errno.ENOSPC, "No space left on device")
    filled: list[str] = []

    def replace(source: Any, target: Any) -> None:
        filled.append(Path(source).read_text(errors="replace"))
        raise full

    class Full(io.FileIO):
        """Takes one byte."""

        def write(self, data: Any) -> int:
            filled.append("")
            super().write(bytes(data)[:1])
            raise full

    def opened(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if not set(mode) & set("wax+") or isinstance(file, int):
            return builtin(file, mode, *rest, **more)
        raw = Full(file, mode.replace("t", "").replace("b", ""))
        return raw if "b" in mode else io.TextIOWrapper(raw, encoding="utf-8", write_through=True)

    builtin = open
    if fails == "at the end":
        monkeypatch.setattr(os, "replace", replace)
    else:
        monkeypatch.setattr("builtins.open", opened)
        monkeypatch.setattr(io, "open", opened)
    found = run(*(name if word == "@" else word for word in words))
    monkeypatch.undo()
    assert filled
    assert found.exit_code == 2
    assert "cannot be written: No space left on device" in found.stderr
    assert snapshot(folder) == before


def test_temporary_names_are_unique(tmp_path: Path) -> None:
    path = str(tmp_path / "a.csv")
    with files.replacing("csv", path) as one, files.replacing("csv", path) as two:
        assert one is not None
        assert two is not None
        assert one != two
        one.write_text("one")
        two.write_text("two")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="the system has no such signals")
@pytest.mark.parametrize("number", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_signals_leave_what_was_there_and_nothing_else(folder: Path, number: str) -> None:
    (folder / "page.html").write_text("old")
    before = snapshot(folder)
    process = started("verify", "-", "--preset", "mnist", "--html", "page.html", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    until = time.monotonic() + 60
    while not list(folder.glob(".*.part")):
        assert time.monotonic() < until
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    # Where the table comes from has not said anything yet.
    process.send_signal(getattr(signal, number))
    said = process.communicate()[1]
    assert process.returncode == (130 if number == "SIGINT" else -getattr(signal, number)), said
    assert "Traceback" not in said
    assert snapshot(folder) == before


@pytest.mark.parametrize("name", ["no/a.csv", ".", "/", "a" * 300, "/dev/null", "key.pem/a.csv"])
def test_what_cannot_be_written_is_refused_before_anything_is_done(folder: Path, name: str) -> None:
    before = snapshot(folder)
    result = run(*PLAN, "--requests", "3", "--csv", name)
    assert result.exit_code == 2
    assert f"csv file {name} cannot be written: " in result.stderr
    assert snapshot(folder) == before


@pytest.mark.parametrize("more", [("--requests", "6"), ("--requests", "arrivals.svg"), ("--requests", "4", "--unit", "epochs")])
def test_what_plan_writes_can_be_certified(folder: Path, more: tuple[str, ...]) -> None:
    pytest.importorskip("flint")
    made = json.loads(run(*PLAN, *more, "--batches", "worst", "--csv", "rows.csv", "--json").stdout)
    result = run(*CERTIFY, "--requests", "rows.csv", "-o", "a.json", "--json")
    assert result.exit_code == 0, result.output
    inputs = json.loads((folder / "a.json").read_text())["inputs"]
    assert [[row["points"], row["steps"]] for row in made["requests"]] == [
        [int(row["points"]), int(row["steps"])] for row in inputs["requests"]
    ]
    assert run("check", "a.json").exit_code == 0
    (folder / "two.csv").write_text("steps,points\n" + "".join(f"{row['steps']},{row['points']}\n" for row in made["requests"]))
    run(*CERTIFY, "--requests", "two.csv", "-o", "b.json")
    assert json.loads((folder / "b.json").read_text())["inputs"] == inputs


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("points\n1\n", "must have one column points and one column steps, got points"),
        ("", "is empty"),
        ("points,steps,steps\n1,2,2\n", "column 'steps' twice"),
        ("points,Steps\n1,2\n", "got points, Steps"),
        ("points,steps,more\n1,2\n", "line 2 of requests file bad.csv: a row must have as many cells as the header, 3, got 2"),
        ("points,steps\n1,2,3\n", "must have as many cells as the header, 2, got 3"),
        (
            "more,points,steps\nx,1,2\nx,1,2.5\n",
            "line 3 of requests file bad.csv must have whole numbers of points and steps, got",
        ),
        ("points,steps\n1,\n", "must have whole numbers"),
    ],
)
def test_bad_requests_of_a_certificate_name_the_line(folder: Path, text: str, says: str) -> None:
    pytest.importorskip("flint")
    (folder / "bad.csv").write_text(text)
    result = run(*CERTIFY, "--requests", "bad.csv")
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr


def test_a_folder_that_is_read_and_written_may_be_one(folder: Path) -> None:
    """Only files count: data may lie where the figures go."""
    (folder / "figure3a.csv").write_text("of the last time")
    result = run("reproduce", "figure3a", "--data", ".", "--out", ".", "--trials", "1")
    assert result.exit_code == 2
    assert "must be another file" not in result.stderr
    assert (folder / "figure3a.csv").read_text() == "of the last time"


def test_names_that_are_no_text_are_shown(folder: Path) -> None:
    name = os.fsdecode(b"t\xff\xc3\xa9.csv")
    try:
        shutil.copy("table.csv", name)
    except OSError:
        pytest.skip("the file system has no such names")
    for encoding in ("utf-8", "ascii", "cp1252"):
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        for more in ((), ("--json",), ("--html", name + ".html")):
            done = subprocess.run([*MAIN, "verify", name, *more], capture_output=True, env=environment, check=False)
            assert done.returncode == 0, done.stderr
        done = subprocess.run([*MAIN, "verify", name + "x"], capture_output=True, env=environment, check=False)
        assert done.returncode == 2
        assert b"cannot be read" in done.stderr
