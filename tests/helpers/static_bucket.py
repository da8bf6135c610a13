"""A bucket as static files behind nginx with TLS: listings, metadata and bytes cost the server next to nothing."""

import asyncio
import base64
import hashlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import google_crc32c

from helpers.tls import make_certificate

CREATED = "2023-11-14T22:13:20.000Z"
CREATED_SECONDS = 1_700_000_000
MOST_HASHES = 5000  # objects whose checksums nginx is told; more make it slow to start


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class StaticBucket:
    """nginx that serves `folder/objects` as gs://bkt; `url` is for STORAGE_EMULATOR_HOST, `cert` to be trusted."""

    def __init__(self, folder: Path, page: int = 1000) -> None:
        if shutil.which("nginx") is None:
            raise RuntimeError("nginx is not installed (apt-get install nginx-light)")
        self.folder = folder
        self.page = page
        self.objects = folder / "objects"
        self.objects.mkdir(parents=True, exist_ok=True)
        (folder / "hashes.conf").touch()
        self.cert, self.key = make_certificate(folder / "tls")
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def describe(self, media_host: str = "") -> None:
        """Write the listing pages and the metadata of the objects that are there."""
        names = sorted((entry.name for entry in os.scandir(self.objects)), key=str.encode)
        base = media_host or self.url
        rows = [_row(base, name, (self.objects / name).read_bytes()) for name in names]
        for folder in ("list", "meta"):
            shutil.rmtree(self.folder / folder, ignore_errors=True)
            (self.folder / folder).mkdir()
        for row in rows:
            (self.folder / "meta" / row["name"]).write_text(json.dumps(row))
        for number in range(0, max(1, len(rows)), self.page):
            answer: dict[str, Any] = {"kind": "storage#objects", "items": rows[number : number + self.page]}
            if number + self.page < len(rows):
                answer["nextPageToken"] = f"t{number + self.page}"
            (self.folder / "list" / (f"t{number}.json" if number else ".json")).write_text(json.dumps(answer))
        self._send_hashes(rows if len(rows) <= MOST_HASHES else [])

    def _send_hashes(self, rows: list[dict[str, Any]]) -> None:
        """Let media answers carry the checksums, as a bucket's do; google-cloud-storage checks by nothing else."""
        lines = (f'"{r["name"]}" "crc32c={r["crc32c"]},md5={r["md5Hash"]}";\n' for r in rows)
        (self.folder / "hashes.conf").write_text("".join(lines))
        if self.process is not None:
            self.process.send_signal(signal.SIGHUP)
            time.sleep(1.0)

    def __enter__(self) -> Self:
        config = self.folder / "nginx.conf"
        config.write_text(_CONFIG.format(folder=self.folder, port=self.port, cert=self.cert, key=self.key))
        self.process = subprocess.Popen(["nginx", "-c", str(config), "-p", str(self.folder), "-g", "daemon off;"])
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("nginx did not start")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            try:
                self.process.wait(3)
            except subprocess.TimeoutExpired:  # a client that was killed may hold a connection open
                self.process.terminate()
                self.process.wait(10)

    def bytes_sent(self) -> int:
        """Return the bytes of all answers so far, headers included."""
        time.sleep(0.3)
        return sum(int(line) for line in (self.folder / "access.log").read_text().split())


def _row(base: str, name: str, data: bytes) -> dict[str, Any]:
    crc = struct.pack(">I", google_crc32c.value(data))
    return {
        "kind": "storage#object",
        "id": f"bkt/{name}/1",
        "name": name,
        "bucket": "bkt",
        "generation": "1700000000000001",
        "metageneration": "1",
        "contentType": "application/octet-stream",
        "storageClass": "STANDARD",
        "size": str(len(data)),
        "md5Hash": base64.b64encode(hashlib.md5(data).digest()).decode(),
        "crc32c": base64.b64encode(crc).decode(),
        "etag": "CAE=",
        "timeCreated": CREATED,
        "updated": CREATED,
        "selfLink": f"{base}/storage/v1/b/bkt/o/{name}",
        "mediaLink": f"{base}/download/storage/v1/b/bkt/o/{name}?generation=1700000000000001&alt=media",
    }


_CONFIG = """
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  log_format sent '$bytes_sent';
  access_log {folder}/access.log sent buffer=4k flush=100ms;
  default_type application/octet-stream;
  sendfile on; tcp_nodelay on; keepalive_requests 1000000; keepalive_timeout 60s;
  client_body_temp_path {folder}/tmp1; proxy_temp_path {folder}/tmp2; fastcgi_temp_path {folder}/tmp3;
  uwsgi_temp_path {folder}/tmp4; scgi_temp_path {folder}/tmp5;
  map_hash_max_size 16384; map_hash_bucket_size 256;
  map $object $hashes {{ include {folder}/hashes.conf; }}
  server {{
    listen 127.0.0.1:{port} ssl backlog=1024;
    ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;
    location ~ ^/download/storage/v1/b/bkt/o/(?<object>.+)$ {{
      add_header x-goog-hash $hashes;
      alias {folder}/objects/$object;
    }}
    location = /storage/v1/b/bkt {{
      default_type application/json;
      return 200 '{{"kind":"storage#bucket","name":"bkt","id":"bkt"}}';
    }}
    location ~ ^/storage/v1/b/bkt/o/?$ {{
      default_type application/json;
      root {folder};
      try_files /list/$arg_pageToken.json =404;
    }}
    location ~ ^/storage/v1/b/bkt/o/(.+)$ {{
      default_type application/json;
      set $place meta;
      if ($arg_alt = media) {{ set $place objects; }}
      alias {folder}/$place/$1;
    }}
    location /files/ {{ alias {folder}/files/; }}
  }}
}}
"""


class DelayProxy:
    """Passes TCP on to a port and holds every answer back by so many seconds; the bytes are not looked at."""

    def __init__(self, port: int, seconds: float) -> None:
        self.target = port
        self.seconds = seconds
        self.port = free_port()
        self.loop = asyncio.new_event_loop()

    def __enter__(self) -> Self:
        ready = threading.Event()

        def serve() -> None:
            asyncio.set_event_loop(self.loop)
            self.loop.run_until_complete(self._listen())
            ready.set()
            self.loop.run_forever()

        threading.Thread(target=serve, daemon=True).start()
        ready.wait(5)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)

    async def _listen(self) -> None:
        proxy = self

        class Client(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                self.transport = transport
                self.held = b""
                self.server: asyncio.Transport | None = None
                proxy.loop.create_task(self._connect())

            async def _connect(self) -> None:
                client = self

                class Server(asyncio.Protocol):
                    def data_received(self, data: bytes) -> None:
                        proxy.loop.call_later(proxy.seconds, client.transport.write, data)  # type: ignore[attr-defined]

                    def connection_lost(self, error: Exception | None) -> None:
                        proxy.loop.call_later(proxy.seconds, client.transport.close)

                made = await proxy.loop.create_connection(Server, "127.0.0.1", proxy.target)
                self.server = made[0]
                self.server.write(self.held)

            def data_received(self, data: bytes) -> None:
                if self.server is None:
                    self.held += data
                else:
                    self.server.write(data)

            def connection_lost(self, error: Exception | None) -> None:
                if self.server is not None:
                    self.server.close()

        await self.loop.create_server(Client, "127.0.0.1", self.port, backlog=512)
