"""HTTP by libcurl, for whatever is fetched: proxies, certificates, ranges, streams resumed where they broke."""

import base64
import contextlib
import errno
import json
import os
import re
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

import pycurl

from cocomine.base.errors import CocomineError
from cocomine.transfer.advice import advice_for_host
from cocomine.transfer.attempts import (
    RETRIED,
    AgainError,
    LocalError,
    NotServedError,
    backoff,
    local_error,
    retry_after,
)
from cocomine.transfer.behaviour import Behaviour

PIECE = 256 * 1024  # bytes that are gathered before they are handed on
MOST_SAID = 64 * 1024  # bytes of an error's body that are read
FILES_A_LINE = 5  # open ones: the connection, what wakes libcurl, what is written
OTHER_FILES = 40
MOST_LINES = 190  # libcurl's select stops at 1,024 open files
NEAR_LINES = 16  # more connections gain nothing where answers come at once
NEAR = 0.02  # seconds to the first byte of an answer, for that
NO_RANGES = "the server does not serve ranges"


class Web:
    """A client of HTTP servers for many threads. `authorization(renew)` gives the Authorization header's value.

    Connections are kept and used again.
    """

    def __init__(self, behaviour: Behaviour, authorization: Callable[[bool], str] | None = None) -> None:
        self.behaviour = behaviour
        self.authorization = authorization
        self._idle: list[_Line] = []
        self._answers = 0
        self._first_byte = float("inf")  # seconds to it, the least so far

    def threads(self) -> int:
        """Return how many threads should fetch at a time: few where answers come at once, as far as is known."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = max(1, min(self.behaviour.connections, MOST_LINES, (files - OTHER_FILES) // FILES_A_LINE))
        return most if self._answers >= NEAR_LINES and self._first_byte > NEAR else min(most, NEAR_LINES)

    def ask(self, method: str, url: str, headers: Mapping[str, str] | None = None, explain: bool = False) -> "Answer":
        """Send one request and return the answer, its body unread, once its status is 2xx.

        With `explain` the reason of a refusal holds what its body says. Follows redirects; credentials (the token, or
        the login that a URL holds) go to the scheme, host and port of `url` only. Raises AgainError or NotServedError.
        """
        renewed, elsewhere = False, False
        url, login = _without_login(url)
        first = url
        for _ in range(8):
            sent = {"Accept": "*/*", "User-Agent": "cocomine", **(headers or {})}
            token = "" if elsewhere else self.authorization(renewed) if self.authorization else login
            if token:
                sent["Authorization"] = token
            answer = self._asked(method, url, sent)
            if answer.status < 300:
                return answer
            said = answer.said()
            target = answer.headers.get("location", "")
            if answer.status in (301, 302, 303, 307, 308) and target:
                url, _ = _without_login(urljoin(url, target))
                elsewhere = _place(url) != _place(first)
                continue
            if answer.status == 401 and self.authorization and not renewed:
                renewed = True
                continue
            raise verdict(answer.status, answer.headers.get("retry-after", ""), url, said if explain else "")
        raise NotServedError("failed", "too many redirects")

    def _asked(self, method: str, url: str, headers: Mapping[str, str]) -> "Answer":
        try:
            line = self._idle.pop()
        except IndexError:
            line = _Line()
        try:
            seconds = line.begin(method, url, headers, self.behaviour.stall_seconds)
        except BaseException:
            line.end()
            raise
        self._answers, self._first_byte = self._answers + 1, min(self._first_byte, seconds)
        return Answer(line.status, line.headers, line, self._idle)

    def stream(self, url: str, start: int, length: int, validator: str) -> Iterator[bytes]:
        """Yield `length` bytes from `start` on; when a connection breaks the rest is asked for by another.

        `validator` is the ETag that every answer must carry, empty for any. Raises NotServedError.
        """
        done = 0
        failures = 0
        while done < length:
            try:
                with contextlib.closing(self._part(url, start + done, start + length - 1, validator)) as answer:
                    for piece in answer.stream():
                        done += len(piece)
                        failures = 0
                        yield piece
                if done < length:
                    raise AgainError("the connection was closed before the whole range had arrived")
            except AgainError as error:
                failures += 1
                if failures >= self.behaviour.tries:
                    raise NotServedError("failed", f"{error} ({failures} tries)") from error
                time.sleep(max(backoff(self.behaviour, failures), error.pause))

    def _part(self, url: str, first: int, last: int, validator: str) -> "Answer":
        answer = self.ask("GET", url, {"Range": f"bytes={first}-{last}"})
        found = answer.headers.get("etag", "")
        begin = answer.headers.get("content-range", "").partition(" ")[2].partition("-")[0]
        if answer.status == 206 and begin == str(first) and not (validator and found and found != validator):
            return answer
        answer.close()
        if answer.status != 206:
            raise NotServedError("failed", NO_RANGES)
        if begin == str(first):
            raise NotServedError("failed", "the file changed while it was read")
        raise AgainError("another range than the one asked for")


class Answer:
    """An HTTP answer whose body can be read once. `headers` have lower-case names."""

    def __init__(
        self, status: int, headers: dict[str, str], line: "_Line | None" = None, idle: "list[_Line] | None" = None
    ) -> None:
        self.status = status
        self.headers = headers
        self._line = line
        self._idle = idle if idle is not None else []

    def stream(self) -> Iterator[bytes]:
        """Yield the body in pieces. Raises AgainError when it breaks off, once what had arrived is yielded."""
        line = self._line
        while line is not None:
            while not line.over and line.held < PIECE:
                line.wait()
            if line.held:
                yield line.take()
            if line.over:
                self.close()
                if line.failure is not None:
                    raise line.failure
            line = self._line

    def read(self) -> bytes:
        """Return the whole body."""
        return b"".join(self.stream())

    def said(self) -> str:
        """Return the message in an API's answer, empty when there is none. The answer is closed then."""
        text = bytearray()
        with contextlib.closing(self), contextlib.suppress(AgainError, NotServedError):
            for piece in self.stream():
                text += piece
                if len(text) > MOST_SAID:
                    break
        try:
            return f": {json.loads(text)['error']['message']}"
        except (ValueError, KeyError, TypeError):
            return ""

    def close(self) -> None:
        """Give the connection back: for other requests when the body was read to its end, else it is closed."""
        if self._line is not None:
            self._line.end()
            self._idle.append(self._line)
            self._line = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _Line:
    """One connection at a time: libcurl's handle, and the loop that drives it as far as bytes are wanted."""

    def __init__(self) -> None:
        self._easy = pycurl.Curl()
        self._multi = pycurl.CurlMulti()
        self._busy = False
        self._stall = 0.0
        self._heard = 0  # calls by libcurl
        self._pieces: list[bytes] = []
        self.held = 0  # bytes that have arrived and were not taken
        self.status = 0
        self.headers: dict[str, str] = {}
        self._head: list[bytes] = []
        self.begun = False  # the header is complete
        self.over = False
        self.failure: Exception | None = None  # why it is over before its end
        for option, value in (_ALWAYS | _trusted()).items():
            self._easy.setopt(option, value)
        if "HTTP_PROXY" in os.environ and "http_proxy" not in os.environ:  # libcurl reads all but this one
            self._easy.setopt(pycurl.PROXY, os.environ["HTTP_PROXY"])
        self._easy.setopt(pycurl.SHARE, _shared)
        self._easy.setopt(pycurl.WRITEFUNCTION, self._on_data)
        self._easy.setopt(pycurl.HEADERFUNCTION, self._on_header)

    def begin(self, method: str, url: str, headers: Mapping[str, str], stall: float) -> float:
        """Send a request and wait for the header of its answer; return the seconds from the one to the other."""
        easy = self._easy
        self._stall = stall
        self.begun, self.over, self.failure = False, False, None
        easy.setopt(pycurl.URL, url)
        easy.setopt(pycurl.NOBODY, method == "HEAD")
        easy.setopt(pycurl.CUSTOMREQUEST, method)
        easy.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in headers.items()])
        # A lost SYN is sent again after a second: less than two would give up what was about to succeed.
        easy.setopt(pycurl.CONNECTTIMEOUT_MS, int(1000 * min(20.0, max(stall, 2.0))))
        self._multi.add_handle(easy)
        self._busy = True
        while not (self.begun or self.over):
            self.wait()
        if not self.begun:
            raise self.failure or AgainError(_CLOSED)
        self.status, self.headers = _parsed(self._head)
        microseconds = easy.getinfo(pycurl.STARTTRANSFER_TIME_T) - easy.getinfo(pycurl.PRETRANSFER_TIME_T)
        return float(microseconds) / 1e6

    def wait(self) -> None:
        """Return once something has arrived or all is over."""
        before, deadline = self._heard, time.monotonic() + self._stall
        while True:
            _, running = self._multi.perform()
            if not running:
                self.over = True
                _, _, failed = self._multi.info_read()
                self.failure = self._verdict(failed[0][1], failed[0][2]) if failed else None
                return
            if self._heard != before:
                return
            left = deadline - time.monotonic()
            if left <= 0:
                self.over, self.failure = True, AgainError("nothing arrived for too long")
                return
            if self._multi.select(min(left, 1.0)) < 0:
                time.sleep(0.001)  # it has nothing to wait for yet: the name is being looked up

    def take(self) -> bytes:
        """Return what has arrived since the last time."""
        piece = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self.held = 0
        return piece

    def end(self) -> None:
        """Be done with the request. A connection in the middle of an answer is closed."""
        if self._busy:
            self._multi.remove_handle(self._easy)
            self._busy = False
        self._pieces.clear()
        self.held = 0

    def _on_data(self, data: bytes) -> None:
        self._pieces.append(data)
        self.held += len(data)
        self._heard += 1

    def _on_header(self, line: bytes) -> None:
        self._heard += 1
        if line.startswith(b"HTTP/"):
            self._head.clear()
        self._head.append(line)
        self.begun = line == b"\r\n" and not self._head[0].partition(b" ")[2].startswith(b"1")

    def _verdict(self, code: int, said: str) -> AgainError | NotServedError | LocalError | CocomineError:
        if code == pycurl.E_PEER_FAILED_VERIFICATION:
            reason = re.sub(r"^SSL[\w ]*: ", "", said)
            advice = advice_for_host(urlsplit(self._easy.getinfo(pycurl.EFFECTIVE_URL)).hostname or "")
            advice = advice or "let REQUESTS_CA_BUNDLE name a file of the certificates to trust"
            return NotServedError("failed", f"its TLS certificate does not verify: {reason}; {advice}")
        if code == pycurl.E_SSL_CACERT_BADFILE:
            return CocomineError(
                f"{os.environ.get('REQUESTS_CA_BUNDLE', 'the trusted certificates')}: cannot be read as certificates",
                "let REQUESTS_CA_BUNDLE name a PEM file, or unset it to trust what the system trusts",
            )
        number = self._easy.getinfo(pycurl.OS_ERRNO)
        if number in (errno.EMFILE, errno.ENFILE):
            return local_error(number)
        if code == pycurl.E_COULDNT_CONNECT and number:
            return AgainError(os.strerror(number).lower())
        return AgainError(_REASONS.get(code, "the connection broke"))


