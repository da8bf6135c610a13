"""HTTP by urllib3 where a general client is wanted: tries and waits, proxies, ranges, streams that mend themselves.

urllib3 is imported when it is first needed: it takes 50 ms, in which a sync can have moved a hundred files.
"""

from __future__ import annotations

import base64
import http.client
import os
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urljoin, urlsplit

from cocomine.transfer.advice import advice_for_host
from cocomine.transfer.behaviour import Behaviour
from cocomine.transfer.mover import RETRIED, retry_after
from cocomine.transfer.receiving import ChangedError, CorruptedError, backoff

if TYPE_CHECKING:
    import urllib3

T = TypeVar("T")

PIECE = 256 * 1024


class AgainError(Exception):
    """A try failed and another may succeed, not before `pause` seconds from now."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


class NotServedError(Exception):
    """The origin does not serve this file, and asking again would not help. `status` is missing, refused or failed."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def _network_errors() -> tuple[type[Exception], ...]:
    from urllib3.exceptions import HTTPError

    return HTTPError, http.client.HTTPException, ConnectionError, TimeoutError


def persist(behaviour: Behaviour, attempt: Callable[[], T]) -> T:
    """Call `attempt` until it returns, waiting longer between tries each time.

    Raises NotServedError as `attempt` did, or with the last reason when the tries have run out.
    """
    tries = 0
    while True:
        try:
            return attempt()
        except AgainError as error:
            reason, pause = str(error), error.pause
        except ChangedError as error:
            raise NotServedError("refused", str(error)) from error
        except CorruptedError as error:
            reason, pause = str(error), 0.0
        except ssl.SSLCertVerificationError as error:
            raise NotServedError("failed", f"its TLS certificate does not verify: {error.verify_message}") from error
        except _network_errors() as error:
            verdict = _certificate(error)
            if verdict:
                raise NotServedError("failed", verdict) from error
            reason, pause = in_words(error), 0.0
        tries += 1
        if tries >= behaviour.tries:
            raise NotServedError("failed", f"{reason} ({tries} tries)")
        time.sleep(max(backoff(behaviour, tries), pause))


def in_words(error: BaseException) -> str:
    """Return what a network error means, without the URL that the libraries repeat in it."""
    import urllib3

    if isinstance(error, urllib3.exceptions.ReadTimeoutError | TimeoutError):
        return "nothing arrived for too long"
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return "no connection in time"
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return "the host's name is not known"
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "connection refused"
    broken = urllib3.exceptions.IncompleteRead, urllib3.exceptions.InvalidChunkLength
    if isinstance(error, (http.client.HTTPException, *broken)):
        return "the connection was closed before the whole file had arrived"
    cause = error.args[1] if isinstance(error, urllib3.exceptions.ProtocolError) and len(error.args) > 1 else error
    if isinstance(cause, urllib3.exceptions.HTTPError) and cause is not error:
        return in_words(cause)
    if isinstance(cause, OSError) and cause.errno:
        return os.strerror(cause.errno).lower()
    return "the connection broke"


def _certificate(error: BaseException) -> str:
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text or "doesn't match" in text or "Hostname mismatch" in text:
        return "its TLS certificate does not verify"
    return ""


def _context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=os.environ.get("REQUESTS_CA_BUNDLE") or None)


