from pathlib import Path

from cocomine.base.files import write_json, write_table
from cocomine.masks.tables import LABEL_COLUMNS
from cocomine.reporting.mask_facts import mask_facts


def test_the_report_tells_how_many_of_each_class_and_size_vanish(tmp_path: Path) -> None:
    write_table(tmp_path / "masks.tsv", LABEL_COLUMNS, [(1, "1.jpg", 1, "dog", 40, 5, 0, 2, 1)])
    counts = {"instances": 4, "visible": 1, "hidden": 0, "vanished": 2, "empty": 1, "crowds": 0, "stuff": 0}
    large = counts | {"instances": 1, "visible": 1, "vanished": 0, "empty": 0}
    none = dict.fromkeys(counts, 0)
    dog = {"label": 1, "name": "dog", "instances": 5, "by_size": {"small": counts, "medium": none, "large": large}}
    write_json(tmp_path / "masks.json", {"classes": [dog], "settings": {}, "training_size": 128})
    facts = mask_facts(tmp_path, [{"label": 1, "name": "dog", "color": [1, 2, 3]}])
    assert facts is not None
    assert facts["class_sizes"] == [{"name": "dog", "cells": ["2 of 4", "–", "0 of 1"]}]
    assert [row["empty"] for row in facts["sizes"]] == [1, 0]
