"""The demo source: a small synthetic bucket of COCO's shape, drawn from a seed, so that everything runs offline.

Every image is a pure function of the seed and its number, and every file of its image, so the bytes do not depend
on the number of processes. `truth.json` beside the annotations says what is broken and what is a near-duplicate, on
purpose.
"""

import logging
import math
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cocomine.base.files import rank, sha256_of_file, write_bytes, write_json
from cocomine.base.pool import in_order
from cocomine.base.progress import Progress
from cocomine.coco.tasks import TASKS
from cocomine.synthetic import records as demo_records
from cocomine.synthetic.damage import as_text, damage
from cocomine.synthetic.paint import paint
from cocomine.synthetic.scene import STUFF, THINGS, compose
from cocomine.synthetic.settings import SyntheticSettings

log = logging.getLogger("cocomine")

SPLITS = ("train", "val")
LAST_IMAGE_ID = 581_929  # COCO's own largest id, so that file names look and sort as COCO's do
FILE_DAMAGE = {
    "image-truncated": "the JPEG ends after 60 % of its bytes",
    "image-undecodable": "the file is no JPEG",
    "image-exif-rotated": "EXIF says to turn the picture; the annotations are those of the picture as stored",
    "image-size-differs": "the JPEG is stored at half the size that the annotations say",
}
NEAR_DUPLICATE_KINDS = ("quality 50", "brighter by 10 %", "darker by 10 %", "quality 70")
LICENSES = [
    ("http://creativecommons.org/licenses/by-nc-sa/2.0/", "Attribution-NonCommercial-ShareAlike License"),
    ("http://creativecommons.org/licenses/by-nc/2.0/", "Attribution-NonCommercial License"),
    ("http://creativecommons.org/licenses/by-nc-nd/2.0/", "Attribution-NonCommercial-NoDerivs License"),
    ("http://creativecommons.org/licenses/by/2.0/", "Attribution License"),
    ("http://creativecommons.org/licenses/by-sa/2.0/", "Attribution-ShareAlike License"),
    ("http://creativecommons.org/licenses/by-nd/2.0/", "Attribution-NoDerivs License"),
    ("http://flickr.com/commons/usage/", "No known copyright restrictions"),
    ("http://www.usa.gov/copyright.shtml", "United States Government Work"),
]


@dataclass(frozen=True)
class Plan:
    """One image to draw: its scene (near-duplicates share one), its id and split, and what is done to its file."""

    number: int
    scene: int
    image_id: int
    split: str
    near_duplicate: str = ""
    broken: str = ""

    @property
    def file_name(self) -> str:
        """The name of the JPEG, as COCO names them."""
        return f"{self.image_id:012d}.jpg"


@dataclass(frozen=True)
class Labels:
    """What was drawn for one plan: its size in pixels and its records, still without ids."""

    plan: Plan
    width: int
    height: int
    instances: list[dict[str, Any]]
    stuff: list[dict[str, Any]]
    segments: list[dict[str, Any]]
    captions: list[str]


def make_bucket(settings: SyntheticSettings, folder: Path, manifest: Path, threads: int = 1) -> None:
    """Draw the bucket into `folder` and write `manifest`, last: every file with its size and sha256."""
    plans = plan_images(settings)
    for split in SPLITS:
        (folder / split).mkdir(parents=True, exist_ok=True)
        (folder / "annotations" / f"panoptic_{split}").mkdir(parents=True, exist_ok=True)
    drawn: dict[str, list[Labels]] = {split: [] for split in SPLITS}
    names: list[str] = []
    with Progress("make_demo_bucket", len(plans), "image") as progress:
        for labels in in_order(partial(draw_image, settings, folder), plans, threads):
            drawn[labels.plan.split].append(labels)
            names.append(f"{labels.plan.split}/{labels.plan.file_name}")
            names.append(f"annotations/panoptic_{labels.plan.split}/{Path(labels.plan.file_name).stem}.png")
            progress.count(labels.plan.split)
            progress.count("objects", len(labels.instances))
            progress.advance()
    names += _write_annotations(settings, folder, plans, drawn)
    entries = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_of_file(folder / name)}
        for name in sorted(names)
    }
    write_json(manifest, {"synthetic": True, "settings": settings.as_mapping(), "files": entries})


