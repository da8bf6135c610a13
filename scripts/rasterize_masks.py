r"""Draw the ground-truth masks of a subset from its annotations.

    rasterize_masks.py --subset results/zoo/subset.json --images results/zoo/images.tsv \
        --labels results/zoo/labels.json --out-dir results/zoo --training-size 128 --threads 2 \
        --settings '{"outputs": ["semantic", "panoptic"], "overlap": "smaller-on-top"}'

writes below --out-dir
    masks/semantic/*.png   with a palette: 0 background, 1..n the labels of labels.json, 255 void
                           (of more than 254 classes 16-bit grey, 65535 void)
    masks/instance/*.png   16-bit: the number of the object in the image, 65535 void   (if asked for)
    masks/panoptic/*.png   COCO's panoptic form, with masks/panoptic.json              (if asked for)
    masks/images.tsv       per image: the number of classes that have a pixel, pixels of background and of void
    masks/instances.tsv    every object drawn: its number, pixels, and whether it is hidden or vanishes
    masks/refused.tsv      images that could not be drawn, and why
    masks.tsv              per image and label: pixels, instances, hidden, vanished at the training size
    masks.json             settings, counts and a hash over all masks
    contact_sheet.png      images with their masks over them and a legend (needs --store-dir)
A mask lies in the same sub-folder as its image. Where no object has an outline none are drawn, unless asked for.
Who owns a pixel that several objects claim is chosen in the settings; docs/masks.md shows each choice.
The bytes do not depend on --threads.
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.masks.draw import rasterize_masks
from cocomine.masks.settings import MaskSettings
from cocomine.masks.subset import Sources


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = command.parser(__doc__, settings=MaskSettings)
    parser.add_argument("--subset", type=Path, metavar="JSON", help="objects to draw: subset.json, or stuff.json")
    parser.add_argument("--stuff-json", type=Path, metavar="JSON", help="stuff regions (draw_from: instances+stuff)")
    parser.add_argument("--void", type=Path, metavar="JSON", help="void.json: regions of quarantined objects")
    parser.add_argument("--panoptic-json", type=Path, metavar="JSON", help="panoptic.json (draw_from: panoptic)")
    parser.add_argument(
        "--panoptic-png-dir", type=Path, action="append", metavar="DIR", help="where its PNGs are; may be repeated"
    )
    parser.add_argument("--images", type=Path, required=True, metavar="TSV", help="the subset's images.tsv")
    parser.add_argument("--labels", type=Path, required=True, metavar="JSON", help="the subset's labels.json")
    parser.add_argument("--store-dir", type=Path, metavar="DIR", help="the images, for the contact sheet")
    parser.add_argument("--images-lock", type=Path, metavar="TSV", help="images.lock.tsv, to which they are held")
    parser.add_argument(
        "--training-size",
        type=int,
        default=128,
        metavar="PIXELS",
        help="side at which instances are counted as vanished",
    )
    parser.add_argument("--out-dir", type=Path, required=True, metavar="DIR", help="the subset's folder")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="working processes (default: 1)")
    return parser


def main(options: argparse.Namespace) -> None:
    """Draw the masks that `options` asks for."""
    sources = Sources(
        images=options.images,
        labels=options.labels,
        subset=options.subset,
        stuff=options.stuff_json,
        void=options.void,
        panoptic=options.panoptic_json,
        panoptic_pngs=tuple(options.panoptic_png_dir or ()),
        store=options.store_dir,
        images_lock=options.images_lock,
    )
    rasterize_masks(options.settings, sources, options.out_dir, options.training_size, options.threads)


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
