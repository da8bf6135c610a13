"""Mining real COCO: agreement with pycocotools on every category and pair, and records that stay byte for byte."""

import contextlib
import io
import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cocomine.base.errors import CocomineError
from cocomine.base.files import read_table
from cocomine.inquiry.count import count_expression
from cocomine.mining import clauses
from cocomine.mining.assemble import assemble
from cocomine.mining.index import read_source
from cocomine.mining.mine import mine
from cocomine.mining.select import select
from cocomine.mining.settings import SubsetSettings
from helpers.index_of_coco_mini import index_coco_mini
from helpers.shared import coco_mini
from pycocotools.coco import COCO

FILES = [
    ("instances", "train2017"),
    ("instances", "val2017"),
    ("person_keypoints", "train2017"),
    ("person_keypoints", "val2017"),
]


def coco(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


@pytest.fixture(scope="module")
def index_dir(tmp_path_factory):
    return index_coco_mini(tmp_path_factory.mktemp("index"))


def build(index_dir, out, measures=None, splits=("train2017", "val2017"), threads=1, **query):
    settings = SubsetSettings.from_mapping(query)
    mine(settings, index_dir, splits, out / "selection.tsv", out / "funnel.json")
    arguments = (out / "selection.tsv", out / "funnel.json", measures, out)
    return assemble(settings, index_dir, coco_mini() / "annotations", *arguments, threads)


def test_a_subset_has_the_same_bytes_on_any_number_of_processes(index_dir, tmp_path):
    policy = {"area-mismatch": "repair", "rle-not-crowd": "keep"}
    for threads in (1, 2):
        build(index_dir, tmp_path / str(threads), threads=threads, area_tolerance=0.05, policy=policy)
    repaired = list(read_table(tmp_path / "1" / "repairs.tsv"))
    assert len(repaired) > 5
    assert {row["reason"] for row in repaired} == {"area-mismatch"}
    files = sorted(path.relative_to(tmp_path / "1") for path in (tmp_path / "1").rglob("*") if path.is_file())
    assert len(files) > 10
    for file in files:
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "2" / file).read_bytes(), file


@pytest.mark.parametrize(("task", "split"), FILES)
def test_any_and_all_agree_with_pycocotools_on_every_category_and_pair(index_dir, task, split):
    truth = coco(coco_mini() / "annotations" / f"{task}_{split}.json")
    source = read_source(index_dir, [split], task)
    pairs = clauses.pairs_of(source.image_row, source.class_of, source.images.rows, len(source.categories))
    ids, names = source.images["id"], [category.id for category in source.categories]
    assert names == sorted(truth.getCatIds())
    objects = np.bincount(source.class_of, minlength=len(names))
    for cls, identity in enumerate(names):
        assert set(ids[clauses.holding(pairs, [cls], len(ids))].tolist()) == set(truth.getImgIds(catIds=[identity]))
        assert objects[cls] == len(truth.getAnnIds(catIds=[identity]))
    for a, b in itertools.combinations(range(len(names)), 2):
        with_a, with_b = (set(truth.getImgIds(catIds=[names[cls]])) for cls in (a, b))
        assert set(ids[clauses.holding(pairs, [a, b], len(ids))].tolist()) == with_a | with_b
        both = set(truth.getImgIds(catIds=[names[a], names[b]]))
        assert set(ids[clauses.holding_all(pairs, [[a], [b]], len(ids))].tolist()) == both


@pytest.mark.parametrize("split", ["train2017", "val2017"])
@pytest.mark.parametrize("match", ["any", "all"])
def test_a_whole_selection_agrees_with_pycocotools_on_every_category_and_pair(index_dir, split, match):
    truth = coco(coco_mini() / "annotations" / f"instances_{split}.json")
    source = read_source(index_dir, [split])
    ids, owners = source.images["id"], source.annotations["id"]
    with_category = {identity: set(truth.getImgIds(catIds=[identity])) for identity in truth.getCatIds()}
    annotations = {identity: truth.getAnnIds(catIds=[identity]) for identity in with_category}
    image_of = {record["id"]: record["image_id"] for record in truth.anns.values()}
    empty = 0
    for a, b in itertools.combinations_with_replacement(with_category, 2):
        expected = with_category[a] & with_category[b] if match == "all" else with_category[a] | with_category[b]
        query = SubsetSettings.from_mapping({"categories": sorted({a, b}), "match": match})
        if not expected:
            with pytest.raises(CocomineError, match="no image is left after the clause 'categories'"):
                select(source, query)
            empty += 1
            continue
        selection = select(source, query)
        assert set(ids[selection.chosen.rows].tolist()) == expected
        written = {record for identity in {a, b} for record in annotations[identity] if image_of[record] in expected}
        assert set(owners[selection.funnel.annotation_alive].tolist()) == written
    assert empty > 100 or match == "any"