def plan_images(settings: SyntheticSettings) -> list[Plan]:
    """Return what to draw, in the order of COCO's files (train before val, ascending ids)."""
    scenes = settings.images - settings.near_duplicates
    ids: list[int] = []
    used: set[int] = set()
    for number in range(settings.images):
        identity = 1 + rank(f"demo image:{settings.seed}", number) % LAST_IMAGE_ID
        while identity in used:
            identity = identity % LAST_IMAGE_ID + 1
        used.add(identity)
        ids.append(identity)
    # Exactly the share asked for goes to val; a near-duplicate keeps its split by its own rank, so some pairs lie
    # across the two.
    order = sorted(range(settings.images), key=lambda number: rank(f"demo split:{settings.seed}", number))
    held_out = set(order[: round(settings.val_share * settings.images)])
    split = ["val" if number in held_out else "train" for number in range(settings.images)]
    ranked = sorted(range(scenes), key=lambda number: rank(f"demo role:{settings.seed}", number))
    broken: dict[int, str] = {}
    free = iter(ranked)
    for turn in range(settings.broken):
        for reason in FILE_DAMAGE:
            # Turn about between the splits, as long as the split that is due has images left.
            wanted = SPLITS[turn % 2] if 0 < len(held_out) < settings.images else split[0]
            victim = next((n for n in free if split[n] == wanted), None)
            if victim is not None:
                broken[victim] = reason
    originals = [number for number in ranked[::-1] if number not in broken][: settings.near_duplicates]
    plans = [Plan(n, n, ids[n], split[n], broken=broken.get(n, "")) for n in range(scenes)]
    for k in range(settings.near_duplicates):
        number = scenes + k
        original = originals[k % len(originals)]
        plans.append(
            Plan(
                number,
                original,
                ids[number],
                split[number],
                near_duplicate=NEAR_DUPLICATE_KINDS[k % len(NEAR_DUPLICATE_KINDS)],
            )
        )
    return sorted(plans, key=lambda plan: (SPLITS.index(plan.split), plan.image_id))


def draw_image(settings: SyntheticSettings, folder: Path, plan: Plan) -> Labels:
    """Draw one image, write its JPEG and its panoptic PNG below `folder`, and return its labels."""
    random = _random(settings.seed, "scene", plan.scene)
    height, width = _size(random, settings)
    scene = compose(random, height, width, empty=random.random() < settings.empty)
    grey = random.random() < settings.grey
    quality = int(random.integers(80, 96))
    pixels = paint(random, scene)
    records = demo_records.instances(_random(settings.seed, "records", plan.scene), scene)
    png, segments = demo_records.panoptic(scene, plan.image_id, settings.seed)
    write_bytes(folder / plan.split / plan.file_name, _encoded(pixels, grey, quality, plan))
    buffer = BytesIO()
    Image.fromarray(png).save(buffer, "PNG", compress_level=6)
    png_name = f"{Path(plan.file_name).stem}.png"
    write_bytes(folder / "annotations" / f"panoptic_{plan.split}" / png_name, buffer.getvalue())
    captions = demo_records.captions(_random(settings.seed, "captions", plan.number), scene)
    return Labels(plan, width, height, records, demo_records.stuff(scene), segments, captions)


