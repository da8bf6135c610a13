"""Buckets on loopback that Snakemake's storage plugins speak to, with what was asked of them."""

import logging
import math
import re
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any, Self

from cocomine.base.objects import PART
from helpers.gcs_server import GcsServer

NAME = "bkt"


def _parts(size: int) -> int:
    return max(1, math.ceil(size / PART))


class S3Bucket(logging.Handler):
    """moto's S3 with an empty bucket; `requests` counts what is asked of it, by method."""

    prefix, options = f"s3://{NAME}/build", ()

    def __enter__(self) -> Self:
        import boto3
        from moto.server import ThreadedMotoServer

        super().__init__()
        self.requests: Counter[str] = Counter()
        self.got: Counter[str] = Counter()
        self.put: Counter[str] = Counter()
        log = logging.getLogger("werkzeug")
        log.setLevel(logging.INFO)
        log.propagate = False
        log.addHandler(self)
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.server.start()
        host, port = self.server.get_host_and_port()
        self.environment = {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "SNAKEMAKE_STORAGE_S3_ENDPOINT_URL": f"http://{host}:{port}",
        }
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=f"http://{host}:{port}",
            region_name="us-east-1",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
        )
        # All of moto's servers in a process hold the same buckets.
        urllib.request.urlopen(f"http://{host}:{port}/moto-api/reset", data=b"").close()
        self.client.create_bucket(Bucket=NAME)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("werkzeug").removeHandler(self)
        self.server.stop()

    def emit(self, record: logging.LogRecord) -> None:
        """Count a request that the server has answered."""
        said = re.sub("\x1b\\[[0-9;]*m", "", record.getMessage())  # werkzeug colours what is not plainly 200
        if found := re.search(r'"(\w+) /bkt/?([^ ?]*)[^ ]* HTTP', said):
            self.requests[found[1]] += 1
            self.got[found[2]] += found[1] == "GET" and bool(found[2])
            self.put[found[2]] += found[1] == "PUT"

    def moved(self) -> tuple[int, int]:
        """The bytes fetched and stored, of objects that are there now."""
        sizes = self.sizes()
        fetched, stored = (
            sum(size * one[name] // _parts(size) for name, size in sizes.items()) for one in (self.got, self.put)
        )
        return fetched, stored

    def fetched_again(self) -> dict[str, int]:
        """The objects that are there and were fetched more than once, and how often."""
        return {
            name: self.got[name] // _parts(size) for name, size in self.sizes().items() if self.got[name] > _parts(size)
        }

    def sizes(self) -> dict[str, int]:
        """The objects and their sizes."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=NAME)
        return {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", ())}

    def download(self, name: str, path: Path) -> None:
        """Write an object to a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.client.download_file(NAME, name, str(path))


class GcsBucket:
    """The project's own server of Google Cloud Storage with an empty bucket."""

    prefix, options = f"gs://{NAME}/build", ("--storage-gcs-project", "project")

    def __enter__(self) -> Self:
        self.server = GcsServer()
        self.server.__enter__()
        self.server.buckets[NAME] = {}
        self.environment = {"STORAGE_EMULATOR_HOST": self.server.url, "GOOGLE_CLOUD_PROJECT": "project"}
        return self

    def __exit__(self, *exception: Any) -> None:
        self.server.__exit__(*exception)

    @property
    def requests(self) -> Counter[str]:
        """What was asked of it, by kind."""
        return Counter(request.kind for request in self.server.log)

    def moved(self) -> tuple[int, int]:
        """The bytes fetched and stored, of objects that are there now."""
        sizes, of = self.sizes(), Counter((request.kind, request.name) for request in self.server.log)
        return sum(of["media", name] * size for name, size in sizes.items()), sum(sizes.values())

    def sizes(self) -> dict[str, int]:
        """The objects and their sizes."""
        return {name: len(blob.data) for name, blob in self.server.buckets[NAME].items()}

    def download(self, name: str, path: Path) -> None:
        """Write an object to a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.server.buckets[NAME][name].data)
