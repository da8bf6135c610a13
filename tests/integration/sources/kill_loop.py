"""Kill a sync with SIGKILL at fifty moments and show that nothing is lost, partial or fetched twice.

./run python tests/integration/sources/kill_loop.py [--rounds 50]
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[3] / "scripts")]
sys.path.insert(0, str(Path(__file__).resolve().parent))

from test_faults import Bench, killed  # noqa: E402


def main() -> None:
    """Run the loop for both commands and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    rounds = parser.parse_args().rounds
    for which in ("sync_images.py", "sync_bucket.py"):
        deaths = restarts = 0
        while deaths < rounds:
            with tempfile.TemporaryDirectory() as folder:
                bench = Bench(Path(folder))
                with bench.server:
                    deaths += killed(bench, which, min(5, rounds - deaths))
                restarts += 1
        print(f"{which}: killed {deaths} times over {restarts} syncs; each ended with every file as in the bucket,")
        print("  none partial at any moment, none that was complete fetched again, nothing left behind")


if __name__ == "__main__":
    main()
