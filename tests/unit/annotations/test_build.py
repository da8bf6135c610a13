import bz2
import gzip
import hashlib
import json
import lzma
import struct
from pathlib import Path
from typing import Any

import pytest
from cocomine.annotations import build, chunks, layout
from cocomine.annotations.lenient import as_id
from cocomine.annotations.reasons import TABLE
from cocomine.base.errors import CocomineError
from helpers.coco_document import document, image, indexed, thing

LINE = json.dumps(thing())
IMAGE = json.dumps(image())


def with_line(line: str) -> str:
    """A document of one annotation, given as text."""
    return json.dumps(document("HERE")).replace('"HERE"', line)


def with_image(line: str) -> str:
    return json.dumps(document(thing(), images=["HERE"])).replace('"HERE"', line)


RLE = {"size": [80, 100], "counts": [1000, 10, 6990]}
SEGMENT = {"id": 5, "category_id": 7, "iscrowd": 0, "bbox": [1, 1, 5, 5], "area": 20}


def panoptic(*segments: Any, **changes: Any) -> dict[str, Any]:
    return {"image_id": 1, "file_name": "1.png", "segments_info": list(segments), **changes}


# What is wrong, of which kind and row, and exactly which codes that row has.
CASES: list[tuple[str, Any, str, int, set[str]]] = [
    ("nothing", document(thing()), "annotations", 0, set()),
    ("null", with_line("null"), "annotations", 0, {"not-an-object"}),
    ("a list", with_line("[1]"), "annotations", 0, {"not-an-object"}),
    ("no id", with_line(LINE.replace('"id": 1', '"ident": 1')), "annotations", 0, {"no-id"}),
    ("a null id", with_line(LINE.replace('"id": 1', '"id": null')), "annotations", 0, {"no-id"}),
    ("an image without an id", with_image(IMAGE.replace('"id": 1', '"ident": 1')), "images", 0, {"bad-id"}),
    ("a negative id", document(thing(-4)), "annotations", 0, {"bad-id"}),
    ("a huge id", document(thing(10**30)), "annotations", 0, {"bad-id"}),
    ("a word as id", document(thing(id="abc")), "annotations", 0, {"text-id"}),
    ("true as id", document(thing(id=True)), "annotations", 0, {"bad-id"}),
    ("text id", document(thing(id="12")), "annotations", 0, {"text-id"}),
    ("text image id", document(thing(image_id="1")), "annotations", 0, {"text-id"}),
    ("float id", document(thing(id=3.0)), "annotations", 0, {"text-id"}),
    ("text id of an image", document(thing(), images=[image(id="1")]), "images", 0, {"text-id"}),
    ("twice an id", document(thing(3), thing(3, area=99)), "annotations", 1, {"duplicate-id"}),
    ("twice an id, first", document(thing(3), thing(3, area=99)), "annotations", 0, set()),
    ("twice an image id", document(images=[image(), image(file_name="b.jpg")]), "images", 1, {"duplicate-id"}),
    ("twice a key", with_line(LINE[:-1] + ', "area": 7}'), "annotations", 0, {"duplicate-key"}),
    ("twice an unknown key", with_line(LINE[:-1] + ', "x": 7, "x": 8}'), "annotations", 0, {"duplicate-key"}),
    ("twice a nested key", with_line(LINE[:-1] + ', "x": {"y": 1, "y": 2}}'), "annotations", 0, {"duplicate-key"}),
    ("twice an image's key", with_image(IMAGE[:-1] + ', "width": 100}'), "images", 0, {"duplicate-key"}),
    ("NaN as area", document(thing(area=float("nan"))), "annotations", 0, {"not-finite"}),
    ("infinity in the box", document(thing(bbox=[1, 1, float("inf"), 3])), "annotations", 0, {"not-finite"}),
    ("1e999", with_line(LINE.replace("100.5", "1e999")), "annotations", 0, {"not-finite"}),
    (
        "NaN in a polygon",
        document(thing(segmentation=[[1, 1, 5, 1, 5, float("nan")]])),
        "annotations",
        0,
        {"not-finite"},
    ),
    ("NaN in an unknown key", document(thing(x=float("-inf"))), "annotations", 0, {"not-finite"}),
    ("half a surrogate", with_image(IMAGE[:-1] + ', "flickr_url": "\\ud83d"}'), "images", 0, {"bad-text"}),
    ("a raw line break", with_image(IMAGE[:-1] + ', "flickr_url": "a\nb"}'), "images", 0, {"bad-text"}),
    (
        "bytes of Latin-1",
        with_image(IMAGE[:-1] + ', "x": "caf@"}').encode().replace(b"@", b"\xe9"),
        "images",
        0,
        {"bad-text"},
    ),
    ("a crowd flag as boolean", document(thing(iscrowd=True)), "annotations", 0, {"bad-field", "polygon-crowd"}),
    ("a crowd flag of 2", document(thing(iscrowd=2)), "annotations", 0, {"bad-field"}),
    ("area as text", document(thing(area="100")), "annotations", 0, {"bad-field"}),
    ("width as text", document(thing(), images=[image(width="100")]), "images", 0, {"bad-field"}),
    ("a name as number", document(thing(), images=[image(file_name=5)]), "images", 0, {"bad-field", "no-file-name"}),
    ("said twice", document(thing(3), thing(4)), "annotations", 1, {"exact-duplicate"}),
    ("said twice, first", document(thing(3), thing(4)), "annotations", 0, set()),
    ("no file name", document(images=[image(file_name=None)]), "images", 0, {"no-file-name"}),
    ("an absolute name", document(images=[image(file_name="/etc/passwd")]), "images", 0, {"foreign-file-name"}),
    ("a name that climbs", document(images=[image(file_name="a/../../b.jpg")]), "images", 0, {"unsafe-file-name"}),
    ("a name with a drive", document(images=[image(file_name="C:b.jpg")]), "images", 0, {"foreign-file-name"}),
    ("a backslash", document(images=[image(file_name="a\\b.jpg")]), "images", 0, {"foreign-file-name"}),
    ("a NUL", document(images=[image(file_name="a\0.jpg")]), "images", 0, {"unsafe-file-name"}),
    (
        "a name again",
        document(images=[image(1), image(2, file_name="000000000001.JPG")]),
        "images",
        1,
        {"duplicate-file-name"},
    ),
    ("no width", document(images=[image(width=None)]), "images", 0, {"bad-size"}),
    ("height zero", document(images=[image(height=0)]), "images", 0, {"bad-size"}),
    ("an unknown image", document(thing(image_id=99)), "annotations", 0, {"missing-image"}),
    ("an unknown category", document(thing(category_id=8)), "annotations", 0, {"missing-category"}),
    ("no crowd flag", document(thing(iscrowd=None)), "annotations", 0, {"no-iscrowd"}),
    (
        "a crowd flag of null",
        with_line(LINE.replace('"iscrowd": 0', '"iscrowd": null')),
        "annotations",
        0,
        {"no-iscrowd"},
    ),
    ("run lengths of one object", document(thing(segmentation=RLE)), "annotations", 0, {"rle-not-crowd"}),
    ("several run lengths", document(thing(segmentation=[RLE, RLE])), "annotations", 0, {"bad-segmentation"}),
    ("a crowd", document(thing(segmentation=RLE, iscrowd=1)), "annotations", 0, set()),
    ("a crowd of polygons", document(thing(iscrowd=1)), "annotations", 0, {"polygon-crowd"}),
    ("no box", document(thing(bbox=None)), "annotations", 0, {"no-box"}),
    ("a box of 3", document(thing(bbox=[1, 2, 3])), "annotations", 0, {"bad-box"}),
    ("a box of texts", document(thing(bbox=["1", "2", "3", "4"])), "annotations", 0, {"bad-box"}),
    ("a flat box", document(thing(bbox=[10, 10, 5, 0])), "annotations", 0, {"box-zero-side"}),
    ("a box of negative width", document(thing(bbox=[10, 10, -5, 3])), "annotations", 0, {"box-zero-side"}),
    ("a box beside the image", document(thing(bbox=[100, 10, 5, 5])), "annotations", 0, {"box-outside"}),
    ("a box half beside", document(thing(bbox=[90, 10, 20, 5])), "annotations", 0, {"box-partly-outside"}),
    ("a box 1 px over", document(thing(bbox=[-1, -1, 102, 82])), "annotations", 0, set()),
    ("no segmentation", document(thing(segmentation=None)), "annotations", 0, {"no-segmentation"}),
    ("an empty one", document(thing(segmentation=[])), "annotations", 0, {"no-segmentation"}),
    ("text as segmentation", document(thing(segmentation="x")), "annotations", 0, {"bad-segmentation"}),
    ("a flat polygon", document(thing(segmentation=[1, 2, 3, 4, 5, 6])), "annotations", 0, {"polygon-nesting"}),
    ("points", document(thing(segmentation=[[1, 1], [5, 1], [5, 5]])), "annotations", 0, {"polygon-nesting"}),
    (
        "points with names",
        document(thing(segmentation=[[{"x": 1, "y": 1}, {"x": 5, "y": 1}, {"x": 5, "y": 5}]])),
        "annotations",
        0,
        {"polygon-nesting"},
    ),
    (
        "a flat polygon outside",
        document(thing(segmentation=[101, 1, 105, 1, 105, 5])),
        "annotations",
        0,
        {"polygon-nesting", "polygon-outside"},
    ),
    (
        "a flat polygon of seven numbers",
        document(thing(segmentation=[1, 1, 5, 1, 5, 5, 6])),
        "annotations",
        0,
        {"polygon-nesting", "polygon-odd"},
    ),
    ("two points", document(thing(segmentation=[[1, 1], [5, 1]])), "annotations", 0, {"polygon-too-short"}),
    ("a box as outline", document(thing(segmentation=[1, 1, 5, 5])), "annotations", 0, {"bad-segmentation"}),
    (
        "run lengths without a size",
        document(thing(segmentation={"counts": [8000]})),
        "annotations",
        0,
        {"bad-segmentation"},
    ),
    ("four numbers", document(thing(segmentation=[[1, 1, 5, 5]])), "annotations", 0, {"polygon-too-short"}),
    ("an empty polygon", document(thing(segmentation=[[]])), "annotations", 0, {"polygon-too-short"}),
    ("seven numbers", document(thing(segmentation=[[1, 1, 5, 1, 5, 5, 6]])), "annotations", 0, {"polygon-odd"}),
    (
        "a polygon outside",
        document(thing(segmentation=[[101, 1, 105, 1, 105, 5]])),
        "annotations",
        0,
        {"polygon-outside"},
    ),
    (
        "a polygon half outside",
        document(thing(segmentation=[[95, 1, 105, 1, 105, 5]])),
        "annotations",
        0,
        {"polygon-partly-outside"},
    ),
    ("a polygon 1 px over", document(thing(segmentation=[[95, 1, 101, 1, 101, -1]])), "annotations", 0, set()),
    (
        "run lengths that do not add up",
        document(thing(segmentation={"size": [80, 100], "counts": [1, 2]}, iscrowd=1)),
        "annotations",
        0,
        {"rle-sum"},
    ),
    (
        "run lengths of another image",
        document(thing(segmentation={"size": [8, 10], "counts": [80]}, iscrowd=1)),
        "annotations",
        0,
        {"rle-size-differs"},
    ),
    (
        "compressed run lengths cut short",
        document(thing(segmentation={"size": [80, 100], "counts": "PP"}, iscrowd=1)),
        "annotations",
        0,
        {"rle-sum"},
    ),
    ("no area", document(thing(area=None)), "annotations", 0, {"no-area"}),
    ("a negative area", document(thing(area=-3)), "annotations", 0, {"bad-area"}),
    ("area as list", document(thing(area=[])), "annotations", 0, {"bad-area"}),
    ("too few keypoints", document(thing(keypoints=[1, 2], num_keypoints=0)), "annotations", 0, {"bad-keypoints"}),
    ("a visibility of 3", document(thing(keypoints=[1, 2, 3], num_keypoints=1)), "annotations", 0, {"bad-keypoints"}),
    (
        "miscounted",
        document(thing(keypoints=[1, 2, 2], num_keypoints=2)),
        "annotations",
        0,
        {"keypoints-count-differs"},
    ),
]

