"""What a user meets: names that are nearly right, queries that match nothing, lists of images, captions, refilling."""

import json

import numpy as np
import pytest
from cocomine.base.errors import CocomineError
from cocomine.inquiry.count import count_expression, table
from cocomine.mining import clauses, interference
from cocomine.mining.clauses import Pairs
from cocomine.mining.index import read_source
from cocomine.mining.licences import licence_names, licences_of
from cocomine.mining.select import select
from cocomine.mining.settings import SubsetSettings
from helpers.fake_index import make_index
from helpers.random_queries import CATEGORIES, index_of


def box(identity, image_id, category_id, area=100.0):
    side = area**0.5
    return {
        "id": identity,
        "image_id": image_id,
        "category_id": category_id,
        "iscrowd": 0,
        "area": area,
        "bbox": [0, 0, side, side],
    }


DOCUMENT = {
    "licenses": [{"id": 1, "name": "Attribution License", "url": ""}, {"id": 4, "name": "No known restrictions"}],
    "images": [
        {"id": n, "file_name": f"{n}.jpg", "width": 100, "height": 100, "license": 1 + 3 * (n % 2)} for n in range(1, 7)
    ],
    "annotations": [
        box(1, 1, 25),
        box(2, 2, 25),
        box(3, 2, 1),
        box(4, 3, 1),
        box(5, 4, 13),
        box(6, 4, 1, area=2500.0),
        box(7, 5, 25),
        box(8, 5, 25),
    ],
    "categories": CATEGORIES,
}


@pytest.fixture
def source(tmp_path):
    return index_of(DOCUMENT, tmp_path)


def ids(source, tmp_path=None, **query):
    chosen = select(source, SubsetSettings.from_mapping(query), None if tmp_path is None else tmp_path / "index").chosen
    return source.images["id"][chosen.rows].tolist()


