"""Standard output and error: readable in any encoding, no blanks at the ends of lines, an end when nobody reads them."""

from __future__ import annotations

import codecs
import errno
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import IO, Any, Final, TextIO, cast

from accountant.commands import refusals
from accountant.numerics import InputError

#: Exit codes beside 0, 2 and what a command says of 1: a fault of the program, and what a shell shows for SIGPIPE.
FAULT, CLOSED = 3, 141
_READABLE: Final = "accountant.readable"
#: What an encoding may lack, in ASCII. Everything else loses its accents or is shown as an escape.
_WORDS: Final = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "Δ": "Delta", "ε": "epsilon", "ϵ": "epsilon", "ζ": "zeta",
    "η": "eta", "θ": "theta", "κ": "kappa", "λ": "lambda", "Λ": "Lambda", "μ": "mu", "µ": "mu", "ν": "nu", "ξ": "xi",
    "π": "pi", "ρ": "rho", "σ": "sigma", "ς": "sigma", "Σ": "Sigma", "τ": "tau", "φ": "phi", "ϕ": "phi", "Φ": "Phi",
    "χ": "chi", "ψ": "psi", "ω": "omega", "Ω": "Omega", "×": "x", "·": "*", "⋅": "*", "∗": "*", "÷": "/", "±": "+/-",
    "∓": "-/+", "−": "-", "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "―": "-", "…": "...", "≤": "<=", "≥": ">=",
    "≠": "!=", "≈": "~", "≡": "==", "∞": "inf", "√": "sqrt", "→": "->", "←": "<-", "↔": "<->", "∈": " in ", "⁄": "/",
    "∕": "/", "∑": "sum", "∏": "prod", "∂": "d", "∇": "grad", "‰": " per mille", "°": " deg", "‘": "'", "’": "'", "‚": ",",
    "“": '"', "”": '"', "„": '"', "«": "<<", "»": ">>", "•": "*", "†": "+", "‡": "++", "§": "section ", "ß": "ss", "ø": "o",
    "Ø": "O", "æ": "ae", "Æ": "AE", "œ": "oe", "ł": "l", "Ł": "L", "đ": "d", "─": "-", "━": "-", "│": "|", "╷": "|",
    "╵": "|", "╭": "+", "╮": "+", "╰": "+", "╯": "+", "€": "EUR", "£": "GBP", "\u200b": "", "\ufeff": "",
}  # fmt: skip
_RAISED: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿ", "0123456789+-=()n")
_LOWERED: Final = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-")
#: Blanks before the end of a line, and the colours between them, which stay.
_BLANKS: Final = re.compile(r"(?:[ \t]|\x1b\[[0-9;]*m)+$", re.MULTILINE)


def ascii_text(text: str) -> str:
    r"""``text`` in ASCII, for people: Greek letters by name, powers of ten as ^-5, other signs as words or as escapes.

    >>> print(ascii_text("σ ≤ 2.9×10⁻³, café ± 1, 中"))
    sigma <= 2.9x10^-3, cafe +/- 1, \u4e2d
    """
    text = re.sub("[⁰¹²³⁴-⁹⁺⁻⁼⁽⁾ⁿ]+", lambda run: "^" + run[0].translate(_RAISED), text)
    text = re.sub("[₀-₉₊₋]+", lambda run: "_" + run[0].translate(_LOWERED), text)
    return "".join(sign if sign.isascii() else _WORDS.get(sign) or _without_accents(sign) for sign in text)


def _without_accents(sign: str) -> str:
    import unicodedata

    if sign in _WORDS:
        return _WORDS[sign]
    parts = unicodedata.normalize("NFKD", sign)
    bare = "".join(_WORDS.get(part, part) for part in parts if not unicodedata.combining(part))
    return bare if bare.isascii() and bare else sign.encode("ascii", "backslashreplace").decode()


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """What the encoding lacks, for ``codecs``."""
    assert isinstance(error, UnicodeEncodeError)
    return ascii_text(error.object[error.start : error.end]), error.end


