"""What stands in a file: unpacked, its encoding found, in lines of a bounded length."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, Final, cast

from accountant.numerics import InputError

#: The longest line that is read; a table has none that long.
MAX_LINE: Final = 1 << 20
#: The most bytes of a file that is held at once, unpacked: what is read line by line has no limit.
_MOST: Final = 1 << 28
_CHUNK: Final = 1 << 20
#: Bytes looked at to tell what a file is.
_PEEK: Final = 4096
_PACKED: Final = {".gz": b"\x1f\x8b", ".bz2": b"BZh", ".xz": b"\xfd7zXZ\x00"}
#: Beginnings of files that are no text, and the format that they are.
_MAGIC: Final = {
    b"PAR1": "parquet",
    b"\xd0\xcf\x11\xe0": "excel",
    b"\x89PNG": "",
    b"%PDF": "",
    b"GIF8": "",
    b"\xff\xd8\xff": "",
}
_MARKS: Final = {
    codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip


def broken() -> tuple[type[Exception], ...]:
    """What is raised, beside OSError, at what cannot be unpacked: damaged, cut off, encrypted."""
    from lzma import LZMAError
    from zipfile import BadZipFile
    from zlib import error as zlib_error

    return BadZipFile, LZMAError, zlib_error, EOFError, RuntimeError


class Opened:
    """A file that may be packed (gzip, bzip2, xz, or alone in a zip), as bytes or as lines of text.

    notes: what was found out about it that a reader should know. InputError where it cannot be read.
    """

    def __init__(self, path: Path, name: str, what: str = "table") -> None:
        self.path, self.name = path, name
        #: How refusals call it.
        self.title = f"{what} {name}"
        self.notes: list[str] = []
        #: The name without the ending of what packs it.
        self.inner = Path(name)
        self._open: Callable[[], IO[bytes]] = lambda: open(path, "rb")  # noqa: SIM115 (its user closes it)
        self.head = self._peek()
        self._unpack()
        #: The format where the file is no text, "" for an unknown one; None: text.
        self.binary = self._binary()

    def _peek(self) -> bytes:
        with self.opened() as file:
            return self._read(file, _PEEK)

    def opened(self) -> IO[bytes]:
        """The file, unpacked, opened."""
        with self._reading():
            return self._open()

    def content(self) -> bytes:
        """All of it, where it is not too much."""
        with self.opened() as file:
            data = self._read(file, _MOST + 1)
        if len(data) > _MOST:
            raise InputError(f"{self.title} must have at most {_MOST >> 20} MB in this format: write it as CSV")
        return data

    def _read(self, file: IO[bytes], size: int) -> bytes:
        with self._reading():
            return file.read(size)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """InputError for all that goes wrong where the file is read or unpacked."""
        try:
            yield
        except broken() as error:
            raise InputError(f"{self.title} cannot be unpacked: {error}") from None
        except OSError as error:
            raise InputError(f"{self.title} cannot be read: {error.strerror or error}") from None

    def _unpack(self) -> None:
        import bz2
        import gzip
        import lzma

        openers: dict[str, Callable[[], IO[bytes]]] = {
            ".gz": lambda: cast(IO[bytes], gzip.open(self.path, "rb")),  # noqa: SIM115
            ".bz2": lambda: bz2.open(self.path, "rb"),  # noqa: SIM115
            ".xz": lambda: lzma.open(self.path, "rb"),  # noqa: SIM115
        }
        for ending, magic in _PACKED.items():
            if self.head.startswith(magic):
                self._open = openers[ending]
                self.inner = Path(self.name.removesuffix(ending))
                self.head = self._peek()
                return
        if self.head.startswith(b"PK\x03\x04"):
            self._unzip()

    def _unzip(self) -> None:
        from zipfile import ZipFile

        with self._reading(), ZipFile(self.path) as packed:
            names = [name for name in packed.namelist() if not name.endswith("/") and not name.startswith("__MACOSX")]
        if "[Content_Types].xml" in names or "mimetype" in names:
            return
        if len(names) != 1:
            raise InputError(f"{self.title} must be one file in the zip, got {len(names)}: {', '.join(names[:5])}")
        self._open = lambda: ZipFile(self.path).open(names[0])  # noqa: SIM115
        self.inner = Path(names[0])
        self.notes.append(f"read from the zip: {names[0]}")
        self.head = self._peek()

    def _binary(self) -> str | None:
        if self.head.startswith(b"PK\x03\x04"):
            return "excel"
        return next((kind for magic, kind in _MAGIC.items() if self.head.startswith(magic)), None)

    @cached_property
    def encoding(self) -> str:
        """UTF-8 where the bytes are that, what a mark says, and otherwise cp1252, which Western Windows writes."""
        for mark, name in _MARKS.items():
            if self.head.startswith(mark):
                if "16" in name or "32" in name:
                    self.notes.append(f"read as {name.upper()}, as its first bytes say")
                return name
        half = len(self.head) // 2
        for at, name in ((0, "utf-16-be"), (1, "utf-16-le")):
            if half and self.head[at::2].count(0) > 0.4 * half and 0 not in self.head[1 - at :: 2]:
                self.notes.append(f"read as {name.upper()}, which every other byte is zero in")
                return name
        refused = self._refused("utf-8")
        if refused is None:
            return "utf-8"
        where = self._refused("cp1252")
        if where is not None or 0 in self.head:
            raise InputError(f"{self.title} must be text in UTF-8, got bytes that are none ({refused}): save it as UTF-8")
        self.notes.append(f"read as cp1252 (Western Windows), because it is not UTF-8 ({refused})")
        return "cp1252"

    def _refused(self, encoding: str) -> str | None:
        """The first place where the file is not of this encoding; None where it is."""
        decoder = codecs.getincrementaldecoder(encoding)()
        lines = 0
        with closing(self.opened()) as file:
            while True:
                data = self._read(file, _CHUNK)
                try:
                    lines += decoder.decode(data, final=not data).count("\n")
                except UnicodeDecodeError as error:
                    return f"byte 0x{error.object[error.start]:02x} in line {lines + error.object[: error.start].count(10) + 1}"
                if not data:
                    return None

    def lines(self) -> Iterator[str]:
        """Lines of a bounded length, with their ends."""
        import io

        with self._reading(), closing(self.opened()) as raw, io.TextIOWrapper(raw, self.encoding, newline="") as file:
            count = 0
            while True:
                try:
                    line = file.readline(MAX_LINE + 1)
                except UnicodeDecodeError as error:
                    raise InputError(f"{self.title} must be text in UTF-8, but after line {count}: {error}") from None
                if not line:
                    return
                count += 1
                if len(line) > MAX_LINE:
                    raise self.refusal(count, f"a line must have at most {MAX_LINE} characters: this is no table")
                if "\0" in line:
                    raise self.refusal(count, "a table must be text in UTF-8, got a zero byte")
                yield line

    def text(self) -> str:
        """All of it as text."""
        try:
            text = self.content().decode(self.encoding)
        except UnicodeDecodeError as error:
            raise InputError(f"{self.title} must be text in UTF-8: {error}") from None
        if "\0" in text:
            raise InputError(f"{self.title} must be text in UTF-8, got a zero byte")
        return text

    def chosen(self, which: int, count: int, where: str) -> list[str]:
        """What to say of the table of that number, from 1, among ``count``; InputError where there are not so many."""
        if which > count:
            raise InputError(f"sheet must be a number from 1 to {count}, the tables of {self.name}, got {which}")
        return [] if count == 1 else [f"table {which} of {count} in the {where} (--sheet NUMBER for another)"]

    def refusal(self, line: int, reason: str) -> InputError:
        """What is wrong in a line; 0: in one of a format without lines."""
        return InputError(f"{self.title}, line {line}: {reason}" if line else f"{self.title}: {reason}")


def needs(title: str, what: str) -> InputError:
    """The refusal of a format whose reader is not installed."""
    return InputError(f"{title} is {what}, which is read by the extra tables: pip install 'unlearning-accountant[tables]'")
