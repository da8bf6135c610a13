"""Evaluation of a trained run: files, leakage, label maps, full resolution, and the spoilt slice found end to end."""

import json
from dataclasses import replace

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import train_model
from cocomine.base import command
from cocomine.base.errors import CocomineError
from cocomine.base.files import write_table
from cocomine.coco.labels import Labels
from cocomine.evaluation import baselines, evaluation, predicting
from cocomine.images.grid import place_of
from cocomine.learning import data, metrics, training
from cocomine.learning.settings import EvaluationSettings, RunSettings
from helpers.shapes import write_shapes
from PIL import Image
from torchmetrics.classification import MulticlassJaccardIndex

TRAIN = {"iterations": 25, "batch": 8, "threads": 1, "precision": "fp32", "device": "cpu", "optimiser": "adamw",
         "learning_rate": 0.002, "validate_every": 100, "validate_images": 4}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on shapes with a subset folder beside it whose bright images have spoilt labels."""
    root = tmp_path_factory.mktemp("trained")
    tensors = write_shapes(root / "tensors", images=100, size=32, val_share=0.6)
    labels = data.read_trained_labels(tensors / "labels.json")
    settings = RunSettings.from_mapping({"train": TRAIN, "subset": "shapes", "model_name": "m"})
    training.train(training.Job(settings, data.read_tensors(tensors), labels, root / "run", root / "ck", code="c"))
    generator = np.random.default_rng(0)
    subset = root / "subset"
    (subset / "masks/semantic").mkdir(parents=True)
    masks, images = np.load(tensors / "masks.npy"), np.load(tensors / "images.npy")
    brightness = images.mean((1, 2, 3)) / 255 + generator.random(100)
    spoilt = brightness > np.quantile(brightness[:60], 2 / 3)
    held = data.read_tensors(tensors)
    for i, name in enumerate(held.file_names):
        large = np.kron(masks[i], np.ones((2, 3), np.uint8))
        Image.fromarray(large).save(subset / "masks/semantic" / name.replace(".jpg", ".png"))
    table = {"image_id": held.image_ids, "brightness": brightness, "contrast": generator.random(100)}
    pq.write_table(pa.table(table | {"blur": generator.random(100)}), subset / "images.parquet")
    licences = generator.integers(1, 5, 100).tolist()
    height, width = 2 * masks.shape[1], 3 * masks.shape[2]
    named = zip(held.image_ids, held.file_names, licences, strict=True)
    rows = [(int(i), "train2017", name, licence, width, height) for i, name, licence in named]
    write_table(subset / "images.tsv", ("image_id", "source_split", "file_name", "license", "width", "height"), rows)
    return root, tensors, subset, spoilt


def job(trained, out, **changes):
    root, tensors, subset, _ = trained
    settings = EvaluationSettings.from_mapping({"bootstrap": 50, "pictures": 2, "batch": 16})
    labels = data.read_trained_labels(tensors / "labels.json")
    made = predicting.Job(
        settings, root / "run", data.read_tensors(tensors), labels, subset, out, subset / "masks", "subset"
    )
    return replace(made, **changes)


@pytest.mark.slow
def test_evaluation_writes_its_files_the_same_each_time(trained, tmp_path):
    for name in ("a", "b"):
        evaluation.evaluate(job(trained, tmp_path / name))
    first = {p.relative_to(tmp_path / "a"): p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()}
    again = {p.relative_to(tmp_path / "b"): p.read_bytes() for p in (tmp_path / "b").rglob("*") if p.is_file()}
    assert first == again
    pictures = {f"pictures/{kind}_{i}.png" for kind in ("best", "worst") for i in (1, 2)}
    judged = pq.read_table(tmp_path / "a/per_image.parquet").to_pylist()
    drawn = {f"predicted/{row['file_name'][:-4]}.png" for row in judged}
    assert {str(path) for path in first} == {"metrics.json", "draws.tsv", "per_image.parquet", *pictures, *drawn}
    result = json.loads((tmp_path / "a/metrics.json").read_text())
    assert result["training_resolution"]["iou"]["mean_foreground"] > 0.5
    low, high = result["training_resolution"]["intervals"]["mean_foreground"]
    assert low <= result["training_resolution"]["iou"]["mean_foreground"] <= high
    for size in ("training_resolution", "full_resolution"):
        low, high = result[size]["intervals"]["per_class"]["disc"]
        assert low <= result[size]["iou"]["per_class"]["disc"] <= high
    assert [row["iou_percent"] for row in result["published"]] == [50.0, 37.1, 89.6]
    assert not result["leaderboard"]["comparable"]
    assert result["baselines"]["all_background"]["training_resolution"]["iou"]["mean_foreground"] == 0.0
    assert str(tmp_path) not in (tmp_path / "a/metrics.json").read_text()
    table = pq.read_table(tmp_path / "a/per_image.parquet")
    for name in ("background", "disc", "box"):
        values = [value for value in table[f"iou {name}"].to_pylist() if value is not None]
        found = result["training_resolution"]["iou"]["per_image_per_class"][name]
        assert found == pytest.approx(np.mean(values))
    held = job(trained, tmp_path).tensors
    truth = dict(zip(held.image_ids.tolist(), held.masks, strict=True))
    for row in judged:
        with Image.open(tmp_path / "a" / "predicted" / f"{row['file_name'][:-4]}.png") as picture:
            right = (np.asarray(picture) == truth[row["image_id"]])[truth[row["image_id"]] != 255]
        assert right.mean() == pytest.approx(row["pixel_accuracy"])


def test_image_of_void_alone_is_in_no_mean_and_no_slice_and_null_in_the_table(trained, tmp_path):
    worse = tmp_path / "tensors"
    worse.mkdir()
    for name in ("images.npy", "index.tsv", "manifest.json", "labels.json"):
        (worse / name).write_bytes((trained[1] / name).read_bytes())
    masks = np.load(trained[1] / "masks.npy")
    masks[3] = 255
    np.save(worse / "masks.npy", masks)
    found = evaluation.evaluate(job(trained, tmp_path / "out", tensors=data.read_tensors(worse), masks_dir=None))
    assert found["slices"]["images_without_error"] == 1
    table = pq.read_table(tmp_path / "out/per_image.parquet")
    for column in ("iou_mean_foreground", "pixel_accuracy", "cross_entropy", "iou disc"):
        assert table[column][3].as_py() is None
        assert table[column][4].as_py() is not None
    known = [value for value in table["iou_mean_foreground"].to_pylist() if value is not None]
    assert found["training_resolution"]["iou"]["per_image_mean_foreground"] == pytest.approx(np.mean(known))


def test_one_image_and_a_model_of_nothing_are_said_on_the_terminal_and_not_praised(
    trained, tmp_path, caplog, monkeypatch
):
    tensors = data.read_tensors(trained[1])
    row = int(tensors.rows_of("val")[0])
    splits = tuple("test" if i == row else s for i, s in enumerate(tensors.splits))
    monkeypatch.setattr(
        predicting, "probabilities_of", lambda network, images, machine: background(len(images), tensors.size)
    )
    monkeypatch.setattr(baselines, "most_frequent_place", lambda counts: np.zeros(counts.shape[1:], np.uint8))
    with caplog.at_level("INFO", "cocomine"):
        found = evaluation.evaluate(job(trained, tmp_path, tensors=replace(tensors, splits=splits)))
    assert found["split"] == "test"  # it is judged where there is one
    assert "mean foreground IoU 0.000" in caplog.text
    assert "no better than the trivial baseline (0.000)" in caplog.text
    assert "Judged on 1 image: so few allow no judgement." in caplog.text


def background(images, size):
    found = torch.zeros(images, 3, *size)
    found[:, 0] = 1.0
    return found


def test_spoilt_labels_in_one_slice_are_named_first_by_the_report(trained, tmp_path):
    _root, tensors, _subset, spoilt = trained
    worse = tmp_path / "tensors"
    worse.mkdir()
    for name in ("images.npy", "index.tsv", "manifest.json", "labels.json"):
        (worse / name).write_bytes((tensors / name).read_bytes())
    masks = np.load(tensors / "masks.npy")
    masks[spoilt] = np.roll(masks[spoilt], 12, axis=2)
    np.save(worse / "masks.npy", masks)
    changes = {"tensors": data.read_tensors(worse), "masks_dir": None}
    found = evaluation.evaluate(job(trained, tmp_path / "out", **changes))["slices"]
    assert found["attributes"][0]["attribute"] == "brightness"
    assert found["worst"][0]["attribute"] == "brightness"
    assert found["worst"][0]["cell"].startswith("high")
    assert found["finding"].startswith("brightness explains most of the error")


def test_images_that_were_trained_on_are_refused(trained, tmp_path):
    _root, tensors, *_ = trained
    seen = replace(data.read_tensors(tensors), splits=("val",) * 100)
    with pytest.raises(CocomineError, match="40 of the 100 images to evaluate on were trained on"):
        evaluation.evaluate(job(trained, tmp_path, tensors=seen))


@pytest.mark.slow
@pytest.mark.parametrize(("split", "count"), [("train", 40), ("all", 40), ("val", 0)])
def test_images_that_were_trained_on_are_counted_and_said_in_other_splits(trained, tmp_path, caplog, split, count):
    made = job(trained, tmp_path)
    found = evaluation.evaluate(replace(made, settings=msgspec.structs.replace(made.settings, split=split)))
    assert found["images_trained_on"] == count
    assert ("were trained on" in caplog.text) == bool(count)
    assert len(found["run"]["images_trained_sha256"]) == 64


@pytest.mark.parametrize("split", ["val", "train", "all"])
def test_the_split_that_is_evaluated_is_withheld_from_training_on_another_subset(tmp_path, monkeypatch, split):
    tensors = write_shapes(tmp_path / "tensors", images=12, size=32)
    jobs = []
    monkeypatch.setattr(training, "train", jobs.append)
    options = ["--settings", "{}", "--tensors", str(tensors), "--labels", str(tensors / "labels.json"),
               "--out-dir", str(tmp_path), "--checkpoint-dir", str(tmp_path), "--evaluated-on", str(tensors),
               "--withheld-split", split]  # fmt: skip
    assert command.run(train_model.main, train_model.build_parser(), options) == 0
    held = data.read_tensors(tensors)
    assert jobs[0].held_out == {int(held.image_ids[row]) for row in held.rows_of(split)}


def test_full_resolution_equals_torchmetrics_on_enlarged_probabilities():
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.randn(1, 5, 16, 16, generator=generator).softmax(1)
    mask = torch.randint(0, 5, (48, 64), generator=generator, dtype=torch.uint8)
    mask[:5] = 255
    sums = predicting.measure_full(probabilities, mask.numpy(), 5)
    large = torch.nn.functional.interpolate(probabilities, size=(48, 64), mode="bilinear", align_corners=False)
    expected = MulticlassJaccardIndex(5, average=None, ignore_index=255)(large, mask[None].long())
    assert metrics.iou(sums.inter, sums.predicted, sums.truth)[0] == pytest.approx(expected.numpy(), abs=1e-6)


def test_full_resolution_is_bit_for_bit_the_same_on_any_number_of_threads(tmp_path):
    generator = torch.Generator().manual_seed(1)
    probabilities = torch.randn(5, 4, 32, 32, generator=generator).softmax(1)
    (tmp_path / "semantic").mkdir()
    names = [f"{i}.jpg" for i in range(5)]
    for i, name in enumerate(names):
        mask = torch.randint(0, 5, (200 + i, 300), generator=generator, dtype=torch.uint8).numpy()
        Image.fromarray(np.where(mask == 4, 255, mask)).save(tmp_path / "semantic" / name.replace("jpg", "png"))
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        parts = predicting.measure_full_batch(probabilities, tmp_path, names, threads, 4)
        assert torch.get_num_threads() == threads  # given back as it was
        found.append([value.tobytes() for part in parts for value in vars(part).values()])
    torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]


def test_full_resolution_of_a_letterbox_leaves_its_border_out(tmp_path):
    """A prediction that is right within the image and wrong around it is right at full size, and nowhere else."""
    (tmp_path / "semantic").mkdir()
    truth = np.zeros((32, 64), np.uint8)
    truth[:, 32:] = 1
    Image.fromarray(truth).save(tmp_path / "semantic" / "a.png")
    place = place_of(32, 64, 64, "letterbox")
    probabilities = torch.zeros(1, 3, 64, 64)
    probabilities[:, 2] = 1.0
    probabilities[0, :, place.slices[0], place.slices[1]] = (
        torch.nn.functional.one_hot(torch.from_numpy(truth).long(), 3).permute(2, 0, 1).float()
    )
    square = data.TensorSet(tmp_path, None, None, None, (), (), {"settings": {"fit": "letterbox"}})
    (sums,) = predicting.measure_full_batch(probabilities, tmp_path, ["a.jpg"], 1, 3, within=square.within)
    assert sums.inter.tolist() == sums.truth.tolist() == sums.predicted.tolist() == [[1024, 1024, 0]]


def test_missing_full_mask_says_what_to_do(trained, tmp_path):
    with pytest.raises(CocomineError, match="no readable mask") as caught:
        evaluation.evaluate(job(trained, tmp_path, masks_dir=tmp_path))
    assert "full_resolution" in caught.value.hint


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda mask: np.where(mask == 1, 9, mask).astype(np.uint8), r"holds the values \[9\].*only 3 labels"),
        (lambda mask: mask.astype(np.uint16), "mode I;16"),
        (lambda mask: np.stack([mask] * 3, 2), "mode RGB"),
    ],
)
def test_full_mask_that_is_none_of_these_labels_is_named(trained, tmp_path, made, words):
    _root, _tensors, subset, _ = trained
    folder = tmp_path / "masks/semantic"
    folder.mkdir(parents=True)
    for path in sorted((subset / "masks/semantic").iterdir()):
        (folder / path.name).write_bytes(path.read_bytes())
    bad = folder / sorted(path.name for path in folder.iterdir())[7]
    Image.fromarray(made(np.array(Image.open(bad)))).save(bad)
    with pytest.raises(CocomineError, match=words) as caught:
        evaluation.evaluate(job(trained, tmp_path / "out", masks_dir=tmp_path / "masks"))
    assert bad.name in caught.value.message
    assert "rasterize_masks" in caught.value.hint


def labels(*pairs):
    names, ids = zip(("background", None), *pairs, strict=True)
    return Labels(names, ids, ((0, 0, 0),) * len(names))


def test_model_of_more_classes_is_scored_on_the_wanted_ones():
    mapping = predicting.label_map(labels(("car", 3), ("bus", 6), ("dog", 18)), labels(("car", 3), ("dog", 18)))
    assert mapping == [0, 1, 0, 2]
    probabilities = torch.tensor([0.1, 0.2, 0.6, 0.1])[None, :, None, None]
    assert predicting.merged(probabilities, torch.tensor(mapping), 3).flatten().tolist() == pytest.approx(
        [0.7, 0.2, 0.1]
    )


def test_pixel_is_decided_among_all_of_the_models_classes_before_they_are_mapped():
    """Bus .40, truck .35, background .25: bus for the model of all classes, and so for the wanted ones."""
    probabilities = torch.tensor([0.25, 0.40, 0.35])[None, :, None, None].expand(1, 3, 4, 4).contiguous()
    mapping = torch.tensor(
        predicting.label_map(labels(("bus", 6), ("truck", 8)), labels(("bus", 6)))
    )  # truck is not asked for
    truth = torch.ones(1, 4, 4, dtype=torch.uint8)
    sums, decided = predicting.measure_mapped(probabilities, truth, mapping, 2)
    assert (decided == 1).all()
    assert metrics.summary(sums, ("background", "bus"))["iou"]["per_class"]["bus"] == 1.0
    assert sums.soft_predicted[0] == pytest.approx([16 * 0.6, 16 * 0.4])  # soft figures: of the added probabilities
    large = predicting.measure_full(probabilities, np.ones((9, 7), np.uint8), 2, mapping)
    assert large.inter[0].tolist() == [0, 63]
    added = metrics.measure(predicting.merged(probabilities, mapping, 2), truth)[0]
    assert added.inter[0].tolist() == [0, 0]  # what the added probabilities would say: background


def test_labels_that_share_nothing_or_clash_are_refused():
    with pytest.raises(CocomineError, match="knows none of dog"):
        predicting.label_map(labels(("car", 3)), labels(("dog", 18)))
    with pytest.raises(CocomineError, match=r"'car'.*'bus'"):
        predicting.label_map(labels(("car", 3)), labels(("bus", 3)))


def test_a_model_of_another_label_map_is_refused_by_name_and_one_that_was_pinned_is_not():
    earlier = labels(("giraffe", 1), ("zebra", 2))
    with pytest.raises(CocomineError, match=r"category 1 is 'giraffe' where .* and 'elephant' where") as caught:
        predicting.label_map(earlier, labels(("elephant", 1), ("giraffe", 2), ("zebra", 3)))
    assert "labels_from" in caught.value.hint
    with pytest.raises(CocomineError, match=r"'zebra' is category 2 where .* and category 24 where"):
        predicting.label_map(earlier, labels(("giraffe", 1), ("zebra", 24)))
    assert predicting.label_map(earlier, labels(("giraffe", 1), ("zebra", 2), ("elephant", 3))) == [0, 1, 2]


def test_run_that_was_trained_on_a_gpu_is_evaluated_on_a_cpu(trained, tmp_path, monkeypatch, caplog):
    root, *_ = trained
    facts = json.loads((root / "run/training.json").read_text())
    facts["settings"]["train"]["device"] = facts["resolved"]["device"] = "cuda"
    (tmp_path / "training.json").write_text(json.dumps(facts))
    (tmp_path / "model.safetensors").write_bytes((root / "run/model.safetensors").read_bytes())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert predicting.load_run(tmp_path).machine.device == "cpu"
    assert "trained on a GPU, and there is none here" in caplog.text


def test_weights_of_another_model_are_refused(trained, tmp_path):
    root, *_ = trained
    facts = json.loads((root / "run/training.json").read_text())
    facts["settings"]["model"]["encoder"] = "resnet34"
    (tmp_path / "training.json").write_text(json.dumps(facts))
    (tmp_path / "model.safetensors").write_bytes((root / "run/model.safetensors").read_bytes())
    with pytest.raises(CocomineError, match="does not fit"):
        predicting.load_run(tmp_path)


def test_most_frequent_place_puts_each_class_where_it_stands_most():
    counts = np.zeros((3, 4, 4), np.int64)
    counts[1, 0, :2] = [9, 6]
    counts[2, 0, 1:3] = [4, 8]
    counts[0] = 10 - counts.sum(0)
    mask = baselines.most_frequent_place(counts)
    # 15 of 10 images, rounded to even, is 2 pixels of label 1; 12 of 10 is one pixel of label 2.
    assert mask[0].tolist() == [1, 1, 2, 0]
    assert not mask[1:].any()
    assert baselines.enlarged(mask, 8, 12)[0, ::3].tolist() == mask[0].tolist()
