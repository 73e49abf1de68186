"""Another key for a ledger: requests that wait are still one, entries stay, old names lead nowhere, whenever it is killed."""

import itertools
import shutil
from pathlib import Path

import pytest
from crashes import count_calls, killed_at_call, killed_at_statement
from ledger_commands import PEOPLE, commanded, people
from ledger_scenes import Scene
from ledgers import NAMES, begun, check_end, kinds

from accountant import InputError
from accountant.ledger import DamageError, Ledger, RunFailedError
from accountant.ledger.subjects import Key, Subjects


def test_requests_that_wait_are_known_under_the_next_key_and_those_that_are_answered_are_not(
    tmp_path: Path, url: str | None
) -> None:
    with begun(tmp_path, url) as ledger:
        ledger.add([NAMES[0]])
        ledger.process(everything=True)
        ledger.add([NAMES[1], NAMES[2], NAMES[3]])
        ledger.refuse(NAMES[3], "by law")
        before, secret = list(ledger.entries()), Path(ledger.settings.key).read_text()
        old = Key.read(ledger.settings.key, ledger.id, before[0].content["key_check"])
        done = ledger.rotate_key()
        assert (done.subjects, done.waiting, done.answered) == (len(NAMES) - 1, 2, 2)
        after = list(ledger.entries())
        assert after[: len(before)] == before
        body = after[-1].content
        assert (after[-1].kind, body["old"], body["subjects"]) == ("rotated", old.check(), len(NAMES) - 1)
        assert body["new"] == ledger.key.check() != old.check()
        # Of the old key nothing is left, and of the new one there is one file.
        assert secret.strip() not in "".join(path.read_text(errors="replace") for path in tmp_path.iterdir() if path.is_file())
        assert [path.name for path in tmp_path.glob("model.key*")] == ["model.key"]
        # The same request twice is one, and is refused by name; who comes first is new.
        assert [(each.number, each.new) for each in ledger.add([NAMES[1], NAMES[1], NAMES[5]])][:2] == [(7, False)] * 2
        assert ledger.add([NAMES[3]])[0].new
        assert ledger.refuse(NAMES[2], "by law") == 8
        assert ledger.add([NAMES[2]])[0].new
        with pytest.raises(InputError, match="answered before the key was replaced is not known any more"):
            ledger.add([NAMES[0]])
        # No entry from now on holds a hash that the old key leads to, but of what waited.
        hashes = {old.of(name) for name in NAMES} - {old.of(NAMES[1])}
        assert not any(
            hashed in entry.body for entry in itertools.islice(ledger.entries(), len(before), None) for hashed in hashes
        )
        ledger.rotate_key()
        assert not ledger.add([NAMES[1]])[0].new
        assert not ledger.add([NAMES[2]])[0].new
        ledger.process(everything=True)
        check_end(ledger, released=5, gone=(*NAMES[:4], NAMES[5]))
        ledger.add([NAMES[9]])
        ledger.process(everything=True)
        subjects = Subjects.open(ledger.settings.subjects, ledger.id)
        # Purged is what was under the old name, too.
        assert subjects.count() == len(NAMES) - 6
        assert subjects.formers([ledger.key.of(name) for name in NAMES]) == {}
        subjects.close()
        assert ledger.verify().findings == ()


def test_everybody_must_be_named(tmp_path: Path, url: str | None) -> None:
    some: dict[str, list[int]] = {name: [] for name in PEOPLE[1:-1]}
    with commanded(tmp_path, url) as ledger:
        before, secret = kinds(ledger), Path(ledger.settings.key).read_bytes()
        for names in (None, {}, some):
            with pytest.raises(InputError, match=r"subjects must name everybody whom the ledger knows, got \d+ of 59 by name"):
                ledger.rotate_key(names)
        assert (kinds(ledger), Path(ledger.settings.key).read_bytes()) == (before, secret)
        ledger.rotate_key({name: [] for name in PEOPLE})
        assert ledger.add([PEOPLE[0]])[0].new
        assert ledger.verify().findings == ()


def test_who_lost_the_key_is_known_by_the_rows(tmp_path: Path, url: str | None) -> None:
    with commanded(tmp_path, url) as ledger:
        ledger.add(PEOPLE[:2])
    (tmp_path / "model.key").unlink()
    with Ledger(url or tmp_path / "deletions.db") as ledger:
        with pytest.raises(InputError, match=r"key file .* cannot be read"):
            ledger.rotate_key(people())
        some = people()
        del some[PEOPLE[7]]
        for wrong in (some, {**people(), PEOPLE[7]: [1]}):
            with pytest.raises(InputError, match=r"got 58 of 59 by their rows: nothing was changed"):
                ledger.rotate_key(wrong, lost=True)
        with pytest.raises(InputError, match="got one name for the rows of two"):
            ledger.rotate_key({"all": range(1000, 1060)}, lost=True)
        assert kinds(ledger)[-1] == "received"
        ledger.rotate_key(people(), lost=True)
        assert [each.new for each in ledger.add(PEOPLE[:3])] == [False, False, True]
        assert ledger.process(everything=True).run is not None
        assert ledger.verify().findings == ()


def test_programs_that_run_on_follow_the_key(tmp_path: Path, url: str | None) -> None:
    with begun(tmp_path, url) as ledger, Ledger(url or tmp_path / "deletions.db") as other:
        other.add([NAMES[0]])
        ledger.rotate_key()
        assert not other.add([NAMES[0]])[0].new
        other.add([NAMES[1]])
        assert not ledger.add([NAMES[1]])[0].new
        other.rotate_key()
        assert ledger.refuse(NAMES[1], "by law") == 4
        ledger.process(everything=True)
        check_end(ledger, released=1, gone=(NAMES[0],))


