"""The demo source: the same bytes each time, labels that are exact, and damage that is where truth.json says."""

import hashlib
import json
from collections import Counter

import numpy as np
import pytest
from cocomine.annotations.build import build_index
from cocomine.annotations.reasons import TABLE, Reason
from cocomine.annotations.schema import open_index
from cocomine.base.errors import CocomineError
from cocomine.images.measure import examine
from cocomine.synthetic.bucket import TASKS, make_bucket, plan_images
from cocomine.synthetic.outlines import compressed_rle, outline, rasterize, trace, uncompressed_rle
from cocomine.synthetic.scene import THINGS, compose
from cocomine.synthetic.settings import SyntheticSettings
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

SMALL = SyntheticSettings(images=70, near_duplicates=4, broken=2, val_share=0.4, width=160, height=120)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    make_bucket(SMALL, folder, folder / "bucket.json", threads=2)
    return folder


@pytest.fixture(scope="module")
def truth(bucket):
    return json.loads((bucket / "truth.json").read_text())


def document(bucket, task, split):
    return json.loads((bucket / f"annotations/{task}_{split}.json").read_text())


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_the_number_of_processes(bucket, tmp_path):
    make_bucket(SMALL, tmp_path, tmp_path / "bucket.json", threads=1)
    assert digests(tmp_path) == digests(bucket)


def test_another_seed_draws_another_bucket():
    first, second = (plan_images(SyntheticSettings(seed=seed)) for seed in (0, 1))
    assert [plan.image_id for plan in first] != [plan.image_id for plan in second]


def test_the_manifest_lists_every_file_with_its_digest(bucket):
    manifest = json.loads((bucket / "bucket.json").read_text())
    found = {name: digest for name, digest in digests(bucket).items() if name != "bucket.json"}
    assert {name: entry["sha256"] for name, entry in manifest["files"].items()} == found
    assert manifest["settings"] == SMALL.as_mapping()


def test_it_says_that_it_is_synthetic(bucket):
    for task in TASKS:
        for split in ("train", "val"):
            info = document(bucket, task, split)["info"]
            assert "Synthetic" in info["description"]
            assert "no photographs" in info["description"]


def test_the_number_of_pictures_and_their_split_are_as_asked(bucket):
    counts = {split: len(list((bucket / split).glob("*.jpg"))) for split in ("train", "val")}
    assert counts == {"train": 42, "val": 28}
    for split in counts:
        names = [image["file_name"] for image in document(bucket, "captions", split)["images"]]
        assert sorted(names) == sorted(path.name for path in (bucket / split).glob("*.jpg"))
        assert all(len(name) == 16 for name in names)


def test_every_area_and_every_box_is_that_of_the_mask_that_pycocotools_draws(bucket, truth):
    broken = {note["id"] for note in truth["broken_records"]}
    kinds = Counter()
    for split in ("train", "val"):
        instances = document(bucket, "instances", split)
        sizes = {image["id"]: (image["height"], image["width"]) for image in instances["images"][::-1]}
        for record in instances["annotations"]:
            if record["id"] in broken:
                continue
            height, width = sizes[record["image_id"]]
            shape = record["segmentation"]
            if isinstance(shape, list):
                encoded = coco_mask.merge(coco_mask.frPyObjects(shape, height, width))
                kinds["parts" if len(shape) > 1 else "polygon"] += 1
            else:
                kinds[type(shape["counts"]).__name__] += 1
                encoded = shape if isinstance(shape["counts"], str) else coco_mask.frPyObjects(shape, height, width)
            assert record["iscrowd"] == int(isinstance(shape, dict) and isinstance(shape["counts"], list))
            mask = coco_mask.decode(encoded)
            assert int(mask.sum()) == record["area"]
            x, y, wide, high = coco_mask.toBbox(coco_mask.encode(np.asfortranarray(mask)))
            assert np.abs(np.array(record["bbox"]) - (x, y, wide, high)).max() <= 1.5
    assert {"polygon", "parts", "list"} <= set(kinds)


