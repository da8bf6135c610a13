"""Evaluating a run: predictions of held-out images, measured at training and at full resolution."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from cocomine.base.arrays import Floats
from cocomine.base.errors import CocomineError
from cocomine.base.files import atomic_path, read_table, write_json
from cocomine.evaluation import baselines, calibration, pictures, slices, verdict
from cocomine.evaluation.attributes import Images, describe
from cocomine.evaluation.coverage import coverage
from cocomine.evaluation.ground import leaderboard
from cocomine.evaluation.predicted import write_predicted
from cocomine.evaluation.predicting import (
    Job,
    Predicted,
    Trained,
    full_mask,
    load_run,
    predict,
)
from cocomine.evaluation.resampling import images_digest, write_draws
from cocomine.learning import metrics
from cocomine.learning.data import Rows, TensorSet, pixel_counts
from cocomine.splits.names import in_order, judged

log = logging.getLogger("cocomine")

PUBLISHED = (
    # The paper's Table I, in percent, as published: other data, other classes, another measure. Not ours.
    {"method": "Puri et al.", "iou_percent": 50.0},
    {"method": "MaskFormer", "iou_percent": 37.1},
    {"method": "LinkNet on mined images (the paper's)", "iou_percent": 89.6},
)


def evaluate(job: Job) -> dict[str, Any]:
    """Evaluate a run, write metrics.json, per_image.parquet and pictures/, return what metrics.json holds.

    Raises CocomineError when images of val or test were trained on, and for files that are missing or do not fit. Of
    train and all such images are counted into `images_trained_on`, with a warning.
    """
    trained = load_run(job.run_dir)
    split = judged(job.settings.split, job.tensors.splits)
    rows = job.tensors.rows_of(split)
    if not len(rows):
        names = ", ".join(in_order(job.tensors.splits))
        raise CocomineError(f"{job.tensors.path}: no image in split {split!r}", f"judge on {names} or all")
    if list(job.tensors.size) != trained.facts["size"]:
        log.warning("trained at %s pixels, evaluated at %s", trained.facts["size"], list(job.tensors.size))
    images = _trained_images(job.run_dir / "train_images.tsv")
    seen = check_unseen(images, job.tensors, rows, split)
    pixel_counts(job.tensors, rows, job.labels)
    predicted = predict(trained, job, rows)
    origin = _origin(trained) | {"images_trained_sha256": _ids_digest(sorted(images)), "images_trained_on": seen}
    return write_evaluation(job, rows, predicted, origin)


def _trained_images(path: Path) -> frozenset[int]:
    try:
        return frozenset(int(row["image_id"]) for row in read_table(path))
    except FileNotFoundError as error:
        raise CocomineError(f"{path}: no such file", "train the run first") from error


def _origin(trained: Trained) -> dict[str, Any]:
    settings = trained.facts["settings"]
    kept = {key: settings[key] for key in ("run", "experiment", "subset", "model_name", "arm", "seed")}
    return {
        **kept,
        "model": settings["model"],
        "train": settings["train"],
        "resolved": trained.facts["resolved"],
        "evaluated_with": vars(trained.machine),
        "parameters": trained.facts["parameters"],
        "images_trained": trained.facts["images"]["train"],
        "iterations": trained.facts["iterations"],
        "labels_trained": [entry["name"] for entry in trained.facts["labels"]],
        "weights_sha256": trained.sha256,
    }


def check_unseen(seen: frozenset[int], tensors: TensorSet, rows: Rows, split: str) -> int:
    """Return how many of the images in `rows` are in `seen`, those trained on, with a warning if there are any.

    Raises CocomineError when there are any and the split is there to be unseen, as all but train are.
    """
    both = [int(row) for row in rows if int(tensors.image_ids[row]) in seen]
    if both and split in ("train", "all"):
        log.warning(
            "%d of the %d images evaluated were trained on: what is measured there is how well they are remembered",
            len(both),
            len(rows),
        )
    elif both:
        raise CocomineError(
            f"{len(both)} of the {len(rows)} images to evaluate on were trained on "
            f"(first: {tensors.file_names[both[0]]})",
            "train with --evaluated-on and the tensors evaluated on, or let the subset take the other's images and "
            "split (images_from)",
        )
    return len(both)


def write_evaluation(job: Job, rows: Rows, predicted: Predicted, origin: dict[str, Any]) -> dict[str, Any]:
    """Make and write every figure of predictions, ours or somebody else's."""
    settings, names = job.settings, job.labels.names
    run = {key: value for key, value in origin.items() if key != "images_trained_on"}
    seed = int(origin.get("seed", 0))
    errors = 1.0 - metrics.image_scores(predicted.small)
    ids = [int(image) for image in job.tensors.image_ids[rows]]
    described = describe(_images(job, rows, origin), job.subset_dir, None, job.tags)
    attributes = described.of_judged
    absent = [n for n, count in zip(names, predicted.small.truth.sum(0), strict=True) if not count]
    result: dict[str, Any] = {
        "run": run,
        "subset": job.subset,
        "split": judged(settings.split, job.tensors.splits),
        "labels": job.labels.rows(),
        "images": len(rows),
        "images_sha256": _ids_digest(ids),
        "images_trained_on": origin.get("images_trained_on", 0),
        "classes_without_pixels": absent,
        "settings": settings.as_mapping(),
        "training_resolution": _figures(predicted.small, job, seed)
        | {
            "size": list(job.tensors.size),
            "iou_of_added_probabilities": _iou_of_added(predicted, names),
            "calibration": calibration.calibration(predicted.scored, settings.bootstrap, settings.confidence),
        },
        "full_resolution": None if predicted.full is None else _figures(predicted.full, job, seed),
        "baselines": _baselines(job, rows, predicted.full is not None),
        "slices": slices.analyse(
            attributes, predicted.small, errors, settings.slice_images, settings.bootstrap, settings.confidence, seed
        ),
        "coverage": coverage(described, settings.slice_images),
        "published": list(PUBLISHED),
        "leaderboard": leaderboard(job.subset, whole=False),
    }
    result["baselines"]["ratio"] = _ratio_to_baseline(result)
    result["draws"] = _write_draws(job, ids, predicted)
    write_json(job.out_dir / "metrics.json", result)
    boundary = write_predicted(job.tensors, rows, predicted.masks, job.labels, job.subset_dir, job.out_dir)
    _write_per_image(job, rows, predicted, attributes, boundary)
    _write_pictures(job, rows, predicted, errors)
    where = result["training_resolution"]["iou"]
    ratio = result["baselines"]["ratio"]
    log.info(
        "mean foreground IoU %.3f, with background %.3f; %s. %s",
        where["mean_foreground"] or 0.0,
        where["mean_with_background"] or 0.0,
        verdict.beside_baseline(where["mean_foreground"], _better_baseline(result), ratio),
        result["slices"]["finding"],
    )
    if verdict.too_few(len(rows)):
        log.warning("%s", verdict.of_few(len(rows)))
    return result


