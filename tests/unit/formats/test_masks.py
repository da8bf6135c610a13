from pathlib import Path

import numpy as np
import pytest
from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json, write_json
from cocomine.formats.export import export_dataset
from cocomine.formats.pixels import grey_png, read_values
from helpers.small_subset import IMAGES, make_small_subset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

VALUES = st.tuples(st.sampled_from([np.uint8, np.uint16]), st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda drawn: arrays(drawn[0], drawn[1:])
)


@pytest.mark.parametrize(("format_name", "folder"), [("masks-grey", "masks"), ("mmsegmentation", "ann_dir")])
def test_grey_masks_hold_the_labels_without_a_palette(format_name, folder, tmp_path):
    subset = make_small_subset(tmp_path / "small")
    export_dataset(format_name, subset.folder, subset.store, tmp_path / "out")
    for _, name, _, _, _, split, _ in IMAGES:
        with (
            Image.open(tmp_path / "out" / folder / split / f"{Path(name).stem}.png") as grey,
            Image.open(subset.folder / "masks" / "semantic" / f"{Path(name).stem}.png") as drawn,
        ):
            assert grey.mode == "L"
            assert (np.asarray(grey) == np.asarray(drawn)).all()


def test_metainfo_of_mmsegmentation_is_python_whatever_the_classes_are_called(tmp_path):
    names = ('dog\'s "x"\n{}', "'" * 3 + 'é\\"""')
    subset = make_small_subset(tmp_path / "small", names=names)
    export_dataset("mmsegmentation", subset.folder, subset.store, tmp_path / "out")
    read = {}
    exec((tmp_path / "out" / "metainfo.py").read_text("utf-8"), read)
    assert read["metainfo"]["classes"] == ("background", *names)
    assert read["metainfo"]["palette"][2] == [31, 119, 180]


@given(VALUES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_values_come_back_from_a_grey_png_of_either_depth(tmp_path, values):
    file = tmp_path / "mask.png"
    file.write_bytes(grey_png(values))
    read = read_values(file)
    assert read.dtype == values.dtype
    assert (read == values).all()


@pytest.mark.parametrize("format_name", ["yolo-semantic", "mmsegmentation", "voc"])
def test_formats_whose_readers_take_255_for_void_refuse_more_classes_before_anything_is_written(format_name, tmp_path):
    subset = make_small_subset(tmp_path / "small")
    table = read_json(subset.folder / "labels.json")
    table["labels"] += [{"label": n, "name": f"c{n}", "category_id": 1000 + n} for n in range(3, 256)]
    write_json(subset.folder / "labels.json", {"labels": table["labels"]})
    with pytest.raises(CocomineError, match="masks of 255 classes") as error:
        export_dataset(format_name, subset.folder, subset.store, tmp_path / "out")
    assert "masks-grey" in error.value.hint
    assert not (tmp_path / "out").exists()
    assert export_dataset("masks-grey", subset.folder, subset.store, tmp_path / "out")["totals"]["images"] == 5