CAPTIONS: list[tuple[str, Any, set[str]]] = [
    ("in order", {"image_id": 1, "id": 1, "caption": 'a "cat" and a }, { brace'}, set()),
    ("blank", {"image_id": 1, "id": 1, "caption": "  "}, {"no-caption"}),
    ("absent", {"image_id": 1, "id": 1}, {"no-caption"}),
    ("of no image", {"image_id": 2, "id": 1, "caption": "a cat"}, {"missing-image"}),
]

PANOPTIC: list[tuple[str, list[Any], int, set[str]]] = [
    ("in order", [panoptic(SEGMENT)], 0, set()),
    ("no segments", [panoptic()], 0, {"no-segments"}),
    ("a segment twice", [panoptic(SEGMENT, SEGMENT)], 1, {"duplicate-id"}),
    ("two records of an image", [panoptic(SEGMENT), panoptic({**SEGMENT, "id": 6})], 1, {"duplicate-segment"}),
    ("no name", [panoptic(SEGMENT, file_name=None)], 0, {"no-file-name"}),
    ("no crowd flag", [panoptic({"id": 5, "category_id": 7, "bbox": [1, 1, 5, 5], "area": 20})], 0, {"no-iscrowd"}),
    ("a segment that is none", [panoptic(SEGMENT, 3)], 1, {"not-an-object"}),
    ("an unknown category", [panoptic({**SEGMENT, "category_id": 9})], 0, {"missing-category"}),
]

