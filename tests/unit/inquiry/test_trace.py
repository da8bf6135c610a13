"""Where did it go? Every record's verdict, counted, is what the build counted."""

import json
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from cocomine.annotations.build import build_index
from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json
from cocomine.inquiry.left_out import left_out
from cocomine.inquiry.trace import Trace, answer_annotation, answer_image
from cocomine.inquiry.verdict import LEFT_OUT, document, sentence
from cocomine.mining import interference
from cocomine.mining.assemble import assemble
from cocomine.mining.mine import mine
from cocomine.mining.settings import SubsetSettings
from helpers.random_queries import queries, random_document
from helpers.small_documents import annotation
from helpers.small_documents import document as small_document
from helpers.verdicts import assert_agreement
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.fixture(autouse=True)
def _no_picture(monkeypatch):
    monkeypatch.setattr(interference, "draw", lambda before, after, path: None)


def traced(folder, documents, query=None):
    """Index and build documents, given as {"instances_a": document, …}; return a Trace of the subset."""
    for name, content in documents.items():
        task, split = name.rsplit("_", 1)
        (folder / f"{name}.json").write_text(json.dumps(content), "utf-8")
        build_index(folder / f"{name}.json", task, split, folder / "index" / name)
    out = folder / "out"
    chosen = SubsetSettings.from_mapping(query or {})
    mine(chosen, folder / "index", [], out / "selection.tsv", out / "funnel.json")
    assemble(chosen, folder / "index", folder, out / "selection.tsv", out / "funnel.json", None, out)
    return Trace(chosen, folder / "index", out)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10_000), query=queries(), repair=st.booleans())
@pytest.mark.slow
def test_verdicts_on_every_record_add_up_to_what_the_build_counted(seed, query, repair):
    content = random_document(seed)
    for record in content["annotations"][::7]:
        del record["iscrowd"]
    for record in content["annotations"][3::11]:
        record["segmentation"] = [[0.1, 0.1, 0.2, 0.1, 0.2, 0.2]]
    if content["annotations"] and not repair:
        content["annotations"].append({**content["annotations"][0], "area": 1.0})
        content["images"].append({**content["images"][0], "file_name": "twin.jpg"})
    query = {**query, "policy": {"area-mismatch": "repair" if repair else "keep"}}
    with tempfile.TemporaryDirectory() as folder:
        try:
            trace = traced(Path(folder), {"instances_a": content}, query)
        except CocomineError as error:
            if "no image is left" not in error.message:
                raise
            return
        assert_agreement(trace, read_json(Path(folder) / "out" / "statistics.json"))


def test_what_the_query_left_out_of_the_images_that_stay_is_listed_with_its_clause(tmp_path):
    content = small_document(
        [
            annotation(1), annotation(2, area=9.0), annotation(3, category_id=1), annotation(4, image_id=2),
            annotation(5, bbox=[10, 10, 0, 0]), annotation(6, image_id=2, category_id=1),
        ]
    )  # fmt: skip
    query = {"categories": ["giraffe"], "area": {"min": 100}, "exclude_images": [2], "lost_objects": "void"}
    found = left_out(traced(tmp_path, {"instances_a": content}, query), {1})
    assert [clause for clause, _ in found.clauses] == ["area", "other_annotations"]
    assert found.objects == {1: [(2, "giraffe", 0), (3, "person", 1)]}, "of a quarantined one its reason is told"


def verdict(trace, identity):
    (found,) = trace.annotation(identity)
    return found


