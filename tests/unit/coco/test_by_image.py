import json
from pathlib import Path

import pytest
from cocomine.base.errors import CocomineError
from cocomine.coco import by_image
from cocomine.coco.by_image import RecordsByImage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TEXTS = st.text('},{[]\\"ä \n', max_size=8)
RECORDS = st.lists(
    st.fixed_dictionaries(
        {"image_id": st.integers(0, 4), "note": TEXTS},
        optional={
            "segments_info": st.lists(st.fixed_dictionaries({"id": TEXTS}), max_size=3),
            "size": st.just({"a": {}}),
        },
    ),
    max_size=12,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RECORDS, st.integers(1, 60), st.sampled_from([None, 1]))
def test_records_are_found_by_image_however_the_file_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: list[dict], piece: int, indent: int | None
) -> None:
    monkeypatch.setattr(by_image, "PIECE", piece)
    file = tmp_path / "subset.json"
    file.write_text(json.dumps({"annotations": content, "categories": [{"id": 1}]}, indent=indent), "utf-8")
    found = RecordsByImage(file)
    for image in range(5):
        expected = [record for record in content if record["image_id"] == image]
        assert [json.loads(text) for text in found.of_image(image)] == expected
    assert len(found) == len(content)
    chosen = [json.loads(text) for text in found.texts_in_file_order(found.image_ids > 1)]
    assert chosen == [record for record in content if record["image_id"] > 1]
    found.close()


def test_a_record_without_an_image_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "subset.json"
    file.write_text(json.dumps({"annotations": [{"id": 1}], "categories": []}))
    with pytest.raises(CocomineError, match="not a COCO document"):
        RecordsByImage(file)


def test_images_are_read_a_piece_at_a_time_with_records_of_odd_fields_as_the_whole_reader_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_image, "PIECE", 30)
    images = [{"id": number, "file_name": f"}},{{ {number}.jpg", "width": "wide"} for number in range(20)]
    file = tmp_path / "subset.json"
    file.write_text(json.dumps({"images": images, "annotations": []}))
    found = RecordsByImage(file)
    assert [(image.id, image.file_name, image.width) for image in found.images()] == [
        (number, f"}},{{ {number}.jpg", -1) for number in range(20)
    ]


@pytest.mark.parametrize("key", ["info", "annotations"])
def test_a_value_nested_beyond_all_measure_is_an_error_that_names_the_file(tmp_path: Path, key: str) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    record = f'{{"image_id": 1, "x": {deep}}}' if key == "annotations" else ""
    info = deep if key == "info" else "{}"
    file = tmp_path / "subset.json"
    file.write_text(f'{{"info": {info}, "annotations": [{record}], "categories": []}}')
    with pytest.raises(CocomineError, match=r"subset\.json: not a COCO document: .*recursion"):
        RecordsByImage(file)
