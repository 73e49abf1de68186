"""``accountant ledger report``: one page for who has to be shown that requests were answered."""

from __future__ import annotations

import json as json_module
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import quote

import typer

from accountant._version import __version__
from accountant.commands import files, page, paths, renamed, templating
from accountant.commands.ledger import DB, VERDICT, DbOption, JsonOption, PlaceOption, date, opened
from accountant.commands.ledger_shows import CertificatesOption, certificates_count
from accountant.commands.ledger_words import guarantee_sentence, long, up
from accountant.commands.present import plural
from accountant.numerics import InputError

if TYPE_CHECKING:
    from accountant.ledger import Ledger, Report, ReportedRequest, ReportedRun, Verified

_WORDS: Final = {"unlearn": "unlearned", "refit": "learned again", "join": "records joined"}
#: What assumptions say where requests may depend on released models.
_DEPENDENT: Final = "requests may be chosen in knowledge of models released"


def report(
    *,
    db: DbOption = DB,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", help="The page, in HTML."), paths.Written()
    ] = None,
    requests: Annotated[
        int,
        typer.Option(
            "--last", min=0, metavar="COUNT", help="So many of the last requests and runs are listed, and all overdue requests."
        ),
        renamed.Formerly("--requests"),
    ] = 1000,
    certificates: CertificatesOption = "0",
    verify: Annotated[bool, typer.Option("--verify/--no-verify", help="Check the chain and the files, and say so.")] = True,
    links: Annotated[
        str | None,
        typer.Option(metavar="PREFIX", help="Where certificates are, seen from the page; default: where they are now."),
    ] = None,
    hashes: Annotated[bool, typer.Option("--hashes", help="Show the keyed hashes of subjects, too.")] = False,
    place: PlaceOption = None,
    json: JsonOption = False,
) -> None:
    """One page about all requests: when they came, when they were answered, what holds, how to check it. Names nobody.

    It needs nothing from elsewhere, prints, and may be handed on with the folder of certificates. Needs no key.

    Exit code 1: the page is written, and says what is not as it was written. 75: the database is away.

    Example: accountant ledger report -o report.html
    """
    if output is None and not json:
        raise InputError("output must be given, or ask for json: a file for the page")
    if output is not None:
        page.check()
    count = certificates_count(certificates)
    with opened(db, read_only=True, place=place) as ledger, ledger.report(requests=requests) as found:
        _check_output(output, db, ledger)
        prefix = _prefix(links, ledger.settings.certificates, output)
        checked = ledger.verify(head=found.status.head, certificates=count) if verify else None
        with files.replacing("output", output) as part:
            if part is not None:
                with files.writing(part) as file:
                    templating.write_page(
                        file, "ledger.html", _values(ledger, found, checked, prefix, hashes), filters=FILTERS, tests=TESTS
                    )
        if json:
            _write_json(sys.stdout, ledger, found, checked, hashes)
        else:
            print(f"{plural(found.status.received, 'request')}, {found.status.overdue} overdue: {output}")
    if checked is not None and not checked.valid:
        raise typer.Exit(VERDICT)


def _check_output(output: str | None, db: str, ledger: Ledger) -> None:
    """No page takes the place of a file of the ledger."""
    if output is None or not os.path.exists(output):
        return
    places = {name: getattr(ledger.settings, name) for name in ("model", "key", "subjects", "sign")}
    for name, path in {"db": db.removeprefix("sqlite:///"), **places}.items():
        if path is not None and os.path.exists(path) and os.path.samefile(path, output):
            raise InputError(f"output must be another file than {name}, got {output!r}")


def _values(ledger: Ledger, found: Report, checked: Verified | None, links: str, hashes: bool) -> dict[str, Any]:
    holding = [_holds(run, found) for run in found.holding]
    return {
        "report": found, "status": found.status, "delays": found.delays, "now": found.status.now, "checked": checked,
        "findings": _findings(ledger, checked), "facts": _facts(found), "holding": holding, "links": links, "hashes": hashes,
        "dependent": any(run.what == "unlearn" and _dependent(run) for run in found.holding),
        "version": __version__, "checker": _checker_digest(), "scripts": page.scripts(),
    }  # fmt: skip


