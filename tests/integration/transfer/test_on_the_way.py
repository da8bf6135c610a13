"""What lies between a command and the bytes: promised checksums, redirects, the environment's proxy, no credentials."""

import base64
import hashlib
import json
import logging
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import google_crc32c
import pytest
from cocomine.base.files import read_table
from cocomine.transfer.behaviour import Behaviour
from cocomine.transfer.web import Web
from helpers.fault_proxy import Fault, FaultProxy
from helpers.forward_proxy import ForwardProxy
from helpers.gcs_server import GcsServer
from helpers.range_server import RangeServer
from helpers.sync import Result, script, tree
from helpers.sync_bench import SyncBench, repr_digest
from helpers.tls import make_certificate


def b64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def content_md5(data: bytes) -> dict[str, str]:
    return {"Content-MD5": b64(hashlib.md5(data).digest())}


def of_s3(data: bytes) -> dict[str, str]:
    return {"x-amz-request-id": "1", "ETag": f'"{hashlib.md5(data).hexdigest()}"'}


def of_s3_encrypted(data: bytes) -> dict[str, str]:
    return {
        "x-amz-request-id": "1",
        "ETag": f'"{hashlib.md5(b"!").hexdigest()}"',
        "x-amz-server-side-encryption": "aws:kms",
    }


def of_s3_in_parts(data: bytes) -> dict[str, str]:
    return {"x-amz-request-id": "1", "ETag": f'"{hashlib.md5(b"!").hexdigest()}-2"'}


def goog_md5(data: bytes) -> dict[str, str]:
    return {"x-goog-hash": f"md5={b64(hashlib.md5(data).digest())}"}


def goog_crc32c(data: bytes) -> dict[str, str]:
    return {"x-goog-hash": f"crc32c={b64(struct.pack('>I', google_crc32c.value(data)))}"}


Promise = Callable[[bytes], dict[str, str]]
PROMISES = [repr_digest, content_md5, of_s3, goog_md5, goog_crc32c]


@pytest.fixture
def https(tmp_path: Path) -> Iterator[SyncBench]:
    with SyncBench("https", tmp_path, count=10) as bench:
        yield bench


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promised_checksum_reveals_a_flipped_byte_and_the_file_is_fetched_again(
    https: SyncBench, promise: Promise
) -> None:
    assert isinstance(https.server, RangeServer)
    https.server.promise = promise
    https.proxy.inject(https.remote(https.victim), Fault("flip", flip_at=100_000))
    https.run().ok()
    assert https.held() == https.truth
    assert len(https.proxy.asked(https.remote(https.victim))) == 2


@pytest.mark.parametrize("promise", PROMISES)
def test_a_file_that_breaks_its_promise_each_time_is_named_and_never_kept(https: SyncBench, promise: Promise) -> None:
    assert isinstance(https.server, RangeServer)
    https.server.promise = lambda data: promise(b"other" if data == https.truth[https.victim] else data)
    result = https.run()
    assert result.code == 1
    https.judge(result)
    assert set(https.truth) - set(https.held()) == {https.victim}
    assert "corrupted" in result.err


@pytest.mark.parametrize("promise", [of_s3_encrypted, of_s3_in_parts])
def test_an_etag_that_is_no_checksum_is_not_taken_for_one(https: SyncBench, promise: Promise) -> None:
    assert isinstance(https.server, RangeServer)
    https.server.promise = promise
    https.run().ok()
    assert https.held() == https.truth


# -- redirects


def moved_to(url: str, status: int = 302) -> Fault:
    return Fault("moved", status=status, headers={"Location": url})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_server_is_followed(https: SyncBench, status: int) -> None:
    with FaultProxy(https.server.url) as elsewhere:
        https.proxy.inject(
            https.remote(https.victim), moved_to(f"{elsewhere.url}/{https.victim}", status), 9, method="GET|HEAD"
        )
        https.run().ok()
        assert https.held() == https.truth
        assert elsewhere.asked(https.victim)


def test_a_redirect_that_leads_in_a_circle_ends_and_names_the_file(https: SyncBench) -> None:
    https.proxy.inject(https.remote(https.victim), moved_to(f"/{https.victim}"), 10_000)
    result = https.run()
    assert result.code == 1
    https.judge(result)
    assert "too many redirects" in result.err
    assert len(https.proxy.asked(https.remote(https.victim))) < 30


def test_members_are_read_behind_a_redirect_of_the_zip(tmp_path: Path) -> None:
    with SyncBench("zip", tmp_path) as bench, FaultProxy(bench.server.url) as elsewhere:
        bench.proxy.inject("/v.zip", moved_to(f"{elsewhere.url}/v.zip"), 10_000, method="GET|HEAD")
        bench.run().ok()
        assert bench.held() == bench.truth


def test_an_object_that_is_redirected_is_fetched_from_there(tmp_path: Path) -> None:
    with SyncBench("mirror", tmp_path) as bench, RangeServer(tmp_path / "elsewhere") as elsewhere:
        elsewhere.folder.mkdir()
        (elsewhere.folder / "x").write_bytes(bench.truth[bench.victim])
        bench.proxy.inject(bench.remote(bench.victim), moved_to(f"{elsewhere.url}/x"), 10_000)
        bench.run().ok()
        assert bench.held() == bench.truth
        assert [name for _, name, _ in elsewhere.log] == ["x"]


