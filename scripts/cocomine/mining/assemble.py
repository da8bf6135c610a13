"""From the selection and the measured images to the subset: the second half of mining.

Images that turned out to be missing or broken are quarantined (and replaced by spares if the query says refill), the
records are repaired and checked as policy asks, an image that lost an object goes too or gets a void region, and every
file of the subset is written. Each record of the source ends as exactly one of kept, repaired, quarantined and left out
by the query; the sums are asserted and printed per kind.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json, write_json
from cocomine.base.pool import started_pool
from cocomine.base.staging import INCOMPLETE, staging
from cocomine.coco.tasks import TASK_OF
from cocomine.mining import clauses, interference
from cocomine.mining.arrays import Mask
from cocomine.mining.bench import Bench, Spill
from cocomine.mining.drawn import INSTANCES, Drawn, drawn_categories
from cocomine.mining.funnel import Funnel
from cocomine.mining.images import Picked, find_rows, judge, refill, share_sizes
from cocomine.mining.index import Source
from cocomine.mining.licences import licences_of
from cocomine.mining.losses import Loss, because, large, warn
from cocomine.mining.mine import query_values, read_source_of
from cocomine.mining.objects import Objects, images_of, judge_objects, labelled_objects
from cocomine.mining.outcomes import ITS_IMAGE, Ledger
from cocomine.mining.outputs import (
    check_stems,
    write_attribution,
    write_dictionary,
    write_images,
    write_labels,
)
from cocomine.mining.parts import Part, categories_of, images_in, objects_in
from cocomine.mining.resolve import Wanted, pinned_labels, refuse_lost_labels, resolve
from cocomine.mining.sampling import SPARE, WANTED
from cocomine.mining.settings import SubsetSettings
from cocomine.mining.statistics import Values, subset_statistics
from cocomine.mining.tables import splits_of
from cocomine.mining.voids import region_of, write_voids

log = logging.getLogger("cocomine")

OTHER_TASKS: Final = ("captions", "person_keypoints", "stuff", "panoptic")


def assemble(
    query: SubsetSettings,
    index_dir: Path,
    annotations_dir: Path,
    selection_path: Path,
    funnel_path: Path,
    measures_path: Path | None,
    out_dir: Path,
    threads: int = 1,
    drawn: Drawn = INSTANCES,
) -> dict[str, Any]:
    """Write every file of a subset to `out_dir`; return its statistics.

    `threads` processes draw the masks that are checked, and nothing depends on how many. `measures_path` is the table
    of measured images; without it no image is judged. `drawn` says which categories get a label for the masks. Raises
    CocomineError when the selection was made by another query, an image was not measured, or policy says stop.
    """
    funnel_before = read_json(funnel_path)
    if funnel_before.get("query") != query_values(query):
        raise CocomineError(
            f"{funnel_path}: was made by another query than the settings given", "run mine_subset again first"
        )
    with ExitStack() as stack:
        beside = stack.enter_context(staging(out_dir / INCOMPLETE))
        spill, ledger = Spill(beside / "repaired"), Ledger(beside / "repairs")
        stack.callback(spill.close)
        stack.callback(ledger.close)
        # Before the index is read: a worker holds what this process holds when it forks.
        with started_pool(threads) if query.check_areas and threads > 1 else nullcontext() as pool:
            source = read_source_of(query, index_dir, funnel_before["splits"])
            bench = Bench(query, annotations_dir, spill, ledger, stack, threads, pool)
            assembly = _Assembly(bench, source, index_dir, drawn, funnel_before)
            assembly.choose(find_rows(source, selection_path), measures_path)
            assembly.examine()
        assembly.follow_images()
        statistics = assembly.write(out_dir)
        del assembly, bench, source  # drawing the picture takes memory, and they are done with theirs
    shared = statistics["interference"]
    interference.draw(shared["before"], shared["after"], out_dir / "interference.png")
    return statistics


@dataclass
class _Lost:
    """What an image lost: why its first object was quarantined, how many were, and the regions that can be void."""

    reason: str
    kind: str
    id: int
    objects: int = 0
    everywhere_known: bool = True

    def words(self) -> str:
        more = f" (and {self.objects - 1} more of its objects)" if self.objects > 1 else ""
        return f"its {self.kind} {self.id} is quarantined{more}"


class _Assembly:
    """One subset being assembled; the steps are methods, called in the order in which they stand."""

    def __init__(
        self, bench: Bench, source: Source, index_dir: Path, drawn: Drawn, funnel_before: dict[str, Any]
    ) -> None:
        self.bench, self.query, self.source, self.index_dir = bench, bench.query, source, index_dir
        self.drawn, self.funnel_before = drawn, funnel_before
        self.wanted: Wanted = resolve(self.query, source)
        every = np.arange(source.images.rows)
        self.instances = Part(
            bench, "instances", source, every, source.image_ids, source.annotation_ids, source.new_names
        )
        self.objects: Objects = judge_objects(source, self.query, self.wanted, self.instances.bad_labels)
        self.names = [category.name for category in source.categories]
        self.others: list[Part] = []
        self.regions: list[dict[str, Any]] = []

    def choose(self, picked: Picked, measures_path: Path | None) -> None:
        """Take the selected images, without those that are broken and with spares in their place."""
        source, instances = self.source, self.instances
        chosen = {row: role for row, role in zip(picked.rows.tolist(), picked.roles, strict=True) if role != SPARE}
        self.selected = self._mask(chosen)
        self.funnel = funnel = Funnel(source.image_row, source.class_of, source.images.rows, self.names)
        funnel.apply("selected", "as mine_subset selected them", images=self.selected, annotations=self.objects.written)
        lost, broken_spares = judge(source, self.query, picked, measures_path)
        if lost:
            instances.set_aside("image", np.array(sorted(lost), dtype=np.int64), lost.__getitem__)
            of_lost = self.objects.written & self._mask(lost)[source.image_row] & (source.image_row >= 0)
            instances.set_aside(
                "annotation", np.flatnonzero(of_lost), lambda row: (lost[int(source.image_row[row])][0], ITS_IMAGE)
            )
            funnel.apply("images", "whose image file is there and valid", images=~self._mask(lost))
            roles = [role for row, role in sorted(chosen.items()) if row in lost]
            chosen = {row: role for row, role in chosen.items() if row not in lost}
            if self.query.refill:
                spares = self._spares(picked, chosen, roles, broken_spares)
                chosen |= spares
                words = f"{len(spares)} spare images for {len(roles)} lost ones"
                funnel.apply("refill", words, add=self._mask(spares))
                log.info("assemble_subset: %s", words)
        self.roles = chosen
        instances.decide(self._mask(chosen), funnel.annotation_alive, everywhere=True)

    def _mask(self, rows: Mapping[int, Any]) -> Mask:
        return clauses.marked(np.array(sorted(rows), dtype=np.int64), self.source.images.rows)

    def _spares(self, picked: Picked, chosen: dict[int, str], lost: list[str], broken: set[int]) -> dict[int, str]:
        source, counted = self.source, self.objects.counted
        pairs = clauses.pairs_of(
            source.image_row[counted], source.class_of[counted], source.images.rows, len(self.names)
        )
        by_id = {category.id: cls for cls, category in enumerate(source.categories)}
        caps = {by_id[int(identity)]: cap for identity, cap in self.funnel_before["caps"].items()}
        return refill(source, picked, pairs, caps, chosen, lost, broken)

    def examine(self) -> None:
        """Repair and check the records of every task that the source has."""
        self.values = Values.read(self.source, self.instances.label_rows)
        self.instances.examine(on_repaired=self.values.replace)
        for task in OTHER_TASKS:
            there = splits_of(self.index_dir, task)
            names = [split.name for split in self.source.splits if split.name in there]
            if names:
                self.others.append(self._other(task, names))

    def _other(self, task: str, names: list[str]) -> Part:
        """Another task's records of the images that are taken up."""
        source = self.source
        other = source.of_task(self.index_dir, task, names)
        owner = images_in(source, other)
        share_sizes(source, other, owner)
        image_ids = np.where(owner >= 0, source.image_ids[owner], other.images["id"])
        images = self._mask(self.roles)[owner] & (owner >= 0)
        labels = np.append(images, False)[other.image_row]  # -1, no image, is the last
        label_ids = None if task == "panoptic" else other.annotation_ids
        if task == "person_keypoints":
            objects = objects_in(source, other)
            labels &= self._keypoints_of_subset(other, objects)
            label_ids = np.where(objects >= 0, source.annotation_ids[objects], other.annotation_ids)
        named = np.flatnonzero(np.isin(owner, np.array(sorted(source.new_names), dtype=np.int64)))
        new_names = {row: source.new_names[int(owner[row])] for row in named.tolist()}
        part = Part(self.bench, task, other, owner, image_ids, label_ids, new_names)
        part.decide(images, labels)
        part.examine()
        return part

    def _keypoints_of_subset(self, other: Source, objects: Any) -> Mask:
        """Keypoints of `objects` that the subset holds; of unknown objects, those of a wanted category."""
        held = clauses.marked(self.instances.kept_labels, self.source.annotations.rows)[objects]
        if self.query.keep_other_annotations:
            wanted = np.ones(len(objects), dtype=bool)
        else:
            names = {self.source.categories[cls].stated for cls in self.wanted.classes}
            flags = np.array([category.stated in names for category in other.categories] + [False], dtype=bool)
            wanted = flags[other.class_of]
        return np.where(objects >= 0, held, wanted)

    def follow_images(self) -> None:
        """Set aside the images that lost an object, or remember its region as void; then all that is in them."""
        gone = self._gone(self._losses())
        for part in (self.instances, *self.others):
            part.follow(gone)
        here = set(self.instances.kept_images.tolist())
        self.regions = [region for region in self.regions if region.pop("row") in here]
        rows = self.instances.kept_images
        self.late = self._late_losses()
        if not len(rows):
            why, what_to_do = because(self.late, self.query.policies)
            raise CocomineError(
                "subset: no image is left after the images were measured and the records checked"
                + f": {why}" * bool(why),
                what_to_do or "see why in the messages above; check that the store has the source's images",
            )
        self.funnel.apply(
            "records",
            "records that are valid, or could be repaired",
            images=clauses.marked(rows, self.source.images.rows),
            annotations=clauses.marked(self.instances.kept_labels, self.source.annotations.rows),
        )

    def _late_losses(self) -> list[Loss]:
        """What the measured images and the checked records cost of the images and objects that were selected."""
        part, source = self.instances, self.source
        every = self.bench.ledger.quarantined
        lines = [line for line in every if line.task == "instances" and line.detail != ITS_IMAGE]
        splits = {name: number for number, name in enumerate(source.split_names)}
        losses: list[Loss] = []
        for kind, table, selected, bad in (
            ("image", source.images, self.selected, part.bad_images),
            ("annotation", source.annotations, self.objects.written & self.selected[source.image_row], part.bad_labels),
        ):
            total = int(np.count_nonzero(selected))
            counts: Counter[str] = Counter()
            for line in lines:
                row = int(table.starts[splits[line.source_split]]) + line.record if line.kind == kind else -1
                if row >= 0 and selected[row] and not bad[row]:
                    counts[line.reason] += 1
            losses += [Loss(kind, "", reason, count, total) for reason, count in sorted(counts.items())]
        return losses

    def _drawn(self) -> list[tuple[Part, Mask]]:
        """The tasks whose annotations make the subset's labels, each with those annotations that get one."""
        parts = [(self.instances, labelled_objects(self.source, self.query, self.wanted))]
        for part in self.others:
            if part.task == "stuff" and TASK_OF[self.drawn.draw_from] == "stuff":
                things = [self.source.categories[cls] for cls in self.wanted.classes]
                labels = {one.id for one in drawn_categories(self.drawn, self.source, self.index_dir, things)}
                stuff = np.isin(part.source.category_ids, np.array(sorted(labels), dtype=np.int64))
                parts.append((part, stuff))
        return parts

    def _losses(self) -> dict[int, _Lost]:
        """What the images lost, by row; where lost objects become void, their regions are noted."""
        lost: dict[int, _Lost] = {}
        images = self.source.images
        for part, labelled in self._drawn():
            rows = part.lost(labelled)
            table = part.source.annotations
            for row, owner in zip(rows.tolist(), part.owner[images_of(part.source, rows)].tolist(), strict=True):
                reason = part.why_label.get(row) or str(part.early.label(row)[0])
                entry = lost.setdefault(owner, _Lost(reason, part.kind, int(table["id"][row])))
                entry.objects += 1
                if self.query.lost_objects == "exclude":
                    continue
                region = region_of(part.record(row), int(images["width"][owner]), int(images["height"][owner]))
                if region is None:
                    entry.everywhere_known = False
                    continue
                values = {
                    "id": int(part.source.annotation_ids[row]),
                    "image_id": int(self.source.image_ids[owner]),
                    "category_id": int(part.source.category_ids[row]),
                }
                self.regions.append({"row": owner, "iscrowd": 0, "segmentation": region} | values)
        return lost

    def _gone(self, losses: Mapping[int, _Lost]) -> dict[int, tuple[str, str]]:
        """The images that cannot stay for what they lost, with reason and detail."""
        holding = clauses.marked(self.source.image_row[self.instances.kept_labels], self.source.images.rows)
        gone = {}
        for row, lost in losses.items():
            emptied = self.roles[row] == WANTED and not holding[row]
            if self.query.lost_objects == "exclude" or emptied or not lost.everywhere_known:
                gone[row] = lost.reason, lost.words()
        return gone

    def write(self, out: Path) -> dict[str, Any]:
        """Write every file; return the statistics."""
        source, bench, instances = self.source, self.bench, self.instances
        images, annotations = instances.kept_images, instances.kept_labels
        by_id = images[np.lexsort((images, source.image_ids[images]))]
        category_ids = self._category_ids()
        instances.write(out / "subset.json", categories_of(instances, category_ids))
        check_stems(source, by_id)
        write_images(out / "images.tsv", source, by_id, [self.roles[row] for row in by_id.tolist()])
        self._write_labels(out / "labels.json", category_ids)
        values = self.values = self.values.select(instances.keep_labels)
        write_dictionary(out / "dictionary.json", source, by_id, annotations, values.box)
        write_attribution(out / "ATTRIBUTION.md", source, by_id, licences_of(source))
        write_voids(out / "void.json", self.regions)
        (out / "tasks").mkdir(parents=True, exist_ok=True)
        for part in self.others:
            part.write(
                out / "tasks" / f"{part.task}.json", None if part.task == "captions" else categories_of(part, None)
            )
        statistics = subset_statistics(
            source, self.wanted, instances.bad_images, instances.bad_labels, images, annotations, values
        )
        statistics |= {
            "losses": self.funnel_before["losses"] + self._large(),
            "funnel": self.funnel_before["funnel"],
            "funnel_after_images": self.funnel.as_dict(),
            "conservation": bench.conservation,
            "conservation_by_split": bench.by_split,
            "quarantined": bench.ledger.quarantined_reasons(),
            "repaired": dict(sorted(bench.ledger.repaired_reasons.items())),
            "query": self.funnel_before["query"],
            "words": self.funnel_before["words"],
            "wanted": [source.categories[cls].values() for cls in self.wanted.classes],
        }
        bench.ledger.write(out)
        write_json(out / "statistics.json", statistics)
        warn(self._large())
        return statistics

    def _write_labels(self, path: Path, category_ids: set[int]) -> None:
        kept = [category for category in self.source.categories if category.id in category_ids]
        drawn = drawn_categories(self.drawn, self.source, self.index_dir, kept)
        pinned = pinned_labels(self.query)
        refuse_lost_labels(self.query, pinned, {category.name for category in drawn})
        write_labels(path, drawn, pinned)

    def _large(self) -> list[dict[str, Any]]:
        totals = {loss.kind: loss.of for loss in self.late}
        return [loss.document(self.query.policies) for loss in large(self.late, totals)]

    def _category_ids(self) -> set[int]:
        wanted = {self.source.categories[cls].id for cls in self.wanted.classes}
        if self.query.wanted and not self.query.keep_other_annotations:
            return wanted
        present = self.source.category_ids[self.instances.kept_labels]
        pinned = pinned_labels(self.query)
        held = {category.id for category in self.source.categories if category.name in pinned}
        return wanted | held | set(np.unique(present).tolist())
