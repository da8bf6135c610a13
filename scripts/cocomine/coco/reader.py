"""Reading COCO JSON back: a whole (subset) document in typed form, and single records by their byte spans."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from cocomine.base.errors import CocomineError


class Image(msgspec.Struct, gc=False):
    """An image of a COCO document. `raw` is the record's JSON text, byte for byte."""

    id: int
    file_name: str = ""
    width: int = -1
    height: int = -1
    license: int | None = None
    coco_url: str | None = None
    flickr_url: str | None = None
    date_captured: str | None = None
    raw: msgspec.Raw = msgspec.Raw()


class Annotation(msgspec.Struct):
    """An annotation of a COCO document: of an object, a caption, or a panoptic image with its segments.

    `bbox` is [x, y, width, height] in pixels; `segmentation` a list of polygons [x0, y0, x1, y1, …] or run lengths
    {"size": [height, width], "counts": list or text}. `raw` is the record's JSON text, byte for byte.
    """

    image_id: int
    id: int = -1
    category_id: int = -1
    iscrowd: int = 0
    area: float | None = None
    bbox: list[float] | None = None
    segmentation: list[list[float]] | dict[str, Any] | None = None
    keypoints: list[float] | None = None
    num_keypoints: int | None = None
    caption: str | None = None
    file_name: str | None = None
    segments_info: list[dict[str, Any]] | None = None
    raw: msgspec.Raw = msgspec.Raw()


class Category(msgspec.Struct):
    """A category of a COCO document. `raw` is the record's JSON text, byte for byte."""

    id: int
    name: str = ""
    supercategory: str | None = None
    isthing: int | None = None
    keypoints: list[str] | None = None
    skeleton: list[list[int]] | None = None
    raw: msgspec.Raw = msgspec.Raw()


class Document(msgspec.Struct):
    """A COCO document in memory; the records stand in the file's order.

    `info` and `licenses` are parsed, None when absent; `info_raw` and `licenses_raw` are their JSON texts.
    """

    info: Any
    licenses: Any
    images: list[Image]
    annotations: list[Annotation]
    categories: list[Category]
    info_raw: bytes | None
    licenses_raw: bytes | None


_TOP = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RECORDS = msgspec.json.Decoder(list[msgspec.Raw])
_IMAGE = msgspec.json.Decoder(Image)
_ANNOTATION = msgspec.json.Decoder(Annotation)
_ANNOTATIONS = msgspec.json.Decoder(list[Annotation])
_CATEGORY = msgspec.json.Decoder(Category)

RECORDS_AT_ONCE = 1000


def load_document(path: Path) -> Document:
    """Read a COCO document of a few hundred megabytes at most, such as subset.json, into memory.

    A field of another type than COCO's, which policy may have kept, counts as absent. Raises CocomineError when the
    file is missing, is no JSON, or an id is no integer: this reads what cocomine wrote; a foreign file is indexed
    instead.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise CocomineError(f"{path}: no such file", "run the step that writes it first") from error
    try:
        top = _TOP.decode(content.removeprefix(b"\xef\xbb\xbf"))
        return Document(
            info=_parse(top.get("info")),
            licenses=_parse(top.get("licenses")),
            images=_decode_all(_IMAGE, top.get("images")),
            annotations=_decode_all(_ANNOTATION, top.get("annotations")),
            categories=_decode_all(_CATEGORY, top.get("categories")),
            info_raw=bytes(top["info"]) if "info" in top else None,
            licenses_raw=bytes(top["licenses"]) if "licenses" in top else None,
        )
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CocomineError(
            f"{path}: not a COCO document: {error}",
            "if it is one of cocomine's results, delete it and run snakemake again",
        ) from error


def _parse(raw: msgspec.Raw | None) -> Any:
    return None if raw is None else msgspec.json.decode(raw)


def annotations_of(texts: Iterable[bytes]) -> list[Annotation]:
    """Decode annotation records that cocomine wrote, as `load_document` does; their `raw` stays empty."""
    every, result = iter(texts), []
    while some := list(islice(every, RECORDS_AT_ONCE)):
        try:
            result += _ANNOTATIONS.decode(b"[" + b",".join(some) + b"]")
        except msgspec.ValidationError:
            result += [_decoded(_ANNOTATION, text) for text in some]
    return result


def images_of(texts: Iterable[bytes]) -> list[Image]:
    """Decode image records that cocomine wrote, as `load_document` does; their `raw` stays empty."""
    return [_decoded(_IMAGE, text) for text in texts]


def _decode_all(decoder: Any, raw: msgspec.Raw | None) -> list[Any]:
    result = []
    for text in [] if raw is None else _RECORDS.decode(raw):
        record = _decoded(decoder, text)
        record.raw = text
        result.append(record)
    return result


def _decoded(decoder: Any, text: bytes | msgspec.Raw) -> Any:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:
        return _without_strange_fields(decoder.type, text)


def _without_strange_fields(kind: Any, text: bytes | msgspec.Raw) -> Any:
    """Decode a record of which a policy kept a field of another type than COCO's: as if it had not that field.

    Raises msgspec.ValidationError when an id, which has no default, is such a field.
    """
    record = msgspec.json.decode(text)
    if isinstance(record, dict):
        for item in msgspec.structs.fields(kind):
            if not item.required and item.name in record and not _fits(record[item.name], item.type):
                del record[item.name]
    return msgspec.convert(record, kind)


def _fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True
