import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from cocomine.base.files import read_table
from helpers.mask_oracle import write_subset
from helpers.shared import ROOT, coco_mini
from PIL import Image


def test_scripts_draw_and_pack_the_real_slice_from_the_command_line(tmp_path: Path) -> None:
    content = json.loads((coco_mini() / "annotations" / "instances_val2017.json").read_text())
    write_subset(tmp_path, content, split="val2017")
    common = ["--images", str(tmp_path / "images.tsv"), "--threads", "2"]
    for script, options in (
        ("rasterize_masks.py", ["--subset", str(tmp_path / "subset.json"), "--labels", str(tmp_path / "labels.json"),
                                "--out-dir", str(tmp_path), "--store-dir", str(coco_mini())]),
        ("pack_tensors.py", ["--store-dir", str(coco_mini()), "--masks-dir", str(tmp_path / "masks"),
                             "--out-dir", str(tmp_path / "tensors" / "128")]),
    ):  # fmt: skip
        command = [sys.executable, str(ROOT / "scripts" / script), *common, *options]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "79 images in" in done.stderr
    images = np.load(tmp_path / "tensors" / "128" / "images.npy", mmap_mode="r")
    assert images.shape == (79, 128, 128, 3)
    for row in list(read_table(tmp_path / "tensors" / "128" / "index.tsv"))[::20]:
        photo = Image.open(coco_mini() / "val2017" / row["file_name"]).convert("RGB")
        assert np.array_equal(images[int(row["row"])], np.asarray(photo.resize((128, 128), Image.Resampling.BILINEAR)))
    assert Image.open(tmp_path / "contact_sheet.png").width > 1000
