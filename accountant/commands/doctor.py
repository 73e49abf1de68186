"""``accountant doctor``: what this installation can do, and what is missing for the rest."""

from __future__ import annotations

import json as json_module
import platform
import re
from importlib import metadata
from typing import Annotated, Final, NamedTuple

import typer

from accountant.commands import layout
from accountant.numerics import InputError

_NAME: Final = "unlearning-accountant"
#: Of every extra, what it is for. Those that only developers need are not here.
EXTRAS: Final = {
    "certify": "certificates, proved digits",
    "sign": "signed certificates",
    "sklearn": "estimators",
    "trainer": "memory, parallel trials",
    "fast": "compiled training",
    "tables": "Excel, Parquet, HTML, LaTeX",
    "report": "reports in HTML",
    "plot": "pictures",
    "ledger": "deletion service, SQLite",
    "postgresql": "deletion service, PostgreSQL",
    "opacus": "Opacus models",
    "torch": "PyTorch fine-tuning",
    "autodp": "autodp mechanisms",
    "dp-accounting": "dp_accounting events",
    "prv": "PRV accountant",
}
DatabaseOption = Annotated[
    str | None, typer.Option("--db", metavar="FILE|URL", help="Also ask this database of a ledger whether it answers.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


class Finding(NamedTuple):
    """Whether something is there, the versions that are, and what to do where it is not."""

    name: str
    purpose: str
    ready: bool
    found: str
    remedy: str | None


def _fits(requirement: str, version: str) -> bool:
    """Whether a version is one that a requirement asks for, such as ``numpy>=1.26``."""
    for sign, wanted in re.findall(r"(>=|<=|==|<|>)([0-9][0-9.]*)", requirement.partition(";")[0]):
        asked = [int(part) for part in wanted.strip(".").split(".")]
        got = [int(part) for part in re.findall(r"\d+", version)][: len(asked)]
        got += [0] * (len(asked) - len(got))
        later = (got > asked) - (got < asked)
        if not {">=": later >= 0, "<=": later <= 0, "==": later == 0, "<": later < 0, ">": later > 0}[sign]:
            return False
    return True


def _extra(name: str, requirements: list[str]) -> Finding:
    wanted = [each for each in requirements if re.search(rf"extra == ['\"]{re.escape(name)}['\"]", each)]
    there, wrong = [], []
    for requirement in wanted:
        package = re.match(r"[A-Za-z0-9._-]+", requirement)
        assert package is not None
        asked = requirement.partition(";")[0].strip()
        try:
            version = metadata.version(package.group())
        except metadata.PackageNotFoundError:
            wrong.append(f"{asked} is missing")
            continue
        if _fits(requirement, version):
            there.append(f"{package.group()} {version}")
        else:
            wrong.append(f"{asked} is needed, {version} is there")
    remedy = f'pip install "{_NAME}[{name}]"' if wrong else None
    return Finding(name, EXTRAS[name], not wrong, ", ".join(wrong or there), remedy)


def _database(address: str) -> Finding:
    try:
        from accountant.ledger import Database, DatabaseError
    except InputError as error:
        return Finding("db", "the ledger's database", False, str(error), f'pip install "{_NAME}[ledger]"')
    try:
        database = Database(address, read_only=True)
        try:
            version = database.revision()
        finally:
            database.close()
    except (InputError, DatabaseError) as error:
        return Finding("db", "the ledger's database", False, str(error), None)
    said = "answers, and holds no ledger" if version is None else f"answers, tables of version {version}"
    return Finding("db", "the ledger's database", True, said, None)


def findings(database: str | None = None) -> list[Finding]:
    """All extras that users have a use for, and a database where one is named."""
    try:
        requirements = metadata.requires(_NAME) or []
    except metadata.PackageNotFoundError:
        raise InputError(f"{_NAME} is not installed here, so nothing says what its extras are: pip install it first") from None
    return [_extra(name, requirements) for name in EXTRAS] + ([] if database is None else [_database(database)])


def doctor(db: DatabaseOption = None, json: JsonOption = False) -> None:
    """What this installation can do: every extra and what is missing for it; exit code 1 if the database named does not answer.

    Example: accountant doctor
    """
    from accountant._version import __version__

    found = findings(db)
    if json:
        made = {"command": "doctor", "version": __version__, "python": platform.python_version()}
        print(json_module.dumps(made | {"findings": [each._asdict() for each in found]}))
    else:
        screen = layout.console()
        screen.print(f"unlearning accountant {__version__}, Python {platform.python_version()}", markup=False)
        screen.print("All computing commands work without any extra.")
        table = layout.Grid(["extra", "", "what it is for", "found"], names=4, padding=(0, 1), wraps=3)
        for each in found:
            table.add_row(each.name, ("yes", "green") if each.ready else ("no", "yellow"), each.purpose, each.found)
        screen.print(table)
        for each in found:
            if each.remedy is not None:
                screen.print(f"{each.name}: {each.remedy}", markup=False, soft_wrap=True)
    if db is not None and not found[-1].ready:
        raise typer.Exit(1)
