"""A command as it is called: old names of its options, --help and --help-all, and how it refuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import typer
from typer._click.exceptions import UsageError
from typer.core import TyperCommand, TyperOption

from accountant.commands import refusals, renamed
from accountant.commands.choices import EXPERTS
from accountant.numerics import InputError

if TYPE_CHECKING:
    from typer import _click as click

#: Where a call keeps its words.
_WORDS: Final = "accountant.words"


class Command(TyperCommand):
    """A command that knows old names of its options, keeps those for experts to itself, and refuses in one sentence.

    Its callback has ``old_names``, the parameter that each old name is, and ``going``, what is to be written instead of
    parameters that are to go.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        callback = cast(Any, self.callback)
        by_name = {each.name: each for each in self.get_params(ctx)}
        new = {old: max(by_name[name].opts, key=len) for old, name in callback.old_names.items()}
        takes = {name for each in self.params if not getattr(each, "is_flag", False) for name in each.opts}
        takes |= {old for old, name in new.items() if name in takes}
        args, old = renamed.renewed(args, new, takes)
        as_json = refusals.wants_json(args)
        for name in old:
            renamed.note(name, new[name], as_json=as_json)
        ctx.meta[_WORDS] = list(args)
        try:
            return super().parse_args(ctx, list(args))
        except UsageError as error:
            # For what says all that is missing at once, and what the call was.
            error.ctx = error.ctx or ctx
            error.words = ctx.meta[_WORDS]  # type: ignore[attr-defined]
            raise

    def invoke(self, ctx: click.Context) -> Any:
        names = {each.name or "": max(each.opts, key=len) for each in self.params}
        renamed.notes(cast(Any, self.callback).going, ctx.params, names)
        try:
            return super().invoke(ctx)
        except refusals.StoppedError as stopped:
            refusals.show(refusals.Refusal(stopped.sentence), as_json=refusals.wants_json(ctx.meta[_WORDS]))
            raise typer.Exit(stopped.code) from None
        except InputError as error:
            words = ctx.meta[_WORDS]
            refusals.show(refusals.of_input(error, ctx, words), as_json=refusals.wants_json(words))
            raise typer.Exit(2) from None

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        made = super().get_params(ctx)
        if not self._for_experts():
            return made
        return [*made, _help_all()]

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with self._hidden(ctx.meta.get(_ALL, False), ctx.command_path):
            super().format_help(ctx, formatter)

    def _for_experts(self) -> list[TyperOption]:
        options = [each for each in self.params if isinstance(each, TyperOption) and not each.hidden]
        return [each for each in options if (each.rich_help_panel or "").startswith(EXPERTS)]

    @contextmanager
    def _hidden(self, all_: bool, path: str) -> Iterator[None]:
        """Without the options for experts, but a line that tells of them."""
        experts, epilog = [] if all_ else self._for_experts(), self.epilog
        try:
            for each in experts:
                each.hidden = True
            if experts:
                self.epilog = f"{len(experts)} more options, for experts: {path} --help-all"
            yield
        finally:
            self.epilog = epilog
            for each in experts:
                each.hidden = False


_ALL: Final = "accountant.help_all"


def _help_all() -> TyperOption:
    def show(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            ctx.meta[_ALL] = True
            print(ctx.get_help())
            raise typer.Exit

    return TyperOption(
        param_decls=["--help-all"], is_flag=True, is_eager=True, expose_value=False, callback=show,
        help="Show the options for experts, too, and exit.",
    )  # fmt: skip


def marked(function: Any, old_names: Mapping[str, str], going: Mapping[str, str]) -> None:
    """What :class:`Command` reads from its callback."""
    function.old_names, function.going = dict(old_names), dict(going)
