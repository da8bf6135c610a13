"""What a matching adds up to: findings and objects by kind, class and size, and how far outlines lie apart."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cocomine.base.words import cell_text
from cocomine.matching.crosswalk import Crosswalk
from cocomine.matching.judge import Judged, Row
from cocomine.matching.pairing import MEANINGS, Kind
from cocomine.matching.settings import MatchSettings

IOU_BINS: Final = tuple(round(0.05 * number, 2) for number in range(21))
DISTANCE_BINS: Final = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Lower bounds of the bins of a distribution; the last has no upper one. Distances in pixels."""

MEASURES: Final = {"iou": IOU_BINS, "boundary_iou": IOU_BINS, "distance": DISTANCE_BINS}
PAIRED: Final = (Kind.SAME, Kind.OUTLINE)

REASONS: Final = {
    "image-not-in-first": "its image is not in the first source",
    "image-not-in-second": "its image is not in the second source",
    "image-id-of-several": "images of two splits of one source have its image's id",
    "image-size-differs": "the sources state different sizes of its image",
    "image-size-unknown": "no source states its image's size",
    "no-image": "no image of its file has the id that it names",
    "no-mask": "it has no outline, or one that cannot be drawn or covers no pixel",
    "no-class": "it is of no class that its file defines",
    "class-only-in-first": "its class has no counterpart in the second source",
    "class-only-in-second": "its class has no counterpart in the first source",
}


