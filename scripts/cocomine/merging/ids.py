"""Ids that several sources number each for themselves, made ids of one document: a bijection, whatever they are."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Final

from cocomine.annotations.lenient import FIRST_WORD_ID

MOST_COUNTED: Final = FIRST_WORD_ID
"""Ids from here on stand for words, and are not counted on from."""


def common_ids(sources: Sequence[Mapping[int, Hashable]]) -> list[dict[int, int]]:
    """Return for each source which id each of its ids becomes.

    A source maps its ids to what they mean, no two to the same. What an earlier source means too takes that one's id;
    anything else keeps its own where no earlier one has taken it, and else gets the next number above all ids of all
    sources. So two ids become one exactly when they mean the same, and those of the first source stay.
    """
    counted = (identity for source in sources for identity in source if identity < MOST_COUNTED)
    free = max(counted, default=0) + 1
    of_meaning: dict[Hashable, int] = {}
    taken: set[int] = set()
    result: list[dict[int, int]] = []
    for source in sources:
        made: dict[int, int] = {}
        for identity in sorted(source):
            meaning = source[identity]
            if meaning not in of_meaning:
                if identity in taken:
                    identity_here, free = free, free + 1
                else:
                    identity_here = identity
                of_meaning[meaning] = identity_here
                taken.add(identity_here)
            made[identity] = of_meaning[meaning]
        result.append(made)
    return result
