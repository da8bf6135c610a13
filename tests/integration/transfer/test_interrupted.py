"""A sync that the user interrupts: it ends at once, with what is complete and nothing else."""

import signal
import subprocess
import time
from pathlib import Path

import pytest
from helpers.sync_bench import SyncBench


@pytest.mark.parametrize("kind", ["mirror", "https", "zip", "whole"])
def test_an_interrupted_sync_ends_at_once_and_leaves_only_what_is_complete(tmp_path: Path, kind: str) -> None:
    with SyncBench(kind, tmp_path) as bench:
        bench.quick = (*bench.quick[:-2], "--connections", "2", "--stall", "30")
        bench.proxy.pace = 2.0  # seconds for each 64 KiB
        program, environment = bench.program()
        child = subprocess.Popen(program, env=environment, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while not bench.proxy.asked(bench.data) and time.monotonic() < deadline:
            time.sleep(0.02)
        child.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, said = child.communicate(timeout=60)
        assert child.returncode == 130, said
        assert time.monotonic() - began < 10
        assert said.splitlines()[-1] == "interrupted"
        held = bench.held()
        assert all(data == bench.truth[name] for name, data in held.items())
        bench.proxy.pace = 0.0
        bench.run().ok()
        assert bench.held() == bench.truth
