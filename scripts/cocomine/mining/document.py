"""Writing a COCO document of records that are copied from annotation files, with what stands beside them there."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from cocomine.annotations.lenient import Facts, parse_leniently, replace_non_finite
from cocomine.base.files import canonical_json
from cocomine.coco.writer import write_document
from cocomine.mining.examine import Spans
from cocomine.mining.index import Source
from cocomine.mining.relabel import Relabel
from cocomine.mining.spans import FileBlock, SpanFile, coalesce, copied

log = logging.getLogger("cocomine")


def write_records(
    path: Path,
    source: Source,
    files: Sequence[SpanFile],
    spill: SpanFile | None,
    images: Spans,
    labels: Spans,
    categories: Sequence[bytes] | None,
    relabels: tuple[Relabel, Relabel] | None = None,
) -> None:
    """Write the records at the spans of `images` and `labels`; `spill` holds those that were repaired.

    `relabels` change the text of every image and of every label; without them the records are copied.
    """
    of_image, of_label = relabels or (None, None)
    write_document(
        path,
        _info(source, files),
        _licences(source, files),
        _pieces(files, spill, images, of_image),
        _pieces(files, spill, labels, of_label),
        categories,
        extra=_other_keys(source, files),
    )


def _pieces(
    files: Sequence[SpanFile], spill: SpanFile | None, spans: Spans, relabel: Relabel | None
) -> Iterator[bytes | FileBlock]:
    """Yield the bytes of records in their order: neighbours of one file as one block or, relabelled, one by one."""
    cuts = np.append(np.flatnonzero(np.diff(spans.file) != 0) + 1, len(spans.file))
    begin = 0
    for cut in cuts.tolist():
        if cut == begin:
            continue
        part = slice(begin, cut)
        number = int(spans.file[begin])
        file = files[number] if number >= 0 else spill
        assert file is not None
        if relabel is None:
            yield from copied(file, *coalesce(spans.sequence[part], spans.offset[part], spans.length[part]))
        else:
            places = zip(spans.offset[part].tolist(), spans.length[part].tolist(), strict=True)
            yield from (relabel(file.raw(offset, length)) for offset, length in places)
        begin = cut


def _info(source: Source, files: Sequence[SpanFile]) -> bytes | None:
    """The first split's `info` that there is; others that differ are told of, since a document has room for one."""
    texts = [
        (split.source_file, _as_json(file.raw(*map(int, split.manifest["info_span"]))))
        for split, file in zip(source.splits, files, strict=True)
        if split.manifest.get("info_span")
    ]
    for name, text in texts:
        if text != texts[0][1]:
            log.info("note: the subset has the `info` of %s; that of %s differs and is left out", texts[0][0], name)
    return texts[0][1] if texts else None


def _other_keys(source: Source, files: Sequence[SpanFile]) -> dict[str, bytes]:
    """The values of top-level keys that COCO does not define, each of the first split that has it."""
    result: dict[str, bytes] = {}
    for split, file in zip(source.splits, files, strict=True):
        for key, span in dict(split.manifest.get("unknown_top_level_keys") or {}).items():
            if key not in result:
                result[key] = _as_json(file.raw(*map(int, span)))
    return result


def _as_json(raw: bytes) -> bytes:
    """Return the bytes as they are or, where they are no strict JSON (NaN, bad text), the nearest that is."""
    try:
        msgspec.json.decode(raw, type=msgspec.Raw)
        raw.decode("utf-8")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = replace_non_finite(parse_leniently(raw, Facts()), lambda _: None)
        return json.dumps(value, ensure_ascii=False).encode()
    return raw


def _licences(source: Source, files: Sequence[SpanFile]) -> bytes | None:
    """The licences byte for byte when the splits agree, else the union of their records."""
    texts = [
        _as_json(file.raw(*map(int, split.manifest["licenses_span"])))
        for split, file in zip(source.splits, files, strict=True)
        if split.manifest.get("licenses_span")
    ]
    if len(set(texts)) <= 1:
        return texts[0] if texts else None
    merged: dict[str, Any] = {}
    for split in source.splits:
        listed = split.manifest.get("licenses")
        for record in listed if isinstance(listed, list) else []:
            key = record.get("id") if isinstance(record, dict) else None
            merged.setdefault(canonical_json(key if key is not None else record), record)
    return canonical_json(list(merged.values())).encode("utf-8")
