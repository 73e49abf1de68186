"""The shell's side of the deletion service: what is printed, what is refused in one sentence, and exit codes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ledgers import NAMES, features, model_file
from typer.testing import CliRunner

from accountant.commands.program import app
from accountant.ledger import Ledger
from accountant.trainer import PNSGDClassifier


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ACCOUNTANT_LEDGER", raising=False)
    model_file(tmp_path)
    return tmp_path


def run(*words: str, stdin: str | None = None) -> Any:
    return CliRunner().invoke(app, ["ledger", *words], input=stdin)


def answer(*words: str, code: int = 0, stdin: str | None = None) -> dict[str, Any]:
    result = run(*words, "--json", stdin=stdin)
    assert result.exit_code == code, result.output
    record: dict[str, Any] = json.loads(result.stdout)
    assert record["command"] == f"ledger {words[0]}"
    return record


def test_a_ledger_from_beginning_to_end(folder: Path) -> None:
    made = answer("init", "--model", "model.npz", "--deadline", "30d")
    assert {path.name for path in folder.iterdir()} >= {"deletions.db", "model.key", "model.subjects.db", "model.certificates"}
    added = answer("add", "--subject", NAMES[3], "--subject", NAMES[7])
    assert [each["new"] for each in added["requests"]] == [True, True]
    assert answer("add", "--subjects", "-", stdin=f"who,subject\nx,{NAMES[7]}\ny,{NAMES[9]}\n")["new"] == 1
    status = answer("status")
    assert (status["received"], status["waiting"], status["overdue"], status["ledger"]) == (3, 3, 0, made["ledger"])
    waits = answer("process")
    assert (waits["run"], waits["waiting"], waits["plan"]["points"]) == (None, 3, 3)
    done = answer("process", "--now")
    assert done["run"]["requests"] == [1, 2, 4]
    verified = answer("verify", "--head", status["head"])
    assert (verified["valid"], verified["findings"], verified["requests"]) == (True, [], 3)
    assert answer("refit")["run"]["what"] == "refit"
    lines = [json.loads(line) for line in run("entries", "--first", "5").stdout.splitlines()]
    assert [line["number"] for line in lines] == list(range(5, int(answer("verify")["head"].split(":")[0]) + 1))
    assert set(NAMES) - set(PNSGDClassifier.load("model.npz").ids_) == {NAMES[3], NAMES[7], NAMES[9]}


def test_what_people_see(folder: Path) -> None:
    assert "keep it apart from the ledger" in run("init", "--model", "model.npz").stdout
    added = run("add", "--subject", NAMES[3]).stdout
    assert "known before" in added
    # Reports name nobody: who enters a request is told how they will call it, and again when the same person asks again.
    (number,) = {
        entry["number"] for entry in map(json.loads, run("entries").stdout.splitlines()) if entry["kind"] == "received"
    }
    assert f"requests       {number}: so the report calls them" in added
    assert f"requests       {number}: so the report calls them" in run("add", "--subject", NAMES[3]).stdout
    text = run("status").stdout
    assert "1, of 1 record, 0 urgent" in text
    head = text.strip().splitlines()[-1].split()[-1]
    assert len(head.partition(":")[2]) == 64
    assert "1 request can wait until" in " ".join(run("process").stdout.split())
    assert "unlearned: 1 request in" in " ".join(run("process", "--now").stdout.split())
    again = run("add", "--subject", NAMES[3], "--subject", NAMES[3]).stdout
    assert "2, 2 of them answered" in again
    assert "due" not in again
    assert "no request waits" in run("process").stdout
    told = {more: " ".join(run("verify", "--head", head, *more).stdout.split()) for more in ((), ("--no-files",))}
    assert all("all is as it was written" in text for text in told.values())
    assert "0 of 1 checked by the checker; the others have their digests" in told[()]
    assert "0 of 1 checked by the checker; the others were not looked at" in told["--no-files",]
    run("add", "--subject", NAMES[4])
    assert "request" in run("refuse", "--subject", NAMES[4], "--reason", "to be kept").stdout


def test_the_guarantee_of_a_run_is_never_shown_smaller_than_it_is(folder: Path) -> None:
    model = PNSGDClassifier(epsilon=1.0000004, delta=1.0000004e-3, batch_size=40, regularisation=0.2, learn_epochs=3)
    model.fit(features(), features()[:, 0] > 0, ids=NAMES).save(folder / "exact.npz")
    run("init", "--model", "exact.npz")
    run("add", "--subject", NAMES[3])
    assert "guarantee epsilon = 1.00001 at delta = 0.00100001" in " ".join(run("process", "--now").stdout.split())


def test_overdue_requests_are_a_verdict_for_monitoring(folder: Path) -> None:
    with Ledger.create("deletions.db", model="model.npz") as ledger:
        # Time enough for a busy machine to add it.
        ledger.add([NAMES[3]], due=ledger.status().now + 2_000_000)
    while not answer("status")["overdue"]:
        pass
    assert run("status").exit_code == 0
    assert run("status", "--check").exit_code == 1
    assert answer("status", "--check", code=1)["overdue"] == 1
    # What is overdue is due.
    assert answer("process")["run"]["requests"] == [1]
    assert run("status", "--check").exit_code == 0


REFUSED = [
    (("add",), "--subject or --subjects must be given"),
    (("add", "--subject", "nobody"), "subject must be one that the ledger knows, got 'nobody': nothing was recorded"),
    (("add", "--subject", NAMES[0], "--due", "2020-01-01"), "due must be in the future"),
    (("add", "--subject", NAMES[0], "--due", "soon"), "due must be a date in ISO 8601"),
    (("add", "--subjects", "none.csv"), "--subjects file none.csv cannot be read"),
    (("add", "--subjects", "model.npz"), "--subjects file model.npz must be one file in the zip"),
    (("add", "--subjects", "rows.csv"), "--subjects file rows.csv must have a column subject"),
    (("add", "--subjects", "blank.csv"), "--subjects file blank.csv, line 3: subject must not be empty"),
    (("add", "--db", "none.db", "--subject", "x"), "none.db is not there: accountant ledger init makes it"),
    (("status", "--db", "model.npz"), "model.npz is no SQLite database"),
    (("add", "--db", "mysql://h/d", "--subject", "x"), "db must be a SQLite file or on PostgreSQL"),
    (("add", "--subject", NAMES[0], "--place", "model"), "place must be NAME=PATH, got 'model'"),
    (("add", "--subject", NAMES[0], "--place", "deadline=3"), "places must be one of"),
    (("init", "--model", "model.npz"), "is there already"),
    (("init", "--model", "model.npz", "--db", "b.db", "--deadline", "soon"), "deadline must be"),
    (("init", "--model", "model.npz", "--db", "b.db", "--deadline", "1h"), "floor must be below deadline"),
    (("init", "--model", "model.npz", "--db", "b.db", "--subjects", "rows.csv", "--key", "k"), "must have a column subject"),
    (("init", "--model", "none.npz", "--db", "b.db"), "model file"),
    (("init", "--model", "rows.csv", "--db", "b.db"), "path"),
    (("verify", "--head", "3"), "head must be NUMBER:DIGEST"),
    (("verify", "--check-certificates", "some"), "certificates must be a number of them, or all"),
    (("refuse", "--subject", NAMES[0], "--reason", "x"), "subject must have a request that waits"),
]


@pytest.mark.parametrize(("words", "said"), REFUSED, ids=[" ".join(words)[:60] for words, _ in REFUSED])
def test_bad_input_is_refused_in_one_sentence_and_changes_nothing(folder: Path, words: tuple[str, ...], said: str) -> None:
    assert run("init", "--model", "model.npz").exit_code == 0
    (folder / "rows.csv").write_text("name,row\na,1\n")
    (folder / "blank.csv").write_text(f"subject,x\n{NAMES[0]},1\n,2\n")
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and "-" not in path.name}
    result = run(*words)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert said in result.stderr
    assert before == {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and "-" not in path.name}


def test_places_mean_the_same_in_whichever_folder_a_timer_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or requests could be added from the folder alone in which the ledger was begun."""
    places = ("--key", "own.key", "--subjects-db", "own.db", "--certificates", "proofs")
    assert run("init", "--model", "model.npz", *places).exit_code == 0
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    database = ("--db", str(folder / "deletions.db"))
    assert answer("add", "--subject", NAMES[3], *database)["new"] == 1
    assert answer("process", "--now", *database)["run"]["requests"] == [1]
    assert answer("verify", *database)["valid"]
    assert len(list((folder / "proofs").glob("*.json"))) == 1


