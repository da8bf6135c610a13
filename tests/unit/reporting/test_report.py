import json
import re

import pytest
from cocomine.base.errors import CocomineError
from cocomine.coco.by_image import RecordsByImage
from cocomine.reporting import facts as facts_module
from cocomine.reporting import report
from cocomine.reporting.report import Inputs, render_report
from helpers.report_page import HOSTILE, Page, assert_page_and_json_agree, make_report
from helpers.small_report import add_report_inputs
from helpers.small_subset import make_small_subset


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_report(tmp_path_factory.mktemp("report"))


def test_every_number_of_the_page_is_in_the_json_and_every_number_of_the_json_is_on_the_page(made):
    html, facts, _ = made
    page = assert_page_and_json_agree(html, facts)
    assert len(page.numbers) > 200
    assert len(page.charts) == 14


def test_what_was_lost_in_large_part_stands_above_all_sections_with_its_remedy(made):
    html, facts, _ = made
    assert [row["words"] for row in facts["warnings"]] == ["1 of 6 images: image-truncated"]
    top = html[: html.index('<section id="query">')]
    assert "Lost: 1 of 6 images: image-truncated (16.7" in words(top)
    assert "replace the files &lt;b&gt;now&lt;/b&gt;" in top


def test_the_report_names_the_categories_that_a_class_is_made_of_and_passes_over_its_own_name():
    rows = [
        {"name": name, "color": [1, 2, 3], "supercategory": None, "category_id": number,
         "source_categories": [{"id": 9 * n, "name": one} for n, one in enumerate(names)]}
        for number, (name, names) in enumerate({"vehicle": ["bus", "car"], "dog": ["dog"]}.items(), 1)
    ]  # fmt: skip
    facts = facts_module.class_facts({side: {"per_class": {}, "total": {}} for side in ("before", "after")}, rows)
    assert [row["made_of"] for row in facts["rows"]] == [["bus", "car"], []]


def test_known_counts_of_the_hand_made_subset_stand_in_the_json(made):
    _, facts, _ = made
    assert (facts["subset"]["images"], facts["subset"]["objects"], facts["subset"]["crowds"]) == (5, 9, 2)
    assert [step["images"]["after"] for step in facts["funnel"]["steps"]] == [10, 6, 5]
    assert [(row["reason"], row["count"]) for row in facts["quarantine"]] == [
        ("box-zero-side", 2),
        ("image-truncated", 1),
    ]
    assert {row["reason"] for row in facts["repairs"]} == {"text-id", "not-finite"}
    assert facts["split"]["splits"][0] == {"name": "train", "images": 3, "objects": 5, "share": 0.6}
    assert [row["cells"] for row in facts["split"]["classes"]] == [[2, 2, 3, 2], [2, 1, 2, 1]]
    assert facts["interference"]["matrices"][0]["shares"][0] == [None, 0.01, 0.5]
    assert [row["images"] for row in facts["licences"]] == [3, 1, 1]
    assert [row["non_commercial"] for row in facts["licences"]] == [False, True, False]
    assert facts["inputs"]["images"]["images"] == 5
    assert [row["file"] for row in facts["inputs"]["files"]] == ["instances_train2017.json", "panoptic_train2017/"]
    assert facts["inputs"]["files"][1]["bytes"] == 30
    assert facts["runs"][0]["score"] == {"value": pytest.approx(0.572), "trivial": pytest.approx(0.132)}
    assert facts["gallery"]["shown"] == 5


