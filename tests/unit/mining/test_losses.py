"""What is lost is said in numbers, with the remedy of its reason."""

import re

import pytest
from cocomine.annotations.reasons import POLICIES, Reason, policies
from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json
from cocomine.mining import interference
from cocomine.mining.losses import Loss, large, remedy, told
from helpers.mined import build
from helpers.small_documents import annotation, document

ODD = [[10, 10, 30, 10, 30, 30, 10]]


@pytest.fixture(autouse=True)
def _no_picture(monkeypatch):
    monkeypatch.setattr(interference, "draw", lambda before, after, path: None)


def test_when_nothing_is_left_the_reasons_are_told_in_numbers(tmp_path):
    records = [annotation(n, image_id=n, segmentation=ODD, area=390.0 + n) for n in range(1, 6)]
    records += [annotation(9, image_id=6, category_id=1)]
    with pytest.raises(CocomineError) as caught:
        build(tmp_path, {"instances_a": document(records, images=6)}, {"categories": ["giraffe"]})
    assert "5 of 5 annotations of giraffe: polygon-odd" in caught.value.message
    assert "ask for other categories" not in caught.value.hint
    assert "annotation file" in caught.value.hint


def test_a_query_that_excludes_everything_gets_the_remedy_of_its_clause(tmp_path):
    with pytest.raises(CocomineError) as caught:
        build(tmp_path, {"instances_a": document([annotation(1)])}, {"instances": {"min": 2}})
    assert caught.value.hint == "widen instances"


def test_when_every_image_file_is_missing_that_is_said(tmp_path):
    content = {"instances_a": document([annotation(1), annotation(2, image_id=2)])}
    with pytest.raises(CocomineError, match="2 of 2 images: image-missing") as caught:
        build(tmp_path, content, {}, {n: {"status": "image-missing"} for n in (1, 2)})
    assert "origin" in caught.value.hint


@pytest.mark.parametrize(("bad", "told_of"), [(1, False), (2, True)])
def test_a_reason_that_takes_over_five_percent_is_a_warning_with_its_remedy(tmp_path, caplog, bad, told_of):
    records = [
        annotation(n, image_id=n, area=380.0 + n, **({"segmentation": ODD} if n <= bad else {})) for n in range(1, 31)
    ]
    with caplog.at_level("WARNING", "cocomine"):
        statistics = build(tmp_path, {"instances_a": document(records, images=30)})
    funnel = read_json(tmp_path / "out/funnel.json")
    assert [loss["words"] for loss in funnel["losses"]] == (
        ["2 of 30 annotations: polygon-odd", "2 of 30 images: lost-object"] if told_of else []
    )
    assert statistics["losses"] == funnel["losses"]
    assert ("warning: 2 of 30 annotations: polygon-odd (7 %): " in caplog.text) == told_of
    assert len(told([tmp_path / "out", tmp_path / "absent"])) == 2 * told_of


def test_what_the_images_cost_is_measured_against_the_images_selected(tmp_path):
    records = [annotation(n, image_id=n, area=380.0 + n) for n in range(1, 31)]
    query = {"max_images": 6}
    broken = {n: {"status": "image-truncated"} for n in range(1, 31, 2)}
    statistics = build(tmp_path, {"instances_a": document(records, images=30)}, query, broken)
    (images,) = statistics["losses"]
    assert images["of"] == 6
    assert images["count"] == 6 - statistics["after"]["total"]["images"]
    assert "refill: true" in images["remedy"]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_remedy_and_a_policy_that_it_proposes_is_accepted(reason, policy):
    chosen = policies() | {reason: policy}
    text = remedy(reason, chosen)
    assert text
    for code, proposed in re.findall(r"policy: \{([a-z-]+): ([a-z]+)\}", text):
        assert policies({code: proposed})[Reason(code)] == proposed
        assert (code, proposed) != (reason, policy)


def test_losses_add_up_over_categories():
    losses = [Loss("annotation", name, "bad-box", 4, 50) for name in ("cat", "dog")]
    losses += [Loss("image", "", "bad-id", 1, 99)]
    assert large(losses, {"annotation": 100, "image": 99}) == [Loss("annotation", "", "bad-box", 8, 100)]
    assert large(losses, {"annotation": 200, "image": 99}) == []
