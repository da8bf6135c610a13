"""What every reader of labels gives: images with their objects, and a count of all that was there."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from cocomine.imports.files import Files
from cocomine.imports.reasons import Reason

QUARANTINE_COLUMNS: Final = ("kind", "file", "place", "reason", "detail")
REPAIR_COLUMNS: Final = ("file", "place", "reason", "before", "after")


@dataclass
class Object:
    """One labelled object, in pixels of its image.

    `category` is a class index (YOLO) or a name, None where it is none that is known. `bbox` is [x, y, width, height];
    `segmentation` polygons [x0, y0, x1, y1, …] or run lengths, as COCO has both; `keypoints` x, y, visibility of each.
    `more` goes into the record as it is. `lost` says of a label that is quarantined where it stands and why: its record
    is written so that the index quarantines it too, and its image is not taken for one without the object.
    """

    category: int | str | None
    bbox: tuple[float, float, float, float] | None
    segmentation: list[list[float]] | dict[str, Any] | None = None
    area: float | None = None
    keypoints: list[float] | None = None
    iscrowd: int = 0
    more: dict[str, Any] = field(default_factory=dict)
    lost: str = ""


@dataclass(frozen=True)
class LabelledImage:
    """An image: its path below the folder, its split, its (width, height) in pixels, and its objects."""

    path: str
    split: str
    size: tuple[int, int]
    objects: list[Object]


class Tally:
    """Counts every file, image and label: in = kept + repaired + quarantined, and lists what was not simply kept.

    `lost` counts what the labels say and COCO has no place for; `said` are sentences for the terminal.
    """

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.kept: Counter[str] = Counter()
        self.repaired: Counter[str] = Counter()
        self.quarantined: dict[str, Counter[str]] = {"file": Counter(), "image": Counter(), "label": Counter()}
        self.lost: Counter[str] = Counter()
        self.said: list[str] = []
        self.quarantine: list[tuple[str, str, str, str, str]] = []
        self.repairs: list[tuple[str, str, str, str, str]] = []

    def keep(self, kind: str) -> None:
        """Count a file, image or label that is kept as it is."""
        self.seen[kind] += 1
        self.kept[kind] += 1

    def repair(self, file: str, place: object, reason: Reason, before: object, after: object) -> None:
        """Count a label that is kept otherwise than it was written."""
        self.seen["label"] += 1
        self.repaired[str(reason)] += 1
        self.repairs.append((_written(file), str(place), str(reason), str(before), str(after)))

    def lose(self, file: str, place: object, reason: Reason, detail: object, known: Object | None = None) -> Object:
        """Count a label of a kept image as quarantined; return it, with what is `known` of it, as lost."""
        self.set_aside("label", file, place, reason, detail)
        known = known or Object(None, None)
        known.lost = f"{file}, {place}: {reason}"
        return known

    def set_aside(self, kind: str, file: str, place: object, reason: Reason, detail: object = "") -> None:
        """Count a file, image or label that is left out; `place` is its line or its number in the file, from 1."""
        self.seen[kind] += 1
        self.quarantined[kind][str(reason)] += 1
        self.quarantine.append((kind, _written(file), str(place), str(reason), _written(_short(detail))))

    def counts(self) -> dict[str, Any]:
        """Return the counts as plain JSON values; asserts that nothing is lost."""
        result: dict[str, Any] = {}
        for kind, seen in sorted(self.seen.items()):
            repaired = dict(sorted(self.repaired.items())) if kind == "label" else {}
            quarantined = dict(sorted(self.quarantined[kind].items()))
            assert seen == self.kept[kind] + sum(repaired.values()) + sum(quarantined.values()), kind
            result[f"{kind}s"] = {
                "in": seen,
                "kept": self.kept[kind],
                "repaired": repaired,
                "quarantined": quarantined,
            }
        return result


@dataclass(frozen=True)
class Job:
    """What a reader is asked: the folder, the splits that are kept apart (none: all are one), and the tally."""

    files: Files
    splits: tuple[str, ...]
    tally: Tally
    all_as: str = "all"


class Reader(Protocol):
    """Reads one form of labels: made of a Job, it may raise CocomineError for a folder that is none of the form."""

    classes: list[str] | None
    """The classes in the order of their indexes; None where labels name them, which are then sorted."""
    keypoints: list[str]
    """The names of the keypoints that objects have; empty where they have none."""
    own_splits: tuple[str, ...]
    """The splits that the folder itself knows."""

    def __init__(self, job: Job) -> None: ...

    def images(self) -> Iterator[LabelledImage]:
        """Yield every image that is kept, in the order of splits and paths."""
        ...


def outlined(category: int | str | None, parts: list[list[float]], **more: Any) -> Object:
    """Return an object of polygons [x0, y0, x1, y1, …] in pixels, with the box round them and the area of all."""
    xs, ys = [x for part in parts for x in part[0::2]], [y for part in parts for y in part[1::2]]
    left, top = min(xs), min(ys)
    return Object(category, (left, top, max(xs) - left, max(ys) - top), parts, sum(map(_area, parts)), more=more)


def _area(part: list[float]) -> float:
    """Return what a polygon goes round, in square pixels (the shoelace formula)."""
    xs, ys = part[0::2], part[1::2]
    turned = zip(xs, ys, [*xs[1:], xs[0]], [*ys[1:], ys[0]], strict=True)
    return abs(sum(x * next_y - next_x * y for x, y, next_x, next_y in turned)) / 2


def _written(name: str) -> str:
    """Return a text as UTF-8 can hold it: of a file name that is none, its bytes as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def _short(detail: object) -> str:
    text = str(detail)
    return text if len(text) <= 200 else text[:199] + "…"
