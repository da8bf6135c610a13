"""The lean way of fetching many small files over HTTP: one process, one thread, many connections.

Run as `python -m cocomine.transfer.mover` by `cocomine.transfer.movers`, which sends orders over standard input, reads
reports from standard output. General HTTP libraries spend more time on a 150 KB file than TLS, MD5 and the disk
together; this sends a fixed request and reads the answer straight into a buffer that is hashed and written. It speaks
just the part of HTTP/1.1 that buckets answer with; anything else is reported as `unusual` and fetched by the library.
"""

import contextlib
import errno
import gc
import heapq
import json
import marshal
import os
import random
import selectors
import socket
import ssl
import struct
import time
import traceback
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from cocomine.transfer.digests import Digester, changed, hex_of_base64

PIECE = 256 * 1024  # bytes read before they are hashed and written
HEAD_LIMIT = 64 * 1024
RETRIED = frozenset({408, 425, 429, *range(500, 600)})
LONGEST_WAIT = 32.0  # seconds between two tries, unless Retry-After asks for more
LONGEST_RETRY_AFTER = 300.0
KEEP_FROM = 1 << 20  # a broken body is continued, not begun again, from this many bytes on
FIRST_CONNECTIONS = 8  # more are opened only while waiting for the network is what takes the time
WORTH_MORE = 0.01  # seconds without any answer, while files wait for a connection, that double the connections
FAR = 0.02  # seconds that a connection took to open which tell of a network where all connections are worth it
HOPELESS = 40  # after so many failures in a row, and a file's last try among them, a file gets one try only


class Order(NamedTuple):
    """One file to fetch: where from, what it must be, and the path below the root that it gets."""

    number: int
    target: str
    path: str
    bytes: int = -1
    md5: str = ""
    crc32c: str = ""
    sha256: str = ""
    mtime_ns: int = 0
    etag: str = ""


class Report(NamedTuple):
    """What came of an order. `status` is ok, missing, refused, unauthorized, changed, unusual or failed."""

    number: int
    status: str
    reason: str = ""
    bytes: int = -1
    md5: str = ""
    sha256: str = ""
    crc32c: str = ""
    generation: str = ""
    mtime_ns: int = 0
    moved: int = 0


class Setup(NamedTuple):
    """What a process must know to connect. `headers` are complete header lines; `authorization` comes with orders."""

    host: str
    port: int
    tls: bool
    host_header: str
    headers: str
    connections: int
    tries: int
    stall_seconds: float
    first_wait: float
    cafile: str = ""


class Place(NamedTuple):
    """Where files go: the folder, where they lie before they are complete, and the ledger that notes them."""

    root: str
    staging: str
    sha256: bool
    ledger: str = ""
    origin: str = ""


# Messages are tuples of plain values: a length (four bytes, big-endian), then Python's marshal form. Both ends are the
# same interpreter, and nothing that starts faster reads them faster.
#   parent to process: the setup; then (orders, authorization or None, whether these are the last, a place or None)
#   process to parent: (reports, bytes of unfinished files that arrived since the last answer)


def packed(message: Any) -> bytes:
    """Return a message as it goes through a pipe."""
    payload = marshal.dumps(message)
    return struct.pack(">I", len(payload)) + payload


class Job:
    """An order with what its tries have left: how many, and the beginning of a large body."""

    __slots__ = ("crc32c", "descriptor", "digest", "generation", "kept", "md5", "order", "staged", "tries")

    def __init__(self, order: Order) -> None:
        self.order = order
        self.md5 = order.md5
        self.crc32c = order.crc32c
        self.tries = 0
        self.kept = 0
        self.descriptor = -1
        self.digest: Digester | None = None
        self.generation = ""
        self.staged = ""


class Connection:
    """One keep-alive connection and the answer it is reading."""

    __slots__ = (
        "body",
        "buffer",
        "fill",
        "head",
        "job",
        "last_heard",
        "left",
        "outgoing",
        "sock",
        "state",
        "total",
        "uses",
        "view",
        "wanted",
    )

    def __init__(self) -> None:
        self.sock: socket.socket | ssl.SSLSocket | None = None
        self.state = "closed"  # closed, connecting, shaking, idle, sending, head, body
        self.buffer = bytearray(PIECE)
        self.view = memoryview(self.buffer)
        self.job: Job | None = None
        self.outgoing = b""
        self.uses = 0
        self.wanted = 0
        self._reset()
        self.last_heard = 0.0

    def _reset(self) -> None:
        self.fill = 0
        self.head = b""
        self.left = -1
        self.total = -1
        self.body = b""


