"""The backend of any other trainer, as a Python function: what it did is declared by the operator, and not checked.

    def unlearn(*, model: Path, output: Path, rows: list[int], steps: int, sigma: float) -> int | None: ...

named ``module:function``; the module is looked for beside the model, too. It reads the model before from ``model``, a copy,
takes ``steps`` noisy steps without ``rows``, and writes the new model to ``output``, one file. It may return its steps: a run
whose number is not the planned one has failed. After a time-out nobody can end it; what it makes then goes nowhere.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from accountant.ledger.backends import Plan, Result, Row
from accountant.ledger.declared import Declared
from accountant.ledger.exchange import Exchange
from accountant.ledger.settings import Settings
from accountant.numerics import InputError


class EntryBackend(Declared):
    """Argument beside those of the problem: ``call``, as module:function."""

    name = "python"
    declared = True
    own = ("call",)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._call = entry_point(settings.arguments.get("call"), settings.model_path.parent)
        self._exchange: Exchange | None = None

    def run(self, plan: Plan, rows: Sequence[Row]) -> Result:
        with Exchange(self.settings.model_path, rows) as exchange:
            self._exchange = exchange
            said = self._call(
                model=exchange.before, output=exchange.output, rows=list(rows), steps=plan.steps, sigma=plan.sigma
            )
            steps = exchange.taken(said, plan.steps)
        return self.declared_result(exchange, plan, steps, "a function ran")

    def save(self, model: Exchange, path: Path) -> None:
        model.hand_over(path)

    def stop(self) -> None:
        if self._exchange is not None:
            self._exchange.close()


def entry_point(name: object, folder: Path) -> Callable[..., Any]:
    """The function that ``module:function`` names; InputError where there is none. folder: where modules are found, too."""
    if not isinstance(name, str) or len(name.split(":")) != 2 or not all(name.split(":")):
        got = "nothing" if name is None else repr(name)
        raise InputError(f"call must be module:function, got {got}")
    module, function = name.split(":")
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    try:
        found = getattr(import_module(module), function)
    except AttributeError:
        raise InputError(f"call must name a function of the module, got {name!r}") from None
    except Exception as error:
        # Whatever the module does when it is imported.
        raise InputError(f"call must name a module that can be imported, got {name!r}: {error}") from None
    if not callable(found):
        raise InputError(f"call must name a function, got {name!r}, which is {type(found).__name__}")
    made: Callable[..., Any] = found
    return made
