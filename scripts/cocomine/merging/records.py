"""The text of a record under the ids of a merged source, whatever else stands in it, and however odd."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from cocomine.annotations.lenient import Facts, as_id, parse_leniently
from cocomine.mining.splice import items_of, spliced, values_of

SOURCE: Final = "source_name"
"""The key of an image's record that names the source it came from."""

OWN: Final = "source_category_id"
"""The key of the id that the source gives a record's category, where that is another."""

_PLAIN: Final = re.compile(rb'("category_id"\s*:\s*)([0-9]{1,19})(?=[\s,}])')
_KEY: Final = b'"category_id"'


def with_ids(text: bytes, ids: Mapping[int, int]) -> bytes:
    """Return the text of a record with a category, its id the one that `ids` gives for it, its own beside it.

    Where none is given it is as it was. An id that is written as text, or as a float, stays one, so that what was odd
    with a record still is.
    """
    if _is_plain(text) and text.count(_KEY) == 1 and (match := _PLAIN.search(text)) is not None:
        # Where the key stands once, it is the record's own.
        return b"".join((text[: match.start()], _replaced(match, ids), text[match.end() :]))
    stated = values_of(text, ("category_id",)).get("category_id") if _is_object(text) else None
    if stated is None or (new := _rewritten(stated, ids)) == stated:
        return text
    return spliced(text, {"category_id": new, OWN: stated})


def panoptic_with_ids(text: bytes, ids: Mapping[int, int]) -> bytes:
    """Return the text of a panoptic record, every segment's category as `with_ids` has it."""
    if _is_plain(text) and len(_PLAIN.findall(text)) == text.count(_KEY):
        return _PLAIN.sub(lambda match: _replaced(match, ids), text)
    segments = values_of(text, ("segments_info",)).get("segments_info", b"") if _is_object(text) else b""
    if not segments.startswith(b"["):
        return text
    new = b", ".join(with_ids(segment, ids) for segment in items_of(segments))
    return spliced(text, {"segments_info": b"[%s]" % new})


def image_of(source: str, text: bytes, licences: Mapping[int, int]) -> bytes:
    """Return the text of an image's record that names its `source`, its licence under the id that is given for it."""
    return _with_id(text, "license", licences, {SOURCE: b'"%s"' % source.encode()})


def category_with_id(text: bytes, ids: Mapping[int, int]) -> bytes:
    """Return the text of a category's record under the id that is given for its own."""
    return _with_id(text, "id", ids, {})


def _is_plain(text: bytes) -> bool:
    return b"\\" not in text and b'"source_category_id"' not in text


def _replaced(match: re.Match[bytes], ids: Mapping[int, int]) -> bytes:
    own = int(match[2])
    new = ids.get(own, own)
    return match[0] if new == own else match[1] + b'%d, "%s": %s' % (new, OWN.encode(), match[2])


def _with_id(text: bytes, key: str, ids: Mapping[int, int], more: Mapping[str, bytes]) -> bytes:
    """Return the text of an object with another id under `key`, and `more` values."""
    if not _is_object(text):
        return text
    stated = values_of(text, (key,)).get(key)
    changed = {} if stated is None or (new := _rewritten(stated, ids)) == stated else {key: new}
    return spliced(text, {**changed, **more}) if changed or more else text


def _rewritten(stated: bytes, ids: Mapping[int, int]) -> bytes:
    """Return the JSON of an id as that of the id given for it, in the form in which it is written."""
    own = as_id(parse_leniently(stated, Facts()))[0]
    new = ids.get(own, own)
    if new == own:
        return stated
    if stated.startswith(b'"'):
        return b'"%d"' % new
    return b"%d.0" % new if b"." in stated else b"%d" % new


def _is_object(text: bytes) -> bool:
    return text.lstrip().startswith(b"{")