@pytest.mark.parametrize(
    ("query", "message", "hint"),
    [
        ({"categories": ["girafe"]}, "no category 'girafe'", "did you mean 'giraffe'?"),
        ({"categories": ["Stop-Sign"]}, "no category 'Stop-Sign'", "'stop sign'"),
        ({"categories": [26]}, "no category with id 26", "1, 13, 25, 90"),
        ({"categories": [{"supercategory": "animals"}]}, "no supercategory 'animals'", "'animal'"),
        ({"exclude_categories": ["persn"]}, "exclude_categories: the source has no category 'persn'", "'person'"),
        ({"licenses": ["Public domain"]}, "no licence 'Public domain'", "1 Attribution License"),
        ({"licenses": [9]}, "no licence '9'", "4 No known restrictions"),
        ({"categories": ["giraffe"], "exclude_categories": ["animal"]}, "giraffe stands both", "take it out"),
        ({"categories": ["giraffe"], "max_per_class": {"person": 3}}, "person is none of the wanted", "add it"),
        ({"include_images": [1, 99]}, "1 of 2 entries names no image of the source: 99", "image ids or file names"),
        ({"include_images": "nowhere.txt"}, "nowhere.txt: cannot be read", "give the path"),
        ({"categories": ["giraffe"], "caption": "x"}, "has no captions", "add captions"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(source, query, message, hint):
    with pytest.raises(CocomineError) as caught:
        ids(source, **query)
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("query", "clause", "hint"),
    [
        ({"categories": ["toothbrush"]}, "categories", "other categories"),
        ({"categories": ["stop sign"], "match": "only"}, "only", "match: any"),
        (
            {"categories": ["stop sign"], "exclude_categories": ["person"]},
            "exclude_categories",
            "shorten exclude_categories",
        ),
        ({"categories": ["giraffe"], "instances": {"min": 3}}, "instances", "widen instances"),
        ({"image_width": {"min": 101}}, "image_width", "widen image_width"),
        ({"categories": ["giraffe"], "area": {"min": 101}}, "categories", "area"),
    ],
)
def test_a_subset_that_matches_nothing_names_the_clause_that_took_the_last_images(source, query, clause, hint):
    with pytest.raises(CocomineError) as caught:
        ids(source, **query)
    assert f"no image is left after the clause '{clause}'" in caught.value.message
    assert hint in caught.value.hint


TWINS = {
    "licenses": [{"id": 1, "name": "by"}, {"id": "2", "name": "by"}, {"id": 3, "name": "not stated"}],
    "images": [
        {"id": n, "file_name": f"{n}.jpg", "width": 100, "height": 100, "license": n if n < 4 else -1}
        for n in range(1, 5)
    ],
    "annotations": [box(1, 1, 7), box(2, 2, 8), box(3, 3, 8), box(4, 4, 9)],
    "categories": [{"id": 7, "name": "cat"}, {"id": 8, "name": "cat"}, {"id": 9, "name": "cat (8)"}],
}


def test_categories_and_licences_of_one_name_are_counted_apart(tmp_path):
    source = index_of(TWINS, tmp_path)
    assert [category.name for category in source.categories] == ["cat (7)", "cat (8) (8)", "cat (8) (9)"]
    selection = select(source, SubsetSettings.from_mapping({"categories": ["cat"]}))
    assert ids(source, categories=["cat"]) == [1, 2, 3]
    assert ids(source, categories=["cat (7)"]) == [1]
    kept = selection.funnel.as_dict()["kept_by_class"]
    assert {name: entry["annotations"] for name, entry in kept.items()} == {"cat (7)": 1, "cat (8) (8)": 2}
    for step in selection.funnel.steps:
        assert sum(c.get("annotations_removed", 0) for c in step.by_class.values()) == step.annotations["removed"]
    assert licence_names(source) == {1: "by (1)", 2: "by (2)", 3: "not stated (3)", -1: "not stated"}
    assert ids(source, licenses=["BY"]) == [1, 2]
    assert ids(source, licenses=[2]) == [2]


@pytest.mark.parametrize(
    "listed",
    [5, True, "by", {}, {"id": 1}, [5, None, "x"], [{"id": []}, {"id": {}}, {"id": "abc", "name": 5}, {"id": 2**70}],
     [{"id": None, "name": None}, {"id": 1.5}, {"id": -1}, {"id": True}]],
)  # fmt: skip
def test_a_damaged_list_of_licences_lists_what_it_can(tmp_path, listed):
    source = index_of({**TWINS, "licenses": listed}, tmp_path)
    assert licences_of(source) == {}
    for wanted in (1, "by", "abc", 2**70):
        with pytest.raises(CocomineError, match="the source has no licence"):
            ids(source, licenses=[wanted])


@pytest.mark.parametrize("item", [2**63, 2**70, "9" * 20, "1" * 5000, -1])
def test_an_image_number_that_no_image_can_have_is_no_image_of_the_source(source, item):
    assert ids(source, exclude_images=[item]) == ids(source)
    with pytest.raises(CocomineError, match="1 of 1 entries names no image of the source"):
        ids(source, include_images=[item])


def test_an_image_may_be_listed_by_its_number_in_several_spellings(source):
    assert ids(source, include_images=["1", "001", 1, "2.jpg"]) == [1, 2]


def test_a_supercategory_stands_for_any_of_its_categories(source):
    assert ids(source, categories=["animal"]) == [1, 2, 5]
    assert ids(source, categories=["animal", "person"], match="all") == [2]
    assert ids(source, categories=["GIRAFFE"]) == [1, 2, 5]


def test_entries_of_exclude_images_that_name_nothing_are_counted_and_named(source, tmp_path, caplog):
    (tmp_path / "list.txt").write_text("1\nabsent.jpg\n77\n")
    with caplog.at_level("WARNING", "cocomine"):
        left = ids(source, exclude_images=str(tmp_path / "list.txt"))
    assert 1 not in left
    assert "exclude_images: 2 of 3 entries name no image of the source: 'absent.jpg', '77'" in caplog.text


def test_a_caption_pattern_that_would_hang_other_engines_answers_at_once(source, tmp_path):
    captions = {
        "images": DOCUMENT["images"],
        "annotations": [
            {"id": 1, "image_id": 1, "caption": "A giraffe " + "a" * 5000 + "!"},
            {"id": 2, "image_id": 2, "caption": "Somebody SLEEPING beside a giraffe"},
        ],
    }
    (tmp_path / "captions_a.json").write_text(json.dumps(captions))
    make_index(tmp_path / "index", "captions", "a", tmp_path / "captions_a.json")
    assert ids(source, tmp_path, categories=["giraffe"], caption="sleep(s|ing)") == [2]
    with pytest.raises(CocomineError, match="no image is left after the clause 'caption'"):
        ids(source, tmp_path, categories=["giraffe"], caption="(a+)+$")
    with pytest.raises(CocomineError, match="is no regular expression") as caught:
        ids(source, tmp_path, categories=["giraffe"], caption="(?<=a)b")
    assert "RE2" in caught.value.hint


def test_the_funnel_counts_what_each_clause_removed_by_class(source):
    query = SubsetSettings.from_mapping({"categories": ["giraffe"], "match": "only", "area": {"max": 2000}})
    funnel = select(source, query).funnel.as_dict()
    by_name = {step["clause"]: step for step in funnel["steps"]}
    assert by_name["categories"]["images"] == {"before": 6, "removed": 3, "added": 0, "after": 3}
    assert by_name["only"]["by_class"] == {
        "person": {"images_removed": 1, "annotations_removed": 1},
        "giraffe": {"images_removed": 1, "annotations_removed": 1},
    }
    assert funnel["kept_by_class"] == {"giraffe": {"images": 2, "annotations": 3}}
    assert funnel["images"] == {"in": 6, "removed": 4, "added": 0, "kept": 2}


def test_a_balanced_subset_takes_the_rarest_class_first(source):
    query = {"categories": ["giraffe", "stop sign", "person"], "balance": True, "seed": 3}
    selection = select(source, SubsetSettings.from_mapping(query))
    kept = selection.funnel.kept_by_class()
    assert all(entry["images"] == 1 for entry in kept.values())
    assert set(kept) == {"giraffe", "stop sign", "person"}
    assert 4 in source.images["id"][selection.chosen.rows].tolist()


def test_the_sparse_and_the_dense_way_to_pair_images_and_classes_agree(monkeypatch):
    dice = np.random.default_rng(5)
    image, cls = dice.integers(-1, 40, 300), dice.integers(-1, 7, 300)
    dense = clauses.pairs_of(image, cls, 40, 7)
    monkeypatch.setattr(clauses, "DENSE_CELLS", 0)
    sparse = clauses.pairs_of(image, cls, 40, 7)
    assert dense.image.tolist() == sparse.image.tolist()
    assert dense.cls.tolist() == sparse.cls.tolist()
    expected = sorted({(i, c) for i, c in zip(image.tolist(), cls.tolist(), strict=True) if i >= 0 and c >= 0})
    assert list(zip(dense.image.tolist(), dense.cls.tolist(), strict=True)) == expected


def test_interference_counts_the_images_that_two_classes_share(tmp_path):
    pairs = Pairs(np.array([0, 0, 1, 2, 2]), np.array([0, 1, 0, 0, 2]))
    matrix = interference.shared_images(pairs, np.array([True, True, True]), [0, 2], 3)
    names = ["giraffe", "person", "bus"]
    before = interference.document(matrix, [0, 2], names)
    assert before == {
        "giraffe": {"images": 3, "shared": {"person": 1, "bus": 1}},
        "bus": {"images": 1, "shared": {"giraffe": 1}},
    }
    alone = interference.shared_images(pairs, np.array([False, True, False]), [0, 2], 3)
    after = interference.document(alone, [0, 2], names)
    assert after["giraffe"] == {"images": 1, "shared": {}}
    rows, columns = interference.shown(before)
    assert (rows, columns) == (["giraffe", "bus"], ["giraffe", "bus", "person"])
    assert interference.shares(before, rows, columns)[0, 2] == pytest.approx(100 / 3)
    for name in ("a.png", "b.png"):
        interference.draw(before, after, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_count_prints_its_funnel_as_a_table(source, tmp_path):
    count = count_expression("giraffe and not person", tmp_path / "index")
    assert table(count).splitlines() == [
        "giraffe and not person",
        "from a",
        "",
        "clause                                   images  removed  annotations  removed",
        "---------------------------------------  ------  -------  -----------  -------",
        "valid records                                 6        0            8        0",
        "giraffe                                       3        3            5        3",
        "not person                                    2        1            3        2",
        "annotations of the categories asked for       2        0            3        0",
        "",
        "category  images  objects",
        "--------  ------  -------",
        "giraffe        2        3",
        "",
        "2 images, 3 objects",
    ]


def test_a_changed_seed_draws_other_images_and_a_larger_fraction_keeps_the_smaller(tmp_path):
    many = {**DOCUMENT, "annotations": [box(n, n, 25) for n in range(1, 61)]}
    many["images"] = [{"id": n, "file_name": f"{n}.jpg", "width": 9, "height": 9} for n in range(1, 61)]
    source = index_of(many, tmp_path)
    assert read_source(tmp_path / "index", ["a"]).images.rows == 60
    small, large = ids(source, fraction=0.2), ids(source, fraction=0.5)
    assert (len(small), len(large)) == (12, 30)
    assert set(small) < set(large)
    assert ids(source, fraction=0.2, seed=1) != small


def test_negatives_hold_neither_a_wanted_object_nor_a_forbidden_one(source):
    query = SubsetSettings.from_mapping(
        {"categories": ["giraffe"], "exclude_categories": ["stop sign"], "negatives": 5}
    )
    selection = select(source, query)
    roles = zip(source.images["id"][selection.chosen.rows].tolist(), selection.chosen.roles, strict=True)
    assert [identity for identity, role in roles if role == "negative"] == [3, 6]
    assert selection.notes == ["negatives: 5 were asked for, but only 2 images without a wanted object could be found"]


def test_images_from_takes_no_image_whose_id_its_file_gives_to_another_too(tmp_path):
    twice = {"id": 5, "file_name": "twice.jpg", "width": 100, "height": 100, "license": 1}
    source = index_of({**DOCUMENT, "images": [*DOCUMENT["images"], twice]}, tmp_path)
    (tmp_path / "images.tsv").write_text("image_id\tfile_name\n2\t2.jpg\n5\t5.jpg\n")
    query = SubsetSettings.from_mapping({"images_from": "other"})
    chosen = select(source, query, None, tmp_path / "images.tsv")
    assert source.images["id"][chosen.chosen.rows].tolist() == [2]
    assert chosen.notes == ["images_from: 1 of 2 images are not in this source, or not usable"]


def of_three_classes(images):
    """Images that hold one category each: 1 of giraffe in ten, 3 of stop sign, 6 of person."""
    kinds = [25] + [13] * 3 + [1] * 6
    numbers = range(1, images + 1)
    return {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": 100, "height": 100} for n in numbers],
        "annotations": [box(n, n, kinds[n % 10]) for n in numbers],
        "categories": CATEGORIES,
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"max_images": 12}, {1: 4, 13: 4, 25: 4}),
        ({"max_images": 100}, {1: 20, 13: 20, 25: 20}),
        ({"max_images": 8, "max_per_class": {"giraffe": 1}}, {1: 4, 13: 3, 25: 1}),
    ],
)
def test_a_balanced_subset_stays_balanced_when_it_is_cut(tmp_path, query, expected):
    source = index_of(of_three_classes(200), tmp_path)
    query = {"categories": ["person", "stop sign", "giraffe"], "balance": True} | query
    chosen = select(source, SubsetSettings.from_mapping(query)).chosen
    held = source.annotations["category_id"][np.isin(source.image_row, chosen.rows)]
    assert dict(zip(*(values.tolist() for values in np.unique(held, return_counts=True)), strict=True)) == expected


