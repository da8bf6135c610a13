"""The split as files: slices byte for byte, nothing lost or doubled, the audit true, the same bytes each time."""

import json
from pathlib import Path

import pytest
from cocomine.base.errors import CocomineError
from cocomine.base.files import read_table
from cocomine.coco.reader import load_document
from cocomine.reporting.splits import _audit_facts
from cocomine.splits.settings import SplitSettings
from cocomine.splits.split import split
from helpers.splits_subsets import TASKS, write_subset

STRATEGIES = {
    "hash": {},
    "stratified": {},
    "official": {},
    "kfold": {"folds": 3, "fold": 1},
    "lists": {"lists": {"val": tuple(range(1, 90, 9))}, "unlisted": "train"},
}
FOLDS = 4
SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}
PARTITIONS = (
    {strategy: (strategy, more, False) for strategy, more in STRATEGIES.items() if strategy != "kfold"}
    | {f"kfold, fold {fold}": ("kfold", {"folds": FOLDS, "fold": fold}, False) for fold in range(FOLDS)}
    | {f"{strategy} with test": (strategy, {"shares": SHARES}, False) for strategy in ("hash", "stratified-kfold")}
    | {"inherited from hash with test": ("hash", {"shares": SHARES}, True)}
    | {f"inherited from {strategy}": (strategy, more, True) for strategy, more in STRATEGIES.items()}
)
"""Strategy and further settings of each way to part a subset, and whether it is inherited from another subset's."""


def run(folder, out=None, like=None, previous=None, **settings):
    out = out or folder
    split(SplitSettings(**settings), folder, folder / "images.parquet", out, like, previous)
    return json.loads((out / "split_audit.json").read_text()), list(read_table(out / "split.tsv"))


def assert_parts(whole_file: Path, part_files: list[Path], images: list[set[int]]) -> list[int]:
    """Assert that the files are the parts of a COCO file, record by record; return their numbers of annotations."""
    whole, *parts = (json.loads(file.read_text("utf-8")) for file in (whole_file, *part_files))
    texts, *parts_texts = (load_document(file) for file in (whole_file, *part_files))
    for field in ("images", "annotations"):
        # A panoptic record is known by its image.
        every, *ids = ([r.get("id", r.get("image_id")) for r in document[field]] for document in (whole, *parts))
        assert sorted(one for own in ids for one in own) == sorted(every)
        assert len(set(every)) == len(every) > 0
        for part, own in zip(parts_texts, images, strict=True):
            owner = {"images": "id", "annotations": "image_id"}[field]
            expected = [bytes(record.raw) for record in getattr(texts, field) if getattr(record, owner) in own]
            assert [bytes(record.raw) for record in getattr(part, field)] == expected
    for part, part_texts, own in zip(parts, parts_texts, images, strict=True):
        assert {record["id"] for record in part["images"]} <= own
        assert {record["image_id"] for record in part["annotations"]} <= {record["id"] for record in part["images"]}
        rest = set(whole) - {"images", "annotations"}
        assert set(part) == set(whole)
        assert {key: part[key] for key in rest} == {key: whole[key] for key in rest}
        categories = [[bytes(category.raw) for category in one.categories] for one in (part_texts, texts)]
        assert categories[0] == categories[1]
    return [len(part["annotations"]) for part in parts]


@pytest.mark.parametrize("case", PARTITIONS)
def test_the_splits_of_every_task_are_the_subset_and_share_nothing(tmp_path, case):
    strategy, more, parent = PARTITIONS[case]
    twins = [(0, 1), (5, 20), (7, 41)]
    settings = {"strategy": strategy, **more}
    like = None
    if parent:
        # A quarter of the images are new to the split that is inherited.
        write_subset(tmp_path / "parent", 45, twins=twins)
        run(tmp_path / "parent", **settings)
        like, settings = tmp_path / "parent/split.tsv", {}
    folder = tmp_path / "subset"
    ids = write_subset(folder, 60, twins=twins)
    audit, rows = run(folder, like=like, **settings)
    assert audit["strategy"] == ("inherited" if parent else strategy)
    assert [int(row["image_id"]) for row in rows] == ids
    names = list(SHARES) if "shares" in more else ["train", "val"]
    images = [{int(row["image_id"]) for row in rows if row["split"] == side} for side in names]
    assert set.union(*images) == set(ids)
    assert all(images)
    files = {}
    for task in ("instances", *TASKS):
        parts = [folder / f"splits/{task}_{side}.json" for side in names]
        files[task] = folder / ("subset.json" if task == "instances" else f"tasks/{task}.json"), parts
    for part, own in zip(files["instances"][1], images, strict=True):
        assert {record["id"] for record in json.loads(part.read_text())["images"]} == own
    assert sorted(path.name for path in (folder / "splits").iterdir()) == sorted(
        part.name for _, parts in files.values() for part in parts
    )
    counts = {task: assert_parts(whole, parts, images) for task, (whole, parts) in files.items()}
    assert audit["annotations"] == {task: dict(zip(names, both, strict=True)) for task, both in counts.items()}
    assert all(min(both) > 0 for both in counts.values())
    assert audit["images"] == 60
    assert {name: part["images"] for name, part in audit["splits"].items()} == dict(
        zip(names, map(len, images), strict=True)
    )
    assert audit["links_across_splits"] == []


