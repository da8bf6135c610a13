"""Scoring a COCO results file of boxes, masks or keypoints: COCO's own figures, by category and by slice.

The figures equal pycocotools' to the last digit; what they are made of is kept for each image, so that slices and
intervals match nothing again.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cocomine.base.files import sha256_of_file, write_json
from cocomine.base.progress import Progress
from cocomine.evaluation import matching, slices
from cocomine.evaluation.attributes import attributes_of_file, read_attributes
from cocomine.evaluation.ground import Ground
from cocomine.evaluation.matching import Bools, Floats, Matches
from cocomine.evaluation.precision import PROTOCOLS, THRESHOLDS, Curves, Protocol, curves
from cocomine.evaluation.resampling import (
    Draws,
    drawn_precision,
    image_draws,
    intervals,
    joined,
    mean_over_categories,
    write_draws,
)
from cocomine.evaluation.results_file import read_results
from cocomine.evaluation.settings import JudgingSettings
from cocomine.evaluation.truth import Truth, found_of, overlaps, read_truth

Figures = dict[str, float | None]
DRAWN = ("AP", "AP50", "AP75", "AR")
"""The figures with an interval; AR is that of the most results an image."""


@dataclass(frozen=True)
class Judged:
    """Results that have been matched with the truth."""

    truth: Truth
    matches: Matches
    protocol: Protocol

    def curves(self, area: str = "all", most: int | None = None, images: Bools | None = None) -> Curves:
        """Return precision and recall of a range of areas, over the images of `images` (i,)."""
        most = self.protocol.most[-1] if most is None else most
        where = (self.truth.objects.image, self.truth.objects.category)
        place = self.protocol.areas.index(area)
        return curves(self.matches, where, len(self.truth.categories), place, most, images)

    def draws(self, draws: int) -> Draws:
        """Return AP, AP50, AP75 and AR of bootstrap draws over the images; empty for a single image."""
        if len(self.truth.images) < 2:
            return {}
        return joined([self._drawn(weights) for weights in image_draws(len(self.truth.images), draws)])

    def _drawn(self, weights: Floats) -> Draws:
        objects, matches = self.truth.objects, self.matches
        wanted = matches.object_counts[0]
        precisions, recalls = [], []
        for category in range(len(self.truth.categories)):
            own = np.flatnonzero(matches.category == category)
            own = own[np.argsort(-matches.score[own], kind="stable")]
            true = objects.image[wanted & (objects.category == category)]
            if not len(true):
                continue
            hits, counts = matches.object[0][:, own] >= 0, matches.counts[0][:, own]
            found = drawn_precision(weights, matches.image[own], hits, counts, weights[:, true].sum(1))
            precisions.append(found[0])
            recalls.append(found[1])
        if not precisions:
            return {name: np.full(len(weights), np.nan) for name in DRAWN}
        at = {name: THRESHOLDS.tolist().index(value) for name, value in (("AP50", 0.5), ("AP75", 0.75))}
        return {
            "AP": mean_over_categories(precisions),
            **{name: mean_over_categories([one[t : t + 1] for one in precisions]) for name, t in at.items()},
            "AR": mean_over_categories(recalls),
        }

    def figures(self, images: Bools | None = None) -> Figures:
        """Return COCO's figures by name."""
        made = {(area, most): None for _, _, area, most, _ in self.protocol.figures}
        by_part = {part: self.curves(*part, images) for part in made}
        return {
            name: by_part[area, most].figure(kind, threshold)
            for name, kind, area, most, threshold in self.protocol.figures
        }


def judge(entries: list[dict[str, Any]], truth: Truth, task: str) -> Judged:
    """Match results with the truth. Raises CocomineError for keypoints of another number than COCO's."""
    protocol = PROTOCOLS[task]
    found = found_of(entries, truth, task)
    order, rank, edges = overlaps(entries, found, truth, task, protocol.most[-1])
    matches = matching.match(found, truth.objects, order, rank, edges, THRESHOLDS, protocol.ranges)
    return Judged(truth, matches, protocol)


def score_results(results: Path, ground: Ground, settings: JudgingSettings, out_dir: Path) -> dict[str, Any]:
    """Score a COCO results file on the ground's images; write metrics.json and left_out.tsv, return the former.

    Raises CocomineError when the file is no list of results of the task. For masks, annotations whose every outline has
    fewer than three points have no mask to be found; they are left out and counted too.
    """
    truth = read_truth(ground)
    read = read_results(results, ground, truth.sizes, settings)
    judged = judge(read.entries, truth, ground.task)
    draws = judged.draws(settings.bootstrap)
    counts = read.counts() | ({"annotations_without_mask": truth.without_mask} if ground.task == "masks" else {})
    result = {
        "kind": ground.task,
        **ground.facts(),
        "predictions": {"sha256": sha256_of_file(results), "bytes": results.stat().st_size, **counts},
        "all": judged.figures(),
        "intervals": intervals(draws, settings.confidence),
        "per_category": _per_category(judged),
        "slices": _slices(judged, ground, settings.slice_images),
    }
    read.write(out_dir / "left_out.tsv")
    write_draws(out_dir / "draws.tsv", draws)
    write_json(out_dir / "metrics.json", result)
    return result


def _per_category(judged: Judged) -> Figures:
    precision = judged.curves().precision
    known = [precision[:, :, number][precision[:, :, number] > -1] for number in range(precision.shape[2])]
    names = judged.truth.names
    return {name: float(v.mean()) if v.size else None for name, v in zip(names, known, strict=True)}


def _slices(judged: Judged, ground: Ground, least: int) -> list[dict[str, Any]]:
    images = list(judged.truth.images)
    own = ground.subset_dir
    attributes = attributes_of_file(ground.annotations, images) if own is None else read_attributes(own, images)
    tables = []
    with Progress("score slices", len(attributes), "attribute") as progress:
        for attribute in attributes:
            tables.append(_sliced(judged, attribute, least))
            progress.advance()
    return tables


def _sliced(judged: Judged, attribute: slices.Attribute, least: int) -> dict[str, Any]:
    cells = []
    for code, name in enumerate(attribute.cells):
        member = attribute.codes == code
        if not member.any():
            continue
        found = judged.curves(images=member)
        figures = {"AP": found.figure("AP"), "AP50": found.figure("AP", 0.5), "AR": found.figure("AR")}
        cells.append({"cell": name, "images": int(member.sum()), "judged": int(member.sum()) >= least, **figures})
    return {"attribute": attribute.name, "unknown": int((attribute.codes < 0).sum()), "cells": cells}
