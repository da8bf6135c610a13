"""Work spread over processes that die with the one that started them."""

import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from functools import partial
from multiprocessing.process import BaseProcess
from typing import TypeVar

from cocomine.base.errors import CocomineError

Piece = TypeVar("Piece")
Result = TypeVar("Result")

PIECES_IN_FLIGHT_PER_PROCESS = 3


@contextmanager
def worker_pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of that many processes, none of which outlives this process, however it ends.

    On an error what waits is cancelled. Raises CocomineError when the system ends a worker.
    """
    # Linux: fork starts in milliseconds, where spawn imports everything anew. Elsewhere fork is not safe.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=end_with_parent) as pool:
        try:
            yield pool
        except BrokenProcessPool as error:
            raise CocomineError(
                "a worker process was ended from outside before its work was done",
                "it was probably killed for want of memory: run with fewer threads (--cores), or ask for more memory",
            ) from error
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            for (
                worker
            ) in multiprocessing.active_children():  # of a pool that could not be started whole, nobody ends them
                worker.terminate()
            raise


@contextmanager
def started_pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a `worker_pool` whose processes run already, holding no more than this process does now."""
    with worker_pool(processes) as pool:
        pool.submit(os.getpid).result()
        yield pool


def end_with_parent() -> None:
    """Let this worker process end when the process that started it does, by whatever signal.

    A worker of a pool waits for work for ever otherwise: its siblings hold the other end of the pipe it reads.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def in_order(
    work: Callable[[Piece], Result],
    pieces: Iterable[Piece],
    processes: int,
    is_giant: Callable[[Piece], bool] = lambda _: False,
    pool: ProcessPoolExecutor | None = None,
) -> Iterator[Result]:
    """Yield `work(piece)` for each piece, in the order of `pieces`, computed by that many processes.

    With one process everything runs in this one. `pieces` is consumed no faster than results are taken, up to three
    pieces a process, so memory is flat; a piece that takes much of it by itself (`is_giant`) is left to this process,
    so that there is one of them at a time. `pool` is one of that many processes that runs already. Raises what `work`
    raises, and CocomineError when the system ends a process.
    """
    if processes <= 1:
        yield from map(work, pieces)
        return
    waiting: deque[Callable[[], Result]] = deque()
    with nullcontext(pool) if pool is not None else worker_pool(processes) as running:
        for piece in pieces:
            waiting.append(partial(work, piece) if is_giant(piece) else running.submit(work, piece).result)
            if len(waiting) >= processes * PIECES_IN_FLIGHT_PER_PROCESS:
                yield waiting.popleft()()
        while waiting:
            yield waiting.popleft()()
