"""Where the deleted points lie, under a bound: which components the privacy curve has, and how many points have room."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from accountant.averaging import groups
from accountant.averaging.own_draws import OwnDraw
from accountant.averaging.own_groups import own_group, own_group_at
from accountant.averaging.placements import (
    Components,
    EveryPlacement,
    OnePoint,
    Placed,
    RandomGroup,
    Reshuffled,
    WorstSum,
)
from accountant.averaging.sampled import SampledVisits
from accountant.bounds import Bound, Setting, assumptions_of
from accountant.curves import GAUSSIAN, GAUSSIAN_MIXTURE
from accountant.numerics import Floats, InputError, numbers, word_or_count
from accountant.problem import RANDOM, RESHUFFLE, SECRET, WORST, Batches

#: Placements of a group up to which each is looked at by itself.
MOST_PLACEMENTS: Final = 2000


@dataclass(frozen=True)
class Placing:
    """``group_size`` deleted points in ``batches``, for a setting and the bound that reads it; :meth:`of` checks it."""

    bound: Bound
    setting: Setting
    batches: Batches
    group_size: int

    @classmethod
    def of(cls, bound: Bound, setting: Setting, batches: Batches | None, group_size: int | None) -> Placing:
        """``batches`` (None: the bound's own) and ``group_size`` (None: one point, or as placed), checked; else InputError."""
        size = 1 if group_size is None else group_size
        unplaced = cls(bound, setting, WORST, size)
        if isinstance(batches, tuple):
            return unplaced._placed(batches, group_size)
        last = (unplaced.sizes.size if setting.timeline is not None else setting.algorithm.steps_per_epoch) - 1
        word = word_or_count(
            "batches",
            bound.default_batches if batches is None else batches,
            words=(RANDOM, WORST, RESHUFFLE),
            count="a position",
            at_least=0,
            at_most=last,
        )
        placing = replace(unplaced, batches=word)
        if size > placing.room:
            raise InputError(f"group_size must be at most {placing.room}, the points in batch {word}, got {size}")
        return placing

    def _placed(self, batches: tuple[int, ...], group_size: int | None) -> Placing:
        """With numbers of points per batch."""
        sizes = self.sizes
        counts = numbers("batches", batches, at_least=0, at_most=self.setting.algorithm.problem.n, whole=True)
        if counts.size != sizes.size:
            raise InputError(f"batches must have a number for each of the {sizes.size} batches, got {counts.size}")
        over = np.flatnonzero(counts > sizes)
        if over.size:
            j = int(over[0])
            raise InputError(f"batches must have at most {sizes[j]:.0f} points in batch {j}, got {counts[j]:.0f}")
        total = int(counts.sum())
        if total < 1 or (group_size is not None and total != group_size):
            wanted = "at least 1" if not group_size else f"group_size = {group_size}"
            raise InputError(f"batches must place {wanted} points, got {total}")
        return replace(self, batches=tuple(counts.astype(int).tolist()), group_size=total)

    @property
    def worst(self) -> Placing:
        """The same points where they do most."""
        return replace(self, batches=WORST)

    def check(self) -> None:
        """Refuse what no bound here covers."""
        setting, timeline, reference = self.setting, self.setting.timeline, self.setting.reference
        if self.group_size > 1 and setting.starts_apart:
            raise InputError(
                f"reference={reference} compares runs that start apart, which is answered for one point only: "
                f"group_size must be 1, got {self.group_size}"
            )
        rounding = setting.algorithm.rounding
        if rounding is not None and self.bound.curve(setting).kind not in (*GAUSSIAN, GAUSSIAN_MIXTURE):
            raise InputError(f"rounding={rounding} needs bound=optimal: the published bounds know exact numbers only")
        if rounding is not None and timeline is not None:
            raise InputError(f"rounding={rounding} needs a constant algorithm without schedule")
        if setting.algorithm.own_draws:
            self._check_own_draws()
        if setting.algorithm.public_share and (timeline is not None or self.batches == RESHUFFLE):
            what = "a schedule, whose phases may cut the layout anew" if timeline is not None else "batches=reshuffle"
            raise InputError(f"public_share must be left out with {what}, got {setting.algorithm.public_share}")
        if setting.algorithm.norm_class < 1 and self.bound.name != "optimal":
            raise InputError(
                f"norm_class needs bound=optimal: the published bounds know one M for all records, got {self.bound.name}"
            )
        if self.batches == RESHUFFLE:
            if self.bound.name != "optimal":
                raise InputError(f"batches=reshuffle needs bound=optimal, got {self.bound.name}")
            if timeline is not None or setting.starts_apart:
                raise InputError("batches=reshuffle needs a constant algorithm without schedule and a matched reference")
        if timeline is not None and isinstance(reference, int):
            raise InputError(f"reference must be matched or converged with a schedule, got {reference}")
        if timeline is not None and not timeline.one_layout and isinstance(self.batches, (int, tuple)):
            raise InputError(f"batches must be random or worst where learning changes its batch size, got {self.batches}")

    def _check_own_draws(self) -> None:
        """Refuse what is not proved of records that draw by themselves."""
        setting, algorithm = self.setting, self.setting.algorithm
        name = f"assignment={algorithm.assignment}"
        if self.bound.curve(setting).kind != GAUSSIAN_MIXTURE:
            raise InputError(f"{name} needs bound=optimal: the published bounds are about a partition, got {self.bound.name}")
        if setting.timeline is not None:
            raise InputError(f"{name} needs a constant algorithm without schedule")
        if self.batches == RESHUFFLE or isinstance(self.batches, tuple):
            raise InputError(f"batches must be random, worst or a position with {name}, got {self.batches}")
        if algorithm.assignment != SECRET and isinstance(self.batches, int):
            raise InputError(f"batches must be random or worst with {name}, where a record has no batch, got {self.batches}")
        if algorithm.problem.adjacency == "replace":
            if setting.starts_apart:
                raise InputError(f"reference must be matched with {name} and a stand-in (replace), got {setting.reference}")
            if algorithm.log_contraction == 0 and algorithm.learn_epochs is None:
                raise InputError(f"learn_epochs must be given with {name} and a stand-in (replace) on a convex problem")

    @cached_property
    def sizes(self) -> Floats:
        """Points in every batch (cell, for a schedule) that may be deleted, those in no batch left out."""
        if self.setting.timeline is not None:
            return np.diff(self.setting.timeline.edges).astype(np.float64)
        algorithm = self.setting.algorithm
        return algorithm.private_sizes(algorithm.all_positions())

    @property
    def room(self) -> int:
        """Most points that can be deleted at once where ``batches`` places them."""
        if isinstance(self.batches, tuple):
            return self.group_size
        if isinstance(self.batches, str) or self.setting.algorithm.own_draws:
            return self.setting.algorithm.private_records
        if self.setting.timeline is not None:
            return int(self.sizes[self.batches])
        return int(self.setting.algorithm.private_sizes(self.batches))

    @property
    def positions(self) -> Floats:
        """0 ... J-1 (cells, for a schedule), as floats."""
        return np.arange(self.sizes.size, dtype=np.float64)

    @cached_property
    def components(self) -> Components:
        """The components of the privacy curve."""
        if self.setting.algorithm.own_draws:
            return self._own_draws
        scheduled = self.setting.timeline is not None
        last = self.setting.algorithm.steps_per_epoch - 1
        if self.batches == RESHUFFLE:
            return Reshuffled(self.group_size)
        if isinstance(self.batches, int):
            if self.group_size == 1:
                return OnePoint(np.array([float(self.batches)]), np.ones(1))
            return Placed(np.where(self.positions == self.batches, float(self.group_size), 0.0))
        if isinstance(self.batches, tuple):
            counts = np.array(self.batches, dtype=np.float64)
            if self.group_size == 1 and not scheduled:
                # As its position, which any reference has a bound for.
                return OnePoint(np.flatnonzero(counts).astype(np.float64), np.ones(1))
            return Placed(counts)
        if self.batches == WORST:
            if self.group_size > 1:
                return WorstSum(self.sizes, self.group_size) if scheduled else Placed(self.fullest())
            # Later batches are contracted less before release, and a shorter last batch weighs its points more.
            return OnePoint(self.positions if scheduled else np.array([float(last)]), np.ones(1), worst=scheduled)
        unused = 0.0 if scheduled else float(self.setting.algorithm.dropped_points)
        if self.group_size == 1:
            sizes = np.append(self.sizes, unused) if unused else self.sizes
            return OnePoint(self.positions, sizes, whole=self.setting.algorithm.private_records)
        if not unused and groups.placement_count(self.sizes.size, self.group_size) <= MOST_PLACEMENTS:
            return EveryPlacement(*groups.every_placement(self.sizes, self.group_size))
        return RandomGroup(self.sizes, self.group_size, unused)

    @property
    def _own_draws(self) -> Components:
        """Of records that draw their batches by themselves."""
        replaced = self.setting.algorithm.problem.adjacency == "replace"
        if self.setting.algorithm.assignment != SECRET:
            return SampledVisits(self.group_size, stand_in=replaced, worst=self.batches == WORST)
        if self.group_size > 1:
            if self.batches == RANDOM:
                return own_group(self.sizes.size, self.group_size, stand_in=replaced)
            at = self.batches if isinstance(self.batches, int) else self.sizes.size - 1
            return own_group_at(self.sizes.size, at, self.group_size, stand_in=replaced)
        last = self.positions[-1:]
        leaver = self.positions if self.batches == RANDOM else last
        if isinstance(self.batches, int):
            leaver = np.array([float(self.batches)])
        stand_in = self.positions if self.batches == RANDOM else last
        return OwnDraw(leaver, stand_in if replaced else np.zeros(0))

    @property
    def every_position(self) -> Components:
        """One point at each position by itself, whatever ``batches`` is."""
        return OnePoint(self.positions, np.ones(self.positions.size))

    @property
    def bounds_average(self) -> bool:
        """Whether an average is bounded, not computed, or not contracted by blocks: then the worst placement may prove more."""
        if not isinstance(self.components, (RandomGroup, Reshuffled)):
            return False
        return self.group_size > 1 or self.bound.ball(self.setting) is not None

    def fullest(self) -> Floats:
        """Points per batch at the worst placement: the last batch is filled first, then the one before it."""
        return groups.worst_counts(self.positions, self.sizes, min(self.group_size, int(self.sizes.sum())))

    def judged(self, steps: Floats) -> Floats | None:
        """Points per batch that tightness is about: as placed, or the worst; None where that is not one placement."""
        components, scheduled = self.components, self.setting.timeline is not None
        if isinstance(self.batches, tuple):
            return np.array(self.batches, dtype=np.float64)
        if isinstance(components, Placed):
            return components.counts
        algorithm = self.setting.algorithm
        if self.batches == RESHUFFLE or self.bound.curve(self.setting).kind not in GAUSSIAN:
            return None
        if algorithm.own_draws and (algorithm.assignment != SECRET or algorithm.problem.adjacency == "replace"):
            return None
        if self.group_size > 1:
            return None if scheduled else self.fullest()
        counts = np.zeros(self.sizes.size)
        where = self.batches if isinstance(self.batches, int) else counts.size - 1
        if scheduled and not isinstance(self.batches, int):
            addends = self.bound.log_addend(self.setting, self.positions, steps[None], np.zeros(1))
            where = int(addends[0].argmax())
        counts[where] = 1.0
        return counts

    def assumptions(self, *, given_distance: bool = False) -> tuple[str, ...]:
        """What a guarantee of it rests on, a sentence each."""
        return assumptions_of(replace(self.setting, given_distance=given_distance), self.batches, self.group_size)
