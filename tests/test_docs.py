"""What the documents say is what the program does."""

import doctest
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
from ledgers import model_file
from test_optimal import TABLE
from typer.testing import CliRunner

import accountant
from accountant.commands.program import app

ROOT = Path(__file__).resolve().parents[1]
HOUSE = Path(accountant.__file__).parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
#: Files whose docstrings show examples. Those of other libraries' plug-ins are pages of the documentation.
SHOWING = sorted(
    ".".join(path.relative_to(HOUSE.parent).with_suffix("").parts)
    for path in HOUSE.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8") and path.parent.name != "interop"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_examples_run(page: Path) -> None:
    failures, _ = doctest.testfile(str(page), module_relative=False)
    assert failures == 0


@pytest.mark.parametrize("name", SHOWING)
def test_examples_of_docstrings_run(name: str) -> None:
    module = import_module(name.removesuffix(".__init__"))
    failures, attempts = doctest.testmod(module)
    assert failures == 0
    assert attempts > 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_shell_examples_run_and_print_what_the_page_shows(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = page.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    if "--model model.npz" in text:
        model_file(tmp_path, [f"{letter}{number:02d}" for letter in "abc" for number in range(40)])
    # In the order of the page: a command reads the file that was shown last before it.
    parts = r"```toml\n(.*?)```|```csv\n(.*?)```|^    (accountant .*?)$"
    for toml, table, line in re.findall(parts, text, re.DOTALL | re.MULTILINE):
        if toml:
            (tmp_path / "problem.toml").write_text(toml, encoding="utf-8")
        if table:
            for name in ("requests.csv", "table.csv"):
                (tmp_path / name).write_text(table, encoding="utf-8")
        if not line:
            continue
        result = CliRunner().invoke(app, shlex.split(line, comments=True)[1:])
        assert result.exit_code == int("# exits with 1" in line), (line, result.output)
    for command, shown in re.findall(r"```console\n\$ accountant (.*?)\n(.*?)```", text, re.DOTALL):
        printed = CliRunner().invoke(app, shlex.split(command)).stdout
        assert [line.rstrip() for line in printed.splitlines()] == [line.rstrip() for line in shown.splitlines()]


def test_reference_values_of_the_theory_page_are_the_tested_ones() -> None:
    page = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8").split("## Reference values")[1]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")][2:]
    values = [("full" if b == "n" else int(b), *(float(x) for x in rest)) for b, *rest in rows]
    assert values == TABLE


def test_readme_names_the_two_commands_and_shows_a_picture_that_exists() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "pip install . && accountant sigma --preset mnist --batch-size 128 --epsilon 1 --epochs 1" in text
    assert "pip install '.[test]' && pytest" in text
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("https://") or (ROOT / link).exists(), link
