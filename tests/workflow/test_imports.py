"""Labels of another form than COCO's, through the workflow: imported once, again when a label changes."""

import json
from pathlib import Path

import pytest
import yaml
from helpers.own_data import draw_image
from helpers.workflow import planned, snakemake

pytestmark = pytest.mark.slow  # each test runs the workflow

BOX = "0 0.3125 0.333333 0.3125 0.333333\n"


def test_yolo_labels_become_a_subset_and_a_changed_label_is_imported_again(tmp_path: Path) -> None:
    folder, work = tmp_path / "own", tmp_path / "work"
    for number in range(4):
        draw_image(folder / f"images/{number}.jpg", number)
        (folder / "labels").mkdir(exist_ok=True)
        (folder / f"labels/{number}.txt").write_text(BOX)
    (folder / "labels/3.txt").write_text(f"{BOX}0 0.5 0.5\n")
    (folder / "data.yaml").write_text("names: [leaf]\ntrain: images\n")
    config = {"sources": {"own": {"format": "yolo", "folder": str(folder)}}, "subsets": {"leaves": {}}, "exports": []}
    work.mkdir()
    (work / "my.yaml").write_text(yaml.safe_dump(config))
    command = ("--configfile", str(work / "my.yaml"), "--until", "assemble_subset")
    done = snakemake(work, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "labels: 5 in = 4 kept + 0 repaired + 1 quarantined" in done.stderr
    assert "labels/3.txt, 2: field-count" in done.stderr
    assert "warning: 1 of 5 labels set aside [own]: see data/imports/own/quarantine.tsv" in done.stdout
    subset = json.loads((work / "results/leaves/subset.json").read_text())
    # The image of the broken line is not taken for one in which nothing else is.
    assert [image["file_name"] for image in subset["images"]] == [f"images/{number}.jpg" for number in range(3)]
    assert {tuple(item["bbox"]) for item in subset["annotations"]} == {(10, 8, 20, 16)}
    images = work / "data/images/own/all"
    assert images.is_symlink()
    assert images.resolve() == folder.resolve()

    assert planned(work, *command) == {}
    (folder / "labels/3.txt").write_text(BOX)
    jobs = planned(work, *command)
    assert jobs["import_labels"] == 1
    assert snakemake(work, *command).returncode == 0
    subset = json.loads((work / "results/leaves/subset.json").read_text())
    assert len(subset["images"]) == len(subset["annotations"]) == 4
