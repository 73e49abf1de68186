"""``accountant verify``: whether the rows of a table hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from accountant.commands import choices, files, origin, paths, present, renamed, writing
from accountant.commands.options import COUNT, NUMBER, DeltaOption, PrecisionOption, Shared
from accountant.numerics import InputError
from accountant.problem import DERIVED, PRESETS, with_constants
from accountant.questions import ALGORITHM, LOSS, SCHEDULE, TRAFFIC

if TYPE_CHECKING:
    from accountant.tables import Table
    from accountant.verification import Claims

TableArgument = Annotated[
    str | None,
    typer.Argument(metavar="[TABLE]", help="CSV, Markdown, JSON, Excel, Parquet, HTML or LaTeX; - for standard input."),
    paths.Read(),
]
BuiltInOption = Annotated[bool, typer.Option("--builtin", help="Check every table that ships with the package.")]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        autocompletion=choices.completing(choices.formats),
        help="csv, tsv, jsonl, markdown, json, html, latex, excel or parquet; default by the file's name or start.",
    ),
]
SheetOption = Annotated[
    str | None,
    typer.Option("--sheet", metavar="NAME", help="Sheet of a workbook, or number of a table in a page; default the first."),
]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="ROLE=NAME",
        help="What a column means, such as sigma=noise, or method=- for none; may be given often.",
    ),
]
MethodOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        autocompletion=choices.completing(choices.methods),
        help=f"Method of a table that names none: {', '.join(choices.METHODS)}; default pnsgd.",
    ),
]
WastefulOption = Annotated[
    float | None,
    typer.Option(**NUMBER, help="Noise (or epochs) over what is needed, from which a row is wasteful; default 1.1."),
]
SigmaDefault = Annotated[float | None, typer.Option(**NUMBER, help="sigma of a table that has no such column.")]
EpsilonDefault = Annotated[float | None, typer.Option(**NUMBER, help="epsilon of a table that has no such column.")]
EpochsDefault = Annotated[int | None, typer.Option(**COUNT, help="Unlearning epochs of a table that has no such column.")]
StepsDefault = Annotated[int | None, typer.Option(**COUNT, help="Unlearning steps of a table that has no such column.")]
AllOption = Annotated[bool, typer.Option("--all", help="Show every row, however many; by default the first that need a look.")]
StrictOption = Annotated[bool, typer.Option("--strict", help="Exit with 1 if a row cannot be checked, too.")]
MarkdownOption = Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")]
OutputOption = Annotated[list[str] | None, writing.option("html", "csv", "json", "md"), writing.FILES]
HtmlOption = Annotated[
    str | None, typer.Option(metavar="FILE", hidden=True, help="As -o FILE.html."), paths.Written(), renamed.Old("-o FILE.html")
]
#: Rows that are shown of a longer table.
_SHOWN: Final = 40


def verify(
    shared: Shared,
    table: TableArgument = None,
    builtin: BuiltInOption = False,
    method: MethodOption = None,
    column: ColumnOption = None,
    format: FormatOption = None,
    sheet: SheetOption = None,
    sigma: SigmaDefault = None,
    epsilon: EpsilonDefault = None,
    delta: DeltaOption = None,
    epochs: EpochsDefault = None,
    steps: StepsDefault = None,
    wasteful: WastefulOption = None,
    all: AllOption = False,
    strict: StrictOption = False,
    markdown: MarkdownOption = False,
    output: OutputOption = None,
    html: HtmlOption = None,
    precision: PrecisionOption = None,
) -> None:
    """Check a table of claims "this noise and these epochs give this guarantee", row by row.

    A row needs a problem (a column preset, or n and smoothness), epsilon, and sigma with epochs or steps.

    With a column request the rows are followed as a stream. Options stand for columns that the table lacks.

    A row that cannot be read is unchecked, with the reason. What was taken because no cell says it stands below the table.

    Exit code: 0, 1 if a row fails or none can be checked (with --strict: or one cannot), 2 if the table cannot be read.

    Example: accountant verify table.csv --preset mnist --column sigma=noise
    """
    from accountant.commands import report
    from accountant.verification import WASTEFUL, Claims, Verification

    present.check_precision(precision)
    if builtin == (table is not None):
        raise InputError("table or builtin must be given, and only one of them", missing=() if builtin else ("table|builtin",))
    if markdown and shared.json:
        raise InputError("give either --json or --markdown, got both")
    writing.check(output, report.KINDS)
    own: dict[str, Any] = {
        "method": method, "sigma": sigma, "epsilon": epsilon, "delta": delta, "epochs": epochs, "steps": steps,
    }  # fmt: skip
    defaults = _defaults(shared, own)
    with ExitStack() as stack:
        targets = stack.enter_context(writing.writing(output, report.KINDS, html=html))
        progress = stack.enter_context(files.progress("checking"))
        checks = []
        if builtin and sheet is not None:
            raise InputError(f"sheet must be left out with --builtin, got {sheet!r}")
        for source in _tables(stack, table, builtin, format, sheet):
            claims = Claims(source, columns=_columns(column), defaults=defaults)
            limit = WASTEFUL if wasteful is None else wasteful
            check = Verification(claims, wasteful=limit, digits=precision, progress=progress)
            checks.append((source.name if builtin else None, check))
        block = None if precision is None else present.kind(precision)
        view = report.View(limit=None if all else _SHOWN, precision=block, verbose=shared.verbose)
        paged = any(kind == "html" for kind, _ in targets)
        told = _source(shared, (check.claims.table for _, check in checks), defaults) if paged else None
        constants = None if builtin else _constants(shared, checks[0][1].claims)
        with report.outputs(shared.json, markdown, targets, block, source=told, constants=constants) as outputs:
            for name, check in checks:
                for row in check:
                    for each in outputs:
                        each.row(name, row)
                    view.row(name, row)
            summaries = [(name, check.summary) for name, check in checks]
            for each in outputs:
                each.end(summaries)
        if not shared.json and not markdown:
            view.show(summaries)
    if any(summary.failed or summary.unread or (strict and summary.verdicts["unchecked"]) for _, summary in summaries):
        raise typer.Exit(1)


def _constants(shared: Shared, claims: Claims) -> dict[str, Any] | None:
    """What the constants of all rows rest on; None where rows say constants of their own, or nobody says any."""
    if "smoothness" not in shared.settings and LOSS not in shared.settings:
        return None
    return None if {"preset", "n", *DERIVED} & set(claims.columns) else shared.stated.to_dict()


def _source(shared: Shared, tables: Iterable[Table], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What a report says of where it comes from: the files with their digests, and what options stand for columns."""
    read = [("Table", table.name, origin.sha256("table", table.path)) for table in tables] + origin.read(problem=shared.problem)
    preset = shared.preset if shared.preset in PRESETS else None
    constants = PRESETS[preset].to_dict() if preset else {}
    return {"files": read, "settings": constants | {name: value for name, value in defaults.items() if value is not None}}