def test_every_image_is_in_val_of_one_fold_only(tmp_path):
    ids = write_subset(tmp_path, 60, twins=[(0, 1), (5, 20), (7, 41)])
    in_val = []
    for fold in range(FOLDS):
        _, rows = run(tmp_path, tmp_path / str(fold), strategy="kfold", folds=FOLDS, fold=fold)
        in_val += [int(row["image_id"]) for row in rows if row["split"] == "val"]
        assert all((row["split"] == "val") == (row["fold"] == str(fold)) for row in rows)
    assert sorted(in_val) == ids


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_subset_gives_the_same_bytes(tmp_path, strategy):
    write_subset(tmp_path, 60, twins=[(0, 1)])
    for name in ("a", "b"):
        run(tmp_path, tmp_path / name, strategy=strategy, **STRATEGIES[strategy])
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(files) == 2 + 2 * (1 + len(TASKS))
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)


def test_the_audit_says_what_was_grouped_and_why(tmp_path):
    write_subset(tmp_path, 40, twins=[(3, 9), (9, 11)])
    audit, rows = run(tmp_path)
    assert [group["images"] for group in audit["groups"]] == [[10, 28, 34]]
    assert {why["why"] for why in audit["groups"][0]["why"]} == {"near-duplicate"}
    of = {row["image_id"]: row["group"] for row in rows}
    assert of["10"] == of["28"] == of["34"] == "10"
    assert of["13"] == "13"


def test_near_duplicates_that_are_allowed_apart_are_listed_when_they_are(tmp_path):
    write_subset(tmp_path, 60, twins=[(place, place + 30) for place in range(30)])
    audit, rows = run(tmp_path, near_duplicates="allow")
    side = {int(row["image_id"]): row["split"] for row in rows}
    apart = sorted([i, i + 90] for i in list(side)[:30] if side[i] != side[i + 90])
    assert apart
    assert sorted(link["images"] for link in audit["links_across_splits"]) == apart


def test_class_shares_deviations_and_the_best_possible_are_true(tmp_path):
    write_subset(tmp_path, 83)
    audit, rows = run(tmp_path, strategy="stratified")
    side = {int(row["image_id"]): row["split"] for row in rows}
    document = json.loads((tmp_path / "subset.json").read_text())
    for entry in audit["classes"]:
        objects = [a for a in document["annotations"] if a["category_id"] == entry["category_id"]]
        images = {a["image_id"] for a in objects}
        in_val = sum(side[image] == "val" for image in images)
        assert entry["images"] == {"train": len(images) - in_val, "val": in_val}
        assert entry["objects"]["val"] == sum(side[a["image_id"]] == "val" for a in objects)
        assert entry["deviation"] == pytest.approx(abs(in_val / len(images) - 0.2), abs=1e-6)
        best = min(abs(k / len(images) - 0.2) for k in range(len(images) + 1))
        assert entry["best_possible"] == pytest.approx(best, abs=1e-6)
        assert entry["deviation"] <= 0.04


def test_what_near_duplicates_prevent_is_said_in_the_audit(tmp_path):
    write_subset(tmp_path, 8, twins=[(0, 1), (0, 2), (0, 3), (4, 5), (4, 6), (4, 7)])
    audit, _ = run(tmp_path, shares={"train": 0.6, "val": 0.4})
    val = audit["splits"]["val"]
    assert (val["asked"], val["nearest_possible"], val["images"]) == (3, 4, 4)
    assert audit["note"] == "3 images were asked for in val; groups stay together, so the nearest number is 4"


def test_what_the_smallness_of_a_subset_prevents_is_not_laid_to_groups(tmp_path):
    write_subset(tmp_path / "a", 2)
    audit, _ = run(tmp_path / "a")
    assert audit["groups"] == []
    assert audit["splits"]["val"]["images"] == 1
    assert audit["note"] == "0 images were asked for in val; no split may be empty, so the nearest number is 1"
    write_subset(tmp_path / "b", 2)
    audit, _ = run(tmp_path / "b", shares={"train": 0.1, "val": 0.9})
    assert audit["note"] == "2 images were asked for in val; no split may be empty, so the nearest number is 1"


