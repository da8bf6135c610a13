"""Evaluating a run: predictions of held-out images, measured at training and at full resolution."""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from cocomine.base.errors import CocomineError
from cocomine.base.files import atomic_path, read_json, read_table, sha256_of_file, write_json
from cocomine.base.progress import Progress
from cocomine.coco.labels import Labels, labels_of
from cocomine.coco.names import mask_name
from cocomine.coco.tasks import VOID
from cocomine.evaluation import baselines, calibration, pictures, slices, verdict
from cocomine.evaluation.attributes import Images, describe
from cocomine.evaluation.coverage import coverage
from cocomine.evaluation.ground import leaderboard
from cocomine.evaluation.predicted import write_predicted
from cocomine.evaluation.resampling import images_digest, write_draws
from cocomine.images.opening import ImageError, opened, read_file
from cocomine.learning import hardware, metrics
from cocomine.learning.data import Bytes, Rows, TensorSet, pixel_counts
from cocomine.learning.models.base import Normalisation, Segmenter
from cocomine.learning.models.registry import build_model
from cocomine.learning.settings import EvaluationSettings, ModelSettings, TrainSettings
from cocomine.learning.training import Feeder, probabilities_of
from cocomine.splits.names import in_order, judged

log = logging.getLogger("cocomine")

PUBLISHED = (
    # The paper's Table I, in percent, as published: other data, other classes, another measure. Not ours.
    {"method": "Puri et al.", "iou_percent": 50.0},
    {"method": "MaskFormer", "iou_percent": 37.1},
    {"method": "LinkNet on mined images (the paper's)", "iou_percent": 89.6},
)


@dataclass(frozen=True)
class Job:
    """What evaluate_model was asked to do. `masks_dir` holds the full-size `semantic` masks, None to leave them out."""

    settings: EvaluationSettings
    run_dir: Path
    tensors: TensorSet
    labels: Labels
    subset_dir: Path
    out_dir: Path
    masks_dir: Path | None
    subset: str
    store_dir: Path | None = None
    tags: Path | None = None


@dataclass(frozen=True)
class Trained:
    """A trained network, what it was trained with, and the hash of its weights."""

    network: Segmenter
    facts: dict[str, Any]
    machine: hardware.Hardware
    normalisation: Normalisation
    sha256: str


@dataclass(frozen=True)
class Predicted:
    """Sums at both resolutions (full is None when not asked for) and the labels at training size, (i, h, w)."""

    small: metrics.Sums
    full: metrics.Sums | None
    masks: Bytes
    scored: calibration.Scored
    added: metrics.Sums | None = None  # at training size, decided after adding up the probabilities of other classes


def load_run(run_dir: Path) -> Trained:
    """Load a run's network for prediction. Raises CocomineError when its files are missing or do not fit."""
    facts = read_json(run_dir / "training.json")
    settings = facts["settings"]
    # Precision and threads as trained; the device is what the config asked for, so that `auto` finds what is here.
    device = settings["train"]["device"]
    if device == "cuda" and not torch.cuda.is_available():
        log.warning("%s was trained on a GPU, and there is none here: evaluated on the CPU", settings["run"])
        device = "cpu"
    train = TrainSettings.from_mapping({**settings["train"], **facts["resolved"], "device": device})
    machine = hardware.resolve(train)
    hardware.apply(machine)
    plain = {**settings["model"], "weights": "none", "freeze": "none"}
    model = build_model(ModelSettings.from_mapping(plain), len(facts["labels"]), 0, load_weights=False)
    path = run_dir / "model.safetensors"
    try:
        model.network.load_state_dict(load_file(path))
    except FileNotFoundError as error:
        raise CocomineError(f"{path}: no such file", "train the run first") from error
    except (SafetensorError, RuntimeError) as error:
        raise CocomineError(
            f"{path} does not fit the model of training.json: {str(error).splitlines()[0]}", "train the run again"
        ) from error
    network = model.network.to(machine.device)
    if machine.channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.eval()
    scale = facts["normalisation"]
    normalisation = Normalisation(tuple(scale["mean"]), tuple(scale["std"]))
    return Trained(network, facts, machine, normalisation, sha256_of_file(path))


