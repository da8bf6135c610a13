import numpy as np
import pyarrow as pa
import pytest
from cocomine.annotations.arrow import arrays, column, flags, numbers, text_column
from cocomine.base.errors import CocomineError


def test_numbers_come_back_as_they_went_whatever_the_chunks():
    values = np.arange(10, dtype=np.int32)
    whole = column(values, pa.int32())
    for chunks in ([whole], [whole[:3], whole[3:3], whole[3:]]):
        assert numbers(pa.chunked_array(chunks)).tolist() == values.tolist()
    assert numbers(pa.chunked_array([], pa.int64())).dtype == np.int64


def test_a_column_of_numbers_with_a_hole_is_refused():
    with pytest.raises(CocomineError, match="1 nulls"):
        numbers(pa.chunked_array([pa.array([1, None])]))


def test_a_missing_flag_is_false_wherever_its_chunk_starts():
    array = pa.array([True, None, False, True, None, True] * 3)
    assert flags(pa.chunked_array([array[1:4], array[4:]])).tolist() == [bool(one) for one in array[1:].to_pylist()]


def test_texts_are_told_from_no_text():
    texts = text_column(np.array([2, -1, 0, 2]), "abé".encode())
    assert texts.to_pylist() == ["ab", None, "", "é"]
    table = pa.table({"n": column(np.array([1.5, 2, 3, 4]), pa.float64()), "text": texts})
    assert {name: values.tolist() for name, values in arrays(table).items()} == {"n": [1.5, 2, 3, 4]}
