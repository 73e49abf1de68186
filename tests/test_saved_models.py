"""Saved models under many hands: two processes, kills, copies, old files; nothing reported is lost, no noise comes twice."""

import json
import os
import stat
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accountant import InputError
from accountant.trainer import OvertakenError, PNSGDClassifier, PNSGDRegressor, saved

# Rows here are longer than 1 now and then.
pytestmark = pytest.mark.filterwarnings("ignore::accountant.trainer.cautions.RescaledRowsWarning")

RNG = np.random.default_rng(3)
N = 80
X = RNG.standard_normal((N, 3)) / 3
Y = X[:, 0] > 0
PARTITION: dict[str, Any] = {"assignment": "partition", "adjacency": "zero-out"}
SAVING = Path(__file__).with_name("saving.py")


def model(**changes: Any) -> PNSGDClassifier:
    settings: dict[str, Any] = {"batch_size": 20, "learn_epochs": 5, "regularisation": 0.1, "sigma": 0.02, "epsilon": 5.0}
    return PNSGDClassifier(**(settings | changes)).fit(X, Y)


def state(model: Any) -> int:
    return int(model._run.generators[0].bit_generator.state["state"]["state"])


def header(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as archive:
        return dict(json.loads(archive["header"].tobytes()))


# Two processes, and kills


def harness(what: str, count: int, folder: Path) -> dict[str, Any]:
    arguments = [sys.executable, "-W", "ignore", str(SAVING), what, str(count), "5", str(folder)]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True)
    assert done.stderr == ""
    return dict(json.loads(done.stdout))


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")


@needs_fork
def test_two_processes_on_one_model_lose_nothing(tmp_path: Path) -> None:
    found = harness("interleave", 8, tmp_path)
    assert found["wrong"] == []
    assert (found["count"], found["done"]) == (8, 32)


@needs_fork
def test_killed_processes_lose_nothing(tmp_path: Path) -> None:
    found = harness("kill", 20, tmp_path)
    assert found["wrong"] == []
    assert found["done"] > 0


@needs_fork
@pytest.mark.slow
def test_two_processes_a_thousand_times(tmp_path: Path) -> None:
    found = harness("interleave", 1000, tmp_path)
    assert found["wrong"] == []
    assert found["done"] == 4000
    assert found["refused"] > 0


@needs_fork
@pytest.mark.slow
def test_two_hundred_kills(tmp_path: Path) -> None:
    assert harness("kill", 200, tmp_path)["wrong"] == []


# Generations


def test_a_file_that_has_moved_on_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "model.npz"
    first = model()
    first.save(file)
    one, two = (PNSGDClassifier.load(file) for _ in range(2))
    one.unlearn([1]).save(file)
    content = file.read_bytes()
    for late in (two.unlearn([2]), first.unlearn([3]), deepcopy(two)):
        for _ in range(2):
            with pytest.raises(
                InputError, match=r"generation 2 of this model, which somebody else has saved since .* generation 1"
            ):
                late.save(file)
    assert file.read_bytes() == content
    # Again, from what is there.
    PNSGDClassifier.load(file).unlearn([2]).save(file)
    assert PNSGDClassifier.load(file).requests_ == ((1,), (2,))
    assert header(file)["history"]["generation"] == 3
    # And it has moved on for the one before, too.
    with pytest.raises(InputError, match="generation 3"):
        one.unlearn([4]).save(file)
    one.save(tmp_path / "elsewhere.npz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere.npz", "model.npz"]


def test_who_has_seen_the_file_may_save_again_and_again(tmp_path: Path) -> None:
    file, backup = tmp_path / "model.npz", tmp_path / "backup.npz"
    own = model()
    for row in range(3):
        own.unlearn([row], max_steps=10**6).save(file)
        own.save(backup)
    other = PNSGDClassifier.load(file).unlearn([5], max_steps=10**6)
    other.save(file)
    # An older state of the same model, which this one comes from.
    other.save(backup)
    assert PNSGDClassifier.load(backup).requests_ == other.requests_
    with pytest.raises(OvertakenError, match="somebody else"):
        own.save(backup)


