"""The unlearning accountant: how much noise, how many steps and what guarantee certified unlearning has.

    problem -> algorithm -> bound (shifts, mu) -> guarantee (epsilon, delta)

The public surface is what this module exports; ``docs/reference/python.md`` describes it, ``CONTRIBUTING.md`` the rooms.
"""

from typing import TYPE_CHECKING

from accountant.numerics import face

if TYPE_CHECKING:
    from accountant._version import __version__ as __version__
    from accountant.bounds import (
        BOUNDS as BOUNDS,
    )
    from accountant.curves import (
        Guarantee as Guarantee,
    )
    from accountant.curves import (
        gdp_delta as gdp_delta,
    )
    from accountant.curves import (
        gdp_epsilon as gdp_epsilon,
    )
    from accountant.curves import (
        gdp_log_delta as gdp_log_delta,
    )
    from accountant.curves import (
        gdp_mu as gdp_mu,
    )
    from accountant.curves import (
        gdp_tradeoff as gdp_tradeoff,
    )
    from accountant.curves import (
        mixture_delta as mixture_delta,
    )
    from accountant.curves import (
        mixture_epsilon as mixture_epsilon,
    )
    from accountant.curves import (
        mixture_log_delta as mixture_log_delta,
    )
    from accountant.curves import (
        mixture_pair_delta as mixture_pair_delta,
    )
    from accountant.curves import (
        mixture_pair_epsilon as mixture_pair_epsilon,
    )
    from accountant.curves import (
        mixture_pair_log_delta as mixture_pair_log_delta,
    )
    from accountant.curves import (
        mixture_pair_scale as mixture_pair_scale,
    )
    from accountant.curves import (
        mixture_pair_tradeoff as mixture_pair_tradeoff,
    )
    from accountant.curves import (
        mixture_rdp as mixture_rdp,
    )
    from accountant.curves import (
        mixture_tradeoff as mixture_tradeoff,
    )
    from accountant.curves import (
        rdp_delta as rdp_delta,
    )
    from accountant.curves import (
        rdp_epsilon as rdp_epsilon,
    )
    from accountant.curves import (
        rdp_to_epsilon as rdp_to_epsilon,
    )
    from accountant.numerics import (
        InputError as InputError,
    )
    from accountant.numerics import (
        UnreachableError as UnreachableError,
    )
    from accountant.problem import (
        PNSGD as PNSGD,
    )
    from accountant.problem import (
        PRESETS as PRESETS,
    )
    from accountant.problem import (
        ConvexHoelder as ConvexHoelder,
    )
    from accountant.problem import (
        ConvexNonsmooth as ConvexNonsmooth,
    )
    from accountant.problem import (
        FineTuning as FineTuning,
    )
    from accountant.problem import (
        HoelderNonconvex as HoelderNonconvex,
    )
    from accountant.problem import (
        Learn as Learn,
    )
    from accountant.problem import (
        Problem as Problem,
    )
    from accountant.problem import (
        Schedule as Schedule,
    )
    from accountant.problem import (
        SmoothNonconvex as SmoothNonconvex,
    )
    from accountant.problem import (
        Unlearn as Unlearn,
    )
    from accountant.problem import (
        preset as preset,
    )
    from accountant.questions import (
        NotUniqueWarning as NotUniqueWarning,
    )
    from accountant.questions import (
        UnlearningAccountant as UnlearningAccountant,
    )
    from accountant.questions import (
        solve as solve,
    )
    from accountant.requests import (
        UnlearningStream as UnlearningStream,
    )
    from accountant.shifts import (
        Shifts as Shifts,
    )
    from accountant.shifts import (
        learned_distance as learned_distance,
    )
    from accountant.shifts import (
        optimal_shifts as optimal_shifts,
    )
else:
    __getattr__, __all__ = face(
        __name__,
        problem="ConvexHoelder ConvexNonsmooth FineTuning HoelderNonconvex PNSGD PRESETS Learn Problem Schedule "
        "SmoothNonconvex Unlearn preset",
        bounds="BOUNDS",
        shifts="Shifts learned_distance optimal_shifts",
        curves="Guarantee gdp_delta gdp_epsilon gdp_log_delta gdp_mu gdp_tradeoff mixture_delta mixture_epsilon "
        "mixture_log_delta mixture_pair_delta mixture_pair_epsilon mixture_pair_log_delta mixture_pair_scale "
        "mixture_pair_tradeoff mixture_rdp mixture_tradeoff rdp_delta rdp_epsilon rdp_to_epsilon",
        questions="NotUniqueWarning UnlearningAccountant solve",
        requests="UnlearningStream",
        numerics="InputError UnreachableError",
        _version="__version__",
    )
