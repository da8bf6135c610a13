"""COCO files sliced record by record: each record of a slice is the source's, byte for byte."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cocomine.base.errors import CocomineError
from cocomine.coco.writer import write_document


class _ImageKey(msgspec.Struct, gc=False):
    id: int


class _AnnotationKey(msgspec.Struct, gc=False):
    image_id: int
    category_id: int = -1


@dataclass(frozen=True)
class Sliceable:
    """A COCO file whose records stay text: beside each image its id, beside each annotation its image and category."""

    info: msgspec.Raw | None
    licenses: msgspec.Raw | None
    images: list[tuple[int, msgspec.Raw]]
    annotations: list[tuple[int, int, msgspec.Raw]]
    categories: list[msgspec.Raw] | None
    extra: dict[str, bytes]


_TOP = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_IMAGE = msgspec.json.Decoder(_ImageKey)
_ANNOTATION = msgspec.json.Decoder(_AnnotationKey)


def read(path: Path) -> Sliceable:
    """Read a file that assemble_subset wrote. Raises CocomineError when it is missing or no COCO document."""
    try:
        top = _TOP.decode(path.read_bytes())
        known = {"info", "licenses", "images", "annotations", "categories"}
        images = [(_IMAGE.decode(raw).id, raw) for raw in _LIST.decode(top["images"])]
        annotations = []
        for raw in _LIST.decode(top["annotations"]):
            key = _ANNOTATION.decode(raw)
            annotations.append((key.image_id, key.category_id, raw))
    except FileNotFoundError as error:
        raise CocomineError(f"{path}: no such file", "run assemble_subset first") from error
    except (msgspec.DecodeError, KeyError) as error:
        raise CocomineError(f"{path}: not a COCO document: {error}", "delete it and run snakemake again") from error
    return Sliceable(
        top.get("info"),
        top.get("licenses"),
        images,
        annotations,
        _LIST.decode(top["categories"]) if "categories" in top else None,
        {key: bytes(raw) for key, raw in top.items() if key not in known},
    )


def write_slices(document: Sliceable, split_of: Mapping[int, str], paths: Mapping[str, Path]) -> dict[str, int]:
    """Write the images of each split with their annotations, and return the number of annotations of each.

    Raises CocomineError when an image or an annotation's image is in no split: nothing is dropped silently.
    """
    counts = {}
    strays = {image for image, _ in document.images if image not in split_of}
    strays |= {image for image, _, _ in document.annotations if image not in split_of}
    if strays:
        raise CocomineError(
            f"image {min(strays)} (and {len(strays) - 1} more) is in the subset's files but not in images.tsv",
            "the subset's files are not of one build: run assemble_subset again",
        )
    for split, path in paths.items():
        kept = [raw for image, _, raw in document.annotations if split_of[image] == split]
        counts[split] = len(kept)
        write_document(
            path,
            None if document.info is None else bytes(document.info),
            None if document.licenses is None else bytes(document.licenses),
            (raw for image, raw in document.images if split_of[image] == split),
            kept,
            document.categories,
            document.extra,
        )
    return counts
