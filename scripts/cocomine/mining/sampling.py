"""Sampling: which of the matching images a subset takes, by hash, and which stand by as spares.

The order is: fraction, max_per_class (and balance), max_images, negatives. Images are ranked by a salted hash of
their id.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cocomine.base.arrays import Array
from cocomine.base.words import counted
from cocomine.mining import clauses
from cocomine.mining.arrays import Mask, Rows
from cocomine.mining.clauses import Pairs
from cocomine.mining.funnel import Funnel
from cocomine.mining.index import Source
from cocomine.mining.resolve import Wanted
from cocomine.mining.settings import SubsetSettings

WANTED, NEGATIVE, SPARE = "wanted", "negative", "spare"


@dataclass(frozen=True)
class Chosen:
    """The images of a subset: `rows` are global image rows, ascending; `roles` and `ranks` go with them.

    `ranks` is the place in the order of drawing. `replaces` says for a spare which role it can take, else "".
    """

    rows: Rows
    roles: tuple[str, ...]
    ranks: Rows
    replaces: tuple[str, ...]


@dataclass
class Sampling:
    """Draws from the images that are left in the funnel; `pairs` are the images and classes that count."""

    source: Source
    query: SubsetSettings
    wanted: Wanted
    funnel: Funnel
    pairs: Pairs
    apply: Callable[..., None]
    note: Callable[[str], None]

    def __post_init__(self) -> None:
        self.size = self.source.images.rows
        self.names = [category.name for category in self.source.categories]

    def chosen(self, negatives_from: Mask, spares: bool) -> tuple[Chosen, dict[int, int]]:
        """Return the images drawn by fraction, caps and max_images, negatives and spares; and the caps by class."""
        query, ids = self.query, self.source.image_ids
        pairs = self.pairs
        candidates = np.flatnonzero(self.funnel.image_alive)
        drawn = query.fraction < 1 or query.max_images is not None or bool(self.wanted.caps) or query.balance
        order = clauses.order_by_hash(candidates, ids[candidates], query.seed) if drawn else candidates
        taken = order
        if query.fraction < 1:
            taken = taken[: max(1, round(query.fraction * len(taken)))]
            self.apply(
                "fraction", f"{query.fraction:g} of them, drawn by hash", images=clauses.marked(taken, self.size)
            )
        caps = self._caps(pairs)
        if query.balance:
            taken = clauses.rarest_first(taken, self._wanted_pairs(pairs), self._images_of_class(pairs), self.size)
        if caps:
            taken = taken[clauses.draw_under_caps(taken, pairs, caps)]
            words = f"at most {_cap_words(caps, self.names)} images a category" + (", balanced" * query.balance)
            self.apply("max_per_class", words, images=clauses.marked(taken, self.size))
        if query.balance:
            taken = clauses.deal(taken, self._wanted_pairs(pairs), len(self.names))
            order = np.concatenate([taken, order[~np.isin(order, taken)]])
        if query.max_images is not None:
            taken = taken[: query.max_images]
            words = f"at most {query.max_images} images"
            self.apply("max_images", words, images=clauses.marked(taken, self.size))
        negatives, spare_negatives = self._negatives(negatives_from, spares)
        spare = self._spares(order, taken, pairs) if spares and drawn else order[:0]
        return self._in_row_order(order, taken, negatives, spare, spare_negatives), caps

    def _in_row_order(self, order: Rows, taken: Rows, negatives: Rows, spare: Rows, spare_negatives: Rows) -> Chosen:
        """Put all images that were drawn into one list by row; ranks are places in the order of drawing."""
        if len(taken) == len(order) and not len(negatives) and not len(spare_negatives) and (np.diff(taken) > 0).all():
            return Chosen(taken, (WANTED,) * len(taken), np.arange(len(taken)), ("",) * len(taken))
        place = np.full(self.size, -1, dtype=np.int64)
        place[order] = np.arange(len(order))
        rows = np.concatenate([taken, negatives, spare, spare_negatives])
        counts = (len(taken), len(negatives), len(spare), len(spare_negatives))
        kinds = np.repeat([0, 1, 2, 3], counts)
        of_negatives = np.arange(counts[1] + counts[3], dtype=np.int64)
        ranks = np.concatenate([place[taken], of_negatives[: counts[1]], place[spare], of_negatives[counts[1] :]])
        by_row = np.argsort(rows, kind="stable")
        ordered = kinds[by_row].tolist()
        roles = tuple(map((WANTED, NEGATIVE, SPARE, SPARE).__getitem__, ordered))
        replaces = tuple(map(("", "", WANTED, NEGATIVE).__getitem__, ordered))
        return Chosen(rows[by_row], roles, ranks[by_row], replaces)

    def _wanted_pairs(self, pairs: Pairs) -> Pairs:
        chosen = np.isin(pairs.cls, np.array(self.wanted.classes, dtype=np.int64))
        return Pairs(pairs.image[chosen], pairs.cls[chosen])

    def _images_of_class(self, pairs: Pairs) -> Array:
        alive = self.funnel.image_alive[pairs.image]
        return np.bincount(pairs.cls[alive], minlength=len(self.names))

    def _caps(self, pairs: Pairs) -> dict[int, int]:
        caps = dict(self.wanted.caps)
        if self.query.balance:
            counts = self._images_of_class(pairs)
            there = [int(counts[cls]) for cls in self.wanted.classes if counts[cls]]
            for cls in self.wanted.classes:
                caps[cls] = min(min(there), caps.get(cls, min(there)))
        return caps

    def _negatives(self, negatives_from: Mask, spares: bool) -> tuple[Rows, Rows]:
        query = self.query
        if not query.negatives:
            empty = np.zeros(0, dtype=np.int64)
            return empty, empty
        rows = np.flatnonzero(negatives_from)
        order = clauses.order_by_hash(rows, self.source.image_ids[rows], query.seed)
        if len(order) < query.negatives:
            found = counted(len(order), "image")
            self.note(
                f"negatives: {query.negatives} were asked for, but only {found} without a wanted object could be found"
            )
        taken = order[: query.negatives]
        words = f"{len(taken)} images without a wanted object added, drawn by hash"
        self.apply("negatives", words, add=clauses.marked(taken, self.size))
        return taken, order[query.negatives : query.negatives + query.spares] if spares else order[:0]

    def _spares(self, order: Rows, taken: Rows, pairs: Pairs) -> Rows:
        """The first few images not taken of each wanted class, in the order of drawing."""
        left = order[~np.isin(order, taken)]
        chosen = np.zeros(self.size, dtype=bool)
        for cls in self.wanted.classes:
            of_class = left[clauses.holding(pairs, [cls], self.size)[left]]
            chosen[of_class[: self.query.spares]] = True
        result: Rows = left[chosen[left]]
        return result


def _cap_words(caps: dict[int, int], names: Sequence[str]) -> str:
    if len(set(caps.values())) == 1:
        return str(next(iter(caps.values())))
    return ", ".join(f"{cap} ({names[cls]})" for cls, cap in sorted(caps.items()))
