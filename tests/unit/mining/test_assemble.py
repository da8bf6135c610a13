"""Assembling subsets of damaged documents: policies, repairs, conservation, and never a traceback."""

import copy
import hashlib
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from cocomine.annotations.lenient import as_id
from cocomine.annotations.reasons import NEVER_KEPT, TABLE
from cocomine.base.errors import CocomineError
from cocomine.coco.reader import load_document
from cocomine.mining import interference
from cocomine.mining.assemble import assemble
from cocomine.mining.outputs import labels_document
from cocomine.mining.settings import SubsetSettings
from helpers.mined import build, lines, subset
from helpers.small_documents import annotation, document
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask


@pytest.fixture(autouse=True)
def _no_picture(monkeypatch):
    """The picture takes longer than all the rest; its own test draws it."""
    monkeypatch.setattr(interference, "draw", lambda before, after, path: None)


def test_a_repaired_record_is_written_anew_with_before_and_after(tmp_path):
    good, bare = annotation(1), annotation(2, iscrowd="absent")
    statistics = build(tmp_path, {"instances_a": document([good, bare])})
    assert subset(tmp_path)["annotations"] == [good, {**bare, "iscrowd": 0}]
    (line,) = lines(tmp_path, "repairs")
    assert (line["kind"], line["id"], line["reason"]) == ("annotation", "2", "no-iscrowd")
    assert json.loads(line["before"]) == {}
    assert json.loads(line["after"]) == {"iscrowd": 0}
    assert statistics["repaired"] == {"no-iscrowd": 1}
    assert statistics["conservation"]["annotation"]["instances"] == {
        "in": 2, "kept": 1, "repaired": 1, "quarantined": 0, "left_out": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "written", "quarantined"),
    [("keep", [1, 2], []), ("repair", [1, 2], []), ("quarantine", [1], ["2"])],
)
def test_policy_decides_what_a_reason_means_without_indexing_again(tmp_path, policy, written, quarantined):
    records = [annotation(1), annotation(2, image_id=2, bbox=[10, 10, 0, 20])]
    build(tmp_path, {"instances_a": document(records)}, {"policy": {"box-zero-side": policy}})
    found = subset(tmp_path)["annotations"]
    assert [record["id"] for record in found] == written
    assert [line["id"] for line in lines(tmp_path, "quarantine")] == quarantined
    if policy == "repair":
        assert found[1]["bbox"] == [10, 10, 20, 20]
    if policy == "keep":
        assert found[1] == records[1]


def test_numbers_are_written_as_the_source_wrote_them(tmp_path):
    text = json.dumps(document([annotation(1), annotation(2, image_id=2)]), indent=1)
    text = text.replace('"area": 400.0', '"area": 4e2', 1).replace('"area": 400.0', '"area":\t400.50', 1)
    build(tmp_path, {"instances_a": text})
    written = (tmp_path / "out" / "subset.json").read_text()
    for record in (text[text.index('{\n   "id": 1,\n   "image_id"') :].split("\n  },")[0],):
        assert record in written
    assert '"area": 4e2' in written
    assert '"area":\t400.50' in written


def test_policy_stop_names_the_record_and_the_remedy(tmp_path):
    records = [annotation(1), annotation(2, bbox=[10, 10, 0, 20])]
    with pytest.raises(CocomineError, match=r"instances_a\.json: annotation 2 has the reason box-zero-side") as caught:
        build(tmp_path, {"instances_a": document(records)}, {"policy": {"box-zero-side": "stop"}})
    assert "policy: {box-zero-side: quarantine}" in caught.value.hint


@pytest.mark.parametrize(
    ("changes", "query", "message"),
    [
        ({"categories": [{"id": 25, "name": "giraffe"}, {"id": 25, "name": "x"}]}, "duplicate-id", "category 25"),
        ({"categories": [{"id": 25, "name": "giraffe"}, 7]}, "not-an-object", "category -1"),
        ({"categories": [{"id": 25, "name": "giraffe"}, {"id": 1}]}, "no-name", "category 1"),
    ],
)
def test_policy_stop_holds_for_categories(tmp_path, changes, query, message):
    with pytest.raises(CocomineError, match=f"instances_a.json: {message} has the reason {query}, .*says stop"):
        build(tmp_path, {"instances_a": document([annotation(1)], **changes)}, {"policy": {query: "stop"}})


def test_policy_stop_holds_for_ids_that_a_later_split_repeats(tmp_path):
    one, two = document([annotation(1)]), document([annotation(2)])
    two["images"] = [{**image, "file_name": f"b{image['id']}.jpg"} for image in two["images"]]
    with pytest.raises(CocomineError, match=r"instances_b\.json: image 1 has the reason duplicate-id \(an earlier"):
        build(tmp_path, {"instances_a": one, "instances_b": two}, {"policy": {"duplicate-id": "stop"}})
    folder = tmp_path / "annotations"
    folder.mkdir()
    two["images"] = [{**image, "id": image["id"] + 10} for image in two["images"]]
    two["annotations"] = [annotation(1, image_id=11)]
    with pytest.raises(CocomineError, match=r"instances_b\.json: annotation 1 has the reason duplicate-id"):
        build(folder, {"instances_a": one, "instances_b": two}, {"policy": {"duplicate-id": "stop"}})


