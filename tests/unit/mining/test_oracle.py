"""The miner against a naive oracle, on random documents and random queries."""

import json
import operator
import random
import tempfile
from pathlib import Path

import numpy as np
import pytest
from cocomine.annotations.build import build_index
from cocomine.annotations.reasons import Reason
from cocomine.base.errors import CocomineError
from cocomine.inquiry.count import count_expression
from cocomine.mining.mine import read_source_of
from cocomine.mining.sampling import NEGATIVE, SPARE, WANTED
from cocomine.mining.select import select
from cocomine.mining.settings import SubsetSettings
from helpers import oracle
from helpers.random_queries import CATEGORIES, IDS, index_of, queries, random_document
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def run_miner(source, query, index_dir=None):
    """Return what the oracle returns: ids of wanted images, of negatives, and of written annotations."""
    chosen = select(source, SubsetSettings.from_mapping(query), index_dir)
    ids = source.images["id"]
    by_role = {role: [] for role in (WANTED, NEGATIVE, SPARE)}
    for row, role in zip(chosen.chosen.rows.tolist(), chosen.chosen.roles, strict=True):
        by_role[role].append(int(ids[row]))
    written = source.annotations["id"][np.flatnonzero(chosen.funnel.annotation_alive)].tolist()
    return sorted(by_role[WANTED]), sorted(by_role[NEGATIVE]), written


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10_000), query=queries(), data=st.data())
def test_the_miner_selects_what_a_plain_reading_of_the_query_selects(seed, query, data):
    document = random_document(seed)
    image_ids = [image["id"] for image in document["images"]]
    if data.draw(st.integers(0, 7)) == 7:
        query["include_images"] = data.draw(st.lists(st.sampled_from(image_ids), min_size=1, unique=True))
    if data.draw(st.integers(0, 7)) == 7:
        query["exclude_images"] = data.draw(st.lists(st.sampled_from(image_ids), unique=True))
    bad_rows = data.draw(st.sets(st.integers(0, max(0, len(document["annotations"]) - 1)), max_size=4))
    bad_rows = {row for row in bad_rows if row < len(document["annotations"])}
    bad_image_rows = data.draw(st.sets(st.integers(0, len(image_ids) - 1), max_size=2))
    reasons = {("annotation", row): [Reason.BAD_SEGMENTATION] for row in bad_rows}
    reasons |= {("image", row): [Reason.UNSAFE_FILE_NAME] for row in bad_image_rows}
    with tempfile.TemporaryDirectory() as folder:
        source = index_of(document, Path(folder), reasons)
        expected = oracle.mine(
            document,
            query,
            bad_images={image_ids[row] for row in bad_image_rows},
            bad_annotations={document["annotations"][row]["id"] for row in bad_rows},
        )
        try:
            found = run_miner(source, query)
        except CocomineError as error:
            found = error.message
    # A query that matches no image is an error, whatever negatives there would be.
    if isinstance(found, str):
        assert "no image is left after the clause" in found
        assert expected[0] == []
    else:
        assert found == expected


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10_000), query=queries(), shuffle=st.integers(0, 10_000))
def test_the_order_of_the_file_does_not_change_what_is_drawn(seed, query, shuffle):
    document = random_document(seed)
    shuffled = {**document, "images": list(document["images"]), "annotations": list(document["annotations"])}
    random.Random(shuffle).shuffle(shuffled["images"])
    random.Random(shuffle).shuffle(shuffled["annotations"])
    results = []
    for version in (document, shuffled):
        with tempfile.TemporaryDirectory() as folder:
            try:
                wanted, negatives, written = run_miner(index_of(version, Path(folder)), query)
                results.append((wanted, negatives, sorted(written)))
            except CocomineError as error:
                results.append(error.message)
    assert results[0] == results[1]


@pytest.mark.parametrize("match", ["any", "all", "only"])
def test_an_unusable_object_speaks_against_only_and_none_but_for_nothing(tmp_path, match):
    document = {
        "images": [
            {"id": 1, "file_name": "1.jpg", "width": 10, "height": 10},
            {"id": 2, "file_name": "2.jpg", "width": 10, "height": 10},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 25, "iscrowd": 0, "area": 4, "bbox": [0, 0, 2, 2]},
            {"id": 2, "image_id": 2, "category_id": 25, "iscrowd": 0, "area": 4, "bbox": [0, 0, 2, 2]},
            {"id": 3, "image_id": 2, "category_id": 1, "iscrowd": 0, "area": 4, "bbox": [0, 0, 0, 2]},
        ],
        "categories": CATEGORIES,
    }
    source = index_of(document, tmp_path, {("annotation", 2): [Reason.BAD_SEGMENTATION]})
    wanted, _, _ = run_miner(source, {"categories": ["giraffe"], "match": match})
    assert wanted == ([1] if match == "only" else [1, 2])
    wanted, _, _ = run_miner(source, {"categories": ["giraffe"], "exclude_categories": ["person"]})
    assert wanted == [1]
    with pytest.raises(CocomineError, match="no image is left after the clause 'categories'"):
        run_miner(source, {"categories": ["person"], "match": match})


