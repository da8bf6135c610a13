import json
from typing import Any

import pytest
from cocomine.annotations.drawing import as_rle, drawn_area, drawn_fact
from cocomine.annotations.reasons import TABLE, Reason
from cocomine.annotations.repairs import repair
from helpers.coco_document import image, thing

SIZE = (100, 80)
CROWD = {"size": [80, 100], "counts": [10 * 80 + 20, 30, 50, 30, 8000 - 930]}

# reason, kind, record, what changes
REPAIRS: list[tuple[Reason, str, dict[str, Any], dict[str, Any]]] = [
    (
        Reason.TEXT_ID,
        "annotation",
        thing("12", image_id="1", category_id=7.0),
        {"id": 12, "image_id": 1, "category_id": 7},
    ),
    (Reason.TEXT_ID, "image", image(id="9"), {"id": 9}),
    (Reason.BAD_FIELD, "annotation", thing(iscrowd=True, area="12.5"), {"iscrowd": 1, "area": 12.5}),
    (Reason.BAD_FIELD, "image", image(width="640", height=480.0), {"width": 640, "height": 480}),
    (Reason.BAD_FIELD, "image", image(license="CC-BY"), {"license": None}),
    (Reason.BAD_SIZE, "image", image(width=None, height=-1), {"width": 100, "height": 80}),
    (Reason.BAD_SIZE, "image", image(height="tall"), {"height": 80}),
    (
        Reason.NO_FILE_NAME,
        "image",
        image(file_name=None, coco_url="http://h/val2017/x.jpg"),
        {"file_name": "val2017/x.jpg"},
    ),
    (Reason.NO_ISCROWD, "annotation", thing(iscrowd=None), {"iscrowd": 0}),
    (Reason.MOSTLY_CROWDS, "annotation", thing(iscrowd=1), {"iscrowd": 0}),
    (
        Reason.POLYGON_TOO_SHORT,
        "annotation",
        thing(segmentation=[[1, 1, 2, 2], [1, 1, 9, 1, 9, 9]]),
        {"segmentation": [[1, 1, 9, 1, 9, 9]]},
    ),
    (
        Reason.POLYGON_OUTSIDE,
        "annotation",
        thing(segmentation=[[101, 1, 109, 1, 109, 9], [1, 1, 9, 1, 9, 9]]),
        {"segmentation": [[1, 1, 9, 1, 9, 9]]},
    ),
    (
        Reason.POLYGON_NESTING,
        "annotation",
        thing(segmentation=[1, 1, 9, 1, 9, 9.5]),
        {"segmentation": [[1, 1, 9, 1, 9, 9.5]]},
    ),
    (
        Reason.POLYGON_NESTING,
        "annotation",
        thing(segmentation=[[1, 1], [9, 1], [9, 9]]),
        {"segmentation": [[1, 1, 9, 1, 9, 9]]},
    ),
    (
        Reason.POLYGON_NESTING,
        "annotation",
        thing(segmentation=[[[1, 1], [9, 1], [9, 9]], [5, 5, 9, 5, 9, 9], [{"x": 1, "y": 2}] * 3]),
        {"segmentation": [[1, 1, 9, 1, 9, 9], [5, 5, 9, 5, 9, 9], [1, 2, 1, 2, 1, 2]]},
    ),
    (Reason.NO_BOX, "annotation", thing(bbox=None), {"bbox": [10.0, 10.0, 10.0, 10.0]}),
    (Reason.BAD_BOX, "annotation", thing(bbox=[1]), {"bbox": [10.0, 10.0, 10.0, 10.0]}),
    (Reason.BOX_ZERO_SIDE, "annotation", thing(bbox=[10, 10, 5, 0]), {"bbox": [10.0, 10.0, 10.0, 10.0]}),
    (
        Reason.BOX_ZERO_SIDE,
        "annotation",
        thing(bbox=[1, 1, 0, 0], segmentation=CROWD),
        {"bbox": [10.0, 20.0, 2.0, 30.0]},
    ),
    (Reason.BOX_OUTSIDE, "annotation", thing(bbox=[500, 10, 5, 5]), {"bbox": [10.0, 10.0, 10.0, 10.0]}),
    (Reason.BOX_PARTLY_OUTSIDE, "annotation", thing(bbox=[-5, 70, 20, 20]), {"bbox": [0.0, 70, 15.0, 10.0]}),
    (Reason.FOREIGN_FILE_NAME, "image", image(file_name="/datasets/own/1.jpg"), {"file_name": "as/indexed.jpg"}),
    (Reason.NOT_FINITE, "annotation", thing(area=float("nan")), {"area": 100}),
    (Reason.NOT_FINITE, "annotation", thing(bbox=[1, 2, 3, float("inf")]), {"bbox": [10.0, 10.0, 10.0, 10.0]}),
    (Reason.NO_AREA, "annotation", thing(area=None), {"area": 100}),
    (Reason.BAD_AREA, "annotation", thing(area=-1), {"area": 100}),
    (Reason.AREA_MISMATCH, "annotation", thing(area=5000), {"area": 100}),
    (
        Reason.KEYPOINTS_COUNT_DIFFERS,
        "annotation",
        thing(keypoints=[1, 1, 2, 5, 5, 1, 0, 0, 0], num_keypoints=3),
        {"num_keypoints": 2},
    ),
    (
        Reason.NO_ISCROWD,
        "panoptic",
        {"image_id": 1, "file_name": "1.png", "segments_info": [{"id": 5, "category_id": 7}]},
        {"segments_info": [{"id": 5, "category_id": 7, "iscrowd": 0}]},
    ),
]


