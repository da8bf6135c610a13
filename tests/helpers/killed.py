"""A sync killed with SIGKILL at a random moment, and what must hold then and after the next run."""

import contextlib
import itertools
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from helpers.sync_bench import SyncBench

KINDS = ("mirror", "list", "zip", "whole")


@dataclass(frozen=True)
class Moment:
    """One death: `share` of the time that an undisturbed run takes, from its start on."""

    kind: str
    share: float


def moments(seed: int) -> Iterator[Moment]:
    """Draw moments without end, uniformly over the whole of a run."""
    pick = random.Random(seed)
    for kind in itertools.cycle(KINDS):
        yield Moment(kind, pick.random())


class Killer:
    """Runs syncs through a slow proxy and kills them. Knows how long an undisturbed one takes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number = 0
        self.lasts: dict[str, float] = {}

    @contextlib.contextmanager
    def bench(self, kind: str) -> Iterator[SyncBench]:
        """Give a bench whose transfer takes most of its run."""
        self.number += 1
        with SyncBench(kind, self.folder / str(self.number), count=24) as bench:
            bench.quick = (*bench.quick[:-2], "--connections", "4")
            bench.proxy.delay = 0.0 if kind == "whole" else 0.07
            bench.proxy.pace = 0.015 if kind == "whole" else 0.005
            yield bench

    def lasting(self, kind: str) -> float:
        """Return the seconds that an undisturbed run takes."""
        if kind not in self.lasts:
            with self.bench(kind) as bench:
                program, environment = bench.program()
                begin = time.monotonic()
                subprocess.run(program, env=environment, check=True, stderr=subprocess.DEVNULL)
                self.lasts[kind] = time.monotonic() - begin
                assert bench.held() == bench.truth
        return self.lasts[kind]

    def kill(self, moment: Moment) -> str:
        """Let one sync die and hold it to what is promised. Return `died`, or `not alive` if nobody was there."""
        wait = moment.share * self.lasting(moment.kind)
        with self.bench(moment.kind) as bench:
            program, environment = bench.program()
            child = subprocess.Popen(program, env=environment, stderr=subprocess.PIPE, text=True)
            time.sleep(wait)
            assert not psutil.Process(child.pid).children(), "nothing may outlive the command"
            died = child.poll() is None
            child.kill()
            child.communicate(timeout=60)
            if died:
                assert child.returncode == -signal.SIGKILL
            time.sleep(0.02)
            self._go_on(bench)
        return "died" if died else "not alive"

    def _go_on(self, bench: SyncBench) -> None:
        """Hold what is there to the truth, and the next run to fetching the rest and nothing else."""
        held = bench.held()
        for name, data in held.items():
            assert data == bench.truth[name], f"{name} is partial"
        kept = {path.suffix: path.stat().st_size for path in (bench.out / ".cocomine" / "whole").glob("*")}
        bench.proxy.delay = bench.proxy.pace = 0.0
        bench.proxy.clear()
        bench.judge(bench.run().ok())
        asked = bench.proxy.asked(bench.data)
        if bench.kind == "whole":
            have = kept.get(".part", 0)
            assert not (asked and ".zip" in kept), "a zip that was complete was fetched again"
            assert all((row.span or (0, 0))[0] >= have for row in asked), f"{have} bytes were there: {asked}"
        else:
            again = bench.fetched_again(asked, held)
            assert not again, f"fetched again: {again}"
