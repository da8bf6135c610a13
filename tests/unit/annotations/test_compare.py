import json
import subprocess
import sys
from pathlib import Path

import pytest
from cocomine.annotations.build import build_index
from cocomine.annotations.compare import MEASURES, common_splits, compare, read_labels, write_comparison
from cocomine.base.errors import CocomineError
from helpers.coco_document import document, image, thing

CATS = [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}]
TWO = [[1, 1, 9, 1, 9, 9], [20, 20, 29, 20, 29, 29, 20, 29]]


def source(folder: Path, content, split: str = "val2017") -> Path:
    path = folder / f"instances_{split}.json"
    folder.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    build_index(path, "instances", split, folder / "index" / f"instances_{split}")
    return folder / "index"


@pytest.fixture
def both(tmp_path):
    first = document(
        thing(1, area=100), thing(2, area=5000, segmentation=TWO), images=[image(1), image(2)], categories=CATS
    )
    second = document(
        thing(1, area=1023, category_id=17, image_id=2),
        thing(2, area=1024, category_id=17, iscrowd=1, segmentation={"size": [80, 100], "counts": [8000]}),
        thing(3, area=9216, category_id=17, iscrowd=None),
        thing(4, area=None, category_id=20, segmentation=None),
        images=[image(2), image(1), image(3)],
        categories=[{"id": "17", "name": "Cat "}, {"id": 20, "name": "bird"}],
    )
    return source(tmp_path / "a", first), source(tmp_path / "b", second)


def test_each_measure_counts_what_its_definition_says(both):
    first, second = (read_labels(name, index, ["val2017"], "instances") for name, index in zip("ab", both, strict=True))
    totals = {key: (pair["first"], pair["second"]) for key, pair in compare(first, second)["totals"].items()}
    assert totals == {
        "images": (2, 3),
        "shared_images": (2, 2),
        "classes": (2, 2),
        "classes_ahead": (0, 1),
        "objects": (2, 4),
        "crowds": (0, 1),
        "multi_polygon": (1, 0),
        "rle": (0, 1),
        "without_outline": (0, 1),
        "vertices": (4 + 7, 8),
        "very_small": (1, 0),
        "small": (1, 1),
        "medium": (1, 1),
        "large": (0, 1),
        "unknown_size": (0, 1),
    }


def test_classes_are_matched_by_name_and_kept_where_only_one_has_them(both):
    first, second = (read_labels(name, index, ["val2017"], "instances") for name, index in zip("ab", both, strict=True))
    found = compare(first, second)
    rows = {row["name"]: row for row in found["classes"]}
    assert [(row["name"], row["first_id"], row["second_id"]) for row in found["classes"]] == [
        ("cat", 7, 17),
        ("dog", 9, None),
        ("bird", None, 20),
    ]
    assert rows["cat"]["objects"] == {"first": 2, "second": 3, "difference": 1, "ratio": 1.5}
    assert [rows["cat"][f"images_{key}"] for key in ("in_both", "only_first", "only_second")] == [1, 0, 1]
    assert rows["dog"]["objects"]["ratio"] is None
    assert found["images_with_other_object_counts"] == 2


def test_the_outputs_hold_the_definitions_and_never_change(both, tmp_path):
    first, second = (read_labels(name, index, ["val2017"], "instances") for name, index in zip("ab", both, strict=True))
    for folder in ("x", "y"):
        write_comparison(compare(first, second), tmp_path / folder)
    names = ["classes.tsv", "comparison.json", "comparison.md", "comparison.png", "comparison.tsv"]
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == names
    for name in names:
        assert (tmp_path / "x" / name).read_bytes() == (tmp_path / "y" / name).read_bytes()
    text = (tmp_path / "x" / "comparison.md").read_text()
    assert all(f"**{measure.name}**: {measure.definition}." in text for measure in MEASURES)
    # Of the two images that both have, the first source has 2 objects, and the second 1 and 3.
    assert "| objects, crowds included | 2 | 4 | +2 (×2.00) | 1.00 | 2.00 |" in text


def test_splits_that_both_have_are_found_and_a_missing_one_is_told(both, tmp_path):
    assert common_splits(*both, "instances") == ["val2017"]
    with pytest.raises(CocomineError, match="no split of captions in common"):
        common_splits(*both, "captions")
    with pytest.raises(CocomineError, match="train2017 is not indexed") as caught:
        read_labels("a", both[0], ["train2017"], "instances")
    assert "instances_val2017" in caught.value.hint


def test_splits_are_taken_together(tmp_path):
    folder = tmp_path / "a"
    source(folder, document(thing(1), images=[image(1)]), "val2017")
    index = source(folder, document(thing(2), images=[image(1), image(5)]), "train2017")
    labels = read_labels("a", index, ["train2017", "val2017"], "instances")
    assert labels.image_ids.tolist() == [1, 5]
    assert int(labels.counts["objects"].sum()) == 2


@pytest.mark.slow
def test_the_program_prints_the_table_and_writes_every_form_of_it(tmp_path: Path):
    first = source(tmp_path / "one", document(thing(1)))
    second = source(tmp_path / "two", document(thing(1), thing(2, bbox=[10, 10, 9, 10])))
    script = Path(__file__).parents[3] / "scripts" / "compare_sources.py"
    arguments = ["--first", first, "--second", second, "--out-dir", tmp_path / "out"]
    done = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, check=True)
    assert "| | " in done.stderr
    assert "| objects, crowds included | 1 | 2 | +1 (×2.00) |" in done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "classes.tsv", "comparison.json", "comparison.md", "comparison.png", "comparison.tsv",
    ]  # fmt: skip
