"""Other values in a record's text: as if it had been parsed, changed and written, and where it cannot be parsed too."""

import json

import pytest
from cocomine.mining.splice import items_of, spliced, values_of
from hypothesis import given
from hypothesis import strategies as st

KEYS = st.sampled_from(["id", "category_id", 'a"b', "c:d", "e,f", "{", "é", ""])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(record=st.dictionaries(KEYS, VALUES), new=st.dictionaries(st.sampled_from(["id", "category_id"]), st.integers()),
       indent=st.sampled_from([None, 1]), plain=st.booleans())  # fmt: skip
def test_a_spliced_record_is_one_that_was_parsed_changed_and_written(record, new, indent, plain):
    text = json.dumps(record, indent=indent, ensure_ascii=plain).encode()
    assert json.loads(spliced(text, {key: b"%d" % value for key, value in new.items()})) == record | new
    found = values_of(text, ("id", "é"))
    assert {key: json.loads(value) for key, value in found.items()} == {
        k: v for k, v in record.items() if k in "idé" and k
    }


@pytest.mark.slow
@given(items=st.lists(VALUES), indent=st.sampled_from([None, 1]))
def test_the_items_of_an_array_are_those_that_a_parser_finds(items, indent):
    assert [json.loads(item) for item in items_of(json.dumps(items, indent=indent).encode())] == items


@pytest.mark.parametrize("filling", [b"[" * 5000 + b"]" * 5000, b"NaN", b'"\xff"', b'"\\ud800"', b"1" * 5000])
def test_what_no_parser_takes_stays_as_it_is(filling):
    text = b'{"odd": ' + filling + b', "id": 3}'
    assert spliced(text, {"id": b"4", "more": b"5"}) == b'{"odd": ' + filling + b', "id": 4, "more": 5}'
    assert values_of(text, ("odd",)) == {"odd": filling}
