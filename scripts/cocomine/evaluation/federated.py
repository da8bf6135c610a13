"""LVIS' rules for boxes and masks: of an image only some classes are known (Gupta et al., LVIS, CVPR 2019).

An image says which classes were looked for and are not there (`neg_category_ids`), and of which not every object is
annotated (`not_exhaustive_category_ids`). As lvis-api has it: of each image the 300 results of the highest score take
part, whatever their class; those of a class that is neither annotated nor looked for in the image are left out; one of
a class that is not exhaustively annotated counts only where it finds an object. No annotation is a crowd, and neither
annotations nor results without an area take part. Classes stand in groups by the training images that show them:
r(are), c(ommon), f(requent).
"""

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

import numpy as np

from cocomine.base.arrays import Bools, Ints
from cocomine.evaluation.matching import Found, Matches

MOST = 300
GROUPS = {"r": "AP_rare", "c": "AP_common", "f": "AP_frequent"}


@dataclass(frozen=True)
class Federated:
    """Which classes were judged in which images, as keys of positions: image · classes + class.

    `known` are keys of classes that are annotated or were looked for, `lenient` those that are not exhaustive; `groups`
    has the letter of each class, empty where it has none.
    """

    known: Ints
    lenient: Ints
    groups: tuple[str, ...]

    def keys(self, image: Ints, category: Ints) -> Ints:
        """Return the keys of pairs of positions."""
        return image * len(self.groups) + category

    def members(self, letter: str) -> Bools:
        """Return which classes are of a group."""
        return np.array([group == letter for group in self.groups], dtype=bool)

    def taking_part(self, found: Found) -> tuple[Bools, dict[str, int]]:
        """Return which results take part, and how many do not, by reason."""
        order = np.lexsort((-found.score, found.image))
        starts = np.searchsorted(found.image[order], found.image[order], side="left")
        among = np.zeros(len(found), dtype=bool)
        among[order] = np.arange(len(order)) - starts < MOST
        known = np.isin(self.keys(found.image, found.category), self.known)
        some = found.area > 0
        return among & known & some, {
            f"beyond_{MOST}_of_an_image": int((~among).sum()),
            "class_not_looked_for": int((among & ~known).sum()),
            "without_area": int((among & known & ~some).sum()),
        }

    def forgiving(self, matches: Matches) -> Matches:
        """Return matches in which a result of a class that is not exhaustive counts only where it finds an object."""
        lenient = np.isin(self.keys(matches.image, matches.category), self.lenient)
        return replace(matches, counts=matches.counts & ~(lenient & (matches.object < 0)))


def federated(
    images: Sequence[tuple[Sequence[int] | None, Sequence[int] | None]],
    shown: Set[tuple[int, int]],
    made_of: Sequence[Set[int]],
    groups: Sequence[str],
) -> Federated | None:
    """Return the rules of images that say what was looked for; None where one of them does not.

    `images` are neg_category_ids and not_exhaustive_category_ids of each, `shown` the pairs of image and class that are
    annotated, by position. `made_of` are the source's categories of each class: one that is made of several was looked
    for where all of them were, and is exhaustive where all of them are.
    """
    if not images or any(absent is None or partial is None for absent, partial in images):
        return None
    class_of = {part: category for category, parts in enumerate(made_of) for part in parts}
    known, lenient = set(shown), set[tuple[int, int]]()
    for number, (absent, partial) in enumerate(images):
        looked_for = Counter(class_of[part] for part in set(absent or ()) if part in class_of)
        known |= {(number, category) for category, parts in looked_for.items() if parts == len(made_of[category])}
        lenient |= {(number, class_of[part]) for part in partial or () if part in class_of}
    return Federated(_keys(known, len(made_of)), _keys(lenient, len(made_of)), tuple(groups))


def _keys(pairs: Set[tuple[int, int]], classes: int) -> Ints:
    return np.array(sorted(image * classes + category for image, category in pairs), dtype=np.int64)
