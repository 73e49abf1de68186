"""The command line: one file per command, shared options, presentation. Only this package prints."""

from __future__ import annotations

import os
import sys

import typer

from accountant.commands import (
    audit,
    certify,
    check,
    compare,
    curve,
    epochs,
    plan,
    presets,
    reproduce,
    sigma,
    verify,
)
from accountant.commands.options import VersionOption, register

app = typer.Typer(
    name="accountant",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    help="Certified unlearning by noisy SGD: how much noise, how many steps, what guarantee.",
    epilog="Example: accountant sigma --preset mnist --epsilon 1 --epochs 1",
)

for function in (sigma.sigma, sigma.epsilon, sigma.delta, epochs.epochs, curve.curve, plan.plan):
    register(app, function)
register(app, compare.compare, needs="setup")
register(app, verify.verify, needs=None)
register(app, certify.certify)
app.command()(check.check)
app.command()(reproduce.reproduce)
app.command()(audit.audit)
app.command()(presets.presets)


@app.callback()
def _root(version: VersionOption = False) -> None:
    pass


def main() -> None:
    """Entry point of the ``accountant`` command."""
    try:
        app()
    except OSError as error:
        # Standard output is gone or full: nothing can be shown, and a traceback would not help.
        print(f"Error: the output cannot be written: {error.strerror}", file=sys.stderr)
        os._exit(1)
