"""Syncs that die: of SIGKILL at a random moment, and movers that die of the same file twice. kill_loop.py does more."""

import itertools
import re
import secrets
import subprocess
from pathlib import Path

import pytest
from helpers.fault_proxy import Fault
from helpers.killed import Killer, moments, movers_of
from helpers.sync_bench import GS, SyncBench

MOMENTS = 8


def test_killed_at_random_moments_nothing_is_lost_partial_or_fetched_twice(tmp_path: Path) -> None:
    """The command alone, its whole group or a mover; a mirror, a list, members of a zip, a whole zip."""
    seed = secrets.randbelow(1 << 32)
    print(f"again: ./run python tests/integration/transfer/kill_loop.py --rounds {MOMENTS} --seed {seed}")
    killer = Killer(tmp_path)
    for moment in itertools.islice(moments(seed), MOMENTS):
        print(moment)
        print(killer.kill(moment))


def start(bench: SyncBench) -> "subprocess.Popen[str]":
    bench.quick = (*bench.quick[:-4], "--connections", "2", "--threads", "1")
    program, environment = bench.program()
    return subprocess.Popen(program, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("kind", GS)
@pytest.mark.parametrize("deaths", [1, 2])
def test_a_file_whose_mover_dies_is_moved_by_another_and_named_when_that_dies_too(
    tmp_path: Path, kind: str, deaths: int
) -> None:
    with SyncBench(kind, tmp_path) as bench:
        child: subprocess.Popen[str] | None = None

        def die() -> None:
            assert child is not None
            for mover in movers_of(child.pid):
                mover.kill()

        bench.proxy.inject(bench.remote(bench.victim), Fault("dies", before=die), deaths)
        child = start(bench)
        _, said = child.communicate(timeout=60)
        held = bench.held()
        assert all(data == bench.truth[name] for name, data in held.items())
        if deaths == 1:
            assert child.returncode == 0, said
            assert held == bench.truth
            return
        assert child.returncode == 1, said
        assert re.search("died", said)
        assert bench.victim not in held
        for name in set(bench.truth) - set(held):
            assert name in said
        bench.proxy.clear()
        bench.run().ok()
        assert bench.held() == bench.truth
        assert not bench.fetched_again(bench.proxy.asked(bench.data), held)
