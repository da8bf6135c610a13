"""A program run for a benchmark: its time and memory, its children's included."""

import subprocess
import threading
import time
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Measured:
    """Seconds on the clock, the peak memory of the process tree in MB (10^6 bytes), and what the program printed."""

    seconds: float
    peak_mb: float
    output: str


def run_measured(command: list[str], environment: dict[str, str], pause: float = 0.05) -> Measured:
    """Run a program to its end, looking at its memory every `pause` seconds.

    Exits with the end of its error output when it fails.
    """
    started = time.perf_counter()
    process = psutil.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    peak, over = [0.0], threading.Event()

    def watch() -> None:
        while not over.is_set():
            try:
                tree = [process, *process.children(recursive=True)]
                peak[0] = max(peak[0], sum(one.memory_info().rss for one in tree) / 1e6)
            except psutil.Error:
                pass
            over.wait(pause)

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, errors = process.communicate()
    seconds = time.perf_counter() - started
    over.set()
    watcher.join()
    if process.returncode != 0:
        raise SystemExit(f"{command[:3]} failed:\n{errors.decode()[-2000:]}")
    return Measured(seconds, peak[0], output.decode())
