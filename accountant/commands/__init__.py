"""The command line: one file per command, shared options, presentation. Only this room prints."""

from typing import TYPE_CHECKING

from accountant.numerics import face

if TYPE_CHECKING:
    from accountant.commands.program import *
else:
    __getattr__, __all__ = face(
        __name__,
        program="app main",
    )
