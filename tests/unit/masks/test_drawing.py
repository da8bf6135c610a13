"""Whole drawings of small subsets, against the composition of pycocotools' masks and by hand."""

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json, read_table
from cocomine.masks.draw import rasterize_masks
from cocomine.masks.settings import MaskSettings
from cocomine.masks.subset import Sources
from helpers.mask_oracle import draw, labels_of, write_subset
from helpers.shared import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask

ALL = ("semantic", "instance", "panoptic")
CATEGORIES = [{"id": 1, "name": "cat"}, {"id": 3, "name": "dog"}, {"id": 90, "name": "bus"}]


def box(x: float, y: float, width: float, height: float) -> list[float]:
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def thing(number: int, category: int, *polygons: list[float], image: int = 1, crowd: int = 0) -> dict[str, Any]:
    return {"id": number, "image_id": image, "category_id": category, "iscrowd": crowd, "segmentation": list(polygons)}


def document(annotations: list[dict[str, Any]], height: int = 20, width: int = 30, images: int = 1) -> dict[str, Any]:
    return {
        "images": [
            {"id": i, "file_name": f"{i:012}.jpg", "height": height, "width": width} for i in range(1, images + 1)
        ],
        "annotations": annotations,
        "categories": CATEGORIES,
    }


def drawn(folder: Path, content: dict[str, Any], wanted: MaskSettings, size: int = 128, **more: Any) -> dict[str, Any]:
    write_subset(folder, content, labels_of(more.pop("categories", CATEGORIES)))
    sources = Sources(folder / "images.tsv", folder / "labels.json", folder / "subset.json", **more)
    return rasterize_masks(wanted, sources, folder, size)


def mask(folder: Path, output: str = "semantic", image: int = 1) -> np.ndarray:
    picture = np.asarray(Image.open(folder / "masks" / output / f"{image:012}.png")).astype(np.int64)
    return picture if picture.ndim == 2 else picture @ np.array([1, 256, 65536])


