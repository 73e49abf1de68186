"""``accountant ledger``: what its commands share, and those that record: init, add and refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

from accountant.commands import files, layout, paths, refusals, renamed
from accountant.commands import ledger_backends as backends
from accountant.commands.options import NUMBER
from accountant.numerics import InputError

if TYPE_CHECKING:
    from accountant.ledger import Ledger

#: Exit codes beside 0 and 2: the verdict, and what passes: somebody else works, or the database is away.
VERDICT, LATER = 1, 75
#: Bytes of a file of requests or subjects.
_LARGEST: Final = 1 << 28
#: More numbers of requests are not listed on the screen.
_LISTED: Final = 12
DbOption = Annotated[
    str,
    typer.Option(envvar="ACCOUNTANT_LEDGER", metavar="FILE|URL", help="The ledger: a SQLite file, or postgresql://host/name."),
]
DB: Final = "deletions.db"
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
OperatorOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Who is recorded as acting; default the user of the system.")
]
PlaceOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=PATH", help="Where model, key, subjects, certificates or sign is now, if it has moved."),
]
SubjectOption = Annotated[
    list[str] | None, typer.Option("--subject", metavar="NAME", help="Whose records are to be deleted; may be given again.")
]
RequestsOption = Annotated[
    str | None,
    typer.Option("--subjects", metavar="FILE", help="CSV file with a column subject; - for standard input."),
    paths.Read(),
    renamed.Formerly("--csv"),
]
ModelOption = Annotated[str, typer.Option(metavar="FILE", help="The model, as PNSGDClassifier saves it."), paths.Read()]
SubjectsOption = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="CSV file with columns subject and row; default: every record is a subject."),
    paths.Read(),
]
KeyOption = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Where the new key is written; default beside the model, ending in .key."),
    paths.Written(),
]


@contextmanager
def opened(
    db: str, *, read_only: bool = False, operator: str | None = None, place: Sequence[str] | None = None
) -> Iterator[Ledger]:
    """The ledger; what stops it becomes a sentence and an exit code."""
    from accountant.ledger import BusyError, DamageError, DatabaseError, LeaseLostError, Ledger, RunFailedError

    try:
        with Ledger(db, read_only=read_only, operator=operator, places=_places(place or ())) as ledger:
            yield ledger
    except (BusyError, DatabaseError) as error:
        stop(str(error), LATER)
    except (DamageError, LeaseLostError, RunFailedError) as error:
        cause = error.__cause__
        # A cause whose words these are is not said twice.
        told = cause is None or str(cause) == str(error)
        stop(str(error) if told else f"{error}\n{type(cause).__name__}: {cause}", VERDICT)


def stop(sentence: str, code: int) -> NoReturn:
    """End with a sentence on standard error."""
    raise refusals.StoppedError(sentence, code)


def show(json_: bool, result: dict[str, Any], rows: Sequence[tuple[str, str]], *, head: str | None = None) -> None:
    """One JSON object, or a table of names and values; the head, which people copy, in a line of its own that is not broken."""
    if json_:
        print(json.dumps(result, allow_nan=False))
        return
    layout.console().print(layout.facts(rows))
    if head is not None:
        print(f"  head {head}")


def date(microseconds: int | None) -> str:
    """A time for people, in UTC."""
    if microseconds is None:
        return "-"
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def init(
    *,
    model: ModelOption,
    db: DbOption = DB,
    deadline: Annotated[str, typer.Option(metavar="TIME", help="From receipt until it must be done, as in 30d.")] = "30d",
    backend: backends.BackendOption = None,
    run: backends.RunOption = None,
    refit_run: backends.AgainOption = None,
    call: backends.CallOption = None,
    problem: backends.ProblemOption = None,
    steps: backends.StepsOption = None,
    past: backends.PastOption = None,
    refit_steps: backends.RefitStepsOption = None,
    public: backends.PublicOption = None,
    buffers: backends.BuffersOption = None,
    disclose_class: backends.DiscloseOption = False,
    subjects: SubjectsOption = None,
    key: KeyOption = None,
    subjects_db: Annotated[
        str | None,
        typer.Option(metavar="FILE|URL", help="Where it is kept who has which rows; default a SQLite file beside the model."),
    ] = None,
    certificates: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Where certificates go; default beside the model.")
    ] = None,
    sign: Annotated[
        str | None, typer.Option(metavar="FILE", help="Ed25519 private key (PEM) that signs certificates."), paths.Read()
    ] = None,
    margin: Annotated[float, typer.Option(**NUMBER, help="A run begins so many times its estimated length early.")] = 10.0,
    floor: Annotated[str, typer.Option(metavar="TIME", help="And this long besides.")] = "1d",
    timeout: Annotated[str | None, typer.Option(metavar="TIME", help="A run is given up after this; default never.")] = None,
    instead: Annotated[
        bool, typer.Option("--instead", help="The model has a ledger already, which is lost or given up: this one replaces it.")
    ] = False,
    operator: OperatorOption = None,
    json: JsonOption = False,
) -> None:
    """Begin a ledger for a model: the database, the key, and who has which rows, each in a new file of its own.

    Example: accountant ledger init --model model.npz --deadline 30d
    """
    from accountant.ledger import DatabaseError, Ledger
    from accountant.requests import duration

    runs, arguments = backends.chosen(
        backend, run=run, refit_run=refit_run, call=call, problem=problem, steps=steps, past=past, refit_steps=refit_steps,
        public=public, buffers=buffers, disclose_class=disclose_class or None,
    )  # fmt: skip
    known = None if subjects is None else subject_rows(subjects)
    try:
        made = Ledger.create(
            db, model=model, subjects=known, key=key, subjects_database=subjects_db, certificates=certificates, sign=sign,
            operator=operator, deadline=duration(deadline, name="deadline"), floor=duration(floor, name="floor"), margin=margin,
            timeout=None if timeout is None else duration(timeout, name="timeout"), backend=runs,
            arguments=arguments, instead=instead,
        )  # fmt: skip
    except DatabaseError as error:
        stop(str(error), LATER)
    with made as ledger:
        settings, head = ledger.settings, ledger.status().head
        result = {
            "command": "ledger init", "ledger": ledger.id, "db": db, "model": settings.model, "key": settings.key,
            "subjects": settings.subjects, "certificates": settings.certificates, "head": head,
        }  # fmt: skip
    rows = [
        ("ledger", ledger.id),
        ("key", f"{settings.key}: keep it apart from the ledger, and a copy of it"),
        ("subjects", settings.subjects),
        ("certificates", settings.certificates),
        ("head", "keep it elsewhere, for verify --head:"),
    ]
    show(json, result, rows, head=head)


def add(
    *,
    db: DbOption = DB,
    subject: SubjectOption = None,
    csv: RequestsOption = None,
    urgent: Annotated[bool, typer.Option("--urgent", help="To be done by the next process, not by the deadline.")] = False,
    due: Annotated[
        str | None, typer.Option(metavar="DATE", help="When it must be done, in ISO 8601; default the deadline from now.")
    ] = None,
    operator: OperatorOption = None,
    place: PlaceOption = None,
    json: JsonOption = False,
) -> None:
    """Record requests, all of them or none; who has asked before and is not done yet has one request.

    Example: accountant ledger add --subject a17 --subject b02
    """
    names = list(subject or ())
    if csv is not None:
        names += [row["subject"] for row in csv_rows("csv", csv, ("subject",))]
    if not names:
        raise InputError("subject or csv must be given: whose records are to be deleted")
    instant = None if due is None else _instant("due", due)
    with opened(db, operator=operator, place=place) as ledger:
        added = ledger.add(names, urgent=urgent, due=instant)
        new = sum(each.new for each in added)
        done = sum(each.done for each in added)
        requests = [{"request": each.number, "new": each.new, "due": each.due, "done": each.done} for each in added]
        result = {"command": "ledger add", "new": new, "known": len(added) - new, "requests": requests}
        known = f"{len(added) - new}, {done} of them answered" if done else str(len(added) - new)
        # Whoever is asked later what was done for this request finds it by its number: reports name nobody.
        numbers = [str(each.number) for each in added]
        listed = ", ".join(numbers) if len(numbers) <= _LISTED else f"{numbers[0]} ... {numbers[-1]} (--json has all)"
        rows = [("new", str(new)), ("known before", known), ("requests", f"{listed}: so the report calls them, in this order")]
        # Of those that wait.
        rows += [("due", date(max(each.due for each in added if not each.done)))] if done < len(added) else []
        show(json, result, rows)


def refuse(
    *,
    subject: Annotated[str, typer.Option(metavar="NAME", help="Whose waiting request is refused.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the record: name nobody in it.")],
    db: DbOption = DB,
    operator: OperatorOption = None,
    place: PlaceOption = None,
    json: JsonOption = False,
) -> None:
    """Refuse a request that waits, for a reason that is recorded.

    Example: accountant ledger refuse --subject a17 --reason "to be kept until 2030 by law"
    """
    with opened(db, operator=operator, place=place) as ledger:
        number = ledger.refuse(subject, reason)
        show(json, {"command": "ledger refuse", "request": number}, [("refused", f"request {number}")])


def _places(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for each in given:
        name, equals, path = each.partition("=")
        if not equals or not path:
            raise InputError(f"place must be NAME=PATH, got {each!r}")
        found[name] = path
    return found


def _instant(name: str, said: str) -> int:
    """An ISO 8601 date in microseconds; without an offset it is in UTC."""
    try:
        when = datetime.fromisoformat(said)
    except ValueError:
        raise InputError(f"{name} must be a date in ISO 8601, as 2026-01-31 or 2026-01-31T12:00+01:00, got {said!r}") from None
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1e6)


def subject_rows(path: str, *, rows: bool = True) -> dict[str, list[str | int]]:
    """subject to its rows; a row is an integer if it looks like one. rows: whether they are needed."""
    found: dict[str, list[str | int]] = {}
    for line in csv_rows("subjects", path, ("subject", "row") if rows else ("subject",)):
        text = line.get("row") or ""
        found.setdefault(line["subject"], []).extend([row_of(text)] if text else [])
    return found


def row_of(text: str) -> str | int:
    """What a record is called: a number if it looks like one."""
    return int(text) if text.isascii() and text.isdigit() else text


def csv_rows(name: str, path: str, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a table that has at least these columns; InputError says in which line what is missing."""
    from accountant.tables import Table

    found = []
    with files.rereadable(f"{name} file", path) as source:
        table = Table(source, name=path, what=f"{name} file", plain=True)
        missing = [column for column in columns if column not in table.columns]
        if missing:
            raise InputError(f"{name} file {path} must have a column {missing[0]} in its header")
        for row in table.rows():
            if row.fault is not None:
                raise table.refusal(row.line, row.fault)
            if any(not row.cells.get(column) for column in columns):
                raise table.refusal(row.line, f"{' and '.join(columns)} must not be empty")
            found.append({column: str(cell) for column, cell in row.cells.items()})
    return found