CATEGORIES: list[tuple[str, list[Any], list[str]]] = [
    ("no name", [{"id": 7}], ["no-name"]),
    ("twice a name", [{"id": 7, "name": "cat"}, {"id": 8, "name": "cat"}], ["duplicate-name"]),
]


@pytest.mark.parametrize(("what", "content", "table", "row", "expected"), CASES, ids=[case[0] for case in CASES])
def test_each_oddity_gets_exactly_its_reasons(tmp_path: Path, what, content, table, row, expected):
    read = indexed(tmp_path, content)
    assert getattr(read, table)[row]["reasons"] == expected


@pytest.mark.parametrize(("what", "record", "expected"), CAPTIONS, ids=[case[0] for case in CAPTIONS])
def test_captions_get_exactly_their_reasons(tmp_path: Path, what, record, expected):
    read = indexed(tmp_path, document(record), "captions")
    assert read.annotations[0]["reasons"] == expected
    assert read.annotations[0]["caption"] == record.get("caption", "")
    assert json.loads(read.raw(read.annotations[0])) == record


@pytest.mark.parametrize(("what", "records", "row", "expected"), PANOPTIC, ids=[case[0] for case in PANOPTIC])
def test_panoptic_segments_get_exactly_their_reasons(tmp_path: Path, what, records, row, expected):
    read = indexed(tmp_path, document(*records), "panoptic")
    assert read.annotations[row]["reasons"] == expected
    assert json.loads(read.raw(read.annotations[row])) == records[read.annotations[row]["record"]]


