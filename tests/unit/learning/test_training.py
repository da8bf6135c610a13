"""Training: the same weights each time, no foreign checkpoint, and a clear message when it cannot go on."""

import errno
import hashlib
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cocomine.base.errors import CocomineError
from cocomine.learning import checkpoint, data, training
from cocomine.learning.settings import RunSettings
from helpers.shapes import write_shapes
from helpers.small_network import shrink

SMALL = {"iterations": 6, "batch": 4, "threads": 1, "precision": "fp32", "device": "cpu", "log_every": 2,
         "validate_every": 3, "validate_images": 4, "learning_rate": 0.01}  # fmt: skip


@pytest.fixture(autouse=True)
def small_network(monkeypatch):
    shrink(monkeypatch.setitem)


@pytest.fixture
def shapes(tmp_path):
    return write_shapes(tmp_path / "tensors", images=12, size=32)


def job(shapes, out, code="c", model=None, seed=0, **train):
    settings = RunSettings.from_mapping({"seed": seed, "model": model or {}, "train": SMALL | train})
    labels = data.read_labels(shapes / "labels.json")
    return training.Job(settings, data.read_tensors(shapes), labels, out / "out", out / "checkpoints", code=code)


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def all_files(folder):
    return {path.name: sha(path) for path in sorted(folder.iterdir())}


def test_same_settings_give_the_same_bytes_in_every_output(shapes, tmp_path):
    augment = {"scale": 0.3, "shift": 0.1, "brightness": 0.2, "contrast": 0.2}
    for name in ("a", "b"):
        training.train(job(shapes, tmp_path / name, augment=augment))
        torch.manual_seed(999)  # whatever torch's own generator was left at
    assert all_files(tmp_path / "a" / "out") == all_files(tmp_path / "b" / "out")
    assert set(all_files(tmp_path / "a" / "out")) == {
        "model.safetensors", "history.csv", "training.json", "train_images.tsv", "curves.png"}  # fmt: skip
    assert not list((tmp_path / "a" / "checkpoints").glob("*"))


def test_another_seed_gives_other_weights(shapes, tmp_path):
    for seed in (0, 1):
        training.train(job(shapes, tmp_path / str(seed), seed=seed, iterations=1))
    assert sha(tmp_path / "0/out/model.safetensors") != sha(tmp_path / "1/out/model.safetensors")


class StopError(Exception):
    pass


def stop_at(monkeypatch, step):
    """Make training die at the start of iteration `step`, as a killed process would: nothing is saved then."""
    original = training.Feeder.training

    def dying(self, settings, seed, at):
        if at == step:
            raise StopError
        return original(self, settings, seed, at)

    monkeypatch.setattr(training.Feeder, "training", dying)


@pytest.mark.parametrize(
    ("model", "train"),
    [
        ({}, {"optimiser": "sgd", "keep": "best", "augment": {"scale": 0.2}}),
        ({}, {"optimiser": "adamw", "schedule": "cosine", "warmup": 2, "gradient_clip": 1.0}),
        ({"family": "maskformer", "options": {"queries": 4, "decoder_layers": 1, "width": 32}}, {"optimiser": "adamw"}),
    ],
)
def test_resumed_run_ends_with_the_same_bytes(shapes, tmp_path, monkeypatch, model, train):
    training.train(job(shapes, tmp_path / "whole", model=model, **train))
    with monkeypatch.context() as patch:
        stop_at(patch, 4)
        with pytest.raises(StopError):
            training.train(job(shapes, tmp_path / "cut", model=model, checkpoint_seconds=0.0, **train))
    resumed = job(shapes, tmp_path / "cut", model=model, checkpoint_seconds=0.0, **train)
    training.train(resumed)
    whole, cut = all_files(tmp_path / "whole/out"), all_files(tmp_path / "cut/out")
    assert whole.pop("training.json") != cut.pop("training.json")  # checkpoint_seconds is recorded
    assert whole == cut