def _defaults(shared: Shared, own: dict[str, Any]) -> dict[str, Any]:
    """Role to value, from the options and the problem file."""
    if shared.preset is not None and shared.problem is not None:
        raise InputError("give either preset or problem, got both")
    # A loss beside a preset is refused here.
    _ = shared.settings
    settings = {name: value for name, value in with_constants(shared.own).items() if name not in (LOSS, *TRAFFIC)}
    if SCHEDULE in settings:
        raise InputError("schedule must be left out: the rows of a table have constant settings")
    if ALGORITHM in settings:
        raise InputError("algorithm must be left out: the rows of a table say it by their method (--method)")
    given = {name: value for name, value in own.items() if value is not None}
    return {"preset": shared.preset, **settings, **given}


def _columns(given: list[str] | None) -> dict[str, str]:
    columns: dict[str, str] = {}
    for text in given or []:
        role, equals, name = text.partition("=")
        if not equals or not role or not name:
            raise InputError(f"column must be ROLE=NAME, such as 'sigma=noise', got {text!r}")
        if role in columns:
            raise InputError(f"column gives {role} twice: {columns[role]!r} and {name!r}")
        # What no column says, whatever columns are called.
        columns[role] = "" if name == "-" else name
    return columns


def _tables(
    stack: ExitStack, path: str | None, builtin: bool, format: str | None, sheet: str | None
) -> Iterable[Table]:  # fmt: skip
    from accountant.tables import TABLES, Table

    if builtin:
        return [table.table() for table in TABLES.values() if table.claims]
    assert path is not None
    return [Table(stack.enter_context(files.rereadable("table", path)), format=format, name=path, sheet=sheet)]