@pytest.mark.parametrize(
    ("query", "clause", "words"),
    [
        ({"area": {"min": 300}}, "area", "area 200 is below area.min 300"),
        ({"relative_area": {"min": 0.04}}, "relative_area", "relative area 0.025 is below relative_area.min 0.04"),
        (
            {"area": {"min": 300}, "outside_area": "exclude"},
            "area",
            "its image 2 holds giraffe (annotation 2), whose area 200 is below area.min 300, and outside_area is "
            "exclude",
        ),
        (
            {"exclude_categories": ["person"]},
            "exclude_categories",
            "its image 2 holds person (annotation 3), which `exclude_categories` forbids",
        ),
        ({"match": "only"}, "only", "its image 2 also holds person (annotation 3), which `match: only` forbids"),
        ({"instances": {"min": 2}}, "instances", "its image 2 holds 1 wanted object, below instances.min 2"),
        (
            {"instances_per_class": {"giraffe": {"min": 2}}},
            "instances_per_class",
            "its image 2 holds 1 of giraffe, below instances_per_class.giraffe.min 2",
        ),
        ({"licenses": [1]}, "licenses", "its image 2 has licence 2 (Other), which is not 1"),
        ({"image_width": {"min": 150}}, "image_width", "its image 2 has width 100, below image_width.min 150"),
        ({"exclude_images": [2]}, "exclude_images", "its image 2 is in the list of exclude_images"),
        ({"include_images": [1]}, "include_images", "its image 2 is not in the list of include_images"),
        (
            {"max_images": 1, "seed": 3},
            "max_images",
            "its image 2 stood at place 2 of 2 in the order of drawing, and max_images 1 takes the first 1",
        ),
    ],
)
def test_a_clause_is_named_with_the_figures_that_decided(tmp_path, query, clause, words):
    content = small_document(
        [
            annotation(1, area=900.0),
            annotation(4, area=901.0),
            annotation(2, image_id=2, area=200.0),
            annotation(3, image_id=2, category_id=1),
        ]
    )
    content["licenses"].append({"id": 2, "name": "Other", "url": "u"})
    content["images"][0]["width"] = 200
    content["images"][1]["license"] = 2
    found = verdict(traced(tmp_path, {"instances_a": content}, {"categories": ["giraffe"]} | query), 2)
    assert (found.outcome, found.clause) == (LEFT_OUT, clause)
    assert found.why == words


def test_an_annotation_of_a_kept_image_can_be_of_another_category(tmp_path):
    content = small_document([annotation(1), annotation(2, category_id=1)])
    trace = traced(tmp_path, {"instances_a": content}, {"categories": ["giraffe"]})
    assert sentence(verdict(trace, 1)) == "annotation 1 (giraffe): kept (label 1)"
    assert "its category person is none of those in `categories`" in verdict(trace, 2).why
    assert answer_image(trace, "1.jpg", "instances", as_json=False).splitlines()[2:] == [
        f"  {sentence(verdict(trace, number))}" for number in (1, 2)
    ]
    ((image, records),) = trace.image("2")
    assert (image.clause, image.why, records) == ("categories", "it holds no object of giraffe", [])


def test_repairs_and_quarantine_tell_reason_and_values(tmp_path):
    odd = annotation(3, image_id=2, segmentation=[[1, 2, 3, 4, 5, 6, 7]])
    trace = traced(tmp_path, {"instances_a": small_document([annotation(1), annotation(2, iscrowd="absent"), odd])})
    repaired, bad = verdict(trace, 2), verdict(trace, 3)
    assert (repaired.outcome, repaired.reason, repaired.after) == ("repaired", "no-iscrowd", {"iscrowd": 0})
    assert (bad.outcome, bad.reason) == ("quarantined", "polygon-odd")
    assert json.loads(answer_annotation(trace, 2, "instances", as_json=True)) == {"annotations": [document(repaired)]}


def test_a_negative_says_what_had_left_it_out(tmp_path):
    trace = traced(
        tmp_path, {"instances_a": small_document([annotation(1)])}, {"categories": ["giraffe"], "negatives": 1}
    )
    ((image, _),) = trace.image("2")
    assert (image.outcome, image.role, image.clause, image.returned) == ("kept", "negative", "categories", "negatives")
    assert sentence(image).endswith("then taken in by 'negatives'")


def test_the_side_of_the_split_is_told_once_there_is_one(tmp_path):
    trace = traced(tmp_path, {"instances_a": small_document([annotation(1)])})
    (tmp_path / "out/split.tsv").write_text("image_id\tfile_name\tsplit\tgroup\tfold\n1\t1.jpg\tval\t1\t\n")
    assert sentence(verdict(trace, 1)) == "annotation 1 (giraffe): kept (val split, label 2)"


