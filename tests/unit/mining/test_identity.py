"""Ids that restart in each split, image or task: no record is lost for it, and every new id has a way back."""

import json
import tempfile
from pathlib import Path

import pytest
from cocomine.annotations.lenient import as_id
from cocomine.base.files import read_json
from cocomine.inquiry.trace import Trace
from cocomine.mining import interference
from cocomine.mining.settings import SubsetSettings
from helpers.mined import build, lines, subset
from helpers.small_documents import annotation, document
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.fixture(autouse=True)
def _no_picture(monkeypatch):
    monkeypatch.setattr(interference, "draw", lambda before, after, path: None)


def second(annotations, images=2, **others):
    """A document of other images, with ids that start again at 1."""
    content = document(annotations, images, **others)
    content["images"] = [{**image, "file_name": f"b{image['file_name']}"} for image in content["images"]]
    return content


def restored(folder, task="instances"):
    """The records of a subset with the ids that their files state, by kind and id."""
    path = folder / "out" / ("subset.json" if task == "instances" else f"tasks/{task}.json")
    content = json.loads(path.read_text("utf-8"))
    old = {(line["kind"], int(line["new"])): int(line["old"]) for line in lines(folder, "ids") if line["task"] == task}
    images = {
        (line["kind"], int(line["new"])): int(line["old"]) for line in lines(folder, "ids") if line["kind"] == "image"
    }
    back = images | old
    kind = "caption" if task == "captions" else "annotation"
    for record in content["images"]:
        record["id"] = back.get(("image", record["id"]), record["id"])
    for record in content["annotations"]:
        record["image_id"] = back.get(("image", record["image_id"]), record["image_id"])
        record["id"] = back.get((kind, record["id"]), record["id"])
    return content


def test_records_of_two_splits_that_share_ids_are_all_kept_under_ids_of_their_own(tmp_path, caplog):
    one = document([annotation(1), annotation(2, image_id=2)])
    two = second([annotation(1), annotation(2, image_id=2, area=399.0), annotation(3, image_id=3)], images=3)
    with caplog.at_level("WARNING", "cocomine"):
        statistics = build(tmp_path, {"instances_a": one, "instances_b": two})
    assert "ids restart: 2 images and 2 annotations of b have the id of another record" in caplog.text
    found = subset(tmp_path)
    ids = [record["id"] for record in found["annotations"]]
    assert len(set(ids)) == 5
    assert ids[:2] == [1, 2]
    assert restored(tmp_path)["annotations"] == one["annotations"] + two["annotations"]
    assert restored(tmp_path)["images"] == one["images"] + two["images"]
    names = {image["id"]: image["file_name"] for image in found["images"]}
    owners = [names[record["image_id"]] for record in found["annotations"]]
    assert owners == ["1.jpg", "2.jpg", "b1.jpg", "b2.jpg", "b3.jpg"]
    sums = statistics["conservation"]
    assert (sums["annotation"]["instances"]["repaired"], sums["image"]["instances"]["repaired"]) == (2, 2)
    assert statistics["quarantined"] == {}
    assert statistics["repaired"] == {"duplicate-id": 4}
    assert {line["reason"] for line in lines(tmp_path, "repairs")} == {"duplicate-id"}


def test_a_new_id_is_that_of_the_word_and_depends_on_no_other_record(tmp_path):
    one, two = document([annotation(1)], images=1), second([annotation(1)], images=1)
    build(tmp_path, {"instances_a": one, "instances_b": two})
    image, label = subset(tmp_path)["images"][1]["id"], subset(tmp_path)["annotations"][1]["id"]
    assert (image, label) == (as_id("b/1")[0], as_id("b/1/1")[0])
    more = tmp_path / "more"
    one["images"].append({"id": 9, "file_name": "9.jpg", "width": 100, "height": 80})
    one["annotations"].insert(0, annotation(77, image_id=9))
    two["annotations"].append(annotation(78, area=401.0))
    build(more, {"instances_a": one, "instances_b": two})
    assert image in {record["id"] for record in subset(more)["images"]}
    assert label in {record["id"] for record in subset(more)["annotations"]}


def test_ids_that_restart_in_each_image_are_kept_apart(tmp_path):
    records = [annotation(n, image_id=image, area=390.0 + n) for image in (1, 2) for n in (1, 2)]
    statistics = build(tmp_path, {"instances_a": document(records)})
    assert restored(tmp_path)["annotations"] == records
    assert len({record["id"] for record in subset(tmp_path)["annotations"]}) == 4
    assert statistics["conservation"]["annotation"]["instances"]["repaired"] == 2


def test_one_id_several_times_in_one_image_gives_as_many_records(tmp_path):
    records = [annotation(1, area=390.0 + n) for n in range(3)]
    build(tmp_path, {"instances_a": document(records, images=1)})
    assert restored(tmp_path)["annotations"] == records
    assert [record["id"] for record in subset(tmp_path)["annotations"]] == [1, as_id("a/1/1")[0], as_id("a/1/1#2")[0]]


