"""Selecting a subset: every clause of the query in one written order, a funnel of what each removed, and the draw.

The order is: records (what policy quarantines), lost_objects (images that hold such an object), images_from,
include_images, exclude_images, licenses, image_width, image_height, image_aspect, crowds, area, relative_area,
categories (any or all), only, exclude_categories, instances, instances_per_class, caption, fraction, max_per_class (and
balance), max_images, negatives, other annotations. A clause that the query does not use is not in the funnel.

What speaks for an image and what speaks against it differ on purpose. Only a usable object (not quarantined, not a
dropped crowd, not outside the area range) makes an image wanted. But `only`, `exclude_categories` and the choice of
negatives look at every annotation of the file, since an object that has a bad box is in the image all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_table
from cocomine.base.words import counted
from cocomine.mining import clauses
from cocomine.mining.arrays import Mask, Rows
from cocomine.mining.clauses import Pairs
from cocomine.mining.funnel import Funnel
from cocomine.mining.index import Source
from cocomine.mining.losses import LOST_OBJECT, Loss, because, large
from cocomine.mining.notices import notices
from cocomine.mining.objects import (
    Objects,
    area_mask,
    crowd_mask,
    image_sides,
    images_of,
    judge_objects,
    labelled_objects,
    lost_objects,
    quarantined_by_policy,
    relative_area_mask,
    wanted_annotations,
)
from cocomine.mining.outcomes import Early
from cocomine.mining.resolve import Wanted, image_list_mask, licence_mask, resolve
from cocomine.mining.sampling import NEGATIVE, WANTED, Chosen, Sampling
from cocomine.mining.settings import Category, SubsetSettings, category_words
from cocomine.mining.tables import read_split, splits_of

log = logging.getLogger("cocomine")

_REMEDIES = {
    "records": "see quarantine reasons in the source's index, or loosen `policy`",
    "lost_objects": "loosen `policy` for the reasons by which objects are quarantined",
    "images_from": "the two sources do not have the same images",
    "include_images": "lengthen include_images, or remove it",
    "exclude_images": "shorten exclude_images",
    "licenses": "add a licence to licenses, or remove it",
    "image_width": "widen image_width",
    "image_height": "widen image_height",
    "image_aspect": "widen image_aspect",
    "crowds": "set crowds to keep",
    "area": "widen area",
    "relative_area": "widen relative_area",
    "categories": "ask for other categories, use match: any, or loosen crowds, area and relative_area",
    "only": "use match: any; `only` leaves out images that any other category shares",
    "exclude_categories": "shorten exclude_categories",
    "instances": "widen instances",
    "instances_per_class": "widen instances_per_class",
    "caption": "write a caption pattern that more captions match, or remove it",
    "max_per_class": "raise max_per_class",
}


@dataclass
class Selection:
    """A whole selection with its funnel, and what the draw used."""

    query: SubsetSettings
    wanted: Wanted
    funnel: Funnel
    chosen: Chosen
    objects: Objects
    caps: dict[int, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    """What quarantine takes much of."""


def select(
    source: Source,
    query: SubsetSettings,
    index_dir: Path | None = None,
    images_from: Path | None = None,
    spares: bool = True,
    funnel_type: type[Funnel] = Funnel,
) -> Selection:
    """Select a subset.

    `index_dir` is where the captions' index lies, and `images_from` the split.tsv of another subset; each is needed
    only when the query asks for it. `spares` False leaves those out; a `funnel_type` of
    one's own can look on at every step. Raises CocomineError when nothing is left, naming
    the clause that removed the last images.
    """
    wanted = resolve(query, source)
    names = [category.name for category in source.categories]
    images_quarantined, annotations_quarantined = quarantined_by_policy(source, query)
    funnel = funnel_type(source.image_row, source.class_of, source.images.rows, names)
    run = _Run(source, query, wanted, funnel, Early(source, query, images_quarantined), annotations_quarantined)
    run.apply("records", "valid records", images=~images_quarantined, annotations=~annotations_quarantined)
    for text in notices(source, query, wanted):
        run.note(text)
    run.lost_objects()
    run.image_clauses(images_from)
    objects = judge_objects(source, query, wanted, annotations_quarantined)
    run.object_clauses(objects)
    if query.images_from is not None or images_from is not None:
        chosen = run.as_they_are(objects)
        caps: dict[int, int] = {}
    else:
        negatives_from = funnel.image_alive & run.without_wanted()
        run.presence_clauses(objects, index_dir)
        if query.exclude_categories:
            negatives_from &= ~clauses.marked(run.rows_of(query_classes=wanted.none), source.images.rows)
        if run.captioned is not None:
            negatives_from &= run.captioned
        sampling = Sampling(source, query, wanted, funnel, run.counted(objects), run.apply, run.note)
        chosen, caps = sampling.chosen(negatives_from, spares=spares and query.refill)
    run.drop_unwritten(objects)
    return Selection(query, wanted, funnel, chosen, objects, caps, run.notes, large(*run.losses))


class _Run:
    """One selection in progress: the clauses' masks are computed here, the funnel keeps what is left."""

    def __init__(
        self, source: Source, query: SubsetSettings, wanted: Wanted, funnel: Funnel, early: Early, quarantined: Mask
    ) -> None:
        self.source, self.query, self.wanted, self.funnel = source, query, wanted, funnel
        self.early, self.quarantined = early, quarantined
        self.size = source.images.rows
        self.notes: list[str] = []
        self.names = [category.name for category in source.categories]
        self.captioned: Mask | None = None
        self._counted: Pairs | None = None

    def apply(self, clause: str, words: str, **masks: Any) -> None:
        self.funnel.apply(clause, words, **masks)
        if not self.funnel.image_alive.any():
            before = self.funnel.steps[-1].images["before"]
            why, what_to_do = because(self.losses[0], self.query.policies)
            advice = [what_to_do or _REMEDIES.get(clause, f"loosen {clause}")]
            if clause == "lost_objects" and (self.labelled & ~self.quarantined).any():
                advice.append("or set lost_objects: void")
            raise CocomineError(
                f"subset: no image is left after the clause '{clause}' ({words}); before it there were {before}"
                + f"; {why}" * bool(why),
                "; ".join(advice),
            )

    @cached_property
    def losses(self) -> tuple[list[Loss], dict[str, int]]:
        """What quarantine takes of the wanted objects and of the images that hold one."""
        losses, totals = self.early.losses(self.labelled, self.quarantined)
        if self.query.lost_objects == "exclude":
            count = int(np.count_nonzero(self.losing))
            losses += [Loss("image", "", LOST_OBJECT, count, totals["image"])] * bool(count)
        return losses, totals

    @cached_property
    def labelled(self) -> Mask:
        return labelled_objects(self.source, self.query, self.wanted)

    @cached_property
    def losing(self) -> Mask:
        """Valid images that hold a quarantined object."""
        lost = np.flatnonzero(lost_objects(self.source, self.labelled, self.quarantined))
        return clauses.marked(images_of(self.source, lost), self.size) & ~self.early.images

    def note(self, text: str) -> None:
        self.notes.append(text)
        log.warning("note: %s", text)

    def rows_of(self, query_classes: Sequence[int]) -> Rows:
        """Image rows of all annotations of some classes, usable or not."""
        table = np.zeros(len(self.names) + 1, dtype=bool)
        table[list(query_classes)] = True
        result: Rows = self.source.image_row[table[self.source.class_of]]
        return result

    def without_wanted(self) -> Mask:
        """Images that no annotation of a wanted class names, usable or not."""
        return ~clauses.marked(self.rows_of(self.wanted.classes), self.size)

    def lost_objects(self) -> None:
        if self.query.lost_objects == "exclude" and self.losing.any():
            self.apply("lost_objects", "no invalid object of a wanted category", images=~self.losing)

    def image_clauses(self, images_from: Path | None) -> None:
        source, query = self.source, self.query
        if images_from is not None:
            self.apply("images_from", f"the images of {query.images_from}", images=self._images_from(images_from))
        elif query.images_from is not None:
            raise CocomineError(
                f"subset: images_from: {query.images_from}, but no split.tsv of it was given",
                "give it with --images-from results/OTHER/split.tsv",
            )
        if query.include_images is not None:
            mask, unmatched = image_list_mask(source, query.include_images, "include_images")
            if unmatched:
                raise CocomineError(
                    f"subset: {unmatched}",
                    "give image ids or file names of the splits that the subset uses, or take them off the list",
                )
            self.apply("include_images", "in the list of include_images", images=mask)
        if query.exclude_images is not None:
            mask, unmatched = image_list_mask(source, query.exclude_images, "exclude_images")
            if unmatched:
                self.note(unmatched)
            self.apply("exclude_images", "not in the list of exclude_images", images=~mask)
        if query.licenses:
            words = "licence " + " or ".join(map(str, query.licenses))
            self.apply("licenses", words, images=licence_mask(source, query.licenses))
        width, height = image_sides(source)
        for name, bounds, values in (
            ("image_width", query.image_width, width),
            ("image_height", query.image_height, height),
            ("image_aspect", query.image_aspect, width / height),
        ):
            if bounds.bounded:
                unknown = int(np.count_nonzero(np.isnan(values) & self.funnel.image_alive))
                if unknown:
                    self.note(f"{name}: {counted(unknown, 'image')} without a stated size left out")
                words = f"{name.removeprefix('image_')} {bounds.words()}"
                self.apply(name, words, images=clauses.within(values, bounds))

    def _images_from(self, path: Path) -> Mask:
        try:
            names = {int(row["image_id"]): row["file_name"] for row in read_table(path)}
        except (OSError, KeyError, ValueError) as error:
            raise CocomineError(f"{path}: not a split.tsv: {error}", "build the subset of images_from first") from error
        mask: Mask = np.isin(self.source.image_ids, np.array(sorted(names), dtype=np.int64))
        # Of several records with one id only the first is usable: the others say nothing about which image it is.
        mask &= self.funnel.image_alive
        rows = np.flatnonzero(mask)
        for identity, name in zip(
            self.source.image_ids[rows].tolist(), self.source.images.texts("file_name", rows), strict=True
        ):
            if name is not None and Path(name).name != Path(names[identity]).name:
                raise CocomineError(
                    f"subset: images_from: image {identity} is {names[identity]} there and {name} in this source",
                    "images_from needs two sources that give the same images the same ids",
                )
        missing = len(names) - len(rows)
        if missing:
            self.note(f"images_from: {missing} of {len(names)} images are not in this source, or not usable")
        return mask

    def object_clauses(self, objects: Objects) -> None:
        source, query = self.source, self.query
        is_wanted = wanted_annotations(source, self.wanted)
        if query.crowds != "keep":
            crowd = crowd_mask(source, query)
            if query.crowds == "drop":
                self.apply("crowds", "crowds of wanted categories dropped", annotations=~(crowd & is_wanted))
            else:
                bad = clauses.marked(source.image_row[crowd & is_wanted], self.size)
                self.apply("crowds", "no crowd of a wanted category", images=~bad)
        for name, bounds, inside in (
            ("area", query.area, area_mask),
            ("relative_area", query.relative_area, relative_area_mask),
        ):
            if not bounds.bounded:
                continue
            outside = is_wanted & ~inside(source, bounds)
            words = f"{name.replace('_', ' ')} {bounds.words()}"
            if query.outside_area == "drop":
                self.apply(name, f"objects of {words}", annotations=~outside)
            elif query.outside_area == "exclude":
                bad = clauses.marked(source.image_row[outside & ~objects.quarantined], self.size)
                self.apply(name, f"no wanted object but of {words}", images=~bad)
            else:
                self.apply(name, f"counting objects of {words} only")

    def counted(self, objects: Objects) -> Pairs:
        """Which classes an image has objects of that count."""
        if self._counted is None:
            if np.array_equal(objects.counted, self.funnel.annotation_usable):
                self._counted = self.funnel.pairs
            else:
                chosen = objects.counted
                self._counted = clauses.pairs_of(
                    self.source.image_row[chosen], self.source.class_of[chosen], self.size, len(self.names)
                )
        return self._counted

    def objects_per_image(self, objects: Objects, classes: Sequence[int]) -> Rows:
        """How many objects of `classes` that count each image has."""
        image_row, class_of = self.source.image_row, self.source.class_of
        return clauses.objects_per_image(image_row, class_of, objects.counted, classes, self.size)

    def as_they_are(self, objects: Objects) -> Chosen:
        rows = np.flatnonzero(self.funnel.image_alive)
        has = clauses.holding(self.counted(objects), self.wanted.classes, self.size)[rows]
        roles = tuple(WANTED if flag else NEGATIVE for flag in has.tolist())
        return Chosen(rows, roles, np.arange(len(rows), dtype=np.int64), ("",) * len(rows))

    def presence_clauses(self, objects: Objects, index_dir: Path | None) -> None:
        query, wanted, size = self.query, self.wanted, self.size
        pairs = self.counted(objects)
        images_of_class = np.bincount(pairs.cls, minlength=len(self.names))
        for cls in wanted.classes if query.wanted else ():
            if not images_of_class[cls]:
                self.note(f"the source's splits have no usable object of '{self.names[cls]}'")
        words = _words_of(query.wanted) or "any category"
        if query.match == "all":
            self.apply("categories", f"all of {words}", images=clauses.holding_all(pairs, wanted.groups, size))
        else:
            self.apply("categories", f"any of {words}", images=clauses.holding(pairs, wanted.classes, size))
        if query.match == "only":
            other = ~wanted_annotations(self.source, wanted)
            shared = clauses.marked(self.source.image_row[other], size)
            self.apply("only", "no other category in the image", images=~shared)
        if query.exclude_categories:
            there = clauses.marked(self.rows_of(wanted.none), size)
            self.apply("exclude_categories", f"none of {_words_of(query.exclude_categories)}", images=~there)
        if query.instances.bounded:
            count = self.objects_per_image(objects, wanted.classes)
            self.apply("instances", f"{query.instances.words()} objects", images=clauses.within(count, query.instances))
        if wanted.ranges:
            mask = np.ones(size, dtype=bool)
            for group, bounds, _ in wanted.ranges:
                mask &= clauses.within(self.objects_per_image(objects, group), bounds)
            words = ", ".join(f"{bounds.words()} of {name}" for _, bounds, name in wanted.ranges)
            self.apply("instances_per_class", words, images=mask)
        if query.caption is not None:
            self.captioned = self._captioned(index_dir)
            self.apply("caption", f"a caption matches “{query.caption}”", images=self.captioned)

    def _captioned(self, index_dir: Path | None) -> Mask:
        there = [] if index_dir is None else splits_of(index_dir, "captions")
        splits = [split for split in self.source.splits if split.name in there]
        if index_dir is None or not splits:
            raise CocomineError(
                "subset: caption: the source has no captions for these splits", "add captions to the source's tasks"
            )
        mask = np.zeros(self.size, dtype=bool)
        for number, split in enumerate(self.source.splits):
            if split not in splits:
                self.note(f"caption: the split {split.name} has no captions, so none of its images can match")
                continue
            captions = read_split(index_dir, "captions", split.name)
            found = clauses.caption_matches(captions.annotations.arrow("caption"), str(self.query.caption))
            ids = captions.annotations.numpy("image_id")[found]
            begin, end = int(self.source.images.starts[number]), int(self.source.images.starts[number + 1])
            mask[begin:end] = np.isin(self.source.images["id"][begin:end], ids)
        return mask

    def drop_unwritten(self, objects: Objects) -> None:
        if not self.query.keep_other_annotations:
            self.apply("other_annotations", "annotations of other categories left out", annotations=objects.written)


def _words_of(refs: Sequence[Category]) -> str:
    return ", ".join(map(category_words, refs))
