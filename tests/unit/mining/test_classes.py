"""Classes that are made of a source's categories: as if the source had been written with them, and the way back."""

import copy
import json
import tempfile
from pathlib import Path

import pytest
from cocomine.annotations.lenient import as_id
from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json, read_table
from cocomine.inquiry.trace import Trace
from cocomine.mining import interference
from cocomine.mining.drawn import Drawn
from cocomine.mining.settings import SubsetSettings
from helpers.mined import build, lines, subset
from helpers.random_queries import CATEGORIES, IDS, queries, random_document
from helpers.small_documents import annotation, document
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.fixture(autouse=True)
def _no_picture(monkeypatch):
    monkeypatch.setattr(interference, "draw", lambda before, after, path: None)


VEHICLES = [
    {"id": 3, "name": "car", "supercategory": "vehicle"},
    {"id": 1, "name": "person", "supercategory": "person"},
    {"id": 6, "name": "bus", "supercategory": "vehicle"},
    {"id": 8, "name": "truck", "supercategory": "vehicle"},
    {"id": 25, "name": "giraffe", "supercategory": "animal"},
]
TRAFFIC = {"vehicle": ["bus", "truck", "car"], "person": "person"}


def traffic(*records, **more):
    return document(list(records) or [annotation(n, 1, c["id"]) for n, c in enumerate(VEHICLES, 1)],
                    categories=VEHICLES, **more)  # fmt: skip


def labels(folder):
    return read_json(folder / "out" / "labels.json")


def label_names(folder):
    return [row["name"] for row in labels(folder)["labels"]]


@st.composite
def class_lists(draw, wanted):
    """The wanted categories' ids dealt out to one or more classes, in any order."""
    ids = draw(st.permutations(wanted))
    names = draw(st.permutations(["zeta", "alpha", "mid", "person"]))[: draw(st.integers(1, len(ids)))]
    dealt = {name: [] for name in names}
    for number, identity in enumerate(ids):
        dealt[names[number % len(names)]].append(identity)
    return dealt


def rewritten(source, classes):
    """The source as if it had been written with the classes, and the new id of each old one."""
    others = [identity for identity in IDS if not any(identity in ids for ids in classes.values())]
    new = {old: number for number, ids in enumerate(classes.values(), 1) for old in ids}
    new |= {old: number for number, old in enumerate(others, len(classes) + 1)}
    by_id = {category["id"]: category for category in CATEGORIES}
    categories = []
    for number, (name, ids) in enumerate(classes.items(), 1):
        supers = {by_id[identity]["supercategory"] for identity in ids}
        categories.append({"id": number, "name": name, "supercategory": supers.pop() if len(supers) == 1 else ""})
    for identity in others:
        other = dict(by_id[identity], id=new[identity])
        if other["name"] in classes:
            other["name"] = f"{other['name']} ({identity})"
        categories.append(other)
    result = copy.deepcopy(source) | {"categories": categories}
    for record in result["annotations"]:
        record["category_id"] = new.get(record["category_id"], record["category_id"])
    return result, new


def without_source(value):
    """A document without what only a subset with classes says, notes, and the sums of category records."""
    if isinstance(value, dict):
        left_out = {"category", "notes", "source_categories", "source_category_id", "source_to_label", "query"}
        kept = {key: without_source(part) for key, part in value.items() if key not in left_out}
        # Classes whose categories disagree on the parent have none.
        return {key: part for key, part in kept.items() if not (key == "supercategory" and part == "")}
    return [without_source(part) for part in value] if isinstance(value, list) else value


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10_000), query=queries(), data=st.data())
def test_classes_are_as_if_the_source_had_been_written_with_them(seed, query, data):
    classes = data.draw(class_lists(query.pop("categories", None) or IDS))
    source = random_document(seed)
    for record in source["annotations"]:
        record["number"] = record["id"]  # no two are equal, whatever their categories
    beforehand, new = rewritten(source, classes)
    query["exclude_categories"] = [new[identity] for identity in query.get("exclude_categories", [])]
    for key in ("instances_per_class", "max_per_class"):
        if isinstance(query.get(key), dict):
            query[key] = {new[identity]: value for identity, value in query[key].items()}
    with tempfile.TemporaryDirectory() as name:
        one, two = Path(name) / "one", Path(name) / "two"
        asked = ((one, source, {"classes": classes}), (two, beforehand, {"categories": list(classes)}))
        outcomes = []
        for folder, content, wanted in asked:
            try:
                build(folder, {"instances_a": content}, query | wanted)
                outcomes.append("")
            except CocomineError as error:
                outcomes.append(error.message)
        assert outcomes[0] == outcomes[1]
        if outcomes[0]:
            return
        for path in sorted((two / "out").rglob("*")):
            other = one / "out" / path.relative_to(two / "out")
            if path.suffix == ".json":
                assert without_source(read_json(other)) == without_source(read_json(path)), path.name
            elif path.name == "quarantine.tsv":
                theirs = [{**row, "category_id": str(new.get(int(row["category_id"] or -1), row["category_id"]))}
                          for row in read_table(other)]  # fmt: skip
                assert theirs == list(read_table(path))
            elif path.is_file():
                assert other.read_bytes() == path.read_bytes(), path.name
        stated = {record["id"]: record["category_id"] for record in source["annotations"]}
        for record in subset(one)["annotations"]:
            assert record["source_category_id"] == stated[record["id"]]
            assert record["category_id"] == new[stated[record["id"]]]


