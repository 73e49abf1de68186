"""Every command on every terminal: readable in its encoding, no digit lost from 40 columns on, exit codes of one meaning."""

from __future__ import annotations

import codecs
import contextlib
import errno
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from screens import text_lines
from typer.testing import CliRunner

from accountant.commands import layout, streams
from accountant.commands.program import COMMANDS, GROUPS, app
from accountant.numerics import digits

#: As most people's, whatever this one is: what is printed waits in a buffer.
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
MAIN = (sys.executable, "-c", "from accountant.commands import main; main()")
MNIST = ("--preset", "mnist", "--batch-size", "128")
FULL = ("--preset", "mnist", "--batch-size", "full", "--sigma", "0.03", "--epsilon", "1")
SMALL = ("--n", "97", "--smoothness", "1.7654321e-05", "--strong-convexity", "3.456789e-06", "--lipschitz", "1234567.891")
#: Columns and words that ASCII lacks, rows with every verdict, and numbers as long as they get.
TABLE = (
    "method,n,L,m,b,σ,K,ε,δ,Größe\n"
    "optimal,11264,0.261264,0.011264,128,0.00287,1,1,1e-5,\n"
    "optimal,11264,0.261264,0.011264,128,0.00001234567,1,1.234567e-06,1e-5,\n"
    "paper,11264,0.261264,0.011264,128,0.0028,1,1,1e-5,\n"
    "paper-geometric,11264,0.261264,0.011264,128,123456.7,100,1e-09,1e-299,\n"
    "d2d,11264,0.261264,0.011264,full,6.2,1,1,1e-5,\n"
)
STREAM = "preset,list,request,b,σ,K,ε\n" + "".join(
    f"mnist,Größe 123456 × 7 – 中文,{number},{size},0.03,{epochs},1\n"
    for size in ("full", "128")
    for number, epochs in ((1, 1), (2, 40), (3, 0))
)
#: Calls of every command, by name.
CALLS: dict[str, tuple[str, ...]] = {
    "sigma": ("sigma", *MNIST, "--epsilon", "1", "--epochs", "1"),
    "sigma small": ("sigma", *SMALL, "--epsilon", "1.23456789e-05", "--delta", "1e-299", "--steps", "12345"),
    "sigma digits": ("sigma", *MNIST, "--epsilon", "1", "--epochs", "1", "--precision", "120"),
    "epsilon": ("epsilon", *MNIST, "--sigma", "1.2345678e-05", "--steps", "3", "--radius", "12.5"),
    "delta": ("delta", *MNIST, "--sigma", "0.00123456", "--epsilon", "0.5", "--epochs", "1", "--group-size", "3"),
    "epochs": ("epochs", *MNIST, "--sigma", "0.0001", "--epsilon", "1", "--precision", "20"),
    "curve": ("curve", *MNIST, "--sigma", "0.001", "--epochs", "1", "--from", "1e-290", "--grid", "5"),
    "curve alpha": ("curve", *MNIST, "--sigma", "0.001", "--epochs", "1", "--over", "alpha", "--grid", "5"),
    "curve digits": ("curve", *MNIST, "--sigma", "0.001", "--epochs", "1", "--grid", "3", "--precision", "90"),
    "plan": ("plan", *FULL, "--requests", "40"),
    "plan dates": ("plan", *FULL, "--requests", "times.csv", "--window", "2d", "--deadline", "9d", "--batches", "worst"),
    "plan digits": ("plan", *FULL, "--requests", "3", "--precision", "30", "--batches", "worst"),
    "tune": ("tune", "--n", "900", "--epsilon", "1", "--requests", "20/week", "--for", "9w", "--window", "4w", "--share", ".1"),
    "compare": ("compare", *MNIST, "--epsilon", "1", "--requests", "0"),
    "compare streams": ("compare", *MNIST, "--epsilon", "1", "--requests", "5", "--group-size", "12", "--method", "optimal"),
    "compare digits": ("compare", *MNIST, "--epsilon", "1", "--requests", "0", "--method", "optimal", "--precision", "50"),
    "verify": ("verify", "table.csv"),
    "verify all": ("verify", "table.csv", "--all", "--precision", "30"),
    "verify stream": ("verify", "stream.csv", "--all"),
    "verify markdown": ("verify", "stream.csv", "--markdown"),
    "certify": ("certify", *FULL, "--epochs", "1"),
    "certify file": ("certify", *FULL, "--epochs", "1", "-o", "σ[bold] [i]1.json"),
    "check": ("check", "certificate.json"),
    "presets": ("presets",),
    "reproduce": ("reproduce", "table3"),
    "reproduce figure": ("reproduce", "figure2", "--all"),
    "audit": ("audit", "--instance", "gaussian", "--trials", "200", "--seed", "1"),
}
JSON = [name for name in CALLS if name not in ("verify markdown", "certify")]
ENCODINGS = ("ascii", "cp1252", "latin-1", "utf-8", "cp437", "koi8-r", "shift_jis", "utf-16")
WIDTHS = (40, 47, 60, 72, 80, 200)
#: Each width and each encoding once.
PAIRS = [(40, "ascii"), (47, "koi8-r"), (60, "cp1252"), (72, "shift_jis"), (80, "latin-1"), (200, "utf-8")]
#: Longer words may be broken between lines: no number is, but those that were asked for.
LONG = 24


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table.csv").write_text(TABLE, encoding="utf-8")
    (tmp_path / "stream.csv").write_text(STREAM, encoding="utf-8")
    days = "".join(f"2024-01-{day:02d}T{7 * day % 24:02d}:30,{1 + day % 3}\n" for day in range(1, 31))
    (tmp_path / "times.csv").write_text("time,points\n" + days)
    return tmp_path