@pytest.mark.parametrize(("reason", "kind", "record", "changes"), REPAIRS)
def test_each_repair_changes_what_it_says_and_nothing_else(reason, kind, record, changes):
    outcome = repair(kind, json.dumps(record).encode(), [reason], SIZE, name="as/indexed.jpg")
    assert outcome.raw is not None, outcome.detail
    assert json.loads(outcome.raw) == record | changes
    assert outcome.after == changes
    assert set(outcome.before) == set(changes) & set(record)
    assert outcome.done == (reason,)


def test_every_repair_of_the_table_is_shown_here():
    elsewhere = {Reason.DUPLICATE_KEY, Reason.NO_ID, Reason.NO_CATEGORIES, Reason.DUPLICATE_ID}
    shown = {case[0] for case in REPAIRS} | elsewhere
    assert shown == {rule.reason for rule in TABLE if rule.repair}


def test_a_key_named_twice_is_written_once_with_its_last_value():
    outcome = repair("annotation", b'{"id": 1, "area": 5, "area": 6}', [Reason.DUPLICATE_KEY], SIZE)
    assert outcome.raw == b'{"id": 1, "area": 6}'


BEYOND_REPAIR: list[tuple[Reason, str, dict[str, Any], Reason]] = [
    (Reason.TEXT_ID, "annotation", thing(image_id="-1"), Reason.BAD_ID),
    (Reason.BAD_FIELD, "annotation", thing(iscrowd="many"), Reason.BAD_FIELD),
    (Reason.BAD_FIELD, "image", image(file_name=5), Reason.BAD_FIELD),
    (Reason.NO_FILE_NAME, "image", image(file_name=None), Reason.NO_FILE_NAME),
    (Reason.POLYGON_TOO_SHORT, "annotation", thing(segmentation=[[1, 1, 2, 2]]), Reason.POLYGON_TOO_SHORT),
    (Reason.POLYGON_OUTSIDE, "annotation", thing(segmentation=[[200, 1, 209, 1, 209, 9]]), Reason.POLYGON_OUTSIDE),
    (Reason.NO_BOX, "annotation", thing(bbox=None, segmentation=None), Reason.NO_BOX),
    (
        Reason.BOX_ZERO_SIDE,
        "annotation",
        thing(bbox=[1, 1, 0, 0], segmentation=[[1, 5, 9, 5, 4, 5]]),
        Reason.BOX_ZERO_SIDE,
    ),
    (Reason.NO_AREA, "annotation", thing(area=None, segmentation={"size": [80, 100], "counts": [1]}), Reason.NO_AREA),
    (Reason.NO_AREA, "annotation", thing(area=None, segmentation=[[0, 0, 1e9, 0, 1e9, 1e9]]), Reason.NO_AREA),
    (Reason.NOT_FINITE, "annotation", thing(x=float("nan")), Reason.NOT_FINITE),
    (Reason.NOT_FINITE, "image", image(x=float("nan")), Reason.NOT_FINITE),
    (Reason.POLYGON_ODD, "annotation", thing(), Reason.POLYGON_ODD),
    (Reason.NO_BOX, "panoptic", {"image_id": 1, "segments_info": [{"id": 5, "category_id": 7}]}, Reason.NO_BOX),
]


