"""Writing a subset in a format of the field: photographs hard-linked, labels rewritten, losses counted.

Every writer takes a subset and an empty folder, fills it and returns what it placed and counted. The manifest lists
every file with its hash, so that a copy of the folder on another machine can be checked.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import yaml

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_table, write_json
from cocomine.base.folder import replaced_folder
from cocomine.base.progress import Progress
from cocomine.coco.reader import load_document
from cocomine.formats import yolo
from cocomine.formats.folder import MANIFEST, Placed, Placement, check_inside, place_files, write_placed
from cocomine.formats.losses import LOSSES
from cocomine.formats.settings import FORMATS
from cocomine.formats.subset import SPLITS, Item, Subset, open_subset
from cocomine.formats.tally import Tally

WHAT = {
    "coco": "COCO's own layout: {split}/ holds the photographs, annotations/instances_{split}.json their records, "
    "byte for byte as in the source; the other tasks lie beside it. Reads with pycocotools.",
    "yolo-detect": "Ultralytics' layout: images/{split}/ and labels/{split}/ with one text file an image, a line an "
    "object: class, then centre, width and height of its box as shares of the image; data.yaml names the classes.",
    "yolo-segment": "Ultralytics' layout: images/{split}/ and labels/{split}/ with one text file an image, a line an "
    "object: class, then the points of its outline as shares of the image; data.yaml names the classes.",
    "masks": "images/{split}/ holds the photographs and masks/{split}/ one PNG for each, with the label of labels.json "
    "as the value of each pixel (0 background, 255 void).",
}


@dataclass(frozen=True)
class Options:
    """How to place files: `link` by hard link where possible, `threads` for linking and hashing.

    `panoptic_pngs` are the folders in which the panoptic PNGs of the source lie, tried in order.
    """

    link: bool = True
    threads: int = 1
    panoptic_pngs: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Written:
    """What a writer did: the files that it placed and the counts of each split."""

    files: list[Placed]
    tallies: dict[str, Tally]


def export_dataset(
    format_name: str, subset_dir: Path, store_dir: Path, out_dir: Path, options: Options = Options()
) -> dict[str, Any]:
    """Export the subset in `subset_dir`, whose photographs lie in `store_dir`, to `out_dir`; return the manifest.

    `out_dir` is replaced as a whole when it holds an earlier export. Nothing in it depends on where it lies, on the
    time, or on the number of threads. Raises CocomineError for an unknown format, a missing file, a photograph that is
    not the one that was fetched, and file names that would collide.
    """
    if format_name not in FORMATS:
        raise CocomineError(f"unknown export format {format_name!r}", f"use one of: {', '.join(FORMATS)}")
    subset = open_subset(subset_dir, store_dir)
    with replaced_folder(out_dir, MANIFEST) as folder:
        writer = {"coco": _write_coco, "masks": _write_masks}.get(format_name, _write_yolo)
        written = writer(format_name, subset, folder, options)
        manifest = _manifest(format_name, subset, written)
        write_json(folder / MANIFEST, manifest)
    return manifest


def _write_coco(_format: str, subset: Subset, folder: Path, options: Options) -> Written:
    files, tallies, photographs = [], {}, []
    documents: list[Placement] = []
    for split in SPLITS:
        tally = tallies[split] = Tally()
        for item in subset.items(split):
            tally.images += 1
            tally.images_without_objects += not item.objects
            tally.objects_in += len(item.objects)
            tally.objects_out += len(item.objects)
            _note_image(item, tally)
            photographs.append(Placement(item.source, f"{split}/{item.image.file_name}", item.sha256))
        documents.append(Placement(subset.folder / f"{split}.json", f"annotations/instances_{split}.json"))
        for task, file in subset.other_tasks(split).items():
            pngs = _panoptic_pngs(file, split, options.panoptic_pngs) if task == "panoptic" else []
            if pngs is None:
                tally.note("panoptic-without-pngs", _records(file))
            else:
                documents += [Placement(file, f"annotations/{task}_{split}.json"), *pngs]
    files += place_files(documents, folder, link=False, threads=options.threads, what="annotation files")
    files += place_files(photographs, folder, link=options.link, threads=options.threads, what="photographs")
    return Written(files, tallies)


def _panoptic_pngs(file: Path, split: str, folders: Sequence[Path]) -> list[Placement] | None:
    """Where the PNGs of a panoptic file lie, or None when none of the folders is given."""
    if not folders:
        return None
    names = [record["file_name"] for record in msgspec.json.decode(file.read_bytes())["annotations"]]
    found = []
    for name in names:
        holders = [folder for folder in folders if (folder / name).is_file()]
        if not holders:
            raise CocomineError(
                f"{file}: its PNG {name} is in none of {', '.join(map(str, folders))}",
                "fetch it again with: ./run snakemake --cores 8 --forcerun sync_annotations --until sync_annotations",
            )
        found.append(Placement(holders[0] / name, f"annotations/panoptic_{split}/{name}"))
    return found


def _write_yolo(format_name: str, subset: Subset, folder: Path, options: Options) -> Written:
    line_of = yolo.detect_line if format_name == "yolo-detect" else yolo.segment_line
    tallies, photographs, files = {}, [], []
    for split in SPLITS:
        tally = tallies[split] = Tally()
        (folder / "labels" / split).mkdir(parents=True)
        with Progress(f"label {split}", None, "image") as progress:
            for item in subset.items(split):
                name = PurePosixPath(item.image.file_name)
                photograph = Placement(item.source, f"images/{split}/{name}", item.sha256)
                check_inside(photograph)
                photographs.append(photograph)
                text = yolo.label_text(item, subset.labels, line_of, tally)
                files.append(write_placed(folder, f"labels/{split}/{name.with_suffix('.txt')}", text))
                _note_image(item, tally)
                progress.advance()
        _note_other_tasks(subset, split, tally)
    files.append(write_placed(folder, "data.yaml", _data_yaml(subset)))
    files += place_files(
        photographs, folder, link=options.link, threads=options.threads, what="photographs", by_stem=True
    )
    return Written(files, tallies)


def _data_yaml(subset: Subset) -> str:
    """Ultralytics' description of a dataset; without `path`, which it would resolve against a folder of its own."""
    content = {"train": "images/train", "val": "images/val", "names": dict(enumerate(subset.labels.names))}
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=10**6)