_CLOSED = "the connection was closed before the whole file had arrived"
_REASONS = {
    pycurl.E_COULDNT_RESOLVE_HOST: "the host's name is not known",
    pycurl.E_COULDNT_RESOLVE_PROXY: "the proxy's name is not known",
    pycurl.E_COULDNT_CONNECT: "connection refused",
    pycurl.E_OPERATION_TIMEDOUT: "no connection in time",
    pycurl.E_SSL_CONNECT_ERROR: "the TLS handshake failed",
    pycurl.E_PARTIAL_FILE: _CLOSED,
    pycurl.E_GOT_NOTHING: _CLOSED,
    pycurl.E_RECV_ERROR: _CLOSED,
}
_ALWAYS: dict[int, int | str] = {
    pycurl.NOSIGNAL: 1,
    pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_1_1,
    pycurl.PATH_AS_IS: 1,
    pycurl.TCP_NODELAY: 1,
    pycurl.BUFFERSIZE: PIECE,
    265: 1,  # CURLOPT_SUPPRESS_CONNECT_HEADERS, which pycurl does not name: a tunnel's header is none of the answer's
    pycurl.MAXCONNECTS: 4,
}
_shared = pycurl.CurlShare()
_shared.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_DNS)
_shared.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_SSL_SESSION)


