"""The house: which room may import which, what a face is, and what a command loads. CONTRIBUTING.md draws it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import accountant

ROOT = Path(__file__).resolve().parents[1]
HOUSE = Path(accountant.__file__).parent
FILES = {str(path.relative_to(HOUSE)): path.read_text(encoding="utf-8") for path in sorted(HOUSE.rglob("*.py"))}
ROOMS = sorted(path.parent.name for path in HOUSE.glob("*/__init__.py"))
#: Imported file by file, and only by who has the library.
OPEN = "interop"
#: Checked by people who read nothing else, so it does its own printing and keeps its own lines.
ALONE = "certificates/check.py"
#: Code of at most so many lines, docstrings not counted.
MOST_LINES = 350
#: What no command pays for that does not ask for it.
LATE_ROOMS = {"requests", "certificates", "methods", "trainer", "tables", "interop", "verification", "reproduction", "ledger"}
LATE_LIBRARIES = {
    "mpmath",
    "flint",
    "matplotlib",
    "sklearn",
    "torch",
    "psutil",
    "joblib",
    "numba",
    "cryptography",
    "scipy.stats",
    "pandas",
    "sqlalchemy",
    "alembic",
    "jinja2",
    "plotly",
}
#: Not imported by name, and found by Alembic where it looks for them.
MIGRATIONS = "ledger/migrations/versions/"


def code_lines(text: str) -> int:
    """The lines of a file without those of its docstrings."""
    count = len(text.splitlines())
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False) is not None:
            docstring = node.body[0]
            count -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return count


def imported_names(text: str) -> Iterator[tuple[str, str]]:
    """The modules and names of every ``from module import name``."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def prints(text: str) -> bool:
    """Whether a file prints or writes to the standard streams."""
    nodes = list(ast.walk(ast.parse(text)))
    streams = {node.attr for node in nodes if isinstance(node, ast.Attribute)} & {"stdout", "stderr"}
    return bool(streams) or any(isinstance(node, ast.Name) and node.id == "print" for node in nodes)


def test_every_import_goes_the_way_that_the_plan_allows() -> None:
    lint = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    found = subprocess.run([sys.executable, "-c", lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_contracts_are_about_every_room() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert [room for room in ROOMS if f'protected_modules = ["accountant.{room}.*"]' not in text] == [OPEN]


def test_the_package_itself_holds_rooms_only() -> None:
    assert {name for name in FILES if "/" not in name} == {"__init__.py", "__main__.py", "_version.py"}
    assert {name for name in FILES if name.count("/") > 1 and not name.startswith(MIGRATIONS)} == set()


@pytest.mark.parametrize("room", [room for room in ROOMS if room != OPEN])
def test_every_name_on_a_face_is_there(room: str) -> None:
    face = import_module(f"accountant.{room}")
    assert face.__all__
    assert len(set(face.__all__)) == len(face.__all__)
    for name in face.__all__:
        assert getattr(face, name) is not None, name
    with pytest.raises(AttributeError, match=f"module 'accountant.{room}' has no attribute 'nothing'"):
        _ = face.nothing


@pytest.mark.parametrize("room", ROOMS)
def test_a_face_is_one_screen_and_hides_none_of_its_files(room: str) -> None:
    assert len(FILES[f"{room}/__init__.py"].splitlines()) <= 60
    files = {Path(name).stem for name in FILES if name.startswith(f"{room}/")}
    assert files & set(getattr(import_module(f"accountant.{room}"), "__all__", ())) == set()


@pytest.mark.parametrize("room", [room for room in ROOMS if room != OPEN])
def test_the_type_checker_sees_the_files_that_a_face_names(room: str) -> None:
    tree = ast.parse(FILES[f"{room}/__init__.py"])
    call = next(node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "face")
    starred = {module for module, name in imported_names(FILES[f"{room}/__init__.py"]) if name == "*"}
    assert {f"accountant.{room}.{keyword.arg}" for keyword in call.keywords} == starred


def test_the_command_of_the_readme_loads_only_what_it_uses() -> None:
    line = "sigma --preset mnist --batch-size 128 --epsilon 1 --epochs 1"
    code = (
        "import sys; from accountant.commands import app; app(sys.argv[1:], standalone_mode=False);"
        "print(*sys.modules, file=sys.stderr)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code, *line.split()], capture_output=True, text=True, check=True
    ).stderr.split()
    assert {"accountant.bounds.optimal", "numpy"} <= set(loaded)
    rooms = {name.split(".")[1] for name in loaded if name.startswith("accountant.") and name.count(".") > 1}
    assert rooms & LATE_ROOMS == set()
    assert LATE_LIBRARIES & set(loaded) == set()


def test_only_commands_print() -> None:
    talking = {name for name, text in FILES.items() if prints(text)}
    assert {name for name in talking if not name.startswith("commands/")} == {ALONE}
    assert "commands/telling.py" in talking


def test_the_checker_of_certificates_imports_nothing_of_the_package() -> None:
    modules = {module for module, _ in imported_names(FILES[ALONE])}
    assert {module for module in modules if module.startswith(("accountant", "."))} == set()
    assert "import accountant" not in FILES[ALONE]


def test_no_file_is_longer_than_an_idea() -> None:
    lengths = {name: code_lines(text) for name, text in FILES.items() if name != ALONE}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_private_names_stay_in_their_files() -> None:
    for file, text in FILES.items():
        private = [
            (module, name) for module, name in imported_names(text) if name.startswith("_") and not name.startswith("__")
        ]
        assert [pair for pair in private if pair[0].startswith("accountant")] == [], file
