import json

import numpy as np
import pytest
from cocomine.base.errors import CocomineError
from cocomine.formats.export import export_dataset
from helpers.small_subset import IMAGES, make_small_subset
from PIL import Image


def test_every_segment_of_the_document_has_its_pixels_in_the_png(tmp_path):
    subset = make_small_subset(tmp_path / "small")
    manifest = export_dataset("panoptic", subset.folder, subset.store, tmp_path / "out")
    for split, count in (("train", 3), ("val", 2)):
        document = json.loads((tmp_path / "out" / "annotations" / f"panoptic_{split}.json").read_text())
        assert [image["id"] for image in document["images"]] == [row[0] for row in IMAGES if row[5] == split]
        assert len(document["annotations"]) == count
        for record in document["annotations"]:
            folder = tmp_path / "out" / "annotations" / f"panoptic_{split}"
            with Image.open(folder / record["file_name"]) as picture:
                ids = np.asarray(picture).astype(int) @ [1, 256, 65536]
            named = {segment["id"] for segment in record["segments_info"] if not segment["iscrowd"]}
            assert set(np.unique(ids)) - {0} == named
        for image in document["images"]:
            assert (tmp_path / "out" / split / image["file_name"]).is_file()
    assert [row["name"] for row in document["categories"]] == ["dog", "giraffe"]
    assert manifest["totals"]["objects_in"] == 9


def test_masks_that_were_not_drawn_are_named_with_the_key_that_draws_them(tmp_path):
    subset = make_small_subset(tmp_path / "small")
    (subset.folder / "masks" / "panoptic").rename(tmp_path / "elsewhere")
    with pytest.raises(CocomineError, match="shows panoptic masks") as error:
        export_dataset("panoptic", subset.folder, subset.store, tmp_path / "out")
    assert "masks.outputs" in error.value.hint
    assert not (tmp_path / "out").exists()
