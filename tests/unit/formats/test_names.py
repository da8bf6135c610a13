from urllib.parse import unquote

import pytest
from cocomine.formats.names import LONGEST, changed, distinct_names, writable_names
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.lists(st.text(max_size=40), min_size=1, max_size=8)


@given(NAMES)
def test_written_names_are_all_different_case_aside_and_can_name_a_file(names):
    written = writable_names(names, list(range(1, len(names) + 1)))
    assert len({name.casefold() for name in written}) == len(names)
    for name in written:
        assert name == name.strip(" .")
        assert not set(name) & set("/\\:*?\"'<>|\n\r\t\0&")
        assert len(name.encode()) <= LONGEST + 60


@given(NAMES)
def test_written_names_lead_back_to_the_names(names):
    written = writable_names(names, list(range(1, len(names) + 1)))
    back = changed(names, written)
    assert [back.get(name, name) for name in written] == names


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("hot dog", "hot dog"),
        ("giraffe", "giraffe"),
        ("čivava-1", "čivava-1"),
        ("a/b", "a%2Fb"),
        ("..", "%2E%2E"),
        (" x\n", "%20x%0A"),
        ("100%", "100%25"),
        ("<b>&'\"", "%3Cb%3E%26%27%22"),
    ],
)
def test_what_can_stand_stands_and_the_rest_reads_back_as_in_a_url(name, written):
    assert writable_names([name], [1]) == [written]
    assert unquote(written) == name


def test_equal_names_get_the_ids_of_their_categories():
    assert writable_names(["Dog", "dog", "cat"], [7, 9, 3]) == ["Dog (id 7)", "dog (id 9)", "cat"]
    assert distinct_names(["dog", "dog", "Dog"], [7, 9, 3]) == ["dog (id 7)", "dog (id 9)", "Dog"]
