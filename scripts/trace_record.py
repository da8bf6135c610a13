r"""Say what became of one annotation or image of the source, and why.

Either a clause of the query left it out (the clause in the written order, with the figures that decided), or it was
quarantined (with the reason), or repaired (with before and after), or kept (with its side of the split and its label).
The subset must have been built; only the index and the subset's tables are read.

    scripts/trace_record.py giraffes --annotation 123429 --config config/config.yaml
    scripts/trace_record.py giraffes --image 000000000790.jpg --config config/config.yaml
    scripts/trace_record.py giraffes --annotation 25 --task captions --settings '{"categories": ["giraffe"]}' \
        --index-dir data/annotations/coco/index --subset-dir results/giraffes
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.mining.settings import SubsetSettings

TASKS = ("instances", "captions", "person_keypoints", "stuff", "panoptic")


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = command.parser(__doc__, settings=SubsetSettings)
    parser.add_argument("subset", help="the subset's name, which is also its folder in results/")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--annotation", type=int, metavar="ID", help="id of an annotation, caption or panoptic segment")
    which.add_argument("--image", metavar="ID|FILE", help="id or file name of an image; its annotations are listed too")
    parser.add_argument("--task", choices=TASKS, default="instances", help="whose annotations (default instances)")
    parser.add_argument("--config", type=Path, help="take the query from this config, instead of --settings")
    parser.add_argument("--root", type=Path, default=Path(), help="the folder of the build (default: here)")
    parser.add_argument(
        "--index-dir", type=Path, help="folder of the source's index (with --config: data/annotations/SOURCE/index)"
    )
    parser.add_argument("--subset-dir", type=Path, help="folder of the built subset (default results/SUBSET)")
    parser.add_argument(
        "--images-from",
        type=Path,
        help="images.tsv of the subset that the key images_from names (default: that subset's, beside this one's)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    return parser


def main(options: argparse.Namespace) -> None:
    """Answer one question."""
    # Imported late, so that --help and a mistyped option answer at once.
    from cocomine.inquiry import trace

    opened = trace.open_trace(
        options.subset,
        options.config,
        options.settings,
        options.index_dir,
        options.subset_dir,
        options.images_from,
        options.root,
    )
    if options.annotation is not None:
        answer = trace.answer_annotation(opened, options.annotation, options.task, options.json)
    else:
        answer = trace.answer_image(opened, options.image, options.task, options.json)
    (print if options.json else command.say)(answer)


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
