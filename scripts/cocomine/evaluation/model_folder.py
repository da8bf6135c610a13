"""A trained model as a folder that others load: weights, configuration, a card, and ONNX where it is asked for."""

import json
import logging
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from transformers import PreTrainedModel

from cocomine.base.errors import CocomineError
from cocomine.base.files import atomic_path, read_json, sha256_of_file, write_bytes, write_json, write_text
from cocomine.evaluation.predicting import Trained, load_run
from cocomine.learning.models.base import Segmenter

log = logging.getLogger("cocomine")

TOLERANCE = 1e-3
"""Largest difference of scores between the network and its ONNX form that passes; float32 has some 1e-6 of each."""


@dataclass(frozen=True)
class Job:
    """What export_model was asked to do: which run, where to, the build's lock if it is there, and whether ONNX too."""

    run_dir: Path
    out_dir: Path
    lock: Path
    onnx: bool = False


def export_model(job: Job) -> None:
    """Write model.safetensors, config.json, preprocessor_config.json, README.md and, if asked for, model.onnx.

    A family of transformers is written as its `save_pretrained` does, so that `from_pretrained` opens the folder; the
    others under this project's own names. Raises CocomineError for a run that is not whole, and where ONNX is asked for
    and its packages are absent or its scores differ.
    """
    trained = load_run(job.run_dir)
    network = trained.network.to("cpu")
    facts = trained.facts
    labels = [entry["name"] for entry in facts["labels"]]
    library = _library_model(network)
    state = (library or network).state_dict()
    metadata = {
        "format": "pt",
        "classes": json.dumps(labels),
        "normalisation": json.dumps(facts["normalisation"]),
        "run": facts["settings"]["run"],
        "lock_sha256": sha256_of_file(job.lock) if job.lock.is_file() else "",
    }
    content = save({key: value.contiguous() for key, value in sorted(state.items())}, metadata)
    write_bytes(job.out_dir / "model.safetensors", content)
    named = {"id2label": dict(enumerate(labels)), "label2id": {name: label for label, name in enumerate(labels)}}
    if library is None:
        config = facts["settings"]["model"]
    else:
        config = library.config.to_dict() | {"architectures": [type(library).__name__]}
        config.pop("_name_or_path", None)
    write_json(job.out_dir / "config.json", config | named)
    write_json(job.out_dir / "preprocessor_config.json", _preprocessor(facts))
    if job.onnx:
        export_onnx(network, facts["size"], job.out_dir / "model.onnx")
    write_text(job.out_dir / "README.md", card(trained, job.run_dir, metadata["lock_sha256"], library))


def _library_model(network: Segmenter) -> PreTrainedModel | None:
    """Return the model of transformers that the network consists of, None where the family is our own."""
    library = getattr(network, "network", None)
    return library if isinstance(library, PreTrainedModel) else None


def _preprocessor(facts: dict[str, Any]) -> dict[str, Any]:
    height, width = facts["size"]
    return {
        "image_processor_type": "SegformerImageProcessor",
        "do_resize": True,
        "size": {"height": height, "width": width},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": facts["normalisation"]["mean"],
        "image_std": facts["normalisation"]["std"],
        "do_reduce_labels": False,
    }


def export_onnx(network: Segmenter, size: list[int], path: Path) -> float:
    """Write the network as ONNX, compare its scores with onnxruntime's and return the largest difference.

    The input is `images` (b, 3, h, w), normalised; the output `scores` (b, n, h, w). Raises CocomineError when packages
    are absent, or the scores differ by more than TOLERANCE.
    """
    try:
        # By name, since they are no packages of cocomine's own set, whose versions stand in every digest of code.
        onnxruntime = import_module("onnxruntime")
        import_module("onnxscript")  # what torch's exporter writes with
    except ImportError as error:
        raise CocomineError(
            f"ONNX is asked for and {error.name} is not installed",
            "install what it needs beside cocomine: .venv/bin/pip install onnx onnxscript onnxruntime",
        ) from error
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), atomic_path(path) as temporary:
        expected = network(images)
        program = torch.onnx.export(
            network,
            (images,),
            input_names=["images"],
            output_names=["scores"],
            dynamic_shapes={"images": {0: "batch"}},
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        program.save(str(temporary))
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {"images": images.numpy()})
        difference = float((torch.from_numpy(found) - expected).abs().max())
        log.info("ONNX: scores of two random images differ by %.2g at most", difference)
        if not difference <= TOLERANCE:
            raise CocomineError(
                f"the scores of {path.name} differ from the network's by up to {difference:.2g}",
                "use model.safetensors; this family is not exported faithfully by the installed version of torch",
            )
    return difference


