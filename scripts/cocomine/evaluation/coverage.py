"""Coverage gaps: what the judged images show and the training images hardly do.

A slice or a class of the judged images is a gap where fewer than `least` training images are in it. Slices that are cut
at terciles are cut at those of the judged images, on both sides.
"""

from typing import Any

from cocomine.base.words import counted
from cocomine.evaluation.attributes import Described

SHOWS = "shows "  # the attributes of single classes, which stand among the classes themselves


def coverage(described: Described, least: int) -> dict[str, Any]:
    """Return the gaps as plain JSON values, those with most judged images first; empty without training images."""
    judged, training = described.images.judged, len(described.images.ids) - described.images.judged
    if not training:
        return {}
    rows = [{"attribute": "class", "cell": name} | _counts(*counts) for name, counts in described.classes.items()]
    for attribute in described.attributes:
        if attribute.name.startswith(SHOWS):
            continue
        for code, cell in enumerate(attribute.cells):
            member = attribute.codes == code
            parts = member[:judged], member[judged:]
            images = int(parts[0].sum()), int(parts[1].sum())
            objects = int(described.objects[:judged][parts[0]].sum()), int(described.objects[judged:][parts[1]].sum())
            rows.append({"attribute": attribute.name, "cell": cell} | _counts(images, objects))
    gaps = [row for row in rows if row["judged_images"] and row["training_images"] < least]
    gaps.sort(key=lambda row: (-row["judged_images"], row["training_images"], row["attribute"], row["cell"]))
    return {"training_images": training, "least_images": least, "gaps": gaps, "finding": _finding(gaps, least)}


def _counts(images: tuple[int, int], objects: tuple[int, int]) -> dict[str, Any]:
    return {
        "judged_images": images[0],
        "training_images": images[1],
        "judged_objects": objects[0],
        "training_objects": objects[1],
    }


def _finding(gaps: list[dict[str, Any]], least: int) -> str:
    if not gaps:
        return f"Every class and slice of the judged images has {least} training images or more."
    first = gaps[0]
    return (
        f"{counted(len(gaps), 'coverage gap')}: classes and slices of the judged images with fewer than {least} "
        f"training images; the largest: {first['attribute']} {first['cell']}, {first['judged_images']} judged, "
        f"{first['training_images']} for training."
    )
