"""Every image of the real slice, under every policy, against pycocotools."""

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cocomine.base.files import read_json, read_table
from cocomine.base.settings import choices
from cocomine.masks.draw import rasterize_masks
from cocomine.masks.settings import MaskSettings
from cocomine.masks.subset import Sources
from helpers.mask_oracle import ann_to_mask, draw, labels_of, write_subset
from helpers.shared import coco_mini
from PIL import Image

ALL = ("semantic", "instance", "panoptic")


def segment_ids(path: Path) -> np.ndarray:
    colors = np.asarray(Image.open(path)).astype(np.int64)
    return colors[..., 0] + 256 * colors[..., 1] + 65536 * colors[..., 2]


def sources(folder: Path) -> Sources:
    return Sources(folder / "images.tsv", folder / "labels.json", folder / "subset.json")


@functools.cache
def document(name: str) -> dict:
    return json.loads((coco_mini() / "annotations" / f"{name}.json").read_text())


@functools.cache
def by_image(name: str) -> dict[int, list[dict]]:
    result: dict[int, list[dict]] = {image["id"]: [] for image in document(name)["images"]}
    for annotation in document(name)["annotations"]:
        result[annotation["image_id"]].append(annotation)
    return result


EVERY_POLICY = [
    (overlap, crowds, unwanted)
    for overlap in choices(MaskSettings, "overlap")
    if overlap != "refuse"
    for crowds in choices(MaskSettings, "crowds")
    for unwanted in choices(MaskSettings, "unwanted")
]
"""Each way to draw. What is refused is not drawn: that has a test of its own."""

EVERY_OVERLAP = [
    ("annotation-order", "class", "void"),
    ("smaller-on-top", "void", "background"),
    ("void", "class", "background"),
]
DRAWINGS = [
    ("instances_val2017", 1, EVERY_POLICY),
    ("instances_train2017", 10, EVERY_POLICY),
    # The larger file's images under all policies would take over half a minute: each value of each policy comes here.
    ("instances_train2017", 1, EVERY_OVERLAP),
]


def every(step: int, name: str) -> dict[str, Any]:
    """Return the document with each `step`-th of its images, beginning with the first."""
    images = document(name)["images"][::step]
    annotations = [annotation for image in images for annotation in by_image(name)[image["id"]]]
    return document(name) | {"images": images, "annotations": annotations}


@pytest.mark.parametrize(
    ("name", "step", "policies"), DRAWINGS, ids=[f"{d[0]}-every-{d[1]}-{len(d[2])}-policies" for d in DRAWINGS]
)
def test_every_image_under_every_policy_equals_the_composition_of_pycocotools_masks(
    tmp_path: Path, name: str, step: int, policies: list[tuple[str, str, str]]
) -> None:
    content = every(step, name)
    # Half of the classes are wanted, so that the other half can become background or void.
    labels = labels_of(document(name)["categories"][::2])
    label_of = {int(category): label for category, label in labels["category_to_label"].items()}
    drawings = []
    for number, (overlap, crowds, unwanted) in enumerate(policies):
        folder = tmp_path / str(number)
        write_subset(folder, content, labels)
        settings = MaskSettings(outputs=ALL, overlap=overlap, crowds=crowds, unwanted=unwanted, contact_sheet=0)
        rasterize_masks(settings, sources(folder), folder, 128, 2)
        lines: dict[int, list[dict[str, str]]] = {}
        for line in read_table(folder / "masks" / "instances.tsv"):
            lines.setdefault(int(line["image_id"]), []).append(line)
        drawings.append((settings, folder / "masks", lines))
    present = {int(row["image_id"]): row for row in read_table(drawings[0][1] / "images.tsv")}
    assert sorted(present) == sorted(image["id"] for image in content["images"])
    pictures = [hashlib.sha256() for _ in drawings]
    for image in content["images"]:
        decoded: dict[int, np.ndarray] = {}
        for (settings, masks, lines), picture in zip(drawings, pictures, strict=True):
            annotations = by_image(name)[image["id"]]
            expected = draw(settings, image["height"], image["width"], annotations, label_of, decoded=decoded)
            where = Path(image["file_name"]).stem, settings
            semantic, instance = (
                np.asarray(Image.open(masks / output / f"{where[0]}.png")) for output in ("semantic", "instance")
            )
            assert np.array_equal(semantic, expected.semantic), where
            picture.update(semantic.tobytes())
            if masks == drawings[0][1]:
                values, pixels = np.unique(semantic, return_counts=True)
                counts = dict(zip(values.tolist(), pixels.tolist(), strict=True))
                row = present[image["id"]]
                assert (int(row["background"]), int(row["void"])) == (counts.pop(0, 0), counts.pop(255, 0))
                assert int(row["classes"]) == len(counts)
            assert np.array_equal(instance, expected.instance), where
            assert np.array_equal(segment_ids(masks / "panoptic" / f"{where[0]}.png"), expected.panoptic), where
            shown = np.bincount(expected.instance.ravel(), minlength=1000)
            for line, item in zip(lines.get(image["id"], []), expected.objects, strict=True):
                assert int(line["number"]) == item["number"]
                assert int(line["area"]) == item["area"]
                assert int(line["pixels"]) == shown[item["number"]]
                hidden = not item["crowd"] and item["area"] > 0 and item["uncovered"] == 0
                assert (line["state"] == "hidden") == hidden
    assert len({picture.digest() for picture in pictures}) == len(policies), "the images tell the policies apart"


