"""What is lost for which reason, in numbers, and what can be done about it: for errors, warnings and the report."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from cocomine.annotations.reasons import RULES, Reason
from cocomine.base.files import read_json

log = logging.getLogger("cocomine")

MUCH: Final = 0.05
"""A reason that takes more than this share of the wanted objects, or of the selected images, is told of."""

HALF: Final = 0.5
"""A reason that takes this share of a category is why nothing is left, when nothing is."""

TOLD: Final = 3
"""How many losses an error names."""

HARMLESS: Final = frozenset(
    {
        Reason.NO_SEGMENTATION, Reason.NO_BOX, Reason.BOX_ZERO_SIDE, Reason.BOX_OUTSIDE, Reason.BOX_PARTLY_OUTSIDE,
        Reason.NO_AREA, Reason.BAD_AREA, Reason.AREA_MISMATCH, Reason.RLE_NOT_CROWD, Reason.POLYGON_CROWD,
        Reason.POLYGON_PARTLY_OUTSIDE, Reason.IMAGE_EXIF_ROTATED, Reason.BAD_KEYPOINTS, Reason.NO_ISCROWD,
    }
)  # fmt: skip
"""Reasons for which records can be kept as they are and still be drawn."""

LOST_OBJECT: Final = "lost-object"
"""Why an image is left out that holds a quarantined object of a wanted category."""

_REPLACE: Final = "replace the files; with refill: true others are drawn in their place"
REMEDIES: Final[Mapping[str, str]] = {
    Reason.IMAGE_MISSING: "put the files where the store looks for them, or add an origin that has them; with "
    "refill: true others are drawn in their place",
    Reason.IMAGE_UNDECODABLE: _REPLACE,
    Reason.IMAGE_TRUNCATED: _REPLACE,
    Reason.IMAGE_SIZE_DIFFERS: "use the image files that were annotated, or correct width and height in the annotation "
    "file",
    Reason.DUPLICATE_ID: "give every image of an annotation file an id of its own, and annotations the ids of theirs",
    Reason.MISSING_IMAGE: "add the images that these annotations name to `images` in the annotation file",
    Reason.MISSING_CATEGORY: "add the categories that these annotations name to `categories` in the annotation file",
    LOST_OBJECT: "correct the quarantined objects, or set lost_objects: void, so that only their pixels are lost",
    Reason.EXACT_DUPLICATE: "nothing is lost by it: the first of two equal records is kept",
}


@dataclass(frozen=True)
class Loss:
    """Records of one kind that are lost for one reason: `count` of the `of` that there are.

    `kind` is "annotation" or "image", `category` the name of one category or "" for all that are wanted.
    """

    kind: str
    category: str
    reason: str
    count: int
    of: int

    @property
    def share(self) -> float:
        """The share that is lost, from 0 to 1."""
        return self.count / self.of if self.of else 0.0

    def words(self) -> str:
        """The loss as text, such as "5 of 5 annotations of car: no-segmentation"."""
        return f"{self.count} of {self.of} {self.kind}s{f' of {self.category}' * bool(self.category)}: {self.reason}"

    def document(self, chosen: Mapping[Reason, str]) -> dict[str, Any]:
        """The loss as plain values, with its words and its remedy under the policies `chosen`."""
        return asdict(self) | {"share": self.share, "words": self.words(), "remedy": remedy(self.reason, chosen)}


def large(losses: Sequence[Loss], totals: Mapping[str, int]) -> list[Loss]:
    """Return, all categories taken together, the losses of more than MUCH of the `totals` of each kind."""
    counts: Counter[tuple[str, str]] = Counter()
    for loss in losses:
        counts[loss.kind, loss.reason] += loss.count
    found = [Loss(kind, "", reason, count, totals[kind]) for (kind, reason), count in counts.items()]
    return sorted((loss for loss in found if loss.share > MUCH), key=lambda loss: (loss.kind, -loss.count, loss.reason))


def remedy(reason: str, chosen: Mapping[Reason, str]) -> str:
    """Return what can be done about a reason; a policy that it proposes is one that is accepted."""
    if reason in REMEDIES:
        return REMEDIES[reason]
    rule = RULES[Reason(reason)]
    if rule.repair and chosen[rule.reason] != "repair":
        return f"set policy: {{{reason}: repair}}, by which {rule.repair}"
    if rule.reason in HARMLESS and chosen[rule.reason] != "keep":
        return f"set policy: {{{reason}: keep}} to keep them as they are"
    where = "image files" if rule.found_by == "image" else "annotation file"
    return f"correct the {where}, since for {reason} {rule.meaning}"


def because(losses: Sequence[Loss], chosen: Mapping[Reason, str]) -> tuple[str, str]:
    """Return in numbers what took half of a category or more, and the remedy; two empty texts where nothing did."""
    most = sorted((loss for loss in losses if loss.share >= HALF), key=lambda loss: (-loss.count, loss.words()))
    return ("; ".join(loss.words() for loss in most[:TOLD]), remedy(most[0].reason, chosen)) if most else ("", "")


def warn(losses: Iterable[Mapping[str, Any]]) -> None:
    """Tell of losses on the terminal."""
    for loss in losses:
        log.warning("%s", sentence(loss))


def told(folders: Iterable[Path]) -> list[str]:
    """Return a line for every loss that the subsets in `folders` tell of, for the end of a run."""
    tables = ((folder.name, folder / "statistics.json") for folder in folders)
    return [
        f"{sentence(loss)} [{name}]"
        for name, path in tables
        for loss in (read_json(path).get("losses", []) if path.is_file() else [])
    ]


def sentence(loss: Mapping[str, Any]) -> str:
    """Return a loss and its remedy as a line, from the plain values that funnel.json and statistics.json hold."""
    return f"warning: {loss['words']} ({100 * loss['share']:.0f} %): {loss['remedy']}"
