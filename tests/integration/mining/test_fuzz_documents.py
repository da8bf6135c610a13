"""The first of the random damaged documents; `tests/fuzz_documents.py --count 10000` runs as many as one likes."""

import pytest
from fuzz_documents import attempt, make_case


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_damaged_documents_become_subsets_or_advice_and_no_record_is_lost(first):
    found = [attempt(number) for number in range(first, first + 50)]
    assert [fault for _, fault, _ in found if fault] == []
    assert [outcome for _, _, outcome in found].count("subset") > 25


def test_the_document_of_a_number_is_always_the_same():
    one, two = make_case(7), make_case(7)
    assert (one.documents, one.faults, one.query) == (two.documents, two.faults, two.query)
    assert make_case(8).documents != one.documents