def _images(job: Job, rows: Rows, origin: Mapping[str, Any]) -> Images:
    """Return the judged images, and behind them those that were trained on where they are of the same subset."""
    tensors = job.tensors
    training = tensors.rows_of("train") if origin.get("subset") == job.subset else rows[:0]
    both = [*rows.tolist(), *np.setdiff1d(training, rows).tolist()]
    return Images([int(tensors.image_ids[row]) for row in both], [tensors.file_names[row] for row in both], len(rows))


def _figures(sums: metrics.Sums, job: Job, seed: int) -> dict[str, Any]:
    settings = job.settings
    return metrics.summary(sums, job.labels.names) | {
        "intervals": metrics.bootstrap(sums, job.labels.names, settings.bootstrap, settings.confidence, seed)
    }


def _write_draws(job: Job, ids: Sequence[int], predicted: Predicted) -> dict[str, Any]:
    """Write draws.tsv, so that the run can be held against predictions of the same images; return what it is of.

    Its draws are those of any predictions of the images, and so not those of the intervals, which hang on the seed.
    """
    sums = metrics.chosen(predicted.full or predicted.small, np.argsort(ids))
    figures = metrics.draws_of(sums, job.settings.bootstrap, 0)
    write_draws(job.out_dir / "draws.tsv", {name: values for name, values in figures.items() if values.ndim == 1})
    return {"images_sha256": images_digest(ids), "resolution": "training" if predicted.full is None else "full"}


def _iou_of_added(predicted: Predicted, names: Sequence[str]) -> dict[str, Any]:
    """Return the IoU if the probabilities of unwanted classes were the background's before a pixel is decided."""
    iou: dict[str, Any] = metrics.summary(predicted.added or predicted.small, names)["iou"]
    return {key: iou[key] for key in ("mean_foreground", "mean_with_background", "per_class")}


