"""A loopback server that speaks as much of the GCS JSON API as clients of it use.

Paged listings, generations and their preconditions, MD5 and CRC32C, ranges, media and metadata, uploads (media,
multipart and resumable), deletion, rewriting, requester pays, gzip-encoded objects. Faults are asked for by `faults`.
"""

import base64
import email.parser
import gzip
import hashlib
import json
import re
import socket
import ssl
import struct
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import google_crc32c

from helpers.loopback import Loopback, QuietServer


@dataclass
class Blob:
    """One object and its metadata."""

    data: bytes
    generation: int
    metadata: dict[str, str] = field(default_factory=dict)
    encoding: str = ""
    created: float = 0.0
    composite: bool = False

    @property
    def md5(self) -> str:
        return base64.b64encode(hashlib.md5(self.data).digest()).decode()

    @property
    def crc32c(self) -> str:
        return base64.b64encode(struct.pack(">I", google_crc32c.value(self.data))).decode()


@dataclass
class Request:
    """What a fault may look at: kind is list, get, media, upload, delete or bucket; `count` is how many came before."""

    kind: str
    name: str
    count: int
    headers: dict[str, str]


# A fault returns None to stay out of it, or a dict: status, headers, truncate, flip, reset_at, stall, wait, then.
Fault = Callable[[Request], dict[str, Any] | None]


