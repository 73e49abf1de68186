"""The deletion service: every request is recorded once and answered once, and what is recorded stays as it was."""

import base64
import contextlib
import json
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from socket import gethostname
from typing import Any

import numpy as np
import pytest
from ledgers import DAY, NAMES, START, Clock, N, begun, check_end, kinds, model_file

from accountant import InputError
from accountant.certificates import verify
from accountant.ledger import BACKENDS, BusyError, DamageError, DatabaseError, Ledger, RunFailedError, Settings, backend_of
from accountant.trainer import PNSGDClassifier, PNSGDRegressor


def test_a_request_goes_through_all_phases_and_is_answered_by_a_model_without_it(tmp_path: Path, url: str | None) -> None:
    with begun(tmp_path, url) as ledger:
        first, second = ledger.add([NAMES[3], NAMES[7]])
        assert (first.number, second.number, first.new, second.new) == (1, 2, True, True)
        assert ledger.process().run is None
        assert ledger.status().waiting == 2
        run = ledger.process(everything=True).run
        assert run is not None
        assert run.requests == (1, 2)
        assert kinds(ledger) == ["begun", "received", "received", "intent", "run", "saved", "released", "purged"]
        check_end(ledger, released=2, gone=(NAMES[3], NAMES[7]))
        model = PNSGDClassifier.load(ledger.settings.model)
        assert model.steps_run_ == (run.steps,)
        assert model.guarantee_.statement == run.statement


def test_the_same_request_is_one_before_and_after_it_is_answered(tmp_path: Path, url: str | None) -> None:
    with begun(tmp_path, url) as ledger:
        assert [each.number for each in ledger.add([NAMES[3], NAMES[3]])] == [1, 1]
        assert not ledger.add([NAMES[3]])[0].new
        ledger.process(everything=True)
        assert [(each.number, each.new) for each in ledger.add([NAMES[3]])] == [(1, False)]
        assert ledger.status().received == 1
        assert ledger.process(everything=True).run is None
        check_end(ledger, released=1, gone=(NAMES[3],))


def test_an_unknown_subject_refuses_the_whole_list(tmp_path: Path, url: str | None) -> None:
    with begun(tmp_path, url) as ledger:
        with pytest.raises(InputError, match="subject must be one that the ledger knows, got 'nobody': nothing was recorded"):
            ledger.add([NAMES[3], "nobody"])
        for wrong, said in (([], "got none"), ("one", "must be a list"), ([3], "must be text"), ([""], "must be text")):
            with pytest.raises(InputError, match=said):
                ledger.add(wrong)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="due must be in the future"):
            ledger.add([NAMES[3]], due=ledger.status().now - 1)
        assert kinds(ledger) == ["begun"]


def test_it_acts_at_the_last_moment_unless_something_is_urgent(tmp_path: Path, url: str | None) -> None:
    clock = Clock()
    with begun(tmp_path, url, clock=clock, floor=86_400.0) as ledger:
        ledger.add([NAMES[0]])
        clock.now += 10 * DAY
        ledger.add([NAMES[1]])
        waits = ledger.process()
        assert waits.run is None
        assert waits.start is not None
        assert START + 28.9 * DAY < waits.start <= START + 29 * DAY
        clock.now = waits.start - 1
        assert ledger.process().run is None
        clock.now = waits.start
        run = ledger.process().run
        assert run is not None
        # One run for both, whose deadline was the earlier one's.
        assert run.requests == (1, 2)
        ledger.add([NAMES[2]], urgent=True)
        assert ledger.status().urgent == 1
        assert ledger.process().run is not None
        check_end(ledger, released=3, gone=tuple(NAMES[:3]))


def test_overdue_requests_are_counted(tmp_path: Path, url: str | None) -> None:
    clock = Clock()
    with begun(tmp_path, url, clock=clock) as ledger:
        ledger.add(NAMES[:2])
        ledger.add([NAMES[2]], due=START + DAY)
        assert ledger.status().earliest_due == START + DAY
        assert [ledger.status().overdue for clock.now in (START + DAY, START + DAY + 1, START + 31 * DAY)] == [0, 1, 3]


