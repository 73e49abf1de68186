"""The unlearning accountant: how much noise, how many steps and what guarantee certified unlearning has.

    problem -> algorithm -> bound (shifts, mu) -> guarantee (epsilon, delta)

The public surface is what this module exports; ``docs/api.md`` describes it.
"""

from accountant._version import __version__
from accountant.algorithm import PNSGD
from accountant.bounds import BOUNDS
from accountant.distance import learned_distance
from accountant.divergences.gdp import (
    gdp_delta,
    gdp_epsilon,
    gdp_log_delta,
    gdp_mu,
    gdp_tradeoff,
    mixture_delta,
    mixture_epsilon,
    mixture_log_delta,
    mixture_tradeoff,
)
from accountant.divergences.renyi import mixture_rdp, rdp_delta, rdp_epsilon, rdp_to_epsilon
from accountant.guarantee import Guarantee
from accountant.problem import PRESETS, Problem, preset
from accountant.schedule import Learn, Schedule, Unlearn
from accountant.shifts.minorant import Shifts, optimal_shifts
from accountant.solving import NotUniqueWarning, solve
from accountant.stream import UnlearningStream
from accountant.unlearning import UnlearningAccountant
from accountant.validation import InputError, UnreachableError

__all__ = [
    "BOUNDS",
    "PNSGD",
    "PRESETS",
    "Guarantee",
    "InputError",
    "Learn",
    "NotUniqueWarning",
    "Problem",
    "Schedule",
    "Shifts",
    "Unlearn",
    "UnlearningAccountant",
    "UnlearningStream",
    "UnreachableError",
    "__version__",
    "gdp_delta",
    "gdp_epsilon",
    "gdp_log_delta",
    "gdp_mu",
    "gdp_tradeoff",
    "learned_distance",
    "mixture_delta",
    "mixture_epsilon",
    "mixture_log_delta",
    "mixture_rdp",
    "mixture_tradeoff",
    "optimal_shifts",
    "preset",
    "rdp_delta",
    "rdp_epsilon",
    "rdp_to_epsilon",
    "solve",
]
