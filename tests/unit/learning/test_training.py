"""Training: the same weights each time, no foreign checkpoint, and a clear message when it cannot go on."""

import errno
import hashlib
import json
import os
import resource
import shutil
import signal
import struct
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from cocomine.base.errors import CocomineError
from cocomine.learning import checkpoint, data, events, steps, training
from cocomine.learning.models import encoders
from cocomine.learning.models.base import Normalisation
from cocomine.learning.settings import RunSettings
from helpers.shapes import write_shapes
from helpers.small_network import shrink, shrink_mix_transformer
from safetensors.torch import load_file, save_file
from tensorboardX.proto.event_pb2 import Event

SMALL = {"iterations": 6, "batch": 4, "threads": 1, "precision": "fp32", "device": "cpu", "log_every": 2,
         "validate_every": 3, "validate_images": 4, "learning_rate": 0.01}  # fmt: skip


@pytest.fixture(autouse=True)
def small_network(monkeypatch):
    shrink(monkeypatch.setitem)
    shrink_mix_transformer(monkeypatch.setitem)


@pytest.fixture
def shapes(tmp_path):
    return write_shapes(tmp_path / "tensors", images=12, size=32)


def job(shapes, out, code="c", model=None, seed=0, tensorboard=None, **train):
    settings = RunSettings.from_mapping({"seed": seed, "model": model or {}, "train": SMALL | train})
    labels = data.read_trained_labels(shapes / "labels.json")
    return training.Job(
        settings,
        data.read_tensors(shapes),
        labels,
        out / "out",
        out / "checkpoints",
        tensorboard=tensorboard,
        code=code,
    )


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def all_files(folder):
    return {path.name: sha(path) for path in sorted(folder.iterdir())}


@pytest.mark.parametrize(
    ("model", "train"),
    [
        ({}, {}),
        ({}, {"precision": "bf16", "threads": 2}),
        ({"weights": "encoder.safetensors", "freeze": "stage2"}, {"threads": 2}),
    ],
)
@pytest.mark.slow
def test_same_settings_give_the_same_bytes_in_every_output(shapes, tmp_path, monkeypatch, model, train):
    monkeypatch.chdir(tmp_path)
    write_encoder(tmp_path / "encoder.safetensors")
    augment = {"scale": 0.3, "shift": 0.1, "brightness": 0.2, "contrast": 0.2}
    for name in ("a", "b"):
        training.train(job(shapes, tmp_path / name, model=model, augment=augment, **train))
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
    original = steps.Feeder.training

    def dying(self, settings, seed, at):
        if at == step:
            raise StopError
        return original(self, settings, seed, at)

    monkeypatch.setattr(steps.Feeder, "training", dying)


def saved_at(monkeypatch, step):
    """Let training save its state after iteration `step` and at its end only."""
    original = training._Run._save

    def saving(self, loss_sum):
        if self.state.step in (step, self.settings.iterations):
            original(self, loss_sum)

    monkeypatch.setattr(training._Run, "_save", saving)


def write_encoder(path):
    """Write random weights of the small encoder, for a run that freezes some of it."""
    torch.manual_seed(5)
    backbone = encoders.ResNetBackbone(encoders.resnet_config("resnet18"))
    save_file({key: value.contiguous() for key, value in backbone.state_dict().items()}, path)


