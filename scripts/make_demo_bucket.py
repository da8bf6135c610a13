r"""Draw a small synthetic bucket of COCO's shape, so that the whole workflow can be tried offline.

Writes annotations/{instances,captions,person_keypoints,panoptic,stuff}_{train,val}.json, panoptic PNGs, the JPEGs
train/*.jpg and val/*.jpg, truth.json (which records and files are broken on purpose, and which images are
near-duplicates) and, last, a manifest of all of them. The same settings give the same bytes, whatever --threads.

Example:
  python scripts/make_demo_bucket.py --settings '{"images": 640, "seed": 0}' \
      --out-dir data/demo/demo --manifest data/demo/demo/bucket.json --threads 2
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.synthetic.bucket import make_bucket
from cocomine.synthetic.settings import SyntheticSettings


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = command.parser(__doc__ or "", settings=SyntheticSettings)
    parser.add_argument("--out-dir", type=Path, required=True, help="folder to draw the bucket into")
    parser.add_argument("--manifest", type=Path, required=True, help="JSON file listing every file drawn, written last")
    parser.add_argument("--threads", type=int, default=1, help="processes to draw with (default 1)")
    return parser


def main(options: argparse.Namespace) -> None:
    """Draw the bucket."""
    make_bucket(options.settings, options.out_dir, options.manifest, max(1, options.threads))


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
