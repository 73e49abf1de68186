"""What goes wrong beside a run: an init that is killed, two ledgers of one model, a certificate that could not be made."""

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crashes import count_calls, killed_at_call, killed_at_statement
from ledger_commands import PEOPLE, commanded
from ledgers import NAMES, begun, check_end, kinds, model_file

from accountant import InputError
from accountant.ledger import DamageError, Ledger, RunFailedError
from accountant.ledger.declared import Declared
from accountant.ledger.working import Run
from accountant.trainer import PNSGDClassifier


@pytest.fixture
def place(tmp_path: Path, url: str | None, request: pytest.FixtureRequest) -> Callable[[], str]:
    """An empty folder, and the name of an empty database."""

    def empty() -> str:
        shutil.rmtree(tmp_path / "live", ignore_errors=True)
        (tmp_path / "live").mkdir()
        model_file(tmp_path / "live").chmod(0o600)
        if url is None:
            return str(tmp_path / "live" / "deletions.db")
        return str(request.getfixturevalue("postgresql").database())

    return empty


def _begin(tmp_path: Path, database: str) -> Ledger:
    """With its subjects on the same server, if there is one."""
    subjects = database if "://" in database else None
    return Ledger.create(database, model=tmp_path / "live" / "model.npz", subjects_database=subjects)


def _check_begun(tmp_path: Path, database: str) -> None:
    """Whoever begins after a kill has a ledger, and finds one where it had begun."""
    folder = tmp_path / "live"
    try:
        ledger = _begin(tmp_path, database)
    except InputError as error:
        if "is there already" not in str(error) and "holds a ledger already" not in str(error):
            raise
        ledger = Ledger(database)
    with ledger:
        assert kinds(ledger) == ["begun"]
        ledger.add([NAMES[0]])
        ledger.process(everything=True)
        check_end(ledger, released=1, gone=(NAMES[0],))
        with pytest.raises(InputError, match=r"is there already|holds a ledger already"):
            _begin(tmp_path, database)
        assert ledger.add([NAMES[1]])[0].new
    names = {path.name for path in folder.iterdir()}
    assert names <= {
        "model.npz", "model.key", "model.subjects.db", "model.certificates", ".model.npz.ledger", "deletions.db",
    }  # fmt: skip


@pytest.mark.parametrize(("first", "step"), [(0, 13), *(pytest.param(at, 13, marks=pytest.mark.slow) for at in range(1, 13))])
def test_an_init_that_was_killed_at_any_statement_can_be_made_again(
    tmp_path: Path, place: Callable[[], str], first: int, step: int
) -> None:
    for number in itertools.count(first, step):
        database = place()
        killed = killed_at_statement(lambda: _begin(tmp_path, database).close(), number)  # noqa: B023
        _check_begun(tmp_path, database)
        if not killed:
            break
    assert number > 20