@pytest.mark.parametrize("saved", [2, 4])  # the checkpoint is two iterations old, or of this very iteration
@pytest.mark.parametrize(
    ("model", "train"),
    [
        ({}, {"optimiser": "sgd", "keep": "best", "augment": {"scale": 0.2}}),
        ({}, {"optimiser": "adamw", "schedule": "cosine", "warmup": 2, "gradient_clip": 1.0}),
        ({}, {"precision": "bf16", "threads": 2, "augment": {"brightness": 0.2}}),
        ({"weights": "encoder.safetensors", "freeze": "stage3"}, {"threads": 2}),
        ({"family": "maskformer", "options": {"queries": 4, "decoder_layers": 1, "width": 32}}, {"optimiser": "adamw"}),
        # SegFormer drops whole blocks at random; an average of the weights and random crops have a state of their own.
        ({"family": "segformer", "encoder": "mit-b0"}, {"optimiser": "adamw", "average": 0.9, "keep": "best"}),
    ],
)
@pytest.mark.slow
def test_resumed_run_ends_with_the_same_bytes(shapes, tmp_path, monkeypatch, model, train, saved):
    monkeypatch.chdir(tmp_path)
    write_encoder(tmp_path / "encoder.safetensors")
    training.train(job(shapes, tmp_path / "whole", model=model, **train))
    with monkeypatch.context() as patch:
        stop_at(patch, 4)
        saved_at(patch, saved)
        with pytest.raises(StopError):
            training.train(job(shapes, tmp_path / "cut", model=model, checkpoint_seconds=0.0, **train))
    (kept,) = (tmp_path / "cut/checkpoints").glob("*.pt")
    assert torch.load(kept, weights_only=True)["state"]["step"] == saved
    torch.manual_seed(999)
    resumed = job(shapes, tmp_path / "cut", model=model, checkpoint_seconds=0.0, **train)
    training.train(resumed)
    whole, cut = all_files(tmp_path / "whole/out"), all_files(tmp_path / "cut/out")
    assert whole.pop("training.json") != cut.pop("training.json")  # checkpoint_seconds is recorded
    assert whole == cut


@pytest.mark.slow
def test_a_run_goes_on_from_the_copy_of_its_checkpoint_in_another_folder(shapes, tmp_path, monkeypatch, caplog):
    copies = tmp_path / "copies"
    training.train(job(shapes, tmp_path / "whole"))
    away = {"checkpoint_copy": str(copies), "checkpoint_copy_seconds": 0, "checkpoint_seconds": 0}
    with monkeypatch.context() as patch:
        stop_at(patch, 4)
        with pytest.raises(StopError):
            training.train(job(shapes, tmp_path / "first", **away))
    shutil.rmtree(tmp_path / "first")
    caplog.set_level("INFO")
    training.train(job(shapes, tmp_path / "second", **away))
    assert "going on from the checkpoint of iteration 4" in caplog.text
    assert not list(copies.iterdir())
    for name in ("model.safetensors", "history.csv", "train_images.tsv"):
        assert sha(tmp_path / "second/out" / name) == sha(tmp_path / "whole/out" / name), name


def test_a_place_for_copies_that_cannot_be_reached_is_a_warning_and_stops_no_training(tmp_path, caplog):
    (tmp_path / "file").write_text("no folder")
    store = checkpoint.Store(tmp_path / "checkpoints", "k", str(tmp_path / "file"))
    store.save({"step": 1}, stopping=True)
    assert "the checkpoint could not be copied to" in caplog.text
    assert store.load() == {"step": 1, "key": "k"}


def test_the_average_of_the_weights_is_written_as_the_recurrence_of_its_definition_has_it(
    shapes, tmp_path, monkeypatch
):
    seen = []
    original = steps.training_step

    def watched(network, *arguments):
        if not seen:
            seen.append({key: value.clone() for key, value in network.state_dict().items()})
        result = original(network, *arguments)
        seen.append({key: value.clone() for key, value in network.state_dict().items()})
        return result

    monkeypatch.setattr(training, "training_step", watched)
    training.train(job(shapes, tmp_path / "mean", average=0.5))
    expected = seen[0]
    for step, state in enumerate(seen[1:]):
        decay = min(0.5, (1 + step) / (10 + step))
        expected = {
            key: decay * expected[key] + (1 - decay) * value if value.is_floating_point() else value
            for key, value in state.items()
        }
    written = load_file(tmp_path / "mean/out/model.safetensors")
    for key, value in expected.items():
        torch.testing.assert_close(written[key], value, rtol=1e-5, atol=1e-6)
    assert not torch.equal(written["head.0.weight"], seen[-1]["head.0.weight"])


