"""Kill syncs with SIGKILL at fifty random moments and show that nothing is lost, partial or fetched twice.

./run python tests/integration/transfer/kill_loop.py [--rounds 50] [--seed N]
"""

import argparse
import secrets
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[3] / "scripts")]

from helpers.killed import Killer, moments  # noqa: E402


def main() -> None:
    """Run the loop and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50, help="deaths (default: 50)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32), help="of the moments (default: random)")
    options = parser.parse_args()
    print(f"--rounds {options.rounds} --seed {options.seed}", flush=True)
    counts: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        killer = Killer(Path(folder))
        for moment in moments(options.seed):
            if sum(count for (_, ending), count in counts.items() if ending == "died") == options.rounds:
                break
            ending = killer.kill(moment)
            counts[moment.kind, ending] += 1
            print(f"{moment.kind} at {moment.share:.2f} of the run: {ending}", flush=True)
    for (kind, ending), count in sorted(counts.items()):
        print(f"{kind:8}{ending:10}{count:4}")
    drawn = sum(counts.values())
    print(
        f"{options.rounds} deaths at {drawn} moments drawn uniformly over whole runs. Nothing partial was at its place"
    )
    print("after any; every next run completed the tree as at the origin, and fetched nothing that was complete.")


if __name__ == "__main__":
    main()
