"""A small subset with its explorer: everything that an enlarged image can show, and a run that was judged."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cocomine.base.files import read_json, read_table, write_json
from cocomine.images.thumbnails import Sheets, thumbnail
from cocomine.inquiry.left_out import LeftOut
from cocomine.reporting.explorer import Inputs, render_explorer
from PIL import Image

from helpers.small_report import add_report_inputs
from helpers.small_subset import IMAGES, SmallSubset, make_small_subset

GONE = LeftOut([("other_annotations", "annotations of other categories left out")], {12: [(77, "person", 0)]})
SCORES = {44: 0.25, 58: None}
"""The images of val, as the run was judged: 58 shows no class."""


def make_explored(root: Path) -> SmallSubset:
    small = make_small_subset(root)
    add_report_inputs(small)
    run = small.folder.parent / "experiments" / "linknet" / "on-animals"
    (run / "predicted").mkdir(parents=True)
    columns = {"image_id": list(SCORES), "iou_mean_foreground": list(SCORES.values())}
    pq.write_table(pa.table(columns), run / "per_image.parquet")
    for image, name, *_ in IMAGES:
        if image in SCORES:
            Image.fromarray(np.ones((8, 8), np.uint8)).save(run / "predicted" / f"{name[:-4]}.png")
    (small.folder / "thumbnails").mkdir()
    sheets = Sheets(small.folder / "thumbnails")
    for level in range(98):  # of images that were set aside since
        sheets.add(thumbnail(Image.new("L", (160, 120), level)))
    cells = {
        int(row["image_id"]): sheets.add(thumbnail(Image.open(small.store / row["store_path"])))
        for row in reversed(list(read_table(small.folder / "images.tsv")))
    }
    sheets.finish()
    measured = {
        "image_id": [row[0] for row in IMAGES],
        "brightness": [0.1, 0.2, 0.3, 0.4, 0.5],
        "cell": [cells[row[0]] for row in IMAGES],
    }
    pq.write_table(pa.table(measured), small.folder / "images.parquet")
    joints = [{"id": 1, "name": "person", "keypoints": ["nose", "neck"], "skeleton": [[1, 2]]}]
    person = {"id": 5, "image_id": 7, "category_id": 1, "keypoints": [9, 9, 2, 20, 20, 1], "num_keypoints": 2}
    nobody = {"id": 6, "image_id": 12, "category_id": 1, "keypoints": [0] * 6, "num_keypoints": 0}
    document = {"images": [], "annotations": [person, nobody], "categories": joints}
    write_json(small.folder / "tasks" / "person_keypoints.json", document)
    captions = read_json(small.folder / "tasks" / "captions.json")
    captions["annotations"].append({"id": 9, "image_id": 44, "caption": "They Play."})
    write_json(small.folder / "tasks" / "captions.json", captions)
    inputs = Inputs(small.folder, "animals", small.store, (run,), lambda: GONE)
    render_explorer(inputs, small.folder / "explorer.html")
    return small
