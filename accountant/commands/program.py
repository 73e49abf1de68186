"""The program: its commands, and how it ends."""

from __future__ import annotations

from functools import partial
from typing import Any

import typer
from typer.core import TyperGroup

from accountant.commands import (
    audit,
    certify,
    check,
    compare,
    compare_steps,
    curve,
    epochs,
    plan,
    presets,
    reproduce,
    sigma,
    solve,
    stepping,
    streams,
    verify,
)
from accountant.commands.options import VersionOption, register, register_alone


class Commands(TyperGroup):
    """All commands, and the exit codes of every one: 1 is the verdict that its help tells of, and nothing else."""

    def main(self, *args: Any, **options: Any) -> Any:
        with streams.standard(ends=options.get("standalone_mode", True)):
            return super().main(*args, **options)

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
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    help="Certified unlearning by noisy SGD: how much noise, how many steps, what guarantee.",
    epilog="Example: accountant sigma --preset mnist --epsilon 1 --epochs 1",
)

for function, common in (
    (sigma.sigma, stepping.sigma),
    (sigma.epsilon, stepping.epsilon),
    (sigma.delta, stepping.delta),
    (epochs.epochs, stepping.steps),
    (epochs.steps, partial(stepping.steps, steps=True)),
    (curve.curve, stepping.curve),
    (plan.plan, stepping.plan),
):
    register(app, function, common=common)
register(app, compare.compare, needs="setup", common=compare_steps.compare)
register(app, verify.verify, needs=None)
register(app, solve.solve, needs=None)
register(app, certify.certify, common=certify.certify_steps)
for alone in (check.check, reproduce.reproduce, audit.audit, presets.presets):
    register_alone(app, alone)


@app.callback()
def _root(version: VersionOption = False) -> None:
    pass


def main() -> None:
    """Entry point of the ``accountant`` command."""
    app()