@pytest.mark.parametrize("crop", [33, 64])
def test_a_crop_that_the_network_cannot_halve_or_the_tensors_do_not_hold_is_refused(shapes, tmp_path, crop):
    with pytest.raises(CocomineError, match=f"augment.crop is {crop}"):
        training.train(job(shapes, tmp_path, augment={"crop": crop}))


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
    store.path.unlink()
    store.path.mkdir()
    with pytest.raises(CocomineError, match="cannot be read"):
        store.load()


def test_a_checkpoint_that_another_process_of_the_run_removes_meanwhile_is_none(tmp_path, monkeypatch):
    store = checkpoint.Store(tmp_path, "k" * 64)
    store.save({"state": {"step": 3}})
    load = torch.load
    monkeypatch.setattr(torch, "load", lambda *path, **how: (store.path.unlink(), load(*path, **how))[1])
    assert store.load() is None


def test_half_a_checkpoint_of_a_killed_process_is_swept_away(tmp_path):
    store = checkpoint.Store(tmp_path, "k" * 64)
    dead = tmp_path / ".incomplete" / "123-abcd"
    dead.mkdir(parents=True)
    (dead / "lock").touch()
    (dead / store.path.name).write_bytes(b"PK")
    assert store.load() is None
    assert list(tmp_path.iterdir()) == []


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


def fill_the_disk(monkeypatch, wanted, times=1):
    """Let the `times`-th file whose name ends with `wanted` meet a full disk, and every later one."""
    replace_file, left = os.replace, [times]

    def replacing(source, target):
        if str(target).endswith(wanted):
            left[0] -= 1
            if left[0] <= 0:
                raise OSError(errno.ENOSPC, "No space left on device")
        replace_file(source, target)

    monkeypatch.setattr(os, "replace", replacing)


@pytest.mark.parametrize(
    ("name", "times", "kept"),
    [(".pt", 1, None), (".pt", 4, 3), ("history.csv", 3, 3), ("model.safetensors", 1, 6), ("train_images.tsv", 1, 6),
     ("curves.png", 1, 6), ("training.json", 1, 6)],
)  # fmt: skip
@pytest.mark.slow
def test_full_disk_anywhere_names_the_file_and_the_next_start_ends_with_the_same_bytes(
    shapes, tmp_path, monkeypatch, name, times, kept
):
    training.train(job(shapes, tmp_path / "whole", checkpoint_seconds=0.0))
    with monkeypatch.context() as patch:
        fill_the_disk(patch, name, times)
        with pytest.raises(CocomineError) as caught:
            training.train(job(shapes, tmp_path / "cut", checkpoint_seconds=0.0))
    assert f"{name}" in caught.value.message
    assert "no space left" in caught.value.message
    assert ("last checkpoint is kept" in caught.value.message) == (kept is not None)
    assert ("last checkpoint" in caught.value.hint) == (kept is not None)
    steps = [torch.load(p, weights_only=True)["state"]["step"] for p in (tmp_path / "cut/checkpoints").glob("*.pt")]
    assert steps == ([] if kept is None else [kept])
    training.train(job(shapes, tmp_path / "cut", checkpoint_seconds=0.0))
    assert all_files(tmp_path / "whole/out") == all_files(tmp_path / "cut/out")
    assert not list((tmp_path / "cut/out").glob(".*"))


