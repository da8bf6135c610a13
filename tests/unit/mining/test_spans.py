"""What copying records promises: the file is the one that was indexed, byte for byte."""

import hashlib
from pathlib import Path

import pytest
from cocomine.base.errors import CocomineError
from cocomine.mining.spans import SpanFile


def test_another_file_of_the_same_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "instances_val.json"
    path.write_bytes(b'{"id": 1}')
    sha256 = hashlib.sha256(b'{"id": 1}').hexdigest()
    with SpanFile(path, 9, sha256) as file:
        assert file.raw(1, 4) == b'"id"'
    path.write_bytes(b'{"id": 2}')
    with pytest.raises(CocomineError, match="not as locked: its SHA-256"):
        SpanFile(path, 9, sha256)
    with pytest.raises(CocomineError, match="not as locked: it has 9 bytes"):
        SpanFile(path, 10, sha256)
