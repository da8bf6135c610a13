"""Drives the processes of `cocomine.transfer.mover`: hands out orders, collects reports, survives their death."""

import contextlib
import itertools
import marshal
import queue
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

from cocomine.transfer import spares
from cocomine.transfer.mover import Order, Place, Report, Setup, packed

AHEAD = 4  # orders that a process holds for each of its connections, so that none waits for the parent
SHARE = 32  # orders that each process is given in turn at first, so that few files are shared out evenly


Answers = queue.SimpleQueue[tuple["_Process", tuple[list[tuple[Any, ...]], int] | None]]


class _Process:
    """One mover: its pipes, and the orders that it has not reported."""

    def __init__(self, setup: Setup, answers: "Answers") -> None:
        self.child = spares.take()
        self.pending: dict[int, Order] = {}
        self.alive = True
        self._answers = answers
        self._write(packed(tuple(setup)))
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, orders: list[Order], authorization: str | None = None) -> None:
        """Send orders; a dead process is noticed by its listener."""
        for order in orders:
            self.pending[order.number] = order
        self._write(packed(([tuple(order) for order in orders], authorization, False, None)))

    def begin(self, place: Place, authorization: str) -> None:
        """Say where files go, before any order."""
        self._write(packed(([], authorization, False, tuple(place))))

    def _write(self, payload: bytes) -> None:
        with contextlib.suppress(BrokenPipeError, ValueError):
            self.child.stdin.write(payload)
            self.child.stdin.flush()

    def _listen(self) -> None:
        stream = self.child.stdout
        while len(header := stream.read(4)) == 4:
            (length,) = struct.unpack(">I", header)
            payload = stream.read(length)
            if len(payload) < length:
                break
            self._answers.put((self, marshal.loads(payload)))  # noqa: S302
        self._answers.put((self, None))

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        with contextlib.suppress(BrokenPipeError):
            self.child.stdin.close()
        self.child.end(kill=self.alive)


class Crew:
    """So many movers, which connect at once and wait for orders. A context manager."""

    def __init__(self, setup: Setup, processes: int, authorization: Callable[[bool], str]) -> None:
        """Start them. `authorization(renew)` returns the Authorization header's value.

        It is renewed when the origin refused the last.
        """
        self._setup = setup
        self._authorization = authorization
        self._answers: Answers = queue.SimpleQueue()
        self._workers = [_Process(setup, self._answers) for _ in range(processes)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            worker.stop()
        self._workers.clear()

    def move(self, orders: Iterable[Order], place: Place, moved: Callable[[int], None]) -> Iterator[Report]:
        """Carry out `orders` and yield a report for each, in the order in which they end. To be called once.

        `moved` is told of bytes as they arrive. A process that dies has its orders given to a new one, once each.
        """
        authorization = self._authorization
        source = iter(orders)
        ahead = self._setup.connections * AHEAD
        workers = self._workers
        for worker in workers:
            worker.begin(place, authorization(False))
        again: list[Order] = []
        seen_twice: set[int] = set()
        exhausted = False

        def fill(worker: _Process, most: int = ahead) -> None:
            nonlocal exhausted
            batch: list[Order] = []
            while len(worker.pending) + len(batch) < most:
                if again:
                    batch.append(again.pop())
                    continue
                order = next(source, None) if not exhausted else None
                if order is None:
                    exhausted = True
                    break
                batch.append(order)
            if batch:
                worker.send(batch, authorization(False))

        for most in range(min(SHARE, ahead), ahead + SHARE, SHARE):
            for worker in workers:
                fill(worker, min(most, ahead))
        while any(worker.pending for worker in workers) or again:
            worker, answer = self._answers.get()
            if answer is None:
                worker.alive = False
                lost, worker.pending = list(worker.pending.values()), {}
                workers.remove(worker)
                for order in lost:
                    if order.number in seen_twice:
                        yield Report(order.number, "failed", "the process that moved it died twice")
                    else:
                        seen_twice.add(order.number)
                        again.append(order)
                if again or not exhausted:
                    replacement = _Process(self._setup, self._answers)
                    workers.append(replacement)
                    replacement.begin(place, authorization(False))
                    fill(replacement)
                continue
            reports, count = answer
            moved(count)
            for report in itertools.starmap(Report, reports):
                order_or_none = worker.pending.pop(report.number, None)
                if report.status == "unauthorized" and order_or_none is not None and report.number not in seen_twice:
                    seen_twice.add(report.number)
                    again.append(order_or_none)
                    worker.send([], authorization(True))
                    continue
                yield report
            if len(worker.pending) < ahead // 2 or again:
                fill(worker)