def test_a_balanced_share_is_balanced_by_what_the_share_holds(tmp_path):
    source = index_of(of_three_classes(200), tmp_path)
    query = {"categories": ["person", "stop sign", "giraffe"], "balance": True, "fraction": 0.5}
    chosen = select(source, SubsetSettings.from_mapping(query))
    held = source.annotations["category_id"][np.isin(source.image_row, chosen.chosen.rows)]
    counts = np.unique(held, return_counts=True)[1].tolist()
    assert len(counts) == 3
    assert len(set(counts)) == 1
    before_caps = next(step for step in chosen.funnel.steps if step.clause == "max_per_class")
    assert before_caps.images["before"] == 100


def test_a_larger_balanced_subset_keeps_what_a_smaller_one_had(tmp_path):
    source = index_of(of_three_classes(100), tmp_path)
    smaller = set(ids(source, categories=["person", "stop sign"], balance=True, max_images=7))
    assert smaller < set(ids(source, categories=["person", "stop sign"], balance=True, max_images=15))


def test_negatives_pass_the_caption_clause_too(source, tmp_path):
    captions = {
        "images": DOCUMENT["images"],
        "annotations": [{"id": n, "image_id": n, "caption": "by day" if n % 2 else "by night"} for n in range(1, 7)],
    }
    (tmp_path / "captions_a.json").write_text(json.dumps(captions))
    make_index(tmp_path / "index", "captions", "a", tmp_path / "captions_a.json")
    assert ids(source, tmp_path, categories=["giraffe"], caption="day", negatives=9) == [1, 3, 5]


def test_dropping_crowds_leaves_those_of_other_categories(tmp_path):
    content = {
        **DOCUMENT,
        "annotations": [box(1, 1, 25), box(2, 1, 25) | {"iscrowd": 1}, box(3, 1, 1) | {"iscrowd": 1}],
    }
    source = index_of(content, tmp_path)
    query = SubsetSettings.from_mapping({"categories": [25], "crowds": "drop", "keep_other_annotations": True})
    assert source.annotations["id"][select(source, query).funnel.annotation_alive].tolist() == [1, 3]
