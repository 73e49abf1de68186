"""What the documents say is what the program does."""

import doctest
import json
import re
import shlex
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
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
NOTEBOOKS = [page for page in PAGES if "{code-cell}" in page.read_text(encoding="utf-8")]
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
        ends = re.search(r"# exits with (\d)", line)
        assert result.exit_code == (int(ends[1]) if ends else 0), (line, result.output)
    for command, shown in re.findall(r"```console\n\$ accountant (.*?)\n(.*?)```", text, re.DOTALL):
        printed = CliRunner().invoke(app, shlex.split(command)).output
        assert [line.rstrip() for line in printed.splitlines()] == [line.rstrip() for line in shown.splitlines()]


@pytest.mark.parametrize("page", NOTEBOOKS, ids=lambda page: page.stem)
def test_notebooks_run(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    cells = re.findall(
        r"^```\{code-cell\} python\n(?::[^\n]*\n)*(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert len(cells) > 3
    names: dict[str, object] = {}
    with redirect_stdout(StringIO()) as printed:
        for cell in cells:
            exec(compile(cell, str(page), "exec"), names)
    assert printed.getvalue()


@pytest.mark.parametrize("file", sorted((ROOT / "docs" / "_site").glob("*.py")), ids=lambda file: file.stem)
def test_examples_of_what_the_site_is_made_by_run(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(file.parent))
    assert doctest.testmod(import_module(file.stem)).failed == 0


def test_answers_that_the_page_of_keys_is_made_from_are_given() -> None:
    page = (ROOT / "docs" / "reference" / "json.md").read_text(encoding="utf-8")
    asked = re.findall(r"^```\{answer\} (.*)$", page, re.MULTILINE)
    assert len(asked) >= 8
    for words in asked:
        if words != "verify --builtin":
            result = CliRunner().invoke(app, [*shlex.split(words), "--json"])
            assert result.exit_code == 0, result.output
            assert set(json.loads(result.stdout)) >= {"command", "version"} - ({"version"} if "audit" in words else set())


def anchors(page: Path) -> set[str]:
    """What links into a page may end in: its headings, as GitHub and MyST write them."""
    text = page.read_text(encoding="utf-8")
    for included in re.findall(r"^```\{include\} (\S+)$", text, re.M):
        text += (page.parent / included).read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M), re.M)
    return {re.sub(r"[^\w\s-]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"], ids=lambda page: str(page.relative_to(ROOT))
)
def test_links_lead_to_files_and_headings_that_are_there(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith(("https://", "http://")):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_in_a_list_of_contents() -> None:
    listed = {"index"}
    for page in PAGES:
        for block in re.findall(r"^```\{toctree\}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
            names = [line for line in block.split("\n") if line and not line.startswith(":")]
            here = page.parent.relative_to(ROOT / "docs")
            listed |= {str(here / re.sub(r".*<(.*)>", r"\1", name)) for name in names}
    assert {str(page.relative_to(ROOT / "docs").with_suffix("")) for page in PAGES if page.name != "README.md"} == listed


def test_every_column_of_a_table_has_a_heading() -> None:
    for page in PAGES:
        for head in re.findall(r"^ *(\|.*\|)\n *\|[ :-]*---", page.read_text(encoding="utf-8"), re.MULTILINE):
            assert all(cell.strip() for cell in re.split(r"(?<!\\)\|", head)[1:-1]), (page, head)


def test_pictures_have_words_for_those_who_cannot_see_them() -> None:
    for page in PAGES:
        for words in re.findall(r"!\[(.*?)\]\(", page.read_text(encoding="utf-8")):
            assert len(words) > 40, (page, words)


def test_reference_values_of_the_theory_page_are_the_tested_ones() -> None:
    page = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8").split("## Reference values")[1]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")][2:]
    values = [("full" if b == "n" else int(b), *(float(x) for x in rest)) for b, *rest in rows]
    assert values == TABLE


def test_readme_is_one_screen_with_the_two_commands_and_a_picture() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "pip install . && accountant sigma --preset mnist --batch-size 128 --epsilon 1 --epochs 1" in text
    assert "pip install '.[test]' && pytest" in text
    assert len(re.findall(r"!\[.*?\]\(docs/pictures/", text)) == 1
    assert len(text.splitlines()) <= 60
