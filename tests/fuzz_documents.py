"""Random damaged COCO documents, any two faults at once, through index, mining and assembly.

    ./run python tests/fuzz_documents.py --count 10000

Every document ends as a subset whose records are all accounted for, or as an error that is advice. Anything else (an
exception that is no CocomineError, a sum that does not hold, a subset that a reader of COCO's format could not use) is
printed with its number, and `--only NUMBER` runs that document alone and keeps its files.
"""

import argparse
import copy
import gzip
import json
import logging
import math
import multiprocessing
import random
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from cocomine.annotations.build import build_index
from cocomine.annotations.reasons import NEVER_KEPT, TABLE
from cocomine.base.errors import CocomineError
from cocomine.base.files import read_table
from cocomine.coco.reader import load_document
from cocomine.mining import interference
from cocomine.mining.assemble import assemble
from cocomine.mining.mine import mine
from cocomine.mining.settings import SubsetSettings

WIDTH, HEIGHT = 100, 80

Record = dict[str, Any]
Document = dict[str, Any]


@dataclass
class Case:
    """One damaged source: documents by task and split, their text, what is measured of images, and the query."""

    dice: random.Random
    documents: dict[str, Document]
    texts: dict[str, Callable[[bytes], bytes]] = field(default_factory=dict)
    measured: dict[int, Record] = field(default_factory=dict)
    query: Record = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def one(self, *tasks: str) -> Document:
        """One of the documents, of one of `tasks` if any are named."""
        names = [name for name in sorted(self.documents) if not tasks or name.rsplit("_", 1)[0] in tasks]
        return self.documents[self.dice.choice(names)] if names else {}


def square(x: float, y: float, side: float) -> list[list[float]]:
    """A polygon of four corners."""
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


def sound_instances(dice: random.Random, split: int) -> Document:
    """A sound document of three images, eight objects and two categories."""
    first = 10 * split
    images = [
        {"id": first + n, "file_name": f"{first + n}.jpg", "width": WIDTH, "height": HEIGHT, "license": 1}
        for n in (1, 2, 3)
    ]
    annotations: list[Record] = []
    for n in range(1, 9):
        x, y, side = dice.randint(0, 60), dice.randint(0, 40), dice.randint(5, 30)
        annotations.append(
            {
                "id": 10 * first + n,
                "image_id": first + 1 + n % 3,
                "category_id": (1, 25)[n % 2],
                "iscrowd": 0,
                "area": float(side * side),
                "bbox": [x, y, side, side],
                "segmentation": square(x, y, side),
            }
        )
    crowd = {"size": [HEIGHT, WIDTH], "counts": [800, 30, WIDTH * HEIGHT - 830]}
    annotations[0] |= {"iscrowd": 1, "segmentation": crowd, "area": 30, "bbox": [10, 0, 1, 30]}
    return {
        "info": {"year": 2017},
        "licenses": [{"id": 1, "name": "by", "url": "http://example.org/"}],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "supercategory": "person"}, {"id": 25, "name": "giraffe"}],
    }


def others_of(instances: Document) -> dict[str, Document]:
    """Sound documents of the other tasks over the same images."""
    images, annotations = instances["images"], instances["annotations"]
    points = {"keypoints": [12, 12, 2, 0, 0, 0, 15, 15, 1], "num_keypoints": 2}
    segments = [
        [
            {key: a[key] for key in ("id", "category_id", "iscrowd", "area", "bbox")}
            for a in annotations
            if a["image_id"] == i["id"]
        ]
        for i in images
    ]
    made: dict[str, list[Record]] = {
        "person_keypoints": [{**copy.deepcopy(a), **points} for a in annotations if a["category_id"] == 1],
        "captions": [{"id": i["id"] * 7, "image_id": i["id"], "caption": f"a picture {i['id']}"} for i in images],
        "stuff": [{**copy.deepcopy(a), "id": a["id"] + 5000, "category_id": 25} for a in annotations[1:4]],
        "panoptic": [
            {"image_id": i["id"], "file_name": f"{i['id']}.png", "segments_info": copy.deepcopy(s)}
            for i, s in zip(images, segments, strict=True)
        ],
    }
    return {task: copy.deepcopy({**instances, "annotations": records}) for task, records in made.items()}


# Faults: each takes a case and damages it ---------------------------------------------------------------------------


class ABSENT:
    """Stands for a key that is taken out."""