@pytest.mark.parametrize("change", [{"learning_rate": 0.02}, {"code": "other"}, {"pixel": True}])
def test_checkpoint_of_another_config_code_or_data_is_never_resumed(shapes, tmp_path, monkeypatch, change, caplog):
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(StopError):
            training.train(job(shapes, tmp_path, checkpoint_seconds=0.0))
    (old,) = (tmp_path / "checkpoints").glob("*.pt")
    if change.pop("pixel", None):
        images = np.load(shapes / "images.npy")
        images[5, 0, 0, 0] ^= 1
        np.save(shapes / "images.npy", images)
    seen = []
    original = training._Run._resume
    monkeypatch.setattr(training._Run, "_resume", lambda self: (original(self), seen.append(self.state.step))[0])
    training.train(job(shapes, tmp_path, checkpoint_seconds=0.0, **change))
    assert seen == [0]
    assert old.exists()


def test_checkpoints_are_read_without_unpickling_and_damage_is_said(tmp_path):
    store = checkpoint.Store(tmp_path, "k" * 64)
    assert store.load() is None
    store.save({"network": {"w": torch.ones(2)}, "state": {"step": 3}})
    assert store.load()["state"]["step"] == 3
    torch.save({"key": "other"}, store.path)
    with pytest.raises(CocomineError, match="belongs to another run"):
        store.load()
    torch.save({"key": store.key, "x": Path("/")}, store.path)
    with pytest.raises(CocomineError, match="cannot be read"):
        store.load()
    store.path.write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(CocomineError, match="cannot be read"):
        store.load()


def test_half_a_checkpoint_of_a_killed_process_is_swept_away_and_others_are_left(tmp_path):
    store = checkpoint.Store(tmp_path, "k" * 64)
    half, other = tmp_path / f".{store.path.name}.123-abcd.part", tmp_path / ".other.pt.123-abcd.part"
    half.write_bytes(b"PK")
    other.write_bytes(b"PK")
    assert store.load() is None
    assert list(tmp_path.iterdir()) == [other]


def test_full_disk_says_so_and_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    store = checkpoint.Store(tmp_path, "k" * 64)
    store.save({"state": {"step": 1}})

    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CocomineError, match=r"no space left.*last checkpoint is kept"):
        store.save({"state": {"step": 2}})
    assert store.load()["state"]["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == [store.path.name]


def test_loss_that_is_not_finite_stops_with_advice_and_keeps_the_state_before(shapes, tmp_path, monkeypatch):
    original = training.training_step
    calls = []

    def poisoned(*args):
        calls.append(1)
        return original(*args) * (float("nan") if len(calls) == 4 else 1.0)

    monkeypatch.setattr(training, "training_step", poisoned)
    with pytest.raises(CocomineError, match="no longer a finite number at iteration 4") as caught:
        training.train(job(shapes, tmp_path, checkpoint_seconds=0.0))
    assert "learning_rate" in caught.value.hint
    (kept,) = (tmp_path / "checkpoints").glob("*.pt")
    assert torch.load(kept, weights_only=True)["state"]["step"] == 3
    assert not (tmp_path / "out/model.safetensors").exists()


def test_diverging_run_stops_by_itself(shapes, tmp_path):
    with pytest.raises(CocomineError, match="finite"):
        training.train(job(shapes, tmp_path, learning_rate=1e30, iterations=20))


def test_sigterm_saves_and_stops_and_the_next_run_goes_on(shapes, tmp_path, monkeypatch):
    training.train(job(shapes, tmp_path / "whole"))
    original = training.Feeder.training

    def terminated(self, settings, seed, at):
        if at == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, settings, seed, at)

    with monkeypatch.context() as patch:
        patch.setattr(training.Feeder, "training", terminated)
        with pytest.raises(CocomineError, match="stopped by a signal at iteration 4"):
            training.train(job(shapes, tmp_path / "cut"))
    assert list((tmp_path / "cut/checkpoints").glob("*.pt"))
    training.train(job(shapes, tmp_path / "cut"))
    assert all_files(tmp_path / "whole/out") == all_files(tmp_path / "cut/out")