class Counts:
    """Findings and objects of each kind, for one class, size or all."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.objects: tuple[Counter[str], Counter[str]] = (Counter(), Counter())

    def add(self, row: Row) -> None:
        """Count one finding."""
        self.rows[row.kind] += 1
        for counts, half in zip(self.objects, row.halves, strict=True):
            counts[row.kind] += len(half.ids)

    def document(self) -> dict[str, Any]:
        """Return the counts as plain values: of each kind the findings and the objects of both sources."""
        return {
            str(kind): {"findings": self.rows[kind], "first": self.objects[0][kind], "second": self.objects[1][kind]}
            for kind in Kind
        }


class Spread:
    """The distribution of one measure of pairs."""

    def __init__(self, bins: Sequence[float]) -> None:
        self.bins = bins
        self.counts = [0] * len(bins)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        place = sum(value >= bound for bound in self.bins) - 1
        self.counts[place] += 1
        self.total += value

    def document(self) -> dict[str, Any]:
        """Return the distribution as plain values; the mean is null without values."""
        count = sum(self.counts)
        mean = round(self.total / count, 6) if count else None
        return {"from": list(self.bins), "count": list(self.counts), "mean": mean}


class Summary:
    """What the findings of all images add up to."""

    def __init__(self) -> None:
        self.all = Counts()
        self.classes: defaultdict[str, Counts] = defaultdict(Counts)
        self.sizes: defaultdict[str, Counts] = defaultdict(Counts)
        self.reasons: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self.relabelled: Counter[tuple[str, str]] = Counter()
        self.finer: Counter[str] = Counter()
        self.spreads = {name: Spread(bins) for name, bins in MEASURES.items()}
        self.spreads_of_class: defaultdict[str, dict[str, Spread]] = defaultdict(
            lambda: {name: Spread(bins) for name, bins in MEASURES.items()}
        )
        self.images = 0

    def add(self, judged: Judged) -> None:
        """Count the findings of an image; one of which anything could be compared counts as an image of both."""
        self.images += judged.compared
        for row in judged.rows:
            self._add(row)

    def _add(self, row: Row) -> None:
        name = row.halves[0].category or row.halves[1].category
        for counts in (self.all, self.classes[name], self.sizes[row.size]):
            counts.add(row)
        if row.kind == Kind.NOT_COMPARED:
            for reasons, half in zip(self.reasons, row.halves, strict=True):
                reasons[row.reason] += len(half.ids)
        if row.kind == Kind.RELABELLED:
            self.relabelled[row.halves[0].category, row.halves[1].category] += 1
        if row.kind in PAIRED and row.apart is not None and row.iou is not None:
            self.finer[row.finer] += row.kind == Kind.OUTLINE
            values = {"iou": row.iou, "boundary_iou": row.apart.boundary_iou, "distance": row.apart.mean}
            for spreads in (self.spreads, self.spreads_of_class[name]):
                for measure, value in values.items():
                    spreads[measure].add(value)

    def check(self, records: Sequence[int]) -> None:
        """Hold the sums: every record of both sources is in exactly one finding, and so in one class and one size."""
        for parts in ([self.all], self.classes.values(), self.sizes.values()):
            found = [sum(part.objects[side].total() for part in parts) for side in (0, 1)]
            assert found == list(records), f"of {records} objects, {found} are in a finding"

    def document(
        self, first: str, second: str, settings: MatchSettings, walk: Crosswalk, proposed: int
    ) -> dict[str, Any]:
        """Return the summary as plain JSON values."""
        return {
            "sources": [first, second],
            "settings": settings.as_mapping(),
            "images": self.images,
            "kinds": self.all.document(),
            "classes": [
                {
                    "name": name,
                    "kinds": counts.document(),
                    **{measure: spread.document() for measure, spread in self.spreads_of_class[name].items()},
                }
                for name, counts in sorted(self.classes.items())
            ],
            "sizes": {name or "unknown": counts.document() for name, counts in sorted(self.sizes.items())},
            "reasons": {
                reason: {"first": self.reasons[0][reason], "second": self.reasons[1][reason]} for reason in REASONS
            },
            "relabelled": [
                {"first": a, "second": b, "objects": count}
                for (a, b), count in sorted(self.relabelled.items(), key=lambda item: (-item[1], item[0]))
            ],
            "outlines": {
                "finer_in_first": self.finer["first"],
                "finer_in_second": self.finer["second"],
                "neither": self.finer[""],
                **{measure: spread.document() for measure, spread in self.spreads.items()},
            },
            "crosswalk": {"groups": len(walk.names), "pairs": len(walk.pairs), "proposed": proposed},
            "definitions": {str(kind): meaning for kind, meaning in MEANINGS.items()},
        }


MOST_RELABELLED = 20


def markdown(document: Mapping[str, Any]) -> str:
    """Return the summary as a readable page."""
    first, second = map(cell_text, document["sources"])
    kinds = document["kinds"]
    lines = [f"# The objects of {first} and {second}, matched", ""]
    lines += [f"{document['images']:,} images are in both sources.", ""]
    lines += [f"| | findings | objects of {first} | of {second} | what it is |", "|---|---:|---:|---:|---|"]
    for kind, counts in kinds.items():
        lines.append(f"| {kind} | {_counts(counts)} | {document['definitions'][kind]} |")
    totals = [sum(counts[key] for counts in kinds.values()) for key in ("findings", "first", "second")]
    lines += [f"| **all** | {totals[0]:,} | {totals[1]:,} | {totals[2]:,} | every object once |", ""]
    lines += _outlines(document["outlines"], first, second)
    lines += ["", "## Not compared", "", f"| why | {first} | {second} |", "|---|---:|---:|"]
    for reason, counts in document["reasons"].items():
        if counts["first"] or counts["second"]:
            lines.append(f"| {REASONS[reason]} | {counts['first']:,} | {counts['second']:,} |")
    lines += ["", "## Relabelled", "", f"| in {first} | in {second} | objects |", "|---|---|---:|"]
    for row in document["relabelled"][:MOST_RELABELLED]:
        lines.append(f"| {cell_text(row['first'])} | {cell_text(row['second'])} | {row['objects']:,} |")
    lines += ["", "## Sizes", "", *_by_part(document["sizes"].items(), "size")]
    rows = sorted(document["classes"], key=lambda row: (-_different(row["kinds"]), row["name"]))
    lines += ["", "## Classes", "", "The class with the most differences comes first.", ""]
    lines += _by_part(((row["name"] or "none", row["kinds"]) for row in rows), "class")
    return "\n".join([*lines, ""])


def _counts(counts: Mapping[str, int]) -> str:
    return f"{counts['findings']:,} | {counts['first']:,} | {counts['second']:,}"


def _different(kinds: Mapping[str, Mapping[str, int]]) -> int:
    return sum(counts["findings"] for kind, counts in kinds.items() if kind not in (Kind.SAME, Kind.NOT_COMPARED))


def _outlines(outlines: Mapping[str, Any], first: str, second: str) -> list[str]:
    if outlines["iou"]["mean"] is None:
        return ["No object is in both sources."]
    return [
        f"Objects that are in both have a mean IoU of {outlines['iou']['mean']:.3f}, a mean boundary IoU of "
        f"{outlines['boundary_iou']['mean']:.3f}, and outlines that lie {outlines['distance']['mean']:.2f} px apart on "
        f"average. Of the outlines that differ, {outlines['finer_in_first']:,} are finer in {first} and "
        f"{outlines['finer_in_second']:,} in {second}."
    ]


def _by_part(parts: Any, what: str) -> list[str]:
    """Return a table of findings by kind, a row a part."""
    lines = [f"| {what} | {' | '.join(Kind)} |", "|---|" + "---:|" * len(Kind)]
    for name, kinds in parts:
        counts = " | ".join(f"{kinds[kind]['findings']:,}" for kind in Kind)
        lines.append(f"| {cell_text(name)} | {counts} |")
    return lines
