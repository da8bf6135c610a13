"""Draws the pictures of docs/masks.md from a small scene of drawn shapes, with the code that draws real masks.

./run python docs/pictures/draw_masks.py [FOLDER]
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from cocomine.coco.labels import Labels  # noqa: E402
from cocomine.coco.tasks import VOID  # noqa: E402
from cocomine.masks.batch import (  # noqa: E402
    INSTANCE_VOID,
    Task,
    instance_values,
    panoptic_values,
    prepare,
    semantic_values,
)
from cocomine.masks.inputs import ImageRow  # noqa: E402
from cocomine.masks.rasters import fill, void_border  # noqa: E402
from cocomine.masks.settings import MaskSettings  # noqa: E402

WIDTH, HEIGHT, SCALE = 96, 66, 3
LABELS = Labels(
    names=("background", "table", "cup", "person"),
    category_ids=(None, 1, 2, 3),
    colors=((255, 255, 255), (222, 165, 92), (62, 126, 196), (214, 87, 79)),
    category_to_label={1: 1, 2: 2, 3: 3},
)
NUMBERS = ((255, 255, 255), (96, 165, 110), (226, 140, 60), (122, 96, 180), (230, 196, 66), (70, 160, 190))
PAPER, INK, FAINT, FRAME = (255, 255, 255), (32, 33, 36), (120, 122, 126), (200, 200, 196)


def ellipse(x: float, y: float, across: float, down: float) -> list[float]:
    """Return the outline of an ellipse around (x, y)."""
    turns = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    points = np.stack([x + across * np.cos(turns), y + down * np.sin(turns)], axis=1)
    return [float(number) for number in points.round(2).ravel()]


def box(x: float, y: float, width: float, height: float) -> list[float]:
    """Return the outline of a box whose upper left corner is (x, y)."""
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def crowd(x: float, y: float, width: float, height: float) -> dict[str, Any]:
    """Return the run lengths of a box, as COCO stores crowds."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[int(y) : int(y + height), int(x) : int(x + width)] = True
    edges = np.flatnonzero(np.diff(mask.ravel(order="F"), prepend=False, append=False))
    return {"size": [HEIGHT, WIDTH], "counts": np.diff([0, *edges, HEIGHT * WIDTH]).tolist()}


CUP = {"id": 1, "category_id": 2, "segmentation": [ellipse(38, 26, 9, 12)]}
OTHER_CUP = {"id": 2, "category_id": 2, "segmentation": [ellipse(50, 27, 9, 11)]}
TABLE = {"id": 3, "category_id": 1, "segmentation": [box(10, 24, 60, 34)]}
PERSON = {"id": 4, "category_id": 3, "segmentation": [ellipse(78, 14, 8, 8), box(70, 21, 16, 38)]}
CROWD = {"id": 5, "category_id": 3, "iscrowd": 1, "segmentation": crowd(4, 6, 60, 24)}
UNWANTED = {"id": 6, "category_id": 9, "segmentation": [ellipse(14, 14, 11, 10)]}
SCENE = [CUP, OTHER_CUP, TABLE, PERSON]


@dataclasses.dataclass(frozen=True)
class Panel:
    """One drawing: its title, its settings, the annotations, and which mask is shown."""

    title: str
    settings: MaskSettings
    annotations: list[dict[str, Any]]
    output: str = "semantic"


def drawing(panel: Panel) -> Image.Image:
    """Return the panel's mask in colours, enlarged; void is hatched."""
    row = ImageRow(1, "1.jpg", "1.jpg", WIDTH, HEIGHT)
    texts = [json.dumps(annotation).encode() for annotation in panel.annotations]
    batch, refused = prepare(panel.settings, LABELS, (), [Task(row, texts, [], None)])
    if refused:
        return refusal()
    void = {"semantic": VOID, "instance": INSTANCE_VOID, "panoptic": -1}[panel.output]
    values = {
        "semantic": lambda: semantic_values(panel.settings, batch),
        "instance": lambda: instance_values(panel.settings, batch),
        "panoptic": lambda: panoptic_values(batch),
    }[panel.output]()
    picture = fill(batch, values, np.uint16)[0]
    if panel.settings.border:
        picture = void_border(picture, panel.settings.border, void)
    colors = np.array(LABELS.colors if panel.output == "semantic" else NUMBERS)
    large = picture.astype(int).repeat(SCALE, axis=0).repeat(SCALE, axis=1)
    shown = colors[np.where(large == void, 0, large)].astype(np.uint8)
    hatch = np.add.outer(np.arange(len(large)), np.arange(large.shape[1])) // 4 % 2 == 0
    shown[(large == void) & hatch] = 120
    shown[(large == void) & ~hatch] = 205
    return Image.fromarray(shown)


def refusal() -> Image.Image:
    """Return the panel of an image that was set aside."""
    picture = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), (244, 244, 241))
    draw = ImageDraw.Draw(picture)
    middle = (WIDTH * SCALE // 2, HEIGHT * SCALE // 2)
    draw.text((middle[0], middle[1] - 12), "no mask", INK, ImageFont.load_default(16), anchor="mm")
    draw.text((middle[0], middle[1] + 12), "a row in masks/refused.tsv", FAINT, ImageFont.load_default(13), anchor="mm")
    return picture


def write_row(path: Path, panels: list[Panel]) -> None:
    """Write the panels side by side under their titles, with few colours so that the file stays small."""
    gap, top = 14, 30
    width = gap + len(panels) * (WIDTH * SCALE + gap)
    sheet = Image.new("RGB", (width, top + HEIGHT * SCALE + gap), PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, panel in enumerate(panels):
        left = gap + number * (WIDTH * SCALE + gap)
        draw.text((left, 8), panel.title, INK, ImageFont.load_default(14))
        sheet.paste(drawing(panel), (left, top))
        draw.rectangle((left - 1, top - 1, left + WIDTH * SCALE, top + HEIGHT * SCALE), None, FRAME)
    sheet.quantize(32, dither=Image.Dither.NONE).save(path, "PNG", optimize=True)


def main(folder: Path) -> None:
    """Write every picture to `folder`."""
    order = MaskSettings(overlap="annotation-order")
    names = ("annotation-order", "smaller-on-top", "void", "refuse")
    write_row(folder / "masks_overlap.png", [Panel(name, MaskSettings(overlap=name), SCENE) for name in names])
    write_row(
        folder / "masks_overlap_instance.png",
        [Panel(f"instance, {name}", MaskSettings(overlap=name), SCENE, "instance") for name in names[:3]],
    )
    crowded = [PERSON, CROWD, CUP]
    write_row(
        folder / "masks_crowds.png", [Panel(name, MaskSettings(crowds=name), crowded) for name in ("void", "class")]
    )
    others = [UNWANTED, TABLE, CUP, PERSON]
    write_row(
        folder / "masks_unwanted.png",
        [Panel(name, MaskSettings(unwanted=name), others) for name in ("background", "void")],
    )
    write_row(folder / "masks_border.png", [Panel(f"border: {k}", MaskSettings(border=k), SCENE) for k in (0, 1, 3)])
    everything = [CUP, OTHER_CUP, TABLE, PERSON]
    write_row(
        folder / "masks_outputs.png",
        [Panel(name, msgspec.structs.replace(order, overlap="smaller-on-top"), everything, name)
         for name in ("semantic", "instance")],
    )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
