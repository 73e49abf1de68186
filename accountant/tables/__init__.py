"""Tables of what others report: reading them, and the ones that are shipped."""

from typing import TYPE_CHECKING

from accountant.numerics import face

if TYPE_CHECKING:
    from accountant.tables.grids import *
    from accountant.tables.numbers import *
    from accountant.tables.reading import *
    from accountant.tables.shipped import *
else:
    __getattr__, __all__ = face(
        __name__,
        grids="Exact JOINT",
        numbers="Decimal Reading clean decimal_of is_plain read_number",
        reading="FORMATS Row Table",
        shipped="TABLES builtin published_lists reported_accuracy",
    )