def test_classes_merge_and_rename_in_the_order_of_their_labels_and_the_way_back_is_kept(tmp_path):
    build(tmp_path, {"instances_a": traffic()}, {"classes": TRAFFIC, "keep_other_annotations": True})
    rows = labels(tmp_path)["labels"]
    assert [(row["label"], row["name"], row["category_id"]) for row in rows] == [
        (0, "background", None), (1, "vehicle", 1), (2, "person", 2), (3, "giraffe", 3)]  # fmt: skip
    assert rows[1]["source_categories"] == [
        {"id": 3, "name": "car"}, {"id": 6, "name": "bus"}, {"id": 8, "name": "truck"}]  # fmt: skip
    assert labels(tmp_path)["source_to_label"] == {"3": 1, "6": 1, "8": 1, "1": 2, "25": 3}
    written = subset(tmp_path)
    assert [(one["source_category_id"], one["category_id"]) for one in written["annotations"]] == [
        (3, 1), (1, 2), (6, 1), (8, 1), (25, 3)]  # fmt: skip
    record = {"id": 1, "name": "vehicle", "supercategory": "vehicle"}
    assert written["categories"][0] == record | {"source_categories": rows[1]["source_categories"]}
    assert not lines(tmp_path, "repairs")
    dictionary = read_json(tmp_path / "out" / "dictionary.json")["1.jpg"]
    assert {(one["category_id"], one["name"], one["source_category_id"]) for one in dictionary} >= {
        (1, "vehicle", 8), (2, "person", 1)}  # fmt: skip


def test_a_class_may_be_named_by_a_supercategory_or_by_ids(tmp_path):
    classes = {"anything on wheels": {"supercategory": "vehicle"}, "person": [1]}
    build(tmp_path, {"instances_a": traffic()}, {"classes": classes})
    assert label_names(tmp_path) == ["background", "anything on wheels", "person"]
    assert {one["source_category_id"] for one in subset(tmp_path)["annotations"]} == {1, 3, 6, 8}


def test_the_categories_of_the_source_keep_their_ids_where_there_are_no_classes(tmp_path):
    content = traffic()
    build(tmp_path, {"instances_a": content}, {"categories": ["bus", "car"]})
    assert [row["category_id"] for row in labels(tmp_path)["labels"]] == [None, 3, 6]
    assert labels(tmp_path)["source_to_label"] == {"3": 1, "6": 2}
    kept = [one for one in content["annotations"] if one["category_id"] in (3, 6)]
    assert subset(tmp_path)["annotations"] == kept


@pytest.mark.parametrize(
    ("query", "message", "hint"),
    [
        ({"classes": {"v": ["bus", "lorry"]}}, r"classes\.v: the source has no category 'lorry'", "there are: person"),
        ({"classes": {"v": ["buss"]}}, r"classes\.v: the source has no category 'buss'", "did you mean 'bus'"),
        ({"classes": {"v": ["bus", 6], "w": [6]}}, "classes: bus stands in 'v' and in 'w'|6 stands", "out of one"),
        ({"classes": {"v": ["bus"], "w": ["vehicle"]}}, "classes: bus stands in 'v' and in 'w'", "out of one"),
        ({"classes": TRAFFIC, "exclude_categories": ["vehicle"]}, "vehicle stands both in classes and in exclude", ""),
        ({"classes": TRAFFIC, "exclude_categories": ["bus"]}, "exclude_categories: .* no category 'bus'", ""),
        ({"classes": TRAFFIC, "max_per_class": {"giraffe": 3}}, "giraffe is none of the wanted categories", "add it"),
    ],
)
def test_classes_that_cannot_be_are_refused_with_advice(tmp_path, query, message, hint):
    with pytest.raises(CocomineError, match=message) as caught:
        build(tmp_path, {"instances_a": traffic()}, query)
    assert hint in caught.value.hint