@pytest.mark.parametrize(
    ("ask", "advice"),
    [
        (lambda trace: trace.annotation(3), "nearest ids are 1, 2"),
        (lambda trace: trace.annotation(77), "ask with --task captions"),
        (lambda trace: trace.annotation(400), "ask with --image 400"),
        (lambda trace: trace.image("3"), "nearest ids are 1, 2, 400"),
        (lambda trace: trace.image("val2017/000000000400.jpg"), "ask with --image 400"),
        (lambda trace: trace.image("no.jpg"), "file_name as the source has it"),
        (lambda trace: trace.annotation(1, "stuff"), "it has instances, captions"),
    ],
)
def test_an_unknown_record_is_an_error_with_the_nearest_remedy(tmp_path, ask, advice):
    content = small_document([annotation(1), annotation(2)])
    content["images"].append({**content["images"][0], "id": 400, "file_name": "400.jpg"})
    captions = {"images": content["images"], "annotations": [{"id": 77, "image_id": 1, "caption": "a giraffe"}]}
    trace = traced(tmp_path, {"instances_a": content, "captions_a": captions})
    with pytest.raises(CocomineError) as caught:
        ask(trace)
    assert advice in caught.value.hint


def test_another_query_or_a_changed_index_is_refused(tmp_path):
    content = small_document([annotation(1), annotation(2, image_id=2)])
    trace = traced(tmp_path, {"instances_a": content})
    with pytest.raises(CocomineError, match="made by another query"):
        Trace(SubsetSettings.from_mapping({"max_images": 1}), tmp_path / "index", tmp_path / "out")
    with pytest.raises(CocomineError, match=r"no subset was built there"):
        Trace(trace.query, tmp_path / "index", tmp_path / "nowhere")
    content["annotations"].pop()
    (tmp_path / "instances_a.json").write_text(json.dumps(content))
    build_index(tmp_path / "instances_a.json", "instances", "a", tmp_path / "index" / "instances_a")
    with pytest.raises(CocomineError, match="gives another funnel"):
        Trace(trace.query, tmp_path / "index", tmp_path / "out")


def test_captions_and_keypoints_follow_their_image_and_object(tmp_path):
    content = small_document([annotation(1), annotation(2, image_id=2, category_id=1)])
    captions = {
        "images": content["images"],
        "annotations": [
            {"id": 5, "image_id": 1, "caption": "a giraffe"},
            {"id": 6, "image_id": 1, "caption": " "},
            {"id": 7, "image_id": 2, "caption": "somebody"},
        ],
    }
    trace = traced(tmp_path, {"instances_a": content, "captions_a": captions}, {"categories": ["giraffe"]})
    found = [trace.annotation(number, "captions")[0] for number in (5, 6, 7)]
    assert [item.outcome for item in found] == ["kept", "quarantined", "left out"]
    assert found[1].reason == "no-caption"
    assert (found[2].clause, "no object of giraffe" in found[2].why) == ("categories", True)
    outcomes = Counter(item.outcome for item in found)
    counted = read_json(tmp_path / "out/statistics.json")["conservation"]["caption"]["captions"]
    assert {key.replace("_", " "): n for key, n in counted.items() if n and key != "in"} == dict(outcomes)


def test_a_subset_that_is_left_with_negatives_only_is_built_and_traced(tmp_path):
    speck = [[0.1, 0.1, 0.2, 0.1, 0.2, 0.2]]
    content = small_document([annotation(1, segmentation=speck, area=0.01)])
    trace = traced(tmp_path, {"instances_a": content}, {"categories": ["giraffe"], "negatives": 1})
    assert (verdict(trace, 1).outcome, verdict(trace, 1).reason) == ("quarantined", "mask-empty")
    assert [trace.image(which)[0][0].outcome for which in ("1", "2")] == ["quarantined", "kept"]