def test_panoptic_segments_are_the_png_and_agree_with_instances_and_stuff(bucket, truth):
    broken = {note["id"] for note in truth["broken_records"]}
    for split in ("train", "val"):
        panoptic, stuff = document(bucket, "panoptic", split), document(bucket, "stuff", split)
        things = {category["id"] for category in panoptic["categories"] if category["isthing"]}
        areas = {}
        for record in document(bucket, "instances", split)["annotations"]:
            if record["id"] not in broken:
                areas.setdefault(record["image_id"], []).append((record["category_id"], record["area"]))
        touched = {note["image_id"] for note in truth["broken_records"]}
        others = {a["image_id"]: a["area"] for a in stuff["annotations"] if a["category_id"] == 183}
        sizes = {image["id"]: image["width"] * image["height"] for image in stuff["images"]}
        covered = Counter()
        for record in stuff["annotations"]:
            covered[record["image_id"]] += record["area"]
        assert all(covered[image] == size for image, size in sizes.items())
        for record in panoptic["annotations"]:
            png = np.asarray(Image.open(bucket / f"annotations/panoptic_{split}" / record["file_name"])).astype(int)
            ids, counts = np.unique(png @ [1, 256, 65536], return_counts=True)
            assert dict(zip(ids.tolist(), counts.tolist(), strict=True)) == {
                segment["id"]: segment["area"] for segment in record["segments_info"]
            }
            own = [(s["category_id"], s["area"]) for s in record["segments_info"] if s["category_id"] in things]
            assert sum(area for _, area in own) == others.get(record["image_id"], 0)
            if record["image_id"] not in touched:
                assert sorted(own) == sorted(areas.get(record["image_id"], []))


def test_keypoints_lie_on_their_person_and_say_what_is_seen(bucket):
    seen = 0
    for split in ("train", "val"):
        keypoints = document(bucket, "person_keypoints", split)
        sizes = {image["id"]: (image["height"], image["width"]) for image in keypoints["images"]}
        assert len(keypoints["categories"][0]["keypoints"]) == 17
        for record in keypoints["annotations"]:
            points = np.array(record["keypoints"]).reshape(17, 3)
            assert record["num_keypoints"] == (points[:, 2] > 0).sum()
            assert (points[points[:, 2] == 0] == 0).all()
            height, width = sizes[record["image_id"]]
            shape = record["segmentation"]
            if isinstance(shape, list):
                mask = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(shape, height, width)))
                for x, y, state in points[points[:, 2] > 0].tolist():
                    assert mask[y, x] == (state == 2)
                    seen += state == 2
    assert seen > 20


def test_there_are_five_different_captions_a_picture(bucket):
    for split in ("train", "val"):
        captions = document(bucket, "captions", split)
        texts = {}
        for record in captions["annotations"]:
            texts.setdefault(record["image_id"], set()).add(record["caption"])
        assert {len(own) for own in texts.values()} == {5}
        assert len(texts) == len(captions["images"])


def test_every_planted_record_is_found_by_the_index_under_its_reason(bucket, truth, tmp_path):
    planted = truth["broken_records"]
    assert len(Counter(note["reason"] for note in planted)) == 14
    for split in ("train", "val"):
        build_index(bucket / f"annotations/instances_{split}.json", "instances", split, tmp_path / split)
        index = open_index(tmp_path / split)
        bits = {rule.reason: 1 << rule.bit for rule in TABLE}
        tables = {"annotation": index.annotations().to_pydict(), "image": index.images().to_pydict()}
        for note in planted:
            if note["split"] != split or note["reason"] == Reason.AREA_MISMATCH:
                continue  # the area is compared when the mask is drawn
            table = tables[note["kind"]]
            own = [r for i, r in zip(table["id"], table["reasons"], strict=True) if i == note["id"]]
            assert any(reasons & bits[Reason(note["reason"])] for reasons in own), note


