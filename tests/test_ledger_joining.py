"""Records that join by the shell: the ledger knows whose they are, and the model is the one that learned them."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ledger_commands import PEOPLE, commanded
from ledgers import NAMES, begun, kinds
from typer.testing import CliRunner

from accountant import InputError
from accountant.commands.program import app
from accountant.ledger import Ledger
from accountant.trainer import PNSGDClassifier, PNSGDRegressor

ROWS = "subject,row,a,b,label\nzoe,z-1,0.1,0.2,True\nzoe,z-2,0.3,-0.1,False\namy,a-1,-0.2,0.4,1\n"
NEW = {"z-1", "z-2", "a-1"}


def _join(folder: Path, *words: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["ledger", "join", "--db", str(folder / "deletions.db"), *words, "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout) if code == 0 else result.output


def _arrays(folder: Path) -> str:
    path = folder / "new.npz"
    X = np.array([[0.1, 0.2], [0.3, -0.1], [-0.2, 0.4]])
    np.savez(path, X=X, y=np.array([True, False, True]), subject=["zoe", "zoe", "amy"], row=["z-1", "z-2", "a-1"])
    return str(path)


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_records_of_a_file_join_and_can_be_asked_for(tmp_path: Path, url: str | None, kind: str) -> None:
    begun(tmp_path, url).close()
    (tmp_path / "new.csv").write_text(ROWS)
    path = str(tmp_path / "new.csv") if kind == "csv" else _arrays(tmp_path)
    words = ["ledger", "join", "--db", url or str(tmp_path / "deletions.db"), "--data", path, "--learn-epochs", "2", "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["run"]["statement"].startswith("3 records joined.")
    model = PNSGDClassifier.load(tmp_path / "model.npz")
    assert set(model.ids_) == {*NAMES, *NEW}
    # The labels are those of the file, as the model has them, in whichever way they were written.
    found = {name: bool(model._run.labels[at] > 0) for at, name in enumerate(model._run.draws.identifiers) if name in NEW}
    assert found == {"z-1": True, "z-2": False, "a-1": True}
    with Ledger(url or tmp_path / "deletions.db") as ledger:
        assert kinds(ledger) == ["begun", "intent", "run", "saved", "joined"]
        ledger.add(["zoe", NAMES[0]])
        assert ledger.status().points == 3
        assert ledger.process(everything=True).run is not None
        assert set(PNSGDClassifier.load(tmp_path / "model.npz").ids_) == {*NAMES[1:], "a-1"}
        assert ledger.verify().findings == ()


def test_features_are_those_of_the_same_name(tmp_path: Path) -> None:
    frames = pytest.importorskip("pandas")
    draws = np.random.default_rng(3)
    X = frames.DataFrame(draws.uniform(-0.5, 0.5, (80, 2)), columns=["b", "a"])
    settings: dict[str, Any] = {"epsilon": 1.0, "delta": 1e-3, "batch_size": 40, "regularisation": 0.2, "learn_epochs": 3}
    PNSGDRegressor(**settings).fit(X, X["a"], ids=NAMES[:80]).save(tmp_path / "model.npz")
    Ledger.create(tmp_path / "deletions.db", model=tmp_path / "model.npz").close()
    path = tmp_path / "new.csv"
    path.write_text("subject,a,b,label\nzoe,0.1,0.2,0.5\n")
    _join(tmp_path, "--data", str(path))
    model = PNSGDRegressor.load(tmp_path / "model.npz")
    at = list(model._run.draws.identifiers).index("zoe")
    row = np.asarray(model._run.rows.take(np.array([at])))[0]
    assert row[1] / row[0] == pytest.approx(0.5)
    path.write_text("subject,a,c,label\nkim,0.1,0.2,0.5\n")
    assert "features must be called as at fit, got none called 'b'" in _join(tmp_path, "--data", str(path), code=1)
    with Ledger(tmp_path / "deletions.db") as ledger, pytest.raises(InputError, match="knows, got 'kim'"):
        ledger.add(["kim"])


def test_of_another_trainer_the_model_is_copied_and_its_rows_are_known(tmp_path: Path, url: str | None) -> None:
    with commanded(tmp_path, url) as ledger:
        model, new = Path(ledger.settings.model), tmp_path / "made.npz"
        np.savez(new, w=np.array([1.0, 2.0, 3.0]))
        ledger.join(lambda _: new, {"zoe": [2000, 2001]})
        assert model.read_bytes() == new.read_bytes()
        assert (model.stat().st_mode & 0o777, new.exists()) == (0o600, True)
        assert ledger.add(["zoe", PEOPLE[0]])[0].new
        assert ledger.status().points == 3
        with pytest.raises(InputError, match="rows must be whole numbers"):
            ledger.join(lambda _: new, {"amy": ["a row"]})
        with pytest.raises(InputError, match="backend command learns elsewhere"):
            ledger.join_rows([[1.0]], [1], {"kim": [3]}, ids=[3])
        assert ledger.verify().findings == ()


def test_with_noisy_sgd_on_batches_nobody_joins_as_n_is_declared(tmp_path: Path) -> None:
    problem = {
        "convexity": 0.2, "smoothness": 1.0, "lipschitz": 1.0, "n": 60, "batch_size": 20, "step_size": 0.5, "sigma": 0.05,
        "epsilon": 1.0, "delta": 1e-3, "learn_epochs": 3,
    }  # fmt: skip
    with commanded(tmp_path, arguments={"problem": problem, "steps": None}) as ledger:
        before = kinds(ledger)
        with pytest.raises(InputError, match="records cannot join with noisy SGD on batches"):
            ledger.join(lambda path: path, {"zoe": [2000]})
        assert kinds(ledger) == before


WRONG = [
    ("subject,label,a,b\n", "must have a header and at least one row"),
    ("subject,a,b\nzoe,1,2\n", "must have a column label in its header"),
    ("subject,label,a,b\nzoe,True,x,2\n", "must hold numbers in all columns but subject, row and label"),
    ("subject,label,a,b\nzoe,True,1\n", "as the header, 4, got 3"),
]


@pytest.mark.parametrize(("text", "said"), WRONG, ids=[said[:30] for _, said in WRONG])
def test_files_that_cannot_be_read_are_refused_and_change_nothing(tmp_path: Path, text: str, said: str) -> None:
    begun(tmp_path).close()
    (tmp_path / "new.csv").write_text(text)
    before = (tmp_path / "model.npz").read_bytes()
    assert said in " ".join(_join(tmp_path, "--data", str(tmp_path / "new.csv"), code=2).split())
    assert "who joins" in _join(tmp_path, code=2)
    for words in (["--model", str(tmp_path / "model.npz")], ["--data", "new.csv", "--subjects", "who.csv"]):
        assert "--subjects must be given with --model" in _join(tmp_path, *words, code=2)
    assert (tmp_path / "model.npz").read_bytes() == before


def test_what_the_model_refuses_joins_nobody(tmp_path: Path) -> None:
    begun(tmp_path).close()
    path, before = tmp_path / "new.csv", (tmp_path / "model.npz").read_bytes()
    path.write_text("subject,a,b,label\nzoe,0.1,0.2,maybe\n")
    assert "labels must be one of False, True, got 'maybe'" in " ".join(_join(tmp_path, "--data", str(path), code=1).split())
    path.write_text(f"subject,a,b,label\n{NAMES[0]},0.1,0.2,True\n")
    assert "subjects must be new to the ledger" in " ".join(_join(tmp_path, "--data", str(path), code=2).split())
    assert (tmp_path / "model.npz").read_bytes() == before
    with Ledger(tmp_path / "deletions.db") as ledger:
        ledger.process()
        assert ledger.verify().findings == ()
        with pytest.raises(InputError, match="knows, got 'zoe'"):
            ledger.add(["zoe"])
    shutil.rmtree(tmp_path / "model.certificates")