def named(draw, identity):
    """One of the ways in which a query may name a category."""
    category = next(one for one in CATEGORIES if one["id"] == identity)
    name = category["name"]
    ways = [identity, name, {"name": name}, {"id": identity}, {"supercategory": category["supercategory"]}]
    return draw(st.sampled_from(ways))


def without_damage(document):
    """The document without annotations of no image or category, or that equal an earlier one but for the id."""
    seen, annotations = set(), []
    images = {image["id"] for image in document["images"]}
    for record in document["annotations"]:
        key = json.dumps({**record, "id": 0})
        if record["image_id"] in images and record["category_id"] in IDS and key not in seen:
            annotations.append(record)
        seen.add(key)
    return {**document, "annotations": annotations}


def split_in_two(document, first):
    """Two documents: the first holds the first so many images with their annotations."""
    for images in (document["images"][:first], document["images"][first:]):
        ids = {image["id"] for image in images}
        annotations = [record for record in document["annotations"] if record["image_id"] in ids]
        yield {**document, "images": images, "annotations": annotations}


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10_000), query=queries(), data=st.data())
@pytest.mark.slow
def test_the_same_holds_from_real_indexes_of_two_splits_by_any_name_and_caption(seed, query, data):
    document = without_damage(random_document(seed))
    dice = random.Random(seed)
    days = {image["id"]: [dice.choice(["by day", "by night"]) for _ in range(2)] for image in document["images"]}
    captions = [(identity, text) for identity, texts in days.items() for text in texts]
    given_query = dict(query)
    for key in ("categories", "none"):
        if key in query:
            given_query[key] = [named(data.draw, identity) for identity in query[key]]
    if data.draw(st.integers(0, 3)) == 3:
        query["caption"] = given_query["caption"] = "night"
    if data.draw(st.booleans()):
        given_query["source_splits"] = [data.draw(st.sampled_from(["a", "b"]))]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = dict(zip("ab", split_in_two(document, data.draw(st.integers(0, len(days)))), strict=True))
        for split, part in parts.items():
            ids = {image["id"] for image in part["images"]}
            words = [{"id": n, "image_id": i, "caption": c} for n, (i, c) in enumerate(captions) if i in ids]
            for task, content in (("instances", part), ("captions", {"images": part["images"], "annotations": words})):
                (folder / f"{task}_{split}.json").write_text(json.dumps(content))
                build_index(folder / f"{task}_{split}.json", task, split, folder / "index" / f"{task}_{split}")
        chosen = SubsetSettings.from_mapping(given_query)
        source = read_source_of(chosen, folder / "index", [])
        used = given_query.get("source_splits", ["a", "b"])
        whole = {
            **document,
            "images": [image for split in used for image in parts[split]["images"]],
            "annotations": [record for split in used for record in parts[split]["annotations"]],
            "captions": days,
        }
        expected = oracle.mine(whole, query)
        try:
            found = run_miner(source, given_query, folder / "index")
        except CocomineError as error:
            found = error.message
    if isinstance(found, str):
        assert "no image is left after the clause" in found
        assert expected[0] == []
    else:
        assert found == expected


TERMS = [("giraffe", 25), ('"stop sign"', 13), ("toothbrush", 90), ("person", 1)]
COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "=": operator.eq}


def term(draw):
    (name, identity), how = draw(st.sampled_from(TERMS)), draw(st.sampled_from([None, *COMPARE]))
    if how is None:
        return name, lambda here: identity in here
    number = draw(st.integers(0, 3))
    return f"{name} {how} {number}", lambda here: COMPARE[how](here.count(identity), number)


def expression(draw, depth=3):
    """A random expression, and what it says of the list of an image's category ids."""
    kind = draw(st.sampled_from(["term", "not", "and", "or"])) if depth else "term"
    if kind == "term":
        return term(draw)
    text, holds = expression(draw, depth - 1)
    if kind == "not":
        return f"not ({text})", lambda here: not holds(here)
    other, also = expression(draw, depth - 1)
    if kind == "and":
        return f"({text}) and ({other})", lambda here: holds(here) and also(here)
    return f"({text}) or ({other})", lambda here: holds(here) or also(here)


@pytest.mark.slow
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10_000), data=st.data())
def test_any_expression_counts_the_images_for_which_it_is_true(seed, data):
    document = without_damage(random_document(seed))
    text, holds = expression(data.draw)
    here = {image["id"]: [] for image in document["images"]}
    for record in document["annotations"]:
        here[record["image_id"]].append(record["category_id"])
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "x.json").write_text(json.dumps(document))
        build_index(Path(name) / "x.json", "instances", "a", Path(name) / "index" / "instances_a")
        assert count_expression(text, Path(name) / "index").images == sum(map(holds, here.values()))
