"""The labels of a composed scene in COCO's forms: instances, keypoints, stuff, panoptic and captions.

Ids are given later, in the order of the images, so that labels can be made in any number of processes.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cocomine.base.files import rank
from cocomine.synthetic.outlines import box_of, compressed_rle, outline, uncompressed_rle
from cocomine.synthetic.scene import STUFF, THING_BY_NAME, Item, Scene
from cocomine.synthetic.shapes import Random

COMPRESSED_SHARE = 0.03
STUFF_OTHER = 183  # the stuff task's class for every pixel of a thing
SIDES = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
JOINTS = ["nose", *(f"{side}_{joint}" for joint in SIDES for side in ("left", "right"))]
SKELETON = [[16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9], [8, 10]]
SKELETON += [[9, 11], [2, 3], [1, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7]]


def instances(random: Random, scene: Scene) -> list[dict[str, Any]]:
    """Return the instance annotations of a scene, without ids; a person's also hold its keypoints.

    The area is the number of pixels of the mask that pycocotools draws from the segmentation, and that mask is what is
    seen of the object, exactly. The box is the extent of the polygons, or of the mask's pixels for run lengths.
    """
    return [_instance(random, item) for item in scene.items if item.stuff is None]


def _instance(random: Random, item: Item) -> dict[str, Any]:
    mask, box = item.visible, [float(side) for side in box_of(item.visible)]
    segmentation: Any
    compressed = random.random() < COMPRESSED_SHARE
    if item.crowd:
        segmentation = uncompressed_rle(mask)
    elif compressed:
        segmentation = compressed_rle(mask)
    else:
        polygons = _polygons(item)
        segmentation = [polygon.ravel().tolist() for polygon in polygons]
        corners = np.concatenate(polygons)
        low, high = corners.min(axis=0), corners.max(axis=0)
        box = [round(float(value), 2) for value in (*low, *(high - low))]
    record = {
        "segmentation": segmentation,
        "area": float(mask.sum()),
        "iscrowd": int(item.crowd),
        "bbox": box,
        "category_id": THING_BY_NAME[item.name].id,
    }
    if item.name == "person":
        points = [0] * 51 if item.crowd else _keypoints(item)
        record["keypoints"] = points
        record["num_keypoints"] = sum(seen > 0 for seen in points[2::3])
    return record


def _polygons(item: Item) -> list[NDArray[Any]]:
    """Return the drawn polygon itself where it is one and wholly seen, else the outline of what is seen."""
    parts = item.members[0].shape.outline
    height, width = item.visible.shape
    if len(parts) == 1 and np.array_equal(item.visible, item.whole):
        points = parts[0].points
        if points.min() >= 0 and points[:, 0].max() <= width and points[:, 1].max() <= height:
            return [points]
    return list(outline(item.visible))


def _keypoints(item: Item) -> list[int]:
    """Return COCO's x, y, v for 17 joints: v is 2 seen, 1 inside the image but covered, 0 outside it (and x, y 0)."""
    points = item.members[0].shape.keypoints
    assert points is not None
    height, width = item.visible.shape
    result: list[int] = []
    for x, y in np.floor(points).astype(int).tolist():
        if not (0 <= x < width and 0 <= y < height):
            result += [0, 0, 0]
        else:
            result += [x, y, 2 if item.visible[y, x] else 1]
    return result


def _things(scene: Scene) -> NDArray[np.bool_]:
    covered = np.zeros((scene.height, scene.width), dtype=bool)
    for item in scene.items:
        if item.stuff is None:
            covered |= item.visible
    return covered


def stuff(scene: Scene) -> list[dict[str, Any]]:
    """Return the stuff annotations of a scene, without ids: a class a record, things together as class `other`."""
    covered = _things(scene)
    classes = np.array([one.stuff_id for one in STUFF])[scene.regions]
    classes[covered] = STUFF_OTHER
    records = []
    for category in np.unique(classes).tolist():
        mask = classes == category
        records.append(
            {
                "segmentation": compressed_rle(mask),
                "area": float(mask.sum()),
                "iscrowd": 0,
                "bbox": [float(side) for side in box_of(mask)],
                "category_id": category,
            }
        )
    return records


def panoptic(scene: Scene, image_id: int, seed: int) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
    """Return COCO's panoptic PNG (height, width, 3; id = R + 256 G + 65536 B) and its segments, things first."""
    covered = _things(scene)
    classes = np.array([one.panoptic_id for one in STUFF])[scene.regions]
    layers = [
        (item.visible, THING_BY_NAME[item.name].id, int(item.crowd)) for item in scene.items if item.stuff is None
    ]
    layers += [((classes == number) & ~covered, number, 0) for number in np.unique(classes[~covered]).tolist()]
    ids = np.zeros((scene.height, scene.width), dtype=np.int64)
    segments: list[dict[str, Any]] = []
    used = {0}
    for number, (mask, category, crowd) in enumerate(layers):
        identity = rank(f"segment:{seed}:{image_id}", number) % 2**24
        while identity in used:
            identity = (identity + 1) % 2**24
        used.add(identity)
        ids[mask] = identity
        segments.append(
            {
                "id": identity,
                "category_id": category,
                "iscrowd": crowd,
                "bbox": box_of(mask),
                "area": int(mask.sum()),
            }
        )
    png = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=2).astype(np.uint8)
    return png, segments


_NUMBERS = ("", "a", "two", "three", "four", "five", "six", "seven")
_PLURALS = {"person": "people", "bus": "buses", "broccoli": "heads of broccoli"}
_ARTICLES = {"umbrella": "an umbrella", "broccoli": "a head of broccoli"}


def captions(random: Random, scene: Scene) -> list[str]:
    """Return five captions that say what is in a scene and where."""
    counts: dict[str, int] = {}
    crowds: list[str] = []
    for item in scene.items:
        if item.stuff is None and item.crowd:
            crowds.append(f"a crowd of {_PLURALS.get(item.name, item.name + 's')}")
        elif item.stuff is None:
            counts[item.name] = counts.get(item.name, 0) + 1
    phrases = [_counted(name, number) for name, number in counts.items()] + sorted(set(crowds))
    where = scene.setting.phrase
    others = sorted({STUFF[item.stuff].name for item in scene.items if item.stuff is not None})
    beside = f" with {_article(others[int(random.integers(len(others)))])}" if others else ""
    if not phrases:
        texts = [f"An empty scene {where}{beside}.", f"A picture taken {where} with nothing in it."]
        texts += [f"A view {where}{beside}.", f"There is nobody {where}.", f"A quiet place {where}."]
        return [texts[k] for k in random.permutation(5)]
    every = _listed([phrases[k] for k in random.permutation(len(phrases))])
    main = phrases[int(random.integers(len(phrases)))]
    texts = [f"{every} {where}.", f"{main} seen {where}{beside}.", f"a drawing of {every} {where}."]
    texts += [f"{every}{beside}.", f"Look, {main} {where}."]
    return [text[0].upper() + text[1:] for text in (texts[k] for k in random.permutation(5))]


def _counted(name: str, number: int) -> str:
    if number == 1:
        return _article(name)
    return f"{_NUMBERS[number] if number < len(_NUMBERS) else 'many'} {_PLURALS.get(name, name + 's')}"


def _article(name: str) -> str:
    return _ARTICLES.get(name, f"a {name}")


def _listed(phrases: list[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"