def test_a_token_goes_along_at_home_and_is_not_shown_to_another_host(https: SyncBench) -> None:
    web = Web(Behaviour(tries=1), lambda renew: "Bearer secret")
    with FaultProxy(https.server.url) as elsewhere:
        https.proxy.inject("/a ", moved_to("/b"))
        https.proxy.inject("/b ", moved_to(f"{elsewhere.url}/{https.victim}"))
        assert web.ask("GET", f"{https.proxy.url}/a").read() == https.truth[https.victim]
        (outside,) = elsewhere.log
        assert "authorization" not in outside.headers
        assert [row.headers.get("authorization") for row in https.proxy.log] == ["Bearer secret"] * 2


# -- a proxy that the environment names


def through(bench: SyncBench, proxy: ForwardProxy, **more: str) -> Result:
    names = {"HTTP_PROXY": proxy.url, "HTTPS_PROXY": proxy.url, "NO_PROXY": ""}
    env = bench.env | names | {key.lower(): value for key, value in names.items()} | more
    return script(*bench.command(), env=env)


@pytest.mark.parametrize("kind", ["mirror", "https", "zip", "annotations"])
def test_all_goes_through_the_proxy_that_the_environment_names(tmp_path: Path, kind: str) -> None:
    with SyncBench(kind, tmp_path) as bench, ForwardProxy() as proxy:
        through(bench, proxy).ok()
        assert bench.held() == bench.truth
        assert len(proxy.log) == len(bench.proxy.log)


def test_tls_goes_through_a_tunnel_of_the_proxy(tmp_path: Path) -> None:
    cert = make_certificate(tmp_path / "tls")
    with GcsServer(tls=cert) as server, ForwardProxy() as proxy, SyncBench("mirror", tmp_path / "in") as bench:
        for name, data in bench.truth.items():
            server.put("b", f"coco/{name}", data)
        bench.env["STORAGE_EMULATOR_HOST"] = server.url
        through(bench, proxy, REQUESTS_CA_BUNDLE=str(cert[0])).ok()
        assert bench.held() == bench.truth
        assert set(proxy.log) == {("CONNECT", server.url.removeprefix("https://"))}


@pytest.mark.parametrize("kind", ["https", "zip", "whole"])
def test_a_file_server_with_a_certificate_of_its_own_is_reached_through_a_tunnel(tmp_path: Path, kind: str) -> None:
    """REQUESTS_CA_BUNDLE names it; without that it is refused, and why is said."""
    cert = make_certificate(tmp_path / "tls")
    with SyncBench(kind, tmp_path / "in") as bench, ForwardProxy() as proxy:
        assert isinstance(bench.server, RangeServer)
        with RangeServer(bench.server.folder, tls=cert) as server:
            bench.proxy.url = server.url  # the command is given this address
            result = through(bench, proxy)
            assert result.code == 1
            assert "its TLS certificate does not verify: self-signed certificate" in result.err
            assert tree(bench.out) == {}
            through(bench, proxy, REQUESTS_CA_BUNDLE=str(cert[0])).ok()
            assert bench.held() == bench.truth
            assert set(proxy.log) == {("CONNECT", server.url.removeprefix("https://"))}


def test_the_proxy_that_only_capitals_name_is_used_too(tmp_path: Path) -> None:
    with SyncBench("mirror", tmp_path) as bench, ForwardProxy() as proxy:
        script(*bench.command(), env=bench.env | {"HTTP_PROXY": proxy.url, "NO_PROXY": ""}).ok()
        assert bench.held() == bench.truth
        assert len(proxy.log) == len(bench.proxy.log)


def test_certificates_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "bundle.pem").write_text("no certificate")
    with GcsServer(tls=make_certificate(tmp_path / "tls")) as server:
        server.buckets["b"] = {}
        env = {"STORAGE_EMULATOR_HOST": server.url, "REQUESTS_CA_BUNDLE": str(tmp_path / "bundle.pem")}
        result = script("sync_bucket.py", "gs://b", tmp_path / "out", env=env)
    assert result.code == 1
    assert "bundle.pem: cannot be read as certificates" in result.err


def test_no_proxy_is_honoured(tmp_path: Path) -> None:
    with SyncBench("mirror", tmp_path) as bench, ForwardProxy() as proxy:
        through(bench, proxy, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1").ok()
        assert bench.held() == bench.truth
        assert not proxy.log


# -- S3 without credentials


def test_a_public_s3_bucket_is_read_without_credentials_and_without_a_signature(tmp_path: Path) -> None:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        with SyncBench("s3", tmp_path, f"http://{host}:{port}", count=10) as bench:
            settings = {"origins": [{**bench.origin, "credentials": "anonymous"}]}
            arguments = bench.command()
            arguments[arguments.index("--settings") + 1] = json.dumps(settings)
            env = {"AWS_DEFAULT_REGION": "us-east-1", "HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
            script(*arguments, env=env).ok()
            assert tree(bench.out) == bench.truth
            assert bench.proxy.log
            assert not [row for row in bench.proxy.log if "authorization" in row.headers]
            rows = list(read_table(tmp_path / "images.lock.tsv"))
            assert all(row["origin"].startswith("s3://") for row in rows)
            # With the search for credentials, which finds none, the command says what to do.
            (bench.out / bench.victim).unlink()
            result = script(*bench.command(), env=env)
            assert result.code == 1
            assert "credentials: anonymous" in result.err
    finally:
        server.stop()
