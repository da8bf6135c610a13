r"""Write a subset's report: one HTML file that opens offline, and every number in it as JSON.

The page says what was asked and found, what was left out and why, how the images were split, what their masks look
like, and how a model that was trained on them did beside trivial ones. What a build did not make (no experiment, no
captions) is said in a sentence. With --index it writes the page that links the subsets' reports instead.

Examples:
  scripts/render_report.py --subset-dir results/animals --store-dir data/images/coco \
      --runs results/experiments/linknet --sources-lock data/annotations/coco/sync.lock.json \
      --out results/animals/report.html --json-out results/animals/report.json
  scripts/render_report.py --index results/animals/report.html results/vehicles/report.html \
      --comparison results/experiments/comparison.json --out results/index.html
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.base.errors import CocomineError
from cocomine.mining.settings import SubsetSettings
from cocomine.reporting.index import render_index
from cocomine.reporting.report import Inputs, render_report


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__ or "", settings=SubsetSettings)
    parser.add_argument("--out", required=True, type=Path, metavar="HTML", help="the page to write")
    report = parser.add_argument_group("the report of a subset")
    report.add_argument("--subset-dir", type=Path, metavar="DIR", help="the subset: results/{subset}")
    report.add_argument("--name", metavar="TEXT", help="its name (default: that of the folder)")
    report.add_argument("--store-dir", type=Path, metavar="DIR", help="its photographs: data/images/{store}")
    report.add_argument(
        "--runs", nargs="*", default=[], type=Path, metavar="DIR", help="folders of the experiments to show"
    )
    report.add_argument(
        "--predictions", nargs="*", default=[], type=Path, metavar="DIR", help="folders of the predictions to show"
    )
    report.add_argument(
        "--reviews", nargs="*", default=[], type=Path, metavar="TSV", help="lists of labels that predictions contradict"
    )
    report.add_argument(
        "--sources-lock",
        type=Path,
        metavar="JSON",
        help="sync.lock.json of its annotation source, for origins and hashes",
    )
    report.add_argument("--pictures", type=int, default=24, metavar="N", help="images to show with masks (default 24)")
    report.add_argument("--json-out", type=Path, metavar="JSON", help="the numbers (default: HTML's name with .json)")
    index = parser.add_argument_group("the index of all reports")
    index.add_argument(
        "--index",
        nargs="*",
        type=Path,
        metavar="REPORT",
        help="write the page that links these reports (report.html or report.json of each subset)",
    )
    index.add_argument("--comparison", type=Path, metavar="JSON", help="comparison.json of the experiments")
    index.add_argument("--build-lock", type=Path, metavar="JSON", help="build.lock.json, whose SHA-256 the page gives")
    return parser


def main(options: argparse.Namespace) -> None:
    """Render one report, or the index."""
    if options.index is not None:
        render_index(options.index, options.comparison, options.build_lock, options.out, options.predictions)
        return
    if options.subset_dir is None:
        raise CocomineError("neither --subset-dir nor --index was given", "see render_report.py --help")
    render_report(
        Inputs(
            subset_dir=options.subset_dir,
            name=options.name or options.subset_dir.resolve().name,
            settings=options.settings.as_mapping(),
            store_dir=options.store_dir,
            runs=tuple(options.runs),
            predictions=tuple(options.predictions),
            reviews=tuple(options.reviews),
            sources_lock=options.sources_lock,
            pictures=options.pictures,
        ),
        options.out,
        options.json_out or options.out.with_suffix(".json"),
    )


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
