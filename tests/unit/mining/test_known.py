"""What can be known of a damaged document is repaired: sizes, categories, crowds, and what is in a compressed file."""

import gzip
import json

import pytest
from cocomine.annotations.lenient import as_id
from cocomine.base.errors import CocomineError
from cocomine.mining import interference
from helpers.mined import build, lines, subset
from helpers.small_documents import annotation, document

MEASURED = {1: {"width": 100, "height": 80}, 2: {"width": 100, "height": 80}}
CROWD = {"size": [80, 100], "counts": [800, 30, 7170]}


@pytest.fixture(autouse=True)
def _no_picture(monkeypatch):
    monkeypatch.setattr(interference, "draw", lambda before, after, path: None)


def without_sizes(content, *keys):
    content["images"] = [{k: v for k, v in image.items() if k not in keys} for image in content["images"]]
    return content


@pytest.mark.parametrize("keys", [("width", "height"), ("width",), ("height",)])
def test_a_size_that_is_not_stated_is_the_one_that_was_measured(tmp_path, keys):
    sound = document([annotation(1), annotation(2, image_id=2)])
    captions = without_sizes(
        {"images": sound["images"], "annotations": [{"id": 1, "image_id": 1, "caption": "a"}]}, *keys
    )
    statistics = build(
        tmp_path,
        {"instances_a": without_sizes(document(sound["annotations"]), *keys), "captions_a": captions},
        {},
        MEASURED,
    )
    assert subset(tmp_path)["images"] == [
        {k: image[k] for k in image if k not in keys} | {key: {"width": 100, "height": 80}[key] for key in keys}
        for image in sound["images"]
    ]
    assert [(row["width"], row["height"]) for row in lines(tmp_path, "images")] == [("100", "80")] * 2
    written = json.loads((tmp_path / "out/tasks/captions.json").read_text())
    assert [(image["width"], image["height"]) for image in written["images"]] == [(100, 80)] * 2
    assert statistics["repaired"]["bad-size"] == 4
    assert lines(tmp_path, "quarantine") == []


def test_once_the_size_is_measured_boxes_and_outlines_are_compared_with_it(tmp_path):
    records = [
        annotation(1),
        annotation(2, bbox=[500, 10, 5, 5]),
        annotation(3, bbox=[90, 10, 20, 5], area=401.0),
        annotation(4, segmentation=[[101, 1, 109, 1, 109, 9], annotation(1)["segmentation"][0]], area=402.0),
        annotation(5, image_id=2, segmentation={"size": [8, 10], "counts": [40, 40]}, area=40),
        annotation(6, image_id=3),
    ]
    content = document(records, images=3)
    sound = tmp_path / "sound"
    sound.mkdir()
    build(sound, {"instances_a": content}, {}, {})
    late = tmp_path / "late"
    late.mkdir()
    build(late, {"instances_a": without_sizes(content, "width", "height")}, {}, MEASURED | {3: MEASURED[1]})
    assert subset(late)["annotations"] == subset(sound)["annotations"]
    found = [
        [(line["id"], line["reason"]) for line in lines(folder, "quarantine") if line["kind"] == "annotation"]
        for folder in (late, sound)
    ]
    assert found[0] == found[1]
    assert ("5", "rle-size-differs") in found[0]


def test_what_is_seen_late_can_stop_the_build(tmp_path):
    content = without_sizes(document([annotation(1), annotation(2, bbox=[500, 10, 5, 5])]), "width", "height")
    with pytest.raises(CocomineError, match="annotation 2 has the reason box-outside"):
        build(tmp_path, {"instances_a": content}, {"policy": {"box-outside": "stop"}}, MEASURED)


def test_a_size_that_is_half_stated_and_wrong_is_not_made_up(tmp_path):
    content = document([annotation(1), annotation(2, image_id=2)])
    content["images"][1] |= {"width": 64, "height": 0}
    build(tmp_path, {"instances_a": content}, {}, MEASURED)
    found = [(line["kind"], line["id"], line["reason"]) for line in lines(tmp_path, "quarantine")]
    assert ("image", "2", "image-size-differs") in found


def test_an_image_without_a_size_that_was_not_measured_is_quarantined(tmp_path):
    content = document([annotation(1), annotation(2, image_id=2)])
    del content["images"][1]["width"]
    build(tmp_path, {"instances_a": content})
    assert ("image", "2", "bad-size") in [
        (line["kind"], line["id"], line["reason"]) for line in lines(tmp_path, "quarantine")
    ]


@pytest.mark.parametrize(
    "query", [{"image_width": {"max": 200}}, {"image_aspect": {"min": 0.5}}, {"relative_area": {"max": 0.9}}]
)
def test_a_clause_on_sizes_leaves_out_images_that_state_none(tmp_path, query):
    content = document([annotation(1), annotation(2, image_id=2)])
    del content["images"][1]["width"]
    build(tmp_path, {"instances_a": content}, query, MEASURED)
    assert [image["id"] for image in subset(tmp_path)["images"]] == [1]
    notes = json.loads((tmp_path / "out/funnel.json").read_text())["notes"]
    if "relative_area" not in query:
        assert notes == [f"{next(iter(query))}: 1 image without a stated size left out"]


