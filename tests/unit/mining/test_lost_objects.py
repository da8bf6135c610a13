"""No pixel of an object that was set aside counts as labelled background."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from cocomine.annotations.reasons import TABLE
from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json
from cocomine.inquiry.trace import Trace
from cocomine.inquiry.verdict import sentence
from cocomine.masks.draw import rasterize_masks
from cocomine.masks.settings import MaskSettings
from cocomine.masks.subset import Sources
from cocomine.mining import interference
from cocomine.mining.settings import SubsetSettings
from helpers.mined import build, lines, subset
from helpers.small_documents import annotation, document
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask


@pytest.fixture(autouse=True)
def _no_picture(monkeypatch):
    monkeypatch.setattr(interference, "draw", lambda before, after, path: None)


def drawn(folder):
    """Draw the masks of a subset; return them by file name."""
    out = folder / "out"
    sources = Sources(out / "images.tsv", out / "labels.json", out / "subset.json", void=out / "void.json")
    rasterize_masks(MaskSettings.from_mapping({"outputs": ["semantic"]}), sources, out)
    names = [line["file_name"] for line in lines(folder, "images")]
    return {name: np.asarray(Image.open(out / "masks/semantic" / name.replace(".jpg", ".png"))) for name in names}


def square(x, y, side):
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


ODD = [[10, 10, 30, 10, 30, 30, 10]]


@pytest.mark.parametrize(("policy", "kept"), [("exclude", [2]), ("void", [1, 2])])
def test_an_image_with_a_lost_object_is_left_out_or_has_its_pixels_void(tmp_path, policy, kept):
    records = [
        annotation(1, segmentation=square(50, 50, 20), bbox=[50, 50, 20, 20]),
        annotation(2, segmentation=ODD),
        annotation(3, image_id=2),
    ]
    build(tmp_path, {"instances_a": document(records)}, {"lost_objects": policy})
    assert [image["id"] for image in subset(tmp_path)["images"]] == kept
    trace = Trace(SubsetSettings.from_mapping({"lost_objects": policy}), tmp_path / "index", tmp_path / "out")
    ((image, labels),) = trace.image("1")
    if policy == "exclude":
        assert sentence(image) == (
            "image 1: left out by the clause 'lost_objects': it holds giraffe (annotation 2), quarantined, and "
            "lost_objects is exclude"
        )
        return
    assert (image.outcome, labels[1].detail) == ("kept", "its pixels are void in the masks")
    mask = drawn(tmp_path)["1.jpg"]
    assert (mask[10:30, 10:30] == 255).all()
    assert (mask[50:70, 50:70] == 2).all()
    assert np.count_nonzero(mask == 255) == 400


def test_a_lost_object_of_another_category_does_no_harm(tmp_path):
    records = [annotation(1), annotation(2, category_id=1, segmentation=ODD)]
    content = {"instances_a": document(records, images=1)}
    build(tmp_path, content, {"categories": ["giraffe"]})
    assert [image["id"] for image in subset(tmp_path)["images"]] == [1]
    with pytest.raises(CocomineError, match="no image is left after the clause 'lost_objects'"):
        build(tmp_path / "all", content)
    with pytest.raises(CocomineError, match="no image is left after the clause 'lost_objects'"):
        build(tmp_path / "others", content, {"categories": ["giraffe"], "keep_other_annotations": True})


@pytest.mark.parametrize("policy", ["exclude", "void"])
def test_what_only_drawing_finds_is_lost_too(tmp_path, policy):
    records = [
        annotation(1, area=900.0),
        annotation(2, segmentation=square(50, 50, 20), bbox=[50, 50, 20, 20]),
        annotation(3, image_id=2),
    ]
    build(
        tmp_path,
        {"instances_a": document(records)},
        {"policy": {"area-mismatch": "quarantine"}, "lost_objects": policy},
    )
    assert [image["id"] for image in subset(tmp_path)["images"]] == ([2] if policy == "exclude" else [1, 2])
    if policy == "exclude":
        line = next(line for line in lines(tmp_path, "quarantine") if line["kind"] == "image")
        assert (line["reason"], line["detail"]) == ("area-mismatch", "its annotation 1 is quarantined")
    else:
        assert (drawn(tmp_path)["1.jpg"][10:30, 10:30] == 255).all()


def test_an_object_that_nothing_places_takes_its_image_along_even_where_others_become_void(tmp_path):
    records = [annotation(1), annotation(2, segmentation=ODD, bbox=[1, 2]), annotation(3, image_id=2)]
    query = {"lost_objects": "void", "policy": {"bad-box": "keep"}}
    build(tmp_path, {"instances_a": document(records)}, query)
    assert [image["id"] for image in subset(tmp_path)["images"]] == [2]


def test_stuff_that_is_set_aside_counts_where_masks_are_drawn_from_it(tmp_path):
    from cocomine.mining.assemble import assemble
    from cocomine.mining.drawn import Drawn

    stuff = document([annotation(1, category_id=157), annotation(2, image_id=2, category_id=157, segmentation=ODD)])
    stuff["categories"] = [{"id": 157, "name": "sky-other"}]
    files = {"instances_a": document([annotation(1), annotation(2, image_id=2)]), "stuff_a": stuff}
    build(tmp_path, files)
    assert [image["id"] for image in subset(tmp_path)["images"]] == [1, 2]
    out = tmp_path / "out"
    arguments = (SubsetSettings(), tmp_path / "index", tmp_path, out / "selection.tsv", out / "funnel.json", None, out)
    assemble(*arguments, drawn=Drawn("instances+stuff"))
    assert [image["id"] for image in subset(tmp_path)["images"]] == [1]


FAULTS = st.sampled_from(
    [
        {}, {}, {},
        {"segmentation": ODD},
        {"segmentation": 7},
        {"segmentation": {"size": [1, 1], "counts": [1]}},
        {"segmentation": {"size": [80, 100], "counts": [5]}},
        {"segmentation": [[1, 2, 3, 4]]},
        {"segmentation": []},
        {"category_id": 77},
        {"category_id": None},
        {"id": None},
        {"bbox": [0, 0, 0, 0], "segmentation": ODD},
        {"bbox": "x"},
        {"area": "x"},
        {"iscrowd": "x"},
        {"area": 9000.0},
    ]
)  # fmt: skip

RECORDS = st.lists(
    st.tuples(
        st.integers(1, 4), st.sampled_from([1, 25]), st.integers(0, 60), st.integers(0, 50), st.integers(3, 25), FAULTS
    ),
    min_size=1,
    max_size=9,
)
POLICIES = st.dictionaries(
    st.sampled_from([str(rule.reason) for rule in TABLE if "annotation" in rule.kinds]),
    st.just("quarantine"),
    max_size=4,
)


def covered(record):
    """The pixels that an object of a 100 x 80 image covers, by pycocotools; its box where it has no valid outline."""
    shape = record.get("segmentation")
    if isinstance(shape, list) and shape and all(len(ring) >= 6 and len(ring) % 2 == 0 for ring in shape):
        return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(shape, 80, 100))).astype(bool)
    mask = np.zeros((80, 100), bool)
    if isinstance(record["bbox"], list):
        x, y, width, height = record["bbox"]
        mask[y : y + height, x : x + width] = True
    return mask


@pytest.mark.slow
@settings(max_examples=40, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))
@given(
    records=RECORDS,
    policy=POLICIES,
    lost=st.sampled_from(["exclude", "void"]),
    query=st.sampled_from([{}, {"categories": ["giraffe"]}, {"categories": ["giraffe"], "negatives": 2}]),
)
def test_pixels_of_quarantined_objects_are_void_or_their_image_is_out(records, policy, lost, query):
    labels = [
        annotation(n, image_id=image, category_id=category, segmentation=square(x, y, side), bbox=[x, y, side, side],
                   area=float(side * side)) | fault
        for n, (image, category, x, y, side, fault) in enumerate(records, start=1)
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        check(Path(name), labels, {**query, "policy": policy, "lost_objects": lost}, wanted(query))


def wanted(query):
    return {25} if query else {1, 25, 77, None}


def check(folder, labels, query, classes):
    try:
        build(folder, {"instances_a": document(labels, images=4)}, query)
    except CocomineError as error:
        assert "no image is left" in error.message  # noqa: PT017 - the other outcome
        return
    masks = drawn(folder)
    for line in lines(folder, "quarantine"):
        if line["kind"] != "annotation" or line["reason"] == "exact-duplicate":
            continue
        record = labels[int(line["record"])]
        mask = masks.get(f"{record['image_id']}.jpg")
        if record["category_id"] in classes and mask is not None:
            assert (mask[covered(record)] == 255).all(), (line, record)
    images = {int(row["image_id"]): row["role"] for row in lines(folder, "images")}
    held = {record["image_id"] for record in subset(folder)["annotations"]}
    void = read_json(folder / "out/void.json")["annotations"]
    assert {image for image, role in images.items() if role == "wanted"} <= held
    assert not void or query["lost_objects"] == "void"
