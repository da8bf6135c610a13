"""The report of one subset: gather its facts, choose its pictures, write the page and the numbers."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json, read_table, write_json, write_text
from cocomine.coco.by_image import RecordsByImage
from cocomine.coco.names import mask_name
from cocomine.reporting import charts, facts, figures, histograms, pictures, verdicts
from cocomine.reporting.explorer import aspect, brightness
from cocomine.reporting.lock_note import lock_note
from cocomine.reporting.mask_facts import mask_facts
from cocomine.reporting.page import render
from cocomine.reporting.predictions import prediction_facts, review_facts
from cocomine.reporting.runs import Run, read_run
from cocomine.reporting.splits import Objects, read_objects, split_facts
from cocomine.sources.selection import locked_images
from cocomine.splits.names import in_order

log = logging.getLogger("cocomine")

SALT = "report"


@dataclass(frozen=True)
class Inputs:
    """What a report is made from.

    `settings` are the subset's, as its config states them; `runs` the folders of the evaluations on it, `predictions`
    those of the figures of predictions on it, `reviews` the lists of its labels that they contradict; `pictures` is how
    many images to show. `store_dir` and `sources_lock` may be None: the report then lacks pictures and origins.
    """

    subset_dir: Path
    name: str
    settings: Mapping[str, Any]
    store_dir: Path | None
    runs: tuple[Path, ...]
    sources_lock: Path | None
    pictures: int
    predictions: tuple[Path, ...] = ()
    reviews: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Drawn:
    """The pictures of one image as data URIs, its size in pixels, and the labels in its mask."""

    image: str
    mask: str
    size: tuple[int, int]
    labels: list[int]


def render_report(inputs: Inputs, html: Path, json: Path) -> None:
    """Write the report of a subset to `html` and its numbers to `json`.

    The same inputs give the same bytes. Raises CocomineError when the subset is not there, or a picture of it is not.
    """
    content, gallery, runs = gather(inputs)
    write_json(json, content)
    page = render(
        "report.html.j2",
        content,
        lock_note("../", json),
        gallery=gallery,
        run_pictures=[run.drawn for run in runs],
        charts=figures.charts(content),
        run_charts=[figures.run_charts(run.facts, number) for number, run in enumerate(runs)],
        json_name=json.name,
        swatch=charts.swatch,
        bar=charts.bar,
    )
    write_text(html, page)
    log.info(
        "report %s: %d images in, %d shown, %d experiments, %.1f MB",
        inputs.name,
        content["subset"]["images"],
        len(gallery),
        len(runs),
        len(page) / 1e6,
    )


def gather(inputs: Inputs) -> tuple[dict[str, Any], list[Drawn], list[Run]]:
    """Return the facts of the report, the pictures of its gallery and the runs with theirs."""
    folder = inputs.subset_dir
    if not (folder / "subset.json").is_file():
        raise CocomineError(f"{folder / 'subset.json'}: no such file", "run the rule assemble_subset first")
    document = RecordsByImage(folder / "subset.json")
    objects = read_objects(document)
    images = list(read_table(folder / "images.tsv"))
    labels = read_json(folder / "labels.json")
    classes = labels["labels"][1:]
    statistics = facts.optional_json(folder / "statistics.json")
    funnel = facts.optional_json(folder / "funnel.json")
    split_of = {int(row["image_id"]): row["split"] for row in facts.optional_table(folder / "split.tsv")}
    gallery, drawn = _gallery(inputs, labels, images, split_of)
    runs = [read_run(path, labels["labels"]) for path in inputs.runs]
    content = {
        "subset": _subset_facts(inputs, document, objects, images, classes),
        "query": facts.query_facts(funnel, inputs.settings),
        "warnings": facts.warnings(statistics),
        "unlabelled": facts.unlabelled(
            document, zip(objects.image.tolist(), objects.category.tolist(), strict=True), classes
        ),
        "funnel": facts.funnel_facts(funnel, statistics),
        "classes": facts.class_facts(statistics, classes),
        "interference": facts.interference_facts(statistics, classes),
        "quarantine": facts.reason_rows(
            facts.optional_table(folder / "quarantine.tsv"), {row["image_id"] for row in images}
        ),
        "repairs": facts.reason_rows(facts.optional_table(folder / "repairs.tsv")),
        "conservation": facts.conservation_facts(statistics),
        "split": split_facts(folder, objects, split_of, classes),
        "gallery": gallery,
        "masks": mask_facts(folder, classes),
        "runs": [run.facts for run in runs],
        "predictions": prediction_facts(inputs.predictions),
        "reviews": [review_facts(path) for path in inputs.reviews],
        "exports": facts.export_facts(folder / "exports"),
        "inputs": {
            "files": facts.annotation_files(facts.optional_json(inputs.sources_lock)),
            "images": facts.image_facts(folder / "images.lock.tsv", images),
        },
        "licences": facts.licence_facts(document.licenses, images),
        "per_image": _objects_per_image(objects, images),
        "look": _look(folder, objects, images),
    }
    return content | {"verdicts": verdicts.verdicts(content)}, drawn, runs


def _objects_per_image(objects: Objects, images: Sequence[Mapping[str, str]]) -> list[facts.Facts]:
    counts = Counter(objects.image.tolist())
    return histograms.objects_per_image(counts[int(row["image_id"])] for row in images)


def _look(folder: Path, objects: Objects, images: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """The images' aspect and brightness, and where objects lie in them."""
    sizes = {int(row["image_id"]): (int(row["width"]), int(row["height"])) for row in images}
    known, place = np.unique(objects.image, return_inverse=True)
    size = np.array([sizes.get(image, (0, 0)) for image in known.tolist()], float).reshape(-1, 2)[place]
    with np.errstate(invalid="ignore", divide="ignore"):
        x, y = (objects.centre / size).T
    return {
        "aspect": histograms.measured("aspect", (aspect(row) for row in images)),
        "brightness": histograms.measured("brightness", brightness(folder, images)),
        "positions": histograms.positions(x, y),
    }