def test_a_branch_is_not_overwritten_wherever_it_lies(tmp_path: Path) -> None:
    """Two copies of one model that went different ways, the second file never seen by the first."""
    own = model()
    other = deepcopy(own)
    own.unlearn([1]).save(tmp_path / "a.npz")
    with pytest.raises(OvertakenError, match="somebody else has saved"):
        other.unlearn([2]).save(tmp_path / "a.npz")
    (tmp_path / "link.npz").symlink_to("a.npz")
    with pytest.raises(OvertakenError, match="somebody else has saved"):
        other.save(tmp_path / "link.npz")
    own.unlearn([3], max_steps=10**6).save(tmp_path / "link.npz")
    assert PNSGDClassifier.load(tmp_path / "a.npz").requests_ == ((1,), (3,))


def test_a_file_that_became_another_is_left(tmp_path: Path) -> None:
    file = tmp_path / "model.npz"
    own = model()
    own.save(file)
    for content, words in ((model(), "another model"), (b"hello", "no model any more"), (b"", "no model any more")):
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            # Who fits anew means to.
            content.save(file)
        for late in (own, deepcopy(own)):
            with pytest.raises(InputError, match=f"path {file} holds {words}"):
                late.save(file)
    # A new fit is another model, also of the same object, and may replace what it never was.
    own.fit(X, Y).save(file)
    file.unlink()
    own.unlearn([1]).save(file)
    assert PNSGDClassifier.load(file).requests_ == ((1,),)


def test_a_save_that_was_interrupted_is_not_somebody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.npz"
    own = model()
    own.save(file)
    real = os.replace

    def interrupted(source: Any, target: Any) -> None:
        real(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        own.unlearn([1]).save(file)
    monkeypatch.undo()
    own.unlearn([2], max_steps=10**6).save(file)
    assert PNSGDClassifier.load(file).requests_ == ((1,), (2,))


def test_many_generations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accountant.trainer.history._MOST", 3)
    file = tmp_path / "model.npz"
    own = model()
    for row in range(6):
        own.unlearn([row], max_steps=10**6).save(file)
        # The same state again is no other generation.
        own.save(file)
        own = PNSGDClassifier.load(file)
        own.save(file)
    assert header(file)["history"]["generation"] == 6
    assert len(header(file)["history"]["states"]) == 3


# Noise


def test_loaded_twice_noise_is_fresh_each_time_unless_a_random_state_was_given(tmp_path: Path) -> None:
    file = tmp_path / "model.npz"
    for random_state in (None, 4):
        own = model(random_state=random_state)
        own.save(file)
        loaded = [own, *(PNSGDClassifier.load(file) for _ in range(3))]
        for each in loaded:
            np.testing.assert_array_equal(each.predict_proba(X), own.predict_proba(X))
            assert each.planned_steps(3) == own.planned_steps(3)
        assert len({state(each) for each in loaded}) == (4 if random_state is None else 1)
        after = {each.unlearn([5]).coef_.tobytes() for each in loaded}
        assert len(after) == (4 if random_state is None else 1)
        written = header(file)
        assert (written["generator"] is None) == (random_state is None)
        assert ("note" in written) == (random_state is not None)
        file.unlink()
    assert "can draw the noise of all later requests" in saved.REPLAYABLE == written["note"]


def test_no_state_of_a_generator_is_in_a_file_without_a_random_state(tmp_path: Path) -> None:
    own = model()
    state_ = own._run.generators[0].bit_generator.state["state"]
    own.save(tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz") as archive:
        for name in archive.files:
            for number in state_.values():
                assert str(number).encode() not in archive[name].tobytes()
                assert int(number).to_bytes(16, "little") not in archive[name].tobytes()


# Files


def test_permissions(tmp_path: Path) -> None:
    file = tmp_path / "model.npz"
    own = model(assignment="partition", adjacency="zero-out")
    own.save(file)
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o640)
    own.save(file)
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]