def test_a_refit_answers_requests_too_and_others_can_be_answered_after_it(tmp_path: Path, url: str | None) -> None:
    with begun(tmp_path, url) as ledger:
        ledger.add([NAMES[0]])
        ledger.process(everything=True)
        ledger.add([NAMES[1]])
        run = ledger.refit().run
        assert run is not None
        assert (run.what, run.requests, run.epsilon) == ("refit", (7,), None)
        assert ledger.refit().run is not None
        ledger.add([NAMES[2]])
        ledger.process(everything=True)
        model = PNSGDClassifier.load(ledger.settings.model)
        assert len(model.requests_) == 1
        assert set(NAMES) - set(model.ids_) == set(NAMES[:3])
        assert ledger.verify().findings == ()
        assert ledger.status().released == 3


def test_records_join_and_can_be_asked_for(tmp_path: Path, url: str | None) -> None:
    draws = np.random.default_rng(1)
    X = draws.uniform(-0.5, 0.5, (2, 2))

    def more(path: Path) -> Any:
        return PNSGDClassifier.load(path).learn_more(X, X[:, 0] > 0, ids=["new-1", "new-2"])

    with begun(tmp_path, url) as ledger:
        with pytest.raises(InputError, match="knows, got 'zoe'"):
            ledger.add(["zoe"])
        ledger.join(more, {"zoe": ["new-1", "new-2"]})
        assert kinds(ledger) == ["begun", "intent", "run", "saved", "joined"]
        with pytest.raises(InputError, match="subjects must be new"):
            ledger.join(more, {"zoe": ["new-1", "new-2"]})
        ledger.add(["zoe", NAMES[0]])
        run = ledger.process(everything=True).run
        assert run is not None
        assert set(PNSGDClassifier.load(ledger.settings.model).ids_) == set(NAMES[1:])
        assert ledger.verify().findings == ()
        # Who comes back may be asked for again, with what he has then.
        ledger.join(lambda path: PNSGDClassifier.load(path).learn_more(X, X[:, 0] > 0, ids=["z1", "z2"]), {"zoe": ["z1", "z2"]})
        assert ledger.add(["zoe"])[0].new
        assert ledger.process(everything=True).run is not None
        assert set(PNSGDClassifier.load(ledger.settings.model).ids_) == set(NAMES[1:])
        # What fails joins nobody.
        with pytest.raises(RunFailedError):
            ledger.join(lambda path: 1 / 0, {"amy": ["new-3"]})
        assert ledger.process(everything=True).run is None
        with pytest.raises(InputError, match="knows, got 'amy'"):
            ledger.add(["amy"])


def test_a_refused_request_waits_no_more_and_may_be_made_again(tmp_path: Path, url: str | None) -> None:
    with begun(tmp_path, url) as ledger:
        ledger.add(NAMES[:2])
        assert ledger.refuse(NAMES[0], "to be kept by law") == 1
        with pytest.raises(InputError, match="must have a request that waits"):
            ledger.refuse(NAMES[0], "again")
        run = ledger.process(everything=True).run
        assert run is not None
        assert run.requests == (2,)
        assert ledger.status().refused == 1
        assert ledger.add([NAMES[0]])[0].new
        ledger.process(everything=True)
        check_end(ledger, released=2, gone=tuple(NAMES[:2]))


def test_subjects_may_have_several_rows_and_rows_one_subject(tmp_path: Path) -> None:
    groups = {f"person {at}": NAMES[3 * at : 3 * at + 3] for at in range(4)}
    with begun(tmp_path, subjects=groups) as ledger:
        ledger.add(["person 1"])
        assert ledger.status().points == 3
        ledger.process(everything=True)
        assert set(NAMES) - set(PNSGDClassifier.load(ledger.settings.model).ids_) == set(NAMES[3:6])
    for wrong in ({"a": []}, {"a": [NAMES[0]], "b": [NAMES[0]]}, {"a": [NAMES[0], NAMES[0]]}):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        with pytest.raises(InputError, match="subjects must have"):
            begun(folder, subjects=wrong)
        # Nothing is left of what could not be begun.
        assert {path.name for path in folder.iterdir()} <= {"model.npz", "model.certificates"}


