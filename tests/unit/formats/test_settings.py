from typing import get_args

import pytest
from cocomine.configuration.planning import make_plan
from cocomine.formats.registry import FORMATS
from cocomine.formats.settings import DEFAULT, Format, problems


def test_the_formats_that_can_be_asked_for_are_those_that_can_be_written():
    assert set(get_args(Format)) == set(FORMATS)
    assert set(DEFAULT) <= set(FORMATS)


ASKED = {"drawn": ["semantic"], "tasks": {"instances"}}


@pytest.mark.parametrize(
    ("formats", "images", "key", "hint"),
    [
        (["coco", "panoptic"], "hardlink", "exports[1]", "masks.outputs"),
        (["yolo-pose"], "hardlink", "exports[0]", "person_keypoints"),
        (["coco", "voc"], "none", "export_images", "hardlink"),
    ],
)
def test_what_a_format_lacks_is_said_when_the_config_is_read_with_the_key_that_gives_it(formats, images, key, hint):
    (problem,) = problems(formats, images, **ASKED)
    assert problem.key == key
    assert hint in problem.hint


def test_what_every_build_has_is_enough_for_most_formats():
    enough = [name for name, one in FORMATS.items() if not one.tasks and set(one.masks) <= {"semantic"}]
    assert not list(problems(enough, "hardlink", **ASKED))
    assert set(FORMATS) - set(enough) == {"panoptic", "yolo-pose"}
    assert not list(problems(["coco", "huggingface", "croissant"], "none", **ASKED))


def test_only_formats_that_show_masks_are_made_again_when_masks_change():
    config = {
        "stores": {"coco": {"folder": "/data/coco"}},
        "sources": {"coco": {"splits": ["val2017"]}},
        "subsets": {"dogs": {"categories": ["dog"]}, "boxes": {"categories": ["dog"], "masks": {"outputs": []}}},
    }
    subsets = make_plan(config).subsets
    follow = {name for name in FORMATS if "masks" in subsets["dogs"].export_inputs(name)}
    assert follow == {
        "masks", "masks-grey", "mmsegmentation", "yolo-semantic", "panoptic", "voc", "huggingface", "webdataset"
    }  # fmt: skip
    assert subsets["boxes"].export_inputs("voc") == subsets["boxes"].export_inputs("coco") == {}
    assert subsets["dogs"].export_options == ["--images", "hardlink", "--copies-dir", "data/copies/coco"]
