"""A trained model on the images of a subset: loaded, its labels mapped to the subset's, its masks measured."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from cocomine.base.arrays import Bytes
from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json, sha256_of_file
from cocomine.base.progress import Progress
from cocomine.coco.labels import Labels, labels_of
from cocomine.coco.names import mask_name
from cocomine.coco.tasks import VOID
from cocomine.evaluation import calibration
from cocomine.images.opening import ImageError, opened, read_file
from cocomine.learning import hardware, metrics
from cocomine.learning.data import Rows, TensorSet
from cocomine.learning.models.base import Normalisation, Segmenter
from cocomine.learning.models.registry import build_model
from cocomine.learning.settings import EvaluationSettings, ModelSettings, TrainSettings
from cocomine.learning.steps import Feeder, probabilities_of

log = logging.getLogger("cocomine")


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
