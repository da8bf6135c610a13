"""Training: from tensors and settings to weights, the same bits whether or not it was interrupted on the way.

Everything random is a function of (seed, iteration): the batch (`data.batch_of`), its augmentation and dropout. So a
checkpoint holds weights, optimiser and history only, and a resumed run cannot differ from one that was never stopped.
"""

import contextlib
import csv
import io
import logging
import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from cocomine.base.errors import CocomineError
from cocomine.base.files import rank, write_bytes, write_json, write_table, write_text
from cocomine.base.progress import Progress
from cocomine.coco.labels import Labels
from cocomine.learning import checkpoint, hardware, launch, metrics, processes
from cocomine.learning.curves import draw_curves
from cocomine.learning.data import Rows, TensorSet, digest_of, pixel_counts, sampled_rows, training_rows
from cocomine.learning.losses import Loss, class_weights
from cocomine.learning.models.base import Segmenter
from cocomine.learning.models.registry import Model, build_model
from cocomine.learning.settings import RunSettings, TrainSettings
from cocomine.learning.steps import (
    Average,
    Feeder,
    State,
    learning_rate,
    make_optimiser,
    training_step,
    validate,
)

if TYPE_CHECKING:
    from cocomine.learning.events import EventLog

log = logging.getLogger("cocomine")

HISTORY = ("iteration", "learning_rate", "train_loss", "val_cross_entropy", "val_iou", "val_iou_with_background",
           "val_eq2_as_printed", "val_pixel_accuracy")  # fmt: skip


@dataclass(frozen=True)
class Job:
    """What train_model was asked to do."""

    settings: RunSettings
    tensors: TensorSet
    labels: Labels
    out_dir: Path
    checkpoint_dir: Path
    held_out: frozenset[int] = frozenset()
    tensorboard: Path | None = None
    code: str = ""  # digest of the code that trains
    tested: frozenset[int] = frozenset()  # images of test splits, which may choose no weights


def train(job: Job) -> dict[str, Any]:
    """Train and write the run's five files (see train_model); return what training.json holds.

    In each of the processes that a run is spread over; the first of them writes. Goes on from the checkpoint of this
    very run if there is one, and removes it when all outputs stand. Raises CocomineError for input that cannot be
    learnt from, for a loss that is not finite, a full disk, and SIGTERM.
    """
    settings = job.settings
    machine = hardware.resolve(settings.train)
    hardware.apply(machine)
    if machine.device == "cuda" and settings.train.processes > (there := torch.cuda.device_count()):
        raise CocomineError(
            f"train.processes is {settings.train.processes}, and this job sees {there} GPU(s)",
            "ask for as many processes as there are GPUs, or for more GPUs",
        )
    with processes.joined(settings.train.processes, machine.device):
        return _train(job, machine)


def _train(job: Job, machine: hardware.Hardware) -> dict[str, Any]:
    settings = job.settings
    rows = training_rows(job.tensors, job.held_out, settings.train.images, f"train:{settings.seed}")
    counts = pixel_counts(job.tensors, rows, job.labels)
    _check_classes(job, counts)
    validated = _validation_rows(job)
    model = build_model(settings.model, len(job.labels), settings.seed)
    _check_size(model.network, job.tensors, settings.train)
    facts = _facts(job, machine, model, rows, counts, validated)
    data = digest_of(job.tensors, np.concatenate([rows, validated]))
    # How often the state is saved does not change what is trained.
    keyed = {
        **facts,
        "settings": {**facts["settings"], "train": {**facts["settings"]["train"], "checkpoint_seconds": 0}},
    }
    key = checkpoint.key_of(keyed, job.code, data)
    network = model.network.to(machine.device)
    if machine.channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    processes.normalise_together(network)
    run = _Run(job, facts, machine, model, network, _store(job, key))
    run.feeder = Feeder(job.tensors, rows, model.encoder.normalisation, machine.device)
    run.validation = Feeder(job.tensors, validated, model.encoder.normalisation, machine.device)
    weights = class_weights(settings.train.class_weights, counts, job.labels.names)
    run.loss = Loss(weights, settings.train.dice_weight, machine.device)
    run.loop()
    return facts if launch.rank() else run.finish(rows)


def _store(job: Job, key: str) -> checkpoint.Store:
    train = job.settings.train
    return checkpoint.Store(job.checkpoint_dir, key, train.checkpoint_copy, train.checkpoint_copy_seconds)


