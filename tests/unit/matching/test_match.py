"""Drawn documents: every kind of finding, what cannot be compared, crosswalks, and the same bytes each time."""

import json
import random

import pytest
from cocomine.base.errors import CocomineError
from cocomine.base.files import read_table
from helpers.drawn_documents import box, crowd, document, image, thing
from helpers.two_sources import annotations, findings, matched


def found(tmp_path, first, second, **settings):
    folders = annotations(tmp_path / "one", first), annotations(tmp_path / "other", second)
    matched(*folders, tmp_path / "out", settings)
    return [(row["kind"], row["first_ids"], row["second_ids"], row["reason"]) for row in findings(tmp_path / "out")]


KINDS = {
    "the same rectangle": ([thing(1, 20, 20, 90, 60)], [thing(5, 20, 20, 90, 60)], [("same", [1], [5])]),
    "an outline that is off": ([thing(1, 20, 20, 90, 60)], [thing(5, 27, 20, 90, 60)], [("outline", [1], [5])]),
    "an outline that is far off": ([thing(1, 20, 20, 90, 60)], [thing(5, 65, 20, 90, 60)], [("outline", [1], [5])]),
    "too far off": (
        [thing(1, 20, 20, 90, 60)],
        [thing(5, 90, 20, 90, 60)],
        [("only-first", [1], []), ("only-second", [], [5])],
    ),
    "one in two": (
        [thing(1, 20, 20, 90, 60)],
        [thing(5, 20, 20, 60, 60), thing(6, 80, 20, 30, 60)],
        [("split", [1], [5, 6])],
    ),
    "two in one": (
        [thing(1, 20, 20, 45, 60), thing(2, 65, 20, 45, 60)],
        [thing(5, 20, 20, 90, 60)],
        [("merged", [1, 2], [5])],
    ),
    "an object inside another that is the same in both": (
        [thing(1, 20, 20, 90, 60)],
        [thing(5, 20, 20, 90, 60), thing(6, 30, 30, 20, 20)],
        [("same", [1], [5]), ("only-second", [], [6])],
    ),
    "an object that is there twice, roughly": (
        [thing(1, 20, 20, 90, 60)],
        [thing(5, 21, 21, 90, 60), thing(6, 18, 20, 88, 58)],
        [("same", [1], [5]), ("only-second", [], [6])],
    ),
    "a crowd against objects": (
        [crowd(1, 20, 20, 200, 100)],
        [thing(5, 30, 30, 30, 60), thing(6, 80, 30, 30, 60), thing(7, 140, 30, 70, 60), thing(8, 240, 30, 50, 50)],
        [("only-second", [], [8]), ("crowd", [1], [5, 6, 7])],
    ),
    "objects and a smaller crowd against a crowd": (
        [thing(1, 30, 30, 30, 60), crowd(2, 100, 20, 120, 100)],
        [crowd(5, 20, 20, 200, 100)],
        [("crowd", [1, 2], [5])],
    ),
    "a crowd that covers one object": (
        [crowd(1, 20, 20, 90, 60)],
        [thing(5, 20, 20, 90, 60)],
        [("crowd", [1], [5])],
    ),
    "a crowd in both": ([crowd(1, 20, 20, 90, 60)], [crowd(5, 20, 20, 90, 60)], [("same", [1], [5])]),
    "another class": ([thing(1, 20, 20, 90, 60)], [thing(5, 20, 20, 90, 60, category=9)], [("relabelled", [1], [5])]),
    "of two candidates the one that overlaps more": (
        [thing(1, 20, 20, 90, 60)],
        [thing(5, 25, 20, 90, 60), thing(6, 21, 20, 90, 60)],
        [("same", [1], [6]), ("only-second", [], [5])],
    ),
    "the pairs whose overlaps have the greatest sum": (
        [thing(1, 20, 20, 100, 60), thing(2, 30, 20, 100, 60)],
        [thing(5, 28, 20, 100, 60), thing(6, 60, 20, 100, 60)],
        [("outline", [1], [5]), ("outline", [2], [6])],
    ),
    "nothing on one side": ([thing(1, 20, 20, 90, 60)], [], [("only-first", [1], [])]),
}