def label_map(trained: Labels, evaluated: Labels) -> list[int]:
    """Return, for each label of the model, the label of the evaluated subset that has its category; 0 if none has.

    A model of more classes is so scored on the wanted ones: a pixel that it gives to another class is background.
    Raises CocomineError when no category is shared, when one id has two names, or one name two ids.
    """
    place = {category: label for label, category in enumerate(evaluated.category_ids) if category is not None}
    by_name = dict(zip(evaluated.names[1:], evaluated.category_ids[1:], strict=True))
    result = [0 if category is None else place.get(category, 0) for category in trained.category_ids]
    for label, target in enumerate(result):
        name, category = trained.names[label], trained.category_ids[label]
        if target and name != evaluated.names[target]:
            raise _numbered_otherwise(f"category {category} is {name!r}", f"{evaluated.names[target]!r}")
        if label and not target and name in by_name:
            raise _numbered_otherwise(f"{name!r} is category {category}", f"category {by_name[name]}")
    missing = [evaluated.names[label] for label in range(1, len(evaluated)) if label not in result]
    if len(missing) == len(evaluated) - 1:
        raise CocomineError(
            f"the model knows none of {', '.join(evaluated.names[1:9])}",
            f"evaluate it on a subset with any of: {', '.join(trained.names[1:9])}",
        )
    if missing:
        log.warning("the model was never taught %s: its IoU there is 0", ", ".join(missing[:8]))
    return result


def _numbered_otherwise(here: str, there: str) -> CocomineError:
    return CocomineError(
        f"{here} where the model was trained and {there} where it is evaluated",
        "the two subsets number their classes differently: evaluate on a subset of the same numbering, or say what "
        "both want by `classes`, and give the one the labels of the other by labels_from",
    )


def predict(trained: Trained, job: Job, rows: Rows) -> Predicted:
    """Predict `rows` of the tensors and measure them at training size and, if there are full masks, at full size.

    At full size the probabilities are enlarged bilinearly before the highest is taken. A model of more classes decides
    among all of its own before they are mapped: see `measure_mapped`.
    """
    mapping = label_map(labels_of(trained.facts["labels"]), job.labels)
    merge = None
    if mapping != list(range(len(job.labels))):
        merge = torch.tensor(mapping, device=trained.machine.device)
    feeder = Feeder(job.tensors, rows, trained.normalisation, trained.machine.device)
    small, full, added, scored = [], [], [], []
    masks = np.empty((len(rows), *job.tensors.size), np.uint8)
    wants_full = job.settings.full_resolution and job.masks_dir is not None
    with Progress("evaluate", len(rows), "image") as progress:
        for start in range(0, len(rows), job.settings.batch):
            stop = min(start + job.settings.batch, len(rows))
            images, truth = feeder.plain(np.arange(start, stop))
            found = probabilities_of(trained.network, images, trained.machine)
            sums, labels = measure_mapped(found, truth, merge, len(job.labels))
            small.append(sums)
            mapped = found if merge is None else merged(found, merge, len(job.labels))
            scored.append(calibration.of_pixels(mapped, labels, truth, VOID))
            if merge is not None:
                added.append(metrics.measure(mapped, truth)[0])
            masks[start:stop] = labels.cpu().numpy()
            if wants_full and job.masks_dir is not None:
                names = [job.tensors.file_names[row] for row in rows[start:stop]]
                full += measure_full_batch(
                    found, job.masks_dir, names, trained.machine.threads, len(job.labels), merge, job.tensors.within
                )
            progress.advance(stop - start)
        progress.count("measured", len(rows))
    return Predicted(
        metrics.joined(small),
        metrics.joined(full) if full else None,
        masks,
        calibration.joined(scored),
        metrics.joined(added) if added else None,
    )


