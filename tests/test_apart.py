"""Rows of saved models apart from their state: what is written once, what is gone, and what a crash leaves."""

import os
import stat
from pathlib import Path

import numpy as np
import pytest

from accountant import InputError
from accountant.trainer import PNSGDClassifier, preparation, unit_rows
from accountant.trainer import rows as rows_module
from accountant.trainer import saved as saved_module

pytest.importorskip("sklearn")
N, D = 60, 5


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight rows each."""
    monkeypatch.setattr(rows_module, "_BLOCK", 8 * D)
    monkeypatch.setattr(preparation, "_AT_ONCE", 8 * (D + 1), raising=False)


def fitted(**options: object) -> PNSGDClassifier:
    rng = np.random.default_rng(0)
    x = unit_rows(rng.standard_normal((N, D))) * 0.9
    given = {"epsilon": 1.0, "delta": 1e-2, "batch_size": 20, "regularisation": 0.1, "sigma": 0.2, "learn_epochs": 5}
    model = PNSGDClassifier(**{**given, "fit_intercept": False, "random_state": 1, **options})
    return model.fit(x, np.where(x[:, 0] > 0, 1, -1))


def blocks(path: Path) -> dict[str, int]:
    """Files of blocks, and what tells whether they were written again."""
    return {file.name: file.stat().st_ino for file in (path.parent / f"{path.name}.rows").iterdir()}


def holds_in(file: Path, row: np.ndarray) -> bool:
    return row.tobytes() in file.read_bytes()


def holds(path: Path, row: np.ndarray) -> bool:
    """Whether a row's bytes are in any file of the folder that a model is in."""
    return any(holds_in(file, row) for file in path.parent.rglob("*") if file.is_file())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("adjacency", ["remove", "zero-out"])
def test_a_request_writes_one_block_and_removes_the_row(tmp_path: Path, dtype: str, adjacency: str) -> None:
    """Saved, loaded, asked, saved, as a service does: equal to a model that was never in a file."""
    path = tmp_path / "model.npz"
    assignment = "secret" if adjacency == "remove" else "partition"
    model = fitted(dtype=dtype, adjacency=adjacency, assignment=assignment)
    model.save(path, rows_apart=True)
    written, row = blocks(path), model._run.features[20].copy()
    assert len(written) == 8
    assert holds(path, row)
    loaded = PNSGDClassifier.load(path)
    np.testing.assert_array_equal(loaded._run.features, model._run.features)
    for number in (20, 3):
        loaded = PNSGDClassifier.load(path).unlearn([number], max_steps=10**6)
        loaded.save(path, rows_apart=True)
        model.unlearn([number], max_steps=10**6)
    np.testing.assert_array_equal(loaded.coef_, model.coef_)
    assert not holds(path, row)
    after = blocks(path)
    assert len(after) == 8
    assert sum(written.get(name) == inode for name, inode in after.items()) == 6
    assert not any(holds_in(path, each) for each in model._run.features if each.any())


def test_permissions_and_going_back_to_one_file(tmp_path: Path) -> None:
    path, model = tmp_path / "model.npz", fitted()
    model.save(path, rows_apart=True)
    folder = tmp_path / "model.npz.rows"
    if os.name == "posix":
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    model.save(path)
    assert not folder.exists()
    np.testing.assert_array_equal(PNSGDClassifier.load(path)._run.features, model._run.features)


def test_what_a_crash_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the state is replaced: the old one, whole. After that: the new one, and the next to save removes the rest."""
    path, model = tmp_path / "model.npz", fitted()
    model.save(path, rows_apart=True)
    old, row = model.coef_.copy(), model._run.features[20].copy()
    model.unlearn([20], max_steps=10**6)

    def crash(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    for name in ("write_rows", "atomic_file", "remove_others"):
        with monkeypatch.context() as patch:
            patch.setattr(saved_module, name, crash)
            with pytest.raises(KeyboardInterrupt):
                model.save(path, rows_apart=True)
        want = model.coef_ if name == "remove_others" else old
        np.testing.assert_array_equal(PNSGDClassifier.load(path).coef_, want)
    assert holds(path, row)
    model.save(path, rows_apart=True)
    assert not holds(path, row)
    np.testing.assert_array_equal(PNSGDClassifier.load(path).coef_, model.coef_)


def test_a_reader_that_is_overtaken_reads_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, model = tmp_path / "model.npz", fitted()
    model.save(path, rows_apart=True)
    read = saved_module.read_rows

    def late(*arguments: object) -> object:
        monkeypatch.setattr(saved_module, "read_rows", read)
        model.unlearn([20], max_steps=10**6).save(path, rows_apart=True)
        return read(*arguments)

    monkeypatch.setattr(saved_module, "read_rows", late)
    np.testing.assert_array_equal(PNSGDClassifier.load(path).coef_, model.coef_)


def test_blocks_that_are_missing_or_damaged(tmp_path: Path) -> None:
    path, model = tmp_path / "model.npz", fitted()
    model.save(path, rows_apart=True)
    first, second = sorted((tmp_path / "model.npz.rows").iterdir())[:2]
    whole = first.read_bytes()
    for damaged in (second.read_bytes(), whole[:-40], b""):
        first.write_bytes(damaged)
        with pytest.raises(InputError, match="must be a file that save wrote, undamaged"):
            PNSGDClassifier.load(path)
    first.unlink()
    with pytest.raises(InputError, match=r"its rows must be in the folder .*model.npz.rows beside it, and some are not"):
        PNSGDClassifier.load(path)
    first.write_bytes(whole)
    np.testing.assert_array_equal(PNSGDClassifier.load(path).coef_, model.coef_)


def test_a_block_that_was_cut_short_is_written_again(tmp_path: Path) -> None:
    """When save returns, the model is on the disk, also where a block of it had been damaged that way before."""
    path, model = tmp_path / "model.npz", fitted()
    model.save(path, rows_apart=True)
    for left in (0, 10):
        block = sorted((tmp_path / "model.npz.rows").iterdir())[0]
        block.write_bytes(block.read_bytes()[:left])
        model.save(path, rows_apart=True)
        np.testing.assert_array_equal(PNSGDClassifier.load(path)._run.features, model._run.features)


def test_a_folder_that_is_somebody_elses_keeps_no_removed_row(tmp_path: Path) -> None:
    path, model = tmp_path / "model.npz", fitted()
    model.save(path, rows_apart=True)
    for name in ("a", "mine", "zz"):
        (tmp_path / "model.npz.rows" / name).mkdir()
    row = model._run.features[20].copy()
    model.unlearn([20], max_steps=10**6).save(path, rows_apart=True)
    assert not holds(path, row)
    assert (tmp_path / "model.npz.rows" / "mine").is_dir()
    assert PNSGDClassifier.load(path).requests_ == ((20,),)
