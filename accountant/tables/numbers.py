"""Numbers as people print them: 2.9×10⁻³, 0,0029, 1,024, 97.3 %, ≤ 1, 1.0±0.1, 0.0029†. What may be two numbers is refused."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from accountant.numerics import Printed, parse_number
from accountant.tables.latex import formula

#: What stands before the decimals in a table; "both": each somewhere; "": nothing tells.
Decimal = Literal[".", ",", "both", ""]

_MINUS: Final = str.maketrans(dict.fromkeys("\u2212\u2010\u2011\u2012\u2013\ufe63\uff0d", "-") | dict.fromkeys(
    "\u200b\ufeff\u2060\u00ad\u200e\u200f", "") | dict.fromkeys("\u00a0\u2007\u2008\u202f\u2006\u2005\u2004", "\u2009") | {
    "\u2032": "'", "\u2019": "'", "\u02bc": "'", "\u066c": "'"}
    | {chr(0xFF10 + at): str(at) for at in range(10)})  # fmt: skip
_RAISED: Final = {"⁺": "+", "⁻": "-", "⁽": "(", "⁾": ")", **dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789", strict=True))}
_RAISED_RUN: Final = re.compile(f"[{''.join(_RAISED)}]+")
_TIMES: Final = r"(?:×|·|⋅|∙|•|\*|x|X|\\times|\\cdot)"
_POWER: Final = re.compile(
    rf"(?:([^\s×·⋅∙•*xX\\]+?)(?:\s*{_TIMES}\s*|\s+))?(10|2)\s*(?:\^|\*\*)\s*([({{]*)([+-]?[0-9]{{1,4}})([)}}]*)"
)
_LOST: Final = re.compile(rf"(?:.*{_TIMES}\s*)?10-[0-9]+")
_SCIENTIFIC: Final = re.compile(r"(.+?)[eE]([+-]?[0-9]{1,6})")
#: Signs and letters from a to e, never a number, a bracket or n, which may be a power.
_MARK: Final = re.compile(r"\s*(?:\^[a-e*†‡§¶]|\^\{[a-e*†‡§¶,\s]{1,12}\}|[†‡§¶*]+|[ᵃᵇᶜᵈᵉ]+)$")
_LEADING: Final = re.compile(r"^[†‡§¶*]+\s*(?=[0-9.,±≤≥<>~≈+-])")
_ABOUT: Final = re.compile(r"(?:~|≈|∼|≃|≅|ca\.|circa\b|approx\.?|about\b|approximately\b)\s*", re.IGNORECASE)
_RELATION: Final = re.compile(r"(<=|>=|≤|≥|⩽|⩾|≦|≧|<|>|=|at most\b|at least\b|up to\b)\s*", re.IGNORECASE)
_SIGN: Final = {
    **dict.fromkeys(("<=", "≤", "⩽", "≦", "<", "at most", "up to"), "<="),
    **dict.fromkeys((">=", "≥", "⩾", "≧", ">", "at least"), ">="),
    "=": "",
}
_SPREAD: Final = re.compile(r"(.+?)\s*(?:±|\+/-|\+-|_\{±)\s*([^}]+?)\}?")
_IN_BRACKETS: Final = re.compile(r"\((.+)\)(.+)")
_LAST_DIGITS: Final = re.compile(r"([0-9.,]+)\(([0-9]{1,3})\)(.*)")
_PLAIN: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?")
_GROUP: Final = r"[+-]?[1-9][0-9]{0,2}"
_ONE_COMMA: Final = re.compile(rf"{_GROUP},[0-9]{{3}}")
_ONE_POINT: Final = re.compile(rf"{_GROUP}\.[0-9]{{3}}")
_COMMAS: Final = re.compile(rf"{_GROUP}(?:,[0-9]{{3}}){{2,}}")
_POINTS: Final = re.compile(rf"{_GROUP}(?:\.[0-9]{{3}}){{2,}}")
_ENGLISH: Final = re.compile(rf"{_GROUP}(?:,[0-9]{{3}})+\.[0-9]*")
_GERMAN: Final = re.compile(rf"{_GROUP}(?:\.[0-9]{{3}})+,[0-9]*")
_DECIMAL_COMMA: Final = re.compile(r"[+-]?[0-9]*,[0-9]+")
_DECIMAL_POINT: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")
_SPACED: Final = re.compile(rf"({_GROUP}(?:[\u2009' ][0-9]{{3}})+)((?:[.,][0-9]+)?)")
_TOKEN: Final = re.compile(r"[0-9]*[.,]?[0-9]+(?:[.,][0-9]+)*")
_EMPHASIS: Final = re.compile(r"(\*\*|__|`|\"|“|')(?=\S)(.+?)(?<=\S)(?:\1|”)([\s*†‡§¶]*)")


class Reading(NamedTuple):
    """A number as it was read. spread: half the width of what it may be, 0: none; relation: "<=", ">=" or "".

    said: what was left out or taken, in words, "" where the text is only printed otherwise; nothing where it is plainly the
    number.
    """

    value: Printed
    spread: float = 0.0
    relation: str = ""
    percent: bool = False
    said: tuple[str, ...] = ()


def decimal_of(text: str) -> Decimal:
    """What a cell tells about the decimals of its table: "." or ",", or "" where it may be either.

    >>> [decimal_of(text) for text in ("0.03", "97,3 %", "1,024", "1.024,5", "1,000,000", "1.0±0.1", "mnist")]
    ['.', ',', '', ',', '.', '.', '']
    """
    if not ("." in text or "," in text) or len(text) > 60:
        return ""
    found = _TOKEN.findall(text)
    rest = _TOKEN.sub("", text)
    if not found or re.search(r"[A-Za-zÀ-ÿ]{3,}", re.sub(r"\\[a-z]+", "", rest)):
        return ""
    token = found[0]
    if "," in token and "." in token:
        return "." if _ENGLISH.fullmatch(token) else "," if _GERMAN.fullmatch(token) else ""
    for mark, one, several, other in ((",", _ONE_COMMA, _COMMAS, "."), (".", _ONE_POINT, _POINTS, ",")):
        if mark in token:
            if one.fullmatch(token):
                return ""
            if several.fullmatch(token):
                return "." if other == "." else ","
            return ("," if mark == "," else ".") if token.count(mark) == 1 else ""
    return ""


@lru_cache(maxsize=1 << 15)
def is_plain(text: str) -> bool:
    """Whether a text is a number as programs write it, whatever the table."""
    return _PLAIN.fullmatch(text) is not None and _ONE_POINT.fullmatch(text) is None


@lru_cache(maxsize=1 << 14)
def read_number(text: str, *, decimal: Decimal = "", whole: bool = False) -> Reading:
    r"""The number that a text prints; ``whole``: it stands for a count.

    ValueError says why it is none, or what it may be as well.

    >>> [read_number(text).value.value for text in ("2.9×10⁻³", r"$8\times 10^{-3}$", "10^{-5}", "0.0029†", "97.3 %", "≤ 1")]
    [0.0029, 0.008, 1e-05, 0.0029, 0.973, 1.0]
    >>> read_number("0,0029", decimal=",").value.value, read_number("1,024", whole=True).value.value
    (0.0029, 1024.0)
    """
    said: list[str] = []
    body = clean(text)
    if body != text.strip() and "~~" not in body:
        said.append("")
    if "~~" in body:
        raise ValueError("it is struck out")
    body, relation = _front(body, said)
    body = _back(body, said)
    percent = body[-1:] in ("%", "‰") and body[-1:]
    inner = _IN_BRACKETS.fullmatch(body)
    spread = 0.0
    exponent = {"%": -2, "‰": -3}.get(percent or "", 0)
    if percent:
        body = body[:-1].rstrip().removesuffix("\\").rstrip("\u2009 ")
        said.append("per cent" if percent == "%" else "per mille")
    tail = ""
    if inner is not None and ("±" in inner[1] or "+-" in inner[1] or "+/-" in inner[1]):
        body, tail = inner[1], inner[2]
    digits = _LAST_DIGITS.fullmatch(body)
    pair = _SPREAD.fullmatch(body)
    if pair is not None:
        value = _number(pair[1] + tail, exponent, decimal, whole, said)
        other = _number(_back(pair[2], said).removesuffix("%").strip() + tail, exponent, decimal, False, [])
        spread = abs(other.value)
    elif digits is not None:
        value = _number(digits[1] + digits[3], exponent, decimal, whole, said)
        spread = 2 * value.half_unit * int(digits[2])
    else:
        value = _number(body, exponent, decimal, whole, said)
    return Reading(value, spread, relation, bool(percent), tuple(dict.fromkeys(filter(None, said))) or (("",) if said else ()))


@lru_cache(maxsize=1 << 14)
def clean(text: str) -> str:
    r"""A text without what only makes it look different: formula signs, emphasis, kinds of minus signs and blanks.

    >>> clean("$10^{-5}$"), clean("**0.0029**"), clean("2.9×10⁻³"), clean(r"\textbf{full}")
    ('10^{-5}', '0.0029', '2.9×10^{-3}', 'full')
    """
    text = text.strip()
    if len(text) > 200:
        return text
    if text.startswith('="') and text.endswith('"'):
        text = text[2:-1]
    if "\\" in text or "$" in text:
        text = formula(text)
        for macro, sign in (("\\times", "×"), ("\\cdot", "·"), ("\\pm", "±"), ("\\leq", "≤"), ("\\le", "≤"), ("\\geq", "≥"),
                            ("\\ge", "≥"), ("\\infty", "∞"), ("\\,", "\u2009"), ("\\%", "%"), ("\\approx", "≈"), ("\\sim", "~"),
                            ("{,}", ",")):  # fmt: skip
            text = text.replace(macro, sign)
    text = _RAISED_RUN.sub(lambda run: "^{" + "".join(_RAISED[letter] for letter in run[0]) + "}", text.translate(_MINUS))
    for _ in range(3):
        found = _EMPHASIS.fullmatch(text)
        if found is None:
            break
        text = (found[2] + found[3]).strip()
    return " ".join(text.split(" ")).strip("\u2009 ")


def _front(body: str, said: list[str]) -> tuple[str, str]:
    """Without what stands in front of a number: marks, and signs of comparison, which are kept."""
    relation = ""
    body, marks = _LEADING.subn("", body)
    if marks:
        said.append("mark left out")
    for _ in range(2):
        if found := _RELATION.match(body):
            relation = _SIGN[found[1].lower()]
            body = body[found.end() :].lstrip("\u2009 ")
        if found := _ABOUT.match(body):
            said.append("taken as that number")
            body = body[found.end() :].lstrip("\u2009 ")
    return body, relation


def _back(body: str, said: list[str]) -> str:
    """Without the marks of footnotes behind a number."""
    for _ in range(3):
        found = _MARK.search(body)
        if found is None or not found.start():
            break
        said.append("mark left out")
        body = body[: found.start()].rstrip("\u2009 ")
    return body


def _number(body: str, exponent: int, decimal: Decimal, whole: bool, said: list[str]) -> Printed:
    body = body.strip("\u2009 ")
    power = _POWER.fullmatch(body)
    if power is not None:
        mantissa, base, opens, digits, closes = power.groups()
        if len(opens) != len(closes):
            raise ValueError("its brackets do not match")
        if base == "2" and mantissa is not None:
            raise ValueError("not a number")
        if mantissa is None and "{" in opens and int(digits) in range(1, 10):
            # A raised digit behind a small number may be the mark of a footnote.
            raise ValueError(f"it may be {base} to the power {int(digits)}, or {base} with the mark of a note: write it out")
        if base == "2":
            if not -1000 < int(digits) < 1000:
                raise ValueError("out of range")
            said.append("")
            return Printed(2.0 ** int(digits) * 10.0**exponent)
        said.append("")
        return _scaled(_digits(mantissa or "1", decimal, whole and int(digits) == 0, said), int(digits) + exponent)
    if "^" in body or "**" in body:
        raise ValueError("it may be a power, or a number with the mark of a note: write it out")
    if _LOST.fullmatch(body):
        raise ValueError("a raised exponent may have been lost: write it as 1e-5")
    found = _SCIENTIFIC.fullmatch(body)
    if found is not None:
        return _scaled(_digits(found[1], decimal, False, said), int(found[2]) + exponent)
    if body.count("/") == 1 and not exponent:
        above, below = (_digits(part.strip("\u2009 "), decimal, True, said) for part in body.split("/"))
        if "." in above and "." in below:
            raise ValueError("it may be two numbers: write the one that is meant")
        return parse_number(f"{above}/{below}")
    return _scaled(_digits(body, decimal, whole, said), exponent)


def _scaled(digits: str, exponent: int) -> Printed:
    return parse_number(f"{digits}e{exponent}" if exponent else digits)


def _digits(text: str, decimal: Decimal, whole: bool, said: list[str]) -> str:
    """Digits with a point before the decimals; ValueError where the table leaves open what a comma or a point means."""
    spaced = _SPACED.fullmatch(text)
    if spaced is not None:
        groups = re.split("[\u2009' ]", spaced[1])
        if " " in spaced[1] and any(not group.startswith("0") for group in groups[1:]):
            raise ValueError(f"it may be one number or several: write {''.join(groups)} or one of them")
        said.append("thousands")
        return _digits("".join(groups) + spaced[2], decimal, whole, said) if spaced[2] else "".join(groups)
    if _COMMAS.fullmatch(text) or _ENGLISH.fullmatch(text):
        if decimal in (",", "both"):
            raise ValueError("its commas group digits, but other cells have decimal commas: write it without commas")
        said.append("thousands")
        return text.replace(",", "")
    if _POINTS.fullmatch(text) or _GERMAN.fullmatch(text):
        if decimal in (".", "both"):
            raise ValueError("its points group digits, but other cells have decimal points: write it without points")
        said.append("thousands")
        return text.replace(".", "").replace(",", ".")
    if _ONE_COMMA.fullmatch(text):
        return _one_comma(text, decimal, whole, said)
    if _ONE_POINT.fullmatch(text) and decimal in (",", "both"):
        if whole and decimal == "," and not text.endswith(".000"):
            said.append("thousands")
            return text.replace(".", "")
        raise ValueError(f"it may be {text} with a decimal point or {text.replace('.', '')}: write it without grouping")
    if _DECIMAL_COMMA.fullmatch(text):
        if decimal != ",":
            raise ValueError("it has a decimal comma, and other cells have decimal points: write it with a point")
        return text.replace(",", ".")
    if _DECIMAL_POINT.fullmatch(text):
        return text
    raise ValueError("not a number")


def _one_comma(text: str, decimal: Decimal, whole: bool, said: list[str]) -> str:
    """1,024 is 1024 in a count, and 1.024 where other cells have decimal commas; what may be both is refused."""
    choice = f"it may be {text.replace(',', '.')} or {text.replace(',', '')}: write it without the comma"
    if decimal == "both" or (decimal == "," and whole) or (decimal == "" and whole and text.endswith(",000")):
        raise ValueError(choice)
    if decimal == ",":
        return text.replace(",", ".")
    if not whole:
        raise ValueError(choice)
    said.append("thousands")
    return text.replace(",", "")