def test_the_same_photograph_of_two_years_stays_on_one_side(tmp_path):
    names = [f"{n:012d}.jpg" for n in range(30)] + [f"COCO_val2014_{n:012d}.jpg" for n in range(30)]
    write_subset(tmp_path, 60, names=names, twins=[(n, n + 30) for n in range(30)])
    audit, _ = run(tmp_path)
    assert len(audit["groups"]) == 30
    assert any(why["why"] == "same image" for why in audit["groups"][0]["why"])


def test_a_split_is_inherited_by_image_id(tmp_path):
    write_subset(tmp_path / "one", 60)
    write_subset(tmp_path / "other", 40)
    _, before = run(tmp_path / "one", strategy="kfold")
    audit, after = run(tmp_path / "other", like=tmp_path / "one/split.tsv")
    expected = {row["image_id"]: (row["split"], row["fold"]) for row in before}
    assert all(expected[row["image_id"]] == (row["split"], row["fold"]) for row in after)
    assert audit["strategy"] == "inherited"


def test_moves_since_an_earlier_split_are_counted(tmp_path):
    write_subset(tmp_path / "one", 60)
    write_subset(tmp_path / "more", 66)
    run(tmp_path / "one")
    audit, _ = run(tmp_path / "more", previous=tmp_path / "one/split.tsv")
    moves = audit["previous"]
    assert moves["moved"] == sum(way["images"] for way in moves["ways"])
    told = {row["name"]: row["value"] for row in _audit_facts(audit)["audit"]}
    assert told["Images in another split than before"] == moves["moved"]
    assert told["Images that the split before did not have"] == 6
    assert told["Images of the split before that are gone"] == 0
    assert (moves["new"], moves["gone"]) == (6, 0)
    assert moves["same_split"] + moves["moved"] == 60
    assert audit["stability"]["moved"] <= 4


@pytest.mark.parametrize("missing", ["subset.json", "images.tsv", "images.parquet"])
def test_a_missing_input_is_an_error_that_names_it(tmp_path, missing):
    write_subset(tmp_path, 10)
    (tmp_path / missing).unlink()
    with pytest.raises(CocomineError, match=missing) as error:
        run(tmp_path)
    assert error.value.hint


def test_one_image_cannot_be_split(tmp_path):
    write_subset(tmp_path, 1)
    with pytest.raises(CocomineError, match="cannot be split"):
        run(tmp_path)


@pytest.mark.parametrize(
    "broken", ["subset.json", "images.tsv", "images.parquet", *(f"tasks/{task}.json" for task in TASKS)]
)
def test_a_damaged_input_is_an_error_that_names_it(tmp_path, broken):
    write_subset(tmp_path, 10)
    (tmp_path / broken).write_text("neither\nthis\nnor that\n")
    with pytest.raises(CocomineError, match=broken) as error:
        run(tmp_path)
    assert error.value.hint


def test_one_photograph_stays_on_one_side_even_where_near_duplicates_may_part(tmp_path):
    names = [f"{n:012d}.jpg" for n in range(30)] + [f"COCO_val2014_{n:012d}.jpg" for n in range(30)]
    write_subset(tmp_path, 60, names=names, twins=[(n, n + 30) for n in range(30)])
    audit, _ = run(tmp_path, near_duplicates="allow")
    assert len(audit["groups"]) == 30
    assert audit["links_across_splits"] == []


def test_a_group_on_both_sides_is_not_said_to_be_on_one(tmp_path):
    write_subset(tmp_path / "one", 40)
    write_subset(tmp_path / "other", 40, twins=[(n, n + 20) for n in range(20)])
    _, before = run(tmp_path / "one")
    audit, _ = run(tmp_path / "other", like=tmp_path / "one/split.tsv")
    side = {int(row["image_id"]): row["split"] for row in before}
    told = {tuple(entry["images"]): entry["splits"] for entry in audit["groups"]}
    assert ["train", "val"] in told.values()
    for images, said in told.items():
        assert said == sorted({side[image] for image in images})


def test_folds_that_groups_make_uneven_are_noted_in_the_audit(tmp_path):
    write_subset(tmp_path, 8, twins=[(0, 1), (0, 2), (0, 3), (4, 5), (4, 6), (4, 7)])
    audit, _ = run(tmp_path, strategy="kfold", folds=2)
    assert audit["note"] == ""
    write_subset(tmp_path / "more", 9, twins=[(0, n) for n in range(1, 7)])
    audit, _ = run(tmp_path / "more", strategy="kfold", folds=2)
    assert audit["note"] == "groups stay together, so the folds hold 7, 2 images and not the same number" or (
        audit["note"] == "groups stay together, so the folds hold 2, 7 images and not the same number"
    )
