"""The images of an annotation file: their ids and file names checked, and where each lies in the store."""

import numpy as np

from cocomine.annotations.chunks import no_records
from cocomine.annotations.columns import Columns, Texts
from cocomine.annotations.file_names import all_plain, names_here, store_paths
from cocomine.annotations.outlines import mark
from cocomine.annotations.reasons import Reason, mask_of
from cocomine.annotations.repairs import name_from_url
from cocomine.annotations.values import later_of_equal


def check_images(parts: list[Columns], split: str, below_split: bool) -> tuple[Columns, Texts]:
    """Return the images' columns, what is found added to their `reasons`, and their paths in the store."""
    images = Columns.join(parts or [no_records("image")])
    reasons = images["reasons"]
    mark(reasons, later_of_equal(images["id"]), Reason.DUPLICATE_ID)
    if not images.rows:
        return images, Texts.of([])
    given = images.texts["file_name"]
    names = given.values()
    unnamed = (given.lengths <= 0) & (reasons & np.uint64(mask_of(Reason.NOT_AN_OBJECT)) == 0)
    if unnamed.any():
        mark(reasons, unnamed, Reason.NO_FILE_NAME)
        urls = images.texts["coco_url"].values()
        for row in np.flatnonzero(unnamed).tolist():
            names[row] = name_from_url(urls[row])
        images.texts["file_name"] = Texts.of(names)
    if not all_plain(names) and (here := names_here(names)):
        mark(reasons, np.isin(np.arange(len(names)), list(here)), Reason.FOREIGN_FILE_NAME)
        for row, here_named in here.items():
            names[row] = here_named
        images.texts["file_name"] = Texts.of(names)
    paths = store_paths(names, split, below_split)
    if None in paths:
        unsafe = [path is None and name is not None for path, name in zip(paths, names, strict=True)]
        mark(reasons, np.array(unsafe, bool), Reason.UNSAFE_FILE_NAME)
    folded = [path and path.casefold() for path in paths]
    if len(set(folded)) < len(folded):
        seen: set[str] = set()
        for row, name in enumerate(folded):
            if name is not None and name in seen:
                reasons[row] |= np.uint64(mask_of(Reason.DUPLICATE_FILE_NAME))
            seen.add(name or "")
    return images, Texts.of(paths)