@pytest.mark.parametrize(("what", "categories", "expected"), CATEGORIES, ids=[case[0] for case in CATEGORIES])
def test_categories_get_their_reasons(tmp_path: Path, what, categories, expected):
    read = indexed(tmp_path, document(categories=categories))
    assert list(read.manifest["reasons"]["category"]) == expected


@pytest.mark.parametrize(
    ("crowds", "objects", "marked"), [(5, 0, True), (2, 2, True), (2, 3, False), (1, 0, False), (0, 5, False)]
)
def test_categories_that_consist_of_crowds_are_told_from_those_that_have_some(tmp_path: Path, crowds, objects, marked):
    brushed = [thing(n, iscrowd=1, segmentation=RLE, area=n) for n in range(1, crowds + 1)]
    drawn = [thing(n, area=n) for n in range(11, objects + 11)]
    others = [thing(n, category_id=9, area=n, iscrowd=int(n == 30)) for n in range(30, 40)]
    categories = [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}]
    read = indexed(tmp_path, document(*brushed, *drawn, *others, categories=categories))
    found = [row["id"] for row in read.annotations if "mostly-crowds" in row["reasons"]]
    assert found == ([record["id"] for record in brushed] if marked else [])


@pytest.mark.parametrize("categories", [None, [], "absent"])
@pytest.mark.parametrize("task", ["instances", "panoptic"])
def test_a_file_without_categories_gets_one_for_each_id_in_use(tmp_path: Path, categories, task):
    ids = [7, 3, 7, "leaf", "5", -1]
    if task == "instances":
        records = [thing(n, category_id=identity, area=n) for n, identity in enumerate(ids, start=1)]
    else:
        records = [panoptic(*({**SEGMENT, "id": n, "category_id": identity} for n, identity in enumerate(ids)))]
    content = document(*records) | {"categories": categories}
    if categories == "absent":
        del content["categories"]
    read = indexed(tmp_path, content, task)
    leaf = as_id("leaf")[0]
    assert read.manifest["categories"] == [
        {"id": 3, "name": "category 3"},
        {"id": 5, "name": "category 5"},
        {"id": 7, "name": "category 7"},
        {"id": leaf, "name": "leaf"},
    ]
    assert read.manifest["reasons"]["category"] == {"no-categories": 4}
    assert not any("missing-category" in row["reasons"] for row in read.annotations)