DEEP: Final = {f"<{levels} deep>": b"[" * levels + b"1" + b"]" * levels for levels in (200, 600, 3000)}
"""Texts that stand for a list in a list in a list, …, which Python's own writer of JSON refuses."""


STRANGE: Final[tuple[Callable[[], Any], ...]] = tuple(
    partial(copy.deepcopy, value)
    for value in (
        ABSENT, None, True, False, 0, 1, -1, 7, 25, 2, 1.5, 7.0, -0.0, 1e18, 1.8e19, 2**31, 2**53 + 1, 2**63 - 1,
        2**63,
        10**30, 10**400, -(2**63), math.nan, math.inf, -math.inf, "", " ", "7", " 7 ", "1.5", "-1", "nan", "null",
        "x",
        "leaf", "1e3", "١", "../x.jpg", "a\\b.jpg", "http://h/a/b.jpg", "/etc/passwd", "C:\\x.jpg", "\ud800", "a\0b",
        "é", "x" * 300, [], {}, [[]], [{}], [None], [1], ["1", "2", "3", "4"], [1, 2, 3, 4], [5.0, 5.0, -3, 9],
        [90, 70, 50, 50], [500, 1, 5, 5],
        [1, 2, 3], [1, 2, math.nan, 4], {"x": 1, "y": 2}, {"id": 1}, [1, True, 2, 3], [[1, 2], [3, 4]], *DEEP,
    )
)  # fmt: skip

SEGMENTATIONS: Final[tuple[Any, ...]] = (
    ABSENT, None, [], [[]], {}, "x", 5, [1, 2, 3, 4, 5, 6], [10, 10, 30, 10, 30, 30, 10, 30], [10, 10, 30, 10, 30],
    [[10, 10], [30, 10], [30, 30]], [[[10, 10], [30, 10], [30, 30]]], [{"x": 10, "y": 10}, {"x": 30, "y": 10},
    {"x": 30, "y": 30}],
    [[10, 10, 30, 30]], [[10, 10, 30, 10, 30, 30, 5]], [[200, 200, 300, 200, 300, 300]], [[90, 70, 130, 70, 130, 99]],
    [[10, 10, 30, 10, 30, 30], [1, 2]], [[10, 10, 30, 10, 30, 30], [200, 1, 210, 1, 210, 9]], [[1, 1, 1, 1, 1, 1]],
    [[1e9, 1, 2, 3, 4, 5]], [[math.nan, 1, 2, 3, 4, 5]], [["1", "2", "3", "4", "5", "6"]], [[None, 1, 2, 3, 4, 5]],
    {"size": [HEIGHT, WIDTH], "counts": [1, 2]}, {"size": [HEIGHT, WIDTH], "counts": [-5, 8005]}, {"size": [HEIGHT,
    WIDTH], "counts": "PPP"},
    {"size": [WIDTH, HEIGHT], "counts": [100, 30, 7870]}, {"size": [HEIGHT, WIDTH], "counts": [800.0, 30, 7170]},
    {"counts": [8000]},
    {"size": [HEIGHT, WIDTH], "counts": ""}, {"size": [HEIGHT, WIDTH], "counts": [8000]}, {"size": "80x100",
    "counts": [8000]},
    {"size": [HEIGHT, WIDTH], "counts": [0, 8000]}, {"size": [2**40, 2**40], "counts": [1]}, [{"size": [HEIGHT,
    WIDTH], "counts": [8000]}],
    {"size": [HEIGHT, WIDTH], "counts": "\xff\xff"}, {"size": [HEIGHT, WIDTH], "counts": None}, {"size": [0, 0],
    "counts": []},
)  # fmt: skip


def listed(document: Document, section: str) -> list[Any]:
    """The records of a section; none where a fault has put something else in its place."""
    records = document.get(section)
    return records if isinstance(records, list) else []


def put(record: Any, key: str, value: Any) -> None:
    """Give a record a value, or take the key out."""
    if not isinstance(record, dict):
        return
    if value is ABSENT:
        record.pop(key, None)
    else:
        record[key] = value