def test_a_run_that_fails_and_a_model_that_is_damaged_are_verdicts(folder: Path) -> None:
    run("init", "--model", "model.npz")
    run("add", *(word for name in NAMES[:60] for word in ("--subject", name)))
    refused = run("process", "--now")
    assert refused.exit_code == 1
    assert "more than max_steps" in refused.stderr
    assert answer("refit")["run"]["requests"] == list(range(1, 61))
    (folder / "model.npz").write_bytes(b"nothing")
    run("add", "--subject", NAMES[70])
    damaged = run("process", "--now")
    assert damaged.exit_code == 1
    assert "is not the file that this ledger left" in damaged.stderr
    found = run("verify")
    assert found.exit_code == 1
    assert "NOT as it was written" in found.stdout
    assert answer("verify", "--no-files")["valid"]


def test_subjects_from_a_file_and_rows_by_number(folder: Path) -> None:
    (folder / "people.csv").write_text(f"subject,row\nann,{NAMES[0]}\nann,{NAMES[1]}\nbob,{NAMES[2]}\n")
    run("init", "--model", "model.npz", "--subjects", "people.csv")
    assert answer("add", "--subject", "ann")["new"] == 1
    assert answer("process", "--now")["plan"]["points"] == 2


def test_another_worker_is_told_and_exit_code_75_says_try_again(folder: Path) -> None:
    from accountant.numerics import locked_file

    run("init", "--model", "model.npz")
    run("add", "--subject", NAMES[3])
    with locked_file(f"{folder}/model.npz.worker"):
        busy = run("process", "--now")
    assert busy.exit_code == 75
    assert "another process has just begun or ended" in busy.stderr


def test_where_the_ledger_is_may_be_said_once_for_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCOUNTANT_LEDGER", "other.db")
    run("init", "--model", "model.npz")
    assert (folder / "other.db").exists()
    assert answer("status")["received"] == 0


def test_no_other_command_waits_for_the_database(folder: Path) -> None:
    code = (
        "import sys; from accountant.commands import app; app(['ledger', '--help'], standalone_mode=False); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "accountant.commands.ledger" in loaded
    assert {"sqlalchemy", "alembic"} & set(loaded) == set()


def test_an_extra_that_is_missing_is_named(folder: Path) -> None:
    code = "import sys; sys.modules['sqlalchemy'] = None\nfrom accountant.commands import app; app(['ledger', 'status'])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr == (
        "Error: the ledger needs SQLAlchemy, which is not installed: pip install 'unlearning-accountant[ledger]'\n"
    )
