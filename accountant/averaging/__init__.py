"""Who is deleted where: joint convexity over batches, groups, reshuffled batches."""

from typing import TYPE_CHECKING

from accountant.numerics import face

if TYPE_CHECKING:
    from accountant.averaging.groups import *
    from accountant.averaging.own_draws import *
    from accountant.averaging.own_groups import *
    from accountant.averaging.placements import *
    from accountant.averaging.placing import *
    from accountant.averaging.raised import *
    from accountant.averaging.sampled import *
else:
    __getattr__, __all__ = face(
        __name__,
        groups="EXACT REPLACED Sampled placement_count every_placement sampled_sum worst_counts",
        own_draws="OwnDraw paying",
        own_groups="OwnGroup OwnPlacements",
        placing="Placing",
        placements="Components EveryPlacement OnePoint Placed RandomGroup Reshuffled WorstSum",
        raised="power",
        sampled="SampledVisits Visits",
    )
