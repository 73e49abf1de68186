"""What an audit of many trials takes: processor time of all processes and the most memory of one, each in a process of its own.

    python benchmarks/audits.py --trials 1000000 --jobs 1 2

Trials are of each of the two laws, on the linear instance; the result must not depend on the number of processes.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys


def one(trials: int, jobs: int) -> dict[str, float]:
    """In this process and those that it starts."""
    from accountant.trainer import audit, gaussian_instance

    found = audit(gaussian_instance(mu=2.0), trials=trials, seed=0, jobs=jobs)
    if jobs > 1:
        from joblib.externals.loky import get_reusable_executor

        # Processes count once they have ended.
        get_reusable_executor().shutdown(wait=True)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "trials": trials,
        "jobs": jobs,
        "seconds": sum(each.ru_utime + each.ru_stime for each in used),
        "megabytes": max(each.ru_maxrss for each in used) / 1024,
        "mu_lower": found.mu_lower,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1])
    parser.add_argument("--here", action="store_true", help="in this very process, as JSON")
    asked = parser.parse_args()
    if asked.here:
        print(json.dumps(one(asked.trials, asked.jobs[0])))
        return
    for jobs in asked.jobs:
        words = [sys.executable, __file__, "--here", "--trials", str(asked.trials), "--jobs", str(jobs)]
        row = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
        print(
            f"{row['trials']} trials, {row['jobs']} jobs: {row['seconds']:.1f} s of processor time, "
            f"{row['megabytes']:.0f} MB, mu at least {row['mu_lower']!r}"
        )


if __name__ == "__main__":
    main()
