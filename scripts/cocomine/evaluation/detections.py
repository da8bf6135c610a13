"""Scoring a COCO results file of boxes, masks or keypoints: COCO's own figures, by category and by slice.

The figures equal pycocotools' to the last digit; what they are made of is kept for each image, so that slices and
intervals match nothing again.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cocomine.base.arrays import Bools, Floats
from cocomine.base.files import sha256_of_file, write_json, write_table
from cocomine.evaluation import calibration, matching, mistakes, slices
from cocomine.evaluation.attributes import describe
from cocomine.evaluation.boundary import boundary_edges
from cocomine.evaluation.coverage import coverage
from cocomine.evaluation.federated import GROUPS, MOST
from cocomine.evaluation.ground import Ground
from cocomine.evaluation.matching import Edges, Found, Matches
from cocomine.evaluation.precision import FEDERATED, PROTOCOLS, THRESHOLDS, Curves, Protocol, curves
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
from cocomine.evaluation.shown import keep_results
from cocomine.evaluation.truth import Truth, found_of, mask_of, overlaps, read_truth

Figures = dict[str, float | None]
PER_IMAGE = "per_image.tsv"
DRAWN = ("AP", "AP50", "AP75", "AR")
"""The figures with an interval; AR is that of the most results an image."""


@dataclass(frozen=True)
class Judged:
    """Results that have been matched with the truth."""

    task: str
    entries: list[dict[str, Any]]
    found: Found
    truth: Truth
    matches: Matches
    protocol: Protocol
    edges: Edges

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

    def sliced(self, images: Bools) -> Figures:
        """Return the figures of a slice of the images."""
        made = self.curves(images=images)
        return {"AP": made.figure("AP"), "AP50": made.figure("AP", 0.5), "AR": made.figure("AR")}

    def without(self, results: Bools | None = None, objects: Bools | None = None) -> "Judged":
        """Return the same as if some results (m,) were not there, or some objects (g,) need not be found."""
        counts, wanted = self.matches.counts, self.matches.object_counts
        if results is not None:
            counts = counts & ~results
        if objects is not None:
            wanted = wanted & ~objects
        return replace(self, matches=replace(self.matches, counts=counts, object_counts=wanted))

    def figures(self, images: Bools | None = None) -> Figures:
        """Return COCO's figures by name."""
        made = {(area, most): None for _, _, area, most, _ in self.protocol.figures}
        by_part = {part: self.curves(*part, images) for part in made}
        result = {
            name: by_part[area, most].figure(kind, threshold)
            for name, kind, area, most, threshold in self.protocol.figures
        }
        rules = self.truth.federated
        if rules is not None:
            whole = by_part["all", MOST]
            result |= {name: whole.of(rules.members(letter)).figure("AP") for letter, name in GROUPS.items()}
        return result


def judge(entries: list[dict[str, Any]], truth: Truth, task: str) -> Judged:
    """Match results with the truth. Raises CocomineError for keypoints of another number than COCO's.

    With federated rules the results are those that take part (`Federated.taking_part`).
    """
    rules = truth.federated
    protocol = PROTOCOLS[task] if rules is None else FEDERATED
    found = found_of(entries, truth, task)
    order, rank, edges = overlaps(entries, found, truth, task, protocol.most[-1])
    matches = matching.match(found, truth.objects, order, rank, edges, THRESHOLDS, protocol.ranges)
    return Judged(task, entries, found, truth, matches if rules is None else rules.forgiving(matches), protocol, edges)


def by_boundary(judged: Judged, share: float) -> Judged:
    """Return results of masks matched by the boundary IoU instead (cocomine.evaluation.boundary)."""
    matches, truth = judged.matches, judged.truth
    given = [judged.entries[number]["segmentation"] for number in matches.result.tolist()]
    edges = boundary_edges(judged.edges, given, partial(mask_of, truth), truth.objects.crowd, share)
    found = matching.match(
        judged.found, truth.objects, matches.result, matches.rank, edges, THRESHOLDS, judged.protocol.ranges
    )
    rules = truth.federated
    return replace(judged, edges=edges, matches=found if rules is None else rules.forgiving(found))


def score_results(results: Path, ground: Ground, settings: JudgingSettings, out_dir: Path) -> dict[str, Any]:
    """Score a COCO results file on the ground's images; write metrics.json and left_out.tsv, return the former.

    Raises CocomineError when the file is no list of results of the task. For masks, annotations whose every outline has
    fewer than three points have no mask to be found; they are left out and counted too.
    """
    truth = read_truth(ground)
    read = read_results(results, ground, truth.sizes, settings)
    entries, left_out = _taking_part(read.entries, truth, ground.task)
    judged = judge(entries, truth, ground.task)
    draws = judged.draws(settings.bootstrap)
    counts = read.counts() | left_out
    counts |= {"annotations_without_mask": truth.without_mask} if ground.task == "masks" else {}
    result = {
        "kind": ground.task,
        "rules": "COCO's" if truth.federated is None else "LVIS'",
        **ground.facts(),
        "predictions": {"sha256": sha256_of_file(results), "bytes": results.stat().st_size, **counts},
        "all": judged.figures(),
        "intervals": intervals(draws, settings.confidence),
        "per_category": _per_category(judged),
        **_boundary(judged, settings),
        **_analysis(judged, ground, settings, out_dir),
    }
    read.write(out_dir / "left_out.tsv")
    write_draws(out_dir / "draws.tsv", draws)
    write_json(out_dir / "metrics.json", result)
    return result


