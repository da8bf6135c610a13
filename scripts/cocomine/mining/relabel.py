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

from cocomine.annotations.lenient import Facts, as_id, parse_leniently, replace_non_finite
from cocomine.mining.categories import Category, source_values
from cocomine.mining.index import Source
from cocomine.mining.splice import items_of, spliced, values_of

KEY: Final = b'"category_id"'
_PLAIN: Final = re.compile(rb'"category_id"\s*:\s*([0-9]+)(?=[\s,}])')
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
        new: dict[str, bytes] = {}
        for key, listed in values_of(text, (ABSENT, PARTLY)).items():
            if not listed.startswith(b"["):
                continue
            stated = [_id(item) for item in items_of(listed)]
            judge = all if key == ABSENT else any
            new[f"source_{key}"] = listed
            held = (one.id for one in source.categories if judge(member.id in stated for member in one.of_source))
            new[key] = b"[%s]" % b", ".join(b"%d" % identity for identity in held)
        return spliced(text, new)

    return relabel


def relabel_annotation(source: Source) -> Relabel:
    """Return what gives the text of an annotation the id of its class, and its own id beside it."""

    def relabel(text: bytes) -> bytes:
        match = _PLAIN.search(text)
        # Where the key stands once and nothing is escaped, it is the record's own, which is then soon found.
        if match is not None and text.count(KEY) == 1 and b"\\" not in text and b'"source_category_id"' not in text:
            keys = b'"category_id": %d, "source_category_id": %d' % _new_and_old(source, match[1])
            return b"".join((text[: match.start()], keys, text[match.end() :]))
        return _with_class(source, text)

    return relabel


def relabel_panoptic(source: Source) -> Relabel:
    """Return what gives every segment of a panoptic record's text the id of its class, and its own id beside it."""

    def relabel(text: bytes) -> bytes:
        segments = items_of(values_of(text, ("segments_info",))["segments_info"])
        return spliced(text, {"segments_info": b"[%s]" % b", ".join(_with_class(source, one) for one in segments)})

    return relabel


def class_records(source: Source, records: Iterable[tuple[int, bytes]]) -> list[bytes]:
    """Return the category records of the classes that `records` become, given as ids and texts; by id.

    A class's record says what those of its categories agree on, under its own id and name, and names them.
    """
    found: dict[int, tuple[Category, list[Mapping[str, Any]]]] = {}
    for identity, text in records:
        category = source.category_of(identity)
        assert category is not None, f"category {identity} is in no class"
        found.setdefault(category.id, (category, []))[1].append(parse_leniently(text, Facts()) or {})
    return [_class_record(*found[identity]) for identity in sorted(found)]


def _class_record(category: Category, members: Sequence[Mapping[str, Any]]) -> bytes:
    shared = {key: value for key, value in members[0].items() if all(one.get(key) == value for one in members[1:])}
    own = {"id": category.id, "name": category.stated, "source_categories": source_values(category)}
    values = replace_non_finite({**shared, **own}, lambda _: None)
    return json.dumps(values, ensure_ascii=False, allow_nan=False).encode()


def _with_class(source: Source, text: bytes) -> bytes:
    new, old = _new_and_old(source, values_of(text, ("category_id",))["category_id"])
    return spliced(text, {"category_id": b"%d" % new, "source_category_id": b"%d" % old})


def _new_and_old(source: Source, text: bytes) -> tuple[int, int]:
    """The id of the class of a category, and its own as the index reads it; `text` is the id's JSON."""
    old = _id(text)
    category = source.category_of(old)
    assert category is not None, f"category {old} is in no class"
    return category.id, old


def _id(text: bytes) -> int:
    return as_id(parse_leniently(text, Facts()))[0]
