"""Drawing the ground truth of a subset: annotations in, PNG masks and their tables out."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pycocotools import mask as coco_mask

from cocomine.annotations.reader import Annotation, load_document
from cocomine.base.files import atomic_path, write_json, write_table
from cocomine.base.progress import Progress
from cocomine.masks.inputs import VOID, ImageRow, Labels, read_images, read_labels
from cocomine.masks.settings import MaskSettings

TABLE = ("image_id", "file_name", "label", "name", "pixels", "instances", "hidden", "vanished")


def rasterize_masks(
    settings: MaskSettings, subset: Path, images: Path, labels: Path, out_dir: Path, training_size: int
) -> dict[str, Any]:
    """Write masks/semantic/*.png, masks.tsv and masks.json under `out_dir`; return the manifest."""
    rows, table = read_images(images), read_labels(labels)
    by_image: dict[int, list[Annotation]] = {}
    for annotation in load_document(subset).annotations:
        by_image.setdefault(annotation.image_id, []).append(annotation)
    lines: list[tuple[object, ...]] = []
    with Progress("rasterize_masks", len(rows), "image") as progress:
        for row in rows:
            lines += _draw_one(settings, row, by_image.get(row.image_id, []), table, out_dir / "masks", training_size)
            progress.advance()
    write_table(out_dir / "masks.tsv", TABLE, lines)
    manifest = {"settings": dataclasses.asdict(settings), "counts": {"images": len(rows)}}
    write_json(out_dir / "masks.json", manifest)
    return manifest


def _draw_one(
    settings: MaskSettings, row: ImageRow, annotations: Sequence[Annotation], labels: Labels, folder: Path, size: int
) -> list[tuple[object, ...]]:
    found = []
    for number, annotation in enumerate(annotations):
        label = labels.category_to_label.get(annotation.category_id)
        if label is not None:
            mask = _decode(annotation.segmentation, row.height, row.width)
            crowd = annotation.iscrowd == 1
            found.append(
                (
                    not crowd,
                    -int(mask.sum()),
                    number,
                    VOID if crowd and settings.crowds == "void" else label,
                    label,
                    mask,
                )
            )
    found.sort(key=lambda item: item[:3])
    owner = np.full((row.height, row.width), -1, np.int32)
    semantic = np.zeros((row.height, row.width), np.uint8)
    for position, (_, _, _, value, _, mask) in enumerate(found):
        owner[mask] = position
        semantic[mask] = value
    picture = Image.fromarray(semantic)
    picture.putpalette(labels.palette())
    with atomic_path(folder / "semantic" / f"{row.stem}.png") as temporary:
        picture.save(temporary, "PNG")
    seen = np.bincount(owner[owner >= 0], minlength=len(found))
    small = owner[:: max(1, row.height // size), :: max(1, row.width // size)]
    kept = np.bincount(small[small >= 0], minlength=len(found))
    result: list[tuple[object, ...]] = []
    for label in sorted({item[4] for item in found}):
        own = [i for i, item in enumerate(found) if item[4] == label and item[0]]
        pixels = int((semantic == label).sum())
        hidden = sum(seen[i] == 0 for i in own)
        vanished = sum(seen[i] > 0 and kept[i] == 0 for i in own)
        line = (row.image_id, row.file_name, label, labels.names[label], pixels, len(own), hidden, vanished)
        result.append(line)
    return result


def _decode(segmentation: Any, height: int, width: int) -> npt.NDArray[np.bool_]:
    if isinstance(segmentation, list):
        rle = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        rle = coco_mask.frPyObjects(segmentation, height, width)
    else:
        rle = segmentation
    decoded: npt.NDArray[np.bool_] = coco_mask.decode(rle).astype(bool)
    return decoded