def _check_classes(job: Job, counts: Rows) -> None:
    absent = [name for name, count in zip(job.labels.names, counts, strict=True) if not count and name != "background"]
    if not counts[1:].any():
        raise CocomineError(
            f"{job.tensors.path}: no image to train on shows any of {', '.join(job.labels.names[1:9])}",
            "widen the query, or lower masks' smallest size: objects may vanish at the training size (masks.tsv)",
        )
    if absent:
        log.warning(
            "no training pixel of %s: it cannot be learnt. Add images of it or take it out of the categories",
            ", ".join(absent[:8]) + (f" and {len(absent) - 8} more" if len(absent) > 8 else ""),
        )


def _validation_rows(job: Job) -> Rows:
    """Return the rows to validate on while training. Raises CocomineError when there are none."""
    rows = sampled_rows(job.tensors, "val", job.tested, job.settings.train.validate_images, "validate")
    if not len(rows):
        raise CocomineError(
            f"{job.tensors.path}: no validation image",
            "training is watched on the split val: give it a share in split.shares, or add images",
        )
    counted = pixel_counts(job.tensors, job.tensors.rows_of("val"), job.labels)
    absent = [name for name, count in zip(job.labels.names, counted, strict=True) if not count]
    if absent:
        log.warning(
            "no validation pixel of %s: its IoU is null and left out of means. Raise the validation share, or add "
            "images",
            ", ".join(absent[:8]) + (f" and {len(absent) - 8} more" if len(absent) > 8 else ""),
        )
    return rows


def _check_size(network: Segmenter, tensors: TensorSet, train: TrainSettings) -> None:
    """Raise CocomineError for images or crops that the network cannot halve, or a batch too small to be normalised."""
    crop = train.augment.crop
    if crop is not None and (crop % network.stride or crop > min(tensors.size)):
        raise CocomineError(
            f"train.augment.crop is {crop}, and the tensors of {tensors.path} are {tensors.size[1]} pixels wide",
            f"set it to a multiple of {network.stride} that is no larger, or tensors.size to a larger one",
        )
    if any(side % network.stride for side in tensors.size):
        raise CocomineError(
            f"{tensors.path}: images are {tensors.size[1]} × {tensors.size[0]}, and this model needs sides that are "
            f"multiples of {network.stride}",
            f"set tensors.size to a multiple of {network.stride}, such as 128",
        )
    if train.batch == 1 and network.stride in (crop, tensors.size[0]):
        raise CocomineError(
            f"train.batch is 1, and an image of {network.stride} × {network.stride} is a single place at the encoder's "
            "end: batch normalisation has no variance of one value",
            f"set train.batch to 2 or more, or tensors.size to {2 * network.stride} or more",
        )


def _facts(
    job: Job, machine: hardware.Hardware, model: Model, rows: Rows, counts: Rows, validated: Rows
) -> dict[str, Any]:
    settings = job.settings.as_mapping()
    del settings["evaluation"]  # says nothing of what is trained
    settings["model"].pop("weights_folder")  # a place on this machine; the weights are known by their hash
    for key in TrainSettings.PLACES:
        del settings["train"][key]
    if model.encoder.sha256 is not None and settings["model"]["weights"] not in ("none", "imagenet"):
        settings["model"]["weights"] = Path(settings["model"]["weights"]).name
    spread = job.settings.train.processes
    return {
        "settings": settings,
        "resolved": asdict(machine),
        **({"reproducibility": processes.REPRODUCIBILITY.format(spread)} if spread > 1 else {}),
        "encoder_weights": {"source": model.encoder.source, "sha256": model.encoder.sha256},
        "normalisation": {"mean": list(model.encoder.normalisation.mean), "std": list(model.encoder.normalisation.std)},
        "parameters": {"all": model.parameters, "trained": model.trainable},
        "size": list(job.tensors.size),
        "labels": job.labels.rows(),
        "images": {"train": len(rows), "validated": len(validated), "held_out": len(job.held_out)},
        "train_pixels": dict(zip(job.labels.names, counts.tolist(), strict=True)),
        "class_weights": class_weights(job.settings.train.class_weights, counts, job.labels.names),
    }


