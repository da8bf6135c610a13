"""What training's loader costs beside the bare model, and what evaluation costs beside the forward pass.

    ./run python tests/benchmarks/bench_learning.py [--full] [--device cpu|cuda]

Training: iterations from packed tensors (read, augment, normalise, step) against the same model stepping on one random
batch, in turn A B A B …; `ratio_vs_bare` is images/s of ours over bare, the median of the pairs. On a GPU nvidia-smi
says how busy it was meanwhile. Reading ahead: how long a step waits for its batch with and without, where a step is a
sleep of a device's time and the device PyTorch's `meta`, on which nothing takes any time. Evaluation at training size:
everything that evaluate_model does of its own (reading, measuring, mapping of classes, baselines, bootstrap, slices,
writing) as a share of the forward pass alone; at full resolution against torchmetrics. The last line is one JSON. Needs
a quiet machine: two compute threads wait for each other when something else runs.
"""

import argparse
import dataclasses
import json
import logging
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from safetensors.torch import save_file
from torchmetrics.classification import MulticlassJaccardIndex

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from cocomine.base.files import write_table  # noqa: E402
from cocomine.coco.labels import Labels  # noqa: E402
from cocomine.evaluation import evaluation, predicting  # noqa: E402
from cocomine.learning import data, hardware, metrics, steps  # noqa: E402
from cocomine.learning.losses import Loss  # noqa: E402
from cocomine.learning.models import encoders, registry  # noqa: E402
from cocomine.learning.settings import EvaluationSettings, RunSettings  # noqa: E402

SIZE, BATCH, CLASSES, FULL_IMAGES = 128, 32, 9, 16
STEP_S, READ_SIZE, READ_STEPS = 0.05, 512, 40
"""What a device needs for a step, and the size and number of the batches that are read for it."""


def write_tensors(folder: Path, images: int, size: int = SIZE) -> Path:
    """Random photographs and masks of 9 labels, as pack_tensors would write them."""
    generator = np.random.default_rng(0)
    folder.mkdir()
    np.save(folder / "images.npy", generator.integers(0, 256, (images, size, size, 3), dtype=np.uint8))
    np.save(folder / "masks.npy", generator.integers(0, CLASSES, (images, size, size), dtype=np.uint8))
    rows = "".join(f"{i}\t{i}\t{i:012d}.jpg\ttrain\t0\n" for i in range(images))
    (folder / "index.tsv").write_text("row\timage_id\tfile_name\tsplit\tfold\n" + rows)
    return folder


class Trainer:
    """One recipe, stepped by ours or by the bare loop."""

    def __init__(self, folder: Path, name: str, model: dict, train: dict) -> None:
        self.name = name
        self.settings = RunSettings.from_mapping({"model": model, "train": train | {"batch": BATCH}})
        self.machine = hardware.resolve(self.settings.train)
        hardware.apply(self.machine)
        built = registry.build_model(self.settings.model, CLASSES, 0)
        self.network = built.network.to(self.machine.device).to(memory_format=torch.channels_last).train()
        self.optimiser = steps.make_optimiser(self.network, self.settings.train)
        self.loss = Loss(None, 0.0, self.machine.device)
        tensors = data.read_tensors(folder)
        self.feeder_normalisation = built.encoder.normalisation
        self.feeder = steps.Feeder(tensors, tensors.rows_of("train"), built.encoder.normalisation, self.machine.device)
        images = torch.randn(BATCH, 3, SIZE, SIZE).to(self.machine.device, memory_format=torch.channels_last)
        self.random = images, torch.randint(0, CLASSES, (BATCH, SIZE, SIZE)).to(self.machine.device)
        self.step = 0

    def run(self, count: int, ours: bool) -> float:
        """Return images/s over `count` iterations."""
        started = time.perf_counter()
        for _ in range(count):
            if ours:
                torch.manual_seed(self.step)
                batch = self.feeder.training(self.settings.train, 0, self.step)
            else:
                batch = self.random
            value = steps.training_step(self.network, self.optimiser, batch, self.loss, self.machine, None)
            self.step += 1
        assert torch.isfinite(value)
        synchronise(self.machine.device)
        return count * BATCH / (time.perf_counter() - started)


