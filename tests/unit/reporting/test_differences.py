"""The page of two sources: which images are shown, what its files hold, and that names from outside break nothing."""

import json
import re

import pytest
from cocomine.base.errors import CocomineError
from cocomine.matching.match import Inputs
from cocomine.matching.pairing import DIFFERENCES
from cocomine.matching.settings import ComparisonSettings
from cocomine.matching.tables import FINER
from cocomine.reporting.compared import Shown, choose, render_differences
from helpers.compared_page import compared_page


def line(number, lowest="", **counts):
    kinds = dict.fromkeys((*DIFFERENCES, *FINER), "0") | {key.replace("_", "-"): str(n) for key, n in counts.items()}
    total = sum(int(kinds[kind]) for kind in DIFFERENCES)
    return {"image_id": str(number), "store_path": f"{number}.jpg", "differences": str(total)} | kinds | {
        "lowest_boundary_iou": lowest
    }  # fmt: skip


def ids(rows):
    return [int(row["image_id"]) for row in rows]


def test_each_kind_of_difference_has_its_share_and_the_rest_goes_to_the_most(tmp_path):
    rows = [line(n, only_first=20 - n) for n in range(1, 16)]
    rows += [line(30, crowd=1), line(31, split=1), line(32, "0.4", outline=1), line(33, "0.2", outline=1), line(40)]
    chosen = choose(rows, 9, tmp_path)
    assert len(chosen) == 9
    assert {30, 31, 33} < set(ids(chosen))
    assert ids(chosen)[:3] == [1, 2, 3]
    assert 40 not in ids(choose(rows, 100, tmp_path))
    assert choose(rows, 0, tmp_path) == []


def test_images_whose_photograph_is_there_go_before_others(tmp_path):
    (tmp_path / "7.jpg").touch()
    assert ids(choose([line(n, only_first=20 - n) for n in range(1, 16)], 1, tmp_path)) == [7]


def test_the_data_hold_the_findings_and_the_outlines_they_speak_of(tmp_path):
    page = compared_page(tmp_path)
    text = (page.parent / "differences" / "data.js").read_text()
    data = json.loads(text.removeprefix("window.cocomine = ").rstrip(";\n"))
    assert data["sources"] == ["one", "other"]
    (image,) = [image for image in data["shown"] if image["id"] == 1]
    kinds = [data["kinds"][finding[0]]["name"] for finding in image["findings"]]
    assert kinds == ["only-second", "crowd"]
    outlines = json.loads(
        re.sub(
            r"^window.cocomine.outlines\[0\] = |;\n$", "", (page.parent / "differences" / "outlines-0.js").read_text()
        )
    )
    first, second = outlines[data["shown"].index(image)]
    crowd = image["findings"][1]
    assert [len(crowd[8]), len(crowd[9])] == [1, 2]
    assert [second[place] for place in crowd[9]] == [
        [[30, 30, 60, 30, 60, 90, 30, 90]],
        [[80, 30, 110, 30, 110, 90, 80, 90]],
    ]
    # The outline of run lengths runs along the edges of pixels.
    assert set(zip(first[0][0][::2], first[0][0][1::2], strict=True)) == {(20, 20), (220, 20), (220, 120), (20, 120)}


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    pages = [compared_page(tmp_path / name) for name in ("a", "b")]
    for path in [*sorted(pages[0].parent.rglob("differences*/*")), pages[0]]:
        assert path.read_bytes() == (pages[1].parent / path.relative_to(pages[0].parent)).read_bytes()


def test_names_from_outside_are_escaped(tmp_path):
    text = compared_page(tmp_path, first="<img src=x onerror=alert(1)>").read_text()
    assert "<img src=x" not in text


def test_a_matching_that_is_not_there_is_told(tmp_path):
    shown = Shown(tmp_path, Inputs(tmp_path, tmp_path, ("a",), ("a",)), tmp_path, "x")
    with pytest.raises(CocomineError, match=r"images\.tsv: no such file"):
        render_differences(shown, ComparisonSettings(first="a", second="b"), tmp_path / "differences.html")
