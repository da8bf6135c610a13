"""Where did it go? What became of one annotation or image of the source, and why.

The selection is made again from the index by the miner itself, with a funnel that remembers rows; what came after it
(images that turned out broken, repairs, late checks) is read from the subset's tables. Nothing else is opened.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc

from cocomine.annotations.arrow import flags
from cocomine.base.errors import CocomineError
from cocomine.base.files import canonical_json, read_json, row_of
from cocomine.inquiry.explain import Explainer, TracedFunnel
from cocomine.inquiry.verdict import KEPT, LEFT_OUT, QUARANTINED, REPAIRED, Verdict, document, sentence
from cocomine.mining.arrays import Rows
from cocomine.mining.assemble import OTHER_TASKS
from cocomine.mining.index import Source
from cocomine.mining.mine import query_values, read_source_of
from cocomine.mining.parts import KIND_OF_TASK, objects_in
from cocomine.mining.sampling import SPARE
from cocomine.mining.select import select
from cocomine.mining.settings import SubsetSettings
from cocomine.mining.tables import read_split, splits_of

log = logging.getLogger("cocomine")

TASKS: Final = ("instances", *OTHER_TASKS)


class Lines:
    """A table of the subset, searched for the lines that begin with some cells; it is not parsed as a whole."""

    def __init__(self, path: Path) -> None:
        """Read the table. Raises CocomineError when the subset has not been built so far."""
        try:
            self._content = path.read_bytes()
        except OSError as error:
            raise CocomineError(
                f"{path}: {error.strerror or error}",
                "build the subset first; what a query would select, count_subset.py says without a build",
            ) from error
        self._columns = self._content[: self._content.find(b"\n")].decode().split("\t")

    def starting(self, *cells: object) -> Iterator[dict[str, str]]:
        """Yield the rows whose first cells are these."""
        key = b"\n" + "".join(f"{cell}\t" for cell in cells).encode()
        at = self._content.find(key)
        while at >= 0:
            end = self._content.find(b"\n", at + 1)
            end = len(self._content) if end < 0 else end
            yield row_of(self._columns, self._content[at + 1 : end].decode())
            at = self._content.find(key, end)


class Trace:
    """A built subset that can be asked about records of its source."""

    def __init__(
        self, query: SubsetSettings, index_dir: Path, subset_dir: Path, images_from: Path | None = None
    ) -> None:
        """Select again, as the build did.

        `images_from` is images.tsv of the subset that the query's key names; without it, it is looked for beside
        `subset_dir`. Raises CocomineError when the subset is not built, or was built by another query or index.
        """
        self.query, self.index_dir, self.subset_dir = query, index_dir, subset_dir
        if not (subset_dir / "funnel.json").is_file():
            raise CocomineError(
                f"{subset_dir}: holds no funnel.json, so no subset was built there",
                "build the subset first, or name its folder with --subset-dir",
            )
        built = read_json(subset_dir / "funnel.json")
        if built.get("query") != query_values(query):
            raise CocomineError(
                f"{subset_dir / 'funnel.json'}: was made by another query than the settings given",
                "give the settings of the build, or build the subset again",
            )
        if query.images_from is not None and images_from is None:
            images_from = subset_dir.parent / query.images_from / "images.tsv"
        self.source = read_source_of(query, index_dir, built["splits"])
        with _quiet():  # the build has told the notes
            self.selection = select(self.source, query, index_dir, images_from, funnel_type=TracedFunnel)
        assert isinstance(self.selection.funnel, TracedFunnel)
        self.funnel = self.selection.funnel
        if self.funnel.as_dict() != built["funnel"]:
            raise CocomineError(
                f"{subset_dir / 'funnel.json'}: the index, selected from again, gives another funnel",
                "the index or a list of images changed since: build the subset again",
            )
        self.explainer = Explainer(self.source, self.selection, self._captions)
        self.quarantine, self.repairs, self.images, self.selected = (
            Lines(subset_dir / f"{name}.tsv") for name in ("quarantine", "repairs", "images", "selection")
        )

    # -- questions ------------------------------------------------------------------------------------------------

    def annotation(self, identity: int, task: str = "instances") -> list[Verdict]:
        """Say what became of the annotations that have an id: usually one, none or several in a damaged source.

        Raises CocomineError, with the nearest remedy, when there is none.
        """
        source = self.source_of(task)
        rows = np.flatnonzero((source.annotations["id"] == identity) | (source.annotation_ids == identity))
        if not len(rows):
            raise self._unknown(KIND_OF_TASK.get(task, "annotation"), identity, task, source)
        if task == "instances":
            return [self.annotation_at(row) for row in rows.tolist()]
        return [self.other_at(task, row) for row in rows.tolist()]

    def image(self, which: str, task: str = "instances") -> list[tuple[Verdict, list[Verdict]]]:
        """Say what became of the images with an id or a file name, and of each one's annotations.

        Raises CocomineError, with the nearest remedy, when there is none.
        """
        images = self.source.images
        rows = np.zeros(0, dtype=np.int64)
        if which.isascii() and which.isdigit() and len(which) < 19 and str(int(which)) == which:
            rows = np.flatnonzero((images["id"] == int(which)) | (self.source.image_ids == int(which)))
        if not len(rows):
            # Arrow imports pandas, where that is installed, to make a value of a text; a pattern stays as it is.
            holds = [flags(pc.match_substring(part.arrow("file_name"), pattern=which)) for part in images.parts]
            rows = np.flatnonzero(np.concatenate(holds))
            rows = rows[[name == which for name in images.texts("file_name", rows)]]
        if not len(rows):
            raise self._unknown("image", which, "instances", self.source)
        return [(self.image_at(row), list(self._annotations_of(row, task))) for row in rows.tolist()]

    def _annotations_of(self, row: int, task: str) -> Iterator[Verdict]:
        if task == "instances":
            yield from map(self.annotation_at, self.explainer.annotations_of(row).tolist())
            return
        other = self._other(task)
        split = self._split(self.source.images, row, self.source)
        for found in np.flatnonzero(other.annotations["image_id"] == self.source.images["id"][row]).tolist():
            if self._split(other.annotations, found, other) == split:
                yield self.other_at(task, found)

    # -- verdicts -------------------------------------------------------------------------------------------------

    def image_at(self, row: int) -> Verdict:
        """The verdict on the image at a global row."""
        source = self.source
        identity, split = int(source.images["id"][row]), self._split(source.images, row, source)
        (name,) = source.images.texts("file_name", np.array([row]))
        about: dict[str, Any] = {
            "kind": "image", "task": "instances", "source_split": split, "id": identity, "image_id": identity,
            "file_name": name or "",
        }  # fmt: skip
        line = self._quarantined("image", "instances", source, row)
        if line is not None:
            return Verdict(**about, outcome=QUARANTINED, reason=line["reason"], detail=line["detail"])
        key = (int(source.image_ids[row]), split)
        written = next(self.images.starting(*key), None)
        number = int(self._image_steps[row])
        if written is not None:
            first = self._first_removed(row)
            if first is not None:
                about["clause"] = self.funnel.steps[first].clause
                about["why"] = self.explainer.why_image(first, row)
                about["returned"] = "negatives" if number < 0 else "refill"
            about |= {"role": written["role"], "split": self._split_of(key[0])}
            return Verdict(**about, **self._repair("image", "instances", source, row))
        spare = any(line["role"] == SPARE for line in self.selected.starting(*key, name))
        about |= {"role": SPARE} if spare else {}
        clause, why = self.funnel.steps[number].clause, self.explainer.why_image(number, row)
        return Verdict(**about, outcome=LEFT_OUT, clause=clause, why=why)

    def annotation_at(self, row: int) -> Verdict:
        """The verdict on the annotation of instances at a global row."""
        source = self.source
        table, owner = source.annotations, int(source.image_row[row])
        identity, split = int(table["id"][row]), self._split(table, row, source)
        (name,) = source.images.texts("file_name", np.array([owner])) if owner >= 0 else (None,)
        about: dict[str, Any] = {
            "kind": "annotation", "task": "instances", "source_split": split, "id": identity,
            "image_id": int(table["image_id"][row]), "file_name": name or "", "category": self.explainer.name(row),
            "source_category": self._source_category(source, row),
        }  # fmt: skip
        line = self._quarantined("annotation", "instances", source, row)
        if line is not None:
            detail = line["detail"]
            if int(source.annotation_ids[row]) in self._void:
                detail = "; ".join(filter(None, [detail, "its pixels are void in the masks"]))
            return Verdict(**about, outcome=QUARANTINED, reason=line["reason"], detail=detail)
        image_id = int(source.image_ids[owner])
        written = next(self.images.starting(image_id, split), None)
        if written is not None and self.selection.objects.written[row]:
            about |= {"role": written["role"], "split": self._split_of(image_id)}
            about["label"] = self._labels.get(str(int(source.category_ids[row])))
            return Verdict(**about, **self._repair("annotation", "instances", source, row))
        number = int(self._annotation_steps[row])
        clause, why = self.funnel.steps[number].clause, self.explainer.why_annotation(number, row)
        return Verdict(**about, outcome=LEFT_OUT, clause=clause, why=why)

    def other_at(self, task: str, row: int) -> Verdict:
        """The verdict on the annotation, caption or segment at a global row of another task."""
        other = self._other(task)
        table, kind = other.annotations, KIND_OF_TASK.get(task, "annotation")
        identity, split = int(table["id"][row]), self._split(table, row, other)
        image_id, cls = int(table["image_id"][row]), int(other.class_of[row])
        owner = self._image_row(image_id, split)
        (name,) = self.source.images.texts("file_name", np.array([owner])) if owner is not None else (None,)
        about: dict[str, Any] = {
            "kind": kind, "task": task, "source_split": split, "id": identity, "image_id": image_id,
            "file_name": name or "", "category": other.categories[cls].name if cls >= 0 else "",
        }  # fmt: skip
        line = self._quarantined(kind, task, other, row)
        if line is not None:
            return Verdict(**about, outcome=QUARANTINED, reason=line["reason"], detail=line["detail"])
        if owner is None:
            why = f"its image {image_id} is not among the images of instances_{split}"
            return Verdict(**about, outcome=LEFT_OUT, clause="image", why=why)
        image = self.image_at(owner)
        if image.outcome not in (KEPT, REPAIRED):
            cause = image.why if image.outcome == LEFT_OUT else f"it is quarantined: {image.reason}"
            why = f"its image {image_id} is not in the subset: {cause}"
            return Verdict(**about, outcome=LEFT_OUT, clause=image.clause or "image", why=why)
        if task == "person_keypoints":
            away = self._object_away(row, cls, other)
            if away:
                return Verdict(**about, outcome=LEFT_OUT, clause=away[0], why=away[1])
        lead = row
        if task == "panoptic":
            record = table["record"]
            splits = np.arange(table.rows) >= table.starts[int(table.split_of(np.array([row]))[0])]
            lead = int(np.flatnonzero((record == record[row]) & splits)[0])
        about |= {"role": image.role, "split": image.split}
        return Verdict(**about, **self._repair(kind, task, other, lead))

    def _object_away(self, row: int, cls: int, other: Source) -> tuple[str, str] | None:
        """The clause and the words for keypoints whose object the subset does not hold; None when they are written."""
        found = int(self._objects[row])
        if found >= 0:
            verdict = self.annotation_at(found)
            if verdict.outcome in (KEPT, REPAIRED):
                return None
            cause = verdict.why or f"it is quarantined: {verdict.reason}"
            return verdict.clause or "object", f"its object {verdict.id} is not in the subset: {cause}"
        names = {self.source.categories[number].stated for number in self.selection.wanted.classes}
        if self.query.keep_other_annotations or (cls >= 0 and other.categories[cls].stated in names):
            return None
        return "other_annotations", "its category is none of those wanted, and keep_other_annotations is false"

    def _source_category(self, source: Source, row: int) -> str:
        """The name that the source gives to the category of an annotation, where its class has another; else ""."""
        stated = int(source.annotations["category_id"][row])
        category = source.category_of(stated)
        member = next((one for one in category.of_source if one.id == stated), None) if category else None
        return member.name if member and category and member.name != category.name else ""

    # -- looking up -----------------------------------------------------------------------------------------------

    def _quarantined(self, kind: str, task: str, source: Source, row: int) -> dict[str, str] | None:
        """The line of quarantine.tsv of the record at a global row, if it has one."""
        return next(self.quarantine.starting(kind, task, *self._where(kind, source, row)), None)

    def _repair(self, kind: str, task: str, source: Source, row: int) -> dict[str, Any]:
        line = next(self.repairs.starting(kind, task, *self._where(kind, source, row)), None)
        if line is None:
            return {"outcome": KEPT}
        before, after = (json.loads(line[name]) for name in ("before", "after"))
        return {"outcome": REPAIRED, "reason": line["reason"], "before": before, "after": after}

    def _where(self, kind: str, source: Source, row: int) -> tuple[str, int, int | str]:
        """The split of a record, its place in the array of its file, and its id as written."""
        table = source.images if kind == "image" else source.annotations
        return self._split(table, row, source), table.place(row), table.written_id(row)

    @cached_property
    def _image_steps(self) -> Any:
        return self.funnel.last_removed("image")

    @cached_property
    def _annotation_steps(self) -> Any:
        return self.funnel.last_removed("annotation")

    def _first_removed(self, row: int) -> int | None:
        removed = self.funnel.images_removed
        return next((number for number, rows in enumerate(removed) if _holds(rows, row)), None)

    @cached_property
    def _labels(self) -> dict[str, int]:
        path = self.subset_dir / "labels.json"
        found: dict[str, int] = read_json(path)["category_to_label"] if path.is_file() else {}
        return found

    @cached_property
    def _split_lines(self) -> Lines | None:
        path = self.subset_dir / "split.tsv"
        return Lines(path) if path.is_file() else None

    def _split_of(self, image_id: int) -> str:
        line = next(self._split_lines.starting(image_id), None) if self._split_lines is not None else None
        return line["split"] if line is not None else ""

    @staticmethod
    def _split(table: Any, row: int, source: Source) -> str:
        return source.splits[int(table.split_of(np.array([row]))[0])].name

    def _image_row(self, image_id: int, split: str) -> int | None:
        rows = np.flatnonzero((self.source.images["id"] == image_id) & (image_id >= 0))
        return next((row for row in rows.tolist() if self._split(self.source.images, row, self.source) == split), None)

    def source_of(self, task: str) -> Source:
        """The index of a task for the subset's splits. Raises CocomineError when the source does not have it."""
        return self.source if task == "instances" else self._other(task)

    def _other(self, task: str) -> Source:
        if task not in self._others:
            there = splits_of(self.index_dir, task)
            names = [split.name for split in self.source.splits if split.name in there]
            if not names:
                tasks = [name for name in TASKS if splits_of(self.index_dir, name)]
                raise CocomineError(
                    f"{self.index_dir}: the source has no {task} for the subset's splits", f"it has {', '.join(tasks)}"
                )
            self._others[task] = self.source.of_task(self.index_dir, task, names)
        return self._others[task]

    @cached_property
    def _others(self) -> dict[str, Source]:
        return {}

    @cached_property
    def _objects(self) -> Rows:
        """The row of the object of each keypoint annotation."""
        return objects_in(self.source, self._other("person_keypoints"))

    @cached_property
    def _void(self) -> set[int]:
        """The ids of objects that are void in the masks."""
        path = self.subset_dir / "void.json"
        return {region["id"] for region in read_json(path)["annotations"]} if path.is_file() else set()

    def _captions(self, row: int) -> int:
        split = self._split(self.source.images, row, self.source)
        if split not in splits_of(self.index_dir, "captions"):
            return 0
        ids = read_split(self.index_dir, "captions", split).annotations.numpy("image_id")
        return int(np.count_nonzero(ids == self.source.images["id"][row]))

    def _unknown(self, kind: str, which: int | str, task: str, source: Source) -> CocomineError:
        """The error for a record that is not there, with where it is instead."""
        splits = ", ".join(split.name for split in source.splits)
        message = f"no {kind} {which} in {task} of {splits}"
        number = int(which) if str(which).isascii() and str(which).isdigit() and len(str(which)) < 19 else None
        for other in TASKS if number is not None else ():
            for name in splits_of(self.index_dir, other):
                split = read_split(self.index_dir, other, name)
                if kind != "image" and other != task and (split.annotations.numpy("id") == number).any():
                    return CocomineError(message, f"{other}_{name} has one: ask with --task {other}")
                if (split.images.numpy("id") == number).any():
                    among = " (a split that the subset does not use)" if name not in splits.split(", ") else ""
                    if kind != "image":
                        return CocomineError(
                            message, f"an image of {name} has this id{among}: ask with --image {which}"
                        )
                    return CocomineError(message, f"it is an image of {name}, which the subset does not draw from")
                if kind == "image" and other == "instances" and (split.annotations.numpy("id") == number).any():
                    return CocomineError(message, f"an annotation has this id: ask with --annotation {which}")
        ids = source.images["id"] if kind == "image" else source.annotations["id"]
        near = ids[np.argsort(np.abs(ids - number), kind="stable")[:3]].tolist() if number is not None else []
        if near:
            return CocomineError(message, f"the nearest ids are {', '.join(map(str, sorted(near)))}")
        digits = re.search(r"(\d{1,18})\.[A-Za-z]+$", str(which))
        if kind == "image" and digits is not None and (ids == int(digits[1])).any():
            return CocomineError(message, f"an image has the id {int(digits[1])}: ask with --image {int(digits[1])}")
        return CocomineError(message, "give an image's id, or its file_name as the source has it, folder included")


