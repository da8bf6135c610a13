"""Syncs that die of SIGKILL at a random moment. kill_loop.py does more."""

import itertools
import secrets
from pathlib import Path

from helpers.killed import Killer, moments

MOMENTS = 8


def test_killed_at_random_moments_nothing_is_lost_partial_or_fetched_twice(tmp_path: Path) -> None:
    """A mirror, a list, members of a zip, a whole zip."""
    seed = secrets.randbelow(1 << 32)
    print(f"again: ./run python tests/integration/transfer/kill_loop.py --rounds {MOMENTS} --seed {seed}")
    killer = Killer(tmp_path)
    for moment in itertools.islice(moments(seed), MOMENTS):
        print(moment)
        print(killer.kill(moment))