def test_nothing_is_fetched_from_elsewhere(made):
    html, _, _ = made
    page = Page(html)
    for tag, values in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        for name in ("src", "srcset", "poster", "data", "action", "background"):
            if (tag, name, values.get(name)) != ("script", "src", "../build.lock.js"):  # which names the lock
                assert name not in values or values[name].startswith("data:image/"), (tag, values)
        assert not any(name.startswith("on") for name in values)
        assert "style" not in values, "an inline style would need a laxer security policy"
    assert "url(" not in html
    assert "@import" not in html
    policy = next(values["content"] for _, values in page.tags if values.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_links_lead_to_files_beside_the_page_or_to_plain_web_addresses(made):
    html, _, _ = made
    links = [values["href"] for tag, values in Page(html).tags if tag == "a"]
    assert "http://creativecommons.org/licenses/by/2.0/" in links
    assert all(re.match(r"(https?://|#|[\w./-]+$|explorer\.html#[\w=&.,-]*$)", link) for link in links)
    assert not any("javascript:" in link for link in links)


@pytest.mark.slow
def test_hostile_names_and_captions_are_shown_as_text_and_never_run(tmp_path):
    html, facts, _ = make_report(tmp_path, HOSTILE)
    page = assert_page_and_json_agree(html, facts)
    assert facts["classes"]["rows"][0]["name"] == HOSTILE[0]
    assert [text for _, text in page.texts if text == HOSTILE[0]]
    assert [values.get("src") for tag, values in page.tags if tag == "script"] == ["../build.lock.js", None]
    assert all(values["src"].startswith("data:image/") for tag, values in page.tags if tag == "img")
    assert "<b>run</b>" not in html
    assert "javascript:alert(1)" in html
    assert not any("javascript" in values.get("href", "") for _, values in page.tags)


def words(html):
    """The page's text without its elements, spaces as they read."""
    return " ".join(re.sub(r"<[^>]+>", "", html).split())


def judged(root, images, ratio, own=None, trivial=None):
    """The report of a run with another count of images, ratio, and mean IoU of its own and of the baselines."""
    subset = make_small_subset(root)
    run = add_report_inputs(subset)
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["images"] = images
    metrics["baselines"]["ratio"] = ratio
    if own is not None:
        metrics["training_resolution"]["iou"]["mean_foreground"] = own
        for name in ("all_background", "most_frequent_place"):
            metrics["baselines"][name]["training_resolution"]["iou"]["mean_foreground"] = trivial
    (run / "metrics.json").write_text(json.dumps(metrics))
    inputs = Inputs(subset.folder, "animals", {}, subset.store, (run,), None, 24)
    render_report(inputs, root / "report.html", root / "report.json")
    html = (root / "report.html").read_text("utf-8")
    assert_page_and_json_agree(html, json.loads((root / "report.json").read_text("utf-8")))
    return html


def test_a_run_that_equals_a_baseline_of_nothing_gets_the_warning(tmp_path):
    html = judged(tmp_path, 20, None, 0.0, 0.0)
    assert "Its IoU is no better than the trivial baseline (0.000)" in words(html)
    assert "It has learnt nothing of use." in words(html)
    assert html.count('<p class="warn">Its IoU is') == 1
    assert "so few" not in words(html)


@pytest.mark.slow
def test_a_ratio_below_one_has_two_digits_and_the_warning(tmp_path):
    html = judged(tmp_path, 20, 0.7391, 0.17, 0.23)
    assert "Its IoU is 0.74 times that of" in words(html)
    assert "no better than the trivial baseline (0.230)" in words(html)
    assert '<p class="warn">Its IoU is' in html


@pytest.mark.slow
def test_one_image_is_said_to_allow_no_judgement(tmp_path):
    html = judged(tmp_path, 1, None, 0.0, 0.0)
    assert "It is judged on 1 image that it was not trained on." in words(html)
    assert "Judged on 1 image: so few allow no judgement." in words(html)
    assert '<p class="warn">Its IoU is no better than' in html
    assert "learnt nothing" not in words(html)


def test_the_split_speaks_of_points_and_each_row_of_its_audit_reads_by_itself(made):
    text = words(made[0])
    assert "30.0 points" in text
    assert "5.0 points" in text
    assert "Images that would have changed split had 1 of the others been added later0" in text.replace(" 0", "0")


def test_the_same_inputs_give_the_same_bytes(made, tmp_path):
    html, facts, _ = made
    again, facts_again, _ = make_report(tmp_path)
    assert facts == facts_again
    assert html == again
    assert str(tmp_path) not in again


def test_what_is_not_there_is_said_in_a_sentence(tmp_path):
    html, facts, _ = make_report(tmp_path, full=False)
    assert_page_and_json_agree(html, facts)
    for sentence in (
        "No experiment of the configuration is evaluated on this subset.",
        "There is no funnel: the subset&#39;s folder holds no funnel.json.",
        "The configuration asks for no export.",
        "No record was quarantined.",
        "The report was made without the lock of the annotation files.",
    ):
        assert sentence in html
    assert "<tbody>\n</tbody>" not in html


def test_a_bare_subset_without_split_masks_or_captions_still_has_a_report(tmp_path):
    subset = make_small_subset(tmp_path)
    for name in ("split.tsv", "masks.tsv", "tasks/captions.json", "images.lock.tsv"):
        (subset.folder / name).unlink()
    for mask in (subset.folder / "masks" / "semantic").iterdir():
        mask.unlink()
    (subset.folder / "masks" / "semantic").rmdir()
    inputs = Inputs(subset.folder, "animals", {}, None, (), None, 24)
    render_report(inputs, tmp_path / "report.html", tmp_path / "report.json")
    html = (tmp_path / "report.html").read_text("utf-8")
    assert_page_and_json_agree(html, json.loads((tmp_path / "report.json").read_text("utf-8")))
    assert "The subset has not been split." in html
    assert "No masks were drawn." in html
    assert "The report was made without the images." in html


def test_an_image_that_is_missing_is_named(tmp_path):
    subset = make_small_subset(tmp_path)
    (subset.store / "train2017" / "000000000044.jpg").unlink()
    with pytest.raises(CocomineError, match=r"000000000044\.jpg") as error:
        render_report(
            Inputs(subset.folder, "a", {}, subset.store, (), None, 24), tmp_path / "a.html", tmp_path / "a.json"
        )
    assert "sync_images" in error.value.hint
    assert not (tmp_path / "a.html").exists()


def test_a_folder_that_is_no_subset_says_what_to_run(tmp_path):
    with pytest.raises(CocomineError, match=r"subset\.json") as error:
        report.gather(Inputs(tmp_path, "a", {}, None, (), None, 24))
    assert "assemble_subset" in error.value.hint


def test_each_export_says_how_it_is_loaded_and_which_classes_lost_much_of_themselves(made):
    html, facts, _ = made
    segment = next(row for row in facts["exports"] if row["format"] == "yolo-segment")
    name = facts["subset"]["name"]
    assert f"results/{name}/exports/yolo-segment/data.yaml" in segment["load"]
    assert "exports/yolo-segment/data.yaml" in html
    assert [row["objects_out"] for row in segment["much_lost"]] == [3, 2]
    assert segment["traced"] == {"objects": 1, "iou_least": 1.0}


def test_classes_that_a_source_did_not_look_for_everywhere_are_counted(tmp_path):
    images = [
        {"id": 1, "neg_category_ids": [7], "not_exhaustive_category_ids": []},  # shows 5; 7 is said to be absent
        {"id": 2, "neg_category_ids": [], "not_exhaustive_category_ids": [5]},  # shows 5, not all; 7 was not looked for
        {"id": 3, "neg_category_ids": [5], "not_exhaustive_category_ids": []},  # 5 is absent; 7 was not looked for
    ]
    (tmp_path / "subset.json").write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    document = RecordsByImage(tmp_path / "subset.json")
    labels = [{"category_id": 5, "name": "cat"}, {"category_id": 7, "name": "dog"}]
    assert facts_module.unlabelled(document, [(1, 5), (1, 5), (2, 5)], labels) == [
        {"name": "cat", "not_exhaustive": 1, "unsaid": 0},
        {"name": "dog", "not_exhaustive": 0, "unsaid": 2},
    ]


def test_a_source_that_labels_all_classes_everywhere_has_no_such_table(made):
    html, facts, _ = made
    assert facts["unlabelled"] == []
    assert "Where background is not known" not in html


def row(kind, task, identity, reason, split="train"):
    return {"kind": kind, "task": task, "source_split": split, "id": identity, "reason": reason}


def test_an_image_counts_once_for_a_reason_though_every_task_has_a_row_of_it():
    rows = [
        row("image", "instances", "7", "image-truncated"),
        row("image", "captions", "7", "image-truncated"),
        row("image", "captions", "7", "image-truncated", "val"),
        row("annotation", "instances", "1", "image-truncated"),
        row("annotation", "stuff", "1", "image-truncated"),
    ]
    counted = {(one["kind"], one["count"]) for one in facts_module.reason_rows(rows)}
    assert counted == {("image", 2), ("annotation", 2)}


def test_a_record_that_goes_with_another_says_so():
    rows = [row("image", "instances", "7", "polygon-outside"), row("caption", "captions", "1", "image-truncated")]
    meanings = {one["kind"]: one["meaning"] for one in facts_module.reason_rows(rows)}
    assert meanings["image"].startswith("it holds an annotation that is quarantined: ")
    assert meanings["caption"].startswith("its image is left out: ")
