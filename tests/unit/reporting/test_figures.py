"""The charts: each mark says a number of the facts and leads to its images; names from outside stay text."""

import re

import pytest
from cocomine.reporting.figures import charts, compared_charts, run_charts
from cocomine.reporting.vega import draw
from helpers.report_page import Page

HOSTILE = "<img src=x onerror=alert(1)>"


def content(first="dog", second="cat"):
    counts = {first: (900, 40, (30, 10, 0)), second: (300, 2, (0, 1, 1))}
    rows = [
        {"name": name, "before": {"objects": before}, "after": {"objects": after}}
        for name, (before, after, _) in counts.items()
    ]
    details = [{"name": name, "cells": [7, *sizes]} for name, (_, _, sizes) in counts.items()]
    return {
        "classes": {"rows": rows, "detail_columns": ["Crowds", "Small", "Medium", "Large"], "details": [*details, {}]},
        "split": {
            "splits": [{"name": "train", "objects": 30}, {"name": "val", "objects": 12}],
            "classes": [
                {"name": first, "cells": [9, 9, 30, 10], "deviation": 0.05, "best": 0.01},
                {"name": second, "cells": [1, 1, 0, 2], "deviation": None, "best": None},
            ],
        },
        "funnel": {
            "source_images": 9000,
            "steps": [
                {"words": f"any of {first}", "images": {"after": 50}},
                {"words": "at most 42", "images": {"after": 42}},
            ],
        },
        "interference": {
            "classes": [first, second],
            "columns": [first, second, "person"],
            "matrices": [
                {"label": "Before", "shares": [[None, 0.01, 0.5], [0.03, None, 0.0]]},
                {"label": "After", "shares": [[None, 0.05, 0.4], [0.0, None, 0.0]]},
            ],
        },
        "quarantine": [
            {"kind": "annotation", "reason": "box-zero-side", "count": 1200, "in_explorer": True},
            {"kind": "image", "reason": "image-truncated", "count": 3, "in_explorer": False},
        ],
        "per_image": [{"name": "5 to 9", "filter": "min=5&max=9", "images": 1234}],
        "look": {"positions": [[0, 3], [1, 0]], "aspect": [], "brightness": []},
    }


def marks(chart):
    return Page(f'<figure data-series="{chart.series}">{chart.drawn}</figure>').charts[chart.series]


def said(section, number):
    return [(words, link) for words, _, link in marks(charts(content())[section][number])]


def test_classes_stand_before_and_after_with_the_most_frequent_first():
    assert said("classes", 0) == [
        ("dog, in the source: 900 objects", "explorer.html#classes=0"),
        ("dog, in the subset: 40 objects", "explorer.html#classes=0"),
        ("cat, in the source: 300 objects", "explorer.html#classes=1"),
        ("cat, in the subset: 2 objects", "explorer.html#classes=1"),
    ]


def test_a_bar_of_a_class_and_a_size_leads_to_its_images_and_empty_ones_are_not_drawn():
    assert set(said("classes", 1)) == {
        ("dog, small: 30 objects", "explorer.html#classes=0&size=small"),
        ("dog, medium: 10 objects", "explorer.html#classes=0&size=medium"),
        ("cat, medium: 1 objects", "explorer.html#classes=1&size=medium"),
        ("cat, large: 1 objects", "explorer.html#classes=1&size=large"),
    }


def test_bins_lead_to_their_images_and_cells_of_the_frame_say_where_they_are():
    assert said("classes", 2) == [("objects 5 to 9: 1,234 images", "explorer.html#min=5&max=9")]
    assert [words for words, _ in said("images", 0)] == [
        f"column {x}, row {y}: {count} objects" for x, y, count in ((1, 1, 0), (2, 1, 3), (1, 2, 1), (2, 2, 0))
    ]
    assert len(charts(content())["images"]) == 1, "what was not measured has no chart"