def test_policy_stop_holds_for_captions_that_a_later_split_repeats(tmp_path):
    one, two = document([annotation(1)]), document([annotation(2, image_id=11)])
    two["images"] = [{**i, "id": i["id"] + 10, "file_name": f"b{i['id']}.jpg"} for i in two["images"]]
    captions = [
        {"images": part["images"], "annotations": [{"id": 5, "image_id": part["images"][0]["id"], "caption": "a"}]}
        for part in (one, two)
    ]
    files = {"instances_a": one, "instances_b": two, "captions_a": captions[0], "captions_b": captions[1]}
    with pytest.raises(CocomineError, match=r"captions_b\.json: caption 5 has the reason duplicate-id"):
        build(tmp_path, files, {"policy": {"duplicate-id": "stop"}})


def test_every_category_is_accounted_for(tmp_path):
    giraffe, nan = {"id": 25, "name": "giraffe"}, {"id": 3, "name": "x", "weight": float("nan")}
    categories = [giraffe, {"name": "no id"}, 7, {"id": "1", "name": "person"}, {"id": 9, "name": "kite"}, nan]
    content = document([annotation(1), annotation(2, category_id=3)], categories=categories)
    query = {"categories": ["giraffe", "person"], "policy": {"missing-category": "keep"}}
    statistics = build(tmp_path, {"instances_a": content}, query)
    assert statistics["conservation"]["category"]["instances"] == {
        "in": 6, "kept": 1, "repaired": 1, "quarantined": 3, "left_out": 1,
    }  # fmt: skip
    found = sorted((line["id"], line["reason"]) for line in lines(tmp_path, "quarantine") if line["kind"] == "category")
    assert found == [("-1", "bad-id"), ("-1", "not-an-object"), ("3", "not-finite")]
    assert [record["id"] for record in subset(tmp_path)["categories"]] == [25, 1]


def test_a_mask_that_disagrees_with_its_area_is_judged_by_policy(tmp_path):
    records = [annotation(1), annotation(2, image_id=3, area=900.0), annotation(3, image_id=2, area=410.0)]
    for policy, expected in (("keep", [1, 2, 3]), ("quarantine", [1, 3]), ("repair", [1, 2, 3])):
        folder = tmp_path / policy
        folder.mkdir()
        statistics = build(folder, {"instances_a": document(records, images=3)}, {"policy": {"area-mismatch": policy}})
        found = subset(folder)["annotations"]
        assert [record["id"] for record in found] == expected
        if policy == "repair":
            assert found[1]["area"] == 400
            assert statistics["after"]["total"]["medium"] == 0
    folder = tmp_path / "stop"
    folder.mkdir()
    with pytest.raises(CocomineError, match=r"area-mismatch \(area 900\.0 stated, 400 drawn\)"):
        build(folder, {"instances_a": document(records, images=3)}, {"policy": {"area-mismatch": "stop"}})


def test_an_image_whose_only_object_turns_out_empty_is_left_out(tmp_path):
    speck = [[10.1, 10.1, 10.2, 10.1, 10.2, 10.2]]
    records = [annotation(1), annotation(2, image_id=2, segmentation=speck, area=0.01)]
    statistics = build(tmp_path, {"instances_a": document(records)})
    assert [image["id"] for image in subset(tmp_path)["images"]] == [1]
    found = {(line["kind"], line["id"], line["reason"]) for line in lines(tmp_path, "quarantine")}
    assert found == {("annotation", "2", "mask-empty"), ("image", "2", "mask-empty")}
    assert statistics["conservation"]["image"]["instances"]["quarantined"] == 1


def test_images_of_one_file_name_have_entries_of_their_own_in_the_dictionary(tmp_path):
    one, two = document([annotation(1), annotation(2, image_id=2)]), document([annotation(3, image_id=12)])
    two["images"] = [{**image, "id": image["id"] + 10} for image in two["images"]]
    two["images"][0]["file_name"] = "other.jpg"
    build(tmp_path, {"instances_a": one, "instances_b": two})

    def refuse_twice(pairs):
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    text = (tmp_path / "out" / "dictionary.json").read_text()
    found = json.loads(text, object_pairs_hook=refuse_twice)
    assert {name: [entry["image_id"] for entry in entries] for name, entries in found.items()} == {
        "1.jpg": [1], "2.jpg": [2], "b/2.jpg": [12],
    }  # fmt: skip


