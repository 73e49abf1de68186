"""``accountant ledger status``, ``verify`` and ``entries``: what reads only."""

from __future__ import annotations

import json as json_module
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accountant.commands import renamed
from accountant.commands.ledger import DB, VERDICT, DbOption, JsonOption, PlaceOption, date, opened, show
from accountant.commands.ledger_costs import costs_of
from accountant.commands.present import plural
from accountant.numerics import InputError

if TYPE_CHECKING:
    from accountant.ledger import Verified

CertificatesOption = Annotated[
    str,
    typer.Option(
        "--check-certificates", metavar="COUNT|all", help="So many certificates, the latest first, are checked by the checker."
    ),
    renamed.Formerly("--certificates"),
]


def status(
    *,
    db: DbOption = DB,
    check: Annotated[bool, typer.Option("--check", help="Exit code 1 if a request is overdue, for monitoring.")] = False,
    costs: Annotated[
        bool, typer.Option("--costs/--no-costs", help="Say what acting now and later costs, for which the model is read.")
    ] = True,
    place: PlaceOption = None,
    json: JsonOption = False,
) -> None:
    """Requests by state, what is due, who works; what acting now costs, and when learning again is cheaper. Needs no key.

    With --check the database alone is read, as with --no-costs.

    Exit code 1 with --check: a request is overdue. 75: the database is away.

    Example: accountant ledger status --check
    """
    outlook: dict[str, Any] | None = None
    told: list[tuple[str, str]] = []
    with opened(db, read_only=True, place=place) as ledger:
        found = ledger.status()
        if costs and not check:
            outlook, told = costs_of(ledger)
    rows = [
        ("received", str(found.received)),
        ("waiting", f"{found.waiting}, of {plural(found.points, 'record')}, {found.urgent} urgent"),
        ("released", str(found.released)),
        ("refused", str(found.refused)),
        ("overdue", str(found.overdue)),
        ("next due", date(found.earliest_due)),
    ]
    if found.running + found.saved:
        rows.insert(2, ("in a run", f"{found.running + found.saved}: process finishes it, if nobody works now"))
    if found.uncertified:
        runs = f"missing of {plural(found.uncertified, 'run')}: accountant ledger certify makes them, or says why not"
        rows.append(("certificates", runs))
    rows += [*told, ("works now", found.worker or "nobody")]
    show(json, {"command": "ledger status", **found.to_dict(), "outlook": outlook}, rows, head=found.head)
    if check and found.overdue:
        raise typer.Exit(VERDICT)


def verify(
    *,
    db: DbOption = DB,
    head: Annotated[
        str | None,
        typer.Option(metavar="NUMBER:DIGEST", help="A head that status showed before: the chain must go through it."),
    ] = None,
    certificates: CertificatesOption = "0",
    files: Annotated[bool, typer.Option("--files/--no-files", help="Read the model and the certificates, too.")] = True,
    place: PlaceOption = None,
    json: JsonOption = False,
) -> None:
    """Whether the ledger is as it was written: the chain, what follows from it, the model, the certificates. Needs no key.

    Exit code 1: something is not as it was written. 75: the database is away.

    Example: accountant ledger verify --check-certificates all
    """
    count = certificates_count(certificates)
    with opened(db, read_only=True, place=place) as ledger:
        found = ledger.verify(head=head, certificates=count, model=files)
    rows = [
        ("gone through", f"{plural(found.entries, 'entry').replace('entrys', 'entries')}, {plural(found.requests, 'request')}, "
         f"{plural(found.runs, 'run')}"),
        ("certificates", _checked(found, files=files)),
        *(("WRONG", finding) for finding in found.findings),
        ("verdict", "all is as it was written" if found.valid else "NOT as it was written"),
    ]  # fmt: skip
    show(json, {"command": "ledger verify", **found.to_dict()}, rows, head=found.head)
    if not found.valid:
        raise typer.Exit(VERDICT)


def _checked(found: Verified, *, files: bool) -> str:
    said = f"{found.certificates} of {found.certificates_of} checked by the checker"
    if found.certificates == found.certificates_of:
        return said
    return f"{said}; the others {'have their digests (--check-certificates all)' if files else 'were not looked at'}"


def entries(
    *,
    db: DbOption = DB,
    first: Annotated[int, typer.Option(metavar="COUNT", help="The number of the first entry.")] = 0,
) -> None:
    """All entries as JSON, one in a line, as they are stored: they name nobody.

    Example: accountant ledger entries --first 100
    """
    with opened(db, read_only=True) as ledger:
        for entry in ledger.entries(first):
            print(json_module.dumps({**asdict(entry), "body": entry.content}))


def certificates_count(text: str) -> int | None:
    """How many certificates are to be checked; None: all."""
    if text == "all":
        return None
    if not (text.isascii() and text.isdigit()):
        raise InputError(f"certificates must be a number of them, or all, got {text!r}")
    return int(text)
