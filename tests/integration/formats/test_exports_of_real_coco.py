"""Exports of the real COCO slice, read back by programs that are not ours: pycocotools, and supervision where it is."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from cocomine.base.files import sha256_of_file, write_json, write_table
from cocomine.coco.reader import Annotation, load_document
from cocomine.coco.writer import write_document
from cocomine.formats.export import export_dataset
from cocomine.formats.tally import Tally
from cocomine.formats.yolo import segment_line
from helpers.shared import ROOT, coco_mini
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

SUPERVISION = Path(os.environ.get("COCOMINE_PEERS", ROOT / ".peers")) / "supervision" / "bin" / "python"


@pytest.fixture(scope="module")
def subset(tmp_path_factory):
    """All 287 images: the official train2017 and val2017 as the two sides, every category a label."""
    mini, folder = coco_mini(), tmp_path_factory.mktemp("subset")
    (folder / "splits").mkdir()
    rows, lock, sides, categories = [], [], [], []
    for side in ("train", "val"):
        document = load_document(mini / "annotations" / f"instances_{side}2017.json")
        categories = sorted(document.categories, key=lambda category: category.id)
        write_document(
            folder / "splits" / f"instances_{side}.json",
            document.info_raw,
            document.licenses_raw,
            [image.raw for image in document.images],
            [annotation.raw for annotation in document.annotations],
            [category.raw for category in document.categories],
        )
        for image in document.images:
            path = f"{side}2017/{image.file_name}"
            rows.append((image.id, path))
            sides.append((image.id, image.file_name, side, "", ""))
            lock.append((image.id, sha256_of_file(mini / path)))
    labels = [{"label": 0, "name": "background", "category_id": None}]
    labels += [{"label": n, "name": c.name, "category_id": c.id} for n, c in enumerate(categories, 1)]
    write_json(folder / "labels.json", {"labels": labels, "void": 255})
    write_table(folder / "images.tsv", ["image_id", "store_path"], rows)
    write_table(folder / "split.tsv", ["image_id", "file_name", "split", "group", "fold"], sides)
    write_table(folder / "images.lock.tsv", ["image_id", "sha256"], lock)
    return folder


@pytest.fixture(scope="module")
def exported(subset, tmp_path_factory):
    out = tmp_path_factory.mktemp("exports")
    manifests = {
        name: export_dataset(name, subset, coco_mini(), out / name) for name in ("coco", "yolo-detect", "yolo-segment")
    }
    return out, manifests


def official(side):
    return COCO(coco_mini() / "annotations" / f"instances_{side}2017.json")


def test_pycocotools_reads_the_same_records_as_from_the_official_files(exported, capsys):
    out, manifests = exported
    for side in ("train", "val"):
        ours, theirs = COCO(out / "coco" / "annotations" / f"instances_{side}.json"), official(side)
        assert ours.anns == theirs.anns
        assert ours.imgs == theirs.imgs
        assert {path.name for path in (out / "coco" / side).iterdir()} == {i["file_name"] for i in ours.imgs.values()}
    assert manifests["coco"]["totals"] == {
        "images": 287,
        "images_without_objects": sum(not official(s).getAnnIds(i) for s in ("train", "val") for i in official(s).imgs),
        "objects_in": 2302,
        "objects_out": 2302,
    }


def test_every_object_but_crowds_has_its_box_in_yolo(exported, capsys):
    out, manifests = exported
    lost = {row["code"]: row["count"] for row in manifests["yolo-detect"]["not_carried"]}
    assert lost["crowd"] == 23
    assert manifests["yolo-detect"]["totals"]["objects_out"] == 2302 - 23
    for side in ("train", "val"):
        coco = official(side)
        number_of = {category: n for n, category in enumerate(sorted(coco.cats))}
        for image in coco.imgs.values():
            text = (out / "yolo-detect" / "labels" / side / image["file_name"]).with_suffix(".txt").read_text()
            rows = [line.split() for line in text.splitlines()]
            wanted = [a for a in coco.imgToAnns[image["id"]] if not a["iscrowd"]]
            assert [int(row[0]) for row in rows] == [number_of[a["category_id"]] for a in wanted]
            for row, annotation in zip(rows, wanted, strict=True):
                cx, cy, w, h = (float(n) for n in row[1:])
                scale = np.array([image["width"], image["height"]] * 2)
                box = np.array([cx - w / 2, cy - h / 2, w, h]) * scale
                assert np.abs(box - annotation["bbox"]).max() < 0.02


def test_outlines_in_yolo_cover_what_pycocotools_draws(exported, capsys):
    """Drawn by Pillow; nearly every object agrees to its border, and those that joining changed are counted."""
    out, manifests = exported
    lost = {row["code"]: row["count"] for row in manifests["yolo-segment"]["not_carried"]}
    assert lost["crowd"] == 23
    assert manifests["yolo-segment"]["totals"]["objects_out"] == 2302 - 23 - lost.get("rle-object", 0)
    poor, several, checked = 0, 0, 0
    coco = official("val")
    for image in coco.imgs.values():
        text = (out / "yolo-segment" / "labels" / "val" / image["file_name"]).with_suffix(".txt").read_text()
        wanted = [a for a in coco.imgToAnns[image["id"]] if not a["iscrowd"]]
        for line, annotation in zip(text.splitlines(), wanted, strict=True):
            points = np.array(line.split()[1:], float).reshape(-1, 2) * (image["width"], image["height"])
            assert points.min() >= 0
            several += len(annotation["segmentation"]) > 1
            truth = coco.annToMask(annotation).astype(bool)
            rle = coco_mask.frPyObjects([points.ravel().tolist()], image["height"], image["width"])
            drawn = coco_mask.decode(rle)[..., 0].astype(bool)
            union = (truth | drawn).sum()
            checked += 1
            poor += bool(union) and (truth & drawn).sum() / union < 0.97
            canvas = Image.new("1", (image["width"], image["height"]))
            ImageDraw.Draw(canvas).polygon([tuple(point) for point in points], fill=1)
            border = 4 + 2 * np.hypot(*np.diff(points, axis=0, append=points[:1]).T).sum()
            assert (np.asarray(canvas) != truth).sum() <= border + 0.5 * truth.sum() * (
                len(annotation["segmentation"]) > 1
            )
    assert several > 20
    assert poor <= lost.get("changed-by-joining", 0) + 0.01 * checked


def test_supervision_reads_as_many_objects(exported, capsys):
    if not SUPERVISION.exists():
        pytest.skip("not run: supervision is not installed in .peers/supervision")
    out, manifests = exported
    program = (
        "import sys, json, supervision as sv\n"
        "found = {}\n"
        "for side in ('train', 'val'):\n"
        "    data = sv.DetectionDataset.from_yolo(f'{sys.argv[1]}/images/{side}', f'{sys.argv[1]}/labels/{side}',\n"
        "                                         f'{sys.argv[1]}/data.yaml')\n"
        "    found[side] = [len(data), sum(len(d) for d in data.annotations.values()), len(data.classes)]\n"
        "print(json.dumps(found))\n"
    )
    command = [str(SUPERVISION), "-c", program, str(out / "yolo-detect")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    found = json.loads(ended.stdout.splitlines()[-1])
    for side, counts in manifests["yolo-detect"]["splits"].items():
        assert found[side] == [counts["images"], counts["objects_out"], 80]


def test_real_objects_that_come_as_run_lengths_are_traced_without_losing_a_pixel(capsys):
    coco, tally = official("val"), Tally()
    for number, record in coco.anns.items():
        image = coco.imgs[record["image_id"]]
        rle = coco.annToRLE(record)
        segmentation = {"size": rle["size"], "counts": rle["counts"].decode()}
        annotation = Annotation(image_id=image["id"], id=number, category_id=1, segmentation=segmentation)
        tally.take(annotation)
        line = segment_line(annotation, 0, image["width"], image["height"], tally)
        assert (line is None) == (coco_mask.area(rle) == 0)
    assert len(tally.traced) > 100
    assert min(tally.traced.values()) == 1.0