def test_categories_of_one_name_are_told_apart_in_every_table(tmp_path):
    categories = [{"id": 25, "name": "cat"}, {"id": 26, "name": "cat"}]
    records = [
        annotation(1),
        annotation(2, image_id=2, category_id=26),
        annotation(3, image_id=2, category_id=26, area=401.0),
    ]
    statistics = build(tmp_path, {"instances_a": document(records, categories=categories)})
    per_class = statistics["after"]["per_class"]
    assert {name: entry["annotations"] for name, entry in per_class.items()} == {"cat (25)": 1, "cat (26)": 2}
    assert set(statistics["interference"]["after"]) == set(per_class)
    labels = json.loads((tmp_path / "out" / "labels.json").read_text())
    assert [entry["name"] for entry in labels["labels"]] == ["background", "cat (25)", "cat (26)"]
    assert subset(tmp_path)["categories"] == categories
    entries = json.loads((tmp_path / "out" / "dictionary.json").read_text())
    assert {entry["name"] for objects in entries.values() for entry in objects} == {"cat"}


def test_a_licence_given_as_text_is_attributed_by_its_name(tmp_path):
    content = document([annotation(1)], licenses=[{"id": "1", "name": "Attribution", "url": "http://example.org/"}])
    build(tmp_path, {"instances_a": content})
    assert "## Attribution: 1 images" in (tmp_path / "out" / "ATTRIBUTION.md").read_text()


def test_many_broken_images_take_their_annotations_with_them(tmp_path):
    images = 400
    records = [annotation(n, image_id=1 + n % images) for n in range(1, 2 * images + 1)]
    records = [record | {"area": 390.0 + number * 0.02} for number, record in enumerate(records)]
    broken = {n: {"status": "image-truncated"} for n in range(1, images)}
    started = time.process_time()
    statistics = build(tmp_path, {"instances_a": document(records, images)}, {"check_areas": False}, broken)
    assert time.process_time() - started < 5
    sums = statistics["conservation"]["annotation"]["instances"]
    assert (sums["kept"], sums["quarantined"]) == (2, 2 * images - 2)
    assert {line["reason"] for line in lines(tmp_path, "quarantine")} == {"image-truncated"}


def test_ids_written_as_text_are_mended_everywhere(tmp_path):
    content = document([annotation("1", image_id="1", category_id="25")])
    content["images"][0]["id"] = "1"
    content["categories"][1]["id"] = "25"
    build(tmp_path, {"instances_a": content})
    found = subset(tmp_path)
    assert [record["id"] for record in found["images"]] == [1]
    assert [(r["id"], r["image_id"], r["category_id"]) for r in found["annotations"]] == [(1, 1, 25)]
    assert {record["id"] for record in found["categories"]} == {1, 25}
    assert {line["kind"] for line in lines(tmp_path, "repairs")} == {"image", "annotation", "category"}


def test_a_file_whose_ids_are_words_is_mined_like_any_other(tmp_path):
    content = document([annotation("a-1", image_id="img é", category_id="cat-x"), annotation("a-2", category_id=1)])
    content["images"][0]["id"] = "img é"
    content["categories"][1]["id"] = "cat-x"
    captions = {"images": content["images"], "annotations": [{"id": "c", "image_id": "img é", "caption": "a giraffe"}]}
    statistics = build(tmp_path, {"instances_a": content, "captions_a": captions}, {"categories": ["giraffe"]})
    found = load_document(tmp_path / "out" / "subset.json")
    (image,), (only,) = found.images, found.annotations
    (category,) = found.categories
    assert (only.image_id, only.category_id) == (image.id, category.id)
    assert all(2**52 <= number < 2**53 for number in (image.id, only.id, category.id))
    (caption,) = load_document(tmp_path / "out/tasks/captions.json").annotations
    assert caption.image_id == image.id
    before = {
        line["kind"]: json.loads(line["before"]) for line in lines(tmp_path, "repairs") if line["task"] != "captions"
    }
    assert before["annotation"] == {"id": "a-1", "image_id": "img é", "category_id": "cat-x"}
    assert (before["image"], before["category"]) == ({"id": "img é"}, {"id": "cat-x"})
    assert statistics["conservation"]["annotation"]["instances"]["repaired"] == 1
    folder = tmp_path / "by id"
    folder.mkdir()
    query = {"categories": ["cat-x"], "include_images": ["img é"]}
    build(folder, {"instances_a": content, "captions_a": captions}, query)
    assert subset(folder) == subset(tmp_path)
    # The numbers are those of any other day: a built subset's ids must not move.
    assert image.id == 2**52 + int.from_bytes(hashlib.sha256("img é".encode()).digest()[:8], "big") % 2**52


@pytest.mark.parametrize("identity", ["", " ", "-1", "1.5", "NaN", "-inf", "9" * 30, True, [], {}])
def test_what_can_be_no_id_is_quarantined(tmp_path, identity):
    build(tmp_path, {"instances_a": document([annotation(1), annotation(identity, image_id=2, area=390.0)])})
    assert [record["id"] for record in subset(tmp_path)["annotations"]] == [1]
    assert [line["reason"] for line in lines(tmp_path, "quarantine")] == ["bad-id"]