def test_a_compressed_file_is_read_as_what_is_in_it_whatever_its_name(tmp_path: Path):
    text = json.dumps(document(thing(1), thing(2, area=9))).encode()
    for folder in "ab":
        (tmp_path / folder).mkdir()
    plain = indexed(tmp_path / "a", text)
    packed = indexed(tmp_path / "b", gzip.compress(text))
    assert packed.manifest == plain.manifest
    assert packed.annotations == plain.annotations
    assert sorted(path.name for path in (tmp_path / "b/index").iterdir()) == [
        "annotations.parquet",
        "images.parquet",
        "index.json",
    ]


def test_damage_in_and_under_compression_is_told_of_the_file_that_was_given(tmp_path: Path):
    text = json.dumps(document(thing(1))).encode()
    with pytest.raises(CocomineError, match=r"instances_val2017\.json: the compressed data is damaged"):
        indexed(tmp_path, gzip.compress(text)[:-9])
    with pytest.raises(CocomineError, match=r"instances_val2017\.json \(unpacked\): malformed JSON at byte") as caught:
        indexed(tmp_path, gzip.compress(text[:-9]))
    assert ".incomplete" not in caught.value.message


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress, lambda text: gzip.compress(gzip.compress(text))])
def test_other_archives_are_to_be_unpacked(tmp_path: Path, pack):
    with pytest.raises(CocomineError, match="a compressed archive") as caught:
        indexed(tmp_path, pack(json.dumps(document(thing(1))).encode()))
    assert "unpack it first" in caught.value.hint


