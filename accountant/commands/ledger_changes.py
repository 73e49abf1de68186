"""``accountant ledger certify`` and ``rotate-key``: what changes a ledger, and answers no request."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from accountant.commands import paths
from accountant.commands.ledger import (
    DB,
    VERDICT,
    DbOption,
    JsonOption,
    OperatorOption,
    PlaceOption,
    opened,
    show,
    subject_rows,
)


def rotate_key(
    *,
    db: DbOption = DB,
    subjects: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="CSV file with a column subject, and row with --lost; those whom the model names may be left out.",
        ),
        paths.Read(),
    ] = None,
    lost: Annotated[
        bool, typer.Option("--lost", help="The old key is lost: everybody is found by the rows in --subjects or of the model.")
    ] = False,
    operator: OperatorOption = None,
    place: PlaceOption = None,
    json: JsonOption = False,
) -> None:
    """Replace the key: requests that wait stay known, and nobody can look up any more who was answered before.

    The old key is gone then; backups from before need it, so copy it away first if you keep any.

    Example: accountant ledger rotate-key
    """
    known = None if subjects is None else subject_rows(subjects, rows=lost)
    with opened(db, operator=operator, place=place) as ledger:
        done = ledger.rotate_key(known, lost=lost)
        head = ledger.status().head
    rows = [
        ("new key", f"{done.key}: keep it apart from the ledger, and a copy of it"),
        ("called otherwise", f"{done.subjects} subjects"),
        ("waiting", f"{done.waiting} requests, which stay known"),
        ("answered", f"{done.answered} requests, which nobody can look up by name any more"),
        ("head", "keep it elsewhere, for verify --head:"),
    ]
    show(json, {"command": "ledger rotate-key", **asdict(done), "head": head}, rows, head=head)


def certify(*, db: DbOption = DB, operator: OperatorOption = None, place: PlaceOption = None, json: JsonOption = False) -> None:
    """Make the certificates that released runs did without, as after a fault that is repaired, or say why there are none.

    Exit code 1: a certificate is missing still. 75: another process works on the ledger, or the database is away.

    Example: accountant ledger certify
    """
    with opened(db, operator=operator, place=place) as ledger:
        found = ledger.certify()
    rows = [(f"run {each.run}", each.certificate or f"none: {each.without}") for each in found]
    show(
        json,
        {"command": "ledger certify", "runs": [asdict(each) for each in found]},
        rows or [("nothing to do", "no run is without")],
    )
    if any(each.certificate is None for each in found):
        raise typer.Exit(VERDICT)
