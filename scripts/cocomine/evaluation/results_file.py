"""Reading a COCO results file of boxes, masks or keypoints: every result is judged, or counted by name, or an error."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cocomine.base.errors import CocomineError
from cocomine.base.files import write_table
from cocomine.evaluation.ground import NAMES, Ground, check_categories
from cocomine.evaluation.settings import JudgingSettings

FORM = "write results as https://cocodataset.org/#format-results says"
PARTS = {"boxes": "bbox", "masks": "segmentation", "keypoints": "keypoints"}
KINDS: Mapping[str, tuple[type, ...]] = {"image_id": (int, str), "category_id": (int,), "score": (int, float)}

OTHER_SPLIT, OTHER_IMAGE, OTHER_CATEGORY = "image of another split", "unknown image", "unknown category"
REASONS = (OTHER_SPLIT, OTHER_IMAGE, OTHER_CATEGORY)


@dataclass(frozen=True)
class Results:
    """The results that are judged, with the source's ids, in the file's order; and what is not.

    `left_out` counts results by reason, image_id and category_id as the file has them; `silent` are the images of the
    split without any result.
    """

    entries: list[dict[str, Any]]
    left_out: Counter[tuple[str, Any, int]]
    silent: tuple[int, ...]

    def counts(self) -> dict[str, int]:
        """Return how many results are judged, how many are left out for each reason, and the images without any."""
        reasons = Counter[str]()
        for (reason, _, _), number in self.left_out.items():
            reasons[reason] += number
        return {
            "judged": len(self.entries),
            **{reason.replace(" ", "_"): reasons[reason] for reason in REASONS},
            "images_without_results": len(self.silent),
        }

    def write(self, path: Path) -> None:
        """Write a row for each image and category whose results are left out, and each image without any."""
        rows = sorted((reason, str(image), str(category), n) for (reason, image, category), n in self.left_out.items())
        rows += [("no result", str(image), "", 0) for image in self.silent]
        write_table(path, ("reason", "image_id", "category_id", "results"), rows)


def read_results(path: Path, ground: Ground, sizes: Mapping[int, list[int]], settings: JudgingSettings) -> Results:
    """Read a results file; `sizes` are height and width of the images that are judged.

    Raises CocomineError, naming the result, for one of another form, a number that is not finite, a mask of another
    size than its image; and for class ids that fit another meaning, or a file of which nothing belongs to the split.
    """
    entries = _entries(path)
    for number, entry in enumerate(entries):
        fault = _fault(entry, PARTS[ground.task])
        if fault:
            raise CocomineError(f"{path}: result {number}{fault}", FORM)
    ids = ground.ids_of(settings)
    check_categories((entry["category_id"] for entry in entries), ground, ids, path)
    images, categories = ground.image_of(settings.image_ids), ground.category_of(ids)
    kept: list[dict[str, Any]] = []
    left_out: Counter[tuple[str, Any, int]] = Counter()
    for number, entry in enumerate(entries):
        image, category = images.get(entry["image_id"]), categories.get(entry["category_id"])
        if image is None or category is None:
            other = OTHER_SPLIT if entry["image_id"] in ground.elsewhere else OTHER_IMAGE
            left_out[other if image is None else OTHER_CATEGORY, entry["image_id"], entry["category_id"]] += 1
            continue
        if ground.task == "masks" and entry["segmentation"].get("size") != sizes[image]:
            said = entry["segmentation"].get("size")
            raise CocomineError(f"{path}: result {number}: its mask has size {said}, its image {sizes[image]}", FORM)
        kept.append({**entry, "image_id": image, "category_id": category})
    if entries and not kept:
        raise CocomineError(
            f"{path}: none of its {len(entries)} results belongs to this split of {ground.name}",
            f"image_id is read as {settings.image_ids!r}, category_id as {NAMES[ids]}: see image_ids and category_ids",
        )
    found = {entry["image_id"] for entry in kept}
    return Results(kept, left_out, tuple(image for image in ground.split.image_ids if image not in found))


def _entries(path: Path) -> list[Any]:
    try:
        entries = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CocomineError(f"{path}: no COCO results file: {error}", "it is a JSON list of results") from error
    if not isinstance(entries, list):
        raise CocomineError(f"{path}: a {type(entries).__name__}, not a list", "give results, not an annotation file")
    return entries


def _fault(entry: Any, part: str) -> str | None:
    """Return what is wrong with a result, to follow its number; None where it has COCO's form."""
    wanted = {"image_id", "category_id", "score", part}
    if not isinstance(entry, dict) or not wanted <= entry.keys():
        missing = wanted - entry.keys() if isinstance(entry, dict) else wanted
        return f" has no {', '.join(sorted(missing))}"
    for key, kinds in KINDS.items():
        value = entry[key]
        if not isinstance(value, kinds) or isinstance(value, bool):
            return f": its {key} is {value!r}"
    if not math.isfinite(entry["score"]):
        return f": its score is {entry['score']!r}"
    value = entry[part]
    if part == "segmentation":
        fine = isinstance(value, dict) and isinstance(value.get("counts"), str)
        return None if fine else ": its segmentation is no compressed RLE (pycocotools.mask.encode makes one)"
    if not isinstance(value, list) or not all(isinstance(number, int | float) for number in value):
        return f": its {part} is no list of numbers"
    if not all(map(math.isfinite, value)):
        return f": its {part} holds a number that is not finite"
    if part == "bbox":
        if len(value) != 4:
            return ": its bbox is not four numbers: x, y, width, height"
        return ": its bbox has a negative size (x, y, width, height)" if value[2] < 0 or value[3] < 0 else None
    return None if value and len(value) % 3 == 0 else ": its keypoints are no list of x, y, visibility"
