"""Two annotation sources over the same images, side by side: totals, sizes and classes, and what each count means."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from cocomine.annotations.arrow import arrays
from cocomine.annotations.lenient import as_id
from cocomine.annotations.outlines import NONE, POLYGONS
from cocomine.annotations.schema import Index, open_index
from cocomine.base.arrays import Array
from cocomine.base.errors import CocomineError
from cocomine.base.files import atomic_path, write_json, write_table, write_text
from cocomine.base.words import cell_text
from cocomine.coco.sizes import size_classes

log = logging.getLogger("cocomine")


@dataclass(frozen=True)
class Measure:
    """One line of the table: its key, its name and what exactly is counted."""

    key: str
    name: str
    definition: str
    per_class: bool = True


MEASURES: Final = (
    Measure("images", "images", "images with an id of their own in the source's files; a class: images that hold it"),
    Measure("shared_images", "images in both", "images whose id both sources have", per_class=False),
    Measure("classes", "classes", "categories that the files define", per_class=False),
    Measure(
        "classes_ahead", "classes with more objects", "classes of both in which it has more objects", per_class=False
    ),
    Measure("objects", "objects, crowds included", "annotation records, whatever their reason codes"),
    Measure("crowds", "crowds", "records with iscrowd 1"),
    Measure(
        "multi_polygon", "objects of more than one polygon", "records whose segmentation lists two polygons or more"
    ),
    Measure("rle", "objects given as run lengths", "records whose segmentation is RLE; they have no vertices"),
    Measure("without_outline", "objects without outline", "records with no segmentation, or an empty one"),
    Measure("vertices", "vertices", "pairs of numbers in all polygons of all records"),
    Measure("very_small", "very small", "records with an area of at most 10 x 10 px; they are small ones too"),
    Measure("small", "small", "records with an area below 32 x 32 px"),
    Measure("medium", "medium", "records with an area from 32 x 32 to below 96 x 96 px"),
    Measure("large", "large", "records with an area of 96 x 96 px and more"),
    Measure("unknown_size", "of unknown size", "records whose area is absent or no finite number"),
)
"""Areas are the `area` that a record states, not the drawn one."""

_OF_RECORDS: Final = tuple(m.key for m in MEASURES if m.per_class and m.key != "images")


@dataclass(frozen=True)
class Labels:
    """The records of one source over its splits: a value a record. `image` is the id of its image, -1 for none."""

    name: str
    image_ids: Array
    categories: dict[int, str]
    image: Array
    category: Array
    counts: dict[str, Array]


def read_labels(name: str, index_dir: Path, splits: Sequence[str], task: str) -> Labels:
    """Read the columns that are compared from the indexes of a source's splits.

    Categories of several splits are taken together by id. Raises CocomineError when a split is not indexed.
    """
    indexes = [_open(index_dir, task, split) for split in splits]
    images, labels = [], []
    categories: dict[int, str] = {}
    for index in indexes:
        images.append(arrays(index.images(["id"]))["id"])
        names = ["image_id", "image_row", "category_id", "iscrowd", "area", "segmentation", "polygons", "vertices"]
        labels.append(arrays(index.annotations(names)))
        for category in index.manifest["categories"]:
            identity = as_id(category.get("id"))[0] if isinstance(category, dict) else -1
            if identity >= 0:
                categories.setdefault(identity, str(category.get("name")))
    columns = {key: np.concatenate([part[key] for part in labels]) for key in labels[0]}
    ids = np.concatenate(images)
    area = columns["area"]
    counts = {
        "objects": np.ones(len(area), np.int64),
        "crowds": columns["iscrowd"] == 1,
        "multi_polygon": columns["polygons"] > 1,
        "rle": columns["segmentation"] > POLYGONS,
        "without_outline": columns["segmentation"] == NONE,
        "vertices": columns["vertices"],
        **size_classes(area),
        "unknown_size": ~np.isfinite(area),
    }
    image = np.where(columns["image_row"] >= 0, columns["image_id"], -1)
    return Labels(name, np.unique(ids[ids >= 0]), categories, image, columns["category_id"], counts)


def _open(index_dir: Path, task: str, split: str) -> Index:
    folder = index_dir / f"{task}_{split}"
    if not (folder / "index.json").is_file():
        there = sorted(path.parent.name for path in index_dir.glob("*/index.json"))
        raise CocomineError(
            f"{index_dir}: {task} of {split} is not indexed", "indexed are: " + (", ".join(there) or "none")
        )
    return open_index(folder)


def common_splits(first: Path, second: Path, task: str) -> list[str]:
    """Return the splits of `task` that both index folders have, sorted. Raises CocomineError when there is none."""
    names = [
        {path.parent.name.removeprefix(f"{task}_") for path in folder.glob(f"{task}_*/index.json")}
        for folder in (first, second)
    ]
    common = sorted(names[0] & names[1])
    if not common:
        raise CocomineError(
            f"the sources have no split of {task} in common: {sorted(names[0])} and {sorted(names[1])}",
            "name the splits of each: --first-splits and --second-splits",
        )
    return common


@dataclass(frozen=True)
class ClassRow:
    """A class in both sources: matched by name, letter case aside; None where a source lacks it."""

    name: str
    first_id: int | None
    second_id: int | None
    first: dict[str, int]
    second: dict[str, int]
    images_in_both: int
    images_only_first: int
    images_only_second: int


def compare(first: Labels, second: Labels) -> dict[str, Any]:
    """Return the comparison as a document: `totals`, `classes` and `definitions`.

    The totals hold, for each measure, both counts, the difference (second - first), the ratio (second / first, null
    where the first is 0) and, of records, both sources' mean count in an image that both have.
    """
    rows = [_class_row(first, second, *ids) for ids in _match(first.categories, second.categories)]
    shared = np.intersect1d(first.image_ids, second.image_ids, assume_unique=True)
    sides = []
    for mine, theirs, other in ((first, "first", "second"), (second, "second", "first")):
        totals = {key: int(mine.counts[key].sum()) for key in _OF_RECORDS}
        ahead = [
            row
            for row in rows
            if row.first_id is not None
            and row.second_id is not None
            and getattr(row, theirs)["objects"] > getattr(row, other)["objects"]
        ]
        totals |= {
            "images": len(mine.image_ids),
            "shared_images": len(shared),
            "classes": len(mine.categories),
            "classes_ahead": len(ahead),
        }
        sides.append(totals)
    per_image = [_per_image(labels, shared) for labels in (first, second)]
    return {
        "sources": [first.name, second.name],
        "totals": {
            m.key: _pair(sides[0][m.key], sides[1][m.key])
            | {f"{side}_per_image": of.get(m.key) for side, of in zip(("first", "second"), per_image, strict=True)}
            for m in MEASURES
        },
        "classes": [asdict(row) | {"objects": _pair(row.first["objects"], row.second["objects"])} for row in rows],
        "definitions": {m.key: m.definition for m in MEASURES},
        "images_with_other_object_counts": _images_with_other_counts(first, second, shared),
    }


def _per_image(labels: Labels, shared: Array) -> dict[str, float | None]:
    """Return of each count of records how many there are, on average, in an image that both sources have."""
    held = np.isin(labels.image, shared)
    number = len(shared)
    return {key: round(int(labels.counts[key][held].sum()) / number, 6) if number else None for key in _OF_RECORDS}


def _pair(a: int, b: int) -> dict[str, Any]:
    return {"first": a, "second": b, "difference": b - a, "ratio": round(b / a, 4) if a else None}


def _match(first: Mapping[int, str], second: Mapping[int, str]) -> list[tuple[int | None, int | None]]:
    """Pair categories by name: those of the first source by id, then those that only the second has."""
    by_name: dict[str, int] = {}
    for identity, name in sorted(second.items(), reverse=True):
        by_name[name.strip().casefold()] = identity
    pairs: list[tuple[int | None, int | None]] = []
    for identity, name in sorted(first.items()):
        pairs.append((identity, by_name.pop(name.strip().casefold(), None)))
    matched = {other for _, other in pairs}
    return pairs + [(None, identity) for identity in sorted(second) if identity not in matched]


def _class_row(first: Labels, second: Labels, first_id: int | None, second_id: int | None) -> ClassRow:
    sides, images = [], []
    for labels, identity in ((first, first_id), (second, second_id)):
        mine = labels.category == (-2 if identity is None else identity)
        held = labels.image[mine]
        images.append(np.unique(held[held >= 0]))
        sides.append({key: int(labels.counts[key][mine].sum()) for key in _OF_RECORDS} | {"images": len(images[-1])})
    both = len(np.intersect1d(images[0], images[1], assume_unique=True))
    name = first.categories[first_id] if first_id is not None else second.categories[second_id or 0]
    return ClassRow(name, first_id, second_id, sides[0], sides[1], both, len(images[0]) - both, len(images[1]) - both)


def _images_with_other_counts(first: Labels, second: Labels, shared: Array) -> int:
    """Return how many shared images have another number of records in the second source."""
    counts = [np.zeros(len(shared), np.int64), np.zeros(len(shared), np.int64)]
    for count, labels in zip(counts, (first, second), strict=True):
        held = labels.image[np.isin(labels.image, shared)]
        np.add.at(count, np.searchsorted(shared, held), 1)
    return int((counts[0] != counts[1]).sum())


# Output ---------------------------------------------------------------------------------------------------------------


def write_comparison(document: Mapping[str, Any], out_dir: Path) -> None:
    """Write comparison.json, comparison.tsv, classes.tsv, comparison.md and comparison.png into `out_dir`."""
    first, second = document["sources"]
    write_json(out_dir / "comparison.json", document)
    write_table(
        out_dir / "comparison.tsv",
        ["measure", "first", "second", "difference", "ratio", "first_per_image", "second_per_image", "definition"],
        [[m.key, *document["totals"][m.key].values(), m.definition] for m in MEASURES],
    )
    write_table(
        out_dir / "classes.tsv",
        ["name", "first_id", "second_id"]
        + [f"{side}_{key}" for key in (*_OF_RECORDS, "images") for side in ("first", "second")]
        + ["images_in_both", "images_only_first", "images_only_second", "objects_difference", "objects_ratio"],
        [
            [row["name"], row["first_id"], row["second_id"]]
            + [row[side][key] for key in (*_OF_RECORDS, "images") for side in ("first", "second")]
            + [row["images_in_both"], row["images_only_first"], row["images_only_second"]]
            + [row["objects"]["difference"], row["objects"]["ratio"]]
            for row in document["classes"]
        ],
    )
    page = markdown(document)
    write_text(out_dir / "comparison.md", page)
    draw(document, out_dir / "comparison.png")
    log.info("%s", page.partition("\n## ")[0])
    log.info("compare_sources: %s and %s, by class: %s", first, second, out_dir / "comparison.md")


_SIZES: Final = ("very_small", "small", "medium", "large", "unknown_size")


def markdown(document: Mapping[str, Any]) -> str:
    """Return the comparison as a readable page: the totals, the classes by difference, and the definitions."""
    first, second = map(cell_text, document["sources"])
    totals = document["totals"]
    lines = [
        f"# {first} and {second}",
        "",
        f"| | {first} | {second} | difference | per image with both: {first} | {second} |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for measure in MEASURES:
        pair = totals[measure.key]
        cells = []
        for side in ("first", "second"):
            share = ""
            if measure.key in _SIZES and totals["objects"][side]:
                share = f" ({100 * pair[side] / totals['objects'][side]:.1f} %)"
            cells.append(f"{pair[side]:,}{share}")
        means = ["" if (mean := pair[f"{side}_per_image"]) is None else f"{mean:,.2f}" for side in ("first", "second")]
        lines.append(f"| {measure.name} | {' | '.join(cells)} | {_difference(pair)} | {' | '.join(means)} |")
    lines += [
        "",
        f"{document['images_with_other_object_counts']:,} of the {totals['shared_images']['first']:,} images in both "
        "have another number of objects in the second source.",
        "",
        "## Classes",
        "",
        "The class with the largest difference comes first. The last three columns count images that hold the class.",
        "",
        f"| class | objects in {first} | in {second} | difference | crowds | images: both | only first | only second |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in sorted(document["classes"], key=lambda row: (-abs(row["objects"]["difference"]), row["name"])):
        crowds = f"{row['first']['crowds']:,} → {row['second']['crowds']:,}"
        lines.append(
            f"| {cell_text(row['name'])} | {_count(row, 'first')} | {_count(row, 'second')} | "
            f"{_difference(row['objects'])} | {crowds} | {row['images_in_both']:,} | {row['images_only_first']:,} | "
            f"{row['images_only_second']:,} |"
        )
    lines += ["", "## What is counted", ""]
    lines += [f"- **{measure.name}**: {measure.definition}." for measure in MEASURES]
    lines += [
        "",
        "Areas are those that the records state. The difference is the second source less the first. *Per image with "
        "both* is the count over the images that both sources have, divided by the number of these images.",
        "",
    ]
    return "\n".join(lines)


def _count(row: Mapping[str, Any], side: str) -> str:
    return "no such class" if row[f"{side}_id"] is None else f"{row['objects'][side]:,}"


def _difference(pair: Mapping[str, Any]) -> str:
    number = f"{pair['difference']:+,}".replace("-", "−") if pair["difference"] else "0"
    return f"{number} (×{pair['ratio']:.2f})" if pair["ratio"] is not None and pair["difference"] else number


def draw(document: Mapping[str, Any], path: Path) -> None:
    """Draw objects per class in both sources, and the shares of the size classes, as a PNG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rows = sorted(document["classes"], key=lambda row: (row["objects"]["difference"], row["name"]))
    names = document["sources"]
    height = max(4.0, 0.17 * len(rows) + 1.5)
    with mpl.rc_context(
        {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "text.parse_math": False}
    ):
        figure = Figure(figsize=(10, height), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[3, 2])
        places = np.arange(len(rows))
        differences = [row["objects"]["difference"] for row in rows]
        left.barh(places, differences, color=["#b2182b" if value < 0 else "#2166ac" for value in differences])
        left.set_yticks(places, [row["name"] for row in rows], fontsize=6)
        left.set_ylim(-0.7, max(len(rows) - 0.3, 0.7))
        left.set_xscale("symlog", linthresh=10)
        left.xaxis.set_major_formatter(lambda value, _: f"{value:+,.0f}" if value else "0")
        left.axvline(0, color="black", linewidth=0.5)
        left.set_xlabel(f"objects in {names[1]} less those in {names[0]} (logarithmic beyond 10)")
        sizes = ("small", "medium", "large")
        for side, name, shift, colour in (("first", names[0], -0.2, "#777777"), ("second", names[1], 0.2, "#2166ac")):
            values = [document["totals"][size][side] for size in sizes]
            bars = right.bar(np.arange(3) + shift, values, 0.4, label=name, color=colour)
            right.bar_label(bars, [f"{value:,}" for value in values], fontsize=7)
        right.set_xticks(np.arange(3), ["small\n< 32²", "medium", "large\n≥ 96² px"])
        right.set_box_aspect(1.2)
        right.set_anchor("N")
        right.set_ylabel("objects")
        right.legend(frameon=False)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=120, metadata={"Software": None})