def test_panoptic_agrees_with_a_plain_reading_on_every_category_and_pair(index_dir):
    document = json.loads((coco_mini() / "annotations" / "panoptic_train2017.json").read_text())
    truth = {category["id"]: set() for category in document["categories"]}
    for record in document["annotations"]:
        for segment in record["segments_info"]:
            truth[segment["category_id"]].add(record["image_id"])
    source = read_source(index_dir, ["train2017"], "panoptic")
    assert [category.id for category in source.categories] == sorted(truth)
    pairs = clauses.pairs_of(source.image_row, source.class_of, source.images.rows, len(source.categories))
    ids = source.images["id"]
    for a, b in itertools.combinations_with_replacement(range(len(truth)), 2):
        with_a, with_b = truth[source.categories[a].id], truth[source.categories[b].id]
        assert set(ids[clauses.holding(pairs, [a, b], len(ids))].tolist()) == with_a | with_b
        assert set(ids[clauses.holding_all(pairs, [[a], [b]], len(ids))].tolist()) == with_a & with_b
    assert len(source.annotations["id"]) == sum(len(record["segments_info"]) for record in document["annotations"])


@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_captions_agree_with_pycocotools(index_dir, split):
    truth = coco(coco_mini() / "annotations" / f"captions_{split}.json")
    source = read_source(index_dir, [split], "captions")
    assert source.images["id"].tolist() == list(truth.imgs)
    assert source.annotations["id"].tolist() == list(truth.anns)
    assert source.images["id"][source.image_row].tolist() == [record["image_id"] for record in truth.anns.values()]


def raw_records(content, key):
    """The bytes of each record of a top-level array, found by json's own scanner."""
    text = content.decode("utf-8")
    at = text.index("[", text.index(f'"{key}":')) + 1
    scan = json.JSONDecoder().raw_decode
    while True:
        while text[at] in ", \n\r\t":
            at += 1
        if text[at] == "]":
            return
        record, end = scan(text, at)
        yield record, text[at:end].encode()
        at = end


@pytest.mark.parametrize("task", ["instances", "captions", "person_keypoints", "panoptic"])
def test_kept_records_stand_byte_for_byte_and_in_order(index_dir, tmp_path, task):
    build(index_dir, tmp_path, categories=["giraffe", "person"], keep_other_annotations=True)
    path = tmp_path / "subset.json" if task == "instances" else tmp_path / "tasks" / f"{task}.json"
    written = path.read_bytes()
    chosen = {record["id"] for record, _ in raw_records((tmp_path / "subset.json").read_bytes(), "images")}
    for key, owner in (("images", "id"), ("annotations", "image_id")):
        expected = [
            raw
            for source in sorted((coco_mini() / "annotations").glob(f"{task}_*.json"))
            for record, raw in raw_records(source.read_bytes(), key)
            if record[owner] in chosen
        ]
        assert [raw for _, raw in raw_records(written, key)] == expected
        assert len(expected) > 20