def test_file_that_the_system_lets_grow_no_further_is_a_full_disk(shapes, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(CocomineError, match="no space left to write"):
            training.train(job(shapes, tmp_path, checkpoint_seconds=0.0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_full_disk_under_tensorboards_events_stops_with_advice_and_does_not_wait_for_ever(
    shapes, tmp_path, monkeypatch
):
    original, calls = events.EventLog.write, []

    def full(self, step, values):
        calls.append(step)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(self, step, values)

    monkeypatch.setattr(events.EventLog, "write", full)
    with pytest.raises(CocomineError, match=r"no space left to write .*board.*last checkpoint is kept"):
        training.train(job(shapes, tmp_path, tensorboard=tmp_path / "board", checkpoint_seconds=0.0))


def logged(folder):
    """Return what TensorBoard shows of a folder of event files, after restarts: {name: {iteration: value}}."""
    found = {}
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            event = Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]
            if event.HasField("session_log"):
                for values in found.values():
                    for step in [step for step in values if step >= event.step]:
                        del values[step]
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


@pytest.mark.slow
@pytest.mark.parametrize("saved", [2, 4, 99])  # 99: stopped before anything was saved
def test_tensorboard_shows_a_stopped_and_resumed_run_as_it_shows_a_whole_one(shapes, tmp_path, monkeypatch, saved):
    options = {"log_every": 1, "checkpoint_seconds": 0.0}
    training.train(job(shapes, tmp_path / "whole", tensorboard=tmp_path / "a", **options))
    with monkeypatch.context() as patch:
        stop_at(patch, 4)
        saved_at(patch, saved)
        with pytest.raises(StopError):
            training.train(job(shapes, tmp_path / "cut", tensorboard=tmp_path / "b", **options))
    assert sorted(logged(tmp_path / "b")["train_loss"]) == [
        1,
        2,
        3,
        4,
    ]  # all of it is on the disk though it was stopped
    training.train(job(shapes, tmp_path / "cut", tensorboard=tmp_path / "b", **options))
    whole = logged(tmp_path / "a")
    assert whole == logged(tmp_path / "b")
    assert sorted(whole["train_loss"]) == [1, 2, 3, 4, 5, 6]
    assert sorted(whole["val_iou"]) == [3, 6]


def test_history_can_be_read_while_training_goes_on(shapes, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, 5)
        with pytest.raises(StopError):
            training.train(job(shapes, tmp_path, checkpoint_seconds=0.0))
    rows = (tmp_path / "out/history.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["iteration", "2", "3", "4"]


def test_loss_that_is_not_finite_stops_with_advice_and_keeps_the_state_before(shapes, tmp_path, monkeypatch):
    original = steps.training_step
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


@pytest.mark.slow
def test_sigterm_saves_and_stops_and_the_next_run_goes_on(shapes, tmp_path, monkeypatch):
    training.train(job(shapes, tmp_path / "whole"))
    original = steps.Feeder.training

    def terminated(self, settings, seed, at):
        if at == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, settings, seed, at)

    with monkeypatch.context() as patch:
        patch.setattr(steps.Feeder, "training", terminated)
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
    evaluation = msgspec.structs.replace(changed.settings.evaluation, bootstrap=7)
    other = msgspec.structs.replace(changed.settings, evaluation=evaluation)
    facts = training.train(replace(changed, settings=other))
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


def test_class_without_validation_pixels_is_named_and_has_no_iou(shapes, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(training.log, "warning", lambda text, *args: said.append(text % args))
    masks = np.load(shapes / "masks.npy")
    masks[:3][masks[:3] == 2] = 0
    np.save(shapes / "masks.npy", masks)
    training.train(job(shapes, tmp_path, iterations=3))
    (warning,) = said
    assert "no validation pixel of box" in warning
    assert "Raise the validation share" in warning
    lines = (tmp_path / "out/history.csv").read_text().splitlines()
    assert 0.0 <= float(dict(zip(lines[0].split(","), lines[-1].split(","), strict=True))["val_iou"]) <= 1.0


def test_batch_of_one_that_cannot_be_normalised_is_refused(shapes, tmp_path):
    with pytest.raises(CocomineError, match=r"train\.batch is 1") as caught:
        training.train(job(shapes, tmp_path, batch=1))
    assert "train.batch to 2" in caught.value.hint


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
    rates = [steps.learning_rate(settings.train, step) for step in range(100)]
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


def test_batches_read_ahead_are_the_batches_read_in_turn(shapes):
    tensors = data.read_tensors(shapes)
    settings = RunSettings.from_mapping({"train": SMALL | {"batch": 5, "augment": {"flip": True}}}).train
    rows = tensors.rows_of("all")
    ahead, in_turn = (steps.Feeder(tensors, rows, Normalisation(), "cpu", reads_ahead) for reads_ahead in (True, False))
    for step in (0, 1, 2, 3, 7, 8, 2):  # a jump, as after a resume, must not hand out what was read for another step
        for one, other in zip(ahead.training(settings, 0, step), in_turn.training(settings, 0, step), strict=True):
            assert torch.equal(one, other)
