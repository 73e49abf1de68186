"""How many requests a call expects: a number, a rate such as 20/week for a time, or a file of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from accountant.commands import files, paths
from accountant.numerics import InputError, integer

if TYPE_CHECKING:
    from accountant.requests import Arrival

_MAX_REQUESTS: Final = 10_000_000
ForOption = Annotated[
    str | None,
    typer.Option("--for", metavar="TIME", help="How long requests come, as 1y, 30d or 12w; they are spread evenly over it."),
]


def _file(text: str, values: Mapping[str, Any]) -> Iterable[str]:
    """The file that requests stand in, where they are not just counted."""
    from accountant.requests import told

    return () if told(text) else (text,)


RequestsOption = Annotated[
    str,
    typer.Option(
        metavar="COUNT|RATE|FILE",
        help="How many requests; a rate, as 20/week (with --for); or a CSV file with a header, a column time (ISO dates or "
        "seconds) and, if wanted, points, and joined: records that join then (own draws).",
    ),
    paths.Read(_file),
]


def number_of(text: str, over: str | None, *, least: int = 1, most: int = _MAX_REQUESTS) -> int:
    """The number of requests of a number, or of a rate for a time; InputError for anything else."""
    from accountant.requests import expected_requests

    none = least == 0 and text.strip() == "0"
    count = 0 if none else expected_requests(text, over, over_name="--for").requests
    return integer("requests", count, at_least=least, at_most=most)


def arrivals_of(text: str, points: int | None, over: str | None, **timed: str | None) -> list[Arrival] | list[int]:
    """The requests, with times if a file or ``over`` gives them some; InputError for what is none.

    timed: options that need times.
    """
    from accountant.requests import expected_requests, read_requests, told

    if not told(text):
        for name, value in (("points", points), ("--for", over)):
            if value is not None:
                raise InputError(f"{name} must be left out where requests is a file, got {value}")
        with files.rereadable("requests file", text) as source:
            return read_requests(source, name=text)
    expected = expected_requests(text, over, over_name="--for")
    for name, value in timed.items():
        if value is not None and over is None:
            raise InputError(
                f"{name} must be left out where requests have no arrival times, got {value}",
                hint="--for TIME spreads them evenly over a time, and a file may say when each comes",
            )
    integer("requests", expected.requests, at_least=1, at_most=_MAX_REQUESTS)
    return expected.spread(integer("points", 1 if points is None else points, at_least=1))


def spread_line(text: str, over: str | None) -> list[str]:
    """What is assumed of requests that were not read from a file."""
    return [] if over is None else [f"requests come evenly, {text} for {over}"]
