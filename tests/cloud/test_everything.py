"""Whatever a config can ask for, in its smallest form, by jobs that share only a bucket: the lock of one machine.

Imports of each form, merged sources, two sources compared object by object, predictions that lie there already, a
program of the user's own and what it predicts, labels held against that, and several runs.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.own_data import draw_image
from helpers.workflow import snakemake

from cloud.buckets import NAME, S3Bucket
from cloud.build import build, differing

LABELME = {
    "version": "5.5.0", "flags": {}, "imageData": None, "imageHeight": 48, "imageWidth": 64,
    "shapes": [
        {"label": "leaf", "points": [[10, 8], [30, 24]], "shape_type": "rectangle", "group_id": None, "flags": {}}
    ],
}  # fmt: skip
VOC = (
    "<annotation><filename>{}.jpg</filename><object><name>leaf</name><bndbox><xmin>11</xmin><ymin>9</ymin>"
    "<xmax>30</xmax><ymax>24</ymax></bndbox></object></annotation>"
)
DRAWN = {"images": 24, "near_duplicates": 1, "broken": 1, "width": 160, "height": 120}
DEGRADE = "python $COCOMINE_HOME/config/examples/degrade.py"
FORMS = ("yolo", "voc", "labelme", "csv")
PREDICTED = [
    {"image_id": f"yolo{number}", "category_id": 1, "bbox": [11, 8, 20, 16], "score": 0.8} for number in range(2)
]


def own_labels(root: Path) -> None:
    """Lay two images of each form of labels, an object in each, below `root`."""
    for seed, form in enumerate(FORMS):
        for number in range(2):
            images = root / form / {"yolo": "images", "voc": "JPEGImages"}.get(form, ".")
            draw_image(images / f"{form}{number}.jpg", 10 * seed + number)
    for folder in ("yolo/labels", "voc/Annotations"):
        (root / folder).mkdir()
    for number in range(2):
        (root / f"yolo/labels/yolo{number}.txt").write_text("0 0.3125 0.333333 0.3125 0.333333\n")
        (root / f"voc/Annotations/voc{number}.xml").write_text(VOC.format(f"voc{number}"))
        said = {**LABELME, "imagePath": f"labelme{number}.jpg"}
        (root / f"labelme/labelme{number}.json").write_text(json.dumps(said))
    (root / "yolo/data.yaml").write_text("names: [leaf]\ntrain: images\n")
    rows = [f"csv{number}.jpg,64,48,leaf,10,8,30,24\n" for number in range(2)]
    (root / "csv/boxes.csv").write_text("filename,width,height,class,xmin,ymin,xmax,ymax\n" + "".join(rows))


def everything(root: Path) -> dict[str, Any]:
    """A config of all that a build over a bucket may meet, on labels below `root`."""
    train = {"iterations": 2, "batch": 4, "device": "cpu", "precision": "fp32"}
    return {
        "sources": {
            "demo": {"synthetic": DRAWN, "tasks": ["instances"]},
            **{form: {"format": form, "folder": str(root / form)} for form in FORMS},
        },
        "subsets": {"both": {"sources": ["demo", *FORMS], "categories": ["person", "giraffe", "leaf"]}},
        "masks": {"outputs": ["semantic", "instance"], "boxes": "fill"},
        "split": {"strategy": "hash", "shares": {"train": 0.6, "val": 0.4}},
        "tensors": {"size": 32},
        "exports": ["coco"],
        "comparisons": {"itself": {"first": "demo", "second": "demo", "splits": ["val"], "shown": 2}},
        "predictions": {
            "given": {
                "source": "yolo", "split": "all", "task": "boxes", "file": "given.json", "image_ids": "stems",
                "bootstrap": 20,
            },
        },
        "experiments": {
            "tiny": {
                "subset": "both", "seeds": [0, 1], "model": {"weights": "none"}, "train": train,
                "evaluation": {"bootstrap": 20, "pictures": 1},
            },
            "degraded": {
                "subset": "both", "command": f"{DEGRADE} masks && {DEGRADE} semantic",
                "export": "coco", "predictions": {
                    "masks": {"file": "masks.json", "label_errors": 5, "bootstrap": 20},
                    "semantic": {"folder": "semantic", "pictures": 1, "bootstrap": 20},
                },
            },
        },
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_all_that_a_config_can_ask_for_ends_in_the_lock_of_one_machine(tmp_path: Path) -> None:
    own_labels(tmp_path / "own")
    config, alone = everything(tmp_path / "own"), tmp_path / "alone"
    alone.mkdir()
    (alone / "given.json").write_text(json.dumps(PREDICTED))
    (alone / "my.yaml").write_text(yaml.safe_dump(config))
    done = snakemake(alone, "--configfile", str(alone / "my.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    with S3Bucket() as bucket:
        bucket.client.upload_file(str(alone / "given.json"), NAME, "build/given.json")
        done = build(bucket, "kubernetes", config, tmp_path / "over", tmp_path / "scratch")
        assert done.returncode == 0, done.stdout + done.stderr
        assert differing(bucket, alone, tmp_path) == []
        # Its jobs ran on one machine whose disk keeps what they fetch.
        assert bucket.fetched_again() == {}
        # Each object is stored, asked for once after that, and fetched; and each process lists what is there.
        assert bucket.requests.total() < 5 * len(bucket.sizes())