def test_early_stop_ends_before_the_last_iteration_and_says_so(shapes, tmp_path):
    facts = training.train(job(shapes, tmp_path, learning_rate=0.0, validate_every=1, early_stop=2, iterations=20))
    assert facts["stopped_early"]
    assert facts["iterations"] == 3


def test_a_checkpoint_is_resumed_though_the_evaluation_was_changed_meanwhile(shapes, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(StopError):
            training.train(job(shapes, tmp_path, checkpoint_seconds=0.0))
    seen = []
    original = training._Run._resume
    monkeypatch.setattr(training._Run, "_resume", lambda self: (original(self), seen.append(self.state.step))[0])
    changed = job(shapes, tmp_path, checkpoint_seconds=0.0)
    evaluation = replace(changed.settings.evaluation, bootstrap=7)
    facts = training.train(replace(changed, settings=replace(changed.settings, evaluation=evaluation)))
    assert seen == [3]
    assert "evaluation" not in facts["settings"]


def test_training_json_holds_every_default_and_what_auto_became(shapes, tmp_path):
    training.train(job(shapes, tmp_path, iterations=1, precision="auto"))
    facts = json.loads((tmp_path / "out/training.json").read_text())
    assert facts["resolved"]["precision"] in ("fp32", "bf16")
    assert facts["resolved"]["device"] == "cpu"
    assert facts["settings"]["train"]["momentum"] == 0.9
    assert facts["parameters"]["all"] == facts["parameters"]["trained"] > 1e4
    assert str(tmp_path) not in (tmp_path / "out/training.json").read_text()


def test_split_without_validation_or_without_any_class_is_refused(tmp_path):
    shapes = write_shapes(tmp_path / "t", images=6, size=32, val_share=0.0)
    with pytest.raises(CocomineError, match="no validation image"):
        training.train(job(shapes, tmp_path))
    masks = np.load(shapes / "masks.npy")
    np.save(shapes / "masks.npy", np.zeros_like(masks))
    with pytest.raises(CocomineError, match="no image to train on shows any of disc, box"):
        training.train(job(shapes, tmp_path))


def test_class_without_pixels_is_named_in_a_warning(shapes, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(training.log, "warning", lambda text, *args: said.append(text % args))
    masks = np.load(shapes / "masks.npy")
    masks[3:][masks[3:] == 2] = 0
    np.save(shapes / "masks.npy", masks)
    training.train(job(shapes, tmp_path, iterations=1))
    assert any("no training pixel of box" in text for text in said)


def test_size_that_the_model_cannot_halve_is_refused(tmp_path):
    shapes = write_shapes(tmp_path / "t", images=8, size=40)
    with pytest.raises(CocomineError, match="40 × 40"):
        training.train(job(shapes, tmp_path))


def test_gpu_that_is_asked_for_and_absent_is_an_error(shapes, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(CocomineError, match="no GPU") as caught:
        training.train(job(shapes, tmp_path, device="cuda"))
    assert "auto" in caught.value.hint


def test_learning_rate_warms_up_and_ends_near_nothing():
    settings = RunSettings.from_mapping(
        {"train": {"iterations": 100, "warmup": 10, "schedule": "cosine", "learning_rate": 1}}
    )
    rates = [training.learning_rate(settings.train, step) for step in range(100)]
    assert rates[0] == 0.1
    assert rates[9] == rates[10] == 1.0
    assert rates[99] < 0.001
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_bf16_is_taken_from_the_cpus_flags(tmp_path):
    from cocomine.learning.hardware import cpu_has_bf16

    file = tmp_path / "cpuinfo"
    file.write_text("flags\t\t: fpu avx512_bf16 sse\n")
    assert cpu_has_bf16(file)
    file.write_text("flags\t\t: fpu avx2\nmodel name: bf16 machine\n")
    assert not cpu_has_bf16(file)
    file.write_text("Features\t: fp asimd bf16\n")
    assert cpu_has_bf16(file)
