"""What is installed is said as it is, a line for every extra that a user can ask for."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from accountant.commands import doctor
from accountant.commands.program import app

#: Extras of those who develop the program.
DEVELOPERS = {"test", "bench", "lint", "browser", "docs", "checks"}


def test_every_extra_has_its_line() -> None:
    named = metadata.metadata("unlearning-accountant").get_all("Provides-Extra") or []
    assert set(doctor.EXTRAS) == set(named) - DEVELOPERS


def test_what_is_there_and_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"sqlalchemy": "2.0.1"}

    def version(package: str) -> str:
        if package not in there:
            raise metadata.PackageNotFoundError(package)
        return there[package]

    wanted = ['sqlalchemy>=2; extra == "ledger"', 'alembic>=1.13; extra == "ledger"', 'jinja2>=3.1; extra == "report"']
    monkeypatch.setattr(metadata, "requires", lambda _: wanted)
    monkeypatch.setattr(metadata, "version", version)
    found = {each.name: each for each in doctor.findings()}
    assert not found["ledger"].ready
    assert found["ledger"].found == "alembic>=1.13 is missing"
    assert found["ledger"].remedy == 'pip install "unlearning-accountant[ledger]"'
    there |= {"alembic": "1.9.2", "jinja2": "3.1.0"}
    found = {each.name: each for each in doctor.findings()}
    assert found["ledger"].found == "alembic>=1.13 is needed, 1.9.2 is there"
    assert found["report"].ready
    there |= {"alembic": "1.20"}
    assert {each.name: each for each in doctor.findings()}["ledger"].ready


def test_a_database_that_does_not_answer_ends_with_1(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    result = CliRunner().invoke(app, ["doctor", "--db", str(tmp_path / "none.db"), "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["findings"][-1]["ready"] is False
    assert not (tmp_path / "none.db").exists()


def test_without_the_libraries_of_the_ledger_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['sqlalchemy'] = None; from accountant.commands import app; app(['doctor', '--db', 'x.db'])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "unlearning-accountant[ledger]" in result.stdout
    assert "Traceback" not in result.stderr
