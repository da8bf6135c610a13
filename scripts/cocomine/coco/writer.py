"""Writing COCO JSON from records that are bytes already, so that a kept record stays byte for byte as in its source."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from cocomine.base.files import atomic_path

SEPARATOR: Final = b",\n"
"""Between two records. Records side by side in the source may be passed as one block, with its own separators."""

BUFFER: Final = 1 << 20


class Copied(Protocol):
    """A block of records that appends itself to a file, as a long span of a source does without being read."""

    def copy_to(self, out: BinaryIO) -> None:
        """Append the block to `out`."""


def write_document(
    path: Path,
    info_raw: bytes | None,
    licenses_raw: bytes | None,
    images: Iterable[bytes | Copied],
    annotations: Iterable[bytes | Copied],
    categories: Iterable[bytes] | None,
    extra: Mapping[str, bytes] | None = None,
) -> None:
    """Write a COCO document to `path` atomically.

    Each item of `images`, `annotations` and `categories` is the JSON text of one record, or a block of records that lie
    side by side in the source, with its separators. `info_raw` and `licenses_raw` are JSON texts, None where the
    source has none (the key is then left out). `categories` is None for captions. `extra` are further top-level keys.
    Items may be anything with a buffer (bytes, memoryview, msgspec.Raw), or with a method `copy_to`.
    """
    with atomic_path(path) as temporary, open(temporary, "wb", buffering=BUFFER) as out:
        before = b"{"
        for key, raw in (("info", info_raw), ("licenses", licenses_raw), *(extra or {}).items()):
            if raw is not None:
                out.write(before + json.dumps(key, ensure_ascii=False).encode("utf-8", "replace") + b": ")
                out.write(raw)
                before = b",\n"
        out.write(before + b'"images": [\n')
        _write_items(out, images)
        out.write(b'],\n"annotations": [\n')
        _write_items(out, annotations)
        out.write(b"]")
        if categories is not None:
            out.write(b',\n"categories": [\n')
            _write_items(out, categories)
            out.write(b"]")
        out.write(b"}\n")


def _write_items(out: BinaryIO, items: Iterable[bytes | Copied]) -> None:
    separator = b""
    for item in items:
        out.write(separator)
        if hasattr(item, "copy_to"):
            item.copy_to(out)
        else:
            out.write(item)
        separator = SEPARATOR
    out.write(b"\n" if separator else b"")
