"""Panoptic quality: known answers, and a plain reading of its definition on random images."""

import base64
import io
import json

import numpy as np
import pytest
from cocomine.base.errors import CocomineError
from cocomine.evaluation import panoptic
from cocomine.evaluation.ground import Ground
from cocomine.evaluation.predictions import Split
from cocomine.evaluation.settings import JudgingSettings
from cocomine.evaluation.side_by_side import Where, pictures
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

SETTINGS = JudgingSettings.from_mapping({"bootstrap": 20})
CATEGORIES = [{"id": 1, "name": "cat", "isthing": 1}, {"id": 2, "name": "grass", "isthing": 0}]


def write(folder, name, images):
    """Write images, given as {id: (ids (h, w), {segment: (category, iscrowd)})}, as a panoptic document."""
    pngs = folder / name
    pngs.mkdir(parents=True)
    annotations = []
    for image, (ids, segments) in images.items():
        ids = np.asarray(ids)
        colours = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
        Image.fromarray(colours).save(pngs / f"{image}.png")
        info = [{"id": s, "category_id": c, "iscrowd": crowd} for s, (c, crowd) in segments.items()]
        annotations.append({"image_id": image, "file_name": f"{image}.png", "segments_info": info})
    (folder / f"{name}.json").write_text(json.dumps({"annotations": annotations, "categories": CATEGORIES}))
    return panoptic.read_panoptic(folder / f"{name}.json", pngs)


def score(folder, truth, predicted):
    real, found = write(folder, "truth", truth), write(folder, "found", predicted)
    split = Split(tuple(sorted(truth)), tuple(f"{image}.jpg" for image in sorted(truth)))
    ground = Ground("panoptic", None, split, folder / "truth.json", folder / "truth", (1, 2))
    return panoptic.score_panoptic(real, found, ground, SETTINGS, folder / "out")


def test_the_truth_itself_has_a_quality_of_one(tmp_path):
    image = (np.repeat([[7, 7, 300, 0]], 3, axis=0), {7: (1, 0), 300: (2, 0)})
    result = score(tmp_path, {5: image}, {5: image})
    assert result["all"] == {"pq": 1.0, "sq": 1.0, "rq": 1.0, "categories": 2}
    assert (result["things"]["categories"], result["stuff"]["categories"]) == (1, 1)


def test_a_match_a_miss_and_a_false_segment_count_as_defined(tmp_path):
    truth = {1: ([[1, 1, 1, 1, 2, 2, 0, 0]], {1: (1, 0), 2: (1, 0)})}
    found = {1: ([[9, 9, 9, 0, 0, 8, 8, 8]], {9: (1, 0), 8: (1, 0)})}
    result = score(tmp_path, truth, found)
    # 9 finds 1 with IoU 3/4. 8 shares one pixel of three with 2, and two of its three lie in void: not a false one.
    assert result["per_category"]["cat"] == {
        "pq": pytest.approx(0.75 / 1.5), "sq": 0.75, "rq": pytest.approx(1 / 1.5),
        "matched": 1, "false": 0, "missed": 1,
    }  # fmt: skip


def test_a_crowd_is_neither_found_nor_missed_and_forgives_what_lies_in_it(tmp_path):
    truth = {1: ([[1, 1, 1, 1]], {1: (1, 1)})}
    assert score(tmp_path / "a", truth, {1: ([[5, 5, 6, 6]], {5: (1, 0), 6: (1, 0)})})["all"]["pq"] is None
    other = score(tmp_path / "b", truth, {1: ([[5, 5, 6, 6]], {5: (1, 0), 6: (2, 0)})})
    assert other["per_category"]["grass"]["false"] == 1


def plain(real, wanted, ids, found):
    """The definition, read literally, for images without crowds: (sum of IoU, TP, FP, FN) by category."""
    sums = {1: [0.0, 0, 0, 0], 2: [0.0, 0, 0, 0]}
    matched_real, matched = set(), set()
    for one, (category, _) in wanted.items():
        for other, (called, _) in found.items():
            a, b = real == one, ids == other
            union = (a | b) & ~((real == 0) & ~a)
            if category == called and (a & b).sum() / union.sum() > 0.5:
                sums[category][0] += (a & b).sum() / union.sum()
                sums[category][1] += 1
                matched_real.add(one), matched.add(other)
    for other, (called, _) in found.items():
        if other not in matched and ((ids == other) & (real == 0)).sum() * 2 <= (ids == other).sum():
            sums[called][2] += 1
    for one, (category, _) in wanted.items():
        sums[category][3] += one not in matched_real
    return sums


