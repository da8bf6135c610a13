"""A hand-made subset folder and image store, in the shape that the earlier stages write, for exports and reports.

Every count in it is known by hand: see TRUTH.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cocomine.base.files import canonical_json, sha256_of_file, write_json, write_table
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

GIRAFFE, DOG, PERSON = 25, 18, 1


@dataclass(frozen=True)
class SmallSubset:
    folder: Path
    store: Path


def square(x, y, side):
    return [x, y, x + side, y, x + side, y + side, x, y + side]


def rle_of(height, width, rows, columns):
    grid = np.zeros((height, width), np.uint8)
    grid[rows[0] : rows[1], columns[0] : columns[1]] = 1
    flat = grid.ravel(order="F")
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [0]])))
    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return {"size": [height, width], "counts": counts if counts[-1] else counts[:-1]}


IMAGES = [
    # id, file name, width, height, licence, split, group
    (7, "000000000007.jpg", 64, 48, 1, "train", "7"),
    (12, "000000000012.jpg", 40, 60, 2, "train", "12"),
    (31, "000000000031.jpg", 64, 48, 1, "train", "31"),
    (44, "000000000044.jpg", 50, 50, 4, "val", "44"),
    (58, "000000000058.jpg", 64, 48, 1, "val", "58"),
]

OBJECTS = [
    # id, image, class, crowd, segmentation, bbox, area
    (101, 7, GIRAFFE, 0, [square(4, 4, 20)], [4, 4, 20, 20], 400.5),
    (102, 7, DOG, 0, [square(30, 5, 8), square(44, 20, 10)], [30, 5, 24, 25], 164.0),
    (103, 7, DOG, 1, rle_of(48, 64, (30, 48), (0, 30)), [0, 30, 30, 18], 540.0),
    (104, 12, GIRAFFE, 0, [[-5, 10, 20, 10, 20, 30, -5, 30]], [-5, 10, 25, 20], 500.0),  # leaves the image
    (105, 12, DOG, 0, rle_of(60, 40, (40, 50), (5, 25)), [5, 40, 20, 10], 200.0),  # RLE, no crowd
    (106, 44, DOG, 0, [square(10, 10, 12), square(16, 16, 12)], [10, 10, 18, 18], 252.0),  # parts overlap
    (107, 44, GIRAFFE, 0, [[1, 1, 9, 9]], [1, 1, 8, 0], 0.0),  # two points, height 0
    (108, 44, PERSON, 0, [square(30, 30, 10)], [30, 30, 10, 10], 100.0),  # not asked for
    (109, 58, DOG, 1, rle_of(48, 64, (0, 20), (0, 20)), [0, 0, 20, 20], 400.0),  # only a crowd
]

TRUTH = {
    "images": {"train": 3, "val": 2},
    "objects": 9,
    "crowd": 2,
    "rle": 1,
    "other-class": 1,
    "captions": 2,
    "keypoints": 1,
}


def make_small_subset(folder: Path, *, names=("dog", "giraffe")) -> SmallSubset:
    """Write the store and the subset folder below `folder`; `names` are those of categories 18 and 25."""
    store, subset = folder / "store", folder / "results" / "animals"
    for image_id, name, width, height, *_ in IMAGES:
        _image(store / "train2017" / name, image_id, width, height)
    _tables(subset, store)
    categories = [
        {"id": DOG, "name": names[0], "supercategory": "animal"},
        {"id": GIRAFFE, "name": names[1], "supercategory": "animal"},
    ]
    colours = [[0, 0, 0], [214, 39, 40], [31, 119, 180]]
    write_json(
        subset / "labels.json",
        {
            "labels": [
                {"label": 0, "name": "background", "category_id": None, "supercategory": None, "color": colours[0]},
                *(
                    {
                        "label": number,
                        "name": category["name"],
                        "category_id": category["id"],
                        "supercategory": "animal",
                        "color": colours[number],
                    }
                    for number, category in enumerate(categories, 1)
                ),
            ],
            "void": 255,
            "category_to_label": {str(DOG): 1, str(GIRAFFE): 2},
            "label_to_category": {"1": DOG, "2": GIRAFFE},
        },
    )
    everything = [*categories, {"id": PERSON, "name": "person", "supercategory": "person"}]
    _documents(subset, everything)
    _masks(subset)
    return SmallSubset(subset, store)


def _image(path: Path, image_id: int, width: int, height: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("RGB", (width, height), (40 * (image_id % 6), 120, 200))
    ImageDraw.Draw(picture).ellipse((5, 5, width - 5, height - 5), fill=(200, 30 + image_id, 90))
    picture.save(path, quality=90)


def _tables(subset: Path, store: Path) -> None:
    write_table(
        subset / "images.tsv",
        ["image_id", "source_split", "file_name", "store_path", "width", "height", "license", "role"],
        [
            (i, "train2017", name, f"train2017/{name}", w, h, licence, "negative" if i == 31 else "wanted")
            for i, name, w, h, licence, _, _ in IMAGES
        ],
    )
    write_table(
        subset / "split.tsv",
        ["image_id", "file_name", "split", "group", "fold"],
        [(i, name, split, group, "") for i, name, _, _, _, split, group in IMAGES],
    )
    write_table(
        subset / "images.lock.tsv",
        ["image_id", "store_path", "status", "bytes", "md5", "sha256", "crc32c", "generation", "origin", "reason"],
        [
            (
                i,
                f"train2017/{name}",
                "ok",
                (store / "train2017" / name).stat().st_size,
                "",
                sha256_of_file(store / "train2017" / name),
                "",
                "",
                "0 gs://mirror/coco",
                "",
            )
            for i, name, *_ in IMAGES
        ],
    )
    pq.write_table(
        pa.table(
            {
                "image_id": pa.array([i for i, *_ in IMAGES], pa.int64()),
                "exif_orientation": pa.array([6 if i == 12 else 1 for i, *_ in IMAGES], pa.int8()),
            }
        ),
        subset / "images.parquet",
    )


def _documents(subset: Path, categories: list[dict]) -> None:
    head = {
        "info": {"description": "hand-made"},
        "licenses": [
            {"id": 1, "name": "Attribution License", "url": "http://creativecommons.org/licenses/by/2.0/"},
            {"id": 2, "name": "Attribution-NonCommercial", "url": "http://creativecommons.org/licenses/by-nc/2.0/"},
            {"id": 4, "name": "Odd one", "url": "javascript:alert(1)"},
        ],
    }
    images = {
        i: {
            "license": licence,
            "file_name": name,
            "coco_url": f"http://images.cocodataset.org/train2017/{name}",
            "height": h,
            "width": w,
            "flickr_url": f"http://farm1.staticflickr.com/{i}.jpg",
            "id": i,
        }
        for i, name, w, h, licence, _, _ in IMAGES
    }
    objects = [
        {
            "segmentation": segmentation,
            "area": area,
            "iscrowd": crowd,
            "image_id": image,
            "bbox": box,
            "category_id": category,
            "id": number,
        }
        for number, image, category, crowd, segmentation, box, area in OBJECTS
    ]
    captions = [
        {"image_id": 7, "id": 1, "caption": 'A giraffe & a "dog" <b>run</b>.'},
        {"image_id": 44, "id": 2, "caption": "Dogs."},
    ]
    keypoints = [{**objects[0], "keypoints": [16, 12, 2, 0, 0, 0, 8, 24, 1], "num_keypoints": 2}]
    skeleton = {"keypoints": ["nose", "left_eye", "right_eye"], "skeleton": [[1, 2], [1, 3]]}
    posed = [{**category, **skeleton} for category in categories if category["id"] == GIRAFFE]
    splits = {i: split for i, *_, split, _ in IMAGES}

    def write(name, records, chosen, categories=categories):
        document = {
            **head,
            "images": [images[i] for i in chosen],
            "annotations": [record for record in records if record["image_id"] in chosen],
        }
        if categories is not None:
            document["categories"] = categories
        (subset / name).write_text(canonical_json(document))

    for name in ("tasks", "splits"):
        (subset / name).mkdir()
    write("subset.json", objects, list(images))
    for split in ("train", "val"):
        chosen = [i for i in images if splits[i] == split]
        write(f"splits/instances_{split}.json", objects, chosen)
        write(f"splits/captions_{split}.json", captions, chosen, None)
    write("tasks/captions.json", captions, list(images), None)
    write("splits/person_keypoints_train.json", keypoints, [7], posed)


def _masks(subset: Path) -> None:
    folder = subset / "masks" / "semantic"
    folder.mkdir(parents=True)
    label_of = {DOG: 1, GIRAFFE: 2}
    rows, panoptic = [], []
    for kind in ("instance", "panoptic"):
        (subset / "masks" / kind).mkdir()
    for i, name, width, height, *_ in IMAGES:
        numbers, segments = np.zeros((height, width), np.uint16), []
        mask = np.zeros((height, width), np.uint8)
        counts: dict[int, int] = {}
        for annotation, image, category, crowd, segmentation, _, _ in OBJECTS:
            if image != i or category not in label_of:
                continue
            if isinstance(segmentation, dict):
                shape = coco_mask.decode(coco_mask.frPyObjects(segmentation, height, width)).astype(bool)
            elif len(segmentation[0]) < 6:
                continue
            else:
                shape = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width)))
                shape = shape.astype(bool)
            mask[shape] = 255 if crowd else label_of[category]
            number = 1 + sum(row[1] == i and row[0] < annotation for row in OBJECTS)
            numbers[shape] = 65535 if crowd else number
            segments.append({"id": number, "category_id": category, "iscrowd": crowd, "area": int(shape.sum())})
            if not crowd:
                counts[label_of[category]] = counts.get(label_of[category], 0) + 1
        picture = Image.fromarray(mask)
        picture.putpalette([0, 0, 0, 214, 39, 40, 31, 119, 180] + [0] * 750 + [255, 255, 255])
        picture.save(folder / f"{Path(name).stem}.png")
        Image.fromarray(numbers).save(subset / "masks" / "instance" / f"{Path(name).stem}.png")
        ids = np.where(numbers == 65535, 0, numbers)
        colors = np.stack([ids % 256, ids // 256, ids * 0], axis=-1).astype(np.uint8)
        Image.fromarray(colors).save(subset / "masks" / "panoptic" / f"{Path(name).stem}.png")
        panoptic.append({"image_id": i, "file_name": f"{Path(name).stem}.png", "segments_info": segments})
        for label, number in sorted(counts.items()):
            pixels = int((mask == label).sum())
            rows.append((i, name, label, ["", "dog", "giraffe"][label], pixels, number, 0, 0))
    categories = [{"id": DOG, "name": "dog", "isthing": 1}, {"id": GIRAFFE, "name": "giraffe", "isthing": 1}]
    write_json(subset / "masks" / "panoptic.json", {"images": [], "annotations": panoptic, "categories": categories})
    states = {104: "hidden", 107: "empty"}
    write_table(
        subset / "masks" / "instances.tsv",
        ["image_id", "number", "annotation_id", "state"],
        [
            (image, 1, number, "crowd" if crowd else states.get(number, "visible"))
            for number, image, _, crowd, *_ in OBJECTS
        ],
    )
    write_table(
        subset / "masks.tsv",
        ["image_id", "file_name", "label", "name", "pixels", "instances", "hidden", "vanished"],
        rows,
    )
