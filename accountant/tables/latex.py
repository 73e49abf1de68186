"""LaTeX: the first table of a document as a grid of cells, and formulas as text. Parsed by pylatexenc, of the extra tables."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from accountant.numerics import InputError
from accountant.tables.grids import Grid, Line
from accountant.tables.opening import Opened, needs

#: Arguments of the environments that hold tables, as pylatexenc writes them.
_TABLES: Final = {
    "tabular": "[{", "tabular*": "{[{", "tabularx": "{[{", "tabulary": "{[{", "longtable": "[{", "array": "[{", "tabu": "{",
    "tblr": "[{", "longtblr": "[{", "NiceTabular": "[{",
}  # fmt: skip
_SYMBOLS: Final = {
    "sigma": "σ", "epsilon": "ε", "varepsilon": "ε", "delta": "δ", "eta": "η", "mu": "μ", "times": "×", "cdot": "·", "pm": "±",
    "textpm": "±", "texttimes": "×", "leq": "≤", "le": "≤", "leqslant": "≤", "geq": "≥", "ge": "≥", "geqslant": "≥", "lt": "<",
    "gt": ">", "approx": "≈", "sim": "~", "simeq": "≈", "infty": "∞", "dagger": "†", "ddagger": "‡", "dag": "†", "ddag": "‡",
    "textdagger": "†", "textdaggerdbl": "‡", "S": "§", "P": "¶", "ast": "*", "star": "*", "textasteriskcentered": "*",
    "bullet": "•", "%": "%", "#": "#", "_": "_", "&": "&", "$": "$", "{": "{", "}": "}", "textendash": "–", "textemdash": "—",
    "textbackslash": "\\", "|": "|", "lvert": "|", "rvert": "|", "vert": "|", "mid": "|", "textbar": "|", "backslash": "\\",
    ",": "\N{THIN SPACE}", "thinspace": "\N{THIN SPACE}", ";": " ", ":": " ", "!": "", " ": " ", "quad": " ", "qquad": " ",
    "enspace": " ", "hfill": " ", "lbrace": "{", "rbrace": "}", "to": "→", "cdots": "…", "dots": "…", "ldots": "…", "/": "",
    "permil": "‰", "textperthousand": "‰", "div": "/", "colon": ":", "lambda": "λ", "alpha": "α", "gamma": "γ", "ell": "l",
}  # fmt: skip
#: Macros whose last argument is what is shown, with all their arguments.
_SHOWN: Final = {
    **dict.fromkeys(
        re.findall(
            r"\S+",
                r"textbf textit emph textrm texttt textsf textsc textnormal text mathrm mathbf mathit mathsf mathtt mathcal "
                r"mathbb mathscr boldsymbol bm underline uline mbox hbox ensuremath operatorname thead bfcell best textup "
                r"textmd",
        ),
        "{",
    ),
    "makecell": "[{", "shortstack": "[{", "textcolor": "[{{", "multicolumn": "{{{", "multirow": "[{[{[{", "rotatebox": "[{{",
    "colorbox": "{{", "adjustbox": "{{", "fbox": "{", "parbox": "[{{", "multirowcell": "{[{",
}  # fmt: skip
#: Macros that show nothing.
_UNSEEN: Final = {
    **dict.fromkeys(re.findall(
        r"\S+",
            r"bfseries itshape mdseries rmfamily ttfamily boldmath centering raggedright raggedleft arraybackslash "
            r"small footnotesize scriptsize tiny normalsize large displaystyle textstyle left right bf it rm tt em "
            r"noindent leavevmode strut relax protect notag nonumber big Big bigl bigr hline bottomrule midrule toprule "
            r"hdashline endfirsthead endhead endfoot endlastfoot",
    ), ""),
    **dict.fromkeys(re.findall(
        r"\S+",
            r"label cite citep citet citealp rowcolor phantom hphantom vphantom hspace vspace cline setlength rule ref",
    ), "{"),
    "cellcolor": "[{", "cmidrule": "[{", "addlinespace": "[", "specialrule": "{{{", "color": "[{", "caption": "[{",
    "fontsize": "{{", "renewcommand": "{[{", "cite": "[[{", "rowcolor": "[{", "arrayrulecolor": "{", "cdashline": "{",
}  # fmt: skip
#: Macros that show a mark: what is in it does not belong to the number.
_MARKS: Final = {"footnote": "[{", "footnotemark": "[", "tablefootnote": "[{", "tnote": "{", "textsuperscript": "{"}
_NUMBERS: Final = {"num": "[{", "SI": "[{[{", "qty": "[{{"}
_DELETED: Final = {"sout": "{", "st": "{", "xout": "{", "cancel": "{"}
#: Rules over some columns, whose arguments in round brackets no parser knows.
_RULES: Final = re.compile(r"\\(cmidrule|cline|cdashline)\s*(\[[^]]*\])?\s*(\([^)]*\))?\s*\{[^}]*\}|^\s*%.*$", re.MULTILINE)
#: Characters around a table that may be about it.
_AROUND: Final = 5000
#: Formulas in a text of another format.
_FORMULA: Final = re.compile(r"\$\$?(.+?)\$\$?|\\\((.+?)\\\)")
_NEW_ROW: Final = ("\\", "tabularnewline", "cr")


@cache
def _walker() -> tuple[Any, Any, Any]:
    """The parser, its nodes, and the macros and environments that it knows."""
    from pylatexenc import latexwalker, macrospec

    context = latexwalker.get_default_latex_context_db()
    parser = macrospec.MacroStandardArgsParser

    given = {**_SHOWN, **_UNSEEN, **_MARKS, **_NUMBERS, **_DELETED, **dict.fromkeys(_SYMBOLS, "")}
    context.add_context_category(
        "tables",
        prepend=True,
        macros=[macrospec.MacroSpec(name, args_parser=parser(spec)) for name, spec in given.items()],
        environments=[macrospec.EnvironmentSpec(name, args_parser=parser(spec)) for name, spec in _TABLES.items()],
        specials=[macrospec.SpecialsSpec("&"), macrospec.SpecialsSpec("~")],
    )
    return latexwalker.LatexWalker, latexwalker, context


def _nodes(text: str) -> Sequence[Any]:
    walker, _, context = _walker()
    nodes: Sequence[Any] = walker(text, latex_context=context, tolerant_parsing=True).get_latex_nodes()[0]
    return nodes


def formula(text: str) -> str:
    r"""A formula, or any LaTeX, as text: \sigma is σ, and powers keep their braces. What is not known stays as it is.

    >>> formula(r"8\times 10^{-3}"), formula(r"\mathbf{0.0029}^\dagger"), formula(r"\mystery{1}")
    ('8×10^{-3}', '0.0029^{†}', '\\mystery1')
    """
    try:
        return " ".join(_text(_nodes(text)).split(" ")).strip()
    except ImportError:
        # As it was before there was the extra.
        return text.replace("$", "").strip()


def formulas(text: str) -> str:
    r"""A text with the formulas that stand in it as text.

    >>> formulas(r"noise $\sigma$, \(\delta\)")
    'noise σ, δ'
    """
    return _FORMULA.sub(lambda found: formula(found[1] or found[2]), text)


def _text(nodes: Sequence[Any]) -> str:
    _, kinds, _ = _walker()
    said = ""
    for node in nodes:
        if node is None or node.isNodeType(kinds.LatexCommentNode):
            continue
        if node.isNodeType(kinds.LatexCharsNode):
            part = re.sub(r"\s+", " ", node.chars)
        elif node.isNodeType(kinds.LatexGroupNode):
            opens, closes = node.delimiters
            part = _text(node.nodelist) if opens == "{" else opens + _text(node.nodelist) + closes
        elif node.isNodeType(kinds.LatexMathNode) or node.isNodeType(kinds.LatexEnvironmentNode):
            part = _text(node.nodelist)
        elif node.isNodeType(kinds.LatexMacroNode):
            part = _macro(node)
        else:
            part = {"~": " ", "--": "–", "---": "—", "``": "“", "''": "”"}.get(node.specials_chars, node.specials_chars)
        if said.endswith(("^", "_")) and not node.isNodeType(kinds.LatexCharsNode):
            part = f"{{{part}}}"
        said += part
    return said


def _macro(node: Any) -> str:
    name: str = node.macroname
    arguments = node.nodeargd.argnlist if node.nodeargd is not None and node.nodeargd.argnlist else []
    if name in _SYMBOLS:
        return _SYMBOLS[name]
    if name in _UNSEEN:
        return ""
    if name in _NEW_ROW:
        return " "
    if name in _SHOWN:
        return _text(arguments[-1:])
    if name in _MARKS:
        inner = _text(arguments[-1:])
        return "^{" + (inner if name in ("tnote", "textsuperscript") else "†") + "}"
    if name in _DELETED:
        return f"~~{_text(arguments[-1:])}~~"
    if name == "num":
        return _text(arguments[-1:])
    if name == "frac" and len(arguments) == 2:
        return f"{_text(arguments[:1])}/{_text(arguments[1:])}"
    # What is not known is not left out: the number beside it may depend on it.
    return f"\\{name}" + "".join(_text([argument]) for argument in arguments)


@dataclass
class _Table:
    """The rows of a table as they are read: cells with how many columns and rows they take."""

    rows: list[tuple[int, list[tuple[str, int, int]]]] = field(default_factory=list)
    headers: int | None = None
    #: Rows that are the header of further pages, or a foot.
    left_out: tuple[int, int] = (0, 0)


def latex(file: Opened, which: int) -> Grid:
    """A grid of the table of that number, from 1, in a document."""
    text = _RULES.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), file.text())
    try:
        nodes = _nodes(text)
    except ImportError:
        raise needs(file.title, "LaTeX") from None
    found = list(_environments(nodes))
    if not found:
        raise InputError(f"{file.title} has no table: LaTeX must have an environment such as tabular")
    notes = file.chosen(which, len(found), "document")
    ends = [at for at, letter in enumerate(text) if letter == "\n"]
    table = _read(found[which - 1], ends)
    lines = list(_lines(table))
    return Grid(lambda: iter(lines), headers=table.headers, notes=notes, remarks=lambda: _around(text, found[which - 1]))


def _around(text: str, node: Any) -> list[str]:
    """The captions in a table, and what its float has around it."""
    begin, end = node.pos, node.pos + node.len
    before, after = text[:begin], text[end:]
    before = before[
        max(before.rfind(mark) for mark in (r"\end{table", r"\begin{table", r"\end{tabular", r"\begin{document")) + 1 :
    ]
    after = after[: min((at for at in (after.find(r"\end{table"), after.find(r"\begin{tab")) if at >= 0), default=0)]
    within = [line for line in text[begin:end].splitlines() if r"\caption" in line]
    return [part for part in (before[-_AROUND:], *within, after[:_AROUND]) if part.strip()]


def _environments(nodes: Sequence[Any]) -> Iterator[Any]:
    """Those that hold tables, but for tables inside of tables."""
    _, kinds, _ = _walker()
    for node in nodes or ():
        if node is None:
            continue
        if node.isNodeType(kinds.LatexEnvironmentNode) and node.environmentname in _TABLES:
            yield node
        elif node.isNodeType(kinds.LatexMacroNode):
            if node.nodeargd is not None and node.nodeargd.argnlist:
                yield from _environments(node.nodeargd.argnlist)
        elif hasattr(node, "nodelist"):
            yield from _environments(node.nodelist)


def _read(environment: Any, ends: Sequence[int]) -> _Table:
    _, kinds, _ = _walker()
    table = _Table()
    cell: list[Any] = []
    cells: list[tuple[str, int, int]] = []
    begins = environment.pos

    def end_cell() -> None:
        cells.append(_cell(cell))
        cell.clear()

    def end_row() -> None:
        nonlocal cells
        end_cell()
        if any(text for text, _, _ in cells):
            table.rows.append((bisect_right(ends, begins) + 1, cells))
        cells = []

    for node in environment.nodelist or ():
        macro = node.macroname if node.isNodeType(kinds.LatexMacroNode) else None
        if macro in _NEW_ROW:
            begins = node.pos
            end_row()
        elif macro in ("midrule", "hline", "endfirsthead", "endhead", "endlastfoot", "endfoot"):
            count = len(table.rows)
            if macro == "midrule" and count and table.headers is None:
                table.headers = count
            if macro == "endfirsthead":
                table.headers, table.left_out = count, (count, count)
            elif macro in ("endhead", "endfoot", "endlastfoot"):
                first = table.left_out[0] or count
                table.headers, table.left_out = table.headers or count, (first, count)
        elif not node.isNodeType(kinds.LatexMacroNode) and getattr(node, "specials_chars", "") == "&":
            end_cell()
        else:
            cell.append(node)
            if not node.isNodeType(kinds.LatexCommentNode):
                begins = node.pos
    end_row()
    return table


def _cell(nodes: Sequence[Any]) -> tuple[str, int, int]:
    """Text, columns and rows of a cell."""
    columns = rows = 1

    def look(nodes: Sequence[Any]) -> None:
        nonlocal columns, rows
        for node in nodes:
            name = getattr(node, "macroname", "")
            if name in ("multicolumn", "multirow"):
                arguments = node.nodeargd.argnlist
                said = _text([arguments[0 if name == "multicolumn" else 1]]).strip()
                count = abs(int(said)) if re.fullmatch(r"-?\d{1,3}", said) else 1
                columns, rows = (count, rows) if name == "multicolumn" else (columns, count)
                look([arguments[-1]])
            elif getattr(node, "nodelist", None):
                look(node.nodelist)

    look(nodes)
    text = _text(nodes)
    return re.sub(r"[ \n\t]+", " ", text).strip(), columns, rows


def _lines(table: _Table) -> Iterator[Line]:
    """With cells that take several columns or rows in each of them."""
    below: dict[int, tuple[str, int]] = {}
    for at, (line, cells) in enumerate(table.rows):
        if table.left_out[0] <= at < table.left_out[1]:
            continue
        texts: list[str] = []
        following: dict[int, tuple[str, int]] = {}
        for text, columns, rows in cells:
            for _ in range(columns):
                place = len(texts)
                said, left = below.get(place, ("", 0))
                if rows > 1 and text:
                    said, left = text, rows
                elif text or not left:
                    said, left = text, 1
                texts.append(said)
                if left > 1:
                    following[place] = said, left - 1
        # A row that breaks off is filled by what goes over from above.
        for place, (said, left) in sorted(below.items()):
            if place == len(texts):
                texts.append(said)
                if left > 1:
                    following[place] = said, left - 1
        below = following
        yield Line(line, 1, texts, spanning=len(cells) == 1 and cells[0][1] > 1)
