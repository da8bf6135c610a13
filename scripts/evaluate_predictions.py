r"""Score your own model's predictions on a subset's validation images, so that it is judged on the same split.

Give --masks, a folder of 8-bit PNGs, one for each image whose split is val in the subset's split.tsv, named as it
(000000000044.png for 000000000044.jpg), of its size, with a label for each pixel; or --results, a COCO results file of
boxes, masks or keypoints, which pycocotools scores; or --panoptic, a panoptic JSON, with its PNGs in --pngs, for PQ, SQ
and RQ. Writes metrics.json (with slices) into --out-dir; for masks it has boundary IoU and the trivial baselines, and
per_image.tsv and pictures/ of the worst and the best images are written too.

Examples:
  python scripts/evaluate_predictions.py --masks my_masks --subset-dir results/animals --out-dir results/mine
  python scripts/evaluate_predictions.py --results yolo.json --task bbox --subset-dir results/animals --out-dir yolo
  python scripts/evaluate_predictions.py --panoptic p.json --pngs p --subset-dir results/animals --out-dir panoptic
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cocomine.base import command
from cocomine.base.errors import CocomineError
from cocomine.learning.settings import EvaluationSettings


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__, settings=EvaluationSettings)
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--masks", type=Path, metavar="DIR", help="folder of predicted masks, {stem}.png")
    kind.add_argument("--results", type=Path, metavar="FILE", help="COCO results file (a JSON list)")
    kind.add_argument("--panoptic", type=Path, metavar="FILE", help="panoptic JSON of the predictions")
    parser.add_argument("--pngs", type=Path, metavar="DIR", help="folder of the PNGs of --panoptic")
    parser.add_argument(
        "--values",
        choices=("labels", "categories"),
        default="labels",
        help="what the masks' pixels are: labels of labels.json (default) or COCO category ids",
    )
    parser.add_argument(
        "--task", choices=("bbox", "segm", "keypoints"), default="bbox", help="what --results holds (default: bbox)"
    )
    parser.add_argument("--subset-dir", type=Path, required=True, metavar="DIR", help="folder of the subset")
    parser.add_argument(
        "--annotations",
        type=Path,
        metavar="FILE",
        help="COCO file of the split (default: the one in --subset-dir)",
    )
    parser.add_argument(
        "--annotation-pngs", type=Path, metavar="DIR", help="PNGs of a panoptic --annotations (default: masks/panoptic)"
    )
    parser.add_argument("--store-dir", type=Path, metavar="DIR", help="image store, for the images in pictures/")
    parser.add_argument("--out-dir", type=Path, required=True, metavar="DIR", help="where metrics.json goes")
    return parser


def _score_panoptic(options: argparse.Namespace, images: Sequence[int]) -> dict[str, Any]:
    from cocomine.evaluation import panoptic

    masks = options.subset_dir / "masks"
    if options.pngs is None:
        raise CocomineError("--panoptic without --pngs", "name the folder of its PNGs with --pngs")
    truth = panoptic.read_panoptic(
        options.annotations or masks / "panoptic.json", options.annotation_pngs or masks / "panoptic"
    )
    predicted = panoptic.read_panoptic(options.panoptic, options.pngs)
    return panoptic.score_panoptic(truth, predicted, images, options.out_dir)


def main(options: argparse.Namespace) -> int:
    """Score and print the main figure."""
    from cocomine.evaluation import detections, mask_predictions, predictions, verdict
    from cocomine.learning import data

    settings = options.settings
    split = predictions.read_split(options.subset_dir, settings.split)
    if options.masks is not None:
        labels = data.read_trained_labels(options.subset_dir / "labels.json")
        predicted = mask_predictions.MaskPredictions(
            options.masks,
            options.values,
            split,
            labels,
            options.subset_dir,
            options.subset_dir / "masks",
            options.store_dir,
        )
        result = mask_predictions.score_masks(predicted, settings, options.out_dir)
        figure = result["full_resolution"]["iou"]["mean_foreground"]
        shown = figure if figure is None else round(figure, 4)
        beside = verdict.beside_baseline(figure, mask_predictions.better_baseline(result), result["baselines"]["ratio"])
        print(f"mean foreground IoU {shown} over {verdict.counted(result['images'])}; {beside}")
        print(result["slices"]["finding"])
    elif options.panoptic is not None:
        result = _score_panoptic(options, split.image_ids)
        shown = {key: value if value is None else round(value, 4) for key, value in result["all"].items()}
        print(f"PQ {shown['pq']}, SQ {shown['sq']}, RQ {shown['rq']} over {verdict.counted(result['images'])}")
    else:
        annotations = options.annotations or predictions.annotation_file(
            options.subset_dir, settings.split, options.task
        )
        result = detections.score_results(
            options.results, options.task, annotations, split, options.subset_dir, settings, options.out_dir
        )
        figure = result["all"]["AP"]
        print(f"AP {figure if figure is None else round(figure, 4)} over {verdict.counted(result['images'])}")
    if verdict.too_few(result["images"]):
        print(verdict.of_few(result["images"]))
    return 0


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
