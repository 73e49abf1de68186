"""A ledger shows the steps of every request, which tell a class of norm: it refuses classes unless they may be told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from accountant import InputError
from accountant.commands import app
from accountant.ledger import Ledger
from accountant.trainer import PNSGDClassifier

NAMES = [f"name-{row:03d}" for row in range(120)]
ALLOWED = {"disclose_class": True}


def model_file(folder: Path, **more: Any) -> Path:
    """Rows of norm 0.9 and 0.2, in turns."""
    x = np.random.default_rng(5).normal(size=(120, 3))
    x *= np.resize([0.9, 0.2], 120)[:, None] / np.linalg.norm(x, axis=1, keepdims=True)
    settings = {"delta": 1e-3, "requests": 20, "fit_intercept": False, "classes_of_norm": (1, 0.25), **more}
    PNSGDClassifier(**settings).fit(x, x[:, 0] > 0, ids=NAMES if "assignment" not in more else None).save(folder / "model.npz")
    return folder / "model.npz"


def test_classes_are_refused_without_a_word_that_they_may_be_told(tmp_path: Path) -> None:
    model = model_file(tmp_path)
    for arguments in ({}, {"disclose_class": False}):
        with pytest.raises(
            InputError, match="disclose_class must be given for a model with classes_of_norm: entries and exports"
        ):
            Ledger.create(tmp_path / "deletions.db", model=model, arguments=arguments)
    with pytest.raises(InputError, match="disclose_class must be true or false"):
        Ledger.create(tmp_path / "deletions.db", model=model, arguments={"disclose_class": "yes"})
    assert not (tmp_path / "deletions.db").exists()


@pytest.mark.parametrize("assignment", ["secret", "partition"])
def test_runs_take_the_steps_of_the_class_and_entries_show_them(tmp_path: Path, assignment: str) -> None:
    more = {} if assignment == "secret" else {"assignment": "partition", "adjacency": "zero-out"}
    path = model_file(tmp_path, **more)
    told = PNSGDClassifier.load(path)
    expected = []
    for row, norm_class in ((1, 0.25), (0, 1.0), (3, 0.25)):
        expected.append(told.planned_steps(1, norm_class=norm_class))
        told.unlearn([row], by="rows")
    names = NAMES if assignment == "secret" else [str(row) for row in range(120)]
    with Ledger.create(tmp_path / "deletions.db", model=path, arguments=ALLOWED) as ledger:
        for row in (1, 0, 3):
            ledger.add([names[row]])
            assert ledger.process(everything=True).run is not None
        assert ledger.verify().findings == ()
        content = [entry.content for entry in ledger.entries()]
    assert content[0]["settings"]["arguments"] == ALLOWED
    assert [each["plan"]["steps"] for each in content if "plan" in each] == expected
    assert expected[0] < expected[1]
    assert PNSGDClassifier.load(path).classes_run_ == (0.25, 1.0, 0.25)


def test_the_command_says_why_and_how(tmp_path: Path) -> None:
    words = ["ledger", "init", "--model", str(model_file(tmp_path)), "--db", str(tmp_path / "d.db")]
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 2
    assert "--disclose-class must be given" in refused.output
    allowed = CliRunner().invoke(app, [*words, "--disclose-class", "--json"])
    assert allowed.exit_code == 0, allowed.output
    assert json.loads(allowed.stdout)["command"] == "ledger init"


def test_a_model_without_classes_needs_no_word(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "d.db", model=model_file(tmp_path, classes_of_norm=None)) as ledger:
        assert "arguments" not in ledger.settings.public or not ledger.settings.arguments


def test_a_declared_class_is_told_too(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"weights")
    problem = {"n": 1000, "smoothness": 1.0, "strong_convexity": 0.1, "batch_size": 50, "sigma": 0.05, "epsilon": 1.0}
    line = "python train.py {file} {steps}"
    settings: dict[str, Any] = {"subjects": {"a": [0]}, "backend": "command"}
    for declared, arguments in (({"norm_class": 0.5}, {}), ({"norm_class": 0.5}, {"disclose_class": False})):
        with pytest.raises(InputError, match="disclose_class must be given for a model with norm_class"):
            Ledger.create(
                tmp_path / "d.db", model=tmp_path / "model.bin", **settings,
                arguments={"run": line, "problem": {**problem, **declared}, **arguments},
            )  # fmt: skip
    given = {"run": line, "problem": {**problem, "norm_class": 0.5}, **ALLOWED}
    Ledger.create(tmp_path / "d.db", model=tmp_path / "model.bin", **settings, arguments=given).close()
