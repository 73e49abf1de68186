"""What a run will need, against what the machine has, before anything is allocated."""

from __future__ import annotations

import os

from accountant.numerics import InputError


def available_bytes() -> float:
    """Memory that can still be had; +inf where the system does not say."""
    try:
        # Free pages leave out the file cache, which the kernel gives back; only Linux says how much that is.
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return float(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    for name in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):
        try:
            pages, size = os.sysconf(name), os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, ValueError, OSError):
            continue
        if pages > 0 and size > 0:
            return float(pages) * size
    return float("inf")


def check_memory(need: float, *, lower: str) -> None:
    """InputError if ``need`` bytes are more than what is available; ``lower`` says what would help."""
    have = available_bytes()
    if need > have:
        raise InputError(f"training needs about {_size(need)} of memory and {_size(have)} are available: {lower}")


def _size(count: float) -> str:
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"
