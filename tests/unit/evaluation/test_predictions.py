"""Predictions of other models: perfect ones score 1, pycocotools says the same, and what is wrong is named."""

import contextlib
import io
import json

import evaluate_predictions
import numpy as np
import pytest
from cocomine.base.errors import CocomineError
from cocomine.evaluation import detections, mask_predictions, predictions
from cocomine.evaluation.ground import ground_of_file, ground_of_subset
from cocomine.evaluation.precision import PROTOCOLS
from cocomine.evaluation.settings import JudgingSettings
from cocomine.learning import data
from helpers.small_subset import DOG, GIRAFFE, make_small_subset
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

GIVEN = {"bootstrap": 20, "slice_images": 2}
SETTINGS = JudgingSettings.from_mapping(GIVEN)
IOU_TYPES = {"boxes": "bbox", "masks": "segm", "keypoints": "keypoints"}


def run_script(arguments):
    options = evaluate_predictions.build_parser().parse_args(arguments)
    options.settings = JudgingSettings.from_mapping(options.settings)
    return evaluate_predictions.main(options)


@pytest.fixture
def subset(tmp_path):
    return make_small_subset(tmp_path / "work").folder


def score_masks(subset, folder, out, values="labels"):
    ground = ground_of_subset(subset, SETTINGS, "semantic")
    labels = data.read_trained_labels(subset / "labels.json")
    return mask_predictions.score_masks(mask_predictions.MaskPredictions(folder, values, ground, labels), SETTINGS, out)


def score_results(subset, entries, task, out, **settings):
    """Write `entries` (or text as it is) as a results file and score it on the subset."""
    path = out.parent / "r.json"
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    settings = JudgingSettings.from_mapping(GIVEN | settings)
    return detections.score_results(path, ground_of_subset(subset, settings, task), settings, out)


def truth_of(subset, split, task):
    """Return the annotations of the images of a split, as pycocotools needs them, and write them to a file."""
    name = "tasks/person_keypoints.json" if task == "keypoints" else "subset.json"
    document = json.loads((subset / name).read_text())
    images = set(predictions.read_split(subset, split).image_ids)
    document["images"] = [image for image in document["images"] if image["id"] in images]
    document["annotations"] = [
        record for record in document["annotations"]
        # pycocotools cannot read an outline of two points
        if record["image_id"] in images and not (task == "masks" and record["id"] == 107)
    ]  # fmt: skip
    path = subset.parent / f"truth_{split}_{task}.json"
    path.write_text(json.dumps(document))
    return path


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
    assert result["judged_on"]["images"] == 2
    assert (tmp_path / "out/metrics.json").exists()
    assert (tmp_path / "out/per_image.tsv").exists()


def test_masks_of_category_ids_are_mapped_to_labels(subset, tmp_path):
    ids = np.arange(256, dtype=np.uint8)
    ids[[1, 2, 255]] = [DOG, GIRAFFE, 77]
    folder = write_predictions(subset, tmp_path / "p", lambda mask: ids[mask])
    assert score_masks(subset, folder, tmp_path / "out", "source")["full_resolution"]["iou"]["mean_foreground"] == 1.0


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


