r"""Score predictions of any program on a subset's split, or on an annotation file as it is.

--task says what they are: boxes, masks or keypoints (--file, a COCO results file); panoptic (--file, a panoptic JSON,
and --folder, its PNGs); semantic (--folder, an 8-bit PNG of labels for each image, named as it: 000000000044.png for
000000000044.jpg). --settings says which split is judged, and what image and category ids are. Writes metrics.json with
intervals and slices, and draws.tsv (the figures of each bootstrap draw), into --out-dir; for results left_out.tsv too,
for semantic masks per_image.tsv and pictures/ of the worst and the best.

Examples:
  python scripts/evaluate_predictions.py --task boxes --file yolo.json --subset-dir results/animals --out-dir yolo
  python scripts/evaluate_predictions.py --task masks --file m.json --annotations instances_val2017.json --out-dir m
  python scripts/evaluate_predictions.py --task semantic --folder my_masks --subset-dir results/animals --out-dir mine \
      --settings '{split: train, category_ids: source}'
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from cocomine.base import command
from cocomine.base.errors import CocomineError
from cocomine.evaluation.settings import JudgingSettings, Task


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__, settings=JudgingSettings)
    parser.add_argument("--task", choices=get_args(Task), required=True, help="what is predicted")
    parser.add_argument("--file", type=Path, metavar="FILE", help="COCO results file, or panoptic JSON")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="folder of panoptic PNGs or semantic masks")
    ground = parser.add_mutually_exclusive_group(required=True)
    ground.add_argument("--subset-dir", type=Path, metavar="DIR", help="folder of the subset")
    ground.add_argument("--annotations", type=Path, metavar="FILE", help="annotation file that is judged on as it is")
    parser.add_argument(
        "--annotation-pngs", type=Path, metavar="DIR", help="folder of the PNGs of a panoptic --annotations"
    )
    parser.add_argument("--store-dir", type=Path, metavar="DIR", help="image store, for the images in pictures/")
    parser.add_argument("--tags", type=Path, metavar="FILE", help="table of tags of images, to slice errors by")
    parser.add_argument("--out-dir", type=Path, required=True, metavar="DIR", help="where metrics.json goes")
    return parser


def main(options: argparse.Namespace) -> int:
    """Score and print the main figures."""
    from cocomine.evaluation import verdict

    lacking = [
        name
        for name, needed in (("file", options.task != "semantic"), ("folder", options.task in ("panoptic", "semantic")))
        if needed and getattr(options, name) is None
    ]
    if lacking:
        raise CocomineError(f"--task {options.task} without --{lacking[0]}", "say where the predictions lie")
    result = _score(options)
    images, what = result["judged_on"]["images"], result["judged_on"].get("file") or result["judged_on"]["split"]
    command.say(f"{_figures(result)} over {verdict.counted(images)} of {what}")
    if "finding" in result["slices"]:
        command.say(result["slices"]["finding"])
    for key in ("coverage", "calibration"):
        if "finding" in result.get(key, {}):
            command.say(result[key]["finding"])
    command.say(f"leaderboard: {result['leaderboard']['because']}")
    if verdict.too_few(images):
        command.say(verdict.of_few(images))
    return 0


def _score(options: argparse.Namespace) -> dict[str, Any]:
    from cocomine.evaluation import detections, ground, panoptic

    settings, task = options.settings, options.task
    if options.subset_dir is None:
        judged_on = ground.ground_of_file(options.annotations, options.annotation_pngs, task, options.tags)
    else:
        judged_on = ground.ground_of_subset(options.subset_dir, settings, task, options.tags)
    if task == "semantic":  # the one task that needs torch, which is slow to import
        from cocomine.evaluation import mask_predictions
        from cocomine.learning.data import read_trained_labels

        labels = read_trained_labels(options.subset_dir / "labels.json")
        values = settings.categories_of(task)
        masks = mask_predictions.MaskPredictions(options.folder, values, judged_on, labels, options.store_dir)
        return mask_predictions.score_masks(masks, settings, options.out_dir)
    if task == "panoptic":
        truth = panoptic.read_panoptic(judged_on.annotations, judged_on.pngs or Path())
        predicted = panoptic.read_panoptic(options.file, options.folder)
        return panoptic.score_panoptic(truth, predicted, judged_on, settings, options.out_dir)
    return detections.score_results(options.file, judged_on, settings, options.out_dir)


def _figures(result: Mapping[str, Any]) -> str:
    from cocomine.evaluation import verdict

    if result["kind"] == "semantic":
        from cocomine.evaluation import mask_predictions

        figure = result["full_resolution"]["iou"]["mean_foreground"]
        beside = verdict.beside_baseline(figure, mask_predictions.better_baseline(result), result["baselines"]["ratio"])
        return f"mean foreground IoU {_shown(figure)} ({beside})"
    names = ("pq", "sq", "rq") if result["kind"] == "panoptic" else ("AP", "AP50", "AP75")
    return ", ".join(f"{name.upper()} {_shown(result['all'][name])}" for name in names)


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
