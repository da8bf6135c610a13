"""Each line of docs/own-data.md: what a labelling tool exports, through the workflow by the config shown there."""

import json
from pathlib import Path

import pytest
import yaml
from helpers.tools import TOOLS
from helpers.workflow import snakemake

pytestmark = pytest.mark.slow  # each test runs the workflow


@pytest.mark.parametrize("tool", TOOLS)
def test_what_a_tool_exports_becomes_a_subset_of_four_images_with_a_leaf_each(tmp_path: Path, tool: str) -> None:
    config = {
        "sources": {"own": TOOLS[tool](tmp_path / "export")},
        "subsets": {"leaves": {"categories": ["leaf"]}},
        "masks": {"outputs": ["semantic"]}, "exports": [], "tensors": {"size": 32},
    }  # fmt: skip
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(config))
    done = snakemake(tmp_path, "--configfile", str(tmp_path / "my.yaml"), "--until", "assemble_subset")
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads((tmp_path / "results/leaves/subset.json").read_text())
    assert len(written["images"]) == len({image["id"] for image in written["images"]}) == 4
    assert len(written["annotations"]) == len({item["id"] for item in written["annotations"]}) == 4
    assert sorted(item["image_id"] for item in written["annotations"]) == sorted(i["id"] for i in written["images"])
    for item in written["annotations"]:
        assert item["bbox"] == [10, 8, 20, 16]
        assert item["iscrowd"] == 0
        assert not isinstance(item["iscrowd"], bool)
        assert item["segmentation"] == [[10, 8, 30, 8, 30, 24, 10, 24]]