def _random(seed: int, purpose: str, number: int) -> np.random.Generator:
    """Return a generator of its own for each image and purpose, so that no order of drawing matters."""
    digest = sha256(f"cocomine demo:{seed}:{purpose}:{number}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def _size(random: np.random.Generator, settings: SyntheticSettings) -> tuple[int, int]:
    """Return height and width: the usual size, upright, or a little narrower or lower."""
    kind = random.random()
    if kind < 0.12:
        return settings.width, settings.height
    if kind < 0.30:
        return math.ceil(settings.height * random.uniform(0.85, 1)), math.ceil(settings.width * random.uniform(0.8, 1))
    return settings.height, settings.width


def _encoded(pixels: NDArray[np.uint8], grey: bool, quality: int, plan: Plan) -> bytes:
    """Return the JPEG file of an image, with what its plan wants done to it."""
    if plan.near_duplicate.startswith("quality"):
        quality = int(plan.near_duplicate.split()[1])
    elif plan.near_duplicate:
        pixels = np.clip(pixels * (1.1 if plan.near_duplicate.startswith("brighter") else 0.9), 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels)
    if grey:
        image = image.convert("L")
    if plan.broken == "image-size-differs":
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    if plan.broken == "image-exif-rotated":
        exif[0x0112] = 6
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality, exif=exif)
    content = buffer.getvalue()
    if plan.broken == "image-truncated":
        return content[: len(content) * 6 // 10]
    if plan.broken == "image-undecodable":
        return b"This is not a picture.\n" * 40
    return content


def _write_annotations(
    settings: SyntheticSettings, folder: Path, plans: list[Plan], drawn: dict[str, list[Labels]]
) -> list[str]:
    """Number the records, write the annotation files and truth.json, and return their names in the bucket."""
    names, truth = [], []
    annotation_id, stuff_id, caption_id = 1000, 10_000_000, 1
    free_annotation_id = 5_000_000
    taken = {plan.image_id for plan in plans}
    free_images = (number for number in range(LAST_IMAGE_ID + 1, LAST_IMAGE_ID + 10**7) if number not in taken)
    for split in SPLITS:
        images = [_image(settings, labels) for labels in drawn[split]]
        documents = {task: _document(task, images) for task in TASKS}
        for labels in drawn[split]:
            image_id = labels.plan.image_id
            for record in labels.instances:
                annotation_id += 1
                full = record | {"image_id": image_id, "id": annotation_id}
                if "keypoints" in full:
                    documents["person_keypoints"]["annotations"].append(full)
                plain = {key: value for key, value in full.items() if key not in ("keypoints", "num_keypoints")}
                documents["instances"]["annotations"].append(plain)
            for record in labels.stuff:
                stuff_id += 1
                documents["stuff"]["annotations"].append(record | {"image_id": image_id, "id": stuff_id})
            for text in labels.captions:
                caption_id += 1
                caption = {"image_id": image_id, "id": caption_id, "caption": text}
                documents["captions"]["annotations"].append(caption)
            png_name = f"{Path(labels.plan.file_name).stem}.png"
            entry = {"segments_info": labels.segments, "file_name": png_name, "image_id": image_id}
            documents["panoptic"]["annotations"].append(entry)
        # The damage goes into copies: other tasks' files share the image records and stay whole.
        documents["instances"] = documents["instances"] | {
            "images": [dict(image) for image in images],
            "annotations": [dict(record) for record in documents["instances"]["annotations"]],
        }
        for turn in range(SPLITS.index(split), settings.broken, 2):
            ids = [next(free_images) for _ in range(3)]
            salt = f"demo damage:{settings.seed}:{turn}"
            work = damage(documents["instances"], split, salt, free_annotation_id, ids)
            free_annotation_id = work.next_id
            truth += work.notes
        for task, document in documents.items():
            name = f"annotations/{task}_{split}.json"
            write_bytes(folder / name, (as_text(document) + "\n").encode("utf-8"))
            names.append(name)
    write_json(folder / "truth.json", _truth(plans, truth))
    return [*names, "truth.json"]


def _truth(plans: list[Plan], records: list[dict[str, Any]]) -> dict[str, Any]:
    by_scene = {plan.scene: plan for plan in plans if not plan.near_duplicate}
    files = [
        {"reason": plan.broken, "split": plan.split, "id": plan.image_id, "what": FILE_DAMAGE[plan.broken]}
        for plan in plans
        if plan.broken
    ]
    twins = [
        {
            "image_id": plan.image_id,
            "split": plan.split,
            "of": by_scene[plan.scene].image_id,
            "how": plan.near_duplicate,
        }
        for plan in plans
        if plan.near_duplicate
    ]
    return {"synthetic": True, "broken_records": records, "broken_files": files, "twins": twins}


def _image(settings: SyntheticSettings, labels: Labels) -> dict[str, Any]:
    plan = labels.plan
    draw = rank(f"demo licence:{settings.seed}", plan.scene)
    return {
        "license": 1 + draw % len(LICENSES),
        "file_name": plan.file_name,
        "coco_url": f"http://synthetic.invalid/{plan.split}/{plan.file_name}",
        "height": labels.height,
        "width": labels.width,
        "date_captured": f"2000-01-{1 + draw % 28:02d} {draw // 28 % 24:02d}:{draw // 672 % 60:02d}:00",
        "flickr_url": f"http://synthetic.invalid/drawing/{plan.image_id}",
        "id": plan.image_id,
    }


def _document(task: str, images: list[dict[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {
        "info": {
            "description": "Synthetic demo of COCO's format: drawn by cocomine, no photographs",
            "url": "http://synthetic.invalid",
            "version": "1.0",
            "year": 2000,
            "contributor": "cocomine make_demo_bucket",
            "date_created": "2000/01/01",
        },
        "licenses": [{"url": url, "id": number, "name": name} for number, (url, name) in enumerate(LICENSES, start=1)],
        "images": images,
        "annotations": [],
    }
    categories = _categories(task)
    return document | {"categories": categories} if categories else document


def _categories(task: str) -> list[dict[str, Any]]:
    things = [{"supercategory": thing.supercategory, "id": thing.id, "name": thing.name} for thing in THINGS]
    if task == "instances":
        return things
    if task == "person_keypoints":
        return [things[0] | {"keypoints": demo_records.JOINTS, "skeleton": demo_records.SKELETON}]
    if task == "stuff":
        rows = {one.stuff_id: (one.supercategory, one.stuff_name) for one in STUFF}
        rows[demo_records.STUFF_OTHER] = ("other", "other")
        return [{"supercategory": rows[n][0], "id": n, "name": rows[n][1]} for n in sorted(rows)]
    if task == "panoptic":
        rows = {one.panoptic_id: (one.supercategory, one.panoptic_name) for one in STUFF}
        return [thing | {"isthing": 1} for thing in things] + [
            {"supercategory": rows[n][0], "isthing": 0, "id": n, "name": rows[n][1]} for n in sorted(rows)
        ]
    return []