@pytest.mark.parametrize(("reason", "kind", "record", "failed"), BEYOND_REPAIR)
def test_what_cannot_be_repaired_exactly_is_not_repaired(reason, kind, record, failed):
    outcome = repair(kind, json.dumps(record).encode(), [reason], SIZE)
    assert (outcome.raw, outcome.failed) == (None, failed)
    assert outcome.detail


def test_a_record_without_an_id_gets_the_number_that_the_index_gave_it():
    record = {key: value for key, value in thing().items() if key != "id"}
    outcome = repair("annotation", json.dumps(record).encode(), [Reason.NO_ID], SIZE, 12)
    assert outcome.raw is not None
    assert json.loads(outcome.raw) == record | {"id": 12}
    assert repair("annotation", json.dumps(record).encode(), [Reason.NO_ID], SIZE).failed == Reason.NO_ID


def test_without_the_image_size_no_box_is_made():
    assert repair("annotation", json.dumps(thing(bbox=None)).encode(), [Reason.NO_BOX]).failed == Reason.NO_BOX


def test_a_record_that_is_no_object_is_never_repaired():
    assert repair("annotation", b"[1]", [Reason.TEXT_ID], SIZE).failed == Reason.NOT_AN_OBJECT
    assert repair("annotation", b'{"a"', [Reason.TEXT_ID], SIZE).failed == Reason.NOT_AN_OBJECT


def test_an_area_is_compared_with_the_drawn_mask_beyond_a_tolerance():
    square = thing()["segmentation"]
    assert drawn_area(square, *SIZE) == 100
    assert drawn_fact(square, 109, *SIZE) is None
    assert drawn_fact(square, 111, *SIZE) == (Reason.AREA_MISMATCH, "area 111 stated, 100 drawn")
    assert drawn_fact(square, 111, *SIZE, 0.2) is None
    assert drawn_fact(square, 109, *SIZE, 0.0) is None, "10 px are within every tolerance"
    assert drawn_fact(square, None, *SIZE) == drawn_fact(square, float("nan"), *SIZE) is None
    assert drawn_fact([[10, 10, 10, 10, 10, 10]], 0.1, *SIZE) == (Reason.MASK_EMPTY, "no pixel is drawn")
    assert drawn_fact({"size": [1, 1], "counts": "zzz"}, 1, *SIZE) is None
    assert drawn_fact(None, 1, *SIZE) is None


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("segmentation", "size"),
    [
        ({"size": [70_000, 70_000], "counts": [4_900_000_000]}, (70_000, 70_000)),
        ([[0, 0, 2e9, 0, 2e9, 2e9]], (2**31 - 1, 2**31 - 1)),
        ([[0, 0, 10, 0, 10, 10]], (2**31 - 1, 1)),
        ([[0, 0, 6e5, 6e5] * 200], (65_000, 65_000)),
        ([[0, 0, 6000, 6000] * 4000], (640, 480)),
    ],
)
def test_what_would_take_all_memory_is_not_drawn(segmentation, size):
    assert as_rle(segmentation, *size) is None
    assert drawn_fact(segmentation, 5, *size) is None
    record = json.dumps(thing(segmentation=segmentation, area=None)).encode()
    outcome = repair("annotation", record, [Reason.NO_AREA], size)
    assert (outcome.raw, outcome.failed) == (None, Reason.NO_AREA)


def test_a_large_but_honest_outline_is_drawn():
    assert drawn_area([[0, 0, 60_000, 0, 60_000, 3, 0, 3]], 65_535, 10) == 180_000
