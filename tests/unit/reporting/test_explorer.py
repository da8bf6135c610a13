"""The explorer's files: every image is in them, in columns of one length, and names from outside break nothing."""

import base64
import json
import re
from io import BytesIO

import numpy as np
import pytest
from cocomine.base.errors import CocomineError
from cocomine.base.files import read_table
from cocomine.coco.labels import read_labels
from cocomine.coco.reader import load_document
from cocomine.evaluation.pictures import original
from cocomine.images.thumbnails import thumbnail as thumbnail_of
from cocomine.masks.inputs import ImageRow
from cocomine.masks.sheet import write_contact_sheet
from cocomine.reporting.explorer import Inputs, render_explorer
from cocomine.reporting.pictures import thumbnail
from cocomine.sources.selection import locked_images
from helpers.explored import GONE, make_explored
from helpers.small_report import add_report_inputs
from helpers.small_subset import make_small_subset
from PIL import Image

COLUMNS = ("id", "path", "name", "mask", "width", "height", "objects", "labels", "group", "grouped", "brightness",
           "split", "role", "licence", "source", "aspect", "sized", "cell")  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_explored(tmp_path_factory.mktemp("explorer"))


def data_of(folder):
    text = (folder / "explorer" / "data.js").read_text(encoding="utf-8")
    return json.loads(text.removeprefix("window.cocomine = ").removesuffix(";\n"))


def test_every_image_is_there_once_and_every_column_has_its_length(made):
    data = data_of(made.folder)
    images = list(read_table(made.folder / "images.tsv"))
    assert data["id"] == [int(row["image_id"]) for row in images]
    assert {name: len(data[name]) for name in COLUMNS} == dict.fromkeys(COLUMNS, len(images))


def test_objects_and_classes_are_those_of_the_subset(made):
    data = data_of(made.folder)
    document = load_document(made.folder / "subset.json")
    text = (made.folder / "explorer" / "objects-0.js").read_text(encoding="utf-8")
    details = json.loads(text.removeprefix("window.cocomine.details[0] = ").removesuffix(";\n"))
    boxes = [objects for objects, *_ in details]
    assert sum(data["objects"]) == len(document.annotations)
    assert sorted(one[6] for of_image in boxes for one in of_image) == sorted(a.id for a in document.annotations)
    names = {category.id: category.name for category in document.categories}
    for image, of_image in zip(data["id"], boxes, strict=True):
        stated = sorted(names[a.category_id] for a in document.annotations if a.image_id == image)
        shown = [data["classes"][one[0]]["name"] if one[0] >= 0 else "person" for one in of_image]
        assert sorted(shown) == stated


def test_a_sheet_shows_each_image_in_its_cell(made):
    data = data_of(made.folder)
    assert data["sheets"] == ["thumbnails/sheet-0.jpg", "thumbnails/sheet-1.jpg"]
    assert data["cell"] == [102, 101, 100, 99, 98]
    for path, cell in zip(data["path"], data["cell"], strict=True):
        with (
            Image.open(made.store / path) as photograph,
            Image.open(made.folder / data["sheets"][cell // 100]) as sheet,
        ):
            small = thumbnail_of(photograph).convert("RGB")
            x, y = (160 - small.width) // 2 + cell % 10 * 160, (120 - small.height) // 2 + cell % 100 // 10 * 120
            inner = [np.asarray(one, np.int16)[8:-8, 8:-8] for one in (small, sheet.crop((x, y, x + 160, y + 120)))]
            height, width, _ = inner[0].shape
        assert np.abs(inner[0] - inner[1][:height, :width]).mean() < 6


def test_a_page_to_be_mailed_holds_the_thumbnails_of_its_own_images_alone(made, tmp_path):
    page = made.folder / "mailed.html"
    render_explorer(Inputs(made.folder, "animals", made.store), page, single_file=True)
    text = page.read_text(encoding="utf-8")
    data = json.loads(text.partition("window.cocomine = ")[2].partition(";</script>")[0])
    assert (data["cell"], len(data["sheets"])) == ([0, 1, 2, 3, 4], 1)
    with Image.open(BytesIO(base64.b64decode(data["sheets"][0].partition(",")[2]))) as sheet:
        assert sheet.size == (1600, 1200)
        assert max(map(abs, np.subtract(sheet.getpixel((1599, 1199)), (226, 229, 233)))) <= 3


def test_a_folder_without_thumbnails_is_named(tmp_path):
    small = make_small_subset(tmp_path / "results")
    with pytest.raises(CocomineError, match="thumbnails") as error:
        render_explorer(Inputs(small.folder, "animals", small.store), small.folder / "explorer.html")
    assert "measure_images" in error.value.hint


def test_the_same_inputs_give_the_same_bytes(made, tmp_path):
    before = {path.name: path.read_bytes() for path in (made.folder / "explorer").iterdir()}
    run = made.folder.parent / "experiments" / "linknet" / "on-animals"
    render_explorer(Inputs(made.folder, "animals", made.store, (run,), lambda: GONE), made.folder / "explorer.html")
    assert {path.name: path.read_bytes() for path in (made.folder / "explorer").iterdir()} == before


def test_the_page_holds_no_data_and_asks_nothing_of_a_network(made):
    html = (made.folder / "explorer.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=\"(https?:)?//", html)
    assert "default-src &#39;none&#39;" in html


def test_a_hostile_name_stays_text(made):
    render_explorer(Inputs(made.folder, "<img src=x onerror=alert(1)>", made.store), made.folder / "other.html")
    assert "<img src=x" not in (made.folder / "other.html").read_text(encoding="utf-8")


def test_a_folder_that_is_no_subset_is_named(tmp_path):
    with pytest.raises(CocomineError, match=r"images\.tsv"):
        render_explorer(Inputs(tmp_path, "x", tmp_path), tmp_path / "explorer.html")


def test_an_image_that_was_exchanged_since_it_was_locked_is_in_no_picture(tmp_path):
    small = make_small_subset(tmp_path / "results")
    add_report_inputs(small)
    (small.folder / "thumbnails").mkdir()
    row = next(read_table(small.folder / "images.tsv"))
    Image.new("RGB", (int(row["width"]), int(row["height"])), (1, 2, 3)).save(small.store / row["store_path"])
    explorer = Inputs(small.folder, "animals", small.store)
    with pytest.raises(CocomineError, match=f"1 image is not as locked .*{row['store_path']}"):
        render_explorer(explorer, small.folder / "single.html", single_file=True)
    assert not (small.folder / "single.html").exists()
    stated, sha256 = (
        (int(row["width"]), int(row["height"])),
        locked_images(small.folder / "images.lock.tsv", [row["store_path"]]),
    )
    with pytest.raises(CocomineError, match="not as locked"):
        thumbnail(small.store, row["store_path"], stated, sha256[row["store_path"]])
    with pytest.raises(CocomineError, match="not as locked"):
        original(small.folder, small.store, int(row["image_id"]))
    shown = [ImageRow(1, row["file_name"], row["store_path"], *stated, sha256[row["store_path"]])]
    with pytest.raises(CocomineError, match="not as locked"):
        write_contact_sheet(
            tmp_path / "sheet.png", shown, read_labels(small.folder / "labels.json"), small.store, None, 4
        )