def test_the_key_stays_while_a_run_is_not_finished(tmp_path: Path) -> None:
    with begun(tmp_path) as ledger:
        ledger.add([NAMES[0]])

    def job() -> None:
        with Ledger(tmp_path / "deletions.db") as ledger:
            ledger.process(everything=True)

    for number in range(200):
        killed_at_statement(job, number)
        if _left_open(tmp_path):
            break
    with Ledger(tmp_path / "deletions.db") as ledger:
        with pytest.raises(InputError, match="while a run is not finished: accountant ledger process finishes it"):
            ledger.rotate_key()
        ledger.process()
        ledger.rotate_key()
        check_end(ledger, released=1, gone=(NAMES[0],))


def _left_open(folder: Path) -> bool:
    with Ledger(folder / "deletions.db") as ledger:
        status = ledger.status()
        return bool(status.running + status.saved)


def test_subjects_of_another_moment_than_the_ledger_are_told(tmp_path: Path) -> None:
    with begun(tmp_path) as ledger:
        ledger.add([NAMES[0]])
    for name in ("model.subjects.db", "deletions.db", "model.key"):
        shutil.copy(tmp_path / name, tmp_path / f"old-{name}")
    with Ledger(tmp_path / "deletions.db") as ledger:
        ledger.rotate_key()
    for restored, said in ((("model.subjects.db",), "before"), (("deletions.db", "model.key"), "after")):
        folder = tmp_path / said
        folder.mkdir()
        for name in ("model.npz", "model.subjects.db", "deletions.db", "model.key"):
            shutil.copy(tmp_path / (f"old-{name}" if name in restored else name), folder / name)
        places = {"model": "model.npz", "key": "model.key", "subjects": "model.subjects.db"}
        mixed = Ledger(folder / "deletions.db", places={name: str(folder / file) for name, file in places.items()})
        with mixed:
            with pytest.raises(DamageError, match=f"are from {said} the key was replaced, and this ledger is not"):
                mixed.add([NAMES[1]])
            with pytest.raises(DamageError, match=f"are from {said} the key was replaced, and this ledger is not"):
                mixed.process(everything=True)


@pytest.fixture
def scene(tmp_path: Path, url: str | None, request: pytest.FixtureRequest) -> Scene:
    return Scene(tmp_path, None if url is None else request.getfixturevalue("postgresql"))


def _rotate(scene: Scene) -> None:
    with scene.open() as ledger:
        ledger.rotate_key()


def _check(scene: Scene) -> None:
    """Whichever key is in force, who waits is known, and all goes on."""
    with scene.open() as ledger:
        assert ledger.verify().findings == ()
        known = [each.new for each in ledger.add([*scene.gone, NAMES[9]])]
        assert known == [False] * len(scene.gone) + [True]
        secrets = {path.name for path in scene.folder.glob("model.key*")}
        rotated = "rotated" in kinds(ledger)
        assert secrets == {"model.key"} or (secrets == {"model.key", "model.key.new"} and not rotated)
        ledger.rotate_key()
        assert [each.new for each in ledger.add([*scene.gone, NAMES[9], NAMES[10]])] == [False] * 3 + [True]
        ledger.process(everything=True)
        assert [path.name for path in scene.folder.glob("model.key*")] == ["model.key"]
        check_end(ledger, released=4, gone=(*scene.gone, NAMES[9], NAMES[10]))
        subjects = Subjects.open(ledger.settings.subjects, ledger.id)
        assert subjects.count() == len(NAMES) - 4
        subjects.close()


@pytest.mark.parametrize(("first", "step"), [(0, 7), *(pytest.param(at, 7, marks=pytest.mark.slow) for at in range(1, 7))])
def test_killed_at_any_statement_the_key_is_the_old_one_or_the_new_one(scene: Scene, first: int, step: int) -> None:
    for number in itertools.count(first, step):
        scene.begin()
        killed = killed_at_statement(lambda: _rotate(scene), number)
        _check(scene)
        if not killed:
            break
    assert number > 30


@pytest.mark.parametrize("number", range(2, 50, 8))
def test_who_processes_next_needs_no_key(scene: Scene, number: int) -> None:
    scene.begin()
    killed_at_statement(lambda: _rotate(scene), number)
    for path in scene.folder.glob("model.key*"):
        path.unlink()
    with scene.open() as ledger:
        ledger.process(everything=True)
        check_end(ledger, released=2, gone=scene.gone)


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize("call", ["openat", "rename", "unlink", "write", "fsync"])
def test_killed_at_any_system_call_the_key_is_the_old_one_or_the_new_one(scene: Scene, tmp_path: Path, call: str) -> None:
    log = tmp_path / "log"
    scene.begin()
    most = count_calls(lambda: _rotate(scene), log)
    last = most.get(call, 0) + (most.get("openat, reading", 0) if call == "openat" else 0)
    for number in range(1, last + 1, max(last // 8, 1)):
        scene.begin()
        killed_at_call(lambda: _rotate(scene), call, number, log)
        _check(scene)


def test_what_the_backend_fails_at_changes_no_key(tmp_path: Path) -> None:
    with begun(tmp_path) as ledger:
        secret = Path(ledger.settings.key).read_bytes()
        (tmp_path / "model.npz").write_bytes(b"no model")
        with pytest.raises((InputError, RunFailedError)):
            ledger.rotate_key()
        assert Path(ledger.settings.key).read_bytes() == secret
        assert [path.name for path in tmp_path.glob("model.key*")] == ["model.key"]