def test_other_tasks_follow_the_subset_and_its_policy(tmp_path):
    captions = {
        "images": document([])["images"],
        "annotations": [
            {"id": 1, "image_id": 1, "caption": "a giraffe"},
            {"id": 2, "image_id": 1, "caption": " "},
            {"id": 3, "image_id": 2, "caption": "an empty field"},
        ],
    }
    statistics = build(
        tmp_path,
        {"instances_a": document([annotation(1)]), "captions_a": captions},
        {"categories": ["giraffe"]},
    )
    written = json.loads((tmp_path / "out/tasks/captions.json").read_text())
    assert written["annotations"] == captions["annotations"][:1]
    assert written["images"] == captions["images"][:1]
    assert statistics["conservation"]["caption"]["captions"] == {
        "in": 3, "kept": 1, "repaired": 0, "quarantined": 1, "left_out": 1,
    }  # fmt: skip
    (line,) = lines(tmp_path, "quarantine")
    assert (line["task"], line["id"], line["reason"]) == ("captions", "2", "no-caption")


COMPRESSED = {"size": [80, 100], "counts": coco_mask.encode(np.ones((80, 100), np.uint8, order="F"))["counts"].decode()}


def lvis():
    """LVIS: no file names, no crowds, no supercategories, much that COCO does not have."""
    content = document([annotation(1, iscrowd="absent"), annotation(2, image_id=2, category_id=1, iscrowd="absent")])
    for image in content["images"]:
        name = f"{image.pop('file_name').removesuffix('.jpg'):0>12}"
        image |= {"coco_url": f"http://images.cocodataset.org/train2017/{name}.jpg", "neg_category_ids": [1, 2]}
    for category in content["categories"]:
        del category["supercategory"]
        category |= {"synset": f"{category['name']}.n.01", "frequency": "f", "def": 'a "thing"'}
    return content


def sama():
    """Sama-COCO: huge ids, crowds as polygons, areas as fractions, no licences."""
    content = document([annotation(10**12, area=399.5), annotation(10**12 + 1, iscrowd=1, category_id=1)])
    del content["licenses"]
    return content


def coco_rem():
    """COCO-ReM: run lengths for single objects, keys of its own."""
    content = document([annotation(1, segmentation=COMPRESSED, area=8000, bbox=[0, 0, 100, 80], lvis_id=7)])
    return {**content, "info": {"version": "ReM"}}


def coco_2014():
    """COCO 2014: file names with the split in them."""
    content = document([annotation(1)])
    for image in content["images"]:
        image["file_name"] = f"COCO_train2014_{image['id']:012d}.jpg"
    return content


@pytest.mark.parametrize(
    ("content", "path", "repaired", "facts"),
    [
        (lvis(), "train2017/000000000001.jpg", {"no-iscrowd": 1, "no-file-name": 1}, {}),
        (sama(), "a/1.jpg", {}, {"polygon-crowd": 1}),
        (coco_rem(), "a/1.jpg", {}, {"rle-not-crowd": 1}),
        (coco_2014(), "a/COCO_train2014_000000000001.jpg", {}, {}),
    ],
    ids=["LVIS", "Sama-COCO", "COCO-ReM", "COCO 2014"],
)
def test_relabels_of_coco_are_read_reported_and_carried_through(tmp_path, content, path, repaired, facts):
    statistics = build(tmp_path, {"instances_a": content}, {"categories": ["giraffe"]})
    assert [row["store_path"] for row in lines(tmp_path, "images")] == [path]
    assert statistics["repaired"] == repaired
    assert statistics["quarantined"] == {}
    manifest = json.loads((tmp_path / "index" / "instances_a" / "index.json").read_text())
    assert facts.items() <= manifest["reasons"]["annotation"].items()
    (record,) = subset(tmp_path)["annotations"]
    source = next(one for one in content["annotations"] if one["category_id"] == 25)
    assert record == {**source, "iscrowd": source.get("iscrowd", 0)}
    assert subset(tmp_path)["categories"] == [content["categories"][1]]


def test_stuff_is_restricted_to_the_subset(tmp_path):
    stuff = document([annotation(n, image_id=n, category_id=157, segmentation=COMPRESSED) for n in (1, 2)])
    stuff["categories"] = [{"id": 157, "name": "sky-other", "supercategory": "sky"}]
    build(tmp_path, {"instances_a": document([annotation(1)]), "stuff_a": stuff}, {"categories": ["giraffe"]})
    written = json.loads((tmp_path / "out/tasks/stuff.json").read_text())
    assert written["annotations"] == stuff["annotations"][:1]
    assert written["images"] == stuff["images"][:1]
    assert written["categories"] == stuff["categories"]


