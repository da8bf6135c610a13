"""What a job asks of a cluster: memory and time as measured, by the number of images that it is about.

The figures are those of tests/benchmarks/bench_scale.py with room to spare (docs/measured.md), and tests hold the
benchmarks of a small build to them. How many images a job is about is read from what is there before the first of its
group of jobs runs: the selection of a subset, or the annotation files of a source.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cocomine.configuration.plan import Plan
from cocomine.configuration.sources import Source

BYTES_PER_IMAGE = 5_000
"""Of an annotation file; COCO's instances have 4,960."""

MEASURED_PROCESSES = 8
"""The figures below are enough for so many processes of a job."""


@dataclass(frozen=True)
class Need:
    """Memory in MB and time in minutes: so much, and so much more for each thousand images."""

    mb: int
    mb_more: float
    minutes: int
    minutes_more: float

    def mb_for(self, images: int, processes: int = 1) -> int:
        """Memory in MB for so many images, and so many processes where they are more than were measured."""
        return math.ceil(self.mb * max(1.0, processes / MEASURED_PROCESSES) + self.mb_more * images / 1000)

    def minutes_for(self, images: int) -> int:
        """Time in minutes for so many images."""
        return math.ceil(self.minutes + self.minutes_more * images / 1000)


NEEDS = {
    "make_demo_bucket": Need(1000, 100, 10, 2),
    "index_annotations": Need(1000, 3, 10, 0.1),
    "mine_subset": Need(600, 4, 10, 0.1),
    "measure_images": Need(3000, 5, 15, 0.5),
    "assemble_subset": Need(800, 6, 10, 0.2),
    "split_dataset": Need(600, 8, 10, 0.3),
    "rasterize_masks": Need(1500, 5, 10, 0.5),
    "pack_tensors": Need(2000, 10, 10, 0.5),
    "export_dataset": Need(600, 6, 10, 0.3),
    "compare_experiments": Need(1000, 0, 10, 0),
    "render_report": Need(500, 8, 10, 0.1),
    "render_explorer": Need(1200, 8, 10, 0.3),
    "lock_build": Need(800, 11, 10, 0.3),
    "render_index": Need(500, 1, 5, 0),
}
"""By rule, of every rule that shares a job with others, and of more.

Memory is that of two workers (docs/measured.md) and of six more, half as much again at least; rules that decode
photographs ask for more, since a worker may hold one of GIANT pixels.
"""


def images_of(plan: Plan, wildcards: Mapping[str, str]) -> int:
    """Return how many images a job with these wildcards is about, as far as is known yet.

    It is one on a subset, on a source, or on the whole build.
    """
    if "subset" in wildcards:
        subset = plan.subsets[wildcards["subset"]]
        return _selected(Path(subset.folder, "selection.tsv")) or _annotated(subset.source)
    if "source" in wildcards:
        return _annotated(plan.sources[wildcards["source"]])
    return sum(images_of(plan, {"subset": name}) for name in plan.subsets)


def _selected(selection: Path) -> int:
    try:
        with open(selection, "rb") as lines:
            return sum(1 for _ in lines) - 1
    except FileNotFoundError:
        return 0


def _annotated(source: Source) -> int:
    if source.synthetic is not None:
        return source.synthetic.images
    if source.parts:
        return sum(map(_annotated, source.parts))
    files = [Path(source.folder, f"{task}_{split}.json") for task, split in source.files if task == "instances"]
    return sum(file.stat().st_size for file in files if file.is_file()) // BYTES_PER_IMAGE
