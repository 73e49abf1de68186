"""What captions, comments and notes say of all rows, where no column and no option does: it is asked about."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

_SUPERSCRIPT: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_MACROS: Final = {
    r"\varepsilon": "ε", r"\epsilon": "ε", "ϵ": "ε", r"\sigma": "σ", r"\delta": "δ", r"\eta": "η", r"\times": "×",
    r"\cdot": "×", "&delta;": "δ", "−": "-", r"\leq": "≤", r"\le": "≤",
}  # fmt: skip
_IS: Final = r"\s*(?:=|:|≈|~|≤|<|\bis\b|\bof\b|\bat\b|\bto\b|\bset to\b)?\s*"
_NUMBER: Final = (
    r"(?:1\s*/\s*[^\s,;]+|n\^-\S+"
    r"|[0-9]+(?:[.,][0-9]+)*(?:\s*[eE]\s*[-+]?[0-9]+|\s*[×x*]?\s*(?:10)?\^?-[0-9]+|\^-?[0-9.]+)?)"
)
#: How texts say what a run has, by role; the group is what they say.
_SAYS: Final[dict[str, re.Pattern[str]]] = {
    "delta": re.compile(rf"(?:δ|(?<![a-z])delta(?![a-z])|failure probability){_IS}({_NUMBER})", re.IGNORECASE),
    "batch_size": re.compile(
        rf"(?:\b(?-i:[bB])\s*=|\|B\|\s*=|\bbatch(?:[\s_-]?size|es)?{_IS})\s*({_NUMBER}|full)(?![\w.]*\s*(?:epoch|request))",
        re.IGNORECASE,
    ),
    "step_size": re.compile(rf"(?:\b(?:learning rate|step[\s_-]?size|lr)\b(?:\s*[ηγ])?|η){_IS}({_NUMBER})", re.IGNORECASE),
    "group_size": re.compile(
        r"(?:(?<![\w|])\|?(?-i:S)\|?\s*=\s*([0-9][0-9,]*)|([0-9][0-9,]*)\s*(?:points?|samples?|records?|examples?)\s*"
        r"(?:are|were|is|was|to be)?\s*(?:deleted|removed|unlearned|forgotten|erased)"
        r"|(?:delet|remov|unlearn|forgett?)ing\s*([0-9][0-9,]*))",
        re.IGNORECASE,
    ),
}
_SAME: Final = {"delta": ("1/n", "n^-1"), "batch_size": ("full",), "group_size": ("1",), "step_size": ("1/smoothness", "1/l")}
_SCALED: Final = re.compile(
    r"(σ|\bsigma\b|\bnoise\b|ε|\bepsilon\b|\beps\b)[^.;|]{0,40}?"
    r"(\bunits? of\s*\S*[0-9]|\bin (?:thousandths|hundredths|millionths)|\bscaled by\b|\bmultiplied by\b|\btimes 10"
    r"|(?<![0-9.)\s])\s*×\s*10\b)",
    re.IGNORECASE,
)
_ROLE: Final = {"σ": "sigma", "sigma": "sigma", "noise": "sigma"}
_TAKEN: Final = {"delta": "1/n", "batch_size": "the full batch", "step_size": "1/smoothness", "group_size": "1"}
#: Names of data like those of the presets.
_DATA: Final = re.compile(r"[a-z]*-?mnist|cifar[\s_-]?[0-9]+", re.IGNORECASE)


def said_beside(texts: Iterable[str], *, have: Collection[str], columns: Mapping[str, str], preset: str | None) -> str | None:
    """Why no row is judged: what a text beside the table says and no row or option does. None where none says anything.

    have: roles that columns or options have; columns: the former. preset: that of the options, unless a column says the data.

    >>> said_beside(["MNIST at δ = 10⁻⁵"], have={"epsilon"}, columns={}, preset="mnist")
    "the text 'MNIST at δ = 10^-5' beside the table may say its delta, not 1/n: write it in a column delta, or give --delta"
    """
    for whole in texts:
        text = " ".join(_bare(whole).split())
        for role, says in _SAYS.items():
            if role in have:
                continue
            for found in says.finditer(text):
                said = "".join(filter(None, found.groups())).replace(" ", "").rstrip(".,;)")
                if said.lower() not in _SAME[role]:
                    return (
                        f"the text {_quoted(text, found)} beside the table may say its {role}, not {_TAKEN[role]}: "
                        f"write it in a column {role}, or give --{role.replace('_', '-')}"
                    )
        scale = _SCALED.search(text)
        if scale is not None:
            role = _ROLE.get(scale[1].lower(), "epsilon")
            if role in columns:
                return (
                    f"the text {_quoted(text, scale)} beside the table may say that {columns[role]!r} is scaled: write the "
                    f"numbers themselves under {role}, and leave the text out"
                )
        if preset is not None:
            named = {re.sub(r"[^a-z0-9]", "", word.lower()) for word in _DATA.findall(text)}
            if named and preset not in named:
                return (
                    f"the text {text[:100]!r} beside the table may say its data, and --preset says {preset}: give the "
                    "one that it is about, or write it in a column dataset"
                )
    return None


def _quoted(text: str, found: re.Match[str]) -> str:
    """What was found, with some of what stands around it."""
    begin = max(found.start() - 40, 0)
    return repr(text[begin : found.end() + 20].strip())


def _bare(text: str) -> str:
    """Formulas as plain text, and powers as ^."""
    text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+", lambda found: "^" + found[0].translate(_SUPERSCRIPT), text)
    for macro, sign in _MACROS.items():
        text = text.replace(macro, sign)
    return re.sub(r"[${}()`*\\]|<[^>]+>", "", text)
