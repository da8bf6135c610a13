"""Each field of a record is judged and repaired by itself: no fault hides another, whichever two come together."""

import itertools
import json
import math
from dataclasses import dataclass
from typing import Any

import pytest
from cocomine.annotations.reasons import Reason
from cocomine.mining import interference
from helpers.coco_document import document, indexed, thing
from helpers.mined import build, lines, subset

SQUARE = [[10, 10, 20, 10, 20, 20, 10, 20]]
KEYPOINTS = {"keypoints": [1, 1, 2, 5, 5, 1, 0, 0, 0], "num_keypoints": 2}


class Absent:
    """Stands for a key that is not there."""


@dataclass(frozen=True)
class Fault:
    """A bad value of a field, its reasons, and the value that repairs it; LOST where there is none."""

    field: str
    value: Any
    reasons: tuple[Reason, ...]
    repaired: Any

    def __str__(self) -> str:
        return f"{self.field}={'absent' if self.value is Absent else self.value}"


class Lost:
    """Stands for a record that is quarantined."""


FAULTS = [
    Fault("id", "{n}", (Reason.TEXT_ID,), "n"),
    Fault("id", -4, (Reason.BAD_ID,), Lost),
    Fault("image_id", "1", (Reason.TEXT_ID,), 1),
    Fault("image_id", True, (Reason.BAD_ID,), Lost),
    Fault("image_id", 99, (Reason.MISSING_IMAGE,), Lost),
    Fault("category_id", 7.0, (Reason.TEXT_ID,), 7),
    Fault("category_id", 8, (Reason.MISSING_CATEGORY,), Lost),
    Fault("iscrowd", Absent, (Reason.NO_ISCROWD,), 0),
    Fault("iscrowd", None, (Reason.NO_ISCROWD,), 0),
    Fault("iscrowd", "0", (Reason.BAD_FIELD,), 0),
    Fault("iscrowd", False, (Reason.BAD_FIELD,), 0),
    Fault("iscrowd", "many", (Reason.BAD_FIELD,), Lost),
    Fault("area", Absent, (Reason.NO_AREA,), 100),
    Fault("area", None, (Reason.NO_AREA,), 100),
    Fault("area", "101", (Reason.BAD_FIELD,), 101.0),
    Fault("area", "big", (Reason.BAD_AREA,), 100),
    Fault("area", [], (Reason.BAD_AREA,), 100),
    Fault("area", -3, (Reason.BAD_AREA,), 100),
    Fault("area", math.nan, (Reason.NOT_FINITE,), 100),
    Fault("bbox", Absent, (Reason.NO_BOX,), [10.0, 10.0, 10.0, 10.0]),
    Fault("bbox", None, (Reason.NO_BOX,), [10.0, 10.0, 10.0, 10.0]),
    Fault("bbox", {"x": 10, "y": 10}, (Reason.BAD_BOX,), [10.0, 10.0, 10.0, 10.0]),
    Fault("bbox", ["9", "9", "12", 12], (Reason.BAD_BOX,), [9.0, 9.0, 12.0, 12.0]),
    Fault("bbox", [10, 10, 5, 0], (Reason.BOX_ZERO_SIDE,), [10.0, 10.0, 10.0, 10.0]),
    Fault("bbox", [10, math.nan, 5, 5], (Reason.NOT_FINITE,), [10.0, 10.0, 10.0, 10.0]),
    Fault("bbox", [500, 10, 5, 5], (Reason.BOX_OUTSIDE,), [10.0, 10.0, 10.0, 10.0]),
    Fault("bbox", [-5, 10, 20, 10], (Reason.BOX_PARTLY_OUTSIDE,), [0.0, 10, 15.0, 10.0]),
    Fault("segmentation", [[1, 1, 2, 2], *SQUARE], (Reason.POLYGON_TOO_SHORT,), SQUARE),
    Fault("segmentation", [[101, 1, 109, 1, 109, 9], *SQUARE], (Reason.POLYGON_OUTSIDE,), SQUARE),
    Fault("segmentation", 5, (Reason.BAD_SEGMENTATION,), Lost),
    Fault("segmentation", [[1, 1, 5, 1, 5, 5, 6]], (Reason.POLYGON_ODD,), Lost),
    Fault("segmentation", [[1, 1, 5, 1, 5, math.nan]], (Reason.NOT_FINITE,), Lost),
    Fault("num_keypoints", "2", (Reason.BAD_FIELD,), 2),
    Fault("num_keypoints", "two", (Reason.BAD_FIELD,), 2),
    Fault("num_keypoints", 3, (Reason.KEYPOINTS_COUNT_DIFFERS,), 2),
    Fault("keypoints", [1, 2], (Reason.BAD_KEYPOINTS,), Lost),
]
AGAINST_THE_IMAGE = {str(r) for r in (Reason.BOX_OUTSIDE, Reason.BOX_PARTLY_OUTSIDE, Reason.POLYGON_OUTSIDE)}
"""What is seen only beside an image's width and height."""

