"""An HTTP(S) server of a folder, with ranges, ETags, byte counts, redirects and faults."""

import hashlib
import re
import ssl
import urllib.parse
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from helpers.loopback import Loopback, QuietServer


class RangeServer(Loopback):
    """Serves `folder`; use as a context manager. `ranges` False ignores Range headers, as plain servers do."""

    def __init__(self, folder: Path, tls: tuple[Path, Path] | None = None) -> None:
        self.folder = folder
        self.ranges = True
        self.bytes_sent = 0
        self.log: list[tuple[str, str, str]] = []
        self.authorizations: list[str] = []
        self.promise: Callable[[bytes], dict[str, str]] | None = None  # headers with checksums of a file's bytes
        self.fault: Callable[[str, str, int], dict[str, Any] | None] | None = None
        server = self

        class Handler(_Handler):
            files = server

        self.httpd = QuietServer(("127.0.0.1", 0), Handler)
        scheme = "http"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.httpd.socket = context.wrap_socket(self.httpd.socket, server_side=True)
            scheme = "https"
        self.url = f"{scheme}://127.0.0.1:{self.httpd.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    files: RangeServer

    def log_message(self, *args: Any) -> None:
        """Be quiet."""

    def _serve(self) -> None:
        name = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).lstrip("/")
        asked = self.headers.get("Range", "")
        count = sum(1 for entry in self.files.log if entry[1] == name)
        self.files.log.append((self.command, name, asked))
        self.files.authorizations.append(self.headers.get("Authorization", ""))
        fault = (self.files.fault(self.command, name, count) if self.files.fault else None) or {}
        if "status" in fault:
            self._answer(fault["status"], fault.get("body", b""), fault.get("headers", {}))
            return
        path = self.files.folder / name
        if not path.is_file():
            self._answer(404, b"not here", {})
            return
        size = path.stat().st_size
        headers = {"ETag": f'"{hashlib.md5(f"{name}{path.stat().st_mtime_ns}{size}".encode()).hexdigest()[:12]}"'}
        if self.files.promise:
            headers |= self.files.promise(path.read_bytes())
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", asked)
        first, last, status = 0, size - 1, 200
        if match and self.files.ranges:
            first, last, status = int(match[1]), min(int(match[2] or size - 1), size - 1), 206
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        with open(path, "rb") as file:
            file.seek(first)
            data = file.read(last - first + 1)
        if "flip" in fault and data:
            place = fault["flip"] % len(data)
            data = data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :]
        self._answer(status, data, headers | fault.get("headers", {}), fault.get("truncate"))

    do_GET = do_HEAD = _serve  # noqa: N815

    def _answer(self, status: int, data: bytes, headers: dict[str, str], cut: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            sent = data if cut is None else data[:cut]
            self.wfile.write(sent)
            self.files.bytes_sent += len(sent)
        self.wfile.flush()
        if cut is not None:
            self.close_connection = True