@pytest.mark.integration
@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("call", ["rename", "unlink", pytest.param("openat", marks=pytest.mark.slow)])
def test_an_init_that_was_killed_at_any_system_call_can_be_made_again(
    tmp_path: Path, place: Callable[[], str], call: str
) -> None:
    log = tmp_path / "log"
    database = place()
    most = count_calls(lambda: _begin(tmp_path, database).close(), log)
    last = most.get(call, 0) + (most.get("openat, reading", 0) if call == "openat" else 0)
    for number in range(1, last + 1, max(last // 12, 1)):
        place()
        killed_at_call(lambda: _begin(tmp_path, database).close(), call, number, log)
        _check_begun(tmp_path, database)


def test_an_init_that_is_refused_removes_nothing_of_others(tmp_path: Path, url: str | None) -> None:
    with begun(tmp_path, url) as ledger:
        ledger.add([NAMES[0]])
    (tmp_path / "other.npz").write_bytes((tmp_path / "model.npz").read_bytes())
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    for options, said in (
        ({"key": str(tmp_path / "model.key")}, "key file .* is there already"),
        ({"subjects_database": str(tmp_path / "model.subjects.db")}, "subjects .* cannot be made"),
    ):
        with pytest.raises(InputError, match=said):
            Ledger.create(tmp_path / "other.db", model=tmp_path / "other.npz", **options)  # type: ignore[arg-type]
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == files


def test_a_model_has_one_ledger_unless_another_replaces_it(tmp_path: Path, url: str | None) -> None:
    new = {name: str(tmp_path / f"new.{name}") for name in ("key", "subjects_database", "certificates")}
    with begun(tmp_path, url) as ledger:
        ledger.add([NAMES[0]])
        with pytest.raises(InputError, match=rf"has a ledger already \(id {ledger.id}\)"):
            Ledger.create(tmp_path / "new.db", model=tmp_path / "model.npz", **new)  # type: ignore[arg-type]
        assert not list(tmp_path.glob("new.*"))
        other = Ledger.create(tmp_path / "new.db", model=tmp_path / "model.npz", instead=True, **new)  # type: ignore[arg-type]
        with other:
            # What one does not know the other has.
            for call in (ledger.process, ledger.refit, ledger.rotate_key, ledger.certify):
                with pytest.raises(DamageError, match=f"belongs to another ledger \\(id {other.id}"):
                    call()
            other.add([NAMES[0]])
            assert other.process(everything=True).run is not None
            assert other.verify().findings == ()
        assert kinds(ledger) == ["begun", "received"]
        # Where nothing is said whose it is, as where files were restored, who works says it.
        (tmp_path / ".model.npz.ledger").unlink()
    with Ledger(tmp_path / "new.db") as other:
        other.process()
        assert (tmp_path / ".model.npz.ledger").read_text().strip() == other.id


def _fails(*_: Any, **__: Any) -> None:
    raise ValueError(f"a fault, with {NAMES[0]} in it")


def _run_without_certificate(ledger: Ledger, name: str, fails: type = PNSGDClassifier) -> Run:
    """A request that was answered while nothing could write certificates."""
    ledger.add([name])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fails, "certify", _fails)
        run = ledger.process(everything=True).run
    assert run is not None
    return run


def test_a_certificate_that_failed_is_told_and_made_afterwards(
    tmp_path: Path, url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with begun(tmp_path, url) as ledger:
        run = _run_without_certificate(ledger, NAMES[0])
        assert (run.certificate, run.without) == (None, "ValueError, whose message may name somebody and is not kept")
        assert ledger.status().uncertified == 1
        with monkeypatch.context() as patch:
            patch.setattr(PNSGDClassifier, "certify", _fails)
            (still,) = ledger.certify()
            assert (still.run, still.certificate) == (run.number, None)
        assert "certified" not in kinds(ledger)
        (made,) = ledger.certify()
        assert (made.run, made.without, ledger.status().uncertified) == (run.number, None, 0)
        assert kinds(ledger)[-1] == "certified"
        assert ledger.certify() == ()
        assert ledger.verify(certificates=None).certificates == 1
        check_end(ledger, released=1, gone=(NAMES[0],))


def test_of_a_model_that_has_gone_on_there_is_the_later_certificate(tmp_path: Path) -> None:
    with begun(tmp_path) as ledger:
        for name in NAMES[:2]:
            _run_without_certificate(ledger, name)
        first, second = ledger.certify()
        assert first.certificate is None
        assert first.without == (
            f"the model has gone on since, to run {second.run}: a certificate of that one holds for all requests before it"
        )
        assert second.certificate is not None
        assert ledger.status().uncertified == 1
        check_end(ledger, released=2, gone=tuple(NAMES[:2]))


def test_declared_runs_are_certified_afterwards_whenever_they_were(tmp_path: Path, url: str | None) -> None:
    with commanded(tmp_path, url) as ledger:
        for name in PEOPLE[:2]:
            _run_without_certificate(ledger, name, fails=Declared)
        assert ledger.status().uncertified == 2
        made = ledger.certify()
        assert [each.certificate is not None for each in made] == [True, True]
        checked = ledger.verify(certificates=None)
        assert (checked.findings, checked.certificates) == ((), 2)


@pytest.mark.parametrize("wrap", [False, True], ids=["OSError", "InputError"])
def test_a_certificate_that_cannot_be_written_is_tried_again_before_the_release(
    tmp_path: Path, wrap: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        try:
            raise OSError(28, "No space left on device")
        except OSError as error:
            if wrap:
                raise InputError("path cannot be written: No space left on device") from None
            raise error

    with begun(tmp_path) as ledger:
        ledger.add([NAMES[0]])
        with monkeypatch.context() as patch:
            patch.setattr(PNSGDClassifier, "certify", full)
            with pytest.raises(RunFailedError, match="the certificate of run 2 cannot be written: No space left on device"):
                ledger.process(everything=True)
        assert (ledger.status().saved, kinds(ledger)[-1]) == (1, "saved")
        # The folder may have gone as well.
        shutil.rmtree(ledger.settings.certificates)
        (finished,) = ledger.process().finished
        assert finished.certificate is not None
        check_end(ledger, released=1, gone=(NAMES[0],))


def test_a_certificate_made_afterwards_is_part_of_what_verify_compares(tmp_path: Path, url: str | None) -> None:
    from sqlalchemy import update

    from accountant.ledger.schema import RUNS

    with begun(tmp_path, url) as ledger:
        _run_without_certificate(ledger, NAMES[0])

        def changed(digest: str | None) -> tuple[str, ...]:
            with ledger._database.writing() as connection:
                connection.execute(update(RUNS).values(certificate=digest))
            return ledger.verify(model=False).findings

        assert changed("0" * 64) == ("runs holds a certificate of run 2 that no entry made",)
        assert changed(None) == ()
        (made,) = ledger.certify()
        for other in ("0" * 64, None):
            assert "certified another run than runs holds" in changed(other)[0]
        assert changed(made.certificate) == ()


def test_a_run_has_at_most_so_many_records_and_each_its_certificate(tmp_path: Path, url: str | None) -> None:
    groups = {f"person {at:02d}": [NAMES[at]] for at in range(7)} | {"many": NAMES[30:33]}
    with begun(tmp_path, url, subjects=groups) as ledger:
        ledger.add([*list(groups)[:4], "many", *list(groups)[4:7]])
        waits = ledger.process(at_most=2)
        assert (waits.run, waits.runs, waits.parts) == (None, (), 5)
        whole = ledger.process()
        # Without a limit it is one run, which may begin later than five.
        assert whole.parts == 1
        assert (whole.start or 0) > (waits.start or 0) > 0
        done = ledger.process(everything=True, at_most=2)
        # In the order in which they came; one that is more is a run of its own.
        assert [run.requests for run in done.runs] == [(1, 2), (3, 4), (5,), (6, 7), (8,)]
        assert done.run == done.runs[-1]
        assert None not in {run.certificate for run in done.runs}
        model = PNSGDClassifier.load(ledger.settings.model)
        assert [len(request) for request in model.requests_] == [2, 2, 3, 2, 1]
        assert model.steps_run_ == tuple(run.steps for run in done.runs)
        assert ledger.verify(certificates=None).findings == ()
        with pytest.raises(InputError, match="at_most must be a whole number from 1, got 0"):
            ledger.process(at_most=0)


def test_what_was_released_before_a_run_failed_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = itertools.count()
    answer = PNSGDClassifier.unlearn

    def once(self: PNSGDClassifier, *values: Any, **options: Any) -> Any:
        if next(calls):
            raise ValueError("a fault")
        return answer(self, *values, **options)

    with begun(tmp_path) as ledger:
        ledger.add(NAMES[:3])
        with monkeypatch.context() as patch:
            patch.setattr(PNSGDClassifier, "unlearn", once)
            with pytest.raises(RunFailedError):
                ledger.process(everything=True, at_most=1)
        assert (ledger.status().released, ledger.status().waiting) == (1, 2)
        ledger.process(everything=True)
        check_end(ledger, released=3, gone=tuple(NAMES[:3]))


def test_files_that_cannot_be_read_are_findings_among_others(tmp_path: Path) -> None:
    with begun(tmp_path) as ledger:
        for name in NAMES[:2]:
            ledger.add([name])
            ledger.process(everything=True)
        first, second = sorted((tmp_path / "model.certificates").iterdir())
        for path in (first, tmp_path / "model.npz"):
            path.unlink()
            path.mkdir()
        second.write_bytes(b"{}")
        findings = "\n".join(ledger.verify(certificates=None).findings)
        assert len(findings.split("\n")) == 3
        assert findings.count("is not to be read") == findings.count("and is not to be read") + 1 == 2
        assert f"certificate {second}" in findings