def _subset_facts(
    inputs: Inputs,
    document: RecordsByImage,
    objects: Objects,
    images: Sequence[Mapping[str, str]],
    classes: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    return {
        "name": inputs.name,
        "source": str(inputs.settings.get("source") or ""),
        "synthetic": "synthetic" in str((document.info or {}).get("description", "")).lower(),
        "images": len(images),
        "negatives": sum(row["role"] == "negative" for row in images),
        "objects": len(objects.image),
        "crowds": int(objects.crowd.sum()),
        "classes": len(classes),
    }


def _why_no_gallery(inputs: Inputs, masks: Path, any_images: bool) -> str:
    if inputs.store_dir is None:
        return "The report was made without the images."
    if not masks.is_dir():
        return "No masks were drawn."
    return "" if any_images else "The subset has no images."


def _gallery(
    inputs: Inputs, labels: Mapping[str, Any], images: Sequence[Mapping[str, str]], split_of: Mapping[int, str]
) -> tuple[dict[str, Any], list[Drawn]]:
    """The facts of the gallery and its pictures, in the order of the image ids."""
    masks = inputs.subset_dir / "masks" / "semantic"
    reason = _why_no_gallery(inputs, masks, bool(images))
    names = {int(row["label"]): row["name"] for row in labels["labels"][1:]}
    content: dict[str, Any] = {
        "shown": None,
        "of": None,
        "images": [],
        "classes": [],
        "captions": False,
        "why_empty": reason,
    }
    if reason or inputs.store_dir is None:
        return content, []
    present = _labels_by_image(inputs.subset_dir, names)
    drawable = {int(row["image_id"]): row for row in images if (masks / mask_name(row["file_name"])).is_file()}
    chosen = sorted(_chosen(list(drawable), present, inputs.pictures, split_of))
    captions = _captions(inputs.subset_dir, set(chosen))
    sha256_of = locked_images(inputs.subset_dir / "images.lock.tsv", [row["store_path"] for row in drawable.values()])
    drawn, shown = [], []
    colours = [row["color"] for row in labels["labels"]]
    for image in chosen:
        row = drawable[image]
        found = sorted(present.get(image, ()))
        stated, name = (int(row["width"]), int(row["height"])), row["store_path"]
        thumbnail, size = pictures.thumbnail(inputs.store_dir, name, stated, sha256_of[name])
        mask = pictures.overlay(masks / mask_name(row["file_name"]), size, colours, labels["void"])
        drawn.append(Drawn(thumbnail, mask, size, found))
        classes = [names[label] for label in found]
        caption = captions.get(image, "")
        named = ", ".join(classes) or ("crowds alone" if row["role"] == "wanted" else "no wanted object")
        shown.append(
            {
                "file_name": row["file_name"],
                "split": split_of.get(image) or "not split",
                "classes": classes,
                "caption": caption,
                "named": named,
                "alt": caption or f"An image with {named}",
            }
        )
    counts = Counter(label for one in drawn for label in one.labels)
    return content | {
        "shown": len(shown),
        "of": len(images),
        "images": shown,
        "classes": [
            {key: row[key] for key in ("label", "name", "color")}
            for row in labels["labels"][1:]
            if counts[row["label"]]
        ],
        "captions": bool(captions),
    }, drawn


def _chosen(
    images: Sequence[int], present: Mapping[int, set[int]], wanted: int, split_of: Mapping[int, str]
) -> list[int]:
    """Choose images of every split, as many of each as is its share of all."""
    chosen: list[int] = []
    first, *others = in_order(split_of.get(image, "") for image in images) or ("",)
    for split in others:
        own = [image for image in images if split_of.get(image, "") == split]
        chosen += pictures.choose(own, present, round(wanted * len(own) / max(1, len(images))), SALT)
    rest = [image for image in images if split_of.get(image, "") == first]
    return chosen + pictures.choose(rest, present, wanted - len(chosen), SALT)


def _labels_by_image(folder: Path, names: Mapping[int, str]) -> dict[int, set[int]]:
    """The labels that have pixels in each image's mask, by image id."""
    present: dict[int, set[int]] = {}
    for row in facts.optional_table(folder / "masks.tsv"):
        if int(row["label"]) in names and int(row["pixels"]):
            present.setdefault(int(row["image_id"]), set()).add(int(row["label"]))
    return present


def _captions(folder: Path, images: set[int]) -> dict[int, str]:
    """The first caption of each image, in the file's order."""
    if not (folder / "tasks" / "captions.json").is_file():
        return {}
    records = RecordsByImage(folder / "tasks" / "captions.json")
    stated = {image: [a.caption for a in records.annotations(image) if a.caption] for image in images}
    return {image: " ".join(captions[0].split()) for image, captions in stated.items() if captions}
