"""HTML pages from the templates of this package, piece by piece: everything that is put into them is escaped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Final

from accountant.numerics import MissingExtraError

_FOLDER: Final = Path(__file__).with_name("templates")


def write_page(
    file: IO[str],
    template: str,
    values: Mapping[str, Any],
    *,
    filters: Mapping[str, Any],
    tests: Mapping[str, Callable[..., bool]],
) -> None:
    """Fill in a template; iterators among the values are read as they are written, so a page may be longer than the memory."""
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError:
        raise MissingExtraError("a report in HTML", "Jinja2", "report") from None
    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= filters
    environment.tests |= tests
    file.writelines(environment.get_template(template).generate(**values))