def _facts(found: Report) -> list[tuple[str, str, bool]]:
    """Name, value, and whether it is bad news."""
    status, delays = found.status, found.delays
    facts = [
        ("Received", f"{status.received:,}", False),
        ("Answered", f"{status.released:,}", False),
        ("Overdue", f"{status.overdue:,}", bool(status.overdue)),
        ("Not answered yet", f"{status.waiting + status.running + status.saved:,}", False),
        ("Refused", f"{status.refused:,}", False),
        ("Median until answered", long(delays.median), False),
        ("Longest until answered", long(delays.worst), False),
        ("Answered late", f"{delays.late:,}", bool(delays.late)),
        ("Time allowed", long(status.deadline), False),
    ]
    if delays.overdue_by is not None:
        facts.insert(3, ("Longest overdue by", long(delays.overdue_by), True))
    return facts


def _holds(run: ReportedRun, found: Report) -> dict[str, Any]:
    return {"run": run, "title": _title(run, found), "sentence": guarantee_sentence(run)}


def _title(run: ReportedRun, found: Report) -> str:
    if run.what == "refit":
        return f"Records deleted up to run {run.number}:"
    since = next((f"since run {each.number}" for each in found.holding if each.what == "refit"), "since the beginning")
    return f"Records deleted {since}, up to run {run.number}:"


def _dependent(run: ReportedRun) -> bool:
    return any(line.startswith(_DEPENDENT) for line in run.assumptions)


def _findings(ledger: Ledger, checked: Verified | None) -> list[str]:
    """Without the places on this machine."""
    found = list(checked.findings) if checked is not None else []
    folder, model = ledger.settings.certificates, ledger.settings.model
    return [line.replace(f"{folder}{os.sep}", "").replace(model, Path(model).name) for line in found]


def _prefix(links: str | None, folder: str, output: str | None) -> str:
    """What comes before the name of a certificate's file in a link."""
    if links is None:
        links = os.path.relpath(folder, Path(os.path.realpath(output or "report.html")).parent)
        return quote(Path(links).as_posix()) + "/"
    scheme = re.match(r"\s*([A-Za-z][A-Za-z0-9+.-]*):", links)
    if scheme and scheme[1].lower() not in ("http", "https", "file"):
        raise InputError(f"links must be a folder or a URL of http, https or file, got {links!r}")
    return quote(links, safe="/:?=&%~@+,;").rstrip("/") + "/" if links else ""


def _checker_digest() -> str:
    import accountant.certificates
    from accountant.ledger import file_digest

    return file_digest(Path(accountant.certificates.__file__).with_name("check.py"), "checker")


def _write_json(out: IO[str], ledger: Ledger, found: Report, checked: Verified | None, hashes: bool) -> None:
    """One object, whose lists are written as they are read."""
    first: dict[str, Any] = {
        "command": "ledger report", "version": __version__, **found.to_dict(),
        "verified": None if checked is None else {**checked.to_dict(), "findings": _findings(ledger, checked)},
    }  # fmt: skip
    out.write(json_module.dumps(first, allow_nan=False)[:-1])
    _write_list(out, "overdue_requests", _dicts(found.overdue(), hashes))
    _write_list(out, "latest_requests", _dicts(found.latest(), hashes))
    _write_list(out, "latest_runs", (run.to_dict() for run in found.latest_runs()))
    out.write("}\n")


def _dicts(rows: Iterable[ReportedRequest], hashes: bool) -> Iterator[dict[str, Any]]:
    return (row.to_dict(subject=hashes) for row in rows)


def _write_list(out: IO[str], name: str, rows: Iterable[dict[str, Any]]) -> None:
    out.write(f', "{name}": [')
    for number, row in enumerate(rows):
        out.write((", " if number else "") + json_module.dumps(row, allow_nan=False))
    out.write("]")


def _when(microseconds: int | None) -> str:
    try:
        return "–" if microseconds is None else date(microseconds).removesuffix(" UTC")
    except (ValueError, OverflowError, OSError):
        # What somebody wrote into the tables is no date.
        return f"{microseconds} µs"


def _state(row: ReportedRequest) -> tuple[str, str]:
    """How it is shown, and what it says."""
    if row.answered is not None:
        return ("warn", "answered late") if row.answered > row.due else ("good", "answered")
    if row.state == "refused":
        return "warn", "refused"
    return "", ("waits" if row.state == "waiting" else "in a run") + (", urgent" if row.urgent else "")


def _is_digest(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch("[0-9a-f]{64}", text) is not None


FILTERS: Final = {
    "when": _when,
    "long": long,
    "up": up,
    "count": "{:,}".format,
    "state_of": _state,
    "word": lambda what: _WORDS.get(what, what),
}
TESTS: Final = {"digest_of_file": _is_digest}