@contextmanager
def _quiet() -> Iterator[None]:
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _holds(rows: Rows, row: int) -> bool:
    at = int(np.searchsorted(rows, row))
    return at < len(rows) and int(rows[at]) == row


def answer_annotation(trace: Trace, identity: int, task: str, as_json: bool) -> str:
    """Say what became of an annotation, as text or JSON."""
    verdicts = trace.annotation(identity, task)
    if as_json:
        return canonical_json({"annotations": [document(verdict) for verdict in verdicts]}, indent=1)
    lines = [f"of {item.task}_{item.source_split}, image {item.image_id} {item.file_name}" for item in verdicts]
    return "\n".join(f"{sentence(verdict)}\n  {line}" for verdict, line in zip(verdicts, lines, strict=True))


def answer_image(trace: Trace, which: str, task: str, as_json: bool) -> str:
    """Say what became of an image and each of its annotations, as text or JSON."""
    found = trace.image(which, task)
    if as_json:
        images = [
            {**document(image), "annotations": [document(verdict) for verdict in verdicts]} for image, verdicts in found
        ]
        return canonical_json({"images": images}, indent=1)
    blocks = []
    for image, verdicts in found:
        lines = [sentence(image), f"  of {image.source_split}, {image.file_name}"]
        lines += [f"  {sentence(verdict)}" for verdict in verdicts] or [f"  it has no record in {task}"]
        blocks.append("\n".join(lines))
    return "\n".join(blocks)


def open_trace(
    name: str,
    config: Path | None,
    query: SubsetSettings,
    index_dir: Path | None,
    subset_dir: Path | None,
    images_from: Path | None = None,
    root: Path = Path(),
) -> Trace:
    """Open a subset to be asked: by its name in a config, or by settings and paths; `root` is the build's folder."""
    from cocomine.inquiry.ask import subset_of_config

    if config is not None:
        query, source = subset_of_config(config, name)
        index_dir = index_dir or root / "data/annotations" / source / "index"
    elif index_dir is None:
        raise CocomineError("where is the subset's query?", "give --config FILE, or --settings and --index-dir")
    return Trace(query, index_dir, subset_dir or root / "results" / name, images_from)