def test_a_class_may_bear_the_name_of_a_category_that_is_not_in_it(tmp_path):
    build(tmp_path, {"instances_a": traffic()}, {"classes": {"car": ["bus"]}, "keep_other_annotations": True})
    assert label_names(tmp_path) == ["background", "car", "person", "car (3)", "truck", "giraffe"]


def test_stuff_whose_id_a_class_has_gets_an_id_of_its_own_in_the_file_and_in_the_labels(tmp_path):
    stuff = {
        "images": document([])["images"],
        "annotations": [annotation(1, 1, 1, area=400), annotation(2, 2, 90, area=400)],
        "categories": [{"id": 1, "name": "grass"}, {"id": 90, "name": "sky"}],
    }
    cats = document([annotation(1, 1, 25)], categories=[{"id": 25, "name": "giraffe"}])
    query = {"classes": {"animal": "giraffe"}}
    build(tmp_path, {"instances_a": cats, "stuff_a": stuff}, query, drawn=Drawn("instances+stuff"))
    moved = as_id("category/1")[0]
    written = read_json(tmp_path / "out" / "tasks" / "stuff.json")
    (record,) = written["annotations"]  # the second image holds no giraffe
    assert (record["category_id"], record["source_category_id"]) == (moved, 1)
    assert [one["id"] for one in written["categories"]] == [90, moved]
    assert labels(tmp_path)["category_to_label"] == {"1": 1, "90": 2, str(moved): 3}
    assert labels(tmp_path)["source_to_label"] == {"25": 1, "90": 2, "1": 3}


def test_objects_under_two_categories_of_one_class_are_counted_in_a_note_and_both_kept(tmp_path):
    square = {"bbox": [40, 40, 20, 20], "segmentation": [[40, 40, 60, 40, 60, 60, 40, 60]]}
    records = [annotation(1, 1, 3), annotation(2, 1, 6), annotation(3, 1, 1), annotation(4, 1, 8, **square)]
    build(tmp_path, {"instances_a": traffic(*records)}, {"classes": TRAFFIC})
    (note,) = read_json(tmp_path / "out" / "funnel.json")["notes"]
    assert note.startswith("1 object of 'vehicle' stands there twice, under two of its categories")
    assert len(subset(tmp_path)["annotations"]) == 4


def test_lists_of_categories_that_lvis_gives_an_image_follow_the_classes(tmp_path):
    content = traffic(annotation(1, 1, 3))
    content["images"][0] |= {"neg_category_ids": [1, 8], "not_exhaustive_category_ids": [6, 25]}
    build(tmp_path, {"instances_a": content}, {"classes": TRAFFIC})
    (image,) = subset(tmp_path)["images"]
    assert (image["neg_category_ids"], image["source_neg_category_ids"]) == ([2], [1, 8])
    assert image["not_exhaustive_category_ids"] == [1, 3]  # vehicle for its buses, and giraffe, which is in no class


HARD = {
    "spaces": b'{"id": 1, "image_id": 1, "category_id" :\t6 , "iscrowd": 0, "area": 400, "bbox": [10, 10, 20, 20]',
    "nested": b'{"a": {"category_id": 8}, "category_id": 6, "id": 1, "image_id": 1, "bbox": [10, 10, 20, 20]',
    "escaped": b'{"a": "\\"category_id\\": 8", "category_id": 6, "id": 1, "image_id": 1, "bbox": [10, 10, 20, 20]',
    "spelt out": b'{"categor\\u0079_id": 6, "id": 1, "image_id": 1, "area": 400, "bbox": [10, 10, 20, 20]',
    "stated before": b'{"source_category_id": 99, "category_id": 6, "id": 1, "image_id": 1, "bbox": [10, 10, 20, 20]',
    "as text": b'{"category_id": "6", "id": 1, "image_id": 1, "area": 400, "bbox": [10, 10, 20, 20]',
    "as a float": b'{"category_id": 6.0, "id": 1, "image_id": 1, "area": 400, "bbox": [10, 10, 20, 20]',
}


@pytest.mark.parametrize("name", HARD)
def test_a_record_gets_its_class_however_it_is_written(tmp_path, name):
    outline = json.dumps(annotation(1)["segmentation"]).encode()
    record = HARD[name] + b', "segmentation": ' + outline + b"}"
    text = json.dumps(traffic(annotation(1))).encode()
    begin, end = text.index(b'"annotations": [') + 16, text.index(b'], "categories"')
    build(tmp_path, {"instances_a": text[:begin] + record + text[end:]}, {"classes": TRAFFIC})
    (written,) = subset(tmp_path)["annotations"]
    assert (written["category_id"], written["source_category_id"]) == (1, 6)
    assert written.get("a") == json.loads(record).get("a")