def test_lvis_is_read_with_its_classes_its_names_by_url_and_its_own_keys(tmp_path: Path):
    categories = [
        {"id": n, "name": f"class_{n}", "synset": f"c.n.{n}", "frequency": "rfc"[n % 3]} for n in range(1, 1204)
    ]
    images = [
        image(n, file_name=None, coco_url=f"http://images.cocodataset.org/train2017/{n:012d}.jpg")
        | {"neg_category_ids": [7, 1203], "not_exhaustive_category_ids": [8]}
        for n in (1, 2)
    ]
    things = [thing(n, category_id=n, iscrowd=None, area=n) for n in range(1, 1204)]
    read = indexed(tmp_path, document(*things, images=images, categories=categories))
    assert read.manifest["counts"]["categories"] == 1203
    assert read.manifest["reasons"] == {
        "image": {"no-file-name": 2},
        "annotation": {"no-iscrowd": 1203},
        "category": {},
    }
    assert [row["store_path"] for row in read.images] == [f"train2017/{n:012d}.jpg" for n in (1, 2)]
    assert read.manifest["unknown_keys"]["image"] == {"neg_category_ids": 2, "not_exhaustive_category_ids": 2}
    assert [json.loads(read.raw(row)) for row in read.images] == images


def test_every_reason_that_the_index_finds_has_a_case_here():
    found = {code for case in CASES for code in case[4]} | {code for case in CAPTIONS for code in case[2]}
    found |= {code for case in PANOPTIC for code in case[3]} | {code for case in CATEGORIES for code in case[2]}
    found |= {"no-categories", "mostly-crowds"}
    assert found == {str(rule.reason) for rule in TABLE if rule.found_by == "index"}


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\n\t", " : ")], ids=["compact", "usual", "odd"])
@pytest.mark.parametrize(
    "order", ["images annotations categories", "categories annotations images", "annotations images"]
)
@pytest.mark.parametrize("indent", [None, 2])
def test_spans_are_exact_in_any_layout_and_order(tmp_path: Path, separators, order, indent):
    tricky = {"note": 'quotes " and }, {"segmentation": [ and \\', "nested": [{"a": 1}, {"a": 2}]}
    things = [thing(n, area=n, **(tricky if n % 3 == 0 else {})) for n in range(1, 30)]
    content = document(*things, images=[image(n) for n in range(1, 9)])
    parts = {key: content[key] for key in order.split()} | {"info": content["info"]}
    read = indexed(tmp_path, json.dumps(parts, separators=separators, indent=indent))
    assert [json.loads(read.raw(row)) for row in read.annotations] == things
    assert [json.loads(read.raw(row)) for row in read.images] == content["images"]
    assert all(row["reasons"] <= {"missing-category"} for row in read.annotations)
    assert read.manifest["unknown_keys"]["annotation"] == {"nested": 9, "note": 9}
    start, length = read.manifest["info_span"]
    assert json.loads(read.path.read_bytes()[start : start + length]) == content["info"]


@pytest.mark.parametrize("chunk", [300, 1000, 5000])
@pytest.mark.parametrize("first_key", ["segmentation", "id"])
def test_where_the_file_is_cut_for_reading_changes_nothing(tmp_path: Path, monkeypatch, chunk, first_key):
    things = [thing(n, area=n, note='}, {"segmentation": 1, "id"' if n % 5 == 0 else None) for n in range(1, 60)]
    things[20]["id"] = "21"
    things[30]["area"] = float("nan")
    if first_key == "id":  # as in the nested values, so that cuts fall into them
        things = [{"id": t.pop("id"), "nested": [{"id": 1}, {"id": 2}], **t} for t in things]
    content = document(*things, images=[image(n) for n in range(1, 40)])
    monkeypatch.setattr(layout, "WORTH_PROCESSES", 10**9)
    for folder in "abc":
        (tmp_path / folder).mkdir()
    indexed(tmp_path / "a", content)
    monkeypatch.setattr(chunks, "CHUNK", chunk)
    monkeypatch.setattr(layout, "STRETCH", 3 * chunk)
    cut = indexed(tmp_path / "b", content)
    monkeypatch.setattr(layout, "WORTH_PROCESSES", 0)
    indexed(tmp_path / "c", content, threads=2)
    assert [json.loads(cut.raw(row))["id"] for row in cut.annotations] == [record["id"] for record in things]
    for name in ("index.json", "images.parquet", "annotations.parquet"):
        bytes_of = [(tmp_path / folder / "index" / name).read_bytes() for folder in "abc"]
        assert bytes_of[0] == bytes_of[1] == bytes_of[2]


