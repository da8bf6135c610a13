"""COCO files sliced record by record: each record of a slice is the source's, byte for byte."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from cocomine.base.errors import CocomineError
from cocomine.coco.by_image import RecordsByImage
from cocomine.coco.writer import write_document

WRITTEN = ("info", "licenses", "categories")
"""What a document has besides its records at places of their own."""


def write_slices(document: RecordsByImage, split_of: Mapping[int, str], paths: Mapping[str, Path]) -> dict[str, int]:
    """Write the images of each split with their annotations, and return the number of annotations of each.

    Raises CocomineError when an image or an annotation's image is in no split: nothing is dropped silently.
    """
    ids, of_id = np.unique(document.image_ids, return_inverse=True)
    images = [image.id for image in document.images()]
    strays = {image for image in (*images, *ids.tolist()) if image not in split_of}
    if strays:
        raise CocomineError(
            f"image {min(strays)} (and {len(strays) - 1} more) is in the subset's files but not in images.tsv",
            "the subset's files are not of one build: run assemble_subset again",
        )
    splits = np.array([split_of[image] for image in ids.tolist()], dtype=object)
    categories, extra = document.raw.get("categories"), document.raw.keys() - WRITTEN
    counts = {}
    for split, path in paths.items():
        chosen = (splits == split)[of_id]
        counts[split] = int(np.count_nonzero(chosen))
        write_document(
            path,
            document.raw.get("info"),
            document.raw.get("licenses"),
            (text for image, text in zip(images, document.image_texts(), strict=True) if split_of[image] == split),
            document.texts_in_file_order(chosen),
            None if categories is None else msgspec.json.decode(categories, type=list[msgspec.Raw]),
            {key: text for key, text in document.raw.items() if key in extra},
        )
    return counts