@pytest.mark.parametrize("listed", ["absent", [], None])
def test_a_file_without_categories_has_those_that_its_annotations_use(tmp_path, listed):
    content = document([annotation(1, category_id=3), annotation(2, image_id=2, category_id="leaf")], categories=listed)
    if listed == "absent":
        del content["categories"]
    statistics = build(tmp_path, {"instances_a": content})
    made = [{"id": 3, "name": "category 3"}, {"id": as_id("leaf")[0], "name": "leaf"}]
    assert subset(tmp_path)["categories"] == made
    assert statistics["conservation"]["category"]["instances"]["repaired"] == 2
    found = [json.loads(line["after"]) for line in lines(tmp_path, "repairs") if line["reason"] == "no-categories"]
    assert found == made


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_made_categories_give_way_to_those_that_another_split_lists(tmp_path, order):
    one = document([annotation(1)])
    two = document([annotation(2, image_id=11, category_id=25), annotation(3, image_id=11, category_id=9)])
    two["images"] = [{**image, "id": image["id"] + 10, "file_name": f"b{image['id']}.jpg"} for image in two["images"]]
    del two["categories"]
    build(tmp_path, {f"instances_{order[0]}": one, f"instances_{order[1]}": two})
    assert sorted((c["id"], c["name"]) for c in subset(tmp_path)["categories"]) == [
        (1, "person"), (9, "category 9"), (25, "giraffe"),
    ]  # fmt: skip


def test_without_categories_policy_can_set_everything_aside(tmp_path):
    content = document([annotation(1)], categories=[])
    with pytest.raises(CocomineError):
        build(tmp_path, {"instances_a": content}, {"policy": {"no-categories": "quarantine"}})


def test_a_subset_of_compressed_files_is_that_of_the_files_in_them(tmp_path):
    content = document([annotation(1), annotation(2, image_id=2, iscrowd="absent")])
    captions = {"images": content["images"], "annotations": [{"id": 1, "image_id": 1, "caption": "a"}]}
    folders = []
    for pack in (lambda text: text, gzip.compress):
        folder = tmp_path / str(len(folders))
        folder.mkdir()
        files = {name: pack(json.dumps(d).encode()) for name, d in (("instances_a", content), ("captions_a", captions))}
        build(folder, files)
        folders.append(folder / "out")
    names = [[path.relative_to(folder) for path in sorted(folder.rglob("*"))] for folder in folders]
    assert names[0] == names[1]
    assert all(
        (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
        for name in names[0]
        if (folders[0] / name).is_file()
    )


def brushed(crowds, objects):
    records = [
        annotation(n, image_id=1 + n % 2, iscrowd=1, segmentation=CROWD, area=30 + n, bbox=[10, 0, 1, 30])
        for n in range(crowds)
    ]
    return document(records + [annotation(100 + n, area=400 + n) for n in range(objects)])


@pytest.mark.parametrize(("crowds", "objects", "share"), [(5, 0, "all 5"), (3, 2, "3 of 5"), (1, 0, ""), (2, 4, "")])
def test_a_category_of_crowds_is_told_of_with_the_keys_that_turn_them(tmp_path, crowds, objects, share, caplog):
    build(tmp_path, {"instances_a": brushed(crowds, objects)}, {"policy": {"area-mismatch": "keep"}})
    notes = json.loads((tmp_path / "out/funnel.json").read_text())["notes"]
    told = [note for note in notes if "are crowds" in note]
    assert [note.startswith(f"{share} objects of 'giraffe' are crowds (iscrowd 1)") for note in told] == [True] * bool(
        share
    )
    assert all("policy: {mostly-crowds: repair}" in note and "masks: {crowds: class}" in note for note in told)
    assert [record.message for record in caplog.records if "are crowds" in record.message] == [
        f"note: {n}" for n in told
    ]


def test_crowds_that_are_objects_become_objects_by_policy(tmp_path):
    query = {"policy": {"mostly-crowds": "repair"}, "crowds": "drop"}
    build(tmp_path, {"instances_a": brushed(5, 0)}, query)
    assert [record["iscrowd"] for record in subset(tmp_path)["annotations"]] == [0] * 5
    assert json.loads((tmp_path / "out/funnel.json").read_text())["notes"] == []


def test_what_lvis_says_of_an_image_stays_with_it(tmp_path):
    content = document([annotation(1, iscrowd="absent"), annotation(2, image_id=2, iscrowd="absent")])
    own = {"neg_category_ids": [1, 1203], "not_exhaustive_category_ids": [25]}
    content["images"] = [
        {k: v for k, v in image.items() if k != "file_name"}
        | {"coco_url": f"http://images.cocodataset.org/train2017/{image['id']}.jpg"}
        | own
        for image in content["images"]
    ]
    build(tmp_path, {"instances_a": content}, {"categories": ["giraffe"]})
    written = subset(tmp_path)["images"]
    assert [{key: image[key] for key in own} for image in written] == [own] * 2
    assert [image["file_name"] for image in written] == ["train2017/1.jpg", "train2017/2.jpg"]