def test_more_categories_than_a_byte_tells_apart_make_void_two_bytes(tmp_path):
    categories = [{"id": n, "name": f"kind {n}", "supercategory": "x" if n < 9 else "y"} for n in range(1, 301)]
    content = document([annotation(1, category_id=3), annotation(2, category_id=299)], categories=categories)
    build(tmp_path, {"instances_a": content})
    labels = json.loads((tmp_path / "out" / "labels.json").read_text())
    assert (len(labels["labels"]), labels["void"], labels["category_to_label"]["300"]) == (301, 65535, 300)
    folder = tmp_path / "some"
    folder.mkdir()
    build(folder, {"instances_a": content}, {"categories": [{"supercategory": "x"}]})
    labels = json.loads((folder / "out" / "labels.json").read_text())
    assert (len(labels["labels"]), labels["void"]) == (9, 255)


def test_more_categories_than_two_bytes_tell_apart_are_refused():
    with pytest.raises(CocomineError, match="65535 categories, but the two bytes"):
        labels_document([None] * 65535)


@pytest.mark.parametrize(
    "reason",
    [
        "image-exif-rotated", "image-undecodable", "image-truncated", "image-too-large", "image-depth-unknown",
        "image-unreadable", "image-size-differs", "image-size-turned",
    ],
)  # fmt: skip
@pytest.mark.parametrize("policy", ["keep", "quarantine", "stop", None])
def test_what_was_measured_of_an_image_is_judged_by_policy(tmp_path, reason, policy):
    measured = {
        "image-exif-rotated": {"exif_orientation": 6},
        "image-size-differs": {"width": 80, "height": 100},
        "image-size-turned": {"width": 80, "height": 100, "exif_orientation": 8},
    }.get(reason, {"status": reason})
    content = document([annotation(1), annotation(2, image_id=2)])
    arguments = (tmp_path, {"instances_a": content}, {"policy": {reason: policy} if policy else {}}, {2: measured})
    if policy == "stop":
        with pytest.raises(CocomineError, match=f"image 2 has the reason {reason} .*policy says stop"):
            build(*arguments)
        return
    build(*arguments)
    kept = policy == "keep" or (policy is None and reason in ("image-exif-rotated", "image-size-turned"))
    assert [image["id"] for image in subset(tmp_path)["images"]] == ([1, 2] if kept else [1])
    assert {line["reason"] for line in lines(tmp_path, "quarantine")} == (set() if kept else {reason})


def test_an_area_is_mended_alike_in_every_file(tmp_path):
    person = annotation(1, category_id=1, area=900.0)
    points = document([{**person, "keypoints": [12, 12, 2], "num_keypoints": 1}])
    stuff = document([annotation(5, category_id=157, segmentation=COMPRESSED, area=1.0)])
    stuff["categories"] = [{"id": 157, "name": "sky-other"}]
    files = {"instances_a": document([person]), "person_keypoints_a": points, "stuff_a": stuff}
    statistics = build(tmp_path, files, {"policy": {"area-mismatch": "repair"}})
    assert statistics["repaired"] == {"area-mismatch": 3}
    areas = [
        json.loads((tmp_path / "out" / path).read_text())["annotations"][0]["area"]
        for path in ("subset.json", "tasks/person_keypoints.json", "tasks/stuff.json")
    ]
    assert areas == [400, 400, 8000]


def test_splits_that_disagree_on_a_supercategory_or_info_are_told_of(tmp_path, caplog):
    one, two = document([annotation(1)], info={"year": 1}), document([annotation(2, image_id=11)], info={"year": 2})
    two["images"] = [{**i, "id": i["id"] + 10, "file_name": f"b{i['id']}.jpg"} for i in two["images"]]
    two["categories"][1]["supercategory"] = "mammal"
    with caplog.at_level("INFO", "cocomine"):
        build(tmp_path, {"instances_a": one, "instances_b": two})
    assert "category 25 (giraffe) is of 'animal' in instances_a.json and of 'mammal' in instances_b.json" in caplog.text
    assert "that of instances_b.json differs and is left out" in caplog.text
    assert subset(tmp_path)["info"] == {"year": 1}


def test_a_panoptic_record_is_written_whole_or_not_at_all(tmp_path):
    def segment(identity, **changes):
        return {"id": identity, "category_id": 25, "iscrowd": 0, "bbox": [1, 1, 5, 5], "area": 20} | changes

    panoptic = {
        **document([]),
        "annotations": [
            {"image_id": 1, "file_name": "1.png", "segments_info": [segment(7), segment(8)]},
            {"image_id": 2, "file_name": "2.png", "segments_info": [segment(9), segment(10, category_id=77)]},
        ],
    }
    instances = document([annotation(1), annotation(2, image_id=2)])
    statistics = build(tmp_path, {"instances_a": instances, "panoptic_a": panoptic})
    written = json.loads((tmp_path / "out/tasks/panoptic.json").read_text())
    assert written["annotations"] == panoptic["annotations"][:1]
    sums = statistics["conservation"]["segment"]["panoptic"]
    assert (sums["kept"], sums["quarantined"]) == (2, 2)
    reasons = {(line["id"], line["reason"], line["detail"]) for line in lines(tmp_path, "quarantine")}
    assert reasons == {
        ("10", "missing-category", ""),
        ("9", "missing-category", "another segment of its record is quarantined"),
    }


