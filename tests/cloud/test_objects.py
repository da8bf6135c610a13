"""What Snakemake's plugins say of objects when they ask by listing: what they say when they ask for each by itself."""

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cocomine.base.objects import Bucket, ask_once
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

from cloud.buckets import NAME, GcsBucket, S3Bucket


def provider_of(kind: str, bucket: S3Bucket | GcsBucket, folder: Path) -> Any:
    """Snakemake's plugin, as it makes it."""
    if kind == "s3":
        from snakemake_storage_plugin_s3 import StorageProvider, StorageProviderSettings

        settings = StorageProviderSettings(endpoint_url=bucket.environment["SNAKEMAKE_STORAGE_S3_ENDPOINT_URL"])
        return StorageProvider(local_prefix=folder, logger=logging.getLogger(), settings=settings)
    from snakemake_storage_plugin_gcs import StorageProvider, StorageProviderSettings

    settings = StorageProviderSettings(project="project")
    return StorageProvider(local_prefix=folder, logger=logging.getLogger(), settings=settings)


@pytest.fixture(params=["s3", "gcs"])
def made(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Any, Callable[[str], Any], Callable[[str], Any], Bucket]]:
    """A bucket, its objects by a plugin of ours and by one as it comes, and what the first knows."""
    kind = request.param
    with {"s3": S3Bucket, "gcs": GcsBucket}[kind]() as bucket:
        for name, value in bucket.environment.items():
            monkeypatch.setenv(name, value)
        ours, plain = provider_of(kind, bucket, tmp_path / "ours"), provider_of(kind, bucket, tmp_path / "plain")
        known = ask_once(ours, bucket.prefix, type("Executor", (RemoteExecutor,), {}))
        yield (
            bucket,
            lambda name: ours.object(f"{bucket.prefix}/{name}"),
            lambda name: plain.object(f"{bucket.prefix}/{name}"),
            known,
        )


def stored(one: Any, content: bytes) -> None:
    """Store an object as Snakemake does."""
    one.local_path().parent.mkdir(parents=True, exist_ok=True)
    one.local_path().write_bytes(content)
    one.store_object()


def test_it_says_what_the_plugin_says(made: tuple[Any, Any, Any, Bucket]) -> None:
    bucket, ours, plain, _ = made
    stored(plain("results/a.tsv"), b"written")
    stored(plain("results/folder/b.tsv"), b"below")
    for name in ("results/a.tsv", "results/folder", "results/folder/b.tsv", "results/no.tsv", "data/no.tsv"):
        assert ours(name).exists() == plain(name).exists(), name
    assert ours("results/a.tsv").mtime() == plain("results/a.tsv").mtime()
    assert ours("results/folder").mtime() == plain("results/folder").mtime()
    assert ours("results/a.tsv").size() == len(b"written")
    before = bucket.requests.total()
    for _ in range(100):
        assert ours("results/a.tsv").exists()
        assert not ours("results/no.tsv").exists()
        with pytest.raises(FileNotFoundError):
            ours("results/no.tsv").size()
    assert bucket.requests.total() == before


def test_what_it_stores_and_removes_itself_it_knows_and_what_others_do_it_asks_for_when_told(
    made: tuple[Any, Any, Any, Bucket],
) -> None:
    _, ours, plain, known = made
    assert not ours("results/a.tsv").exists()
    stored(ours("results/a.tsv"), b"first")
    assert (ours("results/a.tsv").exists(), ours("results/a.tsv").size()) == (True, 5)
    stored(plain("results/a.tsv"), b"by a job on another machine")
    stored(plain("results/b.tsv"), b"also")
    known.forget()
    assert ours("results/a.tsv").size() == len(b"by a job on another machine")
    assert ours("results/b.tsv").exists()
    ours("results/a.tsv").remove()
    assert not ours("results/a.tsv").exists()


def fetched(one: Any) -> bytes:
    """Fetch an object as Snakemake does."""
    one.local_path().unlink(missing_ok=True)
    one.retrieve_object()
    return bytes(one.local_path().read_bytes())


def test_to_store_and_to_fetch_an_object_takes_a_request_each(made: tuple[Any, Any, Any, Bucket]) -> None:
    bucket, ours, _, _ = made
    before = bucket.requests.total()
    assert not ours("results/a.tsv").exists()
    for thread in threading.enumerate():
        if "_fetch_background" in thread.name:  # Google's client asks where a bucket lies, for traces
            thread.join()
    assert bucket.requests.total() == before + 1
    before = bucket.requests.total()
    stored(ours("results/a.tsv"), b"first")
    assert bucket.requests.total() == before + 1
    assert ours("results/a.tsv").exists()
    before = bucket.requests.total()
    assert fetched(ours("results/a.tsv")) == b"first"
    assert bucket.requests.total() == before + 1


def test_an_object_that_came_damaged_is_not_taken(made: tuple[Any, Any, Any, Bucket]) -> None:
    bucket, ours, _, _ = made
    if not isinstance(bucket, GcsBucket):
        pytest.skip("not run: moto damages nothing")
    stored(ours("results/a.tsv"), b"first")
    bucket.server.fault = lambda request: {"flip": 0} if request.kind == "media" else None
    with pytest.raises(Exception, match="Checksum mismatch"):
        fetched(ours("results/a.tsv"))


def test_a_machine_fetches_a_content_once_and_another_content_again(
    made: tuple[Any, Any, Any, Bucket], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, ours, plain, known = made
    monkeypatch.setenv("COCOMINE_SCRATCH", str(tmp_path / "scratch"))
    fetched = []
    fetch = type(plain("x")).retrieve_object
    monkeypatch.setattr(type(plain("x")), "retrieve_object", lambda one: (fetched.append(one.key), fetch(one)))
    for content in (b"first", b"other"):
        stored(plain("results/a.tar"), content)
        known.forget()
        for _ in range(2):  # two jobs
            one = ours("results/a.tar")
            one.local_path().parent.mkdir(parents=True, exist_ok=True)
            one.local_path().unlink(missing_ok=True)
            one.retrieve_object()
            assert one.local_path().read_bytes() == content
    assert fetched == ["build/results/a.tar"] * 2


def test_a_bucket_that_is_not_there_is_made_as_ever(made: tuple[Any, Any, Any, Bucket]) -> None:
    bucket, ours, _, _ = made
    if isinstance(bucket, GcsBucket):
        pytest.skip("not run: our server of Google Cloud Storage makes no buckets")
    bucket.client.delete_bucket(Bucket=NAME)
    assert not ours("results/a.tsv").exists()
    stored(ours("results/a.tsv"), b"first")
    assert ours("results/a.tsv").exists()