COORDINATES = st.one_of(st.floats(-8, 40), st.integers(-40, 200).map(lambda n: n / 5), st.integers(-8, 40).map(float))
POLYGONS = st.lists(COORDINATES, min_size=6, max_size=12).map(lambda numbers: numbers[: len(numbers) // 2 * 2])
SIDES = st.integers(1, 36)
CATEGORY = st.sampled_from([1, 3, 90, 91])
CROWD = st.sampled_from([0, 0, 0, 1])


def run_lengths(height: int, width: int) -> st.SearchStrategy[dict[str, Any]]:
    """Masks of an image's size as run lengths, as a list of numbers or packed to a text."""
    pixels = height * width
    # Places at which the mask switches, column by column; two at one place make a run of none, as does one at the edge.
    switches = st.lists(st.integers(0, pixels), max_size=12).map(sorted)
    grains = st.integers(0, 2**32).map(lambda seed: np.flatnonzero(np.random.default_rng(seed).random(pixels) < 0.5))

    def packed(places: list[int], text: bool) -> dict[str, Any]:
        plain = {"size": [height, width], "counts": np.diff(np.array([0, *places, pixels])).tolist()}
        return plain | {"counts": coco_mask.frPyObjects(plain, height, width)["counts"].decode()} if text else plain

    return st.builds(packed, st.one_of(switches, grains), st.booleans())


@st.composite
def scenes(draw_one: st.DrawFn) -> dict[str, Any]:
    """Return a document of one to three images of one size, objects and crowds of polygons and of run lengths."""
    height, width = draw_one(SIDES), draw_one(SIDES)
    outlines = st.one_of(st.lists(POLYGONS, min_size=1, max_size=3), run_lengths(height, width))
    boxes_alone = st.tuples(COORDINATES, COORDINATES, st.floats(0.1, 40), st.floats(0.1, 40)).map(list)
    shapes = st.one_of(
        outlines.map(lambda shape: {"segmentation": shape}),
        boxes_alone.map(lambda bbox: {"segmentation": [], "bbox": bbox}),
    )
    found = draw_one(st.lists(st.lists(st.tuples(shapes, CATEGORY, CROWD), max_size=7), min_size=1, max_size=3))
    annotations = [
        thing(10 * image + number, category, image=image, crowd=crowd) | shape
        for image, scene in enumerate(found, 1)
        for number, (shape, category, crowd) in enumerate(scene)
    ]
    return document(annotations, height, width, len(found))


CHOICES = st.builds(
    MaskSettings,
    outputs=st.just(ALL),
    overlap=st.sampled_from(["annotation-order", "smaller-on-top", "void"]),
    crowds=st.sampled_from(["void", "class"]),
    unwanted=st.sampled_from(["background", "void"]),
    boxes=st.sampled_from(["void", "fill"]),
    border=st.sampled_from([0, 0, 1, 2]),
    contact_sheet=st.just(0),
)


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(scenes(), CHOICES)
def test_random_scenes_equal_the_composition_of_pycocotools_masks(
    content: dict[str, Any], wanted: MaskSettings
) -> None:
    annotations = content["annotations"]
    height, width = (content["images"][0][side] for side in ("height", "width"))
    label_of = {1: 1, 3: 2, 90: 3}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drawn(folder, content, wanted, 8)
        lines = list(read_table(folder / "masks" / "instances.tsv"))
        table = {(line["image_id"], line["label"]): line for line in read_table(folder / "masks.tsv")}
        for image in range(1, len(content["images"]) + 1):
            own = [a for a in annotations if a["image_id"] == image]
            expected = draw(wanted, height, width, own, label_of)
            assert np.array_equal(mask(folder, "semantic", image), expected.semantic)
            assert np.array_equal(mask(folder, "instance", image), expected.instance)
            assert np.array_equal(mask(folder, "panoptic", image), expected.panoptic)
            places = 2 * np.arange(8) + 1
            small = expected.instance[(places * height // 16)[:, None], places * width // 16]
            mine = [line for line in lines if line["image_id"] == str(image)]
            for line, item in zip(mine, expected.objects, strict=True):
                assert int(line["area"]) == item["area"]
                assert int(line["pixels"]) == np.count_nonzero(expected.instance == item["number"])
                assert int(line["training_pixels"]) == np.count_nonzero(small == item["number"])
            for label in {item["label"] for item in expected.objects}:
                counted = table[str(image), str(label)]
                singles = [item for item in expected.objects if item["label"] == label]
                singles = [item for item in singles if not item["crowd"] and not item["box"]]
                assert int(counted["pixels"]) == np.count_nonzero(expected.semantic == label)
                assert int(counted["instances"]) == len(singles)
                assert int(counted["empty"]) == sum(item["area"] == 0 for item in singles)
                hidden = sum(item["area"] > 0 and item["uncovered"] == 0 for item in singles)
                assert int(counted["hidden"]) == hidden


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(scenes(), CHOICES)
def test_many_objects_parts_and_rows_are_drawn_as_few_are(content: dict[str, Any], wanted: MaskSettings) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        few, many = Path(name) / "few", Path(name) / "many"
        drawn(few, content, wanted, 8)
        patch.setattr("cocomine.masks.batch.MANY", 1)
        patch.setattr("cocomine.masks.compose.MANY", 1)
        patch.setattr("cocomine.masks.boundaries.CROSSINGS_AT_ONCE", 3)
        # Each image by itself, as a giant is drawn, a few rows at a time.
        patch.setattr("cocomine.masks.subset.IMAGES_IN_A_BATCH", 1)
        patch.setattr("cocomine.masks.png.VALUES_AT_ONCE", 40)
        drawn(many, content, wanted, 8)
        for path in few.rglob("*.*"):
            if path.suffix in (".png", ".tsv", ".json"):
                assert (many / path.relative_to(few)).read_bytes() == path.read_bytes(), path.name


@pytest.mark.slow
def test_twenty_thousand_objects_of_one_image_are_drawn_in_seconds(tmp_path: Path) -> None:
    annotations = [thing(n, 1, box(n % 90, n // 90 % 60, 8, 6)) for n in range(20_000)]
    started = time.monotonic()
    drawn(tmp_path, document(annotations, 70, 100), MaskSettings(outputs=ALL, overlap="void", contact_sheet=0))
    assert time.monotonic() - started < 20
    assert len(list(read_table(tmp_path / "masks" / "instances.tsv"))) == 20_000


def test_an_object_of_ten_thousand_parts_is_their_union(tmp_path: Path) -> None:
    parts = [box(n % 100, n // 100, 0.9, 0.9) for n in range(0, 10_000, 2)]
    drawn(tmp_path, document([thing(1, 1, *parts)], 100, 100), MaskSettings(contact_sheet=0))
    assert np.array_equal(mask(tmp_path), draw(MaskSettings(), 100, 100, [thing(1, 1, *parts)], {1: 1}).semantic)


@pytest.mark.slow
def test_a_polygon_of_a_million_points_is_drawn_or_refused_in_bounded_memory(tmp_path: Path) -> None:
    turn = np.linspace(0, 2 * np.pi, 1_000_000, endpoint=False)
    ring = np.stack([320 + 300 * np.cos(turn), 240 + 200 * np.sin(turn)], axis=1)
    wild = np.random.default_rng(0).uniform(0, 480, (1_000_000, 2))
    content = document([thing(1, 1, ring.ravel().tolist()), thing(2, 1, wild.ravel().tolist(), image=2)], 480, 640, 2)
    write_subset(tmp_path, content, labels_of(CATEGORIES))
    options = ("--subset", "--images", "--labels")
    files = ("subset.json", "images.tsv", "labels.json")
    call = [sys.executable, "scripts/rasterize_masks.py", "--out-dir", str(tmp_path)]
    call += [word for option, file in zip(options, files, strict=True) for word in (option, str(tmp_path / file))]
    # A limit of its own: the peak that the kernel reports of a child contains what this process took before.
    subprocess.run(["prlimit", "--data=1500000000", *call], check=True, cwd=ROOT)
    assert [row["reason"] for row in read_table(tmp_path / "masks" / "refused.tsv")] == ["outline-too-long"]
    assert np.count_nonzero(mask(tmp_path)) == pytest.approx(np.pi * 300 * 200, rel=0.001)


def test_more_objects_than_a_word_has_bits_are_layered_right(tmp_path: Path) -> None:
    # 200 nested boxes, each within the one before: the later and smaller ones lie on top.
    annotations = [thing(n, (1, 3, 90)[n % 3], box(n / 4, n / 4, 60 - n / 2 + 40, 60 - n / 2 + 40)) for n in range(200)]
    for overlap in ("annotation-order", "smaller-on-top", "void"):
        wanted = MaskSettings(outputs=ALL, overlap=overlap, contact_sheet=0)
        folder = tmp_path / overlap
        drawn(folder, document(annotations, 110, 120), wanted)
        expected = draw(wanted, 110, 120, annotations, {1: 1, 3: 2, 90: 3})
        assert np.array_equal(mask(folder), expected.semantic)
        assert np.array_equal(mask(folder, "instance"), expected.instance)


def test_parts_of_one_object_join_even_where_they_overlap(tmp_path: Path) -> None:
    parts = [box(x, 2, 6, 6) for x in range(0, 24, 2)] * 8
    annotations = [thing(1, 3, *parts)]
    drawn(tmp_path, document(annotations), MaskSettings(outputs=ALL, overlap="void", contact_sheet=0))
    assert np.array_equal(mask(tmp_path), draw(MaskSettings(overlap="void"), 20, 30, annotations, {3: 2}).semantic)
    assert set(np.unique(mask(tmp_path))) == {0, 2}


def test_crowd_pixels_become_void_not_class_and_yield_to_every_object(tmp_path: Path) -> None:
    crowd = thing(7, 1, crowd=1) | {"segmentation": {"size": [20, 30], "counts": [0, 600]}}
    annotations = [thing(1, 3, box(5, 5, 8, 8)), crowd]
    for overlap in ("annotation-order", "smaller-on-top", "void"):
        drawn(tmp_path, document(annotations), MaskSettings(outputs=ALL, overlap=overlap, contact_sheet=0))
        semantic = mask(tmp_path)
        assert (semantic[6:12, 6:12] == 2).all()
        assert (semantic[0:4] == 255).all()
        assert set(np.unique(mask(tmp_path, "instance"))) == {1, 65535}
        record = read_json(tmp_path / "masks" / "panoptic.json")["annotations"][0]
        assert [segment["iscrowd"] for segment in record["segments_info"]] == [0, 1]


def test_unwanted_void_warns_where_the_subset_holds_no_unwanted_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(logging.getLogger("cocomine"), "warning", lambda text, *args: said.append(text % args))
    wanted = CATEGORIES[:1]
    held = document([thing(1, 1, box(2, 2, 5, 5)), thing(2, 3, box(10, 2, 5, 5))])
    dropped = document([thing(1, 1, box(2, 2, 5, 5))]) | {"categories": wanted}
    drawn(tmp_path / "held", held, MaskSettings(unwanted="void", contact_sheet=0), categories=wanted)
    drawn(tmp_path / "as-background", dropped, MaskSettings(contact_sheet=0), categories=wanted)
    assert not said
    drawn(tmp_path / "dropped", dropped, MaskSettings(unwanted="void", contact_sheet=0), categories=wanted)
    assert len(said) == 1
    assert "keep_other_annotations" in said[0]


def test_objects_of_one_class_overlap_without_void_in_semantic_masks(tmp_path: Path) -> None:
    annotations = [thing(1, 3, box(2, 2, 10, 10)), thing(2, 3, box(8, 2, 10, 10)), thing(3, 1, box(14, 2, 10, 10))]
    drawn(tmp_path, document(annotations), MaskSettings(outputs=ALL, overlap="void", contact_sheet=0))
    semantic, instance = mask(tmp_path), mask(tmp_path, "instance")
    assert semantic[5, 9] == 2
    assert instance[5, 9] == 65535
    assert semantic[5, 15] == 255


def test_refuse_sets_overlapping_images_aside_and_names_both_objects(tmp_path: Path) -> None:
    annotations = [
        thing(1, 3, box(2, 2, 10, 10)), thing(2, 3, box(8, 2, 10, 10)),
        thing(3, 1, box(2, 2, 5, 5), image=2), thing(4, 1, box(12, 2, 5, 5), image=2),
    ]  # fmt: skip
    content = document(annotations, images=2)
    manifest = drawn(tmp_path, content, MaskSettings(overlap="refuse", contact_sheet=0))
    assert manifest["counts"]["images"] == {"in": 2, "drawn": 1, "refused": 1, "without_masks": 0}
    (line,) = read_table(tmp_path / "masks" / "refused.tsv")
    assert line["reason"] == "objects-overlap"
    assert "annotations 1 and 2" in line["detail"]
    assert not (tmp_path / "masks" / "semantic" / "000000000001.png").exists()
    assert set(np.unique(mask(tmp_path, image=2))) == {0, 1}
    with pytest.raises(CocomineError, match=r"000000000001\.jpg \(image 1\)"):
        drawn(tmp_path, content, MaskSettings(overlap="refuse", bad_images="stop", contact_sheet=0))


def test_smaller_object_is_on_top_whatever_the_order_and_the_later_one_of_equals(tmp_path: Path) -> None:
    small, large, twin = thing(1, 1, box(5, 5, 6, 6)), thing(2, 3, box(2, 2, 16, 16)), thing(3, 90, box(5, 5, 6, 6))
    drawn(tmp_path, document([small, large]), MaskSettings(contact_sheet=0))
    assert mask(tmp_path)[8, 8] == 1
    drawn(tmp_path, document([small, large, twin]), MaskSettings(contact_sheet=0))
    assert mask(tmp_path)[8, 8] == 3


def test_hidden_vanished_and_empty_instances_are_counted_apart(tmp_path: Path) -> None:
    annotations = [
        thing(1, 1, box(2, 2, 10, 10)),
        thing(2, 3, box(4, 4, 4, 4)),
        thing(3, 1, box(20, 3, 1, 1)),
        thing(4, 1, [25.0, 5.0, 25.1, 5.0, 25.1, 5.1]),
    ]
    wanted = MaskSettings(overlap="annotation-order", contact_sheet=0)
    drawn(tmp_path, document([annotations[1], annotations[0], *annotations[2:]]), wanted, size=4)
    rows = {row["label"]: row for row in read_table(tmp_path / "masks.tsv")}
    assert (rows["2"]["instances"], rows["2"]["hidden"], rows["2"]["pixels"]) == ("1", "1", "0")
    assert (rows["1"]["instances"], rows["1"]["vanished"], rows["1"]["empty"]) == ("3", "1", "1")
    states = [row["state"] for row in read_table(tmp_path / "masks" / "instances.tsv")]
    assert states == ["hidden", "visible", "vanished", "empty"]
    summary = read_json(tmp_path / "masks.json")
    assert summary["all"] == {
        "instances": 4,
        "visible": 1,
        "hidden": 1,
        "vanished": 1,
        "empty": 1,
        "crowds": 0,
        "stuff": 0,
        "boxes": 0,
    }
    assert summary["classes"][0]["by_size"]["small"]["vanished"] == 1
    assert sum(summary["pixels"].values()) == 20 * 30


def test_images_without_objects_get_an_empty_mask(tmp_path: Path) -> None:
    drawn(tmp_path, document([], images=2), MaskSettings(outputs=ALL, contact_sheet=0))
    for output in ALL:
        assert not mask(tmp_path, output, 2).any()
    assert list(read_table(tmp_path / "masks.tsv")) == []


@pytest.mark.parametrize(("most", "shown"), [(0, 0), (3, 3), (400, 5)])
def test_contact_sheet_is_written_whatever_it_holds(tmp_path: Path, most: int, shown: int) -> None:
    annotations = [thing(image, 3, box(2, 2, 9, 9), image=image) for image in range(1, 6)]
    (tmp_path / "train2017").mkdir()
    for image in range(1, 6):
        Image.new("RGB", (30, 20), (90, 120, 60)).save(tmp_path / "train2017" / f"{image:012}.jpg")
    sizes = []
    for _ in range(2):
        drawn(tmp_path, document(annotations, images=5), MaskSettings(contact_sheet=most), store=tmp_path)
        sizes.append((tmp_path / "contact_sheet.png").read_bytes())
    assert sizes[0] == sizes[1]
    sheet = np.asarray(Image.open(tmp_path / "contact_sheet.png"))
    green = (sheet == labels_of(CATEGORIES)["labels"][2]["color"]).all(axis=-1)
    assert green.any() == bool(shown)


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_contact_sheet_shows_a_giant_photograph_as_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    content = document([thing(1, 3, box(200, 200, 900, 900))], 1600, 1800)
    content["images"][0]["file_name"] = f"1.{ending}"
    (tmp_path / "train2017").mkdir()
    Image.radial_gradient("L").resize((1800, 1600)).convert("RGB").save(tmp_path / "train2017" / f"1.{ending}")
    sheets = []
    for giant in (10**9, 10**6):
        monkeypatch.setattr("cocomine.masks.sheet.GIANT", giant)
        drawn(tmp_path, content, MaskSettings(), store=tmp_path)
        sheets.append(np.asarray(Image.open(tmp_path / "contact_sheet.png"), np.int16))
    assert 0 < np.abs(sheets[0] - sheets[1]).max() <= 3


OVERLAY_OF_TIES = """
import hashlib
import numpy as np
from cocomine.coco.labels import Labels
from cocomine.masks.sheet import overlay
ties = np.array([[185, 179, 58], [157, 219, 136], [127, 237, 122], [0, 0, 0]], np.uint8)  # halfway between two values
image = np.tile(ties, (64, 64, 1))
labels = Labels(("background", "a"), (None, 1), ((0, 0, 0), (250, 100, 3)), {1: 1})
print(hashlib.sha256(overlay(image, np.zeros((64, 256), np.uint8), labels)).hexdigest())
"""


def test_contact_sheet_is_the_same_on_processors_of_any_age() -> None:
    said = set()
    for processor in ("Prescott", "Haswell", ""):  # as OpenBLAS calls them, "" for this one
        environment = {**os.environ, "OPENBLAS_CORETYPE": processor, "PYTHONPATH": str(ROOT / "scripts")}
        command = [sys.executable, "-c", OVERLAY_OF_TIES]
        said.add(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)
    assert len(said) == 1


def test_contact_sheet_leaves_out_what_the_store_lacks(tmp_path: Path) -> None:
    drawn(tmp_path, document([thing(1, 3, box(2, 2, 9, 9))]), MaskSettings(), store=tmp_path / "nowhere")
    assert Image.open(tmp_path / "contact_sheet.png").width > 0


def test_one_pixel_images_are_drawn(tmp_path: Path) -> None:
    annotations = [thing(1, 3, box(-1, -1, 5, 5))]
    for wanted in (MaskSettings(outputs=ALL, contact_sheet=0), MaskSettings(outputs=ALL, border=2, contact_sheet=0)):
        drawn(tmp_path, document(annotations, 1, 1), wanted)
        assert [mask(tmp_path, output).tolist() for output in ALL] == [[[2]], [[1]], [[1]]]


def test_stuff_lies_beneath_objects_and_counts_as_no_thing(tmp_path: Path) -> None:
    stuff = {"images": [], "annotations": [thing(9, 90, box(0, 0, 30, 20))], "categories": [CATEGORIES[2]]}
    tmp_path.joinpath("stuff.json").write_text(json.dumps(stuff))
    wanted = MaskSettings(outputs=ALL, draw_from="instances+stuff", overlap="void", contact_sheet=0)
    drawn(tmp_path, document([thing(1, 1, box(5, 5, 8, 8))]), wanted, stuff=tmp_path / "stuff.json")
    assert mask(tmp_path)[0, 0] == 3
    assert mask(tmp_path)[8, 8] == 1
    kinds = {c["id"]: c["isthing"] for c in read_json(tmp_path / "masks" / "panoptic.json")["categories"]}
    assert kinds[90] == 0
    assert kinds[1] == 1
    assert mask(tmp_path, "instance")[0, 0] == 0
    assert mask(tmp_path, "instance")[8, 8] == 1
    lines = {row["label"]: row for row in read_table(tmp_path / "masks.tsv")}
    assert (lines["3"]["instances"], lines["1"]["instances"]) == ("0", "1")
    states = [row["state"] for row in read_table(tmp_path / "masks" / "instances.tsv")]
    assert states == ["visible", "stuff"]


@pytest.mark.parametrize("stated", [None, "yes", 2, 0.5])
def test_a_category_that_says_nothing_usable_of_being_a_thing_counts_as_one(tmp_path: Path, stated: object) -> None:
    content = document([thing(1, 3, box(2, 2, 9, 9))])
    content["categories"] = [dict(category, isthing=stated) for category in content["categories"]]
    drawn(tmp_path, content, MaskSettings(outputs=ALL, contact_sheet=0))
    kinds = read_json(tmp_path / "masks" / "panoptic.json")["categories"]
    assert {category["isthing"] for category in kinds} == {1}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"segmentation": [[1, 2, 3, 4]]}, "polygon-too-short"),
        ({"segmentation": None}, "no-segmentation"),
        ({"segmentation": []}, "no-segmentation"),
        ({"segmentation": "mask"}, "record-unreadable"),
        ({"segmentation": [[1, 2, "x", 4, 5, 6]]}, "record-unreadable"),
        ({"segmentation": [[[1, 2]] * 6]}, "record-unreadable"),
        ({"segmentation": {"size": [30, 20], "counts": [600]}}, "rle-size-differs"),
        ({"segmentation": {"size": [20, 30], "counts": [601]}}, "rle-sum"),
        ({"segmentation": [[1, 2, 1e200, 4, 5, 6]]}, "not-finite"),
        ({"iscrowd": "yes"}, "record-unreadable"),
        ({"segmentation": [], "bbox": [1, 2, 3]}, "no-segmentation"),
        ({"segmentation": [], "bbox": [1, 2, 0, 4]}, "no-segmentation"),
        ({"segmentation": [], "bbox": [1, 2, "3", 4]}, "no-segmentation"),
        ({"segmentation": [], "bbox": [1, 2, 1e200, 4]}, "not-finite"),
    ],
)
def test_an_image_that_cannot_be_drawn_is_set_aside_with_its_reason(tmp_path: Path, change: dict, reason: str) -> None:
    good, bad = thing(1, 1, box(2, 2, 9, 9), image=2), thing(2, 3, box(2, 2, 9, 9)) | change
    manifest = drawn(tmp_path, document([good, bad], images=2), MaskSettings(contact_sheet=0))
    assert manifest["refused"] == {reason: 1}
    assert [path.name for path in (tmp_path / "masks" / "semantic").iterdir()] == ["000000000002.png"]
    counts = manifest["counts"]["annotations"]
    assert counts["in"] == counts["drawn"] + counts["not_drawn"] == 2


def box_alone(number: int, category: int, x: float, y: float, width: float, height: float) -> dict[str, Any]:
    return thing(number, category) | {"bbox": [x, y, width, height]}


def test_a_box_without_an_outline_is_void_beneath_every_outline(tmp_path: Path) -> None:
    annotations = [thing(1, 1, box(6, 6, 4, 4)), box_alone(2, 3, 5, 5, 10, 10)]
    for overlap in ("annotation-order", "smaller-on-top", "void"):
        manifest = drawn(tmp_path, document(annotations), MaskSettings(outputs=ALL, overlap=overlap, contact_sheet=0))
        semantic = mask(tmp_path)
        assert (semantic[6:10, 6:10] == 1).all()
        assert np.count_nonzero(semantic == 255) == 100 - 16
        assert set(np.unique(mask(tmp_path, "instance"))) == {0, 1, 65535}
        assert set(np.unique(mask(tmp_path, "panoptic"))) == {0, 1}
        assert (manifest["all"]["instances"], manifest["all"]["boxes"]) == (1, 1)
    states = [row["state"] for row in read_table(tmp_path / "masks" / "instances.tsv")]
    assert states == ["visible", "box"]


def test_a_box_without_an_outline_can_be_filled_or_take_its_image_out(tmp_path: Path) -> None:
    content = document([thing(1, 1, box(2, 2, 4, 4)), box_alone(2, 3, 5, 5, 10, 10) | {"image_id": 2}], images=2)
    drawn(tmp_path, content, MaskSettings(boxes="fill", contact_sheet=0))
    assert (mask(tmp_path, image=2)[5:15, 5:15] == 2).all()
    assert np.count_nonzero(mask(tmp_path, image=2)) == 100
    manifest = drawn(tmp_path, content, MaskSettings(boxes="exclude", contact_sheet=0))
    assert manifest["refused"] == {"box-without-outline": 1}
    assert [row["image_id"] for row in read_table(tmp_path / "masks" / "refused.tsv")] == ["2"]


def nested(*names: str) -> dict[str, Any]:
    """Return a document of images with these file names, each with one box of its number's size."""
    content = document([thing(n, 1, box(1, 1, n + 2, 3), image=n) for n in range(1, len(names) + 1)], images=len(names))
    for image, name in zip(content["images"], names, strict=True):
        image["file_name"] = name
    return content


def test_masks_nest_as_their_images_do(tmp_path: Path) -> None:
    content = nested("cam1/1.jpg", "cam2/1.jpg", "cam2/deep/a.b.jpeg", "1.jpg")
    drawn(tmp_path, content, MaskSettings(outputs=ALL, contact_sheet=4))
    for output in ALL:
        folder = tmp_path / "masks" / output
        found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
        assert found == ["1.png", "cam1/1.png", "cam2/1.png", "cam2/deep/a.b.png"]
    assert np.count_nonzero(np.asarray(Image.open(tmp_path / "masks/semantic/cam1/1.png"))) == 9
    assert np.count_nonzero(np.asarray(Image.open(tmp_path / "masks/semantic/cam2/1.png"))) == 12
    records = read_json(tmp_path / "masks" / "panoptic.json")["annotations"]
    assert [record["file_name"] for record in records][:2] == ["cam1/1.png", "cam2/1.png"]


@pytest.mark.parametrize("names", [("a/1.jpg", "a/1.png"), ("../1.jpg",), ("/etc/1.jpg",), ("a/../../1.jpg",)])
def test_masks_that_would_collide_or_leave_their_folder_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(CocomineError, match=r"would share the mask a/1\.png|leads out of its folder"):
        drawn(tmp_path / "in", nested(*names), MaskSettings(contact_sheet=0))
    assert not list(tmp_path.rglob("*.png"))


def test_without_any_outline_no_masks_are_drawn_unless_they_are_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    boxes = document([box_alone(1, 1, 2, 2, 5, 5), box_alone(2, 3, 5, 5, 10, 10)])
    caplog.set_level(logging.INFO)
    manifest = drawn(tmp_path, boxes, MaskSettings(contact_sheet=0))
    assert list(manifest["settings"]["outputs"]) == []
    assert manifest["counts"]["images"] == {"in": 1, "drawn": 0, "refused": 0, "without_masks": 1}
    assert "no object of the subset has an outline" in caplog.text
    assert not list((tmp_path / "masks").rglob("*.png"))
    assert [list(read_table(tmp_path / name)) for name in ("masks.tsv", "masks/refused.tsv", "masks/images.tsv")] == [
        [], [], []
    ]  # fmt: skip
    for wanted in (MaskSettings(outputs=("semantic",), contact_sheet=0), MaskSettings(boxes="fill", contact_sheet=0)):
        drawn(tmp_path, boxes, wanted)
        assert set(np.unique(mask(tmp_path))) == ({0, 255} if wanted.outputs else {0, 1, 2})
    one = document([box_alone(1, 1, 2, 2, 5, 5), thing(2, 3, box(6, 6, 4, 4))])
    assert drawn(tmp_path, one, MaskSettings(contact_sheet=0))["settings"]["outputs"] in (["semantic"], ("semantic",))
    unwanted = document([box_alone(1, 1, 2, 2, 5, 5), thing(2, 91, box(6, 6, 4, 4))])
    assert drawn(tmp_path, unwanted, MaskSettings(contact_sheet=0))["settings"]["outputs"] in ([], ())
    assert drawn(tmp_path, one, MaskSettings(outputs=(), contact_sheet=0))["counts"]["images"]["without_masks"] == 1


def test_the_contact_sheet_shows_images_where_there_are_no_masks(tmp_path: Path) -> None:
    (tmp_path / "store" / "train2017").mkdir(parents=True)
    Image.new("RGB", (30, 20), (250, 40, 10)).save(tmp_path / "store" / "train2017" / "000000000001.jpg", "PNG")
    drawn(tmp_path, document([box_alone(1, 1, 2, 2, 5, 5)]), MaskSettings(), store=tmp_path / "store")
    colours = np.asarray(Image.open(tmp_path / "contact_sheet.png").convert("RGB")).reshape(-1, 3).astype(int)
    assert (np.abs(colours - (250, 40, 10)).max(axis=1) < 12).sum() > 30_000


def test_more_than_254_classes_are_drawn_in_16_bits(tmp_path: Path) -> None:
    categories = [{"id": 10 * n, "name": f"class {n}"} for n in range(1, 1204)]
    labels = {category["id"]: n for n, category in enumerate(categories, 1)}
    annotations = [
        thing(1, 12030, box(1, 1, 4, 4)), thing(2, 2550, box(8, 1, 4, 4)), thing(3, 10, box(8, 8, 6, 6)),
        thing(4, 2560, box(20, 2, 5, 5), crowd=1), box_alone(5, 30, 1, 12, 5, 5), thing(6, 20, box(10, 10, 6, 6)),
    ]  # fmt: skip
    for border in (0, 1):
        wanted = MaskSettings(outputs=ALL, overlap="void", border=border, contact_sheet=1)
        manifest = drawn(tmp_path, document(annotations) | {"categories": categories}, wanted, categories=categories)
        expected = draw(wanted, 20, 30, annotations, labels)
        shown = np.where(expected.semantic == 255, 65535, expected.semantic)
        found = mask(tmp_path)
        # Label 255 is a class here, so the oracle's void is told from it by where the class lies.
        assert (found[2:4, 9:11] == 255).all()
        assert np.array_equal(found[:, 13:], shown[:, 13:])
        assert (found[2:4, 2:4] == 1203).all()
        assert Image.open(tmp_path / "masks/semantic/000000000001.png").mode == "I;16"
        assert manifest["pixels"]["void"] == np.count_nonzero(found == 65535)
        assert sum(manifest["pixels"].values()) == 600
        lines = {row["label"]: int(row["pixels"]) for row in read_table(tmp_path / "masks.tsv")}
        assert lines["1203"] == np.count_nonzero(found == 1203)
        assert lines["255"] == np.count_nonzero(found == 255)


def test_the_box_of_an_unwanted_class_neither_draws_nor_excludes(tmp_path: Path) -> None:
    annotations = [thing(1, 1, box(2, 2, 4, 4)), box_alone(2, 91, 5, 5, 10, 10)]
    for boxes in ("void", "fill", "exclude"):
        drawn(tmp_path, document(annotations), MaskSettings(boxes=boxes, contact_sheet=0))
        assert set(np.unique(mask(tmp_path))) == {0, 1}
        drawn(tmp_path, document(annotations), MaskSettings(boxes=boxes, unwanted="void", contact_sheet=0))
        assert (mask(tmp_path)[6:15, 6:15] == 255).all()


def test_a_drawing_that_fails_leaves_the_earlier_masks_alone(tmp_path: Path) -> None:
    drawn(tmp_path, document([thing(1, 1, box(2, 2, 9, 9))]), MaskSettings(contact_sheet=0))
    before = mask(tmp_path)
    with pytest.raises(CocomineError, match="none of 1 images could be drawn"):
        drawn(tmp_path, document([thing(1, 1, [1, 2])]), MaskSettings(contact_sheet=0))
    assert np.array_equal(mask(tmp_path), before)
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_palette_shows_the_labels_colours_and_reads_back_as_labels(tmp_path: Path) -> None:
    drawn(tmp_path, document([thing(1, 3, box(2, 2, 9, 9))]), MaskSettings(contact_sheet=0))
    picture = Image.open(tmp_path / "masks" / "semantic" / "000000000001.png")
    assert picture.mode == "P"
    assert picture.convert("RGB").getpixel((5, 5)) == tuple(labels_of(CATEGORIES)["labels"][2]["color"])


def test_254_classes_are_still_drawn_in_8_bits(tmp_path: Path) -> None:
    many = [{"id": n, "name": f"class {n}"} for n in range(1, 256)]
    drawn(tmp_path, document([thing(1, 254, box(2, 2, 9, 9))]), MaskSettings(contact_sheet=0), categories=many[:-1])
    assert mask(tmp_path)[5, 5] == 254
    assert Image.open(tmp_path / "masks/semantic/000000000001.png").mode == "P"


def test_a_folder_of_the_users_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "mine.txt").write_text("keep")
    with pytest.raises(CocomineError, match="no earlier result"):
        drawn(tmp_path, document([]), MaskSettings(contact_sheet=0))
    assert (tmp_path / "masks" / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"images": []}', '{"annotations": [{"id": 1}]}'])
def test_a_broken_subset_file_is_named(tmp_path: Path, text: str) -> None:
    write_subset(tmp_path, document([]))
    (tmp_path / "subset.json").write_text(text)
    sources = Sources(tmp_path / "images.tsv", tmp_path / "labels.json", tmp_path / "subset.json")
    with pytest.raises(CocomineError, match=r"subset\.json"):
        rasterize_masks(MaskSettings(), sources, tmp_path)


def test_missing_inputs_are_named_with_their_option(tmp_path: Path) -> None:
    write_subset(tmp_path, document([]))
    for draw_from, option in (("instances", "--subset"), ("panoptic", "--panoptic-json")):
        sources = Sources(tmp_path / "images.tsv", tmp_path / "labels.json")
        with pytest.raises(CocomineError) as caught:
            rasterize_masks(MaskSettings(draw_from=draw_from), sources, tmp_path)
        assert option in caught.value.hint
