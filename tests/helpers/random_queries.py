"""Random documents and random queries, for the miner beside its oracle and for the tracer."""

import json
import random
from typing import Any

from cocomine.mining.index import read_source
from hypothesis import strategies as st

from helpers.fake_index import make_index

CATEGORIES = [
    {"id": 1, "name": "person", "supercategory": "person"},
    {"id": 13, "name": "stop sign", "supercategory": "outdoor"},
    {"id": 25, "name": "giraffe", "supercategory": "animal"},
    {"id": 90, "name": "toothbrush", "supercategory": "indoor"},
]
IDS = [category["id"] for category in CATEGORIES]


def random_document(seed):
    """A document with crowds, empty images, orphans, unknown categories, in random order."""
    dice = random.Random(seed)
    count = dice.choice([1, 6, 12, 18, 24])
    image_ids = dice.sample(range(1, 500), count)
    images = [
        {
            "id": identity,
            "file_name": f"{identity:012d}.jpg",
            "width": dice.choice([100, 200, 400]),
            "height": dice.choice([100, 150, 300]),
            "license": dice.choice([1, 2, 3]),
        }
        for identity in image_ids
    ]
    annotations = []
    for identity in dice.sample(range(1000, 2000), dice.choice([0, 20, 40, 60])):
        w, h = dice.choice([2, 10, 40, 90]), dice.choice([3, 20, 80])
        annotations.append(
            {
                "id": identity,
                "image_id": dice.choice(image_ids) if dice.random() < 0.95 else 999,
                "category_id": dice.choice(IDS) if dice.random() < 0.95 else 77,
                "iscrowd": int(dice.random() < 0.15),
                "area": float(w * h),
                "bbox": [0, 0, w, h],
                "segmentation": [[0, 0, w, 0, w, h, 0, h]],
            }
        )
    return {
        "info": {},
        "licenses": [{"id": n, "name": f"Licence {n}", "url": f"http://example.org/{n}"} for n in (1, 2, 3)],
        "images": images,
        "annotations": annotations,
        "categories": CATEGORIES,
    }


RANGES: dict[str, list[dict[str, float]]] = {
    "instances": [{"min": 2}, {"max": 2}, {"min": 1, "max": 3}],
    "area": [{"min": 100}, {"max": 900}, {"min": 30, "max": 3200}],
    "relative_area": [{"min": 0.01}, {"max": 0.05}],
    "image_width": [{"min": 150}, {"max": 200}],
    "image_height": [{"min": 150}],
    "image_aspect": [{"min": 1}, {"max": 1.5}],
}


@st.composite
def queries(draw: Any) -> dict[str, Any]:
    wanted = draw(st.lists(st.sampled_from(IDS), min_size=0, max_size=4, unique=True))
    query: dict[str, Any] = {"categories": wanted} if wanted else {}
    mine = wanted or IDS
    others = [identity for identity in IDS if identity not in mine]
    if draw(st.booleans()):
        query["match"] = draw(st.sampled_from(["any", "any", "all", "only", "only"]))
    if others and draw(st.booleans()):
        query["exclude_categories"] = draw(st.lists(st.sampled_from(others), min_size=1, unique=True))
    asked = draw(st.sampled_from([None, *RANGES]))
    for key, choices in RANGES.items():
        if key == asked or draw(st.integers(0, 19)) == 19:
            query[key] = draw(st.sampled_from(choices))
    for key, words in (("crowds", ["keep", "drop", "exclude"]), ("outside_area", ["drop", "keep", "exclude"])):
        if draw(st.booleans()):
            query[key] = draw(st.sampled_from(words))
    if draw(st.integers(0, 7)) == 7:
        query["instances_per_class"] = {draw(st.sampled_from(mine)): draw(st.sampled_from(RANGES["instances"]))}
    if draw(st.integers(0, 7)) == 7:
        query["licenses"] = draw(st.lists(st.sampled_from([1, 2, 3]), min_size=1, unique=True))
    if draw(st.integers(0, 3)) == 3:
        query["fraction"] = draw(st.sampled_from([0.1, 0.5, 0.9]))
    if draw(st.integers(0, 3)) == 3:
        query["max_images"] = draw(st.integers(1, 6))
    if draw(st.integers(0, 3)) == 3:
        query["max_per_class"] = draw(
            st.one_of(st.integers(1, 4), st.fixed_dictionaries({draw(st.sampled_from(mine)): st.integers(0, 3)}))
        )
    if draw(st.integers(0, 3)) == 3:
        query["balance"] = True
    query["negatives"] = draw(st.sampled_from([0, 2, 5]))
    query["seed"] = draw(st.integers(0, 3))
    query["keep_other_annotations"] = draw(st.booleans())
    return query


def index_of(document, folder, reasons=None):
    (folder / "instances_a.json").write_text(json.dumps(document), "ascii")
    make_index(folder / "index", "instances", "a", folder / "instances_a.json", reasons)
    return read_source(folder / "index", ["a"])
