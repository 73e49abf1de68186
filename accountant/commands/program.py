"""The program: its commands, and how it ends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import typer
from typer._click.exceptions import ClickException, NoArgsIsHelpError
from typer.core import TyperGroup

from accountant.commands import origin, refusals, streams
from accountant.commands.options import Shared, VersionOption
from accountant.commands.registering import register, register_alone

if TYPE_CHECKING:
    from typer import _click as click


class Row(NamedTuple):
    """A command: the file and the function behind it, both called like the command unless said otherwise.

    common: file and function that run in its place for an algorithm whose steps both runs share. needs: as
    :func:`~accountant.commands.registering.register` has it. alone: it has none of the shared options.
    """

    file: str
    common: str | None = None
    needs: str | None = "accountant"
    alone: bool = False
    #: Whether epochs or steps must be given.
    length: bool = False
    #: Whether unknown options are arguments: of ``explain`` they are what is asked about.
    words: bool = False
    #: What ``common`` is given besides.
    given: Mapping[str, bool] = {}


#: In the order of the help.
COMMANDS: Final[dict[str, Row]] = {
    "init": Row("init", alone=True),
    "sigma": Row("sigma", "stepping.sigma", length=True),
    "epsilon": Row("sigma", "stepping.epsilon", length=True),
    "delta": Row("sigma", "stepping.delta", length=True),
    "epochs": Row("epochs", "stepping.steps"),
    "steps": Row("epochs", "stepping.steps", given={"steps": True}),
    "curve": Row("curve", "stepping.curve", length=True),
    "plan": Row("plan", "stepping.plan"),
    "tune": Row("tune", alone=True),
    "compare": Row("compare", "compare_steps.compare", needs="setup"),
    "removals": Row("removals", needs="setup"),
    "verify": Row("verify", needs=None),
    "solve": Row("solve", needs=None),
    "certify": Row("certify", "certify.certify_steps", length=True),
    "check": Row("check", alone=True),
    "reproduce": Row("reproduce", alone=True),
    "audit": Row("audit", alone=True),
    "presets": Row("presets", alone=True),
    "explain": Row("explain", alone=True, words=True),
    "doctor": Row("doctor", alone=True),
}
#: Commands of commands: what the help says of each, and those that it has.
GROUPS: Final[dict[str, tuple[str, dict[str, Row]]]] = {
    "ledger": (
        "The deletion service: requests, deadlines, runs, and an account of all of it that nobody changes unseen.",
        {
            "init": Row("ledger", alone=True),
            "add": Row("ledger", alone=True),
            "status": Row("ledger_shows", alone=True),
            "process": Row("ledger_runs", alone=True),
            "refit": Row("ledger_runs", alone=True),
            "refuse": Row("ledger", alone=True),
            "join": Row("ledger_joining", alone=True),
            "certify": Row("ledger_changes", alone=True),
            "rotate-key": Row("ledger_changes", alone=True),
            "report": Row("ledger_report", alone=True),
            "verify": Row("ledger_shows", alone=True),
            "entries": Row("ledger_shows", alone=True),
        },
    ),
}


def _function(file: str, name: str) -> Callable[..., None]:
    found: Callable[..., None] = getattr(import_module(f"accountant.commands.{file}"), name.replace("-", "_"))
    return found


def _run(common: str, given: Mapping[str, bool], shared: Shared, **options: Any) -> None:
    _function(*common.split("."))(shared, **options, **given)


#: Exit code of who is interrupted.
INTERRUPTED: Final = 130
#: How help is asked for.
_HELP: Final = {"help_option_names": ["-h", "--help"]}


class _Made(MutableMapping[str, "click.Command"]):
    """Commands by name, each made when it is asked for: one command waits for the imports of no other."""

    def __init__(self, rows: Mapping[str, Row], groups: Mapping[str, tuple[str, Mapping[str, Row]]]) -> None:
        self._made: dict[str, click.Command] = {}
        self._rows, self._groups = rows, groups

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._made:
            self._made[name] = _group(name, *self._groups[name]) if name in self._groups else _command(name, self._rows[name])
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._rows or name in self._groups

    def get(self, name: str, default: Any = None) -> Any:
        """As of any mapping, but that what fails while a command is made is no sign that there is none."""
        return self[name] if name in (*self._rows, *self._groups) else default

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter((*self._rows, *self._groups))

    def __len__(self) -> int:
        return len(self._rows) + len(self._groups)


def _group(name: str, help_: str, rows: Mapping[str, Row]) -> click.Command:
    group = TyperGroup(
        name=name, help=help_, no_args_is_help=True, rich_markup_mode=app.rich_markup_mode, context_settings=dict(_HELP)
    )
    group.commands = _Made(rows, {})
    return group


def _command(name: str, row: Row) -> click.Command:
    one, function = typer.Typer(), _function(row.file, name)
    if row.alone:
        register_alone(one, function)
    else:
        common = None if row.common is None else partial(_run, row.common, row.given)
        register(one, function, needs=row.needs, length=row.length, common=common)
    command = typer.main.get_command_from_info(
        one.registered_commands[0], pretty_exceptions_short=False, rich_markup_mode=app.rich_markup_mode
    )
    command.context_settings["ignore_unknown_options"] = row.words
    return command


class Commands(TyperGroup):
    """All commands, and the exit codes of every one: 1 is the verdict that its help tells of, and nothing else."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Made(COMMANDS, GROUPS)

    def make_context(self, info_name: str | None, args: list[str], *more: Any, **options: Any) -> Any:
        # What reports say of where they come from.
        origin.TYPED.set(tuple(args))
        return super().make_context(info_name, args, *more, **options)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        words = list(sys.argv[1:] if args is None else args)
        with streams.standard(ends=standalone_mode, as_json=refusals.wants_json(words)):
            try:
                code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
            except ClickException as error:
                if not standalone_mode:
                    raise
                # The help has been printed in its place.
                if not isinstance(error, NoArgsIsHelpError):
                    refusals.show(refusals.of_usage(error), as_json=refusals.wants_json(words))
                code = error.exit_code
            except typer.Abort:
                # Interrupted at a question.
                if not standalone_mode:
                    raise
                code = INTERRUPTED
            if not standalone_mode:
                return code
            sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (EOFError, OSError) as error:
            # typer would end with 1, and without a word, for some of these.
            raise RuntimeError("an error of reading or writing that no command expected") from error


app = typer.Typer(
    name="accountant",
    cls=Commands,
    no_args_is_help=True,
    context_settings=dict(_HELP),
    pretty_exceptions_enable=False,
    help="Certified unlearning by noisy SGD: how much noise, how many steps, what guarantee.",
    epilog="Example: accountant sigma --preset mnist --epsilon 1 --epochs 1",
)


@app.callback()
def _root(version: VersionOption = False) -> None:
    pass


def main() -> None:
    """Entry point of the ``accountant`` command."""
    app()