def _write_masks(_format: str, subset: Subset, folder: Path, options: Options) -> Written:
    tallies, photographs, masks = {}, [], []
    unseen = _unseen_objects(subset.folder / "masks" / "instances.tsv")
    refused = _refused_images(subset.folder / "masks" / "refused.tsv")
    for split in SPLITS:
        tally = tallies[split] = Tally()
        for item in subset.items(split):
            if item.image.id in refused:
                tally.note("no-mask")
                tally.objects_in += len(item.objects)
                for _ in item.objects:
                    tally.drop("image-without-mask")
                continue
            name = PurePosixPath(item.image.file_name)
            photographs.append(Placement(item.source, f"images/{split}/{name}", item.sha256))
            mask = subset.folder / "masks" / "semantic" / f"{name.stem}.png"
            masks.append(Placement(mask, f"masks/{split}/{name.with_suffix('.png')}"))
            _tally_mask(item, subset, unseen, tally)
            _note_image(item, tally)
        _note_other_tasks(subset, split, tally)
    files = []
    for placements, what in ((photographs, "photographs"), (masks, "masks")):
        files += place_files(placements, folder, link=options.link, threads=options.threads, what=what, by_stem=True)
    files += place_files([Placement(subset.folder / "labels.json", "labels.json")], folder, link=False)
    return Written(files, tallies)


def _unseen_objects(table: Path) -> dict[int, str]:
    """Why objects have no pixel of their own in the masks, by annotation id; empty when the masks left no table."""
    codes = {"hidden": "hidden", "empty": "no-pixel"}
    rows = read_table(table) if table.is_file() else iter(())
    return {int(row["annotation_id"]): codes[row["state"]] for row in rows if row["state"] in codes}


def _refused_images(table: Path) -> set[int]:
    """Ids of the images that could not be drawn; empty when the masks left no such table."""
    return {int(row["image_id"]) for row in read_table(table)} if table.is_file() else set()


def _tally_mask(item: Item, subset: Subset, unseen: dict[int, str], tally: Tally) -> None:
    tally.images += 1
    tally.images_without_objects += not item.objects
    tally.objects_in += len(item.objects)
    for annotation in item.objects:
        if annotation.category_id not in subset.labels.index_of:
            tally.drop("other-class")
            continue
        if not annotation.segmentation:
            tally.drop("no-segmentation")
            continue
        if annotation.id in unseen:
            tally.drop(unseen[annotation.id])
            continue
        tally.objects_out += 1
        for code in ("object-id", "instances"):
            tally.note(code)
        for code, present in (
            ("box", annotation.bbox is not None),
            ("area", annotation.area is not None),
            ("crowd-flag", bool(annotation.iscrowd)),
        ):
            tally.note(code, int(present))
    tally.note("image-id")


def _note_image(item: Item, tally: Tally) -> None:
    tally.note("exif-rotated", int(item.exif_rotated))
    tally.note("twin-group", int(item.grouped))


def _note_other_tasks(subset: Subset, split: str, tally: Tally) -> None:
    """Count what a format of boxes, outlines or masks has no place for."""
    tally.note("licence", tally.images)
    for task, file in subset.other_tasks(split).items():
        tally.note(task, _records(file))


def _records(file: Path) -> int:
    return len(load_document(file).annotations)


def _manifest(format_name: str, subset: Subset, written: Written) -> dict[str, Any]:
    splits = {split: tally.summary() for split, tally in written.tallies.items()}
    losses: Counter[str] = Counter()
    for tally in written.tallies.values():
        losses.update(tally.losses)
    if format_name != "coco":
        losses.update({"category-id": len(subset.labels.names), "supercategory": len(subset.labels.names)})
    files = sorted(written.files, key=lambda file: file.path)
    return {
        "format": format_name,
        "what": WHAT[format_name],
        "classes": list(subset.labels.names),
        "splits": splits,
        "totals": {
            key: sum(split[key] for split in splits.values())
            for key in ("images", "images_without_objects", "objects_in", "objects_out")
        },
        "not_carried": [
            {
                "code": loss.code,
                "unit": loss.unit,
                "count": losses[loss.code],
                "drops": loss.drops,
                "meaning": loss.meaning,
            }
            for loss in LOSSES.values()
            if losses[loss.code]
        ],
        "files": [{"path": file.path, "bytes": file.bytes, "sha256": file.sha256} for file in files],
    }
