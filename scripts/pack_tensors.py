r"""Resize a subset's images and masks once into arrays that training maps into memory.

    pack_tensors.py --images results/zoo/images.tsv --store-dir data/images/coco --masks-dir results/zoo/masks \
        --split results/zoo/split.tsv --out-dir results/zoo/tensors/128 --settings '{"size": 128}' --threads 2

writes to --out-dir images.npy (images × size × size × 3, uint8 RGB, stretched, bilinear with antialiasing unless the
settings name another filter), masks.npy (images × size × size, uint8 labels, nearest pixel), index.tsv (row, image_id,
file_name, split, fold), refused.tsv (images that have no row, and why) and manifest.json. The bytes do not depend on
--threads. Open the arrays with numpy.load(path, mmap_mode="r").
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.tensors.pack import pack_tensors
from cocomine.tensors.settings import TensorSettings


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = command.parser(__doc__, settings=TensorSettings)
    parser.add_argument("--images", type=Path, required=True, metavar="TSV", help="the subset's images.tsv")
    parser.add_argument(
        "--images-lock", type=Path, metavar="TSV", help="images.lock.tsv: every image must have the SHA-256 locked"
    )
    parser.add_argument("--store-dir", type=Path, required=True, metavar="DIR", help="the store that holds the images")
    parser.add_argument("--masks-dir", type=Path, required=True, metavar="DIR", help="the folder that holds semantic/")
    parser.add_argument("--split", type=Path, metavar="TSV", help="split.tsv; without it the split column is empty")
    parser.add_argument(
        "--labels", type=Path, metavar="JSON", help="labels.json; a mask that holds a label which it lacks is refused"
    )
    parser.add_argument("--out-dir", type=Path, required=True, metavar="DIR", help="where the tensors go")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="working processes (default: 1)")
    return parser


def main(options: argparse.Namespace) -> None:
    """Pack the tensors that `options` asks for."""
    pack_tensors(
        options.settings,
        options.images,
        options.store_dir,
        options.masks_dir,
        options.split,
        options.out_dir,
        options.threads,
        options.labels,
        options.images_lock,
    )


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