def test_every_file_of_the_subset_loads_with_pycocotools_and_holds_its_images_only(index_dir, tmp_path):
    statistics = build(index_dir, tmp_path, categories=["person", "dog"], negatives=4, check_areas=True)
    subset = coco(tmp_path / "subset.json")
    images = list(read_table(tmp_path / "images.tsv"))
    assert [int(row["image_id"]) for row in images] == sorted(subset.imgs)
    assert [row["role"] for row in images].count("negative") == 4
    assert {category["name"] for category in subset.dataset["categories"]} == {"person", "dog"}
    for task in ("captions", "person_keypoints"):
        part = coco(tmp_path / "tasks" / f"{task}.json")
        assert set(part.imgs) <= set(subset.imgs)
        whole = [coco(coco_mini() / "annotations" / f"{task}_{split}.json") for split in ("train2017", "val2017")]
        known = {identity for truth in whole for identity in truth.imgs}
        assert set(part.imgs) == known & set(subset.imgs)
        expected = [truth.getAnnIds(imgIds=sorted(set(truth.imgs) & set(subset.imgs))) for truth in whole]
        assert sorted(part.anns) == sorted(itertools.chain(*expected))
    panoptic = json.loads((tmp_path / "tasks" / "panoptic.json").read_text())
    truth = json.loads((coco_mini() / "annotations" / "panoptic_train2017.json").read_text())
    assert panoptic["annotations"] == [a for a in truth["annotations"] if a["image_id"] in subset.imgs]
    total = statistics["after"]["total"]
    assert total["images"] == len(subset.imgs)
    assert total["annotations"] == len(subset.anns) == total["instances"] + total["crowds"]
    assert total["crowds"] == sum(a["iscrowd"] for a in subset.anns.values())
    polygons = [a["segmentation"] for a in subset.anns.values() if isinstance(a["segmentation"], list)]
    assert total["multi_polygon"] == sum(len(shape) > 1 for shape in polygons)
    assert total["vertices"] == sum(len(ring) // 2 for shape in polygons for ring in shape)
    assert total["small"] == sum(a["area"] < 32**2 for a in subset.anns.values())
    assert total["small"] + total["medium"] + total["large"] == len(subset.anns)
    dog = statistics["after"]["per_class"]["dog"]
    assert dog["images"] == len(subset.getImgIds(catIds=subset.getCatIds(catNms=["dog"])))
    for sums in itertools.chain(*(kinds.values() for kinds in statistics["conservation"].values())):
        assert sums["in"] == sums["kept"] + sums["repaired"] + sums["quarantined"] + sums["left_out"]


def test_the_dictionary_holds_all_objects_of_an_image(index_dir, tmp_path):
    build(index_dir, tmp_path, categories=["giraffe", "person"])
    subset = coco(tmp_path / "subset.json")
    dictionary = json.loads((tmp_path / "dictionary.json").read_text())
    assert sum(map(len, dictionary.values())) == len(subset.anns)
    for image in subset.imgs.values():
        boxes = [a["bbox"] for a in subset.loadAnns(subset.getAnnIds(imgIds=[image["id"]]))]
        entries = dictionary[image["file_name"]]
        assert [entry["Bounding"] for entry in entries] == boxes
        assert {entry["image_id"] for entry in entries} == {image["id"]}
        assert {(e["category_id"], e["supercategory"], e["name"]) for e in entries} <= {
            (25, "animal", "giraffe"),
            (1, "person", "person"),
        }


def test_labels_go_both_ways_and_count_from_the_background(index_dir, tmp_path):
    build(index_dir, tmp_path, categories=["giraffe", "person", "stop sign"])
    labels = json.loads((tmp_path / "labels.json").read_text())
    assert [entry["label"] for entry in labels["labels"]] == [0, 1, 2, 3]
    assert [entry["name"] for entry in labels["labels"]] == ["background", "person", "stop sign", "giraffe"]
    assert labels["category_to_label"] == {"1": 1, "13": 2, "25": 3}
    assert labels["label_to_category"] == {"1": 1, "2": 13, "3": 25}


def test_attribution_lists_every_image_with_its_link_and_licence(index_dir, tmp_path):
    build(index_dir, tmp_path, categories=["giraffe"])
    text = (tmp_path / "ATTRIBUTION.md").read_text()
    subset = coco(tmp_path / "subset.json")
    licences = {record["id"]: record["name"] for record in subset.dataset["licenses"]}
    for image in subset.imgs.values():
        assert f"- {image['file_name']}: <{image['flickr_url']}>" in text
        assert f"## {licences[image['license']]}" in text


def test_licences_sizes_and_captions_choose_images(index_dir):
    source = read_source(index_dir, ["train2017", "val2017"])
    truth = {}
    for split in ("train2017", "val2017"):
        truth |= coco(coco_mini() / "annotations" / f"instances_{split}.json").imgs

    def chosen(**query):
        selection = select(source, SubsetSettings.from_mapping(query), index_dir)
        return set(source.images["id"][selection.chosen.rows].tolist())

    everything = chosen()
    assert chosen(licenses=[4, "Attribution-ShareAlike License"]) == {
        identity for identity in everything if truth[identity]["license"] in (4, 5)
    }
    tall = chosen(image_aspect={"max": 0.9})
    assert tall == {i for i in everything if truth[i]["width"] / truth[i]["height"] <= 0.9}
    captions = [
        record
        for split in ("train2017", "val2017")
        for record in json.loads((coco_mini() / "annotations" / f"captions_{split}.json").read_text())["annotations"]
    ]
    matching = {record["image_id"] for record in captions if "sitting" in record["caption"].lower()}
    assert chosen(caption=r"\bSitting\b") <= matching & everything
    assert chosen(caption="sitting") == matching & everything


def test_counts_agree_with_pycocotools(index_dir):
    truths = [coco(coco_mini() / "annotations" / f"instances_{split}.json") for split in ("train2017", "val2017")]
    for text, function in {
        "giraffe and not person": lambda here: "giraffe" in here and "person" not in here,
        '"dining table" or (cup and person >= 2)': lambda here: (
            "dining table" in here or ("cup" in here and here.count("person") >= 2)
        ),
        "dining table and not (cup or bottle)": lambda here: (
            "dining table" in here and "cup" not in here and "bottle" not in here
        ),
        "animal and person < 2": lambda here: (
            (
                any(
                    name in here
                    for name in ("dog", "cat", "bird", "horse", "sheep", "cow", "elephant", "bear", "zebra")
                )
                or "giraffe" in here
            )
            and here.count("person") < 2
        ),
    }.items():
        expected = 0
        for truth in truths:
            names = {identity: record["name"] for identity, record in truth.cats.items()}
            for image in truth.imgs:
                here = [names[a["category_id"]] for a in truth.imgToAnns[image]]
                expected += function(here)
        assert count_expression(text, index_dir).images == expected > 0


def measures_of(folder, broken):
    """A table of measured images, as measure_images writes it: all in order but those in `broken`."""
    rows = list(read_table(folder / "selection.tsv"))
    columns = {
        "image_id": pa.array([int(row["image_id"]) for row in rows], pa.int64()),
        "source_split": pa.array([row["source_split"] for row in rows]),
        "file_name": pa.array([row["file_name"] for row in rows]),
        "status": pa.array([broken.get(int(row["image_id"]), ("ok",))[0] for row in rows]),
        "width": pa.array(
            [broken.get(int(r["image_id"]), ("ok", int(r["width"])))[-1] for r in rows], pa.int32(), from_pandas=False
        ),
        "height": pa.array([int(row["height"]) for row in rows], pa.int32()),
        "detail": pa.array([None] * len(rows), pa.string()),
        "exif_orientation": pa.array([1] * len(rows), pa.int8()),
    }
    pq.write_table(pa.table(columns), folder / "images.parquet")
    return folder / "images.parquet"


@pytest.mark.parametrize("refill", [False, True])
def test_a_broken_image_is_quarantined_and_replaced_if_the_query_says_so(index_dir, tmp_path, refill):
    query = {"categories": ["person", "chair"], "max_per_class": 10, "negatives": 3, "refill": refill, "spares": 5}
    settings = SubsetSettings.from_mapping(query)
    mine(settings, index_dir, [], tmp_path / "selection.tsv", tmp_path / "funnel.json")
    roles = {int(row["image_id"]): row for row in read_table(tmp_path / "selection.tsv")}
    wanted = [identity for identity, row in roles.items() if row["role"] == "wanted"]
    negative = [identity for identity, row in roles.items() if row["role"] == "negative"]
    broken = {wanted[0]: ("image-truncated", 0), wanted[3]: ("ok", 7), negative[1]: ("image-missing", 0)}
    statistics = build(index_dir, tmp_path, measures_of(tmp_path, broken), splits=(), **query)
    after = {int(row["image_id"]): row["role"] for row in read_table(tmp_path / "images.tsv")}
    assert not set(broken) & set(after)
    survivors = (set(wanted) | set(negative)) - set(broken)
    assert survivors <= set(after)
    quarantined = {
        (int(row["id"]), row["reason"]) for row in read_table(tmp_path / "quarantine.tsv") if row["kind"] == "image"
    }
    assert quarantined == {
        (wanted[0], "image-truncated"),
        (wanted[3], "image-size-differs"),
        (negative[1], "image-missing"),
    }
    per_class = statistics["after"]["per_class"]
    assert all(entry["images"] <= 10 for entry in per_class.values())
    if refill:
        assert list(after.values()).count("negative") == 3
        assert len(wanted) - 2 < list(after.values()).count("wanted") <= len(wanted)
    else:
        assert set(after) == survivors
    sums = statistics["conservation"]["image"]["instances"]
    assert sums["quarantined"] == 3
    assert sums["in"] == 287


def test_the_same_query_gives_the_same_bytes(index_dir, tmp_path):
    query = {
        "categories": ["person", "giraffe"],
        "fraction": 0.5,
        "negatives": 5,
        "policy": {"area-mismatch": "repair"},
    }
    for name in ("a", "b"):
        build(index_dir, tmp_path / name, **query)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 16
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_images_from_takes_the_images_of_another_subset_as_they_are(index_dir, tmp_path):
    build(index_dir, tmp_path / "one", categories=["giraffe"])
    settings = SubsetSettings.from_mapping({"categories": ["person"], "images_from": "one"})
    shutil.copy(tmp_path / "one" / "images.tsv", tmp_path / "images.tsv")
    mine(settings, index_dir, [], tmp_path / "s.tsv", tmp_path / "f.json", images_from=tmp_path / "images.tsv")
    mine_ids = [row["image_id"] for row in read_table(tmp_path / "s.tsv")]
    assert mine_ids == [row["image_id"] for row in read_table(tmp_path / "images.tsv")]
    roles = {row["role"] for row in read_table(tmp_path / "s.tsv")}
    assert roles == {"wanted", "negative"}