def run(words: tuple[str, ...], *, width: int = 80, encoding: str = "utf-8") -> Any:
    if words[0] == "check" and not Path("certificate.json").exists():
        assert run((*CALLS["certify"], "-o", "certificate.json")).exit_code == 0
    runner = CliRunner(charset=encoding, env={"COLUMNS": str(width)})
    return runner.invoke(app, list(words))


def needed(name: str) -> tuple[str, ...]:
    """The call of that name, if what it needs is there."""
    if name.split()[0] in ("certify", "check"):
        pytest.importorskip("flint")
    return CALLS[name]


def numbers(text: str) -> Counter[str]:
    """The words of a text that have digits in them, without the signs around them."""
    words = (word.strip(".,:;()'\"=~+-/_") for word in text.split())
    # But when a certificate was made, and its digest, which hangs on that.
    return Counter(word for word in words if re.search(r"\d", word) and not re.search('sha256|"time"', word))


@pytest.fixture(scope="module")
def whole() -> dict[str, str]:
    """What every call prints where there is room for all of it, in ASCII."""
    return {}


def reference(name: str, whole: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    if name not in whole:
        with monkeypatch.context() as patch:
            patch.setattr(layout, "WIDTH", 2000)
            result = run(needed(name), width=2000)
        assert result.exit_code in (0, 1), result.output
        whole[name] = streams.ascii_text(result.stdout)
    return whole[name]


def check_screen(name: str, width: int, encoding: str, whole: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    text = reference(name, whole, monkeypatch)
    result = run(needed(name), width=width, encoding=encoding)
    assert result.exit_code == (1 if name in ("verify", "verify all", "verify stream", "verify markdown") else 0), result.output
    assert result.stdout.encode(encoding)
    assert not re.search(r"[ \t]$", result.stdout, flags=re.MULTILINE)
    assert "…" not in result.stdout
    shown = streams.ascii_text(result.stdout)
    if name not in ("verify markdown", "certify", "check"):
        from rich.cells import cell_len

        assert max(map(cell_len, text_lines(result.stdout))) <= min(width, 80)
    expected, found = numbers(text), numbers(shown)
    lost = {word: count for word, count in expected.items() if found[word] < count and len(word) <= LONG}
    assert lost == {}, shown
    together = "".join(shown.split())
    assert [word for word in expected if len(word) > LONG and word not in together] == []


@pytest.mark.parametrize(("width", "encoding"), PAIRS)
@pytest.mark.parametrize("name", CALLS)
def test_no_digit_is_lost_on_any_screen(
    name: str, width: int, encoding: str, whole: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    check_screen(name, width, encoding, whole, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_no_digit_is_lost_in_all_encodings_and_widths(
    name: str, whole: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = {*itertools.product((40, 80), ENCODINGS), *itertools.product((*WIDTHS, *range(41, 80, 3)), ("cp1252",))}
    for width, encoding in sorted(pairs):
        check_screen(name, width, encoding, whole, monkeypatch)


@pytest.mark.parametrize("name", JSON)
def test_json_is_ascii_and_the_same_everywhere(name: str) -> None:
    made = {run((*needed(name), "--json"), encoding=encoding).stdout_bytes for encoding in ("utf-8", "ascii", "cp1252")}
    first = made.pop()
    assert first.isascii()
    assert json.loads(first)["command"] == name.split()[0]
    # A certificate says when it was made.
    assert not made or name == "certify file"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_programs_of_their_own_in_every_encoding(encoding: str, folder: Path) -> None:
    """What a shell sees: the exit code is the verdict's, and the bytes are text of that encoding."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "60"}
    for words in (
        ("verify", "table.csv"),
        ("verify", "stream.csv", "--markdown"),
        ("verify", "table.csv", "--json"),
        ("--help",),
    ):
        done = subprocess.run([*MAIN, *words], capture_output=True, env=environment, check=False)
        assert done.returncode == (0 if words == ("--help",) else 1), done.stderr
        assert done.stderr == b""
        text = done.stdout.decode(encoding)
        assert "Traceback" not in text
        if words[-1] == "table.csv":
            assert "sigma" in text
        if words[-1] == "--json":
            json.loads(text)
    page = folder / "page.html"
    subprocess.run([*MAIN, "verify", "stream.csv", "--html", str(page)], capture_output=True, env=environment, check=False)
    assert "Größe 123456 × 7 – 中文" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", WIDTHS)
def test_help_is_shown_everywhere(width: int) -> None:
    groups = [(group, *names) for group, (_, rows) in GROUPS.items() for names in ((), *((name,) for name in rows))]
    for words in ((), *((command,) for command in COMMANDS), *groups):
        result = run((*words, "--help"), width=width, encoding="cp1252")
        assert result.exit_code == 0
        assert not re.search(r"[ \t]$", result.stdout, flags=re.MULTILINE)


def test_what_an_encoding_lacks_is_said_in_ascii() -> None:
    for text, said in (
        ("ε ≤ 1 ± 0.5", "epsilon <= 1 +/- 0.5"),
        ("2.9×10⁻³ − 1", "2.9x10^-3 - 1"),
        ("10⁻¹²", "10^-12"),
        ("x₁₂ µ μ 𝜎", "x_12 mu mu sigma"),
        ("Größe café Łódź", "Grosse cafe Lodz"),
        ("“a” … — ‘b’", "\"a\" ... - 'b'"),
        ("中\udcff", r"\u4e2d\udcff"),
        ("½ ١ １", r"1/2 \u0661 1"),
        ("a\u00a0b\u200bc", "a bc"),
    ):
        assert streams.ascii_text(text) == said
        assert text.encode("ascii", "accountant.readable").decode() == said
    # What an encoding has it keeps.
    assert "µ ± é σ".encode("latin-1", "accountant.readable").decode("latin-1") == "µ ± é sigma"
    for name in ENCODINGS:
        everything = "".join(chr(code) for code in range(32, 0x2FFF))
        assert codecs.decode(everything.encode(name, "accountant.readable"), name)


def test_blanks_at_the_ends_of_lines_go_whatever_the_pieces() -> None:
    import io

    text = "a  \n  b \t\n\n   \nc   \n d  e   "
    for size in (1, 2, 3, 5, 100):
        inner = io.StringIO()
        stream = streams.Stream(inner, "standard output")
        for at in range(0, len(text), size):
            assert stream.write(text[at : at + size]) == len(text[at : at + size])
        stream.flush()
        assert inner.getvalue() == "a\n  b\n\n\nc\n d  e"
    stream.write("f \x1b[1m  \x1b[0m \ng")
    assert inner.getvalue().endswith("   f\x1b[1m\x1b[0m\ng")


def test_a_terminal_gets_what_was_written() -> None:
    class Terminal(list[str]):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> None:
            self.append(text)

    made = Terminal()
    stream = streams.Stream(made, "standard output")  # type: ignore[arg-type]
    stream.write("a  \n")
    assert made == ["a  \n"]


@pytest.mark.skipif(os.name == "nt", reason="other terminals")
@pytest.mark.parametrize("kind", ["xterm-256color", "dumb", "unknown"])
@pytest.mark.parametrize("columns", [40, 60])
def test_a_real_terminal_of_few_columns(kind: str, columns: int, folder: Path) -> None:
    import fcntl
    import pty
    import struct
    import termios

    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"TERM": kind}
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(
        [*MAIN, "verify", "table.csv"], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        shown = b""
        # Linux says of the end of a terminal that it is an error.
        with contextlib.suppress(OSError):
            while piece := os.read(ours, 1 << 16):
                shown += piece
    os.close(ours)
    assert process.returncode == 1
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).replace("\r", "")
    assert max(map(len, text.splitlines())) <= columns
    assert "1.23457e-06" in text
    assert "Größe" in text


#: Words of a call, what comes back where nothing is read.
CLOSED = [
    ("verify", "table.csv"),
    ("verify", "table.csv", "--json"),
    ("verify", "table.csv", "--markdown"),
    ("sigma", *MNIST, "--epsilon", "1", "--epochs", "1"),
    ("sigma", *MNIST, "--epsilon", "1", "--epochs", "1", "--json"),
    ("presets",),
    ("--help",),
    ("--version",),
    ("verify", "--help"),
]


@pytest.mark.skipif(os.name == "nt", reason="other pipes")
@pytest.mark.parametrize("words", CLOSED, ids=" ".join)
def test_a_closed_pipe_is_no_verdict(words: tuple[str, ...], folder: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*MAIN, *words], stdout=write, stderr=subprocess.PIPE, text=True, check=False, env=BUFFERED)
    os.close(write)
    assert done.returncode == streams.CLOSED == 128 + signal.SIGPIPE
    assert done.stderr == ""


@pytest.mark.skipif(os.name == "nt", reason="other pipes")
def test_a_closed_pipe_in_the_middle_leaves_no_file(folder: Path) -> None:
    row = TABLE.splitlines()[1]
    (folder / "long.csv").write_text(TABLE + f"{row}\n" * 4000, encoding="utf-8")
    for more in (("--json",), ("--markdown",), ("--json", "-o", "page.html")):
        words = [*MAIN, "verify", "long.csv", *more]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=BUFFERED) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.read(50)
            process.stdout.close()
            said = process.stderr.read()
        assert (process.returncode, said) == (streams.CLOSED, b"")
    assert not (folder / "page.html").exists()
    assert not list(folder.glob(".*"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("words", CLOSED, ids=" ".join)
def test_a_full_disk_is_exit_code_2(words: tuple[str, ...], folder: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*MAIN, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=BUFFERED)
    assert done.returncode == 2
    said = json.loads(done.stderr)["error"]["message"] if "--json" in words else done.stderr.removeprefix("Error: ").strip()
    assert said == "standard output cannot be written: No space left on device"


@pytest.mark.skipif(os.name == "nt", reason="another shell")
def test_without_standard_streams_the_exit_code_stays(folder: Path) -> None:
    for redirected, words, code in (
        (">&-", "verify table.csv", 1),
        (">&- 2>&-", "verify table.csv --json", 1),
        (">&-", "presets", 0),
        ("2>&-", "sigma --epsilon 1", 2),
        ("2>/dev/full", "sigma --preset mnist --epsilon -1 --epochs 1", 2),
        ("<&-", "verify -", 2),
    ):
        program = f"{sys.executable} -c '{MAIN[2]}' {words} {redirected}"
        done = subprocess.run(["sh", "-c", program], capture_output=True, text=True, check=False, env=BUFFERED)
        assert done.returncode == code, (redirected, words, done.stderr)
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("odd"), KeyError("odd"), OSError(errno.EPIPE, "a pipe of a process"), BrokenPipeError(), EOFError(),
        MemoryError(), RecursionError(), UnicodeEncodeError("ascii", "é", 0, 1, "odd"), AssertionError(), ZeroDivisionError(),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_a_fault_of_the_program_is_no_verdict(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise error

    monkeypatch.setattr(layout, "console", fails)
    for words in (("presets",), ("verify", "table.csv"), CALLS["sigma"]):
        result = run(words)
        assert result.exit_code == streams.FAULT == 3
        assert "Error: this is a fault of the program: please report it" in result.stderr
        assert type(error).__name__ in result.stderr


def test_an_interruption_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(layout, "console", interrupted)
    assert run(("presets",)).exit_code == 130


def test_embedded_calls_keep_their_exceptions_and_streams() -> None:
    before = sys.stdout, sys.stderr
    with pytest.raises(Exception, match="No such command"):
        app(["nothing"], standalone_mode=False)
    with pytest.raises(SystemExit):
        app(["nothing"])
    assert (sys.stdout, sys.stderr) == before


def test_no_command_writes_json_of_its_own_kind() -> None:
    for path in Path(layout.__file__).parent.glob("*.py"):
        assert "ensure_ascii" not in path.read_text(encoding="utf-8"), path.name


def test_more_than_is_needed_is_said_to_hold() -> None:
    text = "preset,method,b,sigma,K,eps\nmnist,optimal,full,0.1,1,1\n"
    Path("more.csv").write_text(text)
    assert json.loads(run(("verify", "more.csv", "--json")).stdout)["rows"][0]["verdict"] == "wasteful"
    factor = json.loads(run(("verify", "more.csv", "--json")).stdout)["rows"][0]["factor"]
    times = digits(factor, 3, down=True)
    for words in (("--markdown",), ("--html", "more.html"), ()):
        said = run(("verify", "more.csv", *words)).stdout
        shown = Path("more.html").read_text(encoding="utf-8") if "--html" in words else said
        assert "wasteful" not in re.sub('class="wasteful"|\\.wasteful', "", shown)
        if "--html" in words:
            assert f"{times} times less" in shown
        elif words:
            assert f"certified, {times} times more noise than needed" in shown
        assert "1 certified (with more noise or epochs than needed)" in shown
    assert f"{times} x" in said
    assert "n times more noise" in said


def test_names_in_tables_are_text_and_no_markup() -> None:
    pytest.importorskip("flint")
    said = run((*CALLS["certify"], "-o", "a[bold]b [i]:smile:.json")).stdout
    assert "a[bold]b [i]:smile:.json" in " ".join(said.split())
