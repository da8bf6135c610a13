"""Records under the classes of a subset: their new category ids, with the source's ids beside them.

A record gets `source_category_id` beside `category_id`, a panoptic record in each of its segments. The lists of
categories that LVIS gives an image follow: a class is known to be absent where all its categories are, and not
exhaustively labelled where one of them is not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from cocomine.annotations.records import Facts, as_id, parse_leniently, replace_non_finite
from cocomine.mining.categories import Category, source_values
from cocomine.mining.index import Source

KEY: Final = b'"category_id"'
_PLAIN: Final = re.compile(rb'"category_id"\s*:\s*[0-9]+(?=[\s,}])')
ABSENT: Final = "neg_category_ids"
PARTLY: Final = "not_exhaustive_category_ids"

Relabel = Callable[[bytes], bytes]


def relabels_of(source: Source, task: str) -> tuple[Relabel, Relabel] | None:
    """Return what rewrites the images and the records of a task; None where they stay as they are."""
    if source.crosswalk is None or task == "captions":
        return None
    return relabel_image(source), relabel_panoptic(source) if task == "panoptic" else relabel_annotation(source)


def relabel_image(source: Source) -> Relabel:
    """Return what makes the text of an image's record one that speaks of the subset's classes."""

    def relabel(text: bytes) -> bytes:
        if b"_category_ids" not in text:
            return text
        record = _parsed(text)
        for key, judge in ((ABSENT, all), (PARTLY, any)):
            if isinstance(record.get(key), list):
                stated = {as_id(value)[0] for value in record[key]}
                record[f"source_{key}"] = record[key]
                record[key] = [
                    category.id
                    for category in source.categories
                    if judge(member.id in stated for member in category.of_source)
                ]
        return _text(record)

    return relabel


def relabel_annotation(source: Source) -> Relabel:
    """Return what gives the text of an annotation the id of its class, and its own id beside it."""

    def relabel(text: bytes) -> bytes:
        match = _PLAIN.search(text)
        # Where the key stands once and nothing is escaped, it is the record's own; the text is then cut and joined.
        if match is not None and text.count(KEY) == 1 and b"\\" not in text and b'"source_category_id"' not in text:
            old = int(match[0].rpartition(b":")[2])
            return b"".join((text[: match.start()], _keys(source, old), text[match.end() :]))
        return _text(_with_class(source, _parsed(text)))

    return relabel


def relabel_panoptic(source: Source) -> Relabel:
    """Return what gives every segment of a panoptic record's text the id of its class, and its own id beside it."""

    def relabel(text: bytes) -> bytes:
        record = _parsed(text)
        record["segments_info"] = [_with_class(source, segment) for segment in record["segments_info"]]
        return _text(record)

    return relabel


def class_records(source: Source, records: Iterable[tuple[int, bytes]]) -> list[bytes]:
    """Return the category records of the classes that `records` become, given as ids and texts; by id.

    A class's record says what those of its categories agree on, under its own id and name, and names them.
    """
    found: dict[int, tuple[Category, list[Mapping[str, Any]]]] = {}
    for identity, text in records:
        category = source.category_of(identity)
        assert category is not None, f"category {identity} is in no class"
        found.setdefault(category.id, (category, []))[1].append(_parsed(text))
    return [_class_record(*found[identity]) for identity in sorted(found)]


def _class_record(category: Category, members: Sequence[Mapping[str, Any]]) -> bytes:
    shared = {key: value for key, value in members[0].items() if all(one.get(key) == value for one in members[1:])}
    own = {"id": category.id, "name": category.stated, "source_categories": source_values(category)}
    return _text({**shared, **own})


def _keys(source: Source, old: int) -> bytes:
    category = source.category_of(old)
    assert category is not None, f"category {old} is in no class"
    return b'"category_id": %d, "source_category_id": %d' % (category.id, old)


def _with_class(source: Source, record: dict[str, Any]) -> dict[str, Any]:
    old = as_id(record["category_id"])[0]
    category = source.category_of(old)
    assert category is not None, f"category {old} is in no class"
    return record | {"category_id": category.id, "source_category_id": old}


def _parsed(text: bytes) -> dict[str, Any]:
    record: dict[str, Any] = parse_leniently(text, Facts())
    return record


def _text(record: Mapping[str, Any]) -> bytes:
    return json.dumps(replace_non_finite(record, lambda _: None), ensure_ascii=False, allow_nan=False).encode()