def compare_training(trainer: Trainer, pairs: int, steps: int) -> dict:
    """A B A B …; the ratio is that of each pair, so that a busy machine hurts both."""
    trainer.run(1, True), trainer.run(1, False)
    before = trainer.step
    runs = [(trainer.run(steps, True), trainer.run(steps, False)) for _ in range(pairs)]
    assert trainer.step - before == 2 * pairs * steps  # both did the same number of iterations
    ratios = [ours / bare for ours, bare in runs]
    return {
        "ours": statistics.median(ours for ours, _ in runs),
        "bare": statistics.median(bare for _, bare in runs),
        "ratio": statistics.median(ratios),
        "spread": [min(ratios), max(ratios)],
    }


def compare_reading(folder: Path, count: int) -> dict:
    """The median wait of a step for its batch in ms, without and with reading ahead, step by step in turn."""
    tensors = data.read_tensors(folder)
    normalisation = registry.build_model(RunSettings().model, CLASSES, 0).encoder.normalisation
    rows = tensors.rows_of("train")
    feeders = [steps.Feeder(tensors, rows, normalisation, "meta", ahead) for ahead in (False, True)]
    waits: tuple[list[float], list[float]] = ([], [])
    for step in range(count):
        here, following = (data.batch_of(0, number, BATCH, len(rows)) for number in (step, step + 1))
        for feeder, waited in zip(feeders, waits, strict=True):
            started = time.perf_counter()
            feeder.raw(here, following)
            waited.append(time.perf_counter() - started)
            time.sleep(STEP_S)
    without, ahead = (1e3 * statistics.median(waited[1:]) for waited in waits)
    return {"without_ms": without, "ahead_ms": ahead}


