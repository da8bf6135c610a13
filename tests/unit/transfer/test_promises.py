"""What an HTTP answer promises of a file, and what is made of bytes that keep the promise and break a pin."""

import base64
import hashlib
from pathlib import Path

import pytest
from cocomine.transfer.attempts import ChangedError, CorruptedError, NotServedError
from cocomine.transfer.behaviour import Behaviour
from cocomine.transfer.digests import Digester
from cocomine.transfer.pins import differs
from cocomine.transfer.promises import checked, promised
from cocomine.transfer.receiving import Target, receive
from cocomine.transfer.records import Facts, Outcome, Want
from cocomine.transfer.web import Answer

DATA = b"an image"
MD5, SHA256 = hashlib.md5(DATA).hexdigest(), hashlib.sha256(DATA).hexdigest()
S3 = {"x-amz-request-id": "1"}


def in_base64(text: str) -> str:
    return base64.b64encode(bytes.fromhex(text)).decode()


def answer(headers: dict[str, str]) -> Answer:
    return Answer(200, {name.lower(): text for name, text in {"Content-Length": str(len(DATA)), **headers}.items()})


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, {}),
        ({"ETag": f'"{MD5}"'}, {}),
        ({"ETag": f'"{MD5}"', **S3}, {"md5": MD5}),
        ({"ETag": f'"{MD5}-4"', **S3}, {}),
        ({"ETag": f'"{MD5}"', **S3, "x-amz-server-side-encryption": "aws:kms"}, {}),
        ({"ETag": f'"{MD5}"', **S3, "x-amz-server-side-encryption": "AES256"}, {"md5": MD5}),
        ({"Content-MD5": in_base64(MD5)}, {"md5": MD5}),
        ({"Content-MD5": "nonsense!"}, {}),
        ({"Repr-Digest": f"sha-256=:{in_base64(SHA256)}:"}, {"sha256": SHA256}),
        ({"Repr-Digest": f"md5=:x:, sha-256=:{in_base64(SHA256)}:"}, {"sha256": SHA256}),
        ({"x-goog-hash": f"crc32c=AAAAAA==, md5={in_base64(MD5)}"}, {"crc32c": "00000000", "md5": MD5}),
    ],
)
def test_checksums_are_taken_from_where_an_origin_is_known_to_put_them(
    headers: dict[str, str], expected: dict[str, str]
) -> None:
    assert promised(answer(headers)) == expected


def test_a_promise_of_other_bytes_than_those_pinned_is_refused_before_they_come() -> None:
    want = Want("x.jpg", "x.jpg", sha256="0" * 64)
    with pytest.raises(NotServedError, match="changed at the origin") as caught:
        checked(want, answer({"Repr-Digest": f"sha-256=:{in_base64(SHA256)}:"}))
    assert caught.value.status == "refused"


@pytest.mark.parametrize(
    ("known", "error"),
    [
        ({"md5": MD5}, ChangedError),
        ({"etag": "crc32:01234567"}, ChangedError),
        ({"md5": "0" * 32}, CorruptedError),
        ({"etag": "v1"}, CorruptedError),  # nothing was promised of the bytes: another try may help
    ],
)
def test_a_kept_promise_that_breaks_a_pin_is_no_corruption(
    tmp_path: Path, known: dict[str, str], error: type[Exception]
) -> None:
    want = Want("x.jpg", "x.jpg", len(DATA), sha256="0" * 64, **known)
    with pytest.raises(error):
        receive(want, [DATA], Target(tmp_path, tmp_path, lambda count: None, Behaviour()))
    assert not list(tmp_path.iterdir())


def test_an_origin_proves_by_what_both_know_and_by_nothing_else() -> None:
    digest = Digester()
    digest.update(DATA)
    held = Outcome("x", "ok", bytes=len(DATA), md5=digest.md5, crc32c=digest.crc32c, etag="v1")
    assert differs(held, Facts("x", len(DATA), md5=digest.md5, etag="v2")) == ""
    assert differs(held, Facts("x", -1, crc32c=digest.crc32c)) == ""
    assert differs(held, Facts("x", len(DATA), etag="v1")) == ""
    assert "v2 instead of v1" in differs(held, Facts("x", len(DATA), etag="v2"))
    assert "no longer there" in differs(held, None)
    assert "bytes instead of" in differs(held, Facts("x", 1, md5=digest.md5))
    assert "cannot be proven" in differs(held, Facts("x", len(DATA)))
