"""Every kind of sync behind the fault proxy: a known tree at the origin, the command, and what came of it."""

import base64
import contextlib
import hashlib
import importlib
import io
import itertools
import json
import os
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cocomine.base import command

from helpers.fault_proxy import Asked, FaultProxy
from helpers.gcs_server import GcsServer
from helpers.range_server import RangeServer
from helpers.shared import ROOT
from helpers.sync import Result, tree, write_selection

STALL = 0.7
QUICK = ("--first-wait", "0.01", "--stall", str(STALL), "--tries", "5", "--connections", "8")
LARGE = 1_400_000  # bytes: enough for a body that is continued where it broke
VICTIM = "val2017/000007.jpg"
GS = ("list", "mirror")
KINDS = (*GS, "https", "zip", "whole", "s3", "annotations", "publish")
TASKS = ("instances", "captions", "person_keypoints", "panoptic")
AWS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}


def repr_digest(data: bytes) -> dict[str, str]:
    """Return the header of RFC 9530 that promises a body's SHA-256."""
    return {"Repr-Digest": f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"}


def images_truth(count: int) -> dict[str, bytes]:
    """Return files, one of them large, one empty."""
    files = {f"val2017/{n:06d}.jpg": os.urandom(2000 + 997 * n) for n in range(count)}
    files[VICTIM] = os.urandom(LARGE)
    files[f"val2017/{count - 1:06d}.jpg"] = b""
    return files


def annotations_truth() -> dict[str, bytes]:
    """Return annotation files under our names, with a panoptic one and its PNGs."""
    pngs = [f"{n:012d}.png" for n in range(4)]
    panoptic = json.dumps({"annotations": [{"file_name": name} for name in pngs]}).encode()
    files = {f"{task}_val2017.json": os.urandom(5000) for task in TASKS}
    files |= {"panoptic_val2017.json": panoptic, **{f"panoptic_val2017/{name}": os.urandom(3000) for name in pngs}}
    files["instances_val2017.json"] = os.urandom(LARGE)
    return files


class SyncBench:
    """One kind of sync: `truth` at the origin, the proxy before it, the command that brings it to `out`."""

    def __init__(self, kind: str, folder: Path, s3: str = "", count: int = 12) -> None:
        self.kind = kind
        self.folder = folder
        self.out = folder / "out"
        self.truth = annotations_truth() if kind == "annotations" else images_truth(count)
        self.victim = "instances_val2017.json" if kind == "annotations" else VICTIM
        self.server: GcsServer | RangeServer | None = None
        self.env: dict[str, str] = {"NO_PROXY": "127.0.0.1,localhost"}
        self.spans: dict[str, tuple[int, int]] = {}  # of members in the zip, header and all
        self.quick = QUICK
        folder.mkdir(parents=True, exist_ok=True)
        if kind in (*GS, "annotations", "publish"):
            self.server = self._bucket()
            server = self.server.url
        elif kind == "s3":
            server = self._s3(s3)
        else:
            self.server = self._files()
            server = self.server.url
        self.proxy = FaultProxy(server)
        self.env |= {"STORAGE_EMULATOR_HOST": self.proxy.url} if isinstance(self.server, GcsServer) else {}
        self.selection = write_selection(folder / "selection.tsv", [] if kind == "annotations" else list(self.truth))

    # -- the servers

    def _bucket(self) -> GcsServer:
        server = GcsServer(page=10)
        server.buckets["b"] = {}
        remote = "annotations/" if self.kind == "annotations" else ""
        for name, data in self.truth.items():
            if self.kind == "publish":
                (self.folder / "in" / name).parent.mkdir(parents=True, exist_ok=True)
                (self.folder / "in" / name).write_bytes(data)
            else:
                server.put("b", f"coco/{remote}{name}", data)
        return server

    def _files(self) -> RangeServer:
        served = self.folder / "served"
        (served / "val2017").mkdir(parents=True)
        if self.kind == "https":
            for name, data in self.truth.items():
                (served / name).write_bytes(data)
        else:
            with zipfile.ZipFile(served / "v.zip", "w") as archive:
                for name, data in self.truth.items():
                    archive.writestr(name, data)
                    archive.writestr(f"other/{name}", bytes(40_000))  # so that members are asked for one by one
                starts = [info.header_offset for info in archive.infolist()]
                wanted = {info.filename: info.header_offset for info in archive.infolist()}
                following = dict(itertools.pairwise(starts))
            self.spans = {name: (wanted[name], following[wanted[name]]) for name in self.truth}
        server = RangeServer(served)
        server.promise = repr_digest if self.kind == "https" else None
        return server

    def _s3(self, url: str) -> str:
        import boto3

        bucket = f"b{abs(hash(self.folder))}"
        client = boto3.client(
            "s3", endpoint_url=url, aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1"
        )
        client.create_bucket(Bucket=bucket)
        for name, data in self.truth.items():
            client.put_object(Bucket=bucket, Key=f"coco/{name}", Body=data, ACL="public-read")
        self.bucket = bucket
        self.env |= AWS
        return url

    def __enter__(self) -> Self:
        if self.server is not None:
            self.server.__enter__()
        self.proxy.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.proxy.__exit__(kind, error, trace)
        if self.server is not None:
            self.server.__exit__(kind, error, trace)

    # -- the command

    @property
    def origin(self) -> dict[str, Any]:
        """What stands in the settings."""
        known: dict[str, dict[str, Any]] = {
            "https": {"url": self.proxy.url},
            "zip": {"url": f"{self.proxy.url}/v.zip"},
            "whole": {"url": f"{self.proxy.url}/v.zip", "whole": True},
            "s3": {"url": f"s3://{getattr(self, 'bucket', '')}/coco", "endpoint": self.proxy.url},
        }
        return known.get(self.kind, {"url": "gs://b/coco"})

    def command(self, *more: str) -> list[str]:
        """Return the script and its arguments."""
        if self.kind == "mirror":
            return ["sync_bucket.py", "gs://b/coco", str(self.out), *self.quick, *more]
        if self.kind == "publish":
            return ["sync_bucket.py", str(self.folder / "in"), "gs://b/coco", *self.quick, *more]
        settings: dict[str, Any] = {"origins": [self.origin]}
        if self.kind == "annotations":
            settings |= {"splits": ["val2017"], "tasks": list(TASKS)}
            places = ["--out-dir", str(self.out), "--lock", str(self.folder / "sync.lock.json")]
            return ["sync_annotations.py", "--settings", json.dumps(settings), *places, *self.quick, *more]
        places = ["--store-dir", str(self.out), "--lock", str(self.folder / "images.lock.tsv")]
        named = ["--settings", json.dumps(settings), "--selection", str(self.selection)]
        return ["sync_images.py", *named, *places, *self.quick, *more]

    def program(self, *more: str) -> tuple[list[str], dict[str, str]]:
        """Return the command as a process of its own takes it, and its environment."""
        script, *arguments = self.command(*more)
        return [sys.executable, str(ROOT / "scripts" / script), *arguments], clean_environment() | self.env

    def run(self, *more: str) -> Result:
        """Run the command in this process: the same code without the half second that Python takes to start."""
        script, *arguments = self.command(*more)
        module = importlib.import_module(script.removesuffix(".py"))
        said, printed = io.StringIO(), io.StringIO()
        with environment(self.env), contextlib.redirect_stderr(said), contextlib.redirect_stdout(printed):
            code = command.run(module.main, module.build_parser(), arguments)
        return Result(code, printed.getvalue(), said.getvalue())

    # -- what came of it

    def held(self) -> dict[str, bytes]:
        """Return what the destination holds."""
        if self.kind == "publish":
            assert isinstance(self.server, GcsServer)
            return {name.removeprefix("coco/"): blob.data for name, blob in self.server.buckets["b"].items()}
        return tree(self.out) if self.out.exists() else {}

    def remote(self, name: str) -> str:
        """Return a pattern of the requests for a file's bytes."""
        if self.kind == "zip":
            return f"/v.zip bytes={self.spans[name][0]}-"
        if self.kind == "whole":
            return "/v.zip"
        if self.kind == "publish":
            return "/upload/"
        return re.escape(name) + (".*alt=media" if isinstance(self.server, GcsServer) else "")

    @property
    def data(self) -> str:
        """A pattern of the requests for any file's bytes."""
        if self.kind == "zip":
            return "/v.zip bytes=(?!0-0)"
        if self.kind in ("whole", "publish"):
            return self.remote(self.victim)
        return r"(json|png|jpg).*alt=media" if isinstance(self.server, GcsServer) else r"\.jpg"

    @property
    def method(self) -> str:
        """The method of those requests."""
        return "POST" if self.kind == "publish" else "GET"

    def fetched_again(self, rows: Iterable[Asked], held: Iterable[str]) -> list[str]:
        """Return those of the files that were there already whose bytes requests asked for."""
        texts = [row for row in rows if re.fullmatch(self.method, row.method)]
        if self.kind != "zip":
            return [name for name in held if any(re.search(self.remote(name), row.text) for row in texts)]
        spans = [row.span for row in texts if row.span is not None and row.span != (0, 1)]
        members = {name: self.spans[name] for name in held}
        return [n for n, (low, high) in members.items() if any(s < high and low < e for s, e in spans)]

    def judge(self, result: Result) -> None:
        """Fail unless the destination is the truth, or the command failed and named each file that is not there."""
        held = self.held()
        for name, data in held.items():
            assert data == self.truth[name], f"{name} is not what the origin holds"
        lacking = set(self.truth) - set(held)
        if result.code == 0:
            assert not lacking, result.err
        else:
            assert result.code == 1, result.err
            for name in lacking:
                # What a panoptic file that is lacking names, nobody knows yet.
                unknown = name.startswith("panoptic_val2017/") and "panoptic_val2017.json" in lacking
                assert name in result.err or unknown, f"{name} is neither there nor named:\n{result.err}"
        assert not (self.out / ".cocomine" / "incomplete").exists()


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what leads to buckets."""
    drop = ("GOOGLE_", "STORAGE_", "AWS_", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
    return {key: value for key, value in os.environ.items() if not key.startswith(drop)}


@contextlib.contextmanager
def environment(extra: dict[str, str]) -> Iterator[None]:
    """Set this process's environment for a while."""
    before = dict(os.environ)
    wanted = clean_environment() | extra
    try:
        os.environ.clear()
        os.environ.update(wanted)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
