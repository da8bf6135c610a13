"""Whatever is done to a document, indexing it gives rows that account for every record, or an error that is advice."""

import json
from pathlib import Path
from typing import Any

import pytest
from cocomine.annotations.lenient import Facts, parse_leniently
from cocomine.annotations.reasons import RULES, Reason, reasons_of
from cocomine.annotations.repairs import repair
from cocomine.base.errors import CocomineError
from helpers.coco_document import Read, document, image, indexed, thing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

QUICK = settings(
    max_examples=70, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

odd_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=5),
    st.sampled_from(
        ["1", "7", " 7 ", "١", "nan", "-1", "../x", "/etc/passwd", "a\\b", "c:x", "\ud800", 1.0, 7.0, [], {}, [[]]]
    ),
    st.lists(
        st.one_of(st.integers(-5, 200), st.floats(-10, 200), st.lists(st.floats(-9, 300), max_size=9)), max_size=5
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "size": st.lists(st.integers(-1, 90), max_size=3),
            "counts": st.one_of(st.text("0123abcdP", max_size=6), st.lists(st.integers(-2, 8000), max_size=4)),
        },
    ),
)


def damaged(base: dict[str, Any]) -> st.SearchStrategy[Any]:
    changes = st.dictionaries(st.sampled_from([*base, "extra"]), odd_values, max_size=3)
    dropped = st.sets(st.sampled_from(list(base)), max_size=2)
    records = st.builds(lambda c, d: {k: v for k, v in {**base, **c}.items() if k not in d}, changes, dropped)
    return st.one_of(st.just(base), records, records, odd_values)


KEYPOINTS = {"keypoints": [1, 1, 2, 0, 0, 0], "num_keypoints": 1}
PANOPTIC = {
    "image_id": 1,
    "file_name": "1.png",
    "segments_info": [
        {"id": 5, "category_id": 7, "iscrowd": 0, "bbox": [1, 1, 5, 5], "area": 20},
        {"id": 6, "category_id": 7, "iscrowd": 0, "bbox": [1, 1, 5, 5], "area": 20},
    ],
}
BASES = {
    "instances": thing(),
    "person_keypoints": thing() | KEYPOINTS,
    "captions": {"image_id": 1, "id": 1, "caption": 'a "cat" }, {"image_id": 1'},
    "panoptic": PANOPTIC,
}


def rows_expected(task: str, record: Any) -> int:
    if task != "panoptic" or not isinstance(record, dict) or not isinstance(record.get("segments_info"), list):
        return 1
    return max(1, len(record["segments_info"]))


@pytest.mark.slow
@pytest.mark.parametrize("task", list(BASES))
@QUICK
@given(data=st.data())
def test_every_record_of_a_damaged_document_has_its_row_and_its_bytes(tmp_path: Path, task: str, data: Any):
    images = data.draw(st.lists(damaged(image() | {"coco_url": "http://h/train2017/x.jpg"}), max_size=4))
    annotations = data.draw(st.lists(damaged(BASES[task]), max_size=5))
    categories = data.draw(st.lists(damaged({"id": 7, "name": "cat"}), max_size=2))
    order = data.draw(st.permutations(["images", "annotations", "categories"]))
    content = {"images": images, "annotations": annotations, "categories": categories}
    indent = data.draw(st.sampled_from([None, 1]))
    ensure_ascii = data.draw(st.booleans())
    text = json.dumps({key: content[key] for key in order}, indent=indent, ensure_ascii=ensure_ascii)
    read = indexed(tmp_path, text.encode("utf-8", "surrogatepass"), task)
    counts = read.manifest["counts"]
    assert (counts["images"], counts["annotation_records"]) == (len(images), len(annotations))
    made = read.manifest["reasons"]["category"].get("no-categories", 0)
    assert counts["categories"] == len(categories) + made
    assert not (made and categories)
    assert len(read.images) == len(images)
    assert len(read.annotations) == sum(rows_expected(task, record) for record in annotations)
    for row, record in zip(read.images, images, strict=True):
        assert same(parse_leniently(read.raw(row), Facts()), record)
    for row in read.annotations:
        assert same(parse_leniently(read.raw(row), Facts()), annotations[row["record"]])
    for kind, rows in (("image", read.images), ("annotation", read.annotations)):
        for code, number in read.manifest["reasons"][kind].items():
            assert number == sum(code in row["reasons"] for row in rows)
    for row in read.annotations + read.images:
        check_repair(read.raw(row), row["reasons"], "image" if row in read.images else BASE_KIND[task])