def test_every_planted_file_is_found_when_it_is_measured(bucket, truth):
    assert Counter(note["reason"] for note in truth["broken_files"]) == dict.fromkeys(
        ("image-truncated", "image-undecodable", "image-exif-rotated", "image-size-differs"), 2
    )
    sizes = {}
    for split in ("train", "val"):
        sizes |= {i["id"]: (i["width"], i["height"]) for i in document(bucket, "captions", split)["images"]}
    planted = {note["id"]: note["reason"] for note in truth["broken_files"]}
    for split in ("train", "val"):
        for path in sorted((bucket / split).glob("*.jpg")):
            found, stated = examine(path.read_bytes()), sizes[int(path.stem)]
            reason = found["status"]
            if reason == "ok" and found["exif_orientation"] > 1:
                reason = "image-exif-rotated"
            elif reason == "ok" and (found["width"], found["height"]) != stated:
                reason = "image-size-differs"
            assert reason == planted.get(int(path.stem), "ok")


def test_twins_share_their_objects(bucket, truth):
    assert len(truth["twins"]) == 4
    objects = {}
    for split in ("train", "val"):
        for record in document(bucket, "panoptic", split)["annotations"]:
            objects[record["image_id"]] = [(s["category_id"], s["area"]) for s in record["segments_info"]]
    assert all(objects[twin["image_id"]] == objects[twin["of"]] for twin in truth["twins"])


def test_without_damage_it_is_plain_coco(tmp_path, capsys):
    settings = SyntheticSettings(images=12, near_duplicates=0, broken=0, width=160, height=120)
    make_bucket(settings, tmp_path, tmp_path / "bucket.json")
    for split in ("train", "val"):
        text = (tmp_path / f"annotations/instances_{split}.json").read_text()
        json.loads(text, parse_constant=lambda name: pytest.fail(name))
        coco = COCO(tmp_path / f"annotations/instances_{split}.json")
        assert sorted(coco.getCatIds()) == sorted(thing.id for thing in THINGS)
        assert all(coco.annToMask(annotation).any() for annotation in coco.anns.values())


@pytest.mark.slow
def test_outlines_draw_the_very_mask():
    random = np.random.default_rng(0)
    for number in range(150):
        height, width = random.integers(1, 40, 2)
        mask = random.random((height, width)) < random.choice([0.2, 0.5, 0.8, 0.95])
        if number % 2:
            scene = compose(np.random.default_rng(number), 120, 160, False)
            mask = scene.items[0].visible if scene.items else mask
        for method in (trace, outline):
            polygons = [polygon.astype(float) for polygon in method(mask)]
            assert np.array_equal(rasterize(polygons, *mask.shape), mask)
        assert np.array_equal(coco_mask.decode(compressed_rle(mask)), mask)
        plain = uncompressed_rle(mask)
        assert np.array_equal(coco_mask.decode(coco_mask.frPyObjects(plain, *mask.shape)), mask)


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"image": 3}, "synthetic: unknown key 'image'"),
        ({"images": 2.5}, "whole number"),
        ({"empty": 2}, "synthetic.empty: expected number ≥ 0, ≤ 1, got 2"),
        ({"images": 10}, "cannot hold"),
        ({"seed": True}, "whole number"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_its_key(mapping, words):
    with pytest.raises(CocomineError, match=words) as error:
        SyntheticSettings.from_mapping(mapping)
    assert error.value.hint


@pytest.mark.slow
@pytest.mark.parametrize("images", [45, 60])
def test_a_few_pictures_hold_the_usual_damage(tmp_path, images):
    settings = SyntheticSettings(images=images, width=96, height=96)
    make_bucket(settings, tmp_path, tmp_path / "bucket.json")
    truth = json.loads((tmp_path / "truth.json").read_text())
    assert Counter(note["split"] for note in truth["broken_records"]) == {"train": 15, "val": 15}
    damaged = [note for note in truth["broken_records"] if note["kind"] == "annotation"]
    assert len({(note["split"], note["id"]) for note in damaged}) == len(damaged), "one thing is done to an object"


def test_too_few_objects_for_the_damage_is_advice(tmp_path):
    settings = SyntheticSettings(images=20, near_duplicates=0, broken=2, empty=1.0, width=96, height=96)
    with pytest.raises(CocomineError, match="too few objects") as told:
        make_bucket(settings, tmp_path, tmp_path / "bucket.json")
    assert "`images`" in told.value.hint
