"""Ids that several sources number each for themselves become one numbering, and lead back."""

from cocomine.merging.ids import common_ids
from hypothesis import given
from hypothesis import strategies as st

NUMBERS = st.one_of(st.integers(0, 12), st.integers(2**52, 2**53 - 1))
SOURCES = st.lists(st.dictionaries(NUMBERS, st.integers(0, 15), max_size=12), min_size=1, max_size=4)


def one_meaning_an_id(source: dict[int, int]) -> dict[int, int]:
    """Leave out ids whose meaning another id of the source has."""
    return {
        identity: meaning for meaning, identity in {meaning: identity for identity, meaning in source.items()}.items()
    }


@given(SOURCES.map(lambda drawn: [one_meaning_an_id(source) for source in drawn]))
def test_two_ids_become_one_exactly_when_they_mean_the_same(sources: list[dict[int, int]]) -> None:
    made = common_ids(sources)
    assert [new.keys() for new in made] == [source.keys() for source in sources]
    meaning_of: dict[int, int] = {}
    id_of: dict[int, int] = {}
    for source, new in zip(sources, made, strict=True):
        for identity, meaning in source.items():
            assert meaning_of.setdefault(new[identity], meaning) == meaning
            assert id_of.setdefault(meaning, new[identity]) == new[identity]
        assert len(set(new.values())) == len(new)  # so that each source's own id can be told from the new one


@given(SOURCES.map(lambda drawn: [one_meaning_an_id(source) for source in drawn]))
def test_the_ids_of_the_first_source_stay(sources: list[dict[int, int]]) -> None:
    assert common_ids(sources)[0] == {identity: identity for identity in sources[0]}


def test_what_is_new_keeps_its_id_where_it_is_free_and_is_counted_on_where_not() -> None:
    assert common_ids([{1: "person", 7: "train"}, {1: "leaf", 2: "person", 3: "bud"}]) == [
        {1: 1, 7: 7},
        {1: 8, 2: 1, 3: 3},
    ]