def test_regressors_and_partitions_have_ledgers_too(tmp_path: Path) -> None:
    draws = np.random.default_rng(2)
    X, y = draws.uniform(-0.5, 0.5, (60, 2)), draws.uniform(-1, 1, 60)
    settings: dict[str, Any] = {"epsilon": 1.0, "delta": 1e-3, "batch_size": 20, "regularisation": 0.2, "learn_epochs": 3}
    PNSGDRegressor(**settings).fit(X, y).save(tmp_path / "regressor.npz")
    PNSGDClassifier(**settings, assignment="partition", adjacency="zero-out").fit(X, y > 0).save(tmp_path / "partition.npz")
    for name in ("regressor", "partition"):
        with Ledger.create(tmp_path / f"{name}.db", model=tmp_path / f"{name}.npz") as ledger:
            ledger.add(["5", "17"])
            ledger.process(everything=True)
            ledger.add(["6"])
            ledger.refit()
            ledger.add(["7"])
            ledger.process(everything=True)
            assert ledger.verify().findings == ()
            kind = PNSGDRegressor if name == "regressor" else PNSGDClassifier
            assert set(range(60)) - set(kind.load(ledger.settings.model).ids_) == {5, 6, 7, 17}


def test_a_model_whose_noise_comes_again_has_no_ledger(tmp_path: Path) -> None:
    X = np.random.default_rng(2).uniform(-0.5, 0.5, (60, 2))
    model = PNSGDClassifier(epsilon=1.0, delta=1e-3, batch_size=20, regularisation=0.2, random_state=1).fit(X, X[:, 0] > 0)
    model.save(tmp_path / "model.npz")
    with pytest.raises(InputError, match="random_state"):
        Ledger.create(tmp_path / "d.db", model=tmp_path / "model.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]


def test_a_model_that_is_damaged_replaced_or_gone_stops_everything(tmp_path: Path, url: str | None) -> None:
    with begun(tmp_path, url) as ledger:
        ledger.add([NAMES[0]])
        path = Path(ledger.settings.model)
        content = path.read_bytes()
        other = PNSGDClassifier.load(path).unlearn(ids=[NAMES[5]])
        for spoil in (lambda: path.write_bytes(content[:-1] + b"x"), lambda: other.save(path), path.unlink):
            path.write_bytes(content)
            other._history = PNSGDClassifier.load(path)._history.moved()
            spoil()
            with pytest.raises(DamageError, match="is not the file that this ledger left"):
                ledger.process(everything=True)
            assert not ledger.verify().valid
        path.write_bytes(content)
        ledger.process(everything=True)
        path.chmod(0o600)
        check_end(ledger, released=1, gone=(NAMES[0],))


def test_every_release_has_a_certificate_that_the_checker_accepts(tmp_path: Path, url: str | None) -> None:
    pytest.importorskip("flint")
    with begun(tmp_path, url) as ledger:
        for at in range(2):
            ledger.add([NAMES[2 * at], NAMES[2 * at + 1]])
            run = ledger.process(everything=True).run
            assert run is not None
            assert run.certificate is not None, run.without
        found = ledger.verify(certificates=None)
        assert (found.findings, found.certificates, found.certificates_of) == ((), 2, 2)
        assert ledger.verify(certificates=1).certificates == 1
        path = Path(ledger.settings.certificates) / f"{run.certificate}.json"
        content = path.read_bytes()
        assert b"subject-" not in content
        # What the checker would refuse is changed, and told as such, before it is asked.
        for spoil in (lambda: path.write_bytes(content + b" "), path.unlink):
            spoil()
            assert [finding.split(" of run")[0] for finding in ledger.verify().findings] == [f"certificate {path}"]
        assert ledger.verify(model=False).findings == ()


def test_certificates_are_signed_where_a_key_is_named(tmp_path: Path) -> None:
    pytest.importorskip("flint")
    keys = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    formats = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    key = keys.Ed25519PrivateKey.generate()
    pem = key.private_bytes(formats.Encoding.PEM, formats.PrivateFormat.PKCS8, formats.NoEncryption())
    (tmp_path / "sign.pem").write_bytes(pem)
    with begun(tmp_path, sign=str(tmp_path / "sign.pem")) as ledger:
        ledger.add([NAMES[0]])
        run = ledger.process(everything=True).run
        assert run is not None
        certificate = json.loads((Path(ledger.settings.certificates) / f"{run.certificate}.json").read_text())
        assert verify(certificate, key.public_key())
        # Neither entries nor certificates hold anything of the private key.
        secret = base64.b64encode(key.private_bytes_raw()).decode()
        assert secret not in json.dumps(certificate) + "".join(entry.body for entry in ledger.entries())


def test_a_key_that_signs_and_is_missing_stops_a_run_before_it_begins_and_before_its_release(tmp_path: Path) -> None:
    key = tmp_path / "sign.pem"
    key.write_text("a key")
    with begun(tmp_path, sign=str(key)) as ledger:
        ledger.add([NAMES[0]])
        good: Any = backend_of(ledger.settings)

        def runs(plan: Any, rows: Any) -> Any:
            key.unlink()
            return good.run(good.plan(rows), rows)

        with pytest.raises(DamageError, match=r"sign key file .* cannot be read"):
            ledger.process(Wrong(ledger.settings, run=runs, certify=good.certify), everything=True)
        assert kinds(ledger)[-1] == "saved"
        assert ledger.verify().findings == ()
        with pytest.raises(DamageError, match=r"sign key file .* cannot be read"):
            ledger.process()
        key.write_text("a key")
        assert len(ledger.process().finished) == 1
        ledger.add([NAMES[1]])
        key.unlink()
        with pytest.raises(DamageError, match=r"sign key file .* cannot be read"):
            ledger.process(everything=True)
        assert kinds(ledger)[-1] == "received"


def test_a_model_of_another_ledger_is_told(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    with begun(folders[0]) as one, begun(folders[1]) as two:
        two.add([NAMES[1]])
        two.process(everything=True)
        one.add([NAMES[0]])
    mixed = Ledger(folders[0] / "deletions.db", places={"model": str(folders[1] / "model.npz")})
    with mixed, pytest.raises(DamageError, match="belongs to another ledger"):
        mixed.process(everything=True)
    for place, said in (("key", "the key of another ledger"), ("subjects", "belong to another ledger")):
        end = {"key": "key", "subjects": "subjects.db"}[place]
        mixed = Ledger(folders[0] / "deletions.db", places={place: str(folders[1] / f"model.{end}")})
        with mixed, pytest.raises(InputError, match=said):
            mixed.add([NAMES[3]])
    with pytest.raises(InputError, match="places must be one of"):
        Ledger(folders[0] / "deletions.db", places={"deadline": "x"})


def test_a_ledger_goes_on_where_its_files_were_moved(tmp_path: Path) -> None:
    with begun(tmp_path) as ledger:
        ledger.add([NAMES[0]])
    places = {"model": "model.npz", "key": "model.key", "subjects": "model.subjects.db", "certificates": "model.certificates"}
    new = tmp_path / "new"
    new.mkdir()
    for name in (*places.values(), "deletions.db"):
        os.rename(tmp_path / name, new / name)
    with Ledger(new / "deletions.db", places={name: str(new / file) for name, file in places.items()}) as ledger:
        ledger.add([NAMES[1]])
        ledger.process(everything=True)
        check_end(ledger, released=2, gone=tuple(NAMES[:2]))


def test_a_database_of_a_newer_version_or_without_a_ledger_is_refused(tmp_path: Path, url: str | None) -> None:
    from sqlalchemy import text

    with begun(tmp_path, url) as ledger:
        with ledger._database.writing() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        place = url or tmp_path / "deletions.db"
        for read_only in (False, True):
            with pytest.raises(InputError, match="tables of version 9999, newer than this program, which knows 0001"):
                Ledger(place, read_only=read_only)
        with pytest.raises(InputError, match=r"is there already|holds a ledger already"):
            Ledger.create(place, model=model_file(tmp_path), key=str(tmp_path / "k"), subjects_database=str(tmp_path / "s"))
        assert not (tmp_path / "k").exists()
        assert not (tmp_path / "s").exists()
    (tmp_path / "empty.db").touch()
    with pytest.raises(InputError, match="holds no ledger"):
        Ledger(tmp_path / "empty.db")
    (tmp_path / "text.db").write_text("no database at all, but longer than a header of a hundred bytes " * 4)
    with pytest.raises(InputError, match="is no SQLite database"):
        Ledger(tmp_path / "text.db")
    for address, said in (
        ("mysql://u:secret@h/d", "got a URL that begins with mysql"),
        ("://", "must be a file name or a URL"),
    ):
        with pytest.raises(InputError, match=said):
            Ledger(address)


def test_the_tables_of_the_migrations_are_those_of_the_program(tmp_path: Path, url: str | None) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from accountant.ledger import migrating, schema

    with begun(tmp_path, url) as ledger, ledger._database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.METADATA) == []
    config = Config()
    config.set_main_option("script_location", str(Path(migrating.__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    assert script.get_current_head() == schema.REVISION
    assert {each.revision for each in script.walk_revisions()} == {schema.REVISION, *schema.OLDER}


def test_entries_can_be_neither_changed_nor_removed_nor_replaced(tmp_path: Path, url: str | None) -> None:
    from sqlalchemy import text

    statements = ["UPDATE entries SET body = '{}' WHERE number = 1", "DELETE FROM entries WHERE number = 1"]
    if url is None:
        statements.append("INSERT OR REPLACE INTO entries SELECT * FROM entries WHERE number = 1")
    else:
        statements.append("TRUNCATE entries")
    with begun(tmp_path, url) as ledger:
        ledger.add([NAMES[0]])
        for statement in statements:
            with pytest.raises(DatabaseError, match="never changed or removed"), ledger._database.writing() as connection:
                connection.execute(text(statement))
        assert ledger.verify().findings == ()


class Wrong:
    """The estimator's backend, one of whose calls does something else."""

    name, declared = "estimator", False

    def __init__(self, settings: Settings, **calls: Callable[..., Any]) -> None:
        self._inner: Any = backend_of(settings)
        for call in ("plan", "run", "save"):
            setattr(self, call, calls.pop(call, getattr(self._inner, call)))
        for call, other in calls.items():
            setattr(self, call, other)


def test_a_backend_that_fails_lies_or_hangs_changes_nothing_and_requests_wait_on(tmp_path: Path, url: str | None) -> None:
    def fails(*_: object) -> None:
        raise ValueError(f"cannot remove {NAMES[0]}")

    with begun(tmp_path, url, timeout=0.5, lease=1.0) as ledger:
        ledger.add([NAMES[0]])
        good: Any = backend_of(ledger.settings)

        def lies(plan: Any, rows: Any) -> Any:
            return replace(good.run(good.plan(rows), rows), steps=plan.steps - 1)

        wrongs: list[tuple[dict[str, Callable[..., Any]], str]] = [
            ({"plan": fails}, "ValueError, whose message may name somebody"),
            ({"plan": lambda rows: 3}, "must return a Plan, got int"),
            ({"run": fails}, "ValueError, whose message may name somebody"),
            ({"run": lambda plan, rows: None}, "must return a Result, got NoneType"),
            ({"run": lies}, r"planned \d+ steps and ran \d+"),
            ({"run": lambda plan, rows: time.sleep(2)}, "given up after timeout = 0.5 seconds"),
            ({"save": fails}, "ValueError, whose message may name somebody"),
            ({"save": lambda model, path: None}, "saved no model where it was told to"),
            ({"save": lambda model, path: time.sleep(2)}, "given up after timeout = 0.5 seconds"),
        ]
        for calls, said in wrongs:
            before = Path(ledger.settings.model).read_bytes()
            with pytest.raises(RunFailedError, match=said):
                ledger.process(Wrong(ledger.settings, **calls), everything=True)
            assert Path(ledger.settings.model).read_bytes() == before
            assert kinds(ledger)[-1] == "failed"
            assert ledger.status().waiting == 1
            assert ledger.verify().findings == ()
        ledger.process(everything=True)
        check_end(ledger, released=1, gone=(NAMES[0],))


def test_what_the_planner_refuses_is_recorded_with_its_reason(tmp_path: Path) -> None:
    with begun(tmp_path) as ledger:
        ledger.add(NAMES[: N // 2])
        for _ in range(2):
            with pytest.raises(RunFailedError, match=r"this request needs \d+ steps, more than max_steps"):
                ledger.process(everything=True)
        assert [entry.content["intent"] for entry in ledger.entries() if entry.kind == "failed"] == [None]
        assert ledger.refit().run is not None
        assert ledger.status().released == N // 2
        assert ledger.verify().findings == ()


def test_one_works_and_the_others_say_so(tmp_path: Path, url: str | None) -> None:
    with begun(tmp_path, url) as ledger, Ledger(url or tmp_path / "deletions.db") as other:
        ledger.add([NAMES[0]])
        inside, outside = threading.Event(), threading.Event()
        good: Any = backend_of(ledger.settings)

        def slow(plan: Any, rows: Any) -> Any:
            inside.set()
            outside.wait(20)
            return good.run(good.plan(rows), rows)

        thread = threading.Thread(target=lambda: ledger.process(Wrong(ledger.settings, run=slow), everything=True))
        thread.start()
        assert inside.wait(20)
        try:
            with pytest.raises(BusyError, match=rf"^process {os.getpid()} on .* works on this ledger since \d{{4}}-"):
                other.process(everything=True)
            assert other.status().running == 1
            assert other.status().worker is not None
            # Nobody who asks waits for a run.
            assert other.add([NAMES[1]])[0].new
        finally:
            outside.set()
            thread.join()
        assert other.status().worker is None
        other.process(everything=True)
        check_end(ledger, released=2, gone=tuple(NAMES[:2]))


@pytest.mark.integration
def test_two_machines_with_folders_of_their_own_work_one_after_the_other(tmp_path: Path, postgresql: Any) -> None:
    url, folders = postgresql.database(), [tmp_path / "one", tmp_path / "two"]
    folders[0].mkdir()
    names = {"model": "model.npz", "key": "model.key", "subjects": "model.subjects.db", "certificates": "model.certificates"}
    begun(folders[0], url).close()
    shutil.copytree(*folders)
    with Ledger(url) as one, Ledger(url, places={name: str(folders[1] / file) for name, file in names.items()}) as two:
        one.add([NAMES[0]])
        told: list[str] = []
        good: Any = backend_of(one.settings)

        def run(plan: Any, rows: Any) -> Any:
            # No lock of a file tells the other one, but the server does.
            with pytest.raises(BusyError) as busy:
                two.process(everything=True)
            told.append(str(busy.value))
            return good.run(good.plan(rows), rows)

        one.process(Wrong(one.settings, run=run), everything=True)
        assert [text.split(" works on this ledger since ")[0] for text in told] == [f"process {os.getpid()} on {gethostname()}"]
        # The other one's copy is not what the ledger left.
        two.add([NAMES[1]])
        with pytest.raises(DamageError, match="is not the file that this ledger left"):
            two.process(everything=True)
        one.process(everything=True)
        check_end(one, released=2, gone=tuple(NAMES[:2]))


def test_a_worker_on_another_machine_is_believed_until_its_lease_ends(tmp_path: Path, url: str | None) -> None:
    from sqlalchemy import update

    from accountant.ledger.schema import LEASE

    clock = Clock()
    with begun(tmp_path, url, clock=clock) as ledger:
        ledger.add([NAMES[0]])
        there = {"host": "elsewhere", "who": "process 7 on elsewhere", "since": START, "expires": START + 60}
        with ledger._database.writing() as connection:
            connection.execute(update(LEASE).values(holder="0" * 32, **there))
        clock.now = START + 59
        with pytest.raises(BusyError, match=r"^process 7 on elsewhere works on this ledger since 2023-11-14T22:13:20Z$"):
            ledger.process(everything=True)
        assert ledger.status().worker == "process 7 on elsewhere works on this ledger since 2023-11-14T22:13:20Z"
        clock.now = START + 60
        ledger.process(everything=True)
        check_end(ledger, released=1, gone=(NAMES[0],))
        assert ledger.status().worker is None
        # Where the clock was set back a lease does not last for longer than it could, and a new one is no shorter.
        with ledger._database.writing() as connection:
            connection.execute(update(LEASE).values(holder="0" * 32, **there))
        clock.now = START - DAY
        ledger.add([NAMES[1]])
        ledger.process(everything=True)
        check_end(ledger, released=2, gone=tuple(NAMES[:2]))


def test_reading_needs_no_key_and_writes_nothing(tmp_path: Path) -> None:
    with begun(tmp_path) as ledger:
        ledger.add([NAMES[0]])
        ledger.process(everything=True)
    os.unlink(tmp_path / "model.key")
    os.unlink(tmp_path / "model.subjects.db")
    with Ledger(tmp_path / "deletions.db", read_only=True) as reader:
        assert reader.status().released == 1
        assert reader.verify().findings == ()
        with pytest.raises(InputError, match=r"key file .* cannot be read"):
            reader.add([NAMES[1]])
        with pytest.raises(DatabaseError, match="readonly"):
            reader.process()


@pytest.mark.integration
def test_a_role_that_only_reads_is_enough_on_postgresql(tmp_path: Path, postgresql: Any) -> None:
    url = postgresql.database()
    name = url.rsplit("/", 1)[1]
    with begun(tmp_path, url) as ledger:
        ledger.add([NAMES[0]])
        ledger.process(everything=True)
        postgresql.tell(name, "CREATE ROLE reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
        with Ledger(url.replace("postgres@", "reader@"), read_only=True) as reader:
            assert reader.status().released == 1
            assert reader.verify().findings == ()
            with pytest.raises(DatabaseError, match="permission denied"):
                reader.process()


def test_the_space_of_those_who_are_gone_is_given_back(tmp_path: Path) -> None:
    with begun(tmp_path) as ledger:
        before = (tmp_path / "model.subjects.db").stat().st_size
        ledger.add(NAMES[: N // 2])
        ledger.refit()
        assert (tmp_path / "model.subjects.db").stat().st_size < before


def test_a_key_shows_itself_to_nobody(tmp_path: Path) -> None:
    import pickle

    with begun(tmp_path) as ledger:
        secret = (tmp_path / "model.key").read_text().strip()
        assert len(secret) == 64
        assert secret not in repr(ledger.key) + str(ledger.settings) + "".join(entry.body for entry in ledger.entries())
        with pytest.raises(TypeError):
            pickle.dumps(ledger.key)
    for wrong in (secret[:-2], secret[:-1] + "x", "00" * 32, ""):
        (tmp_path / "model.key").write_text(wrong)
        with Ledger(tmp_path / "deletions.db") as ledger, pytest.raises(InputError, match="key file") as told:
            ledger.add([NAMES[0]])
        assert not wrong or wrong not in str(told.value)


def test_settings_out_of_range_are_refused_by_name(tmp_path: Path) -> None:
    path = model_file(tmp_path)
    for wrong, said in (
        ({"deadline": 0.0}, "deadline must be"),
        ({"deadline": 3600.0}, "floor must be below deadline"),
        ({"margin": 0.5}, "margin must be"),
        ({"lease": 0.0}, "lease must be"),
        ({"timeout": -1.0}, "timeout must be"),
        ({"backend": "magic"}, f"backend must be one of {', '.join(BACKENDS)}, got 'magic'"),
        ({"arguments": {"x": 1}}, "arguments must be left out for backend estimator, got x"),
    ):
        with pytest.raises(InputError, match=said):
            Ledger.create(tmp_path / "d.db", model=path, **wrong)
    with pytest.raises(InputError, match=r"model file .* cannot be read"):
        Ledger.create(tmp_path / "d.db", model=tmp_path / "none.npz")
    assert [each.name for each in tmp_path.iterdir()] == ["model.npz"]


def _adds(place: str, names: list[str], size: int) -> None:
    with Ledger(place) as ledger:
        for at in range(0, len(names), size):
            ledger.add(names[at : at + size])


def _works(place: str, until: int) -> None:
    with Ledger(place) as ledger:
        while ledger.status().released < until:
            try:
                ledger.process(everything=True)
            except BusyError:
                time.sleep(0.05)
            except RunFailedError:
                # So many runs of a small model cost more than learning again.
                with contextlib.suppress(BusyError):
                    ledger.refit()


def test_many_who_add_at_once_are_all_recorded_once_while_another_works(tmp_path: Path, url: str | None) -> None:
    place = url or str(tmp_path / "deletions.db")
    begun(tmp_path, url).close()
    # Two of the four ask for the same subjects.
    asked = [NAMES[:8], NAMES[:8], NAMES[8:12], NAMES[12:16]]
    spawn = multiprocessing.get_context("fork")
    adders = [spawn.Process(target=_adds, args=(place, names, 1)) for names in asked]
    workers = [spawn.Process(target=_works, args=(place, 16)) for _ in range(2)]
    for each in (*adders, *workers):
        each.start()
    for each in (*adders, *workers):
        each.join(120)
        assert each.exitcode == 0
    with Ledger(place) as ledger:
        assert kinds(ledger).count("received") == 16
        assert kinds(ledger).count("duplicate") == 8
        assert ledger.verify().findings == ()
        assert ledger.status().released == 16
        assert set(PNSGDClassifier.load(ledger.settings.model).ids_) == set(NAMES[16:])
