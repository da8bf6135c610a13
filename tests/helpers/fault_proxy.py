"""An HTTP proxy on loopback that stands in front of any plain HTTP server and breaks chosen answers in chosen ways.

A client is given the proxy's address instead of the server's. Every request is passed on and logged with its time;
those that a rule names, by a pattern of their path and range and by their number among those that fit, get a fault.
"""

import http.client
import re
import socket
import struct
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from typing import Any

from helpers.loopback import Loopback, QuietServer

HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "proxy-connection", "expect", "te", "upgrade"})


@dataclass
class Asked:
    """One request: when it came, when its answer began (time.monotonic), and what it was given."""

    method: str
    path: str  # with the query, percent-decoded
    headers: dict[str, str]
    came: float
    answered: float = 0.0
    fault: str = ""
    status: int = 0

    @property
    def text(self) -> str:
        """What patterns are matched with: the path, a space, and the range asked for, if any."""
        return f"{self.path} {self.headers.get('range', '')}"

    @property
    def span(self) -> tuple[int, int] | None:
        """The first byte asked for and the one after the last (a very large number when open), None without a range."""
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))
        return (int(match[1]), int(match[2]) + 1 if match[2] else 1 << 62) if match else None


@dataclass(frozen=True)
class Fault:
    """What goes wrong with an answer. Places are bytes of the body and are kept within it.

    `status` answers instead of the server; `reset_at` sends a reset there, `end_at` closes in good order there, both
    before the length that was announced; `short` announces and sends so many bytes less; `flip_at` inverts a byte;
    `stall_at` falls silent there for `seconds`; `wait` holds the answer back; `silent` closes without any answer, and
    `after_work` does so when the server has done what it was asked; `flip_sent` inverts a byte of what the client
    sends; `headers` replace those of the answer; `before` is called before the request is passed on, `then` before
    the body is sent.
    """

    name: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    reset_at: int | None = None
    end_at: int | None = None
    short: int = 0
    flip_at: int | None = None
    stall_at: int | None = None
    seconds: float = 0.0
    wait: float = 0.0
    silent: bool = False
    after_work: bool = False
    flip_sent: int | None = None
    before: Callable[[], object] | None = None
    then: Callable[[], object] | None = None


@dataclass
class Rule:
    """Gives `fault` to the requests of number `first` to `first + times - 1` among those that fit."""

    method: str
    pattern: re.Pattern[str]
    fault: Fault
    first: int
    times: int
    seen: int = 0
    given: int = 0