def test_the_selection_of_another_query_is_refused(tmp_path):
    build(tmp_path, {"instances_a": document([annotation(1)])})
    other = SubsetSettings.from_mapping({"categories": ["giraffe"]})
    out = tmp_path / "out"
    with pytest.raises(CocomineError, match="was made by another query"):
        assemble(other, tmp_path / "index", tmp_path, out / "selection.tsv", out / "funnel.json", None, out)


def test_an_annotation_file_that_changed_after_it_was_indexed_is_refused(tmp_path):
    build(tmp_path, {"instances_a": document([annotation(1)])})
    with open(tmp_path / "instances_a.json", "a") as file:
        file.write("\n")
    out = tmp_path / "out"
    with pytest.raises(CocomineError, match="its index was made of"):
        assemble(SubsetSettings(), tmp_path / "index", tmp_path, out / "selection.tsv", out / "funnel.json", None, out)


STRANGE = st.sampled_from(
    [None, True, -1, 0, 1, 2**40, 2**70, 1.5, "", "1", "giraffe", "../x.jpg", "1.jpg", [], {}, [[]], [1], [[1, 2]],
     [1, 2, 3, 4], [0, 0, 1e9, 1e9], [[0, 0, 5, 0, 5, 5, 2]], [[1e8, 0, 2e8, 0, 2e8, 5e7]],
     [[-50, -50, -40, -50, -40, -40]],
     {"size": [80, 100], "counts": [0, 8000]}, {"size": [80, 100], "counts": [5]}, {"size": [80, 100], "counts": "abc"},
     {"size": [1, 1], "counts": [1]}, {"size": [70000, 70000], "counts": [4900000000]}, 2**31 - 1, 70000,
     [[0, 0, 2e9, 0, 2e9, 2e9]], [[0, 0, 6e5, 6e5] * 20], float("nan"), float("inf"), "\ud800", "a\u0000b"]
)  # fmt: skip


@st.composite
def damaged(draw):
    """A document with a few values replaced, keys taken out, and records repeated."""
    records = [annotation(n, image_id=1 + n % 3, category_id=(1, 25)[n % 2]) for n in range(1, 9)]
    content = copy.deepcopy(document(records, images=3))
    if draw(st.integers(0, 3)) == 3:
        content["videos"] = draw(STRANGE)
        content["info"] = draw(STRANGE)
    if draw(st.integers(0, 3)) == 3:
        content["licenses"] = draw(st.one_of(STRANGE, st.lists(st.builds(lambda i: {"id": i, "name": i}, STRANGE))))
    for _ in range(draw(st.integers(0, 6))):
        section = content[draw(st.sampled_from(["images", "annotations", "annotations", "categories"]))]
        at = draw(st.integers(0, len(section) - 1))
        what = draw(st.sampled_from(["replace", "remove", "repeat", "whole"]))
        if what == "repeat":
            section.append(copy.deepcopy(section[at]))
        elif what == "whole":
            section[at] = draw(STRANGE)
        elif isinstance(section[at], dict) and section[at]:
            key = draw(st.sampled_from(sorted(section[at])))
            if what == "remove":
                del section[at][key]
            else:
                section[at][key] = draw(STRANGE)
    return content


def test_keys_that_coco_does_not_define_are_carried_through(tmp_path):
    one = document([annotation(1)], videos=[{"id": 1, "frames": 1.50}], **{'a "quoted" key': {"x": None}})
    two = document([annotation(2, image_id=11)], videos=[], more=float("nan"))
    two["images"] = [{**i, "id": i["id"] + 10, "file_name": f"b{i['id']}.jpg"} for i in two["images"]]
    build(tmp_path, {"instances_a": one, "instances_b": two})
    found = subset(tmp_path)
    assert found["videos"] == one["videos"]
    assert found['a "quoted" key'] == {"x": None}
    assert found["more"] is None  # NaN, which JSON does not have
    load_document(tmp_path / "out" / "subset.json")


def test_fields_that_a_policy_keeps_do_not_stop_later_stages(tmp_path):
    records = [annotation(1), annotation(2, bbox="x"), annotation(3, image_id=2, area="big", segmentation=5)]
    policy = dict.fromkeys(("bad-box", "bad-area", "bad-segmentation"), "keep")
    build(tmp_path, {"instances_a": document(records)}, {"policy": policy})
    assert subset(tmp_path)["annotations"] == records
    read = load_document(tmp_path / "out" / "subset.json").annotations
    assert [(record.id, record.bbox, record.area) for record in read][1:] == [
        (2, None, 400.0),
        (3, [10, 10, 20, 20], None),
    ]


POLICIES = st.dictionaries(
    st.sampled_from([str(rule.reason) for rule in TABLE]),
    st.sampled_from(["keep", "repair", "quarantine", "keep", "quarantine", "stop"]),
    max_size=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=damaged(), policy=POLICIES, keep_others=st.booleans())
