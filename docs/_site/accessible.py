"""What Sphinx and MyST write that a screen reader stumbles over, said otherwise."""

from __future__ import annotations

import re
from typing import Any

#: The parameters of a signature on several lines: a list of definitions without anything defined.
PARAMETERS = re.compile(r"<dl>\s*(<dd>.*?</dd>)\s*</dl>", re.DOTALL)
#: A button whose name for a screen reader is not what stands on it.
SUMMARY = re.compile(r'<summary aria-label="[^"]*">')


def _lines(found: re.Match[str]) -> str:
    return (
        '<span class="parameters">'
        + found[1].replace("<dd>", '<span class="parameter">').replace("</dd>", "</span>")
        + "</span>"
    )


def rewritten(body: str) -> str:
    """The body of a page.

    >>> rewritten('(<dl><dd>n</dd><dd>m</dd></dl>)<summary aria-label="Toggle">Show</summary>')
    '(<span class="parameters"><span class="parameter">n</span><span class="parameter">m</span></span>)<summary>Show</summary>'
    """
    return SUMMARY.sub("<summary>", PARAMETERS.sub(_lines, body))


def page(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    if "body" in context:
        context["body"] = rewritten(context["body"])


def setup(app: Any) -> dict[str, bool]:
    app.connect("html-page-context", page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
