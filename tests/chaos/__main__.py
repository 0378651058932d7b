"""The long campaign: `python -m tests.chaos --builds 50 --seed 1 [--only N] [--small] ...`."""

from __future__ import annotations

import argparse
import collections
import sys
import tempfile
from pathlib import Path

from tests.chaos.campaign import Campaign, available
from tests.chaos.faults import BY_NAME
from tests.chaos.verdict import at_the_end, handles
from tests.chaos.world import World
from tests.e2e.farm import unavailable
from zdistcc.schedule.policies import POLICIES


def main() -> None:
    """Entry point; the exit status says whether all went well."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--builds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="this build alone")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--fault", action="append", choices=list(BY_NAME), help="all, unless given")
    parser.add_argument("--policy", choices=list(POLICIES), default="least-completion")
    parser.add_argument("--small", action="store_true", help="build 16 of the project's 40 units")
    parser.add_argument("--keep", type=Path, help="directory for logs, kept")
    options = parser.parse_args()
    why_not = unavailable()
    if why_not is not None:
        sys.exit(f"not possible: {why_not}")
    numbers = [options.only] if options.only else range(1, options.builds + 1)
    temporary = tempfile.TemporaryDirectory(prefix="zdistcc-chaos-")
    with temporary as name:
        directory = options.keep or Path(name)
        with World(directory, workers=options.workers, policy=options.policy, small=options.small) as world:
            campaign = Campaign(world, options.seed, available(options.fault))
            for number in numbers:
                outcome = campaign.run(number)
                print(f"{outcome}  [agent holds {handles(world)} descriptors]", flush=True)
            last = at_the_end(world)
    struck = collections.Counter(each.fault.name for outcome in campaign.outcomes for each in outcome.planned)
    bad = [outcome for outcome in campaign.outcomes if outcome.troubles]
    print(f"\nseed {options.seed}: {len(campaign.outcomes)} builds, {len(bad)} with trouble")
    print("faults: " + ", ".join(f"{name} {count}" for name, count in struck.most_common()))
    for line in [*map(str, bad), *last]:
        print(f"  {line}")
    sys.exit(1 if bad or last else 0)


if __name__ == "__main__":
    main()
