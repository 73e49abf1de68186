"""The backend of any other trainer, as a command line: what it did is declared by the operator, and not checked.

    accountant ledger init --run "python finetune.py --steps {steps} --without {file}" --problem problem.toml ...

Words are split as a shell splits them, without one: no wildcards, variables, pipes. In each of them stand for

    {file}    rows to be removed, a number in each line, mode 0600; goes when the command has ended
    {steps}   noisy steps to be run
    {sigma}   the accountant's sigma, all digits
    {model}   a copy of the model before
    {output}  where the new model goes, one file

and {{ and }} for braces. The same stands in the environment, as ACCOUNTANT_FILE and so on, with ACCOUNTANT_REPORT: there the
command may write {"steps": 30}, and a run whose number is not the planned one has failed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import string
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from accountant.ledger.backends import Plan, Result, Row, RunFailedError
from accountant.ledger.declared import Declared
from accountant.ledger.exchange import Exchange
from accountant.ledger.settings import Settings
from accountant.numerics import InputError

#: What may stand in a command, and what must: without the steps and the rows it cannot do what was planned.
PLACES: Final = ("file", "steps", "sigma", "model", "output")
NEEDED: Final = ("file", "steps")
_WARDEN: Final = Path(__file__).with_name("warden.py")
#: Seconds in which a command that is killed is gone.
_PATIENCE: Final = 10.0


class CommandBackend(Declared):
    """Arguments beside those of the problem: ``run``, and ``refit``, the command lines."""

    name = "command"
    declared = True
    own = ("run", "refit")

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._words = parsed("run", settings.arguments.get("run"), needed=NEEDED)
        refit = settings.arguments.get("refit")
        self._refit = None if refit is None else parsed("refit", refit, needed=NEEDED[:1])
        self._exchange: Exchange | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def check(self) -> None:
        super().check()
        for name, words in (("run", self._words), ("refit", self._refit)):
            if words is not None and not self._found(words[0]):
                raise InputError(f"{name} must begin with a program that can be run, got {words[0]!r}")

    def run(self, plan: Plan, rows: Sequence[Row]) -> Result:
        model, steps = self._carried_out(self._words, plan, rows)
        return self.declared_result(model, plan, steps, "a command ran")

    def save(self, model: Exchange, path: Path) -> None:
        model.hand_over(path)
        self._exchange = None

    def stop(self) -> None:
        self._stopped = True
        process, exchange = self._process, self._exchange
        if process is not None:
            _end(process)
        if exchange is not None:
            exchange.close()

    def _carried_out(self, words: Sequence[str], plan: Plan, rows: Sequence[Row]) -> tuple[Exchange, int]:
        self._stopped = False
        with Exchange(self.settings.model_path, rows) as exchange:
            self._exchange = exchange
            told = {
                "file": os.fspath(exchange.file), "steps": str(plan.steps), "model": os.fspath(exchange.before),
                "sigma": "" if plan.sigma is None else repr(float(plan.sigma)), "output": os.fspath(exchange.output),
            }  # fmt: skip
            code = self._ended([word.format(**told) for word in words], {**told, "report": os.fspath(exchange.report)})
            if code:
                raise RunFailedError(f"the command ended with exit code {code}")
            return exchange, exchange.taken(None, plan.steps)

    def _ended(self, words: Sequence[str], told: Mapping[str, str]) -> int:
        """The exit code, when the command is done; what it says goes where this program's errors go."""
        environment = {**os.environ, **{f"ACCOUNTANT_{name.upper()}": value for name, value in told.items()}}
        program = [sys.executable, "-I", "-S", os.fspath(_WARDEN), *words]
        self._process = process = subprocess.Popen(
            program,
            stdin=subprocess.PIPE,
            stdout=_errors(),
            stderr=_errors(),
            env=environment,
            cwd=self.settings.model_path.parent,
            # Who interrupts this program from a terminal interrupts it, and not the one that tidies up.
            start_new_session=True,
        )
        try:
            # Where it was given up while it began.
            if self._stopped:
                _end(process)
            return process.wait()
        finally:
            _end(process)
            self._process = None

    def _found(self, program: str) -> bool:
        where = self.settings.model_path.parent
        return shutil.which(program if os.sep not in program else os.path.join(where, program)) is not None


class RefittingCommand(CommandBackend):
    """One that knows how to learn again."""

    def refit(self, plan: Plan, rows: Sequence[Row]) -> Result:
        assert self._refit is not None
        model, steps = self._carried_out(self._refit, plan, rows)
        return Result(
            model=model,
            steps=steps,
            statement="As declared, not checked: the model was learned again, from the start, on the rows that are left: "
            "nothing of the removed rows is in it.",
            assumptions=("that the command learned from the start, without the removed rows, is declared by the operator",),
        )


def command_backend(settings: Settings) -> CommandBackend:
    """The backend, which can learn again where the argument ``refit`` says how."""
    return (CommandBackend if settings.arguments.get("refit") is None else RefittingCommand)(settings)


def parsed(name: str, line: Any, *, needed: Sequence[str]) -> list[str]:
    """The words of a command line; InputError for one that is none, and for places that there are not.

    >>> parsed("run", "python 'my tune.py' --steps {steps} --without {file}", needed=NEEDED)
    ['python', 'my tune.py', '--steps', '{steps}', '--without', '{file}']
    """
    if not isinstance(line, str):
        raise InputError(f"{name} must be a command line, got {'nothing' if line is None else type(line).__name__}")
    try:
        words = shlex.split(line)
        found = [place for word in words for place in string.Formatter().parse(word) if place[1] is not None]
    except ValueError as error:
        raise InputError(f"{name} must be a command line, as a shell has them: {error}, got {line!r}") from None
    if not words or "\0" in line:
        raise InputError(f"{name} must be a command line, got {line!r}")
    for _, place, form, conversion in found:
        if place not in PLACES or form or conversion:
            known = ", ".join(f"{{{each}}}" for each in PLACES)
            raise InputError(f"{name} must have no places but {known} ({{{{ for a brace), got {{{place}}} in {line!r}")
    for place in needed:
        if place not in {each[1] for each in found}:
            raise InputError(f"{name} must say where {{{place}}} goes, got {line!r}")
    return words


def _end(process: subprocess.Popen[bytes]) -> None:
    """The pipe closes, so the warden ends the command; then nothing of both is left."""
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _errors() -> int:
    """Standard error of this process, whatever Python put in its place; nowhere where it is closed."""
    try:
        os.fstat(2)
    except OSError:
        return subprocess.DEVNULL
    return 2
