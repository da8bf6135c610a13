import dataclasses
from typing import Any

import pytest
from cocomine.base.errors import CocomineError
from cocomine.configuration.schema import load_schema
from cocomine.masks import settings as masks
from cocomine.tensors import settings as tensors

SECTIONS = [("masks", masks.MaskSettings, masks), ("tensors", tensors.TensorSettings, tensors)]


@pytest.mark.parametrize(("name", "cls", "module"), SECTIONS)
def test_schema_and_code_agree_on_keys_defaults_and_choices(name: str, cls: Any, module: Any) -> None:
    properties = load_schema(name)["properties"]
    defaults = dataclasses.asdict(cls())
    assert {key: part["default"] for key, part in properties.items()} == {
        key: list(value) if isinstance(value, tuple) else value for key, value in defaults.items()
    }
    for key, choices in module.CHOICES.items():
        part = properties[key].get("items", properties[key])
        assert tuple(part["enum"]) == choices
    for key, (low, high) in module.RANGES.items():
        assert (properties[key]["minimum"], properties[key]["maximum"]) == (low, high)
    assert all(part["description"] for part in properties.values())
    assert cls.from_mapping({}) == cls()


@pytest.mark.parametrize(
    ("section", "mapping", "said"),
    [
        (masks.MaskSettings, {"overlaps": "void"}, "unknown key 'overlaps'"),
        (masks.MaskSettings, {"overlap": "biggest"}, "masks.overlap: 'biggest' is not known"),
        (masks.MaskSettings, {"overlap": ["void"]}, "masks.overlap"),
        (masks.MaskSettings, {"border": -1}, "masks.border: -1"),
        (masks.MaskSettings, {"border": True}, "masks.border: True"),
        (masks.MaskSettings, {"border": 1.5}, "masks.border: 1.5"),
        (masks.MaskSettings, {"outputs": "semantic"}, "masks.outputs: 'semantic'"),
        (masks.MaskSettings, {"outputs": ["semantics"]}, "masks.outputs"),
        (masks.MaskSettings, {"outputs": [["semantic"]]}, "masks.outputs"),
        (tensors.TensorSettings, {"size": 0}, "tensors.size: 0"),
        (tensors.TensorSettings, {"image_filter": "nearest"}, "tensors.image_filter: 'nearest'"),
    ],
)
def test_settings_that_cannot_be_used_name_the_key_and_the_value(section: Any, mapping: dict, said: str) -> None:
    with pytest.raises(CocomineError, match=said) as caught:
        section.from_mapping(mapping)
    assert caught.value.hint


def test_outputs_come_in_one_order_however_they_are_written() -> None:
    assert masks.MaskSettings.from_mapping({"outputs": ["panoptic", "semantic"]}).outputs == ("semantic", "panoptic")
