r"""Train a segmentation model on packed tensors, so that a run that was killed ends with the very same weights.

Writes into --out-dir: model.safetensors, history.csv (loss and validation figures), curves.png, train_images.tsv and
training.json (settings with every default, resolved device, precision and threads, counts, parameters). While it runs
it keeps a checkpoint in --checkpoint-dir; run the same command again after a stop and it goes on from there. A
checkpoint of another config, code or data is never used.

Example:
  python scripts/train_model.py --settings '{"train": {"iterations": 200, "batch": 16}}' \
      --tensors results/shapes/tensors/128 --labels results/shapes/labels.json \
      --out-dir results/experiments/try --checkpoint-dir data/checkpoints/try
"""

import argparse
import logging
import os
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.learning import launch
from cocomine.learning.settings import RunSettings

# Threads of a batch that wait for one another sleep instead of spinning: on a machine with other work, where spinning
# threads keep each other from their cores, training is then several times as fast. The arithmetic is the same.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__, settings=RunSettings)
    parser.add_argument("--tensors", type=Path, required=True, metavar="DIR", help="folder that pack_tensors wrote")
    parser.add_argument("--labels", type=Path, required=True, metavar="FILE", help="labels.json of the subset")
    parser.add_argument("--out-dir", type=Path, required=True, metavar="DIR", help="where the outputs go")
    parser.add_argument(
        "--checkpoint-dir", type=Path, required=True, metavar="DIR", help="where the checkpoint lies while training"
    )
    parser.add_argument(
        "--evaluated-on",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="DIR",
        help="tensors of other subsets that this run is evaluated on: images of their split that is withheld, and of "
        "their test split, are never trained on, and never choose weights unless they are of val",
    )
    parser.add_argument(
        "--withheld-split",
        metavar="SPLIT",
        help="the split of --evaluated-on that is judged and therefore withheld, or all (default: test where there is "
        "one, and val otherwise)",
    )
    parser.add_argument(
        "--tensorboard", type=Path, metavar="DIR", help="also write TensorBoard events here (they hold times)"
    )
    return parser


def main(options: argparse.Namespace) -> int:
    """Train and say what was written."""
    train = options.settings.train
    if launch.rank():
        logging.getLogger("cocomine").setLevel(logging.ERROR)
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - no second bar on the terminal; errors have their handler
    elif train.device != "cpu":
        launch.take_gpus(train.processes)
    launch.spread(train.processes, train.threads)

    from cocomine.learning import data, training
    from cocomine.provenance.digests import code_digest

    held_out, tested = data.withheld([data.read_tensors(one) for one in options.evaluated_on], options.withheld_split)
    training.train(
        training.Job(
            options.settings,
            data.read_tensors(options.tensors),
            data.read_trained_labels(options.labels),
            options.out_dir,
            options.checkpoint_dir,
            held_out,
            options.tensorboard,
            code_digest(Path(__file__)),
            tested,
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser(), launch.arguments()))
