"""The JSON Schema of certificates, read off the shape that the checker demands."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from accountant.certificates import check, drawn_texts, law_texts, steps_texts, texts
from accountant.certificates.format import DRAWN_VERSION, LAW_VERSION, PARTS_VERSION, STEP_VERSION, VERSION
from accountant.numerics import InputError

Schema = dict[str, object]
#: The checker's names of patterns, as definitions of the schema.
_NAMED: Final = {
    check.BRIEF: "brief",
    check.WHOLE: "whole", check.COUNT: "count", check.NUMBER: "number", check.SIGNED: "signed", check.TEXT: "text",
    check.DIGEST: "digest",
}  # fmt: skip
_PAIRS: Final = rf"\[(\[({check.WHOLE}), {check.COUNT}\](, (?=\[)|(?=\]$)))+\]"
_CONSTANT: Final = re.compile(r'null|true|false|[0-9]+|"[a-z-]+"')
#: theorems, assumptions and limits of each version.
_TEXTS: Final = {
    VERSION: (texts.THEOREMS, texts.ASSUMPTIONS, texts.LIMITS),
    DRAWN_VERSION: (drawn_texts.DRAWN_THEOREMS, drawn_texts.DRAWN_ASSUMPTIONS, drawn_texts.DRAWN_LIMITS),
    STEP_VERSION: (steps_texts.STEP_THEOREMS, steps_texts.STEP_ASSUMPTIONS, steps_texts.STEP_LIMITS),
    LAW_VERSION: (law_texts.LAW_THEOREMS, law_texts.LAW_ASSUMPTIONS, law_texts.LAW_LIMITS),
    PARTS_VERSION: (law_texts.PARTS_THEOREMS, law_texts.PARTS_ASSUMPTIONS, law_texts.PARTS_LIMITS),
}
_LENGTH: Final = re.compile(r"\(\?=\.\{(\d+),(\d+)\}\$\)")
_INTEGER: Final = re.compile(r"\[1-9\]\[0-9\]\{0,(\d+)\}")


def json_schema(version: int = VERSION) -> Schema:
    """JSON Schema (2020-12) of a certificate: its keys, types and fixed texts; needs the extra ``certify``.

    version: 2 of batches cut from a partition, 3 of batches that records draw, 4 of fine-tuning, 5 of streams of records that
    draw, 6 of streams of a partition. Whether the claim is proved, and whether the statement belongs to the numbers,
    ``check.py`` decides. Raises InputError for another version.

    >>> json_schema()["properties"]["version"]
    {'const': 2}
    >>> json_schema(3)["properties"]["inputs"]["properties"]["assignment"]
    {'const': 'secret'}
    """
    if version not in check.SHAPES:
        raise InputError(f"version must be one of {', '.join(map(str, sorted(check.SHAPES)))}, got {version!r}")
    fixed = dict(zip(("theorems", "assumptions", "limits"), _TEXTS[version], strict=True))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"unlearning-certificate-{version}",
        "title": f"Unlearning certificate, format version {version}",
        **_object(check.SHAPES[version], {name: {"const": value} for name, value in fixed.items()}),
        "$defs": {name: _pattern(pattern) for pattern, name in _NAMED.items()},
    }


def _schema(shape: object) -> Schema:
    """Of a shape in the checker's language: a dict, a tuple, a list of one, or a pattern of JSON text."""
    if isinstance(shape, dict):
        return _object(shape, {})
    if isinstance(shape, tuple):
        return _list(shape) if shape[0] is not None else {"anyOf": [{"const": None}, _list(shape[1:])]}
    if isinstance(shape, list):
        return {"type": "array", "items": _schema(shape[0])}
    parts = [_part(part) for part in _alternatives(str(shape))]
    return parts[0] if len(parts) == 1 else {"anyOf": parts}


def _object(shape: Mapping[str, object], fixed: Mapping[str, Schema]) -> Schema:
    properties = {key: fixed[key] if key in fixed else _schema(value) for key, value in shape.items()}
    return {"type": "object", "required": list(shape), "additionalProperties": False, "properties": properties}


def _list(shapes: tuple[object, ...]) -> Schema:
    items = [_schema(shape) for shape in shapes]
    return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items), "maxItems": len(items)}


def _alternatives(pattern: str) -> list[str]:
    """A pattern cut where it says "or" outside of brackets and of the named patterns, which stay whole."""
    for name in _NAMED:
        if pattern.endswith(name):
            before = pattern[: -len(name)].rstrip("|")
            return [*(_alternatives(before) if before else []), name]
    if pattern.endswith(_PAIRS):
        return [*_alternatives(pattern[: -len(_PAIRS)].rstrip("|")), _PAIRS]
    return pattern.split("|")


def _part(pattern: str) -> Schema:
    if pattern in _NAMED:
        return {"$ref": f"#/$defs/{_NAMED[pattern]}"}
    if pattern == _PAIRS:
        return {"type": "array", "items": _list((check.WHOLE, check.COUNT)), "minItems": 1}
    return _pattern(pattern)


def _pattern(pattern: str) -> Schema:
    """Of JSON text without lists: a constant, whole numbers, or texts."""
    if _CONSTANT.fullmatch(pattern) is not None:
        return {"const": json.loads(pattern)}
    if chr(34) not in pattern and (whole := _INTEGER.search(pattern)) is not None:
        lowest = 0 if pattern.startswith("0|") else 1
        return {"type": "integer", "minimum": lowest, "maximum": 10 ** (int(whole[1]) + 1) - 1}
    length = _LENGTH.match(pattern)
    # Quotation marks are the ends of a text and nowhere inside of it.
    limits = {} if length is None else {"minLength": int(length[1]) - 2, "maxLength": int(length[2]) - 2}
    return {"type": "string", **limits, "pattern": f"^({_LENGTH.sub('', pattern).replace(chr(34), '')})$"}
