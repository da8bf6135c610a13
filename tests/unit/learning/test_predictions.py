"""Predictions of other models: perfect ones score 1, pycocotools says the same, and what is wrong is named."""

import contextlib
import io
import json

import numpy as np
import pytest
from cocomine.base.errors import CocomineError
from cocomine.learning import data, predictions
from cocomine.learning.settings import EvaluationSettings
from helpers.small_subset import DOG, GIRAFFE, make_small_subset
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

SETTINGS = EvaluationSettings.from_mapping({"bootstrap": 20, "slice_images": 2})


@pytest.fixture
def subset(tmp_path):
    return make_small_subset(tmp_path / "work").folder


def score_masks(subset, folder, out, values="labels"):
    split = predictions.read_split(subset, "val")
    labels = data.read_labels(subset / "labels.json")
    return predictions.score_masks(folder, values, split, labels, subset, subset / "masks", SETTINGS, out)


def write_predictions(subset, folder, change=lambda mask: mask):
    folder.mkdir()
    for name in predictions.read_split(subset, "val").file_names:
        path = subset / "masks/semantic" / name.replace(".jpg", ".png")
        Image.fromarray(change(np.array(Image.open(path)))).save(folder / path.name)
    return folder


def without_void(mask):
    return np.where(mask == 255, 0, mask).astype(np.uint8)


def test_perfect_masks_score_one_whatever_stands_under_void(subset, tmp_path):
    result = score_masks(subset, write_predictions(subset, tmp_path / "p", without_void), tmp_path / "out")
    assert result["full_resolution"]["iou"]["mean_foreground"] == 1.0
    assert result["images"] == 2
    assert (tmp_path / "out/metrics.json").exists()
    assert (tmp_path / "out/per_image.tsv").exists()


def test_masks_of_category_ids_are_mapped_to_labels(subset, tmp_path):
    ids = np.arange(256, dtype=np.uint8)
    ids[[1, 2, 255]] = [DOG, GIRAFFE, 77]
    folder = write_predictions(subset, tmp_path / "p", lambda mask: ids[mask])
    assert (
        score_masks(subset, folder, tmp_path / "out", "categories")["full_resolution"]["iou"]["mean_foreground"] == 1.0
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [(lambda mask: mask[:-1], "own size"), (lambda mask: np.full_like(mask, 9), "the value 9")],
)
def test_masks_that_do_not_fit_are_named(subset, tmp_path, change, words):
    folder = write_predictions(subset, tmp_path / "p", change)
    with pytest.raises(CocomineError) as caught:
        score_masks(subset, folder, tmp_path / "out")
    assert words in str(caught.value)
    assert ".png" in str(caught.value)


def test_missing_mask_is_an_error(subset, tmp_path):
    (tmp_path / "p").mkdir()
    with pytest.raises(CocomineError, match="no prediction"):
        score_masks(subset, tmp_path / "p", tmp_path / "out")


def results_of(subset, task):
    truth = json.loads(predictions.annotation_file(subset, "val", task).read_text())
    return [
        {key: a[key] for key in ("image_id", "category_id", "bbox", "segmentation")} | {"score": 0.5 + 0.01 * i}
        for i, a in enumerate(truth["annotations"])
        if not a["iscrowd"] and a["area"] > 0 and task == "bbox"
    ] + [{"image_id": 7, "category_id": DOG, "bbox": [0, 0, 5, 5], "segmentation": [], "score": 0.9},
         {"image_id": 44, "category_id": 999, "bbox": [0, 0, 5, 5], "segmentation": [], "score": 0.9}]  # fmt: skip


def test_boxes_score_as_pycocotools_scores_them_and_strangers_are_counted(subset, tmp_path):
    (tmp_path / "r.json").write_text(json.dumps(results_of(subset, "bbox")))
    split = predictions.read_split(subset, "val")
    path = predictions.annotation_file(subset, "val", "bbox")
    result = predictions.score_results(tmp_path / "r.json", "bbox", path, split, subset, SETTINGS, tmp_path / "out")
    assert result["results"]["other_image"] == 1
    assert result["results"]["other_category"] == 1
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        theirs = COCOeval(truth, truth.loadRes(results_of(subset, "bbox")[:-2]), "bbox")
        theirs.evaluate(), theirs.accumulate(), theirs.summarize()
    expected = [None if value < 0 else pytest.approx(value) for value in theirs.stats]
    assert list(result["all"].values()) == expected
    assert {table["attribute"] for table in result["slices"]} >= {"crowd", "objects", "licence"}


def test_slices_score_as_pycocotools_scores_their_images_alone(subset, tmp_path):
    entries = results_of(subset, "bbox")[:-2]
    (tmp_path / "r.json").write_text(json.dumps(entries))
    split = predictions.read_split(subset, "all")
    path = predictions.annotation_file(subset, "all", "bbox")
    result = predictions.score_results(tmp_path / "r.json", "bbox", path, split, subset, SETTINGS, tmp_path / "out")
    (licence,) = [table for table in result["slices"] if table["attribute"] == "licence"]
    (cell,) = [cell for cell in licence["cells"] if cell["cell"] == "4"]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        theirs = COCOeval(truth, truth.loadRes(entries), "bbox")
        theirs.params.imgIds = [44]
        theirs.evaluate(), theirs.accumulate(), theirs.summarize()
    assert cell["images"] == 1
    assert cell["AP"] == pytest.approx(theirs.stats[0])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{}", "not a list"),
        ("[", "no COCO results"),
        ('[{"image_id": 44}]', "has no"),
        ('[{"image_id": 1, "category_id": 18, "score": 1, "bbox": [0,0,1,1]}]', "belongs to this split"),
    ],
)
def test_wrong_results_files_are_named(subset, tmp_path, content, words):
    (tmp_path / "r.json").write_text(content)
    split = predictions.read_split(subset, "val")
    path = predictions.annotation_file(subset, "val", "bbox")
    with pytest.raises(CocomineError, match=words):
        predictions.score_results(tmp_path / "r.json", "bbox", path, split, subset, SETTINGS, tmp_path / "out")