BASE_KIND = {"instances": "annotation", "person_keypoints": "annotation", "captions": "caption", "panoptic": "panoptic"}


def check_repair(raw: bytes, codes: set[str], kind: str) -> None:
    wanted = [Reason(code) for code in codes if RULES[Reason(code)].policy == "repair"]
    if not wanted or any(RULES[Reason(code)].policy == "quarantine" for code in codes):
        return
    outcome = repair(kind, raw, wanted, (100, 80))
    assert (outcome.raw is None) == (outcome.failed is not None)
    if outcome.raw is not None:
        assert json.loads(outcome.raw, parse_constant=lambda name: pytest.fail(name)) is not None
        assert outcome.before != outcome.after or Reason.DUPLICATE_KEY in wanted or kind != "annotation"


def same(a: Any, b: Any) -> bool:
    """Equal as JSON, where half surrogates count as equal to their replacement."""
    return text_of(a) == text_of(b)


def text_of(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text.encode("utf-8", "replace").decode().replace("�", "?").replace("???", "?")


@QUICK
@given(data=st.data())
def test_a_cut_or_overwritten_file_gives_an_error_with_its_byte_offset_or_all_records(tmp_path: Path, data: Any):
    text = json.dumps(document(thing(1), thing(2), images=[image(1), image(2)])).encode()
    text = data.draw(st.sampled_from([text, b"\xef\xbb\xbf" + text]))
    if data.draw(st.booleans()):
        broken = text[: data.draw(st.integers(0, len(text)))]
    else:
        at = data.draw(st.integers(0, len(text) - 1))
        broken = text[:at] + data.draw(st.binary(min_size=1, max_size=4)) + text[at + data.draw(st.integers(0, 3)) :]
    read = attempt(tmp_path, broken)
    if isinstance(read, CocomineError):
        assert "byte " in read.message
        assert read.hint
        with pytest.raises(ValueError):
            strictly(broken)
        return
    parsed = parse_leniently(broken.removeprefix(b"\xef\xbb\xbf"), Facts())
    assert len(read.images) == len(parsed.get("images", []))
    assert len(read.annotations) == len(parsed.get("annotations", []))


def attempt(folder: Path, content: bytes) -> Read | CocomineError:
    """Index, or return the error."""
    try:
        return indexed(folder, content)
    except CocomineError as error:
        return error


def strictly(text: bytes) -> Any:
    """Parse as pycocotools would, and refuse what is no COCO document: twice the same top-level key, no arrays."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(items)) != len(items) and {"images", "annotations"} & {key for key, _ in items}:
            raise ValueError("twice")
        return dict(items)

    value = json.loads(text.removeprefix(b"\xef\xbb\xbf"), object_pairs_hook=pairs)
    if not isinstance(value, dict):
        raise ValueError("no object")
    for key in ("images", "annotations", "categories"):
        if not isinstance(value.get(key, []), list):
            raise ValueError("no array")
    return value


@QUICK
@given(data=st.data())
def test_any_bytes_at_all_give_an_error_that_is_advice(tmp_path: Path, data: Any):
    content = data.draw(st.one_of(st.binary(max_size=60), st.text('{}[]",:0an\\ ', max_size=40).map(str.encode)))
    read = attempt(tmp_path, content)
    assert read.hint if isinstance(read, CocomineError) else read.manifest["counts"]["annotations"] == 0


def test_masks_of_reasons_round_trip():
    assert all(reasons_of(1 << rule.bit) == [rule.reason] for rule in RULES.values())
