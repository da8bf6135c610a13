"""How long it takes to find the near-duplicates among many pictures, and what it finds.

Makes thumbnails of smooth random pictures, plants twins among them (brighter, cropped, with noise), and times the
search. Without --full 20,000 pictures, with it 118,287, as many as train2017 has.

Example: ./run python tests/benchmarks/bench_splits.py --full
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from cocomine.splits.groups import group
from cocomine.splits.near_duplicates import find_pairs
from cocomine.splits.settings import SplitSettings


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
            }
        )
    )


if __name__ == "__main__":
    main()
