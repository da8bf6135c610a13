"""What the tests of syncs share: an S3, and a sync from any kind of origin."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.sync_bench import SyncBench


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """moto's S3."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SyncBench]:
    """A sync from an origin of the kind that the test is parametrised by."""
    kind: str = request.param
    with SyncBench(kind, tmp_path, request.getfixturevalue("s3") if kind == "s3" else "") as made:
        yield made