@pytest.mark.slow
def test_damage_never_gives_a_traceback_or_a_broken_sum(content, policy, keep_others):
    repairable = {str(rule.reason) for rule in TABLE if rule.repair}
    policy = {code: what for code, what in policy.items() if what != "repair" or code in repairable}
    policy = {code: what for code, what in policy.items() if what != "keep" or code not in NEVER_KEPT}
    query = {"categories": ["giraffe"], "policy": policy, "keep_other_annotations": keep_others}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            statistics = build(folder, {"instances_a": json.dumps(content)}, query)
        except CocomineError as error:
            assert error.hint  # noqa: PT017 - advice is as good an outcome as a subset
            return
        for kinds in statistics["conservation"].values():
            for sums in kinds.values():
                assert sums["in"] == sums["kept"] + sums["repaired"] + sums["quarantined"] + sums["left_out"]
        counted = {kind: sums["instances"] for kind, sums in statistics["conservation"].items()}
        written = json.loads((folder / "out/subset.json").read_bytes().decode("utf-8"))
        assert len(load_document(folder / "out/subset.json").annotations) == len(written["annotations"])
        for kind, key in (("image", "images"), ("annotation", "annotations"), ("category", "categories")):
            assert counted[kind]["in"] == len(content[key])
            assert counted[kind]["kept"] + counted[kind]["repaired"] == len(written[key])
            of_kind = [line for line in lines(folder, "quarantine") if line["kind"] == kind]
            assert counted[kind]["quarantined"] == len(of_kind)
        assert len(lines(folder, "images")) == len(written["images"])


MEASURED = st.sampled_from(
    [{}, {}, {"status": "image-missing"}, {"status": "image-undecodable"}, {"width": 3}, {"exif_orientation": 8}]
)


@st.composite
def damaged_captions(draw):
    """Captions of three images, a few of them damaged."""
    records = [{"id": n, "image_id": 1 + n % 3, "caption": f"caption {n}"} for n in range(1, 7)]
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(records) - 1))
        if isinstance(records[at], dict) and draw(st.booleans()):
            records[at][draw(st.sampled_from(["id", "image_id", "caption"]))] = draw(STRANGE)
        else:
            records[at] = draw(STRANGE)
    return {"images": document([], images=3)["images"], "annotations": records}


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    parts=st.lists(st.tuples(damaged(), damaged_captions()), min_size=2, max_size=2), policy=POLICIES, data=st.data()
)
@pytest.mark.slow
def test_damage_in_two_splits_captions_and_pictures_is_accounted_for(parts, policy, data):
    repairable = {str(rule.reason) for rule in TABLE if rule.repair}
    policy = {code: what for code, what in policy.items() if what != "repair" or code in repairable}
    policy = {code: what for code, what in policy.items() if what != "keep" or code not in NEVER_KEPT}
    files = {f"{task}_{split}": json.dumps(part) for split, pair in zip("ab", parts, strict=True)
             for task, part in zip(("instances", "captions"), pair, strict=True)}  # fmt: skip
    measured = data.draw(st.dictionaries(st.integers(1, 3), MEASURED))
    query = {"categories": ["giraffe"], "policy": policy, "negatives": data.draw(st.integers(0, 3))}
    query |= {"refill": data.draw(st.booleans()), "max_images": data.draw(st.sampled_from([None, 1, 2]))}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            statistics = build(folder, files, query, measured)
        except CocomineError as error:
            assert error.hint  # noqa: PT017 - advice is as good an outcome as a subset
            return
        counted = statistics["conservation"]
        for kind, task, key in (
            ("image", "instances", "images"),
            ("annotation", "instances", "annotations"),
            ("category", "instances", "categories"),
            ("caption", "captions", "annotations"),
        ):
            path = folder / "out" / ("subset.json" if task == "instances" else f"tasks/{task}.json")
            written = load_document(path)
            sums = counted[kind][task]
            assert sums["in"] == sum(len(json.loads(files[f"{task}_{split}"])[key]) for split in "ab")
            assert sums["in"] == sums["kept"] + sums["repaired"] + sums["quarantined"] + sums["left_out"]
            assert sums["kept"] + sums["repaired"] == len(getattr(written, key))
        ids = [image.id for image in load_document(folder / "out/subset.json").images]
        rows = lines(folder, "images")
        assert sorted(ids) == [int(row["image_id"]) for row in rows]
        assert not any(measured.get(number, {}).get("status") for number in ids) or policy


def test_images_that_would_share_a_mask_are_named_before_anything_is_drawn(tmp_path):
    content = document([annotation(1), annotation(2, image_id=2)])
    content["images"][1]["file_name"] = "train/1.png"
    content["images"][0]["file_name"] = "train/1.jpg"
    with pytest.raises(CocomineError, match=r"train/1\.jpg and train/1\.png would share one mask, train/1\.png"):
        build(tmp_path, {"instances_a": content})


