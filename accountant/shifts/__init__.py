"""Optimal shifts: the timeline of a schedule, distances, the taut string and its closed forms."""

from typing import TYPE_CHECKING

from accountant.numerics import face

if TYPE_CHECKING:
    from accountant.shifts.chords import *
    from accountant.shifts.cyclic import *
    from accountant.shifts.distance import *
    from accountant.shifts.enclosed import *
    from accountant.shifts.hoelder import *
    from accountant.shifts.many import *
    from accountant.shifts.minorant import *
    from accountant.shifts.moduli import *
    from accountant.shifts.optimal import *
    from accountant.shifts.runs import *
    from accountant.shifts.shooting import *
    from accountant.shifts.stretches import *
    from accountant.shifts.timeline import *
else:
    __getattr__, __all__ = face(
        __name__,
        chords="Span chord_shifts cuts_of least_chord windows_of",
        cyclic="log_mu_cyclic log_mu_decay log_mu_restarted restarts",
        distance="learned_distance log_learned_distance no_distance",
        enclosed="string_mu",
        hoelder="convex_gap hoelder_modulus",
        many="each_joined taut_strings",
        minorant="taut_string",
        moduli="Clipped Hoelder Least Modulus Nonsmooth Smooth best_clipped_mu best_stop clipped_mu smooth_clipped smooth_mu",
        optimal="Shifts optimal_shifts",
        runs="joined",
        shooting="best_mu best_shifts shot tangents",
        stretches="Stretch",
        timeline="Timeline plain_timeline",
    )
