"""How long it takes to find the near-duplicates among many pictures, and what it finds.

Makes thumbnails of smooth random pictures, plants twins among them (brighter, cropped, with noise), and times the
search. Without --full 20,000 pictures, with it 118,287, as many as train2017 has. Then the changes that are found where
they are asked for: recall and false pairs with the 287 photographs of coco-mini, each planted once more mirrored,
turned and cropped, and false pairs and processor time an image among the random pictures.

Example: ./run python tests/benchmarks/bench_splits.py --full
"""

import argparse
import json
import resource
import sys
import time
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from cocomine.images.descriptors import describe
from cocomine.images.opening import to_luma
from cocomine.splits.changed import find_changed
from cocomine.splits.groups import group
from cocomine.splits.near_duplicates import Pairs, find_pairs
from cocomine.splits.settings import SplitSettings
from helpers.shared import coco_mini


def pictures(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return thumbnails and, for each, the number of the scene that it shows: every 100th is a twin of the one before.

    The spectrum falls as in photographs (amplitude about 1 / frequency), and every picture is brighter above than
    below by some amount, as photographs are, so that hashes crowd as real ones do.
    """
    random = np.random.default_rng(0)
    side, waves = 96, 24
    rows = np.cos(np.pi * np.outer(np.arange(waves), (np.arange(side) + 0.5) / side))
    fall = 1 / np.hypot(*np.mgrid[1 : waves + 1, 1 : waves + 1])
    result, scenes = np.zeros((count, 32, 32), dtype=np.uint8), np.arange(count)
    large = None
    for number in range(count):
        crop = 0
        if number % 100 == 99:
            scenes[number] = number - 1
            crop = int(random.integers(0, 5))
        else:
            spectrum = random.normal(size=(waves, waves)) * fall
            spectrum[0, 0] = 0
            spectrum[1, 0] += 0.8
            large = rows.T @ spectrum @ rows
        cut = large[crop : side - crop, crop : side - crop]
        edges = np.linspace(0, len(cut), 33).astype(int)
        small = np.add.reduceat(np.add.reduceat(cut, edges[:-1], axis=0), edges[:-1], axis=1)
        small = small / np.outer(np.diff(edges), np.diff(edges))
        bright = random.uniform(0.9, 1.1) if scenes[number] != number else 1.0
        result[number] = np.clip(bright * (128 + 45 * small) + random.normal(0, 1, small.shape), 0, 255)
    return result, scenes


def saved(image: Image.Image) -> Image.Image:
    """Return a picture once more through a JPEG of quality 75."""
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=75)
    return Image.open(buffer)


def cut(image: Image.Image, across: float, down: float, random: np.random.Generator) -> Image.Image:
    """Return a crop of these shares of the sides, at a random place."""
    left, top = random.uniform(0, 1 - across) * image.width, random.uniform(0, 1 - down) * image.height
    right, bottom = left + across * image.width, top + down * image.height
    return image.crop((round(left), round(top), round(right), round(bottom)))


CHANGES = {
    "mirrored": lambda image, random: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned right": lambda image, random: image.transpose(Image.Transpose.ROTATE_270),
    "turned left": lambda image, random: image.transpose(Image.Transpose.ROTATE_90),
    "upside down": lambda image, random: image.transpose(Image.Transpose.ROTATE_180),
    "mirrored and turned": lambda image, random: image.transpose(Image.Transpose.TRANSPOSE),
    "cropped to 90 % of both sides": lambda image, random: cut(image, 0.9, 0.9, random),
    "cropped to 80 % of both sides": lambda image, random: cut(image, 0.8, 0.8, random),
    "cropped to 70 % of both sides": lambda image, random: cut(image, 0.7, 0.7, random),
    "cropped to 70 to 100 % of each side": lambda image, random: cut(image, *random.uniform(0.7, 1, 2), random),
    "mirrored and cropped to 80 %": lambda image, random: cut(CHANGES["mirrored"](image, random), 0.8, 0.8, random),
}
ALL = ("mirrored", "turned", "cropped")
MOST_CROPPED = 6_000
"""Crops take so long that their cost an image is measured on some."""


def planted_in_photographs(settings: SplitSettings) -> dict[str, tuple[float, int]]:
    """Return of each change the share of the photographs that is found again, and the false pairs."""
    random, result = np.random.default_rng(0), {}
    photographs = [Image.open(path).convert("RGB").reduce(2) for path in sorted(coco_mini().glob("*2017/*.jpg"))]
    count = len(photographs)
    for name, change in CHANGES.items():
        images = [*photographs, *(saved(change(image, random)) for image in photographs)]
        described = b"".join(describe(to_luma(image).reduce(2)).thumbnail for image in images)
        thumbnails = np.frombuffer(described, dtype=np.uint8).reshape(-1, 32, 32)
        known = find_pairs(thumbnails, settings.near_duplicate_distance, settings.near_duplicate_similarity)
        changed = find_changed(
            thumbnails, ALL, known, settings.near_duplicate_distance, settings.near_duplicate_similarity
        )
        pairs = {
            pair
            for some in (known, *changed.values())
            for pair in zip(some.first.tolist(), some.second.tolist(), strict=True)
        }
        right = sum(second - first == count for first, second in pairs)
        result[name] = right / count, len(pairs) - right
        print(f"{name:36} found {result[name][0]:6.1%}, false pairs {result[name][1]}")
    return result


def searched(thumbnails: np.ndarray, scenes: np.ndarray, known: Pairs, settings: SplitSettings) -> dict[str, list]:
    """Return of each change the processor milliseconds an image and the false pairs among the random pictures."""
    result = {}
    for change in ALL:
        part = thumbnails[: MOST_CROPPED if change == "cropped" else None]
        there = known.second < len(part)
        inside = Pairs(*(column[there] for column in (known.first, known.second, known.distance, known.similarity)))
        began = time.process_time()
        limits = (settings.near_duplicate_distance, settings.near_duplicate_similarity)
        found = find_changed(part, (change,), inside, *limits)[change]
        spent = (time.process_time() - began) * 1000 / len(part)
        false = int((scenes[found.first] != scenes[found.second]).sum())
        result[change] = [round(spent, 3), false]
        print(f"{change}: {spent:.2f} ms of processor time an image of {len(part)}, false pairs {false}")
    return result


def main() -> None:
    """Run the benchmark and print a table and, last, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="as many pictures as train2017 has")
    count = 118_287 if parser.parse_args().full else 20_000
    thumbnails, scenes = pictures(count)
    settings = SplitSettings()
    began, processor = time.perf_counter(), time.process_time()
    pairs = find_pairs(thumbnails, settings.near_duplicate_distance, settings.near_duplicate_similarity)
    found = group(count, [], pairs, settings.largest_group)
    seconds, processor = time.perf_counter() - began, time.process_time() - processor
    twins = np.flatnonzero(scenes != np.arange(count))
    together = sum(found.of[twin] == found.of[scenes[twin]] for twin in twins)
    false = int((scenes[pairs.first] != scenes[pairs.second]).sum())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"pictures {count}, planted twins {len(twins)}, grouped {together}, false pairs {false}")
    print(f"seconds {seconds:.1f} (processor {processor:.1f}), peak {peak:.0f} MB")
    by_change = searched(thumbnails, scenes, pairs, settings)
    planted = planted_in_photographs(settings)
    print(
        json.dumps(
            {
                "pictures": count,
                "seconds": round(seconds, 2),
                "processor_seconds": round(processor, 2),
                "peak_mb": round(peak),
                "twins": len(twins),
                "grouped": int(together),
                "false_pairs": false,
                "changes": by_change,
                "planted": planted,
            }
        )
    )


if __name__ == "__main__":
    main()