class TryFailedError(Exception):
    """A try that failed in a way worth another."""


class Mover:
    """The event loop."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.authorization = ""
        self.selector = selectors.DefaultSelector()
        self.ready: deque[Job] = deque()
        self.waiting: list[tuple[float, int, Job]] = []
        self.idle: list[Connection] = [Connection() for _ in range(setup.connections)]
        self.busy: set[Connection] = set()
        self.reports: list[Report] = []
        self.moved = 0
        self.closing = False
        self.limit = min(FIRST_CONNECTIONS, setup.connections)
        self.now = 0.0  # since the last look at the clock
        self.gate = 0.0  # no request starts before this time: an origin asked for a pause
        self.ordinal = 0
        self.bad_in_a_row = 0
        self.hopeless = False  # until the origin answers as it should
        self.fatal = ""  # why nothing at all can come from this origin
        self.context = _context(setup.cafile) if setup.tls else None
        self.addresses: list[tuple[int, str, int]] = []
        self.place = Place("", "", False)
        self.ledger = -1

    # -- the loop

    def run(self) -> None:
        """Work until the parent has said the last word and every order is reported, or until it is gone."""
        incoming = Incoming(0)
        os.set_blocking(0, False)
        self.selector.register(0, selectors.EVENT_READ, None)
        last_report = last_look = time.monotonic()
        self._connect_ahead(last_look)
        while True:
            now = self.now = time.monotonic()
            while self.waiting and self.waiting[0][0] <= now:
                self.ready.append(heapq.heappop(self.waiting)[2])
            self._start(now)
            if (self.reports and (len(self.reports) >= 16 or now - last_report > 0.05 or not self.busy)) or (
                self.moved > 4 << 20 and now - last_report > 0.5
            ):
                self._send()
                last_report = now
            if self.closing and not self.busy and not self.ready and not self.waiting and not self.reports:
                return
            if now - last_look > 1.0:
                last_look = now
                self._drop_stalled(now)
            events = self.selector.select(self._patience(now))
            self.now = time.monotonic()
            if self.ready and len(self.busy) >= self.limit and self.now - now > WORTH_MORE:
                self.limit = min(2 * self.limit, self.setup.connections)
            for key, _ in events:
                if key.data is None:
                    for message in incoming.read():
                        self._take(*message)
                    if incoming.ended and not self.closing:
                        os._exit(1)  # the parent is gone: leave what is unfinished where the next run sweeps it away
                    if incoming.ended:
                        self.selector.unregister(0)
                else:
                    self._advance(key.data)

    def _patience(self, now: float) -> float:
        if self.reports:
            return 0.02
        if self.waiting:
            return max(0.0, min(0.5, self.waiting[0][0] - now))
        if self.gate > now:
            return min(0.5, self.gate - now)
        return 0.5

    def _take(
        self, orders: list[tuple[Any, ...]], authorization: str | None, last: bool, place: tuple[Any, ...] | None
    ) -> None:
        if authorization is not None:
            self.authorization = authorization
        if place is not None:
            self.place = Place(*place)
            if self.place.ledger:
                self.ledger = os.open(self.place.ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        self.ready.extend(Job(Order(*order)) for order in orders)
        self.closing = self.closing or last

    def _send(self) -> None:
        payload = packed(([tuple(report) for report in self.reports], self.moved))
        self.reports, self.moved = [], 0
        _write_all(1, payload)

    # -- starting requests

    def _start(self, now: float) -> None:
        while self.ready and self.idle and len(self.busy) < self.limit:
            if self.fatal:
                self._give_up(self.ready.popleft(), self.fatal)
                continue
            if self.gate > now:
                return
            job = self.ready.popleft()
            connection = self.idle.pop()
            connection.job = job
            connection.last_heard = now
            self.busy.add(connection)
            try:
                if connection.state == "closed":
                    self._connect(connection)
                else:
                    connection.uses += 1
                    self._request(connection)
            except (OSError, TryFailedError) as error:
                self._failed(connection, _words(error))

    def _connect_ahead(self, now: float) -> None:
        """Open connections while the parent is still listing; what fails here fails anew with an order."""
        closed = [connection for connection in self.idle if connection.state == "closed"]
        for connection in closed[: self.limit - self.setup.connections + len(closed)]:
            self.idle.remove(connection)
            connection.last_heard = now
            self.busy.add(connection)
            try:
                self._connect(connection)
            except OSError:
                self._release(connection, False)

    def _connect(self, connection: Connection) -> None:
        if not self.addresses:
            found = socket.getaddrinfo(self.setup.host, self.setup.port, type=socket.SOCK_STREAM)
            self.addresses = [(info[0], str(info[4][0]), int(info[4][1])) for info in found]
        # A host may have IPv6 addresses that lead nowhere: each further try of a file takes the next address.
        tries = connection.job.tries if connection.job else 0
        family, address, port = self.addresses[tries % len(self.addresses)]
        sock: socket.socket | ssl.SSLSocket = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sock = sock
        connection.uses = 0
        connection.state = "connecting"
        code = sock.connect_ex((address, port))
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
        self._want(connection, selectors.EVENT_WRITE)

    def _request(self, connection: Connection) -> None:
        job = connection.job
        assert job is not None
        connection._reset()
        lines = [f"GET {job.order.path} HTTP/1.1", f"Host: {self.setup.host_header}"]
        if self.authorization:
            lines.append(f"Authorization: {self.authorization}")
        if job.kept:
            lines.append(f"Range: bytes={job.kept}-")
        connection.outgoing = ("\r\n".join(lines) + "\r\n" + self.setup.headers + "\r\n").encode("ascii")
        connection.state = "sending"
        self._advance_sending(connection)

    def _want(self, connection: Connection, events: int) -> None:
        if connection.wanted == events:
            return
        assert connection.sock is not None
        if connection.wanted == 0:
            self.selector.register(connection.sock, events, connection)
        else:
            self.selector.modify(connection.sock, events, connection)
        connection.wanted = events

    # -- moving on when a socket is ready

    def _advance(self, connection: Connection) -> None:
        try:
            if connection.state == "connecting":
                self._connected(connection)
            elif connection.state == "shaking":
                self._shake(connection)
            elif connection.state == "sending":
                self._advance_sending(connection)
            elif connection.state in ("head", "body"):
                self._read(connection)
            elif connection.state == "idle":
                self._listen_idle(connection)
        except ssl.SSLCertVerificationError as error:
            self._fatal(connection, f"its TLS certificate does not verify: {error.verify_message}")
        except (OSError, TryFailedError) as error:
            self._failed(connection, _words(error))

    def _connected(self, connection: Connection) -> None:
        assert connection.sock is not None
        code = connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        if self.context is None:
            self._ready(connection)
            return
        self.selector.unregister(connection.sock)
        connection.wanted = 0
        connection.sock = self.context.wrap_socket(
            connection.sock,
            server_hostname=self.setup.host,
            do_handshake_on_connect=False,
            suppress_ragged_eofs=False,
        )
        connection.state = "shaking"
        self._shake(connection)

    def _shake(self, connection: Connection) -> None:
        assert isinstance(connection.sock, ssl.SSLSocket)
        try:
            connection.sock.do_handshake()
        except ssl.SSLWantReadError:
            self._want(connection, selectors.EVENT_READ)
        except ssl.SSLWantWriteError:
            self._want(connection, selectors.EVENT_WRITE)
        else:
            self._ready(connection)

    def _ready(self, connection: Connection) -> None:
        """Use a connection that is open now, or keep it for the next order."""
        if self.limit < self.setup.connections and self.now - connection.last_heard > FAR:
            self.limit = self.setup.connections
            self._connect_ahead(self.now)
        if connection.job is None:
            self._want(connection, selectors.EVENT_READ)
            self._release(connection, True)
        else:
            self._request(connection)

    def _advance_sending(self, connection: Connection) -> None:
        assert connection.sock is not None
        try:
            sent = connection.sock.send(connection.outgoing)
        except (BlockingIOError, ssl.SSLWantWriteError):
            sent = 0
        connection.outgoing = connection.outgoing[sent:]
        if connection.outgoing:
            self._want(connection, selectors.EVENT_WRITE)
        else:
            connection.state = "head"
            self._want(connection, selectors.EVENT_READ)

    def _listen_idle(self, connection: Connection) -> None:
        """Take what a connection says that nobody is using: TLS session tickets, or its end."""
        assert connection.sock is not None
        try:
            connection.sock.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError:
            pass
        self._close(connection)

    def _read(self, connection: Connection) -> None:
        """Read all that is there: a TLS connection may hold more than the selector can see."""
        sock = connection.sock
        assert sock is not None
        while connection.state in ("head", "body"):
            room = connection.view[connection.fill :]
            if connection.state == "body" and len(room) > connection.left:
                room = room[: connection.left]
            try:
                # TLS: `read` is what `recv_into` calls, a microsecond later, ten times a file
                count = int(sock.read(len(room), room)) if isinstance(sock, ssl.SSLSocket) else sock.recv_into(room)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            except ssl.SSLWantWriteError:
                self._want(connection, selectors.EVENT_WRITE)
                return
            if count == 0:
                raise TryFailedError("the connection was closed before the whole file had arrived")
            connection.last_heard = self.now
            connection.fill += count
            if connection.state == "head":
                self._head(connection)
            else:
                connection.left -= count
                if connection.left == 0:
                    self._complete(connection)
                elif connection.fill == PIECE:
                    self._flush(connection)

    # -- an answer's head

    def _head(self, connection: Connection) -> None:
        end = connection.buffer.find(b"\r\n\r\n", 0, connection.fill)
        if end < 0:
            if connection.fill >= HEAD_LIMIT:
                raise TryFailedError("the answer's header does not end")
            return
        job = connection.job
        assert job is not None
        code, headers = _parse_head(bytes(connection.buffer[:end]))
        connection.uses = 0  # it lives: what breaks from here on is more than the end of an idle connection
        rest = connection.fill - end - 4
        connection.buffer[:rest] = connection.buffer[end + 4 : connection.fill]
        connection.fill = rest
        if code == 200 and job.kept:
            self._restart(job)  # the origin ignored the range: take the whole body anew
        if code in (200, 206):
            self._begin_body(connection, job, headers)
            return
        if code in RETRIED:
            self.bad_in_a_row += 1
        else:
            self._answered()
        reason = f"HTTP {code}"
        keep = _skip_small_body(connection, headers)
        if code in RETRIED:
            pause = retry_after(headers.get("retry-after", ""))
            if pause:
                self.gate = max(self.gate, time.monotonic() + pause)
            self._release(connection, keep)
            self._again(job, reason, pause)
            return
        self._release(connection, keep)
        if code == 416 and job.kept:
            self._restart(job)
            self._again(job, reason)
        elif code == 404:
            self._report(job, "missing", reason)
        elif code == 401:
            self._report(job, "unauthorized", reason)
        elif code == 403:
            self._report(job, "refused", reason)
        elif code in (304, 412):
            self._report(job, "changed", "the object changed since it was listed")
        elif 300 <= code < 400:
            self._report(job, "unusual", f"{reason}, a redirect")
        else:
            self._report(job, "failed", reason)

    def _begin_body(self, connection: Connection, job: Job, headers: dict[str, str]) -> None:
        length = headers.get("content-length", "")
        if "transfer-encoding" in headers or "content-encoding" in headers or not length.isdigit():
            self._close(connection)
            self._release(connection, False)
            self._report(job, "unusual", "an encoded answer")
            return
        generation = headers.get("x-goog-generation", "")
        if job.kept and (generation != job.generation or _range_start(headers) != job.kept):
            self._restart(job)
            raise TryFailedError("the object changed between two pieces of it")
        job.generation = generation
        self._learn(job, headers)
        if not (job.md5 or job.crc32c or job.order.sha256):
            self._close(connection)
            self._release(connection, False)
            self._report(job, "unusual", "the origin sends no checksum along")
            return
        if not job.kept:
            job.digest = Digester(self.place.sha256, crc32c=self.place.sha256 or not job.md5)
        connection.left = int(length)
        connection.total = int(length) + job.kept
        if job.order.bytes >= 0 and connection.total != job.order.bytes:
            self._restart(job)
            raise TryFailedError(f"{connection.total} bytes offered instead of {job.order.bytes}")
        connection.state = "body"
        if connection.fill > connection.left:
            raise TryFailedError("more bytes than announced")
        connection.left -= connection.fill
        if connection.left == 0:
            self._complete(connection)

    def _learn(self, job: Job, headers: dict[str, str]) -> None:
        """Take the checksums that the origin sends along, where the order promised none."""
        for part in headers.get("x-goog-hash", "").split(","):
            kind, _, value = part.strip().partition("=")
            if kind == "md5" and not job.md5:
                job.md5 = hex_of_base64(value)
            elif kind == "crc32c" and not job.crc32c:
                job.crc32c = hex_of_base64(value)

    # -- an answer's body

    def _flush(self, connection: Connection) -> None:
        job = connection.job
        assert job is not None
        assert job.digest is not None
        if job.descriptor < 0:
            self.ordinal += 1
            job.staged = f"{self.place.staging}/{os.getpid()}-{self.ordinal}"
            job.descriptor = os.open(job.staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        piece = connection.view[: connection.fill]
        job.digest.update(piece)
        _write_all(job.descriptor, piece)
        job.kept += connection.fill
        self.moved += connection.fill
        connection.fill = 0

    def _complete(self, connection: Connection) -> None:
        job = connection.job
        assert job is not None
        self._flush(connection)
        self._release(connection, True)
        digest, order = job.digest, job.order
        assert digest is not None
        wrong = ""
        if job.md5 and digest.md5 != job.md5:
            wrong = f"corrupted: md5 is {digest.md5} instead of {job.md5}"
        elif job.crc32c and digest.crc32c and digest.crc32c != job.crc32c:
            wrong = f"corrupted: crc32c is {digest.crc32c} instead of {job.crc32c}"
        if wrong:
            self._restart(job)
            self._again(job, wrong)
            return
        if order.sha256 and digest.sha256 and digest.sha256 != order.sha256:
            # What the origin promised did arrive, so another try would bring the same.
            self._report(job, "refused", changed(digest.sha256, order.sha256))
            return
        self._answered()
        source = (job.generation, order.etag, self.place.origin)
        try:
            if order.mtime_ns:
                os.utime(job.descriptor, ns=(order.mtime_ns, order.mtime_ns))
            mtime_ns = os.fstat(job.descriptor).st_mtime_ns
            descriptor, job.descriptor = job.descriptor, -1
            os.close(descriptor)
            entry = (order.target, digest.bytes, mtime_ns, digest.md5, digest.sha256, digest.crc32c)
            if self.ledger >= 0:  # before the rename: whoever finds the file finds its checksums
                os.write(self.ledger, b"\n" + json.dumps(entry + source, ensure_ascii=False).encode() + b"\n")
            os.replace(job.staged, f"{self.place.root}/{order.target}")
        except (OSError, OverflowError) as error:
            self._report(job, "failed", f"cannot be put in place: {_words(error)}")
            return
        self.reports.append(
            Report(
                order.number, "ok", "", digest.bytes, digest.md5, digest.sha256, digest.crc32c, job.generation, mtime_ns
            )
        )

    # -- endings

    def _answered(self) -> None:
        self.bad_in_a_row = 0
        self.hopeless = False

    def _release(self, connection: Connection, keep: bool) -> None:
        self.busy.discard(connection)
        connection.job = None
        connection.fill = 0
        if keep:
            connection.state = "idle"
        else:
            self._close(connection)
        self.idle.append(connection)

    def _close(self, connection: Connection) -> None:
        if connection.sock is not None:
            if connection.wanted:
                self.selector.unregister(connection.sock)
            connection.wanted = 0
            connection.sock.close()
            connection.sock = None
        connection.state = "closed"

    def _restart(self, job: Job) -> None:
        job.kept = 0
        job.md5, job.crc32c = job.order.md5, job.order.crc32c  # what an answer promised held for that answer
        job.digest = None
        if job.descriptor >= 0:
            os.close(job.descriptor)
            job.descriptor = -1
        if job.staged:
            with contextlib.suppress(OSError):
                Path(job.staged).unlink()
            job.staged = ""

    def _failed(self, connection: Connection, reason: str) -> None:
        """End a try whose connection broke. One that an idle keep-alive connection lost at once costs no try."""
        job = connection.job
        stale = connection.uses > 0 and connection.state in ("sending", "head") and connection.fill == 0
        if connection.state == "body" and connection.fill and job is not None and job.digest is not None:
            with contextlib.suppress(OSError):
                self._flush(connection)
        self._release(connection, False)
        if job is None:
            return
        if not self._on_disk(job):
            return
        if 0 < job.kept < KEEP_FROM:
            self._restart(job)
        if stale:
            self.ready.appendleft(job)
            return
        self.bad_in_a_row += 1
        self._again(job, reason)

    def _on_disk(self, job: Job) -> bool:
        """Report a full disk as such: trying again would not help."""
        try:
            stat = os.statvfs(self.place.staging)
        except OSError:
            return True
        if stat.f_bavail * stat.f_frsize < PIECE:
            self._restart(job)
            self._report(job, "failed", "the disk is full")
            return False
        return True

    def _fatal(self, connection: Connection, reason: str) -> None:
        job = connection.job
        self._release(connection, False)
        self.fatal = reason
        if job is not None:
            self._give_up(job, reason)

    def _again(self, job: Job, reason: str, pause: float = 0.0) -> None:
        job.tries += 1
        if self.fatal:
            self._give_up(job, self.fatal)
        elif self.hopeless:
            self._give_up(job, f"{reason} (nothing has come from this origin for long)")
        elif job.tries >= self.setup.tries:
            self.hopeless = self.bad_in_a_row >= HOPELESS
            self._give_up(job, f"{reason} ({job.tries} tries)")
        else:
            wait = min(LONGEST_WAIT, self.setup.first_wait * 2 ** (job.tries - 1)) * (0.5 + random.random())  # noqa: S311
            self.ordinal += 1
            heapq.heappush(self.waiting, (time.monotonic() + max(wait, pause), self.ordinal, job))

    def _give_up(self, job: Job, reason: str) -> None:
        self._restart(job)
        self._report(job, "failed", reason)

    def _report(self, job: Job, status: str, reason: str) -> None:
        self._restart(job)
        self.reports.append(Report(job.order.number, status, reason))

    def _drop_stalled(self, now: float) -> None:
        for connection in list(self.busy):
            if now - connection.last_heard > self.setup.stall_seconds:
                connection.uses = 0
                self._failed(connection, f"nothing arrived for {self.setup.stall_seconds:g} s")


class Incoming:
    """Messages from a pipe."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.buffer = bytearray()
        self.ended = False

    def read(self) -> list[tuple[Any, ...]]:
        """Return the messages that are complete."""
        try:
            data = os.read(self.descriptor, 1 << 20)
        except BlockingIOError:
            return []
        self.ended = not data
        self.buffer += data
        messages = []
        while len(self.buffer) >= 4:
            (length,) = struct.unpack_from(">I", self.buffer)
            if len(self.buffer) < 4 + length:
                break
            messages.append(marshal.loads(bytes(self.buffer[4 : 4 + length])))  # noqa: S302
            del self.buffer[: 4 + length]
        return messages