class _Run:
    """The loop and what it holds."""

    feeder: Feeder
    validation: Feeder
    loss: Loss

    def __init__(
        self,
        job: Job,
        facts: dict[str, Any],
        machine: hardware.Hardware,
        model: Model,
        network: Segmenter,
        store: checkpoint.Store,
    ) -> None:
        self.job, self.facts, self.machine, self.model, self.network = job, facts, machine, model, network
        self.settings = job.settings.train
        self.optimiser = make_optimiser(network, self.settings)
        self.averaged = None if self.settings.average is None else Average(network, self.settings.average)
        self.store = store
        self.state = State()
        self.stopping = False

    def loop(self) -> None:
        self._resume()
        state, settings, seed = self.state, self.settings, self.job.settings.seed
        self.network.train()
        writer = self._event_log()
        loss_sum = torch.tensor(state.loss_sum, dtype=torch.float64, device=self.machine.device)
        last_save = time.monotonic()
        with (
            contextlib.closing(writer) if writer is not None else contextlib.nullcontext(),
            Progress(f"train {self.job.settings.run}", settings.iterations, "iteration") as progress,
            self._heeding(),
        ):
            progress.advance(state.step)
            progress.count("resumed at", state.step)
            note = ""
            while state.step < settings.iterations and not self._early():
                for group in self.optimiser.param_groups:
                    group["lr"] = learning_rate(settings, state.step)
                torch.manual_seed(rank(f"dropout:{seed + launch.rank()}", state.step) >> 1)
                batch = self.feeder.training(settings, seed, state.step)
                loss_sum += training_step(
                    self.network, self.optimiser, batch, self.loss, self.machine, settings.gradient_clip
                ).double()
                if self.averaged is not None:
                    self.averaged.take(self.network, state.step)
                state.step += 1
                state.loss_count += 1
                last = state.step == settings.iterations
                if state.step % settings.log_every == 0 or state.step % settings.validate_every == 0 or last:
                    note = self._log(loss_sum, writer, last)
                self.stopping = processes.any_of(self.stopping, self.machine.device)
                if self.stopping or time.monotonic() - last_save >= settings.checkpoint_seconds:
                    self._save(loss_sum)
                    last_save = time.monotonic()
                progress.advance(1, note)
                if self.stopping:
                    raise CocomineError(
                        f"{self.job.settings.run}: stopped by a signal at iteration {state.step}; its state is saved",
                        "run the same command again to go on from there",
                    )
            self._save(loss_sum)
            progress.count("trained", state.step)

    @property
    def kept(self) -> Segmenter:
        """The network that is validated and written: the average of the weights if there is one."""
        return self.network if self.averaged is None else self.averaged.network

    def _early(self) -> bool:
        return self.settings.early_stop is not None and self.state.without_gain >= self.settings.early_stop

    def _log(self, loss_sum: Tensor, writer: "EventLog | None", last: bool) -> str:
        """Add a row to the history, validating when it is time, and say the last figures in a few words."""
        state, settings = self.state, self.settings
        value = float(loss_sum) / max(state.loss_count, 1)
        self._check_finite(value)
        loss_sum.zero_()
        state.loss_count = 0
        row: list[float | None] = [state.step, learning_rate(settings, state.step - 1), value] + [None] * 5
        note = f"loss {value:.3f}"
        if state.step % settings.validate_every == 0 or last:
            sums = validate(self.kept, self.validation, self.machine, settings.batch)
            figures = metrics.summary(sums, self.job.labels.names)
            row[3:] = [
                figures["cross_entropy"],
                figures["iou"]["mean_foreground"],
                figures["iou"]["mean_with_background"],
                figures["eq2_as_printed"],
                figures["pixel_accuracy"],
            ]
            found = row[4] or 0.0
            note += f", IoU {found:.3f}"
            log.info("iteration %d: %s", state.step, note)
            if found > state.best_iou:
                state.best_iou, state.best_step, state.without_gain = found, state.step, 0
                if settings.keep == "best":
                    state.best = {key: t.detach().cpu().clone() for key, t in self.kept.state_dict().items()}
            else:
                state.without_gain += 1
        state.history.append(row)
        if writer is not None and self.job.tensorboard is not None:
            cells = zip(HISTORY[1:], row[1:], strict=True)
            with self._saying_when_full(self.job.tensorboard):
                writer.write(state.step, {name: cell for name, cell in cells if cell is not None})
        return note

    def _event_log(self) -> "EventLog | None":
        if self.job.tensorboard is None or launch.rank():
            return None
        from cocomine.learning.events import EventLog

        with self._saying_when_full(self.job.tensorboard):
            return EventLog(self.job.tensorboard, self.state.step)

    def _saying_when_full(self, path: Path) -> checkpoint.saying_when_full:
        return checkpoint.saying_when_full(path, self.store.path)

    def _check_finite(self, value: float) -> None:
        if math.isfinite(value) and all(bool(torch.isfinite(p).all()) for p in self.network.parameters()):
            return
        kept = f"the state before is kept in {self.store.path}" if self.store.path.exists() else "nothing was saved yet"
        raise CocomineError(
            f"{self.job.settings.run}: the loss is no longer a finite number at iteration {self.state.step} "
            f"(learning rate {learning_rate(self.settings, self.state.step - 1):g}); {kept}",
            "lower train.learning_rate, add train.warmup or train.gradient_clip: 1.0, or set train.precision: fp32",
        )

    def _save(self, loss_sum: Tensor) -> None:
        state = self.state
        self._check_finite(float(loss_sum) / max(state.loss_count, 1))
        if launch.rank():
            return
        self.store.save(
            {
                "state": {**asdict_shallow(state), "loss_sum": float(loss_sum)},
                "network": self.network.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                **({} if self.averaged is None else {"averaged": self.averaged.network.state_dict()}),
            },
            self.stopping,
        )
        self._write_history()

    def _write_history(self) -> None:
        path = self.job.out_dir / "history.csv"
        with self._saying_when_full(path):
            write_text(path, history_csv(self.state.history))

    def _resume(self) -> None:
        if not launch.rank():
            self.store.fetch()
        processes.any_of(False, self.machine.device)  # the others read what the first has fetched
        saved = self.store.load()
        if saved is None:
            return
        self.network.load_state_dict(saved["network"])
        self.optimiser.load_state_dict(saved["optimiser"])
        if self.averaged is not None:
            self.averaged.network.load_state_dict(saved["averaged"])
        self.state = State(**saved["state"])
        log.info("going on from the checkpoint of iteration %d", self.state.step)

    @contextmanager
    def _heeding(self) -> Iterator[None]:
        """Let SIGTERM (a cluster's preemption, Snakemake's own stop) end the loop after this iteration, saved."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(_number: int, _frame: object) -> None:
            self.stopping = True

        before = signal.signal(signal.SIGTERM, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def finish(self, rows: Rows) -> dict[str, Any]:
        """Write the outputs, then let the checkpoint go."""
        state, out = self.state, self.job.out_dir
        use_best = self.settings.keep == "best" and state.best is not None
        weights = state.best if use_best and state.best is not None else self.kept.state_dict()
        content = save({key: value.detach().cpu().contiguous() for key, value in sorted(weights.items())})
        with checkpoint.saying_when_full(out / "model.safetensors", self.store.path, len(content)):
            write_bytes(out / "model.safetensors", content)
        self._write_history()
        tensors = self.job.tensors
        with self._saying_when_full(out / "train_images.tsv"):
            write_table(
                out / "train_images.tsv",
                ("image_id", "file_name"),
                ((int(tensors.image_ids[row]), tensors.file_names[row]) for row in rows),
            )
        with self._saying_when_full(out / "curves.png"):
            draw_curves(out / "history.csv", out / "curves.png", self.job.settings.run)
        facts = {
            **self.facts,
            "iterations": state.step,
            "stopped_early": state.step < self.settings.iterations,
            "weights_of_iteration": state.best_step if use_best else state.step,
            "best_validation_iou": state.best_iou,
            "best_iteration": state.best_step,
        }
        with self._saying_when_full(out / "training.json"):
            write_json(out / "training.json", facts)
        self.store.remove()
        return facts


def asdict_shallow(state: State) -> dict[str, Any]:
    """Return the fields of a state without copying its tensors."""
    return dict(vars(state))


def history_csv(history: list[list[float | None]]) -> str:
    """Return history.csv: comma-separated, floats by repr, empty where nothing was measured."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(HISTORY)
    for row in history:
        table.writerow([int(row[0] or 0), *("" if cell is None else repr(float(cell)) for cell in row[1:])])
    return out.getvalue()
