"""Copies of checkpoints in buckets, as GCS's and S3's servers on loopback keep them."""

import boto3
import pytest
from cocomine.base.errors import CocomineError
from cocomine.learning import checkpoint
from helpers.gcs_server import GcsServer
from moto.server import ThreadedMotoServer

pytestmark = pytest.mark.slow


@pytest.fixture
def gcs(monkeypatch):
    """A bucket `b` of GCS; returns a place in it, and what says the names of its objects."""
    server = GcsServer()
    server.buckets["b"] = {}
    with server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield "gs://b/runs/one", lambda: sorted(server.buckets["b"])


@pytest.fixture
def s3(monkeypatch):
    """The same of S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    for name, value in {
        "AWS_ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port()), "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="runs")
    yield (
        "s3://runs/runs/one",
        lambda: [row["Key"] for row in client.list_objects_v2(Bucket="runs").get("Contents", [])],
    )
    server.stop()


@pytest.mark.parametrize("kind", ["gcs", "s3"])
def test_a_copy_is_replaced_brought_to_another_machine_and_removed_at_the_end(tmp_path, request, kind):
    place, names = request.getfixturevalue(kind)
    first = checkpoint.Store(tmp_path / "first", "k" * 64, place)
    first.fetch()
    assert first.load() is None
    for step in (1, 2):
        first.save({"step": step})
    assert names() == [f"runs/one/{'k' * 32}.pt"]
    second = checkpoint.Store(tmp_path / "second", "k" * 64, place)
    second.fetch()
    assert second.load() == {"step": 2, "key": "k" * 64}
    second.remove()
    assert names() == []


def test_a_bucket_that_cannot_be_asked_for_its_copy_stops_before_training_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    store = checkpoint.Store(tmp_path, "k", "gs://b/runs")
    with pytest.raises(CocomineError, match=r"gs://b/runs"):
        store.fetch()