@pytest.mark.parametrize("case", KINDS, ids=lambda name: name.replace(" ", "-"))
def test_each_kind_is_found(tmp_path, case):
    first, second, expected = KINDS[case]
    assert found(tmp_path, document(*first), document(*second)) == [(*one, "") for one in expected]


def test_what_cannot_be_compared_is_counted_with_its_reason(tmp_path):
    first = document(
        thing(1, 20, 20, 9, 9, image=2),
        thing(2, 20, 20, 9, 9, image=3),
        thing(3, 20, 20, 9, 9, image=99),
        thing(4, 20, 20, 9, 9, segmentation=[]),
        thing(5, 20, 20, 9, 9, segmentation=[[1, 2, 3, 4]]),
        thing(6, 20, 20, 9, 9, category=9),
        thing(7, 20, 20, 9, 9, category=1000),
        images=[image(1), image(2), image(3)],
    )
    second = document(images=[image(1), image(3, width=300)], categories=[{"id": 1, "name": "Cat "}])
    reasons = {ids[0]: reason for kind, ids, _, reason in found(tmp_path, first, second) if kind == "not-compared"}
    assert reasons == {
        1: "image-not-in-second",
        2: "image-size-differs",
        3: "no-image",
        4: "no-mask",
        5: "no-mask",
        6: "class-only-in-first",
        7: "no-class",
    }


def test_an_id_that_images_of_two_splits_share_names_none_of_them(tmp_path):
    parts = document(thing(1, 20, 20, 90, 60)), document(thing(2, 20, 20, 90, 60))
    first = annotations(tmp_path / "one", *parts)
    second = annotations(tmp_path / "other", parts[0], document(images=[image(2)]))
    matched(first, second, tmp_path / "out", splits="ab")
    rows = findings(tmp_path / "out")
    assert [row["reason"] for row in rows if row["first_ids"]] == ["no-image", "no-image"]
    assert [row["reason"] for row in rows if row["second_ids"]] == ["image-id-of-several"]


def test_every_object_is_in_one_row_and_the_sums_are_those_of_the_files(tmp_path):
    draw = random.Random(0)
    sides = []
    for start in (1, 1001):
        things = [
            (crowd if draw.random() < 0.1 else thing)(
                start + n, draw.randrange(200), draw.randrange(150), draw.randrange(2, 90), draw.randrange(2, 80),
                category=draw.choice([7, 9, 11]), image=draw.choice([1, 2, 3]),
            )
            for n in range(150)
        ]  # fmt: skip
        sides.append(document(*things, images=[image(n) for n in (1, 2, start + 1)]))
    rows = found(tmp_path, *sides)
    for place, side in ((1, sides[0]), (2, sides[1])):
        assert sorted(one for row in rows for one in row[place]) == [one["id"] for one in side["annotations"]]
    totals = json.loads((tmp_path / "out" / "matching.json").read_text())
    for key, number in (("first", 150), ("second", 150)):
        assert sum(counts[key] for counts in totals["kinds"].values()) == number
        assert sum(counts[key] for part in totals["classes"] for counts in part["kinds"].values()) == number
        assert sum(counts[key] for part in totals["sizes"].values() for counts in part.values()) == number
    lines = list(read_table(tmp_path / "out" / "images.tsv"))
    assert [line["image_id"] for line in lines] == ["1", "2"]
    for line in lines:
        of_image = [row for row in findings(tmp_path / "out") if row["image_id"] == int(line["image_id"])]
        assert int(line["split"]) == sum(row["kind"] == "split" for row in of_image)
        assert int(line["differences"]) == sum(row["kind"] not in ("same", "not-compared") for row in of_image)


