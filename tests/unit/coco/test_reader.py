import json
from pathlib import Path

import pytest
from cocomine.base.errors import CocomineError
from cocomine.coco.reader import annotations_of, load_document
from cocomine.coco.writer import write_document
from helpers.coco_document import document, image, thing

RLE = {"size": [80, 100], "counts": [8000]}


def test_a_document_is_read_with_the_bytes_of_each_record(tmp_path: Path):
    content = document(
        thing(1, area=1e-7, extra={"a": [1]}), thing(2, iscrowd=None, segmentation=RLE), images=[image(3)]
    )
    path = tmp_path / "subset.json"
    path.write_text(json.dumps(content, indent=1))
    read = load_document(path)
    assert (read.info, read.licenses) == (content["info"], content["licenses"])
    assert [json.loads(bytes(record.raw)) for record in read.annotations] == content["annotations"]
    assert [json.loads(bytes(record.raw)) for record in read.images] == content["images"]
    first, second = read.annotations
    assert (first.area, first.segmentation, second.segmentation, second.iscrowd) == (
        1e-7,
        thing()["segmentation"],
        RLE,
        0,
    )
    assert (read.images[0].width, read.categories[0].name, read.categories[0].supercategory) == (100, "cat", "animal")


def test_what_is_written_from_raw_records_is_read_the_same(tmp_path: Path):
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    one.write_text(json.dumps(document(thing(1), thing(2)), separators=(",", ":")))
    read = load_document(one)
    write_document(
        two,
        read.info_raw,
        read.licenses_raw,
        [bytes(record.raw) for record in read.images],
        [bytes(record.raw) for record in read.annotations],
        [bytes(record.raw) for record in read.categories],
        extra={"note": b'"x"'},
    )
    assert json.loads(two.read_bytes()) == {**json.loads(one.read_bytes()), "note": "x"}
    assert all(bytes(record.raw) in two.read_bytes() for record in read.annotations)


def test_a_document_without_info_licenses_or_records_is_written_as_json(tmp_path: Path):
    path = tmp_path / "empty.json"
    write_document(path, None, None, [], [], None)
    assert json.loads(path.read_bytes()) == {"images": [], "annotations": []}
    read = load_document(path)
    assert (read.info, read.licenses, read.categories) == (None, None, [])


@pytest.mark.parametrize("text", ["", "[]", '{"images": [{"id": "x"}]}', '{"images": [', '{"images": 5}'])
def test_what_is_no_document_is_an_error_that_names_the_file(tmp_path: Path, text):
    path = tmp_path / "subset.json"
    path.write_text(text)
    with pytest.raises(CocomineError, match=r"subset\.json: not a COCO document"):
        load_document(path)


def test_a_missing_file_is_advice(tmp_path: Path):
    with pytest.raises(CocomineError, match="no such file"):
        load_document(tmp_path / "x.json")


def test_records_of_which_some_have_odd_fields_are_read_as_each_alone():
    records = [thing(number) | ({"area": "large"} if number % 700 == 0 else {}) for number in range(1, 2500)]
    texts = [json.dumps(record).encode() for record in records]
    read = annotations_of(texts)
    assert [record.id for record in read] == list(range(1, 2500))
    assert [record.id for record in read if record.area is None] == [700, 1400, 2100]
    assert read == [annotations_of([text])[0] for text in texts]