class FaultProxy(Loopback):
    """The proxy; use as a context manager. `url` stands for the server's."""

    def __init__(self, server: str, delay: float = 0.0) -> None:
        self.server = urllib.parse.urlsplit(server)
        self.delay = delay  # seconds before any answer whose request fits `delayed`
        self.pace = 0.0  # seconds for each 64 KiB of an answer's body
        self.delayed = re.compile("")
        self.rules: list[Rule] = []
        self.log: list[Asked] = []
        self.lock = threading.Lock()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self.httpd = QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.httpd.server_address[1]}"

    def inject(self, pattern: str, fault: Fault, times: int = 1, first: int = 0, method: str = "GET") -> Rule:
        """Break `times` of the requests whose method and text fit, from the one of number `first` on."""
        rule = Rule(method, re.compile(pattern), fault, first, times)
        with self.lock:
            self.rules.append(rule)
        return rule

    def clear(self) -> None:
        """Forget rules and log."""
        with self.lock:
            self.rules, self.log = [], []

    def asked(self, pattern: str, method: str = "GET") -> list[Asked]:
        """Return the requests that fit, in the order in which they came."""
        with self.lock:
            return [row for row in self.log if re.fullmatch(method, row.method) and re.search(pattern, row.text)]

    def note(self, asked: Asked) -> Fault | None:
        """Log a request and return the fault that it gets."""
        with self.lock:
            self.log.append(asked)
            for rule in self.rules:
                if not (re.fullmatch(rule.method, asked.method) and rule.pattern.search(asked.text)):
                    continue
                rule.seen += 1
                if rule.first < rule.seen <= rule.first + rule.times:
                    rule.given += 1
                    asked.fault = rule.fault.name
                    return rule.fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    owner: FaultProxy
    upstream: http.client.HTTPConnection | None = None

    def log_message(self, *args: Any) -> None:
        """Be quiet."""

    def finish(self) -> None:
        """Close both sides."""
        if self.upstream is not None:
            self.upstream.close()
        super().finish()

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        data = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def _pass(self) -> None:
        asked = Asked(
            self.command,
            urllib.parse.unquote(self.path),
            {key.lower(): value for key, value in self.headers.items()},
            time.monotonic(),
        )
        fault = self.owner.note(asked) or Fault("")
        body = self._body()
        if self.owner.delay and self.owner.delayed.search(asked.path):
            time.sleep(self.owner.delay)
        if fault.before:
            fault.before()
        if fault.wait:
            time.sleep(fault.wait)
        asked.answered = time.monotonic()
        if fault.silent:
            self._reset()
            return
        if fault.status:
            asked.status = fault.status
            self._send(fault.status, fault.headers, b"a fault that a test asked for", replace(fault, name=""))
            return
        if fault.flip_sent is not None and body:
            body = _flipped(body, fault.flip_sent)
        status, headers, data = self._ask(body)
        if fault.after_work:
            self._reset()
            return
        if fault.then:
            fault.then()
        asked.status, asked.answered = status, time.monotonic()
        lower = {key.lower() for key in fault.headers}
        kept = {key: value for key, value in headers.items() if key.lower() not in lower}
        self._send(status, kept | fault.headers, data, fault)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = _pass  # noqa: N815

    def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        headers = {key: value for key, value in self.headers.items() if key.lower() not in HOP}
        if body or self.command in ("POST", "PUT", "PATCH"):
            headers["Content-Length"] = str(len(body))
        for fresh in (False, True):
            if self.upstream is None or fresh:
                self.upstream = http.client.HTTPConnection(
                    self.owner.server.hostname or "", self.owner.server.port, timeout=30
                )
            try:
                self.upstream.request(self.command, self.path, body or None, headers)
                answer = self.upstream.getresponse()
                data = answer.read()
                break
            except (http.client.HTTPException, OSError):
                if fresh:
                    raise
        found = {key: value for key, value in answer.getheaders() if key.lower() not in HOP}
        return answer.status, found, data

    def _send(self, status: int, headers: dict[str, str], data: bytes, fault: Fault) -> None:
        head = self.command == "HEAD"
        length = next((value for key, value in headers.items() if key.lower() == "content-length"), str(len(data)))
        if fault.short and not head:
            data = data[: max(0, len(data) - fault.short)]
        if fault.flip_at is not None:
            data = _flipped(data, fault.flip_at)
        self.send_response_only(status)
        for key, value in headers.items():
            if key.lower() != "content-length":
                self.send_header(key, value)
        if status not in (204, 304):
            self.send_header("Content-Length", length if head else str(len(data)))
        self.end_headers()
        if head:
            self.wfile.flush()
            return
        cuts = [place for place in (fault.reset_at, fault.end_at, fault.stall_at) if place is not None]
        if not cuts:
            for start in range(0, len(data), 1 << 16):
                self.wfile.write(data[start : start + (1 << 16)])
                if self.owner.pace:
                    self.wfile.flush()
                    time.sleep(self.owner.pace)
            self.wfile.flush()
            return
        self.wfile.write(data[: min(cuts[0], max(0, len(data) - 1))])
        self.wfile.flush()
        if fault.stall_at is not None:
            time.sleep(fault.seconds)
        if fault.reset_at is not None:
            self._reset()
        self.close_connection = True

    def _reset(self) -> None:
        """Let the close that follows be a reset (RFC 9293, 3.10.7.4), not an end in good order."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True


def _flipped(data: bytes, place: int) -> bytes:
    if not data:
        return data
    place = min(place, len(data) - 1)
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]
