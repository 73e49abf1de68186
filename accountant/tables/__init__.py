"""Tables of what others report: reading them, and the ones that are shipped."""

from typing import TYPE_CHECKING

from accountant.numerics import face

if TYPE_CHECKING:
    from accountant.tables.reading import *
    from accountant.tables.shipped import *
else:
    __getattr__, __all__ = face(
        __name__,
        reading="Row Table",
        shipped="TABLES builtin published_lists reported_accuracy",
    )