def some(case: Case, section: str) -> list[Any]:
    """One record of a section, some or all of them: a tool makes the same mistake in each."""
    records = listed(case.one(), section)
    if not records:
        return []
    how = case.dice.random()
    return records if how < 0.3 else case.dice.sample(records, 1 if how < 0.8 else max(1, len(records) // 2))


FIELDS: Final = {
    "images": ("id", "file_name", "width", "height", "license", "coco_url", "flickr_url", "date_captured",
    "neg_category_ids"),
    "annotations": (
        "id", "image_id", "category_id", "iscrowd", "area", "bbox", "segmentation", "keypoints", "num_keypoints",
        "caption",
        "file_name", "segments_info", "attributes",
    ),
    "categories": ("id", "name", "supercategory", "keypoints"),
    "licenses": ("id", "name", "url"),
}  # fmt: skip


def strange_field(case: Case) -> None:
    section = case.dice.choice(("images", "annotations", "annotations", "annotations", "categories", "licenses"))
    key, make = case.dice.choice(FIELDS[section]), case.dice.choice(STRANGE)
    for record in some(case, section):
        put(record, key, make())


def strange_segmentation(case: Case) -> None:
    value = case.dice.choice(SEGMENTATIONS)
    for record in some(case, "annotations"):
        put(record, "segmentation", copy.deepcopy(value))


def strange_segment(case: Case) -> None:
    record = case.dice.choice(listed(case.one("panoptic"), "annotations") or [{}])
    infos = record.get("segments_info") if isinstance(record, dict) else None
    if isinstance(infos, list) and infos:
        put(
            case.dice.choice(infos),
            case.dice.choice(("id", "category_id", "iscrowd", "area", "bbox")),
            case.dice.choice(STRANGE)(),
        )


def no_sizes(case: Case) -> None:
    for record in some(case, "images"):
        for key in case.dice.choice((("width",), ("height",), ("width", "height"))):
            put(record, key, case.dice.choice((ABSENT, None, 0, -1, "")))


def no_ids(case: Case) -> None:
    value = case.dice.choice((ABSENT, None))
    for record in some(case, "annotations"):
        put(record, "id", value)


def restarting_ids(case: Case) -> None:
    """Ids that count from one again: in each file, or in each image."""
    for document in case.documents.values():
        seen: Counter[Any] = Counter()
        for record in listed(document, "annotations"):
            if isinstance(record, dict):
                owner = str(record.get("image_id")) if case.dice.random() < 0.5 else ""
                seen[owner] += 1
                put(record, "id", seen[owner])


def same_images(case: Case) -> None:
    """Image ids that restart in every file."""
    for document in case.documents.values():
        for section, key in (("images", "id"), ("annotations", "image_id")):
            for record in listed(document, section):
                if isinstance(record, dict) and isinstance(record.get(key), int):
                    put(record, key, record[key] % 10)


def repeated_record(case: Case) -> None:
    records = listed(case.one(), case.dice.choice(("images", "annotations", "categories")))
    if records:
        twin = copy.deepcopy(case.dice.choice(records))
        if case.dice.random() < 0.5:
            put(twin, "id", 777)
        records.insert(case.dice.randint(0, len(records)), twin)


def whole_record(case: Case) -> None:
    records = listed(case.one(), case.dice.choice(("images", "annotations", "categories")))
    value = case.dice.choice(STRANGE)()
    if records and value is not ABSENT:
        records[case.dice.randrange(len(records))] = value


def strange_section(case: Case) -> None:
    key = case.dice.choice(("info", "licenses", "images", "annotations", "categories", "videos", "categories"))
    put(case.one(), key, case.dice.choice((ABSENT, None, [], {}, "x", 5, math.nan, [None], [[]], {"a": "\ud800"})))


def crowds(case: Case) -> None:
    """Brush masks exported as crowds."""
    crowd = {"size": [HEIGHT, WIDTH], "counts": [800, 30, WIDTH * HEIGHT - 830]}
    for record in some(case, "annotations"):
        put(record, "iscrowd", 1)
        put(record, "segmentation", copy.deepcopy(crowd))


def boxes_only(case: Case) -> None:
    value = case.dice.choice(([], ABSENT, None))
    for record in some(case, "annotations"):
        put(record, "segmentation", copy.deepcopy(value))
        if case.dice.random() < 0.3:
            put(record, "area", ABSENT)


def words_as_ids(case: Case) -> None:
    key, section = case.dice.choice(
        (
            ("id", "images"),
            ("image_id", "annotations"),
            ("id", "annotations"),
            ("category_id", "annotations"),
            ("id", "categories"),
        )
    )
    for record in some(case, section):
        if isinstance(record, dict) and key in record:
            put(record, key, case.dice.choice((f"{record[key]}", f"w{record[key]}", float("inf"))))


def another_picture(case: Case) -> None:
    """What is measured of an image is not what its record says."""
    found: list[Record] = [
        {"status": "image-missing"}, {"status": "image-undecodable"}, {"status": "image-truncated"}, {"width": 3},
        {"height": 999},
        {"width": HEIGHT, "height": WIDTH, "exif_orientation": 6}, {"exif_orientation": 3},
    ]  # fmt: skip
    for number in case.dice.sample((1, 2, 3, 11, 12, 13), case.dice.choice((1, 1, 3))):
        case.measured[number] = case.dice.choice(found)


def damaged_text(case: Case) -> None:
    name = case.dice.choice(sorted(case.documents))
    seed = case.dice.random()
    case.texts[name] = partial(case.dice.choice(TEXTS), random.Random(seed))


def mark_in_front(dice: random.Random, text: bytes) -> bytes:
    return b"\xef\xbb\xbf" + text


def compressed(dice: random.Random, text: bytes) -> bytes:
    return gzip.compress(text, mtime=0)


def compressed_and_cut(dice: random.Random, text: bytes) -> bytes:
    return gzip.compress(text, mtime=0)[: -dice.randint(1, 40)]


def cut(dice: random.Random, text: bytes) -> bytes:
    return text[: dice.randrange(len(text))]


def overwritten(dice: random.Random, text: bytes) -> bytes:
    at = dice.randrange(len(text))
    return text[:at] + dice.randbytes(dice.randint(1, 3)) + text[at + dice.randint(0, 3) :]


def key_twice(dice: random.Random, text: bytes) -> bytes:
    key, value = (
        dice.choice((b'"id": ', b'"area": ', b'"width": ', b'"images": ', b'"name": ')),
        dice.choice((b"7", b'"x"', b"[]")),
    )
    places = [at for at in range(len(text)) if text.startswith(key, at)]
    if not places:
        return text
    at = dice.choice(places)
    return text[:at] + key + value + b", " + text[at:]


def other_encoding(dice: random.Random, text: bytes) -> bytes:
    return text.decode().encode(dice.choice(("utf-16", "utf-16-le", "utf-32")))


def bytes_of_latin_1(dice: random.Random, text: bytes) -> bytes:
    return text.replace(b"giraffe", b"gir\xe9ffe", 1).replace(b".jpg", b"\xfc.jpg", 1)


def other_layout(dice: random.Random, text: bytes) -> bytes:
    return json.dumps(
        json.loads(text), indent=dice.choice((1, 4)), separators=dice.choice(((",", ":"), (" , ", " : ")))
    ).encode()


TEXTS: Final = (
    mark_in_front, compressed, compressed_and_cut, cut, overwritten, overwritten, key_twice, key_twice,
    other_encoding, bytes_of_latin_1,
    other_layout,
)  # fmt: skip

FAULTS: Final = (
    strange_field, strange_field, strange_field, strange_field, strange_segmentation, strange_segmentation,
    strange_segment, no_sizes,
    no_ids, restarting_ids, same_images, repeated_record, whole_record, strange_section, crowds, boxes_only,
    words_as_ids,
    another_picture, damaged_text,
)  # fmt: skip


# One case ------------------------------------------------------------------------------------------------------------


def make_case(number: int, seed: int = 0) -> Case:
    """Draw the case of a number: the same on every machine."""
    dice = random.Random(f"{seed}:{number}")
    documents = {"instances_a": sound_instances(dice, 0)}
    if dice.random() < 0.3:
        documents["instances_b"] = sound_instances(dice, 1)
    if dice.random() < 0.4:
        for split in [name.rsplit("_", 1)[1] for name in documents]:
            others = others_of(documents[f"instances_{split}"])
            for task in dice.sample(sorted(others), dice.choice((1, 2, 4))):
                documents[f"{task}_{split}"] = others[task]
    case = Case(dice, documents)
    for fault in dice.choices(FAULTS, k=2):
        case.faults.append(fault.__name__)
        fault(case)
    case.query = draw_query(dice)
    return case


def draw_query(dice: random.Random) -> Record:
    """A query: mostly the default one, since that is what people use."""
    query: Record = {}
    for key, values in (
        ("categories", (["giraffe"], ["person", "giraffe"], [25])),
        ("keep_other_annotations", (True,)),
        ("match", ("all", "only")),
        ("negatives", (1, 5)),
        ("max_images", (1, 2)),
        ("refill", (True,)),
        ("crowds", ("drop", "exclude")),
        ("area", ({"min": 50}, {"max": 500})),
        ("relative_area", ({"min": 0.01},)),
        ("image_width", ({"min": 50}, {"max": 50})),
        ("check_areas", (False,)),
    ):
        if dice.random() < 0.1:
            query[key] = dice.choice(values)
    if dice.random() < 0.25:
        query["policy"] = draw_policy(dice)
    if "categories" not in query and dice.random() < 0.2:
        query["classes"] = dice.choice(({"all": ["giraffe", "person"]}, {"animal": "giraffe"}, {"b": 25, "a": [1]}))
    return query


def draw_policy(dice: random.Random) -> dict[str, str]:
    result: dict[str, str] = {}
    for rule in dice.sample(TABLE, dice.randint(1, 8)):
        choices = ["quarantine", "quarantine", "stop"]
        choices += ["keep"] * 3 if rule.reason not in NEVER_KEPT else []
        choices += ["repair"] * 3 if rule.repair else []
        result[str(rule.reason)] = dice.choice(choices)
    return result


MEASURES: Final = pa.schema(
    [
        ("image_id", pa.int64()), ("source_split", pa.string()), ("file_name", pa.string()), ("status", pa.string()),
        ("detail", pa.string()),
        ("width", pa.int32()), ("height", pa.int32()), ("exif_orientation", pa.int8()),
    ]
)  # fmt: skip


def measure(selection: Path, case: Case, path: Path) -> None:
    """Write what measure_images would: WIDTH x HEIGHT for every image of which the case says nothing else."""
    rows = [
        {"image_id": int(row["image_id"]), "source_split": row["source_split"], "file_name": row["file_name"]}
        | {"status": "ok", "detail": "", "width": WIDTH, "height": HEIGHT, "exif_orientation": 0}
        | case.measured.get(int(row["image_id"]), {})
        for row in read_table(selection)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=MEASURES), path)


def run_case(case: Case, folder: Path) -> tuple[str, dict[str, Any]]:
    """Index, mine and assemble; return "subset" or the message of the error that was given as advice."""
    try:
        for name, content in case.documents.items():
            task, split = name.rsplit("_", 1)
            text = json.dumps(content).encode("utf-8", "surrogatepass")
            for word, value in DEEP.items():
                text = text.replace(json.dumps(word).encode(), value)
            (folder / f"{name}.json").write_bytes(case.texts.get(name, lambda text: text)(text))
            build_index(folder / f"{name}.json", task, split, folder / "index" / name)
        query = SubsetSettings.from_mapping(case.query)
        out = folder / "out"
        mine(query, folder / "index", [], out / "selection.tsv", out / "funnel.json")
        measure(out / "selection.tsv", case, out / "images.parquet")
        selection = out / "selection.tsv", out / "funnel.json", out / "images.parquet"
        statistics = assemble(query, folder / "index", folder, *selection, out)
    except CocomineError as error:
        if not error.message or not error.hint:
            raise AssertionError(f"an error says what is wrong and what to do: {error.message}") from error
        return error.message, {}
    check(case, folder / "out", statistics)
    return "subset", statistics


def check(case: Case, out: Path, statistics: dict[str, Any]) -> None:
    """Assert that every record is accounted for, and that the subset can be used."""
    quarantined = Counter((line["kind"], line["task"]) for line in read_table(out / "quarantine.tsv"))
    for kind, tasks in statistics["conservation"].items():
        for task, sums in tasks.items():
            assert sums["in"] == sums["kept"] + sums["repaired"] + sums["quarantined"] + sums["left_out"], (kind, task)
            assert sums["quarantined"] == quarantined[kind, task], (kind, task)
            if is_counted(case, kind, sums):
                assert sums["in"] == records_in(case, kind, task), (kind, task, "records in")
    written = json.loads((out / "subset.json").read_bytes(), parse_constant=not_json)
    document = load_document(out / "subset.json")
    for kind, key in (("image", "images"), ("annotation", "annotations"), ("category", "categories")):
        sums = statistics["conservation"][kind]["instances"]
        assert len(written[key]) == len(getattr(document, key)), key
        made_of = [
            record.get("source_categories", [record]) if kind == "category" else [record] for record in written[key]
        ]
        assert sums["kept"] + sums["repaired"] == sum(map(len, made_of)), key
    assert sorted(image.id for image in document.images) == [
        int(row["image_id"]) for row in read_table(out / "images.tsv")
    ]
    if "policy" not in case.query:
        check_usable(written)


def is_counted(case: Case, kind: str, sums: dict[str, int]) -> bool:
    """Return whether the source's records of a kind are those of the documents as drawn."""
    if kind == "category" and sums["in"] != sums["kept"]:
        return False  # they may be made
    is_deep = kind == "segment" and any(
        word in json.dumps(document) for document in case.documents.values() for word in DEEP
    )
    return not case.texts and not is_deep


def check_usable(written: Document) -> None:
    """Assert what every reader of COCO's format relies on, which the default policy promises."""
    images = {image["id"]: image for image in written["images"]}
    categories = {category["id"] for category in written["categories"]}
    annotations = written["annotations"]
    assert len(images) == len(written["images"]), "image ids are unique"
    assert len({record["id"] for record in annotations}) == len(annotations), "annotation ids are unique"
    for image in images.values():
        assert all(isinstance(image[key], int) and image[key] > 0 for key in ("width", "height")), image
        assert isinstance(image["file_name"], str), image
    for record in annotations:
        assert isinstance(record["id"], int), record
        assert record["image_id"] in images, record
        assert record["category_id"] in categories, record
        assert isinstance(record.get("source_category_id", 0), int), record
        assert record["iscrowd"] in (0, 1), record
        assert not isinstance(record["iscrowd"], bool), record
        assert isinstance(record["area"], int | float), record
        assert record["area"] >= 0, record
        assert len(record["bbox"]) == 4, record
        assert all(isinstance(number, int | float) and not isinstance(number, bool) for number in record["bbox"]), (
            record
        )
        check_shape(record.get("segmentation"), record)


def check_shape(shape: Any, record: Record) -> None:
    if isinstance(shape, dict):
        assert set(shape) >= {"size", "counts"}, record
    else:
        assert shape is None or all(len(ring) >= 6 and len(ring) % 2 == 0 for ring in shape), record


def not_json(name: str) -> None:
    raise AssertionError(f"{name} in subset.json, which is no JSON")


def records_in(case: Case, kind: str, task: str) -> int:
    """How many records of a kind the source's files of a task hold."""
    total = 0
    for name, document in case.documents.items():
        if name.rsplit("_", 1)[0] != task:
            continue
        key = {"image": "images", "category": "categories"}.get(kind, "annotations")
        records = listed(document, key)
        if kind == "segment":
            infos = [record.get("segments_info") if isinstance(record, dict) else None for record in records]
            total += sum(max(1, len(info)) if isinstance(info, list) else 1 for info in infos)
        else:
            total += len(records)
    return total


def attempt(number: int, seed: int = 0, keep: Path | None = None) -> tuple[int, str, str]:
    """Run the case of a number; return it, the fault that was found or "", and the outcome."""
    case = make_case(number, seed)
    log = logging.getLogger("cocomine")
    level = log.level
    log.setLevel(logging.CRITICAL)
    # The picture takes longer than all the rest.
    with tempfile.TemporaryDirectory() as name, patch.object(interference, "draw", lambda before, after, path: None):
        try:
            outcome, _ = run_case(case, keep or Path(name))
        except Exception:  # noqa: BLE001 - what is looked for
            return number, f"{case.faults} {case.query}\n{traceback.format_exc()}", "fault"
        finally:
            log.setLevel(level)
    return number, "", "subset" if outcome == "subset" else "advice"


def main() -> int:
    """Run many cases, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="how many documents")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other documents")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--only", type=int, help="run the document of this number alone")
    parser.add_argument("--keep", type=Path, help="with --only: a folder for its files")
    given = parser.parse_args()
    if given.only is not None:
        if given.keep is not None:
            given.keep.mkdir(parents=True, exist_ok=True)
        _, fault, outcome = attempt(given.only, given.seed, given.keep)
        print(make_case(given.only, given.seed).faults, outcome, fault)
        return bool(fault)
    outcomes: Counter[str] = Counter()
    with multiprocessing.Pool(given.jobs) as pool:
        for number, fault, outcome in pool.imap(partial(attempt, seed=given.seed), range(given.count), chunksize=16):
            outcomes[outcome] += 1
            if fault:
                print(f"document {number}: {fault}", flush=True)
    subsets, advice, faults = (outcomes[outcome] for outcome in ("subset", "advice", "fault"))
    print(f"{given.count} documents: {subsets} subsets, {advice} errors with advice, {faults} faults")
    return bool(outcomes["fault"])


if __name__ == "__main__":
    sys.exit(main())
