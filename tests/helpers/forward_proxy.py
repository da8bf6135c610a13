"""A forward proxy on loopback, as HTTP_PROXY and HTTPS_PROXY name one: whole URLs, and tunnels by CONNECT."""

import http.client
import selectors
import socket
import urllib.parse
from http.server import BaseHTTPRequestHandler
from typing import Any

from helpers.loopback import Loopback, QuietServer


class ForwardProxy(Loopback):
    """The proxy; use as a context manager. `log` holds what it was asked: (method, target)."""

    def __init__(self) -> None:
        self.log: list[tuple[str, str]] = []
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self.httpd = QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.httpd.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: ForwardProxy

    def log_message(self, *args: Any) -> None:
        """Be quiet."""

    def _forward(self) -> None:
        self.owner.log.append((self.command, self.path))
        parts = urllib.parse.urlsplit(self.path)
        if not parts.hostname:
            self.send_error(400, "not a whole URL")
            return
        server = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=30)
        headers = {key: value for key, value in self.headers.items() if not key.lower().startswith(("proxy-", "conn"))}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server.request(self.command, parts._replace(scheme="", netloc="").geturl(), body or None, headers)
        answer = server.getresponse()
        data = answer.read()
        self.send_response_only(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in ("connection", "transfer-encoding"):
                self.send_header(key, value)
        self.end_headers()
        self.wfile.write(data)
        server.close()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _forward  # noqa: N815

    def do_CONNECT(self) -> None:
        """Join the two sides until one ends."""
        self.owner.log.append((self.command, self.path))
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port)), 10) as server, selectors.DefaultSelector() as selector:
            self.send_response_only(200)
            self.end_headers()
            self.wfile.flush()
            selector.register(self.connection, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, self.connection)
            while True:
                for key, _ in selector.select():
                    data = key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
                    if not data:
                        self.close_connection = True
                        return
                    key.data.sendall(data)
