r"""Import a folder of labels that are not COCO's (YOLO, Pascal VOC, LabelMe, CSV) as COCO documents.

The folder is read and nothing is written there; its images are used where they lie. Below --out-dir are written
annotations/{task}_{split}.json, quarantine.tsv and repairs.tsv with the file, line and reason of every label that was
not simply kept, and import.json with the counts: in = kept + repaired + quarantined. The same folder gives the same
bytes.

Example:
  python scripts/import_labels.py --settings '{"format": "yolo", "folder": "/data/leaves"}' \\
      --out-dir data/imports/leaves
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.imports.load import import_labels
from cocomine.sources.settings import SourceSettings


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__ or "", settings=SourceSettings)
    parser.add_argument("--out-dir", type=Path, required=True, help="data/imports/{source}")
    return parser


def main(options: argparse.Namespace) -> None:
    """Import."""
    import_labels(options.settings, options.out_dir)


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
