"""Records under the ids of a merged source: nothing but the ids changes, however odd the record is."""

import json

import pytest
from cocomine.merging.records import category_with_id, image_of, panoptic_with_ids, with_ids
from hypothesis import given
from hypothesis import strategies as st

IDS = {1: 91, 3: 1}
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, max_size=5), st.integers(0, 5), st.booleans())
def test_only_the_category_changes_and_its_own_id_stands_beside(record: dict, own: int, ascii_only: bool) -> None:
    record = {**record, "category_id": own, "note": {"category_id": own}}
    made = json.loads(with_ids(json.dumps(record, ensure_ascii=ascii_only).encode(), IDS))
    beside = {"source_category_id": own} if own in IDS else {}
    assert made == {**record, "category_id": IDS.get(own, own), **beside}


@pytest.mark.parametrize(
    ("written", "expected"),
    [("1", "91"), ('"1"', '"91"'), ("1.0", "91.0"), ("2", "2"), ('"x"', '"x"'), ("null", "null"), ("true", "true")],
)
def test_an_id_stays_in_the_form_in_which_it_is_written(written: str, expected: str) -> None:
    made = with_ids(f'{{"id": 5, "category_id": {written}, "bbox": [1, NaN]}}'.encode(), IDS).decode()
    assert made.startswith(f'{{"id": 5, "category_id": {expected}')
    assert '"bbox": [1, NaN]' in made


def test_what_is_no_object_stays_as_it_is() -> None:
    for text in (b"null", b"[1]", b'"category_id"', b"7"):
        assert with_ids(text, IDS) == panoptic_with_ids(text, IDS) == image_of("ours", text, IDS) == text


@pytest.mark.parametrize("name", ["plain", "esc\\u0061ped"])
def test_every_segment_of_a_panoptic_record_follows(name: str) -> None:
    text = f'{{"file_name": "{name}", "segments_info": [{{"id": 1, "category_id": 1}}, {{"id": 3, "category_id": 2}}]}}'
    segments = json.loads(panoptic_with_ids(text.encode(), IDS))["segments_info"]
    assert segments == [{"id": 1, "category_id": 91, "source_category_id": 1}, {"id": 3, "category_id": 2}]


def test_an_image_names_its_source_and_follows_its_licence() -> None:
    made = json.loads(image_of("ours", b'{"id": 1, "license": 3, "file_name": "a.jpg"}', IDS))
    assert made == {"id": 1, "license": 1, "file_name": "a.jpg", "source_name": "ours"}
    assert json.loads(image_of("ours", b'{"id": 1}', IDS)) == {"id": 1, "source_name": "ours"}


def test_a_category_follows_by_its_own_id() -> None:
    assert json.loads(category_with_id(b'{"name": "leaf", "id": 1}', IDS)) == {"name": "leaf", "id": 91}
