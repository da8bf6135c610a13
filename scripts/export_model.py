r"""Write a trained run as a folder that others can load, with a model card.

Writes into --out-dir: model.safetensors (its metadata hold classes, normalisation and the SHA-256 of the build's lock),
config.json and preprocessor_config.json, so that transformers' from_pretrained opens a SegFormer, an UPerNet or a
MaskFormer, README.md (the card) and, with --onnx, model.onnx, whose scores are compared with the network's.

Example:
  python scripts/export_model.py results/experiments/try --out-dir model --onnx
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__)
    parser.add_argument("run_dir", type=Path, metavar="RUN", help="folder of a run, results/experiments/NAME")
    parser.add_argument("--out-dir", type=Path, required=True, metavar="DIR", help="where the model goes")
    parser.add_argument(
        "--lock",
        type=Path,
        default=Path("results/build.lock.json"),
        metavar="FILE",
        help="the build's lock (default: %(default)s)",
    )
    parser.add_argument(
        "--onnx", action="store_true", help="also model.onnx; needs the packages onnx, onnxscript and onnxruntime"
    )
    return parser


def main(options: argparse.Namespace) -> int:
    """Export and say where the model lies."""
    from cocomine.evaluation.model_folder import Job, export_model

    export_model(Job(options.run_dir, options.out_dir, options.lock, options.onnx))
    print(options.out_dir)
    return 0


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