class GcsServer(Loopback):
    """The server; use as a context manager. `url` is for STORAGE_EMULATOR_HOST."""

    def __init__(self, page: int = 1000, tls: tuple[Path, Path] | None = None) -> None:
        self.buckets: dict[str, dict[str, Blob]] = {}
        self.page = page
        self.requester_pays: set[str] = set()
        self.token = ""
        self.fault: Fault | None = None
        self.log: list[Request] = []
        self.bytes_sent = 0
        self.lock = threading.RLock()
        self.generation = 1_700_000_000_000_000
        self.sessions: dict[str, dict[str, Any]] = {}
        self.sorted: dict[str, list[str]] = {}
        server = self

        class Handler(_Handler):
            gcs = server

        self.httpd = QuietServer(("127.0.0.1", 0), Handler)
        self.scheme = "http"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.httpd.socket = context.wrap_socket(self.httpd.socket, server_side=True)
            self.scheme = "https"
        self.port = self.httpd.server_address[1]
        self.url = f"{self.scheme}://127.0.0.1:{self.port}"

    def put(self, bucket: str, name: str, data: bytes, **more: Any) -> Blob:
        """Put an object, with a new generation."""
        with self.lock:
            self.generation += 1
            blob = Blob(data, self.generation, created=more.pop("created", time.time()), **more)
            self.buckets.setdefault(bucket, {})[name] = blob
            self.sorted.pop(bucket, None)
            return blob

    def put_folder(self, bucket: str, folder: Path, prefix: str = "") -> None:
        """Put every file below a folder."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(bucket, prefix + path.relative_to(folder).as_posix(), path.read_bytes())

    def names(self, bucket: str) -> list[str]:
        """Return the object names in the order of listings: by UTF-8 bytes."""
        with self.lock:
            if bucket not in self.sorted:
                self.sorted[bucket] = sorted(self.buckets[bucket], key=str.encode)
            return self.sorted[bucket]

    def requests(self, kind: str = "") -> list[str]:
        """Return the names asked for, of one kind or all."""
        return [request.name for request in self.log if not kind or request.kind == kind]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    gcs: GcsServer

    def log_message(self, *args: Any) -> None:
        """Be quiet."""

    # -- answers

    def _send(
        self, status: int, body: bytes = b"", kind: str = "application/json", headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def _json(self, value: Any, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode(), "application/json; charset=UTF-8")

    def _error(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        body = json.dumps({"error": {"code": status, "message": message, "errors": [{"message": message}]}}).encode()
        self._send(status, body, headers=headers)

    # -- what was asked

    def _asked(self, kind: str, name: str) -> dict[str, Any] | None:
        with self.gcs.lock:
            count = sum(1 for r in self.gcs.log if (r.kind, r.name) == (kind, name)) if self.gcs.fault else 0
            request = Request(kind, name, count, dict(self.headers.items()))
            self.gcs.log.append(request)
        return self.gcs.fault(request) if self.gcs.fault else None

    def _route(self) -> None:
        parts = urllib.parse.urlsplit(self.path)
        self.query = {k: v[0] for k, v in urllib.parse.parse_qs(parts.query, keep_blank_values=True).items()}
        if self.gcs.token and self.headers.get("Authorization") != f"Bearer {self.gcs.token}":
            self._error(401, "Invalid Credentials")
            return
        match = re.fullmatch(
            r"(/upload|/download|/resumable/upload)?/storage/v1/b/([^/]+)(?:/o(?:/(.*))?)?", parts.path
        )
        if not match:
            self._error(404, f"no such path {parts.path}")
            return
        mode, bucket, name = match[1] or "", urllib.parse.unquote(match[2]), match[3]
        objects = "/o" in parts.path.split(f"/b/{match[2]}", 1)[1]
        if bucket not in self.gcs.buckets:
            self._drain()
            self._error(404, "The specified bucket does not exist.")
            return
        if bucket in self.gcs.requester_pays and not self.query.get("userProject"):
            self._drain()
            self._error(400, "Bucket is a requester pays bucket but no user project provided.")
            return
        if mode.endswith("/upload") and self.command in ("POST", "PUT"):
            self._upload(bucket)
        elif not objects:
            self._asked("bucket", bucket)
            self._json(
                {"kind": "storage#bucket", "id": bucket, "name": bucket, "location": "US", "storageClass": "STANDARD"}
            )
        elif name is None or name == "":
            self._list(bucket)
        elif "/copyTo/" in name or "/rewriteTo/" in name:
            self._copy(bucket, name)
        else:
            self._object(bucket, urllib.parse.unquote(name), mode)

    def _drain(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            data = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = _route  # noqa: N815

    # -- listings and metadata

    def _row(self, bucket: str, name: str, blob: Blob) -> dict[str, Any]:
        moment = datetime.fromtimestamp(blob.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        quoted = urllib.parse.quote(name, safe="")
        row: dict[str, Any] = {
            "kind": "storage#object",
            "id": f"{bucket}/{name}/{blob.generation}",
            "selfLink": f"{self._base()}/storage/v1/b/{bucket}/o/{quoted}",
            "mediaLink": f"{self._base()}/download/storage/v1/b/{bucket}/o/{quoted}"
            f"?generation={blob.generation}&alt=media",
            "name": name,
            "bucket": bucket,
            "generation": str(blob.generation),
            "metageneration": "1",
            "contentType": "application/octet-stream",
            "storageClass": "STANDARD",
            "size": str(len(blob.data)),
            "crc32c": blob.crc32c,
            "etag": f"C{blob.generation}",
            "timeCreated": moment,
            "updated": moment,
            "timeStorageClassUpdated": moment,
        }
        if not blob.composite:
            row["md5Hash"] = blob.md5
        if blob.metadata:
            row["metadata"] = blob.metadata
        if blob.encoding:
            row["contentEncoding"] = blob.encoding
        return row

    def _base(self) -> str:
        return f"{self.gcs.scheme}://{self.headers.get('Host', f'127.0.0.1:{self.gcs.port}')}"

    def _list(self, bucket: str) -> None:
        fault = self._asked("list", self.query.get("prefix", ""))
        if fault and self._broken(fault):
            return
        prefix, delimiter = self.query.get("prefix", ""), self.query.get("delimiter", "")
        after = urllib.parse.unquote(self.query.get("pageToken", ""))
        start, end = self.query.get("startOffset", "").encode(), self.query.get("endOffset", "").encode()
        most = min(int(self.query.get("maxResults") or self.gcs.page), self.gcs.page)
        items: list[dict[str, Any]] = []
        prefixes: dict[str, None] = {}
        token = ""
        for name in self.gcs.names(bucket):
            encoded = name.encode()
            if not name.startswith(prefix) or (after and encoded <= after.encode()):
                continue
            if encoded < start or (end and encoded >= end):
                continue
            if delimiter and delimiter in name[len(prefix) :]:
                head = prefix + name[len(prefix) :].split(delimiter)[0] + delimiter
                if head not in prefixes and (not after or head.encode() > after.encode()):
                    prefixes[head] = None
                continue
            if len(items) >= most:
                token = urllib.parse.quote(items[-1]["name"])
                break
            items.append(self._row(bucket, name, self.gcs.buckets[bucket][name]))
        answer: dict[str, Any] = {"kind": "storage#objects"}
        if items:
            answer["items"] = items
        if prefixes:
            answer["prefixes"] = sorted(prefixes)
        if token:
            answer["nextPageToken"] = token
        self._json(answer)

    def _precondition(self, blob: Blob | None) -> int:
        """Return 0, or the status with which the preconditions fail."""
        generation = blob.generation if blob else 0
        wanted = self.query.get("ifGenerationMatch")
        if wanted is not None and int(wanted) != generation:
            return 412
        unwanted = self.query.get("ifGenerationNotMatch")
        if unwanted is not None and int(unwanted) == generation:
            return 304
        if blob is not None and self.query.get("generation", str(generation)) != str(generation):
            return 404
        return 0

    def _object(self, bucket: str, name: str, mode: str) -> None:
        media = self.query.get("alt") == "media" or mode == "/download"
        kind = {"DELETE": "delete", "PATCH": "patch", "PUT": "patch"}.get(self.command, "media" if media else "get")
        fault = self._asked(kind, name)
        body = self._drain()
        if fault and self._broken(fault):
            return
        with self.gcs.lock:
            blob = self.gcs.buckets[bucket].get(name)
        if blob is None:
            self._error(404, f"No such object: {bucket}/{name}")
            return
        failed = self._precondition(blob)
        if failed:
            self._error(failed, "conditionNotMet")
        elif self.command == "DELETE":
            with self.gcs.lock:
                del self.gcs.buckets[bucket][name]
                self.gcs.sorted.pop(bucket, None)
            self._send(204)
        elif self.command in ("PATCH", "PUT"):
            blob.metadata.update(json.loads(body or b"{}").get("metadata") or {})
            self._json(self._row(bucket, name, blob))
        elif media:
            self._media(bucket, name, blob, fault or {})
        else:
            self._json(self._row(bucket, name, blob))

    def _copy(self, bucket: str, path: str) -> None:
        source, verb, rest = re.split(r"/(copyTo|rewriteTo)/", path)
        self._drain()
        _, target_bucket, _, target = rest.split("/", 3)
        blob = self.gcs.buckets[bucket][urllib.parse.unquote(source)]
        new = self.gcs.put(
            urllib.parse.unquote(target_bucket), urllib.parse.unquote(target), blob.data, metadata=dict(blob.metadata)
        )
        row = self._row(target_bucket, urllib.parse.unquote(target), new)
        size = str(len(blob.data))
        self._json(
            {"done": True, "totalBytesRewritten": size, "objectSize": size, "resource": row}
            if verb == "rewriteTo"
            else row
        )

    # -- bytes out

    def _media(self, bucket: str, name: str, blob: Blob, fault: dict[str, Any]) -> None:
        data, headers = blob.data, {}
        if blob.encoding == "gzip":
            if "gzip" in self.headers.get("Accept-Encoding", ""):
                headers["Content-Encoding"] = "gzip"
            else:
                data = gzip.decompress(data)
        headers |= {
            "x-goog-generation": str(blob.generation),
            "x-goog-metageneration": "1",
            "x-goog-hash": f"crc32c={blob.crc32c}" + ("" if blob.composite else f",md5={blob.md5}"),
            "x-goog-stored-content-length": str(len(blob.data)),
            "ETag": f'"C{blob.generation}"',
        }
        status = 200
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if match and data:
            first, last = int(match[1]), min(int(match[2] or len(data) - 1), len(data) - 1)
            if first >= len(data):
                self._error(416, "range not satisfiable")
                return
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            data, status = data[first : last + 1], 206
        if fault.get("then"):
            fault["then"]()
        if "flip" in fault and data:
            position = fault["flip"] % len(data)
            data = data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]
        cut = min((fault[key] for key in ("truncate", "reset_at", "stall_at") if key in fault), default=None)
        if fault.get("short"):
            data = data[: -fault["short"]]
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(data)))
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(data if cut is None else data[:cut])
        self.wfile.flush()
        self.gcs.bytes_sent += len(data) if cut is None else min(cut, len(data))
        if "stall_at" in fault:
            time.sleep(fault.get("stall", 5.0))
        if "reset_at" in fault:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if cut is not None:
            self.close_connection = True

    def _broken(self, fault: dict[str, Any]) -> bool:
        """Answer with the fault's status; False when the fault lies in the body only."""
        if fault.get("wait"):
            time.sleep(fault["wait"])
        if "status" not in fault:
            return False
        if fault["status"] == 0:  # cut before any answer
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return True
        self._error(fault["status"], "a fault that a test asked for", fault.get("headers"))
        return True

    # -- bytes in

    def _upload(self, bucket: str) -> None:
        mode = self.query.get("uploadType", "media")
        if mode == "resumable" or self.query.get("upload_id"):
            self._upload_resumable(bucket)
            return
        body = self._drain()
        if mode == "multipart":
            meta, data = _parts(self.headers["Content-Type"], body)
        else:
            meta, data = {"name": self.query["name"]}, body
        meta.setdefault("name", self.query.get("name"))
        fault = self._asked("upload", meta["name"])
        if not (fault and self._broken(fault)):
            self._store(bucket, meta, data)

    def _upload_resumable(self, bucket: str) -> None:
        body = self._drain()
        if self.command == "POST":
            meta = json.loads(body or b"{}")
            meta.setdefault("name", self.query.get("name"))
            key = f"{len(self.gcs.sessions)}-{time.time_ns()}"
            self.gcs.sessions[key] = {"meta": meta, "data": b"", "query": dict(self.query)}
            location = f"{self._base()}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={key}"
            self._send(200, b"", headers={"Location": location, "X-GUploader-UploadID": key})
            return
        session = self.gcs.sessions[self.query["upload_id"]]
        fault = self._asked("upload", session["meta"]["name"])
        if fault and self._broken(fault):
            return
        match = re.fullmatch(r"bytes (?:\*|(\d+)-(\d+))/(\*|\d+)", self.headers.get("Content-Range", "bytes */*"))
        assert match
        if match[1] is not None:
            session["data"] = session["data"][: int(match[1])] + body
        elif not self.headers.get("Content-Range"):
            session["data"] = body
        if not self.headers.get("Content-Range") or (match[3] != "*" and len(session["data"]) == int(match[3])):
            self.query |= {k: v for k, v in session["query"].items() if k.startswith("if")}
            self._store(bucket, session["meta"], session["data"])
            return
        headers = {"Range": f"bytes=0-{len(session['data']) - 1}"} if session["data"] else {}
        self._send(308, b"", headers=headers)

    def _store(self, bucket: str, meta: dict[str, Any], data: bytes) -> None:
        name = meta["name"]
        failed = self._precondition(self.gcs.buckets[bucket].get(name))
        if failed:
            self._error(failed, "conditionNotMet")
            return
        md5 = base64.b64encode(hashlib.md5(data).digest()).decode()
        if meta.get("md5Hash", md5) != md5:
            self._error(400, "Provided MD5 hash does not match")
            return
        blob = self.gcs.put(
            bucket, name, data, metadata=dict(meta.get("metadata") or {}), encoding=meta.get("contentEncoding") or ""
        )
        self._json(self._row(bucket, name, blob))


def _parts(content_type: str, body: bytes) -> tuple[dict[str, Any], bytes]:
    """Take a multipart/related upload apart: its metadata and its bytes."""
    header = email.parser.HeaderParser().parsestr(f"Content-Type: {content_type}\n\n")
    boundary = b"--" + header.get_boundary("").strip("'").encode()
    _, first, second, *_ = body.split(boundary)
    meta = first.lstrip(b"\r\n").partition(b"\r\n\r\n")[2]
    if not meta:
        meta = first.lstrip(b"\n").partition(b"\n\n")[2]
    start = second.find(b"\r\n\r\n") + 4
    if start == 3:
        start = second.find(b"\n\n") + 2
    data = second[start:]
    data = data[:-2] if data.endswith(b"\r\n") else data[:-1]
    return json.loads(meta), data