PAIRS = [
    (one, two)
    for one, two in itertools.combinations(FAULTS, 2)
    if one.field != two.field and (one.value, two.field) != (3, "keypoints")  # points that are none have no count
]


def record(number: int, *faults: Fault) -> dict[str, Any]:
    """An annotation with faults; `number` is its id, and keeps it from being a duplicate of another."""
    values = {**thing(number), **KEYPOINTS, "number": number} | {
        fault.field: str(number) if fault.value == "{n}" else fault.value for fault in faults
    }
    return {key: value for key, value in values.items() if value is not Absent}


def expected_reasons(*faults: Fault) -> set[str]:
    reasons = {str(reason) for fault in faults for reason in fault.reasons}
    has_image = not any(fault.field == "image_id" and fault.repaired is Lost for fault in faults)
    return reasons if has_image else reasons - AGAINST_THE_IMAGE


def repaired(number: int, *faults: Fault) -> dict[str, Any]:
    changes = {fault.field: number if fault.repaired == "n" else fault.repaired for fault in faults}
    return record(number) | changes


@pytest.fixture(autouse=True)
def _no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interference, "draw", lambda before, after, path: None)


def test_two_bad_fields_have_the_reasons_of_both(tmp_path):
    content = document(*(record(n, *pair) for n, pair in enumerate(PAIRS, start=1)))
    read = indexed(tmp_path, json.dumps(content), "person_keypoints")
    found = {str([*map(str, pair)]): row["reasons"] for pair, row in zip(PAIRS, read.annotations, strict=True)}
    assert found == {str([*map(str, pair)]): expected_reasons(*pair) for pair in PAIRS}


def test_two_bad_fields_are_both_repaired_or_the_record_is_quarantined(tmp_path):
    pairs = dict(enumerate(PAIRS, start=1))
    lost = {n for n, pair in pairs.items() if Lost in [fault.repaired for fault in pair]}
    content = document(*(record(n, *pair) for n, pair in pairs.items() if n not in lost))
    statistics = build(tmp_path, {"instances_a": content})
    wanted = {n: repaired(n, *pair) for n, pair in pairs.items() if n not in lost}
    assert {found["number"]: found for found in subset(tmp_path)["annotations"]} == wanted
    assert statistics["conservation"]["annotation"]["instances"]["repaired"] == len(wanted)
    assert len(lines(tmp_path, "repairs")) == len(wanted)
    # An image that loses an object goes with it, so the lost ones have an image of their own.
    content = document(*(record(n, *pairs[n]) for n in lost), {**record(0), "image_id": 10**6})
    content["images"].append({**content["images"][0], "id": 10**6, "file_name": "valid.jpg"})
    build(tmp_path / "lost", {"instances_a": content})
    assert [found["number"] for found in subset(tmp_path / "lost")["annotations"]] == [0]


def test_a_kept_fault_beside_a_repaired_one_stays_as_it_is(tmp_path):
    records = [
        record(1, *[fault for fault in FAULTS if str(fault) == "bbox={'x': 10, 'y': 10}"], FAULTS[12]),
        record(2),
    ]
    build(tmp_path, {"instances_a": document(*records)}, {"policy": {"bad-box": "keep"}})
    assert subset(tmp_path)["annotations"] == [record(1) | {"bbox": {"x": 10, "y": 10}, "area": 100}, record(2)]
