"""Every format that a subset can be exported to, by name: a module each, and a line here."""

from cocomine.base.errors import CocomineError
from cocomine.formats import coco, croissant, datumaro, huggingface, masks, panoptic, voc, webdataset, yolo
from cocomine.formats.format import Format

FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        *coco.FORMATS,
        *yolo.FORMATS,
        *masks.FORMATS,
        *voc.FORMATS,
        *panoptic.FORMATS,
        *datumaro.FORMATS,
        *huggingface.FORMATS,
        *webdataset.FORMATS,
        *croissant.FORMATS,
    )
}


def format_called(name: str) -> Format:
    """Return a format. Raises CocomineError when none is called so."""
    if name not in FORMATS:
        raise CocomineError(f"unknown export format {name!r}", f"use one of: {', '.join(FORMATS)}")
    return FORMATS[name]
