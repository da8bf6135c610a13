r"""Fetch an encoder's ImageNet weights, so that training asks nobody for them.

Run it on a machine with a network; copy OUT_DIR/ENCODER to model.weights_folder (data/encoders by default) of the
machine that trains. It writes model.safetensors and encoder.json: where from, the revision, the SHA-256, and the
normalisation that belongs to the weights.

Example:
  python scripts/fetch_encoder.py resnet50 --out-dir data/encoders
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__)
    parser.add_argument("encoder", help="resnet18, resnet34, resnet50, resnet101, or mit-b0 to mit-b5")
    parser.add_argument(
        "--out-dir", type=Path, default=Path("data/encoders"), metavar="DIR", help="default: data/encoders"
    )
    parser.add_argument("--revision", metavar="COMMIT", help="revision in the hub (default: the newest)")
    return parser


def main(options: argparse.Namespace) -> int:
    """Fetch and say where the weights lie."""
    from cocomine.learning.models import encoders

    place = encoders.fetch(options.encoder, options.out_dir, options.revision)
    print(place)
    return 0


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