codecs.register_error(_READABLE, _replaced)


def encodable(text: str) -> str:
    """``text`` with everything in ASCII that standard output cannot show. To be asked before text is set in columns."""
    return _encodable(text, getattr(sys.stdout, "encoding", None))


def _encodable(text: str, encoding: str | None) -> str:
    return text if text.isascii() or not encoding else text.encode(encoding, _READABLE).decode(encoding)


class Stream:
    """A text stream that shows everything in its encoding, and, if it is no terminal, no blanks at the ends of lines.

    name: what InputError calls it where it cannot be written; None: then nothing is said, for there is nowhere else to say it.
    Where nobody reads a stream with a name any more, the program ends with exit code ``CLOSED``.
    """

    def __init__(self, stream: IO[str], name: str | None) -> None:
        self._stream, self._name = stream, name
        self._strips, self._kept = not stream.isatty(), ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            # That is how typer finds out which streams take bytes.
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        shown = _encodable(text, self.encoding)
        if self._strips:
            shown = self._without_blanks(shown)
        self._tried(lambda: self._stream.write(shown))
        return len(text)

    def writelines(self, lines: Iterator[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self._tried(self._stream.flush)

    def _without_blanks(self, text: str) -> str:
        """What can be written now: blanks at the end wait for what follows them."""
        text = self._kept + text
        rest = text.rstrip(" \t")
        self._kept = text[len(rest) :]
        if "\x1b" in rest:
            head, newline, tail = rest.rpartition("\n")
            return _BLANKS.sub(lambda run: re.sub(r"[ \t]", "", run[0]), head) + newline + tail
        head, newline, tail = rest.rpartition("\n")
        return "\n".join(line.rstrip(" \t") for line in head.split("\n")) + newline + tail

    def _tried(self, what: Callable[[], object]) -> None:
        try:
            what()
        except OSError as error:
            self._discard()
            if self._name is None:
                return
            # Windows says of a closed pipe that the argument is invalid.
            if error.errno == errno.EPIPE or (os.name == "nt" and error.errno == errno.EINVAL):
                raise SystemExit(CLOSED) from None
            raise InputError(f"{self._name} cannot be written: {error.strerror}") from None

    def _discard(self) -> None:
        """Python writes at its end what could not be written now, and would complain of it."""
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


@contextmanager
def standard(*, ends: bool = True, as_json: bool = False) -> Iterator[None]:
    """Standard output and error as :class:`Stream` for a block; streams that are closed are there, and empty.

    ends: an exception that escapes the block ends the program, with ``FAULT`` where it is none of bad input. as_json: refusals
    are JSON.
    """
    before = sys.stdout, sys.stderr, sys.stdin
    with open(os.devnull, "w", encoding="utf-8") as nowhere, open(os.devnull, encoding="utf-8") as nothing:
        sys.stdout = cast(TextIO, Stream(before[0] or nowhere, "standard output"))
        sys.stderr = cast(TextIO, Stream(before[1] or nowhere, None))
        sys.stdin = before[2] or nothing
        try:
            with _ending(as_json) if ends else nullcontext():
                try:
                    yield
                finally:
                    # Now, not when Python ends, which would complain of a closed pipe.
                    sys.stdout.flush()
                    sys.stderr.flush()
        finally:
            sys.stdout, sys.stderr, sys.stdin = before


@contextmanager
def _ending(as_json: bool) -> Iterator[None]:
    """Exceptions as exit codes."""
    try:
        yield
    except InputError as error:
        refusals.show(refusals.plain(error), as_json=as_json)
        raise SystemExit(2) from None
    except Exception:
        traceback.print_exc()
        print("Error: this is a fault of the program: please report it with the lines above", file=sys.stderr)
        raise SystemExit(FAULT) from None