def test_quarantined_records_can_be_found_by_their_id_as_written_and_their_place(tmp_path):
    huge, largest = 10**30, 2**63 - 1
    content = document(
        [
            annotation(largest),
            annotation(2**63),
            annotation(huge),
            annotation(-1),
            annotation(1.8e19),
            annotation("x", image_id=-7),
        ]
    )
    content["images"].append({"id": 2**63, "file_name": "3.jpg", "width": 9, "height": 9})
    content["categories"].append({"id": -3, "name": "kite"})
    build(tmp_path, {"instances_a": content})
    assert [record["id"] for record in subset(tmp_path)["annotations"]] == [largest]
    found = [(line["kind"], line["id"], line["image_id"], line["record"]) for line in lines(tmp_path, "quarantine")]
    assert found == [
        ("annotation", str(2**63), "1", "1"),
        ("annotation", str(huge), "1", "2"),
        ("annotation", "-1", "1", "3"),
        ("annotation", "1.8e+19", "1", "4"),
        ("annotation", str(as_id("x")[0]), "", "5"),
        ("category", "-3", "", "2"),
        ("image", str(2**63), "", "2"),
    ]


@pytest.mark.parametrize(
    ("given", "numbered"),
    [
        ([None, None, None], [1, 2, 3]),
        ([5, None, 2], [5, 7, 2]),
        (["x", None, "9"], [as_id("x")[0], 11, 9]),
    ],
)
def test_annotations_without_an_id_are_numbered_by_their_place(tmp_path, given, numbered):
    records = [annotation(identity, image_id=1 + n % 2, number=n) for n, identity in enumerate(given)]
    records = [{key: value for key, value in record.items() if value is not None} for record in records]
    captions = {
        "images": document([])["images"],
        "annotations": [{"image_id": 1, "caption": "a"}, {"id": None, "image_id": 2, "caption": "b"}],
    }
    statistics = build(tmp_path, {"instances_a": document(records), "captions_a": captions})
    assert [record["id"] for record in subset(tmp_path)["annotations"]] == numbered
    written = load_document(tmp_path / "out/tasks/captions.json").annotations
    assert [(record.id, record.caption) for record in written] == [(1, "a"), (2, "b")]
    assert statistics["repaired"]["no-id"] == given.count(None) + 2
    lacking = [line for line in lines(tmp_path, "repairs") if line["reason"] == "no-id" and line["task"] == "instances"]
    assert [given[int(line["record"])] for line in lacking] == [None] * given.count(None)


def test_an_outline_of_another_nesting_is_put_into_the_form_of_coco(tmp_path):
    flat = [10, 10, 30, 10, 30, 30, 10, 30]
    points = [[10, 10], [30, 10], [30, 30], [10, 30]]
    records = [annotation(n, segmentation=shape) for n, shape in enumerate((flat, points, [points], [flat]), start=1)]
    build(tmp_path, {"instances_a": document(records)}, {"policy": {"exact-duplicate": "keep"}})
    assert [record["segmentation"] for record in subset(tmp_path)["annotations"]] == [[flat]] * 4


def test_annotations_of_a_file_without_images_are_told_of_and_no_fault(tmp_path):
    with pytest.raises(CocomineError, match="no image is left"):
        build(tmp_path, {"instances_a": document([annotation(1)], images=0)})


def test_captions_of_a_file_without_images_are_left_out(tmp_path):
    captions = {"images": [], "annotations": [{"id": 1, "image_id": 1, "caption": "a"}]}
    statistics = build(tmp_path, {"instances_a": document([annotation(1)]), "captions_a": captions})
    assert statistics["conservation"]["caption"]["captions"]["left_out"] == 1


@pytest.mark.parametrize("levels", [150, 600, 3000])
def test_a_value_that_is_nested_too_deeply_is_a_fact_of_its_record(tmp_path, levels):
    content = document([annotation(1), annotation(2, image_id=2, area="DEEP")])
    content["categories"].append({"id": 9, "name": "kite", "supercategory": "DEEP"})
    text = json.dumps(content).replace('"DEEP"', "[" * levels + "1" + "]" * levels)
    build(tmp_path, {"instances_a": text})
    assert [record["id"] for record in subset(tmp_path)["annotations"]] == [1]
    found = [(line["kind"], line["record"]) for line in lines(tmp_path, "quarantine")]
    assert {("annotation", "1"), ("category", "2")} <= set(found)


def test_segments_beside_one_whose_category_is_unusable_have_its_reason(tmp_path):
    content = document([annotation(1)])
    content["categories"].append({"id": 9})
    segments = [
        {"id": n, "category_id": cls, "iscrowd": 0, "bbox": [1, 1, 5, 5], "area": 9} for n, cls in ((5, 25), (6, 9))
    ]
    panoptic = content | {"annotations": [{"image_id": 1, "file_name": "1.png", "segments_info": segments}]}
    build(tmp_path, {"instances_a": content, "panoptic_a": panoptic})
    found = [(line["id"], line["reason"]) for line in lines(tmp_path, "quarantine") if line["kind"] == "segment"]
    assert found == [("5", "missing-category"), ("6", "missing-category")]