def test_the_bytes_depend_neither_on_processes_nor_on_the_order_of_the_files(tmp_path):
    things = [thing(n, 5 * n, 3 * n, 40, 30, category=7 + 2 * (n % 2), image=1 + n % 3) for n in range(1, 30)]
    moved = [one | {"segmentation": box(one["bbox"][0] + 3, *one["bbox"][1:])} for one in things]
    images = [image(n) for n in (1, 2, 3)]
    for name, order in (("a", 1), ("b", -1)):
        first = annotations(tmp_path / name / "one", document(*things[::order], images=images[::order]))
        second = annotations(tmp_path / name / "other", document(*moved[::order], images=images[::order]))
        matched(first, second, tmp_path / name / "out", threads=1 if name == "a" else 2)
    for path in sorted((tmp_path / "a" / "out").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / "out" / path.name).read_bytes(), path.name


def test_the_finer_outline_is_the_one_of_more_vertices(tmp_path):
    fine = [20, 20, 40, 20, 60, 20, 80, 20, 110, 20, 110, 60, 20, 60]
    first = document(thing(1, 20, 20, 90, 60), thing(2, 150, 20, 90, 60))
    second = document(thing(1, 20, 20, 90, 60, segmentation=[fine]), thing(2, 150, 20, 90, 60))
    found(tmp_path, first, second)
    assert {row["first_ids"][0]: row["finer"] for row in findings(tmp_path / "out")} == {1: "second", 2: ""}


OTHERS = [{"id": 1, "name": "kitten"}, {"id": 2, "name": "tomcat"}, {"id": 3, "name": "dog"}]


def both_vocabularies():
    first = [thing(n, 30 * n, 20, 20, 20) for n in range(8)] + [thing(20, 20, 100, 50, 50, category=9)]
    second = [thing(n, 30 * n, 20, 20, 20, category=1 + n % 2) for n in range(8)]
    second.append(thing(20, 20, 100, 50, 50, category=3))
    return document(*first), document(*second, categories=OTHERS)


def test_a_class_may_answer_to_several_of_the_other_source(tmp_path):
    rows = found(tmp_path, *both_vocabularies(), crosswalk={"cat": ["kitten", "tomcat"]})
    assert [row[0] for row in rows] == ["same"] * 9


def test_a_crosswalk_is_proposed_from_overlaps_and_takes_effect_when_it_is_named(tmp_path):
    first, second = both_vocabularies()
    rows = found(tmp_path / "x", first, second)
    assert [row[0] for row in rows].count("not-compared") == 16
    table = tmp_path / "x" / "out" / "crosswalk.tsv"
    assert [(row["first"], row["second"], row["status"], row["pairs"]) for row in read_table(table)] == [
        ("dog", "dog", "same name", "1"),
        ("cat", "", "no counterpart", ""),
        ("", "kitten", "no counterpart", ""),
        ("", "tomcat", "no counterpart", ""),
    ]
    # With more of them, the overlaps say enough.
    more = [thing(100 + n, 30 * n, 160, 20, 20) for n in range(8)]
    first["annotations"] += more
    second["annotations"] += [one | {"category_id": 1 + one["id"] % 2} for one in more]
    found(tmp_path / "y", first, second)
    table = tmp_path / "y" / "out" / "crosswalk.tsv"
    assert {(row["first"], row["second"]) for row in read_table(table) if row["status"] == "proposed"} == {
        ("cat", "kitten"),
        ("cat", "tomcat"),
    }
    assert {row[0] for row in found(tmp_path / "z", first, second, crosswalk=str(table))} == {"same"}


def test_an_unknown_class_in_a_crosswalk_is_named(tmp_path):
    with pytest.raises(CocomineError, match="the second source has no class 'mouse'"):
        found(tmp_path, *both_vocabularies(), crosswalk={"cat": "mouse"})
    with pytest.raises(CocomineError, match=r"none\.tsv: no table of classes"):
        found(tmp_path / "b", *both_vocabularies(), crosswalk=str(tmp_path / "none.tsv"))
