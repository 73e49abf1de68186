"""``-o FILE``: what a command writes beside what it prints, in the format that the file's name ends in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import typer

from accountant.commands import files, paths, pictures
from accountant.numerics import InputError

#: Endings of pictures.
PICTURES: Final = ("png", "svg", "pdf")
#: What commands write that draw something and have rows; some have a page of it, too.
ROWS_AND_PICTURES: Final = ("csv", "json", *PICTURES)
ALL: Final = ("html", *ROWS_AND_PICTURES)


class Target(NamedTuple):
    """A file that is to be written: its format, and the file that takes its place at the end."""

    kind: str
    part: Path


def _each(values: Any, _: Mapping[str, Any]) -> Sequence[str]:
    return [values] if isinstance(values, str) else values


#: Marks the option as one of files that are written.
FILES: Final = paths.Written(_each)


def option(*kinds: str) -> Any:
    """``-o FILE`` of a command that writes these formats; it may be given several times."""
    return typer.Option("--output", "-o", metavar="FILE", help=f"Also write a file, by its ending: {_listed(kinds)}.")


def _listed(kinds: Sequence[str]) -> str:
    dotted = [f".{kind}" for kind in kinds]
    return dotted[0] if len(dotted) == 1 else f"{', '.join(dotted[:-1])} or {dotted[-1]}"


def kind_of(path: str, kinds: Sequence[str]) -> str:
    """The format that a file's name ends in; InputError for one that the command does not write.

    >>> kind_of("plans/plan.CSV", ("csv", "svg"))
    'csv'
    """
    kind = Path(path).suffix[1:].lower()
    if kind not in kinds:
        raise InputError(f"output must end in {_listed(kinds)}, got {path!r}")
    if kind in PICTURES:
        pictures.available("output")
    elif kind == "html" and set(PICTURES) <= set(kinds):
        # What draws pictures has pages with curves.
        from accountant.commands import page

        page.check(curves=True)
    return kind


def check(output: Sequence[str] | None, kinds: Sequence[str]) -> None:
    """InputError for an ending that the command does not write, before any work is done."""
    for path in output or ():
        kind_of(path, kinds)


@contextmanager
def writing(
    output: Sequence[str] | None, kinds: Sequence[str], *, csv: str | None = None, plot: str | None = None,
    html: str | None = None,
) -> Iterator[list[Target]]:  # fmt: skip
    """Files beside those of ``-o``, to be filled; they take their places at the end, if all goes well.

    csv, plot, html: files of the old options. InputError now for an unknown ending, and where a file could not be written.
    """
    pictures.check(plot)
    wanted = [("output", path, kind_of(path, kinds)) for path in output or ()]
    wanted += [("csv", csv, "csv")] if csv is not None else []
    wanted += [("html", html, "html")] if html is not None else []
    wanted += [("plot", plot, pictures.kind(plot))] if plot is not None else []
    with ExitStack() as stack:
        targets = []
        for name, path, kind in wanted:
            part = stack.enter_context(files.replacing(name, path))
            assert part is not None
            targets.append(Target(kind, part))
        yield targets


def write(
    targets: Sequence[Target], record: Callable[[], Mapping[str, Any]], *,
    rows: Callable[[], Sequence[Mapping[str, object]]] | None = None,
    picture: Callable[[Path, str], None] | None = None,
    more: Mapping[str, Callable[[Path], None]] | None = None,
) -> None:  # fmt: skip
    """Fill them: JSON with the record, CSV with rows, pictures by ``picture(path, kind)``, other formats by ``more[kind]``."""
    for kind, part in targets:
        if more is not None and kind in more:
            more[kind](part)
        elif kind == "json":
            with files.writing(part) as file:
                file.write(json.dumps(record(), allow_nan=False) + "\n")
        elif kind == "csv":
            assert rows is not None
            files.write_rows(part, rows())
        else:
            assert picture is not None
            picture(part, kind)
