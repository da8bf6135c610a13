r"""Decode each selected image once and write down what it is: status, size, mode, EXIF, hashes, light and sharpness.

Reads the selection, the lock that says which images were fetched, and the image store. Writes one Parquet row an image,
in the selection's order. `status` is ok or a reason code (docs/annotations.md lists them), `detail` its values; a size
unlike the stated one and an EXIF rotation are seen in the columns width, height and exif_orientation, for images are
measured as stored.

brightness  mean luma, 0..1        contrast  standard deviation of luma, 0..0.5
blur        share of the luma's variance that the means of 3 x 3 pixels keep: near 1 blurred, lower sharper
All three are those of the luma at half its width and height, at which a JPEG is decoded.

Example:
  python scripts/measure_images.py --selection results/zoo/selection.tsv --images-lock results/zoo/images.lock.tsv \
      --store-dir data/images/coco --out results/zoo/images.parquet --thumbnails results/zoo/thumbnails --threads 2
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.images.measure import measure
from cocomine.images.settings import ImageSettings


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = command.parser(__doc__ or "", settings=ImageSettings)
    parser.add_argument("--selection", type=Path, required=True, help="selection.tsv that mine_subset wrote")
    parser.add_argument("--images-lock", type=Path, required=True, help="images.lock.tsv that sync_images wrote")
    parser.add_argument("--store-dir", type=Path, required=True, help="the image store: data/images/STORE")
    parser.add_argument("--out", type=Path, required=True, help="images.parquet to write")
    parser.add_argument("--thumbnails", type=Path, required=True, help="folder to write: sheets of thumbnails")
    parser.add_argument("--threads", type=int, default=1, help="processes to decode with (default 1)")
    return parser


def main(options: argparse.Namespace) -> None:
    """Measure the images."""
    threads = max(1, options.threads)
    files = options.selection, options.images_lock, options.store_dir, options.out, options.thumbnails
    measure(*files, threads, options.settings)


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
