import pytest
import yaml
from cocomine.base.errors import CocomineError
from cocomine.formats.settings import DEFAULT, FORMATS, formats_from
from helpers.shared import ROOT


def test_the_schema_and_the_code_know_the_same_formats():
    schema = yaml.safe_load((ROOT / "workflow" / "schemas" / "exports.schema.yaml").read_text("utf-8"))
    assert tuple(schema["items"]["enum"]) == tuple(FORMATS)
    assert formats_from(schema["default"]) == DEFAULT


def test_formats_come_back_in_one_order():
    assert formats_from(["masks", "coco"]) == ("coco", "masks")
    assert formats_from([]) == ()


@pytest.mark.parametrize(
    ("value", "named"), [("coco", "list"), (["yolo"], "yolo"), (["coco", "coco"], "twice"), (None, "None")]
)
def test_what_is_no_list_of_known_formats_is_refused_by_name(value, named):
    with pytest.raises(CocomineError, match=named):
        formats_from(value)
