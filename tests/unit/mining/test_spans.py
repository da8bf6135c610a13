"""What copying records promises: the file is the one that was indexed, byte for byte."""

import hashlib
from pathlib import Path

import pytest
from cocomine.base.errors import CocomineError
from cocomine.mining.spans import SpanFile


@pytest.mark.parametrize("change", ["write", "cut", "exchange", "remove"])
def test_a_file_that_changes_while_it_is_copied_is_named(tmp_path: Path, change: str) -> None:
    path, other = tmp_path / "instances_val.json", tmp_path / "other.json"
    path.write_bytes(b'{"id": 1}')
    other.write_bytes(b'{"id": 1}')
    changes = {
        "write": lambda: path.write_bytes(b'{"id": 2}'),
        "cut": lambda: path.write_bytes(b"{"),
        "exchange": lambda: other.replace(path),
        "remove": path.unlink,
    }
    sha256 = hashlib.sha256(b'{"id": 1}').hexdigest()
    with pytest.raises(CocomineError, match="changed while it was read"), SpanFile(path, 9, sha256):
        changes[change]()


def test_a_file_that_is_cut_short_while_it_is_copied_is_named(tmp_path: Path) -> None:
    path = tmp_path / "instances_val.json"
    path.write_bytes(b'{"id": 1}')
    with SpanFile(path, 9) as file:
        path.write_bytes(b"{")
        with pytest.raises(CocomineError, match="changed while it was read"):
            file.raw(1, 4)


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
