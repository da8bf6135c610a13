"""The question before the build: how many images and objects would there be? Answered from the index alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cocomine.base.errors import CocomineError
from cocomine.inquiry.expression import COMPARISONS, And, Node, Not, Or, Term, parse, terms
from cocomine.mining import clauses
from cocomine.mining.arrays import Mask
from cocomine.mining.funnel import Funnel, Step
from cocomine.mining.index import Source, read_source
from cocomine.mining.mine import read_source_of
from cocomine.mining.objects import images_of, lost_objects, quarantined_by_policy
from cocomine.mining.resolve import find_category
from cocomine.mining.select import select
from cocomine.mining.settings import SubsetSettings


@dataclass(frozen=True)
class Count:
    """The answer: what was asked, the funnel, and images and objects by category.

    `by_class` holds, for each category with an object in the counted images that the question names (or for all, if it
    names none), its images and objects.
    """

    question: str
    splits: tuple[str, ...]
    steps: tuple[Step, ...]
    images: int
    objects: int
    by_class: dict[str, dict[str, int]]
    notes: tuple[str, ...] = ()


def count_expression(text: str, index_dir: Path, splits: Sequence[str] = ()) -> Count:
    """Count the images for which an expression is true, and their objects of the categories that it asks for.

    As in a subset, records that the default policy quarantines count for nothing that is asked for, and images that
    hold such an object of a category asked for are left out; but after `not` a category counts as present if any
    annotation of it is there.
    """
    node = parse(text)
    source = read_source(index_dir, splits)
    query = SubsetSettings()
    classes = {term: _classes(term, source) for term, _ in terms(node)}
    images_bad, annotations_bad = quarantined_by_policy(source, query)
    funnel = Funnel(source.image_row, source.class_of, source.images.rows, [item.name for item in source.categories])
    funnel.apply("records", "valid records", images=~images_bad, annotations=~annotations_bad)
    asked = sorted({cls for term, negated in terms(node) if not negated for cls in classes[term]})
    labelled = np.isin(source.class_of, np.array(asked, dtype=np.int32)) if asked else source.class_of >= -1
    lost = np.flatnonzero(lost_objects(source, labelled, annotations_bad))
    losing = clauses.marked(images_of(source, lost), source.images.rows) & ~images_bad
    if losing.any():
        funnel.apply("lost_objects", "every object of a category asked for is valid", images=~losing)
    judge = _Judge(source, funnel, classes)
    parts = node.parts if isinstance(node, And) else (node,)
    for part in parts:
        funnel.apply("query", str(part), images=judge.true(part, negated=False))
    if asked:
        funnel.apply(
            "other_annotations",
            "annotations of the categories asked for",
            annotations=np.isin(source.class_of, np.array(asked, dtype=np.int32)),
        )
    return _answer(text, source, funnel, ())


def count_query(
    name: str, query: SubsetSettings, index_dir: Path, splits: Sequence[str] = (), images_from: Path | None = None
) -> Count:
    """Count what a subset would hold."""
    source = read_source_of(query, index_dir, splits)
    selection = select(source, query, index_dir, images_from, spares=False)
    return _answer(name, source, selection.funnel, tuple(selection.notes))


def _answer(question: str, source: Source, funnel: Funnel, notes: tuple[str, ...]) -> Count:
    return Count(
        question=question,
        splits=tuple(split.name for split in source.splits),
        steps=tuple(funnel.steps),
        images=int(np.count_nonzero(funnel.image_alive)),
        objects=int(np.count_nonzero(funnel.annotation_alive)),
        by_class=funnel.kept_by_class(),
        notes=notes,
    )


def _classes(term: Term, source: Source) -> tuple[int, ...]:
    try:
        return find_category(term.name, source, "query")
    except CocomineError as error:
        if term.name.isascii() and term.name.isdigit():
            return find_category(int(term.name), source, "query")
        raise CocomineError(error.message.replace("subset: query:", "query:"), error.hint) from error


class _Judge:
    """Evaluates an expression for every image at once."""

    def __init__(self, source: Source, funnel: Funnel, classes: dict[Term, tuple[int, ...]]) -> None:
        self.source, self.classes, self.size = source, classes, source.images.rows
        self.funnel, self.pairs, self.usable = funnel, funnel.pairs, funnel.annotation_usable
        self.names = len(source.categories)

    def true(self, node: Node, negated: bool) -> Mask:
        """Images for which `node` is true; `negated` says whether it stands under an odd number of `not`."""
        if isinstance(node, Not):
            return ~self.true(node.part, not negated)
        if isinstance(node, Term):
            return self._term(node, negated)
        masks = [self.true(part, negated) for part in node.parts]
        combine = np.logical_or if isinstance(node, Or) else np.logical_and
        result: Mask = combine.reduce(masks)
        return result

    def _term(self, term: Term, negated: bool) -> Mask:
        classes = self.classes[term]
        if term.comparison is not None:
            counts = clauses.objects_per_image(
                self.funnel.image_row, self.funnel.class_of, self.usable, classes, self.size
            )
            result: Mask = COMPARISONS[term.comparison](counts, term.number)
            return result
        if not negated:
            return clauses.holding(self.pairs, classes, self.size)
        table = np.zeros(self.names + 1, dtype=bool)
        table[list(classes)] = True
        return clauses.marked(self.source.image_row[table[self.source.class_of]], self.size)


def table(count: Count) -> str:
    """Return the answer as text: the funnel, the categories, and one line that sums up."""
    lines = [f"{count.question}", f"from {', '.join(count.splits)}", ""]
    lines += _columns(
        ["clause", "images", "removed", "annotations", "removed"],
        [[step.words, *(f"{value:,}" for value in _numbers(step))] for step in count.steps],
    )
    lines.append("")
    ordered = sorted(count.by_class.items(), key=lambda item: (-item[1]["images"], item[0]))
    if ordered:
        lines += _columns(
            ["category", "images", "objects"],
            [[name, f"{entry['images']:,}", f"{entry['annotations']:,}"] for name, entry in ordered],
        )
        lines.append("")
    lines += [f"note: {note}" for note in count.notes]
    lines.append(f"{count.images:,} images, {count.objects:,} objects")
    return "\n".join(lines)


def document(count: Count) -> dict[str, Any]:
    """Return the answer as plain values for JSON."""
    return {
        "question": count.question,
        "splits": list(count.splits),
        "steps": [
            {"clause": step.clause, "words": step.words, "images": step.images, "annotations": step.annotations}
            for step in count.steps
        ],
        "images": count.images,
        "objects": count.objects,
        "by_class": count.by_class,
        "notes": list(count.notes),
    }


def _numbers(step: Step) -> tuple[int, int, int, int]:
    images, annotations = step.images, step.annotations
    return (
        images["after"],
        images["removed"] - images["added"],
        annotations["after"],
        annotations["removed"] - annotations["added"],
    )


def _columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
        return "  ".join([first, *rest]).rstrip()

    return [line(header), "  ".join("-" * width for width in widths), *map(line, rows)]
