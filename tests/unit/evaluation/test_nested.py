"""What a stranger's predictions and annotations may hold: values nested beyond all measure end in advice."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cocomine.base.errors import CocomineError
from cocomine.evaluation.ground import ground_of_file
from cocomine.evaluation.panoptic import read_panoptic
from cocomine.evaluation.results_file import read_results
from cocomine.evaluation.settings import JudgingSettings
from helpers.drawn_documents import document, image, thing

DEEP = "[" * 100_000 + "]" * 100_000
READERS: dict[str, Callable[[Path, Any], object]] = {
    "results": lambda file, ground: read_results(file, ground, {}, JudgingSettings()),
    "panoptic": lambda file, _: read_panoptic(file, file.parent),
    "ground": lambda file, _: ground_of_file(file, None, "boxes"),
}


@pytest.mark.parametrize("reader", READERS)
def test_values_nested_beyond_all_measure_are_an_error_that_names_the_file(tmp_path: Path, reader: str) -> None:
    (tmp_path / "labels.json").write_text(json.dumps(document(thing(1, 1, 1, 9, 9), images=[image(1)])))
    ground = ground_of_file(tmp_path / "labels.json", None, "boxes")
    (tmp_path / "deep.json").write_text(f'{{"images": [], "annotations": [], "categories": [], "x": {DEEP}}}')
    with pytest.raises(CocomineError, match=r"deep\.json: .*recursion"):
        READERS[reader](tmp_path / "deep.json", ground)
