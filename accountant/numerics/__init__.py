"""Numbers: checked input, three arithmetics, roots and searches, laws on grids, printed numbers, array types. Knows nothing
else."""

from typing import TYPE_CHECKING

from accountant.numerics.faces import face as face

if TYPE_CHECKING:
    from accountant.numerics.arithmetic import *
    from accountant.numerics.atomic import *
    from accountant.numerics.double import *
    from accountant.numerics.enclosure import *
    from accountant.numerics.files import *
    from accountant.numerics.geometry import *
    from accountant.numerics.interval import *
    from accountant.numerics.jobs import *
    from accountant.numerics.laws import *
    from accountant.numerics.printed import *
    from accountant.numerics.roots import *
    from accountant.numerics.shapes import *
    from accountant.numerics.validation import *
else:
    __getattr__, __all__ = face(
        __name__,
        arithmetic="Arithmetic MAX_DIGITS Numbers Precise",
        atomic="atomic_file locked_file remove_unfinished sync_folder",
        double="DOUBLE mills_of",
        enclosure="ARITHMETICS DEFAULT_DIGITS ENOUGH Enclosure arithmetic_available arithmetic_kind confirmed exact_text "
        "rounded_text settle",
        files="all_bytes first_bytes read_json",
        geometry="geometric_sum log_add log_power",
        interval="Interval",
        jobs="check_jobs processes spread",
        laws="Law NEGLIGIBLE rounded_law",
        printed="PerN Printed digits parse_number typed_count typed_delta typed_number",
        roots="decreasing_root guided_whole refined_root smallest_count smallest_whole",
        shapes="Floats Indices Progress broadcast in_blocks plain",
        validation="InputError LARGEST MAX_COUNT MissingExtraError SMALLEST UnreachableError checked_mixture choice closest "
        "integer limit_of number numbers shown truth word_or_count",
    )