@given(st.integers(0, 10_000))
def test_random_images_score_as_the_definition_reads(tmp_path_factory, seed):
    dice = np.random.default_rng(seed)
    pictures = []
    for _ in range(2):
        ids = np.kron(dice.integers(0, 4, (3, 3)), np.ones((3, 3), int))
        ids[dice.random(ids.shape) < 0.15] = 0
        pictures.append((ids, {int(s): (int(dice.integers(1, 3)), 0) for s in np.unique(ids) if s}))
    (real, wanted), (ids, found) = pictures
    result = score(tmp_path_factory.mktemp("p"), {1: pictures[0]}, {1: pictures[1]})
    for category, name in ((1, "cat"), (2, "grass")):
        iou, true, false, missed = plain(real, wanted, ids, found)[category]
        row = result["per_category"][name]
        assert (row["matched"], row["false"], row["missed"]) == (true, false, missed)
        whole = true + false / 2 + missed / 2
        assert row["pq"] == (pytest.approx(iou / whole) if whole else None)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({}, "no prediction for 1 of 1 images: 1"),
        ({1: ([[5, 5]], {5: (1, 0)})}, "prediction is 2 × 1, the truth 4 × 1"),
        ({1: ([[5, 5, 6, 6]], {5: (1, 0)})}, "segment 6 is in the PNG and not the JSON"),
        ({1: ([[5, 5, 5, 5]], {5: (1, 0), 6: (1, 0)})}, "segment 6 is in the JSON and not the PNG"),
        ({1: ([[5, 5, 5, 5]], {5: (77, 0)})}, "category 77 is none of the truth's"),
    ],
)
def test_predictions_that_cannot_be_judged_are_named(tmp_path, found, words):
    with pytest.raises(CocomineError, match=words):
        score(tmp_path, {1: ([[1, 1, 1, 1]], {1: (1, 0)})}, found)


def test_a_png_outside_of_the_folder_is_refused(tmp_path):
    (tmp_path / "p").mkdir()
    annotations = [{"image_id": 1, "file_name": "../x.png", "segments_info": []}]
    (tmp_path / "p.json").write_text(json.dumps({"annotations": annotations}))
    with pytest.raises(CocomineError, match="lies outside"):
        panoptic.read_panoptic(tmp_path / "p.json", tmp_path / "p")


def test_images_are_sliced_by_tags_with_the_quality_of_each_slice(tmp_path):
    tags, right, wrong = tmp_path / "tags.tsv", ([[1, 1]], {1: (1, 0)}), ([[1, 1]], {1: (2, 0)})
    tags.write_text("image_id\tweather\n" + "".join(f"{n}\t{'fog' if n > 10 else 'sun'}\n" for n in range(1, 21)))
    truth, found = (dict.fromkeys(range(1, 21), right), {n: wrong if n > 10 else right for n in range(1, 21)})
    real, given_ = write(tmp_path, "truth", truth), write(tmp_path, "found", found)
    split = Split(tuple(range(1, 21)), tuple(f"{n}.jpg" for n in range(1, 21)))
    ground = Ground("panoptic", None, split, tmp_path / "truth.json", tmp_path / "truth", (1, 2), tags=tags)
    result = panoptic.score_panoptic(real, given_, ground, SETTINGS, tmp_path / "out")
    assert "Worst slice: tag weather fog, mean error 1.00 over 10 images" in result["slices"]["finding"]
    cells = {cell["cell"]: cell["pq"] for cell in result["slices"]["attributes"][0]["cells"]}
    assert cells == {"fog": 0.0, "sun": 1.0}
    assert (tmp_path / "out/per_image.tsv").read_text().splitlines()[11] == "11\t1.0"


def test_two_predictions_are_drawn_beside_the_truth_by_their_categories(tmp_path):
    ids = np.repeat(np.repeat([[7, 300]], 40, axis=0), 30, axis=1)
    truth, other = {5: (ids, {7: (1, 0), 300: (2, 0)})}, {5: (ids, {7: (2, 0), 300: (1, 0)})}
    for name, found in (("right", truth), ("wrong", other)):
        score(tmp_path / name, truth, found)
        (tmp_path / name / "out").rename(tmp_path / name / name)
    where = {"truth.json": Where(tmp_path / "right" / "truth.json", None)}
    (drawn,) = pictures([tmp_path / name / name for name in ("right", "wrong")], where)
    assert [(one["first"], one["second"], one["image_id"]) for one in drawn] == [("right", "wrong", 5)]
    sheet = Image.open(io.BytesIO(base64.b64decode(drawn[0]["picture"].partition(",")[2]))).convert("RGB")
    real, right, wrong = (np.asarray(sheet, int)[:, 306 * n : 306 * n + 300] for n in range(3))
    assert np.abs(real - right).mean() < 2
    cat, grass = (slice(20, 130), slice(170, 280))
    assert np.abs(wrong[:, cat].mean((0, 1)) - real[:, grass].mean((0, 1))).max() < 6
    assert np.abs(real[:, cat].mean((0, 1)) - real[:, grass].mean((0, 1))).max() > 40
    grey = real[:, 150:155].mean((0, 1))
    assert np.ptp(grey) < 25, "where two segments meet it is grey"