def test_each_clause_has_a_bar_and_what_the_last_one_leaves_is_in_the_explorer():
    assert said("funnel", 0) == [
        ("the source: 9,000 of 9,000 images", None),
        ("any of dog: 50 of 9,000 images", None),
        ("at most 42: 42 of 9,000 images", "explorer.html#"),
    ]


def test_classes_that_meet_in_the_subset_lead_to_their_images_if_both_are_its_own():
    assert [link for _, link in said("interference", 0)] == [None] * 4, "of the source there are no images"
    assert said("interference", 1) == [
        ("dog, also cat: 5.0 %", "explorer.html#classes=0,1&match=all"),
        ("dog, also person: 40.0 %", None),
        ("cat, also dog: 0.0 %", None),
        ("cat, also person: 0.0 %", None),
    ]


def test_a_reason_leads_to_the_images_that_lost_a_record_by_it():
    assert said("records", 0) == [
        ("box-zero-side, of annotation: 1,200", "explorer.html#lost=box-zero-side"),
        ("image-truncated, of image: 3", None),
    ]


def test_scores_stand_against_the_share_that_is_right_and_judged_images_against_those_for_training():
    entries = [{"name": "a", "bins": [{"mean_score": 0.85, "right": 0.5, "scored": 1200}]}, {"name": "b", "bins": []}]
    gaps = [{"attribute": "class", "cell": "dog", "judged_images": 40, "training_images": 3}]
    reliability, gap = compared_charts({"entries": entries, "coverage": {"gaps": gaps}}, 0)
    assert [words for words, *_ in marks(reliability)] == ["a, scored 0.850: 0.500 right of 1,200"]
    assert [words for words, *_ in marks(gap)] == [
        "class dog, judged: 40 images", "class dog, for training: 3 images",
    ]  # fmt: skip
    assert compared_charts({"entries": entries[1:], "coverage": {}}, 0) == []


def test_the_splits_are_held_against_one_another_and_classes_without_an_audit_have_no_bar():
    assert [words for words, _ in said("split", 0)] == [
        "dog in train: 30 of 30 objects", "dog in val: 10 of 12 objects",
        "cat in train: 0 of 30 objects", "cat in val: 2 of 12 objects",
    ]  # fmt: skip
    assert [words for words, _ in said("split", 1)] == ["dog: 5.0 points, least possible 1.0"]


def test_a_subset_without_split_objects_or_measures_has_no_chart():
    bare = content() | {
        "split": None,
        "funnel": None,
        "interference": None,
        "quarantine": [],
        "per_image": [],
        "look": dict.fromkeys(("positions", "aspect", "brightness"), ()),
    }
    bare["classes"] = {"rows": [], "detail_columns": [], "details": []}
    assert set(charts(bare)) == set(charts(content()))
    assert not any(charts(bare).values())


@pytest.mark.parametrize("points", [[[1, 0.5]], [[1, 0.0], [2, 0.0]]])
def test_a_flat_series_and_a_single_point_can_be_drawn(points):
    run = {"classes": [], "slices": [], "charts": [{"title": "t", "series": [{"name": "s", "points": points}]}]}
    (chart,) = run_charts(run, 0)
    assert "NaN" not in chart.drawn
    assert len(marks(chart)) == 1


def test_names_from_outside_stay_text_and_a_drawing_holds_neither_script_nor_style_nor_request():
    first, second = (charts(content(HOSTILE))["classes"][0].drawn for _ in range(2))
    assert first == second, "the same facts give the same bytes"
    assert "<img" not in first
    assert HOSTILE.replace("<", "&lt;").replace(">", "&gt;") in first.replace("&#62;", "&gt;")
    assert not re.search(r"<(script|style|image|foreignObject)|style=|https?://(?!www\.w3\.org)", first)


def test_a_title_cannot_leave_its_attribute():
    drawn = draw('"><script>', "x", {"data": {"values": [{"a": 1}]}, "mark": "bar", "encoding": {"x": {"field": "a"}}})
    assert "<script>" not in drawn.drawn