def _ids_digest(ids: Sequence[int]) -> str:
    return hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()


def _baselines(job: Job, rows: Rows, full: bool) -> dict[str, Any]:
    seen = (job.tensors.masks[row] for row in job.tensors.rows_of("train"))
    counts = baselines.label_frequency(seen, job.tensors.size, len(job.labels))
    constant = {
        "all_background": np.zeros(job.tensors.size, np.uint8),
        "most_frequent_place": baselines.most_frequent_place(counts),
    }
    parts: dict[str, list[metrics.Sums]] = {f"{name}/{size}": [] for name in constant for size in ("small", "full")}
    for row in rows:
        truth = None
        if full and job.masks_dir is not None:
            truth = full_mask(job.masks_dir, job.tensors.file_names[row], len(job.labels))
        for name, mask in constant.items():
            parts[f"{name}/small"].append(metrics.measure_labels(mask, job.tensors.masks[row], len(job.labels)))
            if truth is not None:
                large = baselines.enlarged(job.tensors.within(mask, *truth.shape), *truth.shape)
                parts[f"{name}/full"].append(metrics.measure_labels(large, truth, len(job.labels)))
    result: dict[str, Any] = {}
    for name in constant:
        small = metrics.summary(metrics.joined(parts[f"{name}/small"]), job.labels.names)
        whole = metrics.summary(metrics.joined(parts[f"{name}/full"]), job.labels.names) if full else None
        result[name] = {"training_resolution": small, "full_resolution": whole}
    return result


def _ratio_to_baseline(result: dict[str, Any]) -> float | None:
    """Return model ÷ better baseline in mean foreground IoU; None where both baselines have 0."""
    own, best = result["training_resolution"]["iou"]["mean_foreground"], _better_baseline(result)
    return None if best == 0.0 or own is None else float(own / best)


def _better_baseline(result: dict[str, Any]) -> float:
    return max(
        float(result["baselines"][name]["training_resolution"]["iou"]["mean_foreground"] or 0.0)
        for name in ("all_background", "most_frequent_place")
    )


def _write_per_image(
    job: Job, rows: Rows, predicted: Predicted, attributes: Sequence[slices.Attribute], boundary: Floats
) -> None:
    small = predicted.small
    pixels = small.pixels
    columns: dict[str, npt.NDArray[Any] | list[Any]] = {
        "image_id": job.tensors.image_ids[rows],
        "file_name": [job.tensors.file_names[row] for row in rows],
        "iou_mean_foreground": metrics.image_scores(small),
        "boundary_iou_mean_foreground": boundary,
        "pixel_accuracy": metrics.ratio(small.inter.sum(1), pixels),
    }
    if small.log_loss is not None:
        columns["cross_entropy"] = metrics.ratio(small.log_loss, pixels)
    if predicted.full is not None:
        columns["full_iou_mean_foreground"] = metrics.image_scores(predicted.full)
    per_class = metrics.iou(small.inter, small.predicted, small.truth)
    for label, name in enumerate(job.labels.names):
        columns[f"iou {name}"] = per_class[:, label]
    for attribute in attributes:
        columns[attribute.name] = [attribute.cells[code] if code >= 0 else None for code in attribute.codes]
    # What is not known is null, not NaN.
    table = pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})
    with atomic_path(job.out_dir / "per_image.parquet") as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _write_pictures(job: Job, rows: Rows, predicted: Predicted, errors: Floats) -> None:
    """Write the worst and the best of the images that show a class at all."""
    shown = predicted.small.truth[:, 1:].sum(1) > 0
    for stem, i in pictures.extremes(errors, shown, job.settings.pictures):
        row = int(rows[i])
        image = pictures.original(job.subset_dir, job.store_dir, int(job.tensors.image_ids[row]))
        masks = [job.tensors.masks[row], predicted.masks[i]]
        if image is None:
            image = job.tensors.images[row]
        else:
            masks = [job.tensors.within(mask, *image.shape[:2]) for mask in masks]
        pictures.write_panel(
            job.out_dir / "pictures" / f"{stem}.png",
            image,
            baselines.enlarged(masks[0], *image.shape[:2]),
            baselines.enlarged(masks[1], *image.shape[:2]),
            job.labels,
            f"{job.tensors.file_names[row]}: image, truth, prediction; mean IoU {1 - errors[i]:.2f}",
        )