def test_a_trace_tells_the_label_of_a_class_and_the_category_that_the_source_states(tmp_path):
    build(tmp_path, {"instances_a": traffic()}, {"classes": TRAFFIC})
    trace = Trace(SubsetSettings.from_mapping({"classes": TRAFFIC}), tmp_path / "index", tmp_path / "out")
    (bus,) = trace.annotation(3)
    assert (bus.outcome, bus.category, bus.source_category, bus.label) == ("kept", "vehicle", "bus", 1)
    (giraffe,) = trace.annotation(5)
    assert giraffe.why == "its category giraffe is none of those in `classes`, and keep_other_annotations is false"


def animals(*names, start=1):
    """Categories called `names` with a square each, as one source numbers them."""
    categories = [{"id": start + 3 * n, "name": name, "supercategory": "animal"} for n, name in enumerate(names)]
    records = [annotation(n, 1, category["id"]) for n, category in enumerate(categories, 1)]
    return {"instances_a": document(records, categories=categories)}


@st.composite
def growing(draw):
    """The names of an earlier build's classes in the order of their labels, and of a later one's."""
    names = draw(st.permutations(["ant", "bee", "cow", "dog", "eel", "fox"]))
    return names, draw(st.integers(1, 5))


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(names=growing(), key=st.sampled_from(["classes", "categories"]), data=st.data())
def test_classes_that_are_added_never_renumber_those_that_are_pinned(names, key, data):
    ordered, known = names
    content = animals("fox", "ant", "dog", "bee", "eel", "cow")

    def query(some):
        return {"classes": {name: name for name in some}} if key == "classes" else {"categories": some}

    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder) / "one", content, query(ordered[:known]))
        earlier = label_names(Path(folder) / "one")
        pin = {"labels_from": str(Path(folder) / "one" / "out" / "labels.json")}
        build(Path(folder) / "two", content, query(data.draw(st.permutations(ordered))) | pin)
        later = labels(Path(folder) / "two")
        assert [row["name"] for row in later["labels"]][: len(earlier)] == earlier
        assert {row["name"] for row in later["labels"]} == {"background", *ordered}
        if key == "classes":
            assert [row["category_id"] for row in later["labels"]] == [None, *range(1, len(ordered) + 1)]


def test_pinned_labels_hold_between_sources_that_number_their_categories_otherwise(tmp_path):
    build(tmp_path / "one", animals("zebra", "giraffe"), {})
    pin = {"labels_from": str(tmp_path / "one" / "out" / "labels.json")}
    build(tmp_path / "two", animals("elephant", "giraffe", "zebra", start=50), pin)
    assert label_names(tmp_path / "two") == ["background", "zebra", "giraffe", "elephant"]
    to_label = labels(tmp_path / "two")["category_to_label"]
    assert to_label == {"50": 3, "53": 2, "56": 1}


@pytest.mark.parametrize("key", ["classes", "categories"])
def test_a_pinned_class_that_the_subset_has_not_is_refused_by_name_before_any_image_is_fetched(tmp_path, key):
    build(tmp_path / "one", animals("zebra", "giraffe", "lion"), {})
    pin = {"labels_from": str(tmp_path / "one" / "out" / "labels.json")}
    query = {"categories": ["zebra"]} if key == "categories" else {"classes": {"zebra": ["zebra"]}}
    with pytest.raises(CocomineError, match=r"gives the label 2 \('giraffe'\) to a class that .*, and so 3 \('lion'\)"):
        build(tmp_path / "two", animals("zebra", "giraffe", "lion"), query | pin)
    assert not (tmp_path / "two" / "out" / "selection.tsv").exists()
    build(tmp_path / "two", animals("zebra", "giraffe", "lion"), query | pin | {"keep_other_annotations": True})
    assert label_names(tmp_path / "two") == ["background", "zebra", "giraffe", "lion"]


def test_a_pinned_class_that_the_source_has_not_is_refused_by_name(tmp_path):
    build(tmp_path / "one", animals("zebra", "giraffe"), {})
    pin = {"labels_from": str(tmp_path / "one" / "out" / "labels.json")}
    with pytest.raises(CocomineError, match=r"gives the label 2 \('giraffe'\)") as caught:
        build(tmp_path / "two", animals("zebra"), pin)
    assert "train anew" in caught.value.hint


def test_labels_from_a_file_that_is_none_is_refused_with_advice(tmp_path):
    (tmp_path / "x.json").write_text("[]")
    for name in ("x.json", "none.json"):
        with pytest.raises(CocomineError, match=f"labels_from: .*{name}: ") as caught:
            build(tmp_path, animals("zebra"), {"labels_from": str(tmp_path / name)})
        assert "labels.json of an earlier build" in caught.value.hint