def test_only_equal_content_is_a_duplicate(tmp_path):
    equal, other = annotation(1), annotation(1, area=401.0)
    build(tmp_path, {"instances_a": document([annotation(1), equal, other], images=1)})
    assert [record["area"] for record in subset(tmp_path)["annotations"]] == [400.0, 401.0]
    (line,) = lines(tmp_path, "quarantine")
    assert (line["record"], line["reason"]) == ("1", "exact-duplicate")


def test_captions_and_keypoints_follow_the_images_and_objects_they_belong_to(tmp_path):
    one, two = document([annotation(1, category_id=1)], images=1), second([annotation(1, category_id=1)], images=1)
    files = {"instances_a": one, "instances_b": two}
    for name, part in (("a", one), ("b", two)):
        words = [{"id": 1, "image_id": 1, "caption": name}, {"id": 2, "image_id": 1, "caption": f"{name} again"}]
        files[f"captions_{name}"] = {"images": part["images"], "annotations": words}
        points = {**annotation(1, category_id=1), "keypoints": [12, 12, 2], "num_keypoints": 1}
        files[f"person_keypoints_{name}"] = {**part, "annotations": [points]}
    build(tmp_path, files)
    image, person = subset(tmp_path)["images"][1], subset(tmp_path)["annotations"][1]
    captions = json.loads((tmp_path / "out/tasks/captions.json").read_text())
    assert [(one["caption"], one["image_id"]) for one in captions["annotations"]] == [
        ("a", 1), ("a again", 1), ("b", image["id"]), ("b again", image["id"]),
    ]  # fmt: skip
    assert len({one["id"] for one in captions["annotations"]}) == 4
    points = json.loads((tmp_path / "out/tasks/person_keypoints.json").read_text())
    assert [(one["id"], one["image_id"]) for one in points["annotations"]] == [(1, 1), (person["id"], image["id"])]
    assert restored(tmp_path, "captions")["annotations"] == [
        record for name in "ab" for record in files[f"captions_{name}"]["annotations"]
    ]


def test_panoptic_records_follow_their_images(tmp_path):
    segment = {"id": 7, "category_id": 25, "iscrowd": 0, "bbox": [1, 1, 5, 5], "area": 20}
    files = {"instances_a": document([annotation(1)], images=1), "instances_b": second([annotation(1)], images=1)}
    for name in "ab":
        record = {"image_id": 1, "file_name": f"{name}.png", "segments_info": [segment]}
        files[f"panoptic_{name}"] = {**files[f"instances_{name}"], "annotations": [record]}
    build(tmp_path, files)
    found = json.loads((tmp_path / "out/tasks/panoptic.json").read_text())["annotations"]
    assert [(one["file_name"], one["image_id"]) for one in found] == [("a.png", 1), ("b.png", as_id("b/1")[0])]
    assert [one["segments_info"] for one in found] == [[segment], [segment]]


def test_images_of_two_splits_that_share_a_name_are_told_apart_by_their_folder(tmp_path):
    one, two = document([annotation(1)]), document([annotation(1, area=399.0), annotation(2, image_id=2)])
    two["images"][1]["file_name"] = "2.png"
    captions = {"images": two["images"], "annotations": [{"id": 1, "image_id": 1, "caption": "b"}]}
    build(tmp_path, {"instances_a": one, "instances_b": two, "captions_b": captions})
    names = ["1.jpg", "b/1.jpg", "b/2.png"]
    assert [image["file_name"] for image in subset(tmp_path)["images"]] == names
    table = sorted(lines(tmp_path, "images"), key=lambda row: row["file_name"])
    assert [row["file_name"] for row in table] == names
    assert [row["store_path"] for row in table] == ["a/1.jpg", "b/1.jpg", "b/2.png"]
    assert set(read_json(tmp_path / "out/dictionary.json")) == set(names)
    written = json.loads((tmp_path / "out/tasks/captions.json").read_text())
    assert sorted(image["file_name"] for image in written["images"]) == names[1:]
    changed = [line for line in lines(tmp_path, "repairs") if line["kind"] == "image" and line["task"] == "instances"]
    assert [json.loads(line["before"])["file_name"] for line in changed] == ["1.jpg", "2.png"]
    assert [json.loads(line["after"])["file_name"] for line in changed] == names[1:]
    assert {line["reason"] for line in changed} == {"duplicate-id,duplicate-file-name"}
    trace = Trace(SubsetSettings(), tmp_path / "index", tmp_path / "out")
    assert [image.outcome for image, _ in trace.image("1.jpg")] == ["kept", "repaired"]


def shared_files(folder, two):
    """Two splits that list the same image file (one folder for both), as sources with one flat folder do."""
    one = document([annotation(1)], images=1)
    for content in (one, two):
        content["images"][0] |= {"file_name": "all/1.jpg"}
    return {"instances_a": one, "instances_b": two}