@pytest.mark.parametrize("border", [1, 3])
def test_void_border_of_every_image_equals_a_plain_neighbourhood_filter(tmp_path: Path, border: int) -> None:
    name = "instances_val2017"
    write_subset(tmp_path, document(name))
    settings = MaskSettings(outputs=ALL, border=border, contact_sheet=0)
    rasterize_masks(settings, sources(tmp_path), tmp_path, 128, 2)
    label_of = {c["id"]: n for n, c in enumerate(sorted(document(name)["categories"], key=lambda c: c["id"]), 1)}
    for image in document(name)["images"][::8]:
        expected = draw(settings, image["height"], image["width"], by_image(name)[image["id"]], label_of)
        stem = Path(image["file_name"]).stem
        assert np.array_equal(np.asarray(Image.open(tmp_path / f"masks/semantic/{stem}.png")), expected.semantic)
        assert np.array_equal(np.asarray(Image.open(tmp_path / f"masks/instance/{stem}.png")), expected.instance)
        assert np.array_equal(segment_ids(tmp_path / f"masks/panoptic/{stem}.png"), expected.panoptic)


def panoptic_subset(folder: Path) -> Sources:
    source = coco_mini() / "annotations"
    content = json.loads((source / "panoptic_train2017.json").read_text())
    write_subset(folder, content)
    return Sources(
        folder / "images.tsv",
        folder / "labels.json",
        panoptic=source / "panoptic_train2017.json",
        panoptic_pngs=(source / "panoptic_train2017",),
    )


def test_panoptic_output_of_the_panoptic_source_equals_the_official_pngs_and_json(tmp_path: Path) -> None:
    from_where = panoptic_subset(tmp_path)
    settings = MaskSettings(outputs=ALL, draw_from="panoptic", contact_sheet=0)
    rasterize_masks(settings, from_where, tmp_path, 128, 2)
    official = json.loads((coco_mini() / "annotations" / "panoptic_train2017.json").read_text())
    ours = {record["image_id"]: record for record in read_json(tmp_path / "masks" / "panoptic.json")["annotations"]}
    assert len(ours) == len(official["annotations"]) == 100
    for record in official["annotations"]:
        theirs = np.asarray(Image.open(coco_mini() / "annotations" / "panoptic_train2017" / record["file_name"]))
        drawn = np.asarray(Image.open(tmp_path / "masks" / "panoptic" / record["file_name"]))
        assert np.array_equal(theirs, drawn)
        mine = ours[record["image_id"]]
        assert mine["file_name"] == record["file_name"]
        keys = ("id", "category_id", "iscrowd", "area", "bbox")
        assert [[s[k] for k in keys] for s in mine["segments_info"]] == [
            [s[k] for k in keys] for s in record["segments_info"]
        ]
    assert {c["id"]: c["isthing"] for c in official["categories"]} == {
        c["id"]: c["isthing"] for c in read_json(tmp_path / "masks" / "panoptic.json")["categories"]
    }


def test_semantic_masks_of_the_panoptic_source_show_each_segments_class(tmp_path: Path) -> None:
    from_where = panoptic_subset(tmp_path)
    rasterize_masks(MaskSettings(draw_from="panoptic", contact_sheet=0), from_where, tmp_path, 128, 2)
    official = json.loads((coco_mini() / "annotations" / "panoptic_train2017.json").read_text())
    label_of = {c["id"]: n for n, c in enumerate(sorted(official["categories"], key=lambda c: c["id"]), 1)}
    for record in official["annotations"]:
        ids = segment_ids(coco_mini() / "annotations" / "panoptic_train2017" / record["file_name"])
        expected = np.full(ids.shape, 255, np.uint8)  # what no segment has is void
        for segment in record["segments_info"]:
            expected[ids == segment["id"]] = 255 if segment["iscrowd"] else label_of[segment["category_id"]]
        drawn = np.asarray(Image.open(tmp_path / "masks" / "semantic" / record["file_name"]))
        assert np.array_equal(drawn, expected)