class Line:
    """One kept-alive connection, without a proxy, for requests that follow one another; ready at once."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._timeout = behaviour.stall_seconds
        self._connection: http.client.HTTPConnection | None = None

    def get(self, url: str, authorization: str) -> bytes | None:
        """Return the body of a plain answer, None for what a general client must look at: refusals, redirects, names.

        Raises AgainError, HTTPException, ConnectionError or TimeoutError when another try may succeed.
        """
        parts = urlsplit(url)
        headers = {"Accept-Encoding": "identity", "User-Agent": "cocomine"}
        headers |= {"Authorization": authorization} if authorization else {}
        try:
            if self._connection is None:
                self._connection = self._opened(parts.scheme == "https", parts.netloc)
            self._connection.request("GET", f"{parts.path}?{parts.query}", headers=headers)
            answer = self._connection.getresponse()
            body = answer.read()
        except (http.client.HTTPException, ConnectionError, TimeoutError):
            self.close()
            raise
        except OSError:
            self.close()
            return None
        if answer.status in RETRIED:
            raise verdict(answer.status, answer.headers.get("Retry-After", ""), url)
        return body if answer.status == 200 else None

    def _opened(self, tls: bool, host: str) -> http.client.HTTPConnection:
        if tls:
            return http.client.HTTPSConnection(host, timeout=self._timeout, context=_context())
        return http.client.HTTPConnection(host, timeout=self._timeout)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Web:
    """A pool of connections. `authorization(renew)` gives the Authorization header's value, empty for none."""

    def __init__(
        self, behaviour: Behaviour, authorization: Callable[[bool], str] | None = None, connections: int = 16
    ) -> None:
        self.behaviour = behaviour
        self.connections = min(connections, behaviour.connections)
        self.authorization = authorization
        self._pools: dict[str, urllib3.PoolManager] = {}

    def _pool(self, url: str) -> urllib3.PoolManager:
        import urllib3

        parts = urlsplit(url)
        proxy = proxy_of(url)
        if proxy not in self._pools:
            context = _context()
            timeout = urllib3.Timeout(
                connect=min(20.0, self.behaviour.stall_seconds), read=self.behaviour.stall_seconds
            )
            options = {"maxsize": self.connections, "ssl_context": context, "timeout": timeout, "retries": False}
            self._pools[proxy] = (
                urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)  # type: ignore[arg-type]
            )
        assert parts.hostname
        return self._pools[proxy]

    def ask(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, explain: bool = False
    ) -> urllib3.BaseHTTPResponse:
        """Send one request and return the answer, its body unread, once its status is 2xx.

        With `explain` the reason of a refusal holds what its body says. Follows redirects; credentials (the token, or
        the login that a URL holds) go to the scheme, host and port of `url` only. Raises AgainError or NotServedError
        by the status; HTTPError from urllib3.
        """
        renewed = False
        first = _place(url)
        login = _login(url)
        for _ in range(8):
            sent = {"Accept-Encoding": "identity", "User-Agent": "cocomine", **(headers or {})}
            if _place(url) == first:
                token = self.authorization(renewed) if self.authorization else login
                if token:
                    sent["Authorization"] = token
            answer = self._pool(url).request(method, url, headers=sent, preload_content=False, redirect=False)
            if answer.status < 300:
                return answer
            said = _said(answer) if explain and answer.status not in RETRIED else ""
            answer.drain_conn()
            target = answer.get_redirect_location()
            if target:
                url = urljoin(url, target)
                continue
            if answer.status == 401 and self.authorization and not renewed:
                renewed = True
                continue
            raise verdict(answer.status, answer.headers.get("Retry-After", ""), url, said)
        raise NotServedError("failed", "too many redirects")

    def stream(self, url: str, start: int, length: int, validator: str) -> Iterator[bytes]:
        """Yield `length` bytes from `start` on; a broken connection is mended by asking for the rest.

        `validator` is the ETag that every answer must carry, empty for any. Raises NotServedError.
        """
        done = 0
        failures = 0
        again: tuple[type[Exception], ...] = (AgainError, *_network_errors())
        while done < length:
            try:
                answer = self._part(url, start + done, start + length - 1, validator)
                try:
                    for piece in answer.stream(PIECE):
                        done += len(piece)
                        failures = 0
                        yield piece
                finally:
                    answer.close() if done < length else answer.release_conn()
                if done < length:
                    raise AgainError("the connection was closed before the whole range had arrived")
            except again as error:
                verdict_ = _certificate(error)
                if verdict_:
                    raise NotServedError("failed", verdict_) from error
                failures += 1
                reason = str(error) if isinstance(error, AgainError) else in_words(error)
                if failures >= self.behaviour.tries:
                    raise NotServedError("failed", f"{reason} ({failures} tries)") from error
                pause = error.pause if isinstance(error, AgainError) else 0.0
                time.sleep(max(backoff(self.behaviour, failures), pause))

    def _part(self, url: str, first: int, last: int, validator: str) -> urllib3.BaseHTTPResponse:
        answer = self.ask("GET", url, {"Range": f"bytes={first}-{last}"})
        if answer.status != 206:
            answer.close()
            raise NotServedError("failed", NO_RANGES)
        found = answer.headers.get("ETag", "")
        if validator and found and found != validator:
            answer.close()
            raise NotServedError("failed", "the file changed while it was read")
        begin = answer.headers.get("Content-Range", "").partition(" ")[2].partition("-")[0]
        if begin != str(first):
            answer.close()
            raise AgainError("another range than the one asked for")
        return answer


def _place(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _login(url: str) -> str:
    """Return the Authorization header's value for a URL like https://user:password@host/, empty for others."""
    parts = urlsplit(url)
    if parts.username is None:
        return ""
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


NO_RANGES = "the server does not serve ranges"


def _said(answer: urllib3.BaseHTTPResponse) -> str:
    """Return the message in an API's answer, empty when there is none."""
    try:
        return f": {answer.json()['error']['message']}"
    except (ValueError, KeyError, TypeError):
        return ""


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


def proxy_of(url: str) -> str:
    """Return the proxy that the environment names for a URL, empty for none."""
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return ""
    return urllib.request.getproxies().get(parts.scheme, "")