def gpu_busy(trainer: Trainer, steps: int) -> float | None:
    """The GPU's mean utilisation in percent over `steps` iterations of ours, by nvidia-smi; None without a GPU."""
    if trainer.machine.device != "cuda" or shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        trainer.run(steps, True)
        watching.terminate()
        samples = [int(line) for line in watching.communicate()[0].split() if line.isdigit()]
    return statistics.mean(samples[len(samples) // 4 :]) if samples else None  # the first ones are of starting


def write_subset(folder: Path, tensors: data.TensorSet) -> Path:
    """What slices are made of: a subset's images.tsv and images.parquet."""
    generator = np.random.default_rng(1)
    folder.mkdir()
    count = len(tensors.image_ids)
    measured = {name: generator.random(count) for name in ("brightness", "contrast", "blur")}
    pq.write_table(pa.table({"image_id": tensors.image_ids} | measured), folder / "images.parquet")
    licences = generator.integers(1, 9, count).tolist()
    images = zip(tensors.image_ids, licences, strict=True)
    rows = ((int(image), "train2017", licence, 640, 480) for image, licence in images)
    write_table(folder / "images.tsv", ("image_id", "source_split", "license", "width", "height"), rows)
    return folder


def compare_small_evaluation(trainer: Trainer, folder: Path, pairs: int) -> dict:
    """All that evaluation does at training size, less the forward pass, as a share of the forward pass alone.

    The model knows one class more than it is scored on, so that mapping is in it.
    """
    tensors = data.read_tensors(folder)
    names = ("background", *(f"c{i}" for i in range(1, CLASSES)))
    known = Labels(names, (None, *range(1, CLASSES)), ((0, 0, 0),) * CLASSES)
    wanted = Labels(names[:-1], known.category_ids[:-1], known.colors[:-1])
    masks = np.where(tensors.masks == CLASSES - 1, 0, tensors.masks).astype(np.uint8)
    tensors = dataclasses.replace(tensors, masks=masks)
    settings = EvaluationSettings.from_mapping({"split": "all", "full_resolution": False, "pictures": 0})
    subset = write_subset(folder.parent / "subset", tensors)
    job = predicting.Job(settings, folder, tensors, wanted, subset, folder.parent / "out", None, "bench")
    trainer.network.eval()
    machine = trainer.machine
    trained = predicting.Trained(
        trainer.network, {"labels": known.rows()}, machine, trainer.feeder_normalisation, sha256=""
    )
    rows = tensors.rows_of("all")
    batches = len(rows) // BATCH
    logging.getLogger("cocomine").setLevel("ERROR")

    def forward() -> float:
        started = time.perf_counter()
        for _ in range(batches):
            steps.probabilities_of(trainer.network, trainer.random[0], machine)
        synchronise(machine.device)
        return time.perf_counter() - started

    def everything() -> float:
        started = time.perf_counter()
        predicted = predicting.predict(trained, job, rows)
        evaluation.write_evaluation(job, rows, predicted, {"seed": 0})
        return time.perf_counter() - started

    forward(), everything()
    runs = [(forward(), everything()) for _ in range(pairs)]
    return {
        "forward_s": statistics.median(bare for bare, _ in runs) / len(rows),
        "rest_s": statistics.median(whole - bare for bare, whole in runs) / len(rows),
        "share": statistics.median((whole - bare) / bare for bare, whole in runs),
    }


def synchronise(device: str) -> None:
    """Wait for the GPU, which computes behind the clock's back."""
    if device == "cuda":
        torch.cuda.synchronize()


def compare_full_evaluation(folder: Path, threads: int, pairs: int, device: str) -> dict:
    """A batch: reading the mask, enlarging, argmax and counting at 480 × 640, against torchmetrics on the same."""
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    small = torch.randn(FULL_IMAGES, CLASSES, SIZE, SIZE, generator=generator).softmax(1).to(device)
    masks = torch.randint(0, CLASSES, (FULL_IMAGES, 480 // 8, 640 // 8), generator=generator, dtype=torch.uint8)
    masks = masks.repeat_interleave(8, 1).repeat_interleave(8, 2)
    masks[:, :20] = 255
    (folder / "semantic").mkdir(parents=True)
    names = [f"{i}.jpg" for i in range(FULL_IMAGES)]
    for name, mask in zip(names, masks, strict=True):
        Image.fromarray(mask.numpy()).save(folder / "semantic" / name.replace("jpg", "png"))
    theirs = MulticlassJaccardIndex(CLASSES, average=None, ignore_index=255).to(device)
    runs = []
    for _ in range(pairs + 1):
        theirs.reset()
        started, used = time.perf_counter(), time.process_time()
        sums = metrics.joined(predicting.measure_full_batch(small, folder, names, threads, CLASSES))
        middle, between = time.perf_counter(), time.process_time()
        for i, name in enumerate(names):
            mask = predicting.full_mask(folder, name, CLASSES)
            large = torch.nn.functional.interpolate(small[i : i + 1], mask.shape, mode="bilinear", align_corners=False)
            theirs.update(large, torch.from_numpy(mask)[None].long().to(device))
        synchronise(device)
        seconds = (middle - started, time.perf_counter() - middle, between - used, time.process_time() - between)
        runs.append([value / FULL_IMAGES for value in seconds])
    inter, predicted, truth = (part.sum(0) for part in (sums.inter, sums.predicted, sums.truth))
    ours = metrics.iou(inter, predicted, truth)
    np.testing.assert_allclose(ours, theirs.compute().cpu().numpy(), atol=1e-6)  # both did the same work
    ratios = [run[1] / run[0] for run in runs[1:]]
    return {
        "ours_s": statistics.median(run[0] for run in runs[1:]),
        "torchmetrics_s": statistics.median(run[1] for run in runs[1:]),
        "ratio": statistics.median(ratios),
        "cpu_ratio": statistics.median(run[3] / run[2] for run in runs[1:]),
        "spread": [min(ratios), max(ratios)],
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="all recipes, more pairs (about ten minutes on two cores)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    options = parser.parse_args()
    on_gpu = options.device == "cuda" or (options.device == "auto" and torch.cuda.is_available())
    pairs, steps = (9 if options.full else 5, 100 if on_gpu else 6 if options.full else 4)
    with tempfile.TemporaryDirectory() as temporary:
        folder = write_tensors(Path(temporary) / "tensors", 256 if options.full else 96)
        # Speed does not depend on what the weights are; frozen stages need some.
        weights = Path(temporary) / "encoder.safetensors"
        backbone = encoders.ResNetBackbone(encoders.resnet_config("resnet50"))
        save_file({key: value.contiguous() for key, value in backbone.state_dict().items()}, weights)
        frozen = {"encoder": "resnet50", "weights": str(weights), "freeze": "stage3"}
        recipes = {"resnet50, frozen up to stage 3": (frozen, {"device": options.device, "augment": {"flip": True}})}
        if options.full:
            rest = {"device": options.device, "precision": "fp32"}
            moved = {"flip": True, "scale": 0.3, "shift": 0.1, "brightness": 0.2, "contrast": 0.2}
            recipes["resnet50, all trained, fp32"] = ({"encoder": "resnet50"}, rest)
            recipes["resnet18, all trained, every augmentation"] = ({}, {"device": options.device, "augment": moved})
        rows = {}
        for name, (model, train) in recipes.items():
            trainer = Trainer(folder, name, model, train)
            rows[name] = compare_training(trainer, pairs, steps) | {"precision": trainer.machine.precision}
            if name.startswith("resnet50, frozen"):
                busy = gpu_busy(trainer, 10 * steps)
                small = compare_small_evaluation(trainer, folder, pairs)
                machine = trainer.machine
        reading = compare_reading(write_tensors(Path(temporary) / "large", 4 * BATCH, READ_SIZE), READ_STEPS)
        full = compare_full_evaluation(Path(temporary) / "full", machine.threads, pairs, machine.device)
    device = torch.cuda.get_device_name() if machine.device == "cuda" else f"{platform.machine()} CPU"
    print(f"{device}, {machine.threads} threads, batch {BATCH} at {SIZE} × {SIZE}, {pairs} pairs of {steps} iterations")
    print(f"{'training, images/s':44} {'ours':>8} {'bare':>8} {'ratio':>7}  spread")
    for name, row in rows.items():
        low, high = row["spread"]
        label = f"{name}, {row['precision']}" if row["precision"] not in name else name
        print(f"{label:44} {row['ours']:8.1f} {row['bare']:8.1f} {row['ratio']:7.3f}  {low:.3f} to {high:.3f}")
    print(
        f"evaluation at {SIZE} × {SIZE}, an image: forward {small['forward_s'] * 1e3:.2f} ms, "
        f"all the rest {small['rest_s'] * 1e3:.2f} ms ({small['share']:.0%} of it)"
    )
    print(
        f"a step of {STEP_S * 1e3:.0f} ms waits for its batch at {READ_SIZE} × {READ_SIZE}: "
        f"{reading['without_ms']:.1f} ms, reading ahead {reading['ahead_ms']:.1f} ms"
    )
    if busy is not None:
        print(f"GPU busy while training: {busy:.0f} %")
    print(
        f"evaluation at 480 × 640, an image: ours {full['ours_s'] * 1e3:.1f} ms, torchmetrics "
        f"{full['torchmetrics_s'] * 1e3:.1f} ms ({full['ratio']:.1f} times; {full['cpu_ratio']:.1f} times in CPU time)"
    )
    peak = (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    ) / 1024
    first = next(iter(rows.values()))
    print(
        json.dumps(
            {
                "stage": "learning",
                "device": machine.device,
                "precision": machine.precision,
                "images": 2 * pairs * steps * BATCH,
                "size": SIZE,
                "images_per_second": round(first["ours"], 1),
                "images_per_second_bare": round(first["bare"], 1),
                "ratio_vs_bare": round(first["ratio"], 4),
                "gpu_busy_percent": None if busy is None else round(busy, 1),
                "wait_ms": round(reading["without_ms"], 2),
                "wait_ms_reading_ahead": round(reading["ahead_ms"], 2),
                "evaluation_share_of_forward": round(small["share"], 3),
                "full_resolution_ratio_vs_torchmetrics": round(full["ratio"], 2),
                "full_resolution_cpu_ratio_vs_torchmetrics": round(full["cpu_ratio"], 2),
                "peak_mb": round(peak),
            }
        )
    )


if __name__ == "__main__":
    main()