def measure_mapped(
    probabilities: Tensor, masks: Tensor, mapping: Tensor | None, labels: int
) -> tuple[metrics.Sums, Tensor]:
    """Return the sums of a batch and its labels (b, h, w), both in the labels that `mapping` (n,) leads to.

    A pixel gets the model's own most probable label, which is mapped then: were the probabilities of unwanted classes
    added to the background's first, a model of many classes would lose pixels that it rightly gives to a wanted one.
    Soft figures and cross-entropy are those of the added probabilities, which are the right ones for a set of classes.
    """
    if mapping is None:
        return metrics.measure(probabilities, masks)
    own = mapping.to(torch.uint8)[metrics.highest(probabilities).long()]
    return metrics.measure(merged(probabilities, mapping, labels), masks, own)


def merged(probabilities: Tensor, mapping: Tensor, labels: int) -> Tensor:
    """Return probabilities (b, labels, h, w): those of the model's labels added up under the labels they map to."""
    result = torch.zeros((len(probabilities), labels, *probabilities.shape[2:]), device=probabilities.device)
    return result.index_add_(1, mapping, probabilities)


def measure_full(probabilities: Tensor, mask: Bytes, labels: int, mapping: Tensor | None = None) -> metrics.Sums:
    """Return the sums of one image at the size of its full mask: (1, n, h, w) enlarged to it."""
    enlarged = functional.interpolate(probabilities, size=mask.shape, mode="bilinear", align_corners=False)
    return measure_mapped(enlarged, torch.from_numpy(mask)[None].to(probabilities.device), mapping, labels)[0]


def measure_full_batch(
    probabilities: Tensor,
    folder: Path,
    file_names: Sequence[str],
    threads: int,
    labels: int,
    mapping: Tensor | None = None,
    within: Callable[[Tensor, int, int], Tensor] = lambda square, _height, _width: square,
) -> list[metrics.Sums]:
    """Return the sums of each image of a batch at the size of its full mask in `folder`.

    `within` takes from a square the part in which an image of that height and width lies (`TensorSet.within`).
    The operations on one image are too small to be shared between threads, which then wait for one another. So each
    image is computed by one thread, `threads` images at a time: quicker, and no figure depends on how many there are.
    """

    def one(i: int) -> metrics.Sums:
        mask = full_mask(folder, file_names[i], labels)
        return measure_full(within(probabilities[i : i + 1], *mask.shape), mask, labels, mapping)

    before = torch.get_num_threads()
    # For this thread, and for those that start from here on: torch's number is one of each thread.
    torch.set_num_threads(1)
    try:
        if threads == 1 or probabilities.is_cuda:
            return [one(i) for i in range(len(file_names))]
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(one, range(len(file_names))))
    finally:
        torch.set_num_threads(before)


def full_mask(folder: Path, file_name: str, labels: int) -> Bytes:
    """Read an image's full-size semantic mask as (h, w) uint8.

    Raises CocomineError without it, or where it is no 8-bit mask of values below `labels` and void.
    """
    path = folder / "semantic" / mask_name(file_name)
    try:
        with opened(read_file(path)) as picture:
            mode, mask = picture.mode, np.array(picture)
    except (ImageError, OSError, SyntaxError, ValueError) as error:
        raise CocomineError(
            f"{path}: no readable mask: {error}", "run rasterize_masks again, or set evaluation.full_resolution: false"
        ) from error
    if mode not in ("L", "P") or mask.ndim != 2 or mask.dtype != np.uint8:
        raise CocomineError(f"{path} has mode {mode}, and a mask has 8 bits a pixel", "run rasterize_masks again")
    if ((mask >= labels) & (mask != VOID)).any():
        wrong = np.unique(mask[(mask >= labels) & (mask != VOID)])
        raise CocomineError(
            f"{path} holds the values {wrong.tolist()[:8]}, but there are only {labels} labels",
            "masks and labels.json come from different builds; run rasterize_masks again",
        )
    return mask


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
    job: Job, rows: Rows, predicted: Predicted, attributes: Sequence[slices.Attribute], boundary: metrics.Floats
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


def _write_pictures(job: Job, rows: Rows, predicted: Predicted, errors: metrics.Floats) -> None:
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