def test_baselines_stand_beside_masks_at_full_size_and_on_the_terminal(subset, tmp_path, capsys):
    for name in predictions.read_split(subset, "train").file_names:
        path = subset / "masks/semantic" / name.replace(".jpg", ".png")
        mask = np.zeros_like(np.array(Image.open(path)))
        mask[: len(mask) // 2, : mask.shape[1] // 2] = 1  # in training, a dog is always at the top left
        Image.fromarray(mask).save(path)
    folder = write_predictions(subset, tmp_path / "p", without_void)
    options = [
        "--task",
        "semantic",
        "--folder",
        str(folder),
        "--subset-dir",
        str(subset),
        "--out-dir",
        str(tmp_path / "out"),
    ]
    assert run_script(options) == 0
    result = json.loads((tmp_path / "out/metrics.json").read_text())
    nothing = result["baselines"]["all_background"]["full_resolution"]
    assert nothing["iou"]["mean_foreground"] == 0.0
    assert nothing["pixels"] == result["full_resolution"]["pixels"]
    usual = result["baselines"]["most_frequent_place"]["full_resolution"]["iou"]["mean_foreground"]
    assert 0.0 < usual < 1.0
    assert result["baselines"]["ratio"] == pytest.approx(1.0 / usual)
    assert "times the better trivial baseline" in capsys.readouterr().out


def test_worst_and_best_predictions_are_drawn_over_photographs_or_grey(tmp_path):
    made = make_small_subset(tmp_path / "work")
    for name in ("000000000058",):  # shows no class but a crowd: another image with one makes two to draw
        path = made.folder / "masks/semantic" / f"{name}.png"
        mask = np.array(Image.open(path))
        mask[30:40, 30:40] = 1
        Image.fromarray(mask).save(path)
    folder = write_predictions(made.folder, tmp_path / "p", without_void)
    Image.fromarray(np.zeros((48, 64), np.uint8)).save(folder / "000000000058.png")
    drawn = {}
    for kind, store in (("grey", []), ("photographs", ["--store-dir", str(made.store)])):
        out = tmp_path / kind
        options = [
            "--task",
            "semantic",
            "--folder",
            str(folder),
            "--subset-dir",
            str(made.folder),
            "--out-dir",
            str(out),
            *store,
        ]
        assert run_script(options) == 0
        assert {path.name for path in (out / "pictures").iterdir()} == {"worst_1.png", "best_1.png"}
        drawn[kind] = np.array(Image.open(out / "pictures/worst_1.png"))
    assert (drawn["grey"][20, 20] == 200).all()
    assert (drawn["photographs"] != drawn["grey"]).any()
    lines = (tmp_path / "grey/per_image.tsv").read_text().splitlines()
    assert lines[0].split("\t")[2:] == ["iou_mean_foreground", "iou background", "iou dog", "iou giraffe"]
    assert lines[2].split("\t")[2:] == ["0.0", lines[2].split("\t")[3], "0.0", ""]


@pytest.mark.parametrize(
    "wrong",
    [{"score": "0.9"}, {"score": None}, {"score": float("nan")}, {"image_id": [44]}, {"category_id": {}},
     {"image_id": True}],
)  # fmt: skip
def test_results_whose_numbers_are_none_are_named(subset, tmp_path, wrong):
    entries = results_of(subset, "val")
    entries[1] |= wrong
    with pytest.raises(CocomineError, match=f"result 1: its {next(iter(wrong))} is"):
        score_results(subset, entries, "boxes", tmp_path / "out")


def test_true_masks_of_values_past_the_labels_are_named_and_not_left_out(subset, tmp_path):
    folder = write_predictions(subset, tmp_path / "p", without_void)
    bad = subset / "masks/semantic/000000000044.png"
    mask = np.array(Image.open(bad))
    mask[0, 0] = 9
    Image.fromarray(mask).save(bad)
    with pytest.raises(CocomineError, match=r"000000000044\.png holds the values \[9\]"):
        score_masks(subset, folder, tmp_path / "out")


def test_missing_masks_are_counted_and_the_first_are_named(subset, tmp_path):
    folder = write_predictions(subset, tmp_path / "p", without_void)
    (folder / "000000000058.png").unlink()
    with pytest.raises(CocomineError, match=r"no prediction for 1 of 2 images: 000000000058\.png\n"):
        score_masks(subset, folder, tmp_path / "out")
    (folder / "000000000044.png").unlink()
    with pytest.raises(CocomineError, match=r"2 of 2 images: 000000000044\.png, 000000000058\.png"):
        score_masks(subset, folder, tmp_path / "out")


def test_a_folder_of_masks_that_does_not_exist_is_named(subset, tmp_path):
    with pytest.raises(CocomineError, match="nowhere: no such folder") as caught:
        score_masks(subset, tmp_path / "nowhere", tmp_path / "out")
    assert "--folder" in caught.value.hint


def test_labels_given_as_categories_are_an_error_and_all_background_is_a_score(subset, tmp_path):
    folder = write_predictions(subset, tmp_path / "p", without_void)
    with pytest.raises(CocomineError, match="none of the pixel values") as caught:
        score_masks(subset, folder, tmp_path / "out", "source")
    assert f"{DOG}, {GIRAFFE}" in caught.value.hint
    assert not (tmp_path / "out").exists()
    empty = write_predictions(subset, tmp_path / "empty", np.zeros_like)
    result = score_masks(subset, empty, tmp_path / "out", "source")
    assert result["full_resolution"]["iou"]["mean_foreground"] == 0.0


def test_a_folder_without_a_split_names_the_subsets_beside_it(subset):
    with pytest.raises(CocomineError, match=r"split\.tsv: no such file") as caught:
        predictions.read_split(subset.parent / "animlas", "val")
    assert caught.value.hint.endswith("beside it there are: animals")


def test_few_images_are_said_on_the_terminal_to_allow_no_judgement(subset, tmp_path, capsys):
    folder = write_predictions(subset, tmp_path / "p", without_void)
    options = [
        "--task",
        "semantic",
        "--folder",
        str(folder),
        "--subset-dir",
        str(subset),
        "--out-dir",
        str(tmp_path / "out"),
    ]
    assert run_script(options) == 0
    assert "Judged on 2 images: so few allow no judgement." in capsys.readouterr().out


def test_test_is_judged_where_there_is_one_and_val_otherwise(subset):
    assert predictions.read_split(subset, None) == predictions.read_split(subset, "val")
    table = subset / "split.tsv"
    table.write_text(table.read_text().replace("44\t000000000044.jpg\tval", "44\t000000000044.jpg\ttest"))
    found = predictions.read_split(subset, None)
    assert (found.name, found.image_ids) == ("test", (44,))
    with pytest.raises(CocomineError, match="no image in split 'dev'") as caught:
        predictions.read_split(subset, "dev")
    assert "train, val, test" in caught.value.hint


def results_of(subset, split):
    """Every second object a little off, and two results of strangers."""
    truth = json.loads(truth_of(subset, split, "boxes").read_text())
    found = [
        {"image_id": a["image_id"], "category_id": a["category_id"], "score": 0.5 + 0.01 * i,
         "bbox": [a["bbox"][0] + 2 * (i % 2), *a["bbox"][1:]]}
        for i, a in enumerate(truth["annotations"])
        if not a["iscrowd"] and a["area"] > 0 and a["category_id"] in (DOG, GIRAFFE)
    ]  # fmt: skip
    return [
        *found,
        {"image_id": 7 if split == "val" else 70, "category_id": DOG, "bbox": [0, 0, 5, 5], "score": 0.9},
        {"image_id": 44, "category_id": 999, "bbox": [0, 0, 5, 5], "score": 0.9},
    ]


def test_boxes_score_as_pycocotools_scores_them_and_strangers_are_counted_by_name(subset, tmp_path):
    entries = results_of(subset, "val")
    result = score_results(subset, entries, "boxes", tmp_path / "out")
    assert result["predictions"] | {"sha256": "", "bytes": 0} == {
        "sha256": "", "bytes": 0, "judged": len(entries) - 2, "image_of_another_split": 1, "unknown_image": 0,
        "unknown_category": 1, "images_without_results": 1,
    }  # fmt: skip
    assert [line.split("\t") for line in (tmp_path / "out/left_out.tsv").read_text().splitlines()[1:]] == [
        ["image of another split", "7", str(DOG), "1"],
        ["unknown category", "44", "999", "1"],
        ["no result", "58", "", "0"],
    ]
    assert list(result["all"].values()) == scored_by_pycocotools(subset, "val", entries[:-2], "boxes")
    assert {table["attribute"] for table in result["slices"]["attributes"]} >= {"crowd", "objects", "licence"}


def pose(number, moved=0.0):
    """Return 17 keypoints in COCO's form, the last two without labels (visibility 0)."""
    points = [[10.0 + number + 2.0 * k + moved, 8.0 + 1.5 * k, 2] for k in range(15)] + [[0.0, 0.0, 0]] * 2
    return [value for point in points for value in point]


def write_poses(subset):
    """Give the split `val` two images with people, one of them a crowd, and return the file."""
    names = [f"point {k}" for k in range(17)]
    people = [
        {"id": 201, "image_id": 44, "category_id": 1, "iscrowd": 0, "bbox": [5, 5, 40, 40], "area": 1600.0,
         "num_keypoints": 15, "keypoints": pose(0)},
        {"id": 202, "image_id": 58, "category_id": 1, "iscrowd": 0, "bbox": [5, 5, 50, 40], "area": 2000.0,
         "num_keypoints": 15, "keypoints": pose(3)},
        {"id": 203, "image_id": 58, "category_id": 1, "iscrowd": 1, "bbox": [0, 0, 20, 20], "area": 400.0,
         "num_keypoints": 0, "keypoints": [0] * 51},
    ]  # fmt: skip
    images = json.loads((subset / "splits/instances_val.json").read_text())["images"]
    category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": names, "skeleton": []}
    path = subset / "tasks/person_keypoints.json"
    path.write_text(json.dumps({"images": images, "annotations": people, "categories": [category]}))
    return path


def pose_results():
    """One right, one somewhat off, one false: neither all nor nothing."""
    return [
        {"image_id": 44, "category_id": 1, "score": 0.9, "keypoints": pose(0, 1.5)},
        {"image_id": 58, "category_id": 1, "score": 0.8, "keypoints": pose(3, 4.0)},
        {"image_id": 58, "category_id": 1, "score": 0.7, "keypoints": pose(30)},
    ]


def mask_results(subset):
    """Each object's mask, every second one a few rows short: neither all nor nothing."""
    truth = json.loads((subset / "subset.json").read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    entries = []
    for number, record in enumerate(truth["annotations"]):
        shape, (height, width) = record["segmentation"], sizes[record["image_id"]]
        if (isinstance(shape, list) and len(shape[0]) < 6) or record["category_id"] not in (DOG, GIRAFFE):
            continue
        mask = coco_mask.decode(
            coco_mask.merge(coco_mask.frPyObjects(shape, height, width))
            if isinstance(shape, list)
            else coco_mask.frPyObjects(shape, height, width)
        )
        if number % 2:
            mask[: int(np.flatnonzero(mask.any(1))[0]) + 4] = 0
        packed = coco_mask.encode(np.asfortranarray(mask))
        entries.append(
            {"image_id": record["image_id"], "category_id": record["category_id"], "score": 0.5 + 0.01 * number,
             "segmentation": {"size": packed["size"], "counts": packed["counts"].decode()}}
        )  # fmt: skip
    return entries


def scored_by_pycocotools(subset, split, entries, task, images=None):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(truth_of(subset, split, task)))
        theirs = COCOeval(truth, truth.loadRes(json.loads(json.dumps(entries))), IOU_TYPES[task])
        if images is not None:
            theirs.params.imgIds = images
        theirs.evaluate(), theirs.accumulate(), theirs.summarize()
    return [None if value < 0 else float(value) for value in theirs.stats]


@pytest.mark.parametrize("task", ["boxes", "masks", "keypoints"])
def test_every_figure_and_slice_is_that_of_pycocotools(subset, tmp_path, task):
    split = "val" if task == "keypoints" else "all"
    if task == "keypoints":
        write_poses(subset)
    entries = {"boxes": lambda: results_of(subset, "all")[:-2], "masks": lambda: mask_results(subset)}.get(
        task, pose_results
    )()
    result = score_results(subset, entries, task, tmp_path / "out", split=split)
    assert result["kind"] == task
    assert result["predictions"]["judged"] == len(entries)
    assert result["predictions"].get("annotations_without_mask") == (1 if task == "masks" else None)
    assert list(result["all"].values()) == scored_by_pycocotools(subset, split, entries, task)
    assert 0 < result["all"]["AP"] < 1
    (licence,) = [table for table in result["slices"]["attributes"] if table["attribute"] == "licence"]
    cells = {cell["cell"]: cell for cell in licence["cells"]}
    alone = scored_by_pycocotools(subset, split, entries, task, [44])  # the only image of licence 4
    assert [cells["4"][name] for name in ("AP", "AP50")] == alone[:2]
    if task == "keypoints":
        assert result["per_category"] == {"person": result["all"]["AP"]}
    assert list(result["all"]) == [figure[0] for figure in PROTOCOLS[task].figures]


def test_a_file_as_it_is_may_be_held_against_a_leaderboard_and_a_subset_may_not(subset, tmp_path):
    entries = results_of(subset, "all")[:-2]
    (tmp_path / "r.json").write_text(json.dumps(entries))
    truth = truth_of(subset, "all", "boxes")
    whole = detections.score_results(
        tmp_path / "r.json", ground_of_file(truth, None, "boxes"), SETTINGS, tmp_path / "whole"
    )
    mined = score_results(subset, entries, "boxes", tmp_path / "mined", split="all")
    assert whole["all"] == mined["all"]
    assert (whole["leaderboard"]["comparable"], mined["leaderboard"]["comparable"]) == (True, False)
    assert truth.name in whole["leaderboard"]["because"]


def test_results_of_labels_indices_and_file_stems_are_read_as_they_are_said_to_be(subset, tmp_path):
    entries = results_of(subset, "val")[:-2]
    expected = score_results(subset, entries, "boxes", tmp_path / "out")["all"]
    for ids, first in (("labels", 1), ("indices", 0)):
        place = {DOG: first, GIRAFFE: first + 1}
        said = [e | {"category_id": place[e["category_id"]], "image_id": f"{e['image_id']:012d}"} for e in entries]
        found = score_results(subset, said, "boxes", tmp_path / ids, category_ids=ids, image_ids="stems")
        assert found["all"] == expected


def merged(subset):
    """Make both categories of the small subset one class with the id 1, as `classes` does; return its folder."""
    document = json.loads((subset / "subset.json").read_text())
    for record in document["annotations"]:
        record |= {"category_id": 1, "source_category_id": record["category_id"]}
    document["categories"] = [{"id": 1, "name": "animal"}]
    (subset / "subset.json").write_text(json.dumps(document))
    rows = [{"label": 0, "name": "background", "category_id": None}, {"label": 1, "name": "animal", "category_id": 1}]
    table = {"labels": rows, "category_to_label": {"1": 1}, "source_to_label": {str(DOG): 1, str(GIRAFFE): 1}}
    (subset / "labels.json").write_text(json.dumps(table))
    return subset


def test_results_on_a_subset_with_classes_say_whether_their_ids_are_its_own_or_the_sources(subset, tmp_path):
    stated = results_of(subset, "val")[:-2]
    merged(subset)
    own = [entry | {"category_id": 1} for entry in stated]
    with pytest.raises(CocomineError, match="has classes of its own") as caught:
        score_results(subset, own, "boxes", tmp_path / "out")
    assert "category_ids: labels" in caught.value.hint
    assert "category_ids: source" in caught.value.hint
    figures = [
        score_results(subset, entries, "boxes", tmp_path / ids, category_ids=ids)["all"]
        for entries, ids in ((own, "labels"), (stated, "source"))
    ]
    assert figures[0] == figures[1]


def test_class_ids_that_fit_another_meaning_are_an_error_that_names_it(subset, tmp_path):
    entries = [e | {"category_id": {DOG: 1, GIRAFFE: 2}[e["category_id"]]} for e in results_of(subset, "val")[:-2]]
    with pytest.raises(CocomineError, match="none of the ids of the source") as caught:
        score_results(subset, entries, "boxes", tmp_path / "out")
    assert "category_ids: labels" in caught.value.hint


def test_results_of_nothing_have_a_precision_of_zero(subset, tmp_path):
    result = score_results(subset, [], "boxes", tmp_path / "out")
    assert result["all"]["AP"] == 0.0
    assert result["predictions"]["images_without_results"] == 2


def test_poses_without_poses_in_the_subset_say_what_to_name(subset):
    with pytest.raises(CocomineError, match=r"person_keypoints\.json") as caught:
        ground_of_subset(subset, SETTINGS, "keypoints")
    assert "--annotations" in caught.value.hint


@pytest.mark.parametrize(
    ("task", "part", "words"),
    [
        ("boxes", {"bbox": [1, 2, 3]}, "result 0: its bbox is not four numbers"),
        ("boxes", {"bbox": [1, 2, float("nan"), 3]}, "result 0: its bbox holds a number that is not finite"),
        ("boxes", {"bbox": [1, 2, -3, 3]}, "result 0: its bbox has a negative size"),
        ("masks", {"segmentation": [[0, 0, 5, 0, 5, 5]]}, "no compressed RLE"),
        ("masks", {"segmentation": {"size": [9, 9], "counts": "0"}}, r"size \[9, 9\], its image \[50, 50\]"),
        ("keypoints", {"keypoints": [1, 2]}, "no list of x, y, visibility"),
        ("keypoints", {"keypoints": [1, 2, 2]}, "keypoints of 1 points"),
    ],
)
def test_result_of_a_wrong_form_is_named_by_its_number(subset, tmp_path, task, part, words):
    write_poses(subset)
    category = 1 if task == "keypoints" else DOG
    entries = [{"image_id": 44, "category_id": category, "score": 0.5, **part}]
    with pytest.raises(CocomineError, match=words):
        score_results(subset, entries, task, tmp_path / "out")


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
    with pytest.raises(CocomineError, match=words):
        score_results(subset, content, "boxes", tmp_path / "out")