def test_a_model_is_on_the_disk_when_save_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content before the name, the name before the answer."""
    events, fsync, replaced = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (events.append(stat.S_ISDIR(os.fstat(handle).st_mode)), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda *names: (events.append("replace"), replaced(*names)))
    model().save(tmp_path / "model.npz")
    assert events == [False, "replace", True]


def test_what_cannot_be_written_is_one_sentence_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = model().unlearn([1])
    for path, words in (
        (tmp_path, "it exists and is no file|Is a directory"),
        (tmp_path / "none" / "model.npz", "No such file"),
        (Path("/dev/null"), "it exists and is no file|Permission"),
    ):
        with pytest.raises(InputError, match=f"path {path} cannot be written: ({words})"):
            own.save(path)
    own.save(tmp_path / "model.npz")
    content = (tmp_path / "model.npz").read_bytes()

    def full(*arguments: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saved.np, "savez", full)
    with pytest.raises(InputError, match="No space left on device"):
        own.unlearn([2], max_steps=10**6).save(tmp_path / "model.npz")
    monkeypatch.undo()
    assert (tmp_path / "model.npz").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]
    own.save(tmp_path / "model.npz")
    assert PNSGDClassifier.load(tmp_path / "model.npz").requests_ == ((1,), (2,))


def test_what_a_killed_process_has_left_goes_with_the_next_save(tmp_path: Path) -> None:
    left = tmp_path / ".model.npz.0123456789abcdef.part"
    left.write_bytes(b"rows that are removed later")
    model().save(tmp_path / "model.npz")
    assert not left.exists()


def first_format(path: Path, generator: Any) -> None:
    """A file as the first format had it."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files if not name.startswith("row_label")}
    head = json.loads(arrays["header"].tobytes())
    for name in ("history", "row_labels", "note", "draws"):
        head.pop(name, None)
    # Nor were there other assignments.
    for name in ("assignment", "largest_n"):
        head["params"].pop(name)
    head |= {"format": 1, "generator": generator.bit_generator.state}
    if head["params"]["dtype"] == "float32":
        arrays["parameters"] = arrays["parameters"].astype(np.float32)
    arrays["header"] = np.frombuffer(json.dumps(head).encode(), dtype=np.uint8)
    np.savez(path, **arrays)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("random_state", [None, 4])
def test_files_of_the_first_format_are_read(dtype: str, random_state: int | None, tmp_path: Path) -> None:
    file = tmp_path / "model.npz"
    settings: dict[str, Any] = {"batch_size": 20, "learn_epochs": 5, "unlearn_epochs": 1, "regularisation": 0.1}
    settings |= {"random_state": random_state}
    own = PNSGDRegressor(dtype=dtype, **PARTITION, **settings).fit(X, X[:, 1])
    own.unlearn([1])
    own.save(file)
    first_format(file, own._run.generators[0])
    one, two = (PNSGDRegressor.load(file) for _ in range(2))
    np.testing.assert_allclose(one.predict(X), own.predict(X), atol=1e-6)
    assert one.requests_ == ((1,),)
    assert one._run.parameters.dtype == np.float64
    # The state of the noise is in such a file, but is used only where random_state was given.
    for each in (one, two):
        each.unlearn([2], max_steps=10**6)
    assert np.array_equal(one.coef_, two.coef_) == (random_state is not None)
    one.save(file)
    assert header(file)["format"] == saved.FORMAT
    with pytest.raises(OvertakenError, match="somebody else has saved"):
        two.save(file)
    assert PNSGDRegressor.load(file).requests_ == ((1,), (2,))


def test_old_writers_are_seen_by_new_ones(tmp_path: Path) -> None:
    """A version that knows no generations saved in between."""
    file = tmp_path / "model.npz"
    own = model(**PARTITION)
    own.save(file)
    late = PNSGDClassifier.load(file)
    own.unlearn([1]).save(file)
    first_format(file, own._run.generators[0])
    with pytest.raises(InputError, match="another model"):
        late.unlearn([2]).save(file)
    old = PNSGDClassifier.load(file)
    own.unlearn([3], max_steps=10**6)
    content = file.read_bytes()
    with pytest.raises(InputError, match="another model"):
        own.save(file)
    assert file.read_bytes() == content
    old.unlearn([2], max_steps=10**6).save(file)
    assert PNSGDClassifier.load(file).requests_ == ((1,), (2,))