def _trusted() -> dict[int, int | str]:
    """Return the options that name the trusted certificates: REQUESTS_CA_BUNDLE's, else those that Python trusts."""
    named = os.environ.get("REQUESTS_CA_BUNDLE", "")
    if named:
        return {pycurl.CAPATH if Path(named).is_dir() else pycurl.CAINFO: named}
    import ssl  # not at the top: no other part of this needs it, and a script's start counts

    system = ssl.get_default_verify_paths()
    # A folder of hashed names is looked into as needed, where the whole file takes 10 ms a connection.
    if system.capath and any(Path(system.capath).glob("*.0")):
        return {pycurl.CAPATH: system.capath}
    if system.cafile:
        return {pycurl.CAINFO: system.cafile}
    import certifi  # not at the top: few systems have no certificates of their own

    return {pycurl.CAINFO: certifi.where()}


def _place(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _without_login(url: str) -> tuple[str, str]:
    """Return a URL in ASCII and without its login, and the Authorization header's value for that, empty for none."""
    if url.isascii() and "@" not in url:
        return url, ""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2].encode("idna").decode()
    plain = quote(urlunsplit((parts.scheme, host, parts.path, parts.query, "")), safe="/:?#[]@!$&'()*+,;=%~")
    if parts.username is None:
        return plain, ""
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return plain, "Basic " + base64.b64encode(pair.encode()).decode()


def _parsed(lines: list[bytes]) -> tuple[int, dict[str, str]]:
    """Return status and headers, their names in lower case; of a name that comes again the values are joined."""
    code = lines[0].split(b" ", 2)[1:2]
    headers: dict[str, str] = {}
    for line in b"".join(lines[1:]).decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return int(code[0]) if code and code[0].strip().isdigit() else 0, headers


def verdict(status: int, wait: str, url: str = "", said: str = "") -> AgainError | NotServedError:
    """Return what an HTTP status that is no success means for the file."""
    if status in RETRIED:
        return AgainError(f"HTTP {status}", retry_after(wait))
    if status in (404, 410):
        return NotServedError("missing", f"HTTP {status}")
    if status in (401, 403):
        return NotServedError("refused", f"HTTP {status}{said}" if status != 403 else "HTTP 403")
    if status in (412, 416):
        return NotServedError("failed", "the file changed while it was read")
    advice = advice_for_host(urlsplit(url).hostname or "")
    return NotServedError("failed", f"HTTP {status}{said}" + (f"; {advice}" if advice else ""))