def test_a_byte_order_mark_is_reported_and_spans_count_it(tmp_path: Path):
    read = indexed(tmp_path, b"\xef\xbb\xbf" + json.dumps(document(thing())).encode())
    assert read.manifest["byte_order_mark"] is True
    assert json.loads(read.raw(read.annotations[0])) == thing()


def test_unknown_keys_are_counted_of_records_that_are_read_leniently_and_of_no_others_twice(tmp_path: Path):
    twice = LINE[:-1].replace('"id": 1', '"id": 2') + ', "x": 1, "x": 2}'
    text = json.dumps(document(thing(1, x=1), thing(3, x=1, area="7"), "HERE")).replace('"HERE"', twice)
    assert indexed(tmp_path, text).manifest["unknown_keys"]["annotation"] == {"x": 3}


def test_missing_and_unknown_top_level_keys_are_reported(tmp_path: Path):
    content = document(thing(), extra={"a": [1]})
    del content["info"], content["licenses"]
    manifest = indexed(tmp_path, content).manifest
    assert manifest["missing_top_level_keys"] == ["info", "licenses"]
    assert list(manifest["unknown_top_level_keys"]) == ["extra"]
    assert manifest["info_span"] is None


def test_a_relabel_without_file_names_takes_them_from_its_urls(tmp_path: Path):
    url = "http://images.cocodataset.org/train2017/000000391895.jpg"
    row = indexed(tmp_path, document(images=[image(file_name=None, coco_url=url)])).images[0]
    assert (row["file_name"], row["store_path"]) == ("train2017/000000391895.jpg",) * 2


def test_images_lie_under_their_split_unless_they_name_a_folder(tmp_path: Path):
    images = [image(1), image(2, file_name="train2014/x.jpg"), image(3, file_name="é ü.jpg")]
    rows = indexed(tmp_path, document(images=images)).images
    assert [row["store_path"] for row in rows] == ["val2017/000000000001.jpg", "train2014/x.jpg", "val2017/é ü.jpg"]


@pytest.mark.parametrize(
    ("content", "byte", "says"),
    [
        ('{"images": [', 12, "the file ends"),
        ('{"images": [{"id": 1}', 21, "the file ends"),
        ('{"images": [{"id": 1, "file', 27, "the file ends"),
        ('{"images": [{"id": 1,, "width": 5}]}', 21, "property name"),
        ('{"images": [{"id": 1} {"id": 2}]}', 22, "a comma or ']'"),
        ('{"images": [{"id": 1},]}', 22, "a value is expected"),
        ('{"images": [{"id": 1]}]}', 20, "closes what"),
        ('{"images": {}}', 11, "'images' is no array"),
        ('{"images": [], "images": []}', 15, "twice"),
        ('{"images": []} x', 15, "text follows"),
        ('[{"image_id": 1}]', 0, "detection results"),
        ("", 0, "starts with"),
        ('{"images": [], "annotations": nul', 30, "is no array"),
        ('{"x": {"a": tru}}', 12, "Expecting value"),
    ],
)
def test_malformed_files_give_the_byte_and_its_surroundings(tmp_path: Path, content, byte, says):
    with pytest.raises(CocomineError, match=rf"byte {byte} of {len(content)}: .*{says}") as caught:
        indexed(tmp_path, content)
    assert "⟨here⟩" in caught.value.message
    assert caught.value.hint
    assert not (tmp_path / "index").exists()


def test_a_file_in_utf_16_or_an_archive_is_told_by_name(tmp_path: Path):
    with pytest.raises(CocomineError, match="not UTF-8"):
        indexed(tmp_path, json.dumps(document()).encode("utf-16"))
    with pytest.raises(CocomineError, match="archive"):
        indexed(tmp_path, b"PK\x03\x04" + struct.pack("<10I", *range(10)))


