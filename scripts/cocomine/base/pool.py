"""Work spread over processes: results in the order of the work, and only a few pieces in flight, so memory is flat."""

import multiprocessing
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from cocomine.base.errors import CocomineError

Piece = TypeVar("Piece")
Result = TypeVar("Result")

PIECES_IN_FLIGHT_PER_PROCESS = 3


def in_order(work: Callable[[Piece], Result], pieces: Iterable[Piece], processes: int) -> Iterator[Result]:
    """Yield `work(piece)` for each piece, in the order of `pieces`, computed by that many processes.

    With one process everything runs in this one. `pieces` is consumed no faster than results are taken, up to three
    pieces a process. Raises what `work` raises, and CocomineError when the system ends a process.
    """
    if processes <= 1:
        yield from map(work, pieces)
        return
    # Linux: fork starts in milliseconds, where spawn imports everything anew. Elsewhere fork is not safe.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    waiting: deque[Future[Result]] = deque()
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        try:
            for piece in pieces:
                waiting.append(pool.submit(work, piece))
                if len(waiting) >= processes * PIECES_IN_FLIGHT_PER_PROCESS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            hint = "it was probably killed for want of memory: run with fewer threads"
            raise CocomineError("a working process ended before its work was done", hint) from error
        finally:
            for future in waiting:
                future.cancel()
