r"""Export a subset in a format of the field: COCO, YOLO, masks and others; docs/formats.md lists them.

The image files are hard-linked out of the image store (copied where that cannot be done), so an export costs almost no
space; nothing in it depends on where it lies, so the folder can be moved, packed and sent. `manifest.json` lists every
file with its SHA-256, how many images and objects went in and came out, and all that the format cannot carry, by
reason: a YOLO file, for one, has no crowds, no ids and no holes.

Reads from the subset's folder split.tsv, splits/ (a COCO file for each task and split), images.tsv and labels.json, and
where they are there images.lock.tsv and images.parquet, and for formats of masks masks/.

Example:
  scripts/export_dataset.py --format yolo-segment --subset-dir results/animals \
      --store-dir data/images/coco --out-dir results/animals/exports/yolo-segment
"""

import argparse
import logging
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.formats.export import export_dataset, much_lost
from cocomine.formats.output import IMAGE_MODES, Options
from cocomine.formats.registry import FORMATS

log = logging.getLogger("cocomine")


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__ or "")
    parser.add_argument("--format", required=True, choices=FORMATS, help="what to write")
    parser.add_argument("--subset-dir", required=True, type=Path, metavar="DIR", help="the subset: results/{subset}")
    parser.add_argument(
        "--store-dir", required=True, type=Path, metavar="DIR", help="its image files: data/images/{store}"
    )
    parser.add_argument("--out-dir", required=True, type=Path, metavar="DIR", help="the export, replaced as a whole")
    parser.add_argument(
        "--panoptic-png-dir",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="where the source's panoptic PNGs lie, for `coco`; may be given several times (without it the panoptic "
        "segments are left out and counted)",
    )
    parser.add_argument(
        "--images",
        choices=IMAGE_MODES,
        default="hardlink",
        help="how the image files come into the export; none: not at all, with a list of where they lie, for formats "
        "that need no more (default hardlink)",
    )
    parser.add_argument(
        "--copies-dir",
        type=Path,
        metavar="DIR",
        help="a folder of copies that exports share: with it, hard links lead there and never into the image store",
    )
    return parser


def main(options: argparse.Namespace) -> None:
    """Export, and say in one line what was lost."""
    manifest = export_dataset(
        options.format,
        options.subset_dir,
        options.store_dir,
        options.out_dir,
        Options(options.images, options.copies_dir, tuple(options.panoptic_png_dir)),
    )
    totals = manifest["totals"]
    lost = [f"{row['code']} {row['count']}" for row in manifest["not_carried"] if row["drops"]]
    log.info(
        "export %s: %d images, objects %d in, %d out%s",
        options.format,
        totals["images"],
        totals["objects_in"],
        totals["objects_out"],
        "; not carried: " + ", ".join(lost) if lost else "",
    )
    for line in much_lost(manifest):
        log.warning("warning: %s: %s", options.format, line)


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