def test_a_missing_file_and_an_unknown_task_are_advice(tmp_path: Path):
    with pytest.raises(CocomineError, match="no such file"):
        build.build_index(tmp_path / "x.json", "instances", "val2017", tmp_path / "index")
    with pytest.raises(CocomineError, match="task 'boxes'"):
        build.build_index(tmp_path / "x.json", "boxes", "val2017", tmp_path / "index")


def test_a_value_nested_beyond_all_measure_is_a_fact_not_a_crash(tmp_path: Path):
    deep = "[" * 200_000 + "]" * 200_000
    read = indexed(tmp_path, with_line(LINE[:-1] + f', "x": {deep}}}'))
    assert "bad-field" in read.annotations[0]["reasons"]
    assert len(read.annotations) == 1


def test_equal_records_are_duplicates_however_their_numbers_and_keys_are_written(tmp_path: Path):
    nested = {"attributes": {"a": 1, "b": [2.0, {"c": 1, "d": None}]}}
    other = {"attributes": {"b": [2, {"d": None, "c": 1.0}], "a": 1}}
    records = [thing(1, area=100, **nested), thing(2, area=100.0, **other), thing(3, area=100, attributes={"a": True})]
    read = indexed(tmp_path, document(*records))
    assert ["exact-duplicate" in row["reasons"] for row in read.annotations] == [False, True, False]


def test_a_record_nested_too_deeply_to_compare_is_no_duplicate(tmp_path: Path):
    deep = json.dumps(thing(1))[:-1] + ', "x": ' + "[" * 900 + "]" * 900 + "}"
    text = json.dumps(document()).replace('"annotations": []', f'"annotations": [{deep}, {deep}]')
    assert len(indexed(tmp_path, text).annotations) == 2


def test_a_file_that_is_not_the_one_locked_is_not_indexed(tmp_path: Path) -> None:
    path = tmp_path / "instances_val.json"
    path.write_text(json.dumps(document(thing())))
    locked = hashlib.sha256(path.read_bytes()).hexdigest()
    build.build_index(path, "instances", "val", tmp_path / "index", locked=locked)
    path.write_text(path.read_text().replace("100.5", "100.6"))
    with pytest.raises(CocomineError, match="not as locked"):
        build.build_index(path, "instances", "val", tmp_path / "other", locked=locked)
    assert not (tmp_path / "other").exists()


def test_a_file_that_changes_while_it_is_indexed_is_named_and_leaves_no_index(tmp_path: Path, monkeypatch) -> None:
    path, write = tmp_path / "instances_val.json", build.write_index_table
    path.write_text(json.dumps(document(thing())))

    def change_and_write(*arguments: Any) -> None:
        path.write_text(json.dumps(document(thing())).replace("100.5", "100.6"))
        write(*arguments)

    monkeypatch.setattr(build, "write_index_table", change_and_write)
    with pytest.raises(CocomineError, match="changed while it was read"):
        build.build_index(path, "instances", "val", tmp_path / "index")
    assert not (tmp_path / "index" / "index.json").exists()


@pytest.mark.parametrize(("limit", "what"), [(1 << 16, "a record"), (1 << 15, "a text or a number")])
def test_a_record_or_text_of_more_than_is_read_is_named_with_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, what: str
) -> None:
    monkeypatch.setattr("cocomine.coco.scan.MOST_BYTES", limit)
    texts = {str(number): "x" * 20_000 for number in range(5)} if what == "a record" else {"long": "x" * 70_000}
    odd = json.dumps(thing(2, area="none") | texts)
    text = json.dumps(document(thing(1))).replace('"annotations": [', f'"annotations": [{odd}, ')
    with pytest.raises(CocomineError, match=f"{what} of more than {limit:,} bytes"):
        indexed(tmp_path, text)