def flat(monkeypatch):
    """Make the index put the images of every split into one folder."""
    import cocomine.annotations.images as module

    monkeypatch.setattr(module, "store_paths", lambda names, *_: list(names))


def test_an_image_that_two_splits_list_is_one_image(tmp_path, monkeypatch):
    flat(monkeypatch)
    statistics = build(tmp_path, shared_files(tmp_path, document([annotation(1)], images=1)))
    assert [record["id"] for record in subset(tmp_path)["images"]] == [1]
    assert statistics["conservation"]["annotation"]["instances"]["kept"] == 1
    assert {(line["kind"], line["source_split"], line["reason"]) for line in lines(tmp_path, "quarantine")} == {
        ("image", "b", "duplicate-id"), ("annotation", "b", "duplicate-id"),
    }  # fmt: skip


@pytest.mark.parametrize("policy", ["exclude", "void"])
def test_an_image_whose_other_objects_only_its_second_record_has_is_no_background(tmp_path, monkeypatch, policy):
    flat(monkeypatch)
    there = [[50, 50, 60, 50, 60, 60, 50, 60]]
    unseen = document([annotation(7, segmentation=there, bbox=[50, 50, 10, 10], area=100.0)], images=1)
    files = shared_files(tmp_path, unseen)
    files["instances_a"]["images"].append({"id": 2, "file_name": "all/2.jpg", "width": 100, "height": 80})
    files["instances_a"]["annotations"].append(annotation(2, image_id=2))
    build(tmp_path, files, {"lost_objects": policy})
    kept = [image["id"] for image in subset(tmp_path)["images"]]
    regions = read_json(tmp_path / "out/void.json")["annotations"]
    if policy == "exclude":
        assert (kept, regions) == ([2], [])
    else:
        assert kept == [1, 2]
        assert [(one["image_id"], one["id"]) for one in regions] == [(1, 7)]


def test_of_two_images_with_one_id_in_one_file_nothing_tells_whose_objects_are_whose(tmp_path):
    content = document([annotation(1), annotation(2, image_id=2)])
    content["images"].append({**content["images"][0], "file_name": "other.jpg"})
    build(tmp_path, {"instances_a": content})
    assert [image["id"] for image in subset(tmp_path)["images"]] == [2]
    found = [(line["kind"], line["record"], line["reason"]) for line in lines(tmp_path, "quarantine")]
    assert found == [
        ("annotation", "0", "duplicate-id"),
        ("image", "0", "duplicate-id"),
        ("image", "2", "duplicate-id"),
    ]


def test_policy_quarantine_sets_the_later_records_aside_with_their_images(tmp_path):
    records = [annotation(1), annotation(1, image_id=2, area=401.0), annotation(3, image_id=3)]
    build(tmp_path, {"instances_a": document(records, images=3)}, {"policy": {"duplicate-id": "quarantine"}})
    assert [image["id"] for image in subset(tmp_path)["images"]] == [1, 3]


def test_a_record_is_traced_by_the_id_of_its_file_and_by_its_new_one(tmp_path):
    build(tmp_path, {"instances_a": document([annotation(1)]), "instances_b": second([annotation(1, area=399.0)])})
    trace = Trace(SubsetSettings(), tmp_path / "index", tmp_path / "out")
    new = subset(tmp_path)["annotations"][1]["id"]
    first, other = trace.annotation(1)
    assert (first.source_split, first.outcome, other.source_split, other.outcome) == ("a", "kept", "b", "repaired")
    assert trace.annotation(new) == [other]
    assert other.after["id"] == new
    ((image, labels),) = trace.image("b1.jpg")
    assert (image.outcome, labels) == ("repaired", [other])


@pytest.mark.slow
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    parts=st.lists(
        st.lists(st.tuples(st.integers(1, 3), st.integers(0, 4)), min_size=1, max_size=6), min_size=1, max_size=3
    )
)
def test_whatever_ids_restart_every_record_comes_back_as_it_was(parts):
    files, number = {}, 0
    for name, records in zip("abc", parts, strict=False):
        labels = []
        for image, identity in records:
            number += 1
            labels.append(annotation(identity, image_id=image, area=390.0 + number / 10))
        content = document(labels, images=3)
        content["images"] = [{**one, "file_name": f"{name}{one['id']}.jpg"} for one in content["images"]]
        files[f"instances_{name}"] = content
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder, files)
        found = subset(folder)
        for key in ("images", "annotations"):
            ids = [record["id"] for record in found[key]]
            assert len(set(ids)) == len(ids)
        assert restored(folder)["annotations"] == [one for content in files.values() for one in content["annotations"]]
        assert {int(row["image_id"]) for row in lines(folder, "images")} == {one["id"] for one in found["images"]}
