"""The pictures of the images on which two predictions differ most: what is drawn is what was predicted."""

import base64
import io
import json

import compare_predictions
import numpy as np
import pytest
from cocomine.evaluation import detections, mask_predictions, shown
from cocomine.evaluation.ground import ground_of_subset
from cocomine.evaluation.settings import JudgingSettings
from cocomine.evaluation.side_by_side import Where, pictures
from cocomine.learning import data
from helpers.report_page import assert_page_and_json_agree
from helpers.small_subset import DOG, make_small_subset
from PIL import Image

SETTINGS = JudgingSettings.from_mapping({"bootstrap": 20, "split": "all", "slice_images": 2})
BOX = [10, 10, 18, 18]


@pytest.fixture
def subset(tmp_path):
    return make_small_subset(tmp_path)


def judged_boxes(subset, name, entries):
    path = subset.folder.parent / f"{name}.json"
    path.write_text(json.dumps(entries))
    folder = subset.folder.parent / "predictions" / name
    detections.score_results(path, ground_of_subset(subset.folder, SETTINGS, "boxes"), SETTINGS, folder)
    return folder


def judged_masks(subset, name, change):
    masks = subset.folder.parent / f"{name}-masks"
    masks.mkdir()
    for path in (subset.folder / "masks/semantic").iterdir():
        Image.fromarray(change(np.array(Image.open(path)))).save(masks / path.name)
    ground = ground_of_subset(subset.folder, SETTINGS, "semantic")
    labels = data.read_trained_labels(subset.folder / "labels.json")
    folder = subset.folder.parent / "predictions" / name
    given = mask_predictions.MaskPredictions(masks, "labels", ground, labels)
    mask_predictions.score_masks(given, SETTINGS, folder)
    return folder


def two_of_boxes(subset):
    right = {"image_id": 44, "category_id": DOG, "bbox": BOX, "score": 0.9}
    return [judged_boxes(subset, "right", [right]), judged_boxes(subset, "wrong", [{**right, "bbox": [40, 40, 5, 5]}])]


def panels_of(uri):
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB")).astype(int)
    return [sheet[:, n * 306 : n * 306 + 300] for n in range(3)]


def test_the_truth_and_both_predictions_stand_in_a_row(subset):
    (drawn,) = pictures(two_of_boxes(subset), {"animals": Where(subset.folder, None)})  # on a grey ground
    (one,) = drawn
    assert (one["first"], one["second"], one["image_id"]) == ("right", "wrong", 44)
    truth, first, second = panels_of(one["picture"])
    # The image is 50 × 50 and a panel 300 wide, so a pixel is six: the right side of the box at 10 + 18, and no words.
    row, edge = slice(6 * 22, 6 * 26), slice(6 * 28 - 6, 6 * 28 + 9)
    assert np.abs(truth[row, edge] - first[row, edge]).mean() < 12
    assert np.abs(truth[row, edge] - second[row, edge]).mean() > 25


def test_masks_of_images_are_drawn_as_predicted(subset):
    def without_void(mask):
        return np.where(mask == 255, 0, mask).astype(np.uint8)

    folders = [judged_masks(subset, "right", without_void), judged_masks(subset, "empty", np.zeros_like)]
    (drawn,) = pictures(folders, {"animals": Where(subset.folder, subset.store)})
    assert drawn
    for one in drawn:
        truth, first, second = panels_of(one["picture"])
        assert np.abs(first - second).mean() > np.abs(truth - first).mean()


def test_without_knowing_where_images_lie_there_are_no_pictures(subset):
    assert pictures(two_of_boxes(subset), {}) == [[]]


def test_the_page_holds_the_pictures_and_the_json_every_number(subset, tmp_path):
    folders = two_of_boxes(subset)
    place = ["--judged-on", "animals", str(subset.folder), str(subset.store)]
    options = ["--judged", *map(str, folders), *place, "--out-dir", str(tmp_path / "out")]
    compare_predictions.main(compare_predictions.build_parser().parse_args(options))
    html = (tmp_path / "out/comparison.html").read_text()
    assert html.count("data:image/jpeg;base64,") == 1
    facts = json.loads((tmp_path / "out/comparison.json").read_text())
    assert_page_and_json_agree(html, facts)
    assert [entry["name"] for entry in facts["groups"][0]["entries"]] == ["right", "wrong"]  # the better one first


def test_only_results_from_the_best_f1_on_are_kept(subset):
    right = {"image_id": 44, "category_id": DOG, "bbox": BOX, "score": 0.9}
    folder = judged_boxes(subset, "some", [right, {**right, "bbox": [0, 0, 3, 3], "score": 0.1}])
    (row,) = shown.kept(folder, [44])[44]
    assert (row["category_id"], row["score"], json.loads(row["shape"])) == (DOG, 0.9, BOX)


def test_a_large_mask_is_kept_small_with_its_proportions(tmp_path):
    mask = np.zeros((600, 1200), np.uint8)
    mask[:300] = 7
    shown.keep_masks(tmp_path, [5], [mask])
    small = shown.mask_of(shown.kept(tmp_path, [5])[5][0])
    assert small.shape == (128, 256)
    assert (small[:64] == 7).all()
    assert (small[64:] == 0).all()