def _taking_part(entries: list[dict[str, Any]], truth: Truth, task: str) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Return the results that take part by the truth's rules, and how many do not, by reason."""
    if truth.federated is None:
        return entries, {}
    kept, left_out = truth.federated.taking_part(found_of(entries, truth, task))
    return [entry for entry, fits in zip(entries, kept.tolist(), strict=True) if fits], left_out


def _boundary(judged: Judged, settings: JudgingSettings) -> dict[str, Any]:
    """Return the figures of masks by their boundaries, empty for other tasks and where they are not asked for."""
    if judged.task != "masks" or not settings.boundary:
        return {}
    made = by_boundary(judged, settings.boundary)
    ends = intervals(made.draws(settings.bootstrap), settings.confidence)
    return {
        "boundary": {
            "width": f"{settings.boundary} of the diagonal",
            "all": made.figures(),
            "intervals": ends,
            "per_category": _per_category(made),
        }
    }


def _per_category(judged: Judged) -> Figures:
    precision = judged.curves().precision
    known = [precision[:, :, number][precision[:, :, number] > -1] for number in range(precision.shape[2])]
    names = judged.truth.names
    return {name: float(v.mean()) if v.size else None for name, v in zip(names, known, strict=True)}


def _analysis(judged: Judged, ground: Ground, settings: JudgingSettings, out_dir: Path) -> dict[str, Any]:
    """Return what is wrong with the results and where: kinds of mistakes, confusion of classes, and slices.

    Writes per_image.tsv with the error of each image.
    """
    threshold = mistakes.best_threshold(judged.matches)
    errors = mistakes.image_errors(judged.matches, judged.truth, threshold)
    judging = slices.Judging(settings.slice_images, settings.bootstrap, settings.confidence)
    words = f"1 - F1 of the image at an IoU of 0.5, over results with a score of {threshold:.4g} or more"
    rows = zip(judged.truth.images, errors.tolist(), strict=True)
    write_table(out_dir / PER_IMAGE, ("image_id", "error"), rows)
    keep_results(out_dir, judged.task, (one for one in judged.entries if one["score"] >= threshold))
    described = describe(ground.pictured(judged.truth.images), ground.subset_dir, ground.annotations, ground.tags)
    result: dict[str, Any] = {
        "slices": slices.analyse_figures(described.of_judged, errors, judged.sliced, words, judging),
        "coverage": coverage(described, settings.slice_images),
        "calibration": _calibration(judged, settings),
    }
    if judged.task != "keypoints":
        result |= _mistakes(judged, threshold)
    return result


def _calibration(judged: Judged, settings: JudgingSettings) -> dict[str, Any]:
    """Return how well scores are calibrated at an IoU of 0.5, over the results that count."""
    matches = judged.matches
    own = matches.counts[0, 0]
    scores, right = matches.score[own], matches.object[0, 0][own] >= 0
    if ((scores < 0) | (scores > 1)).any():
        return calibration.not_probabilities()
    scored = calibration.of_results(matches.image[own], scores, right, len(judged.truth.images))
    return calibration.calibration(scored, settings.bootstrap, settings.confidence, scores)


def _mistakes(judged: Judged, threshold: float) -> dict[str, Any]:
    """Return the counts of each kind of mistake, the AP50 without it, and the confusion of classes."""
    edges = mistakes.across_classes(judged.entries, judged.found, judged.truth, judged.task, judged.matches)
    kind, missed = mistakes.kinds_of(judged.matches, judged.truth, edges)
    confident = judged.matches.score >= threshold
    rows = {}
    for number, name in enumerate(mistakes.KINDS):
        wrong = kind == number
        rows[name] = {
            "results": int(wrong.sum()),
            "confident_results": int((wrong & confident).sum()),
            "AP50_without": judged.without(results=wrong).curves().figure("AP", 0.5),
        }
    rows["missed"] = {
        "objects": int(missed.sum()),
        "AP50_without": judged.without(objects=missed).curves().figure("AP", 0.5),
    }
    confused = mistakes.confusion(judged.found, judged.truth, judged.matches, edges, threshold)
    return {
        "mistakes": {"iou": [mistakes.BACKGROUND, mistakes.FOREGROUND], "score_threshold": threshold, "kinds": rows},
        "confusion": {"score_threshold": threshold, "classes": list(judged.truth.names), "counts": confused},
    }