def _context(cafile: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=cafile or None)  # loading the system's takes 20 ms: not beside another


def _parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
    status = lines[0].split(" ", 2)
    if len(status) < 2 or not status[0].startswith("HTTP/1.") or not status[1].isdigit():
        raise TryFailedError("the answer is not HTTP/1.1")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return int(status[1]), headers


def _skip_small_body(connection: Connection, headers: dict[str, str]) -> bool:
    """Say whether the connection can serve again: the body of an error is there already, whole, and thrown away."""
    length = headers.get("content-length", "")
    if headers.get("connection", "").lower() == "close" or not length.isdigit():
        return False
    return connection.fill == int(length)


def retry_after(value: str) -> float:
    """Return the seconds that a Retry-After header asks for (RFC 9110, 10.2.3: seconds or a date), 0 for none."""
    if not value:
        return 0.0
    if value.isdigit():
        return min(float(value), LONGEST_RETRY_AFTER)
    import email.utils  # not at the top: it is rarely needed and slow to start

    try:
        moment = email.utils.parsedate_to_datetime(value).timestamp()
    except (TypeError, ValueError):
        return 0.0
    return min(max(0.0, moment - time.time()), LONGEST_RETRY_AFTER)


def _range_start(headers: dict[str, str]) -> int:
    unit, _, rest = headers.get("content-range", "").partition(" ")
    first = rest.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdigit() else -1


def _write_all(descriptor: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno).lower() if error.errno > 0 else str(error)
    return str(error) or type(error).__name__


def _read_exactly(count: int) -> bytes:
    """Read from standard input, unbuffered, since the loop goes on from there; empty when it has ended."""
    data = b""
    while len(data) < count:
        piece = os.read(0, count - len(data))
        if not piece:
            return b""
        data += piece
    return data


def main() -> int:
    """Read the setup, then work."""
    header = _read_exactly(4)
    payload = _read_exactly(struct.unpack(">I", header)[0]) if header else b""
    if not payload:
        return 1
    setup = marshal.loads(payload)  # noqa: S302
    gc.freeze()
    gc.set_threshold(20_000)  # next to nothing here refers to itself
    Mover(Setup(*setup)).run()
    return 0


def run() -> NoReturn:
    """Be a mover from now on, until the parent has no more for it."""
    code = 1
    try:
        code = main()
    except (KeyboardInterrupt, BrokenPipeError):
        code = 130
    except Exception:  # noqa: BLE001 - a forked process must not go on with what its parent was doing
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    run()
