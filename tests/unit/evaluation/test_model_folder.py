"""A model that leaves: others' loaders open it, it scores as the run does, and its card says what it is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from cocomine.base.errors import CocomineError
from cocomine.evaluation import model_folder, predicting
from cocomine.learning import data, training
from cocomine.learning.settings import RunSettings
from helpers.peers import peer
from helpers.shapes import write_shapes
from helpers.shared import ROOT
from helpers.small_network import shrink, shrink_mix_transformer
from PIL import Image
from safetensors import safe_open
from transformers import AutoImageProcessor, SegformerForSemanticSegmentation

TRAIN = {"iterations": 2, "batch": 4, "precision": "fp32", "threads": 1, "validate_every": 2, "validate_images": 2}


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    shrink(monkeypatch.setitem)
    shrink_mix_transformer(monkeypatch.setitem)


def trained(root: Path, **model: str) -> Path:
    tensors = write_shapes(root / "tensors", images=8, size=32)
    settings = RunSettings.from_mapping({"run": "try", "subset": "shapes", "model": model, "train": TRAIN})
    labels = data.read_trained_labels(tensors / "labels.json")
    training.train(training.Job(settings, data.read_tensors(tensors), labels, root / "try", root / "ck", code="c"))
    figures = {"iou": {"mean_foreground": 0.25}, "intervals": {"mean_foreground": [0.125, 0.5]}}
    metrics = {"subset": "shapes", "split": "val", "images": 3, "training_resolution": figures, "full_resolution": None}
    (root / "try/on-shapes").mkdir()
    (root / "try/on-shapes/metrics.json").write_text(json.dumps(metrics))
    return root / "try"


@pytest.mark.slow
def test_transformers_opens_the_folder_and_scores_as_the_run_does(tmp_path):
    run = trained(tmp_path, family="segformer", encoder="mit-b0")
    (tmp_path / "build.lock.json").write_text("{}")
    model_folder.export_model(model_folder.Job(run, tmp_path / "model", tmp_path / "build.lock.json"))
    theirs = SegformerForSemanticSegmentation.from_pretrained(tmp_path / "model").eval()
    ours = predicting.load_run(run)
    labels = [entry["name"] for entry in ours.facts["labels"]]
    assert theirs.config.id2label == dict(enumerate(labels))
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
    prepared = AutoImageProcessor.from_pretrained(tmp_path / "model")(images=picture, return_tensors="pt")
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
    mean, std = (torch.tensor(value)[None, :, None, None] for value in ours.facts["normalisation"].values())
    with torch.no_grad():
        expected = ours.network((pixels - mean) / std)
        small = theirs(**prepared).logits
    found = torch.nn.functional.interpolate(small, size=(32, 32), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    with safe_open(tmp_path / "model/model.safetensors", "pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["classes"]) == labels
    assert metadata["lock_sha256"] == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # of {}
    text = (tmp_path / "model/README.md").read_text()
    assert "| shapes, val, training resolution | 3 | 0.250 | 0.125 to 0.500 |" in text
    assert 'SegformerForSemanticSegmentation.from_pretrained("model")' in text


def test_a_linknet_is_written_under_our_own_names(tmp_path):
    run = trained(tmp_path)
    model_folder.export_model(model_folder.Job(run, tmp_path / "model", tmp_path / "none"))
    with safe_open(tmp_path / "model/model.safetensors", "pt") as file:
        assert set(file.keys()) == set(predicting.load_run(run).network.state_dict())
        assert file.metadata()["lock_sha256"] == ""
    assert json.loads((tmp_path / "model/config.json").read_text())["family"] == "linknet"
    assert "not at hand" in (tmp_path / "model/README.md").read_text()


def test_onnx_without_its_packages_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    network = predicting.load_run(trained(tmp_path)).network
    with pytest.raises(CocomineError, match="onnxruntime is not installed") as caught:
        model_folder.export_onnx(network, [32, 32], tmp_path / "m.onnx")
    assert "pip install" in caught.value.hint
    assert not (tmp_path / "m.onnx").exists()


BY_PEER = """
import sys
from pathlib import Path
from helpers.small_network import shrink, shrink_mix_transformer
shrink(), shrink_mix_transformer()
from cocomine.evaluation import model_folder, predicting
for folder in map(Path, sys.argv[1:]):
    print(model_folder.export_onnx(predicting.load_run(folder).network, [32, 32], folder / "model.onnx"))
"""


@pytest.mark.slow
def test_onnxruntime_scores_as_the_network_does(tmp_path):
    python = str(peer("onnx"))
    runs = [trained(tmp_path / "a"), trained(tmp_path / "b", family="segformer", encoder="mit-b0")]
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([packages, str(ROOT / "scripts"), str(ROOT / "tests")])}
    command = [python, "-c", BY_PEER, *map(str, runs)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(0 <= float(line) < 1e-4 for line in done.stdout.splitlines()[-2:])
    assert all((run / "model.onnx").stat().st_size > 10_000 for run in runs)
