from typing import Any

import pytest
from cocomine.base.errors import CocomineError
from cocomine.masks import settings as masks
from cocomine.tensors import settings as tensors


@pytest.mark.parametrize(
    ("section", "mapping", "said"),
    [
        (masks.MaskSettings, {"overlaps": "void"}, "unknown key 'overlaps'"),
        (masks.MaskSettings, {"overlap": "biggest"}, "masks.overlap: 'biggest' is not one of"),
        (masks.MaskSettings, {"overlap": ["void"]}, "masks.overlap"),
        (masks.MaskSettings, {"border": -1}, "masks.border: expected whole number ≥ 0, ≤ 255, got -1"),
        (masks.MaskSettings, {"border": True}, "masks.border: .*True"),
        (masks.MaskSettings, {"border": 1.5}, "masks.border: .*1.5"),
        (masks.MaskSettings, {"outputs": "semantic"}, "masks.outputs: expected list of"),
        (masks.MaskSettings, {"outputs": ["semantics"]}, "masks.outputs"),
        (masks.MaskSettings, {"outputs": [["semantic"]]}, "masks.outputs"),
        (masks.MaskSettings, {"outputs": ["semantic", "semantic"]}, "masks.outputs: .* twice"),
        (tensors.TensorSettings, {"size": 0}, "tensors.size: .* got 0"),
        (tensors.TensorSettings, {"image_filter": "nearest"}, "tensors.image_filter: 'nearest' is not one of bilinear"),
    ],
)
def test_settings_that_cannot_be_used_name_the_key_and_the_value(section: Any, mapping: dict, said: str) -> None:
    with pytest.raises(CocomineError, match=said) as caught:
        section.from_mapping(mapping)
    assert caught.value.hint


def test_outputs_come_in_one_order_however_they_are_written() -> None:
    assert masks.MaskSettings.from_mapping({"outputs": ["panoptic", "semantic"]}).outputs == ("semantic", "panoptic")