def card(trained: Trained, run_dir: Path, lock: str, library: PreTrainedModel | None) -> str:
    """Return the model card: what it is, what it was trained on, its figures with intervals, how to load it."""
    facts = trained.facts
    settings, names = facts["settings"], [entry["name"] for entry in facts["labels"]]
    start = facts["encoder_weights"]["source"]
    rows = [row for folder in sorted(run_dir.glob("on-*")) for row in _scores(folder)]
    lines = [
        f"# {settings['run']}",
        "",
        f"Semantic segmentation of {len(names) - 1} classes by {settings['model']['family']} over "
        f"{settings['model']['encoder']}; the encoder started from "
        f"{'random weights' if start == 'none' else start}. Trained by cocomine on the subset `{settings['subset']}`: "
        f"{facts['images']['train']} images at {facts['size'][1]} × {facts['size'][0]} pixels, {facts['iterations']} "
        f"iterations of batch {settings['train']['batch']}, seed {settings['seed']}.",
        "",
        "## Classes",
        "",
        ", ".join(f"{label} {name}" for label, name in enumerate(names)),
        "",
        "## Figures",
        "",
        *(["Not evaluated."] if not rows else [
            "| evaluated on | images | mean IoU without background | interval |", "|---|---|---|---|", *rows,
        ]),
        "",
        "IoU over pixel sums, void left out. They hold for images drawn as those of the subset were, and for no "
        "others.",
        "",
        "## Data and licences",
        "",
        f"The images of `{settings['subset']}` have licences of their own: ATTRIBUTION.md of the subset's report and "
        "exports names them. Everything that the build read and wrote is in its build.lock.json"
        + (f", SHA-256 {lock}." if lock else ", which was not at hand."),
        "",
        "## Load it",
        "",
        "```python",
        *_loading(library),
        "```",
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def _scores(folder: Path) -> list[str]:
    found = read_json(folder / "metrics.json")
    result = []
    for key in ("training_resolution", "full_resolution"):
        if found[key] is None:
            continue
        interval = found[key]["intervals"]["mean_foreground"] if found[key]["intervals"] else None
        value = found[key]["iou"]["mean_foreground"]
        said = "–" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
        result.append(
            f"| {found['subset']}, {found['split']}, {key.replace('_', ' ')} | {found['images']} | "
            f"{'–' if value is None else f'{value:.3f}'} | {said} |"
        )
    return result


def _loading(library: PreTrainedModel | None) -> list[str]:
    if library is None:
        return [
            "from pathlib import Path",
            "from cocomine.evaluation.predicting import load_run",
            "",
            'trained = load_run(Path("results/experiments/RUN"))  # the run\'s own folder, with training.json',
            "scores = trained.network(images)  # (b, 3, h, w), normalised as preprocessor_config.json says",
        ]
    name = type(library).__name__
    return [
        f"from transformers import AutoImageProcessor, {name}",
        "",
        'processor = AutoImageProcessor.from_pretrained("model")',
        f'model = {name}.from_pretrained("model").eval()',
        'outputs = model(**processor(images=image, return_tensors="pt"))',
        "mask = processor.post_process_semantic_segmentation(outputs, [image.size[::-1]])[0]",
    ]