def test_default_policy_agrees_best_with_how_people_resolved_overlaps(tmp_path: Path) -> None:
    """COCO's panoptic annotators settled each overlap by eye; of our policies, the default comes closest."""
    official = json.loads((coco_mini() / "annotations" / "panoptic_train2017.json").read_text())
    things = {c["id"] for c in official["categories"] if c["isthing"]}
    records = {record["image_id"]: record for record in official["annotations"]}
    name = "instances_train2017"
    images = [image for image in document(name)["images"] if image["id"] in records]
    agreement = {}
    for overlap in ("annotation-order", "smaller-on-top"):
        settings = MaskSettings(overlap=overlap)
        same = contested = 0
        for image, record in ((image, records[image["id"]]) for image in images):
            height, width = image["height"], image["width"]
            objects = [a for a in by_image(name)[image["id"]] if not a["iscrowd"]]
            claims = sum((ann_to_mask(a["segmentation"], height, width).astype(int) for a in objects), 0)
            drawn = draw(settings, height, width, objects, {category: category for category in things}).semantic
            ids = segment_ids(coco_mini() / "annotations" / "panoptic_train2017" / record["file_name"])
            truth = np.zeros(ids.shape, np.int64)
            for segment in record["segments_info"]:
                if segment["category_id"] in things:
                    truth[ids == segment["id"]] = segment["category_id"]
            overlapping = np.asarray(claims) > 1
            same += int(np.count_nonzero(overlapping & (drawn == truth)))
            contested += int(np.count_nonzero(overlapping))
        agreement[overlap] = same / contested
    print({key: round(value, 4) for key, value in agreement.items()}, contested)
    assert max(agreement, key=lambda key: agreement[key]) == MaskSettings().overlap


def test_the_bytes_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    name = "instances_val2017"
    settings = MaskSettings(outputs=ALL, contact_sheet=4)
    contents = []
    for threads in (1, 3):
        folder = tmp_path / str(threads)
        write_subset(folder, document(name), split="val2017")
        stored = Sources(folder / "images.tsv", folder / "labels.json", folder / "subset.json", store=coco_mini())
        rasterize_masks(settings, stored, folder, 128, threads)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        contents.append({path.relative_to(folder).as_posix(): path.read_bytes() for path in files})
    assert contents[0].keys() == contents[1].keys()
    assert [key for key in contents[0] if contents[0][key] != contents[1][key]] == []
    assert sum(key.endswith(".png") for key in contents[0]) == 3 * 79 + 1


def test_refuse_sets_aside_exactly_the_images_in_which_two_objects_claim_a_pixel(tmp_path: Path) -> None:
    name = "instances_val2017"
    write_subset(tmp_path, document(name))
    settings = MaskSettings(outputs=ALL, overlap="refuse", contact_sheet=0)
    rasterize_masks(settings, sources(tmp_path), tmp_path, 128, 2)
    refused = {int(row["image_id"]) for row in read_table(tmp_path / "masks" / "refused.tsv")}
    label_of = {c["id"]: n for n, c in enumerate(sorted(document(name)["categories"], key=lambda c: c["id"]), 1)}
    for image in document(name)["images"]:
        annotations = by_image(name)[image["id"]]
        height, width = image["height"], image["width"]
        decoded = {a["id"]: ann_to_mask(a["segmentation"], height, width) for a in annotations}
        objects = [decoded[a["id"]].astype(int) for a in annotations if not a["iscrowd"]]
        overlap = bool(objects) and int(np.sum(objects, axis=0).max()) > 1
        assert (image["id"] in refused) == overlap
        stem = Path(image["file_name"]).stem
        if not overlap:
            expected = draw(settings, height, width, annotations, label_of, decoded=decoded)
            assert np.array_equal(np.asarray(Image.open(tmp_path / f"masks/semantic/{stem}.png")), expected.semantic)
        else:
            assert not (tmp_path / f"masks/semantic/{stem}.png").exists()
    assert 0 < len(refused) < len(document(name)["images"])
