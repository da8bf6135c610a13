"""Turning the values of any masks into labels 0, 1, 2, …, n: the paper's Algorithm 2 as one look-up an image.

The paper visits every image, row, column and known value. Here the values of a whole image are looked up in one table
at once, and a value that the mapping lacks is refused instead of being left as it is.
"""

import collections
import colorsys
import dataclasses
import functools
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cocomine.base.errors import CocomineError
from cocomine.base.files import write_json
from cocomine.base.folder import replaced_folder
from cocomine.base.pool import in_order
from cocomine.base.progress import Progress
from cocomine.coco.tasks import VOID
from cocomine.images.opening import FORMATS
from cocomine.masks import png
from cocomine.masks.inputs import MOST_CLASSES

Values = npt.NDArray[np.unsignedinteger]

MANIFEST = "mapping.json"
MODES = {"1": "grey", "L": "grey", "I;16": "grey", "I": "grey", "P": "palette", "RGB": "rgb"}
ENDINGS = (".png", ".bmp", ".tif", ".tiff", ".gif", ".pgm", ".ppm")
LOSSY = (".jpg", ".jpeg", ".webp")
VALUES_OF = {"grey": 1 << 16, "palette": 1 << 8, "rgb": 1 << 24}
MOST_FILES_NAMED = 5
FILES_IN_A_PIECE = 16
_COLOR = re.compile(r"#([0-9a-fA-F]{6})|\(?\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\)?")


@dataclasses.dataclass(frozen=True)
class Unmapped:
    """A file with a value that the mapping lacks: the value, its first place and how many pixels have such values."""

    file: str
    value: str
    x: int
    y: int
    pixels: int


@dataclasses.dataclass(frozen=True)
class Relabeller:
    """Rewrites mask files of one kind; what a working process is given once.

    `known` holds the values in ascending order, `labels` the label of each (uint8), both of one length.
    """

    in_dir: Path
    out_dir: Path
    kind: str
    known: npt.NDArray[np.int64]
    labels: npt.NDArray[np.uint8]
    palette: bytes
    source_palette: bytes = b""

    def __call__(self, names: Sequence[str]) -> list[Unmapped | dict[int, int]]:
        """Rewrite some files; return of each its pixels by label, or the first value that cannot be mapped."""
        return [self._rewritten(name) for name in names]

    def _rewritten(self, name: str) -> Unmapped | dict[int, int]:
        mask = read_mask(self.in_dir / name, self.kind)
        values = mask.values
        table, is_known = tables_of(self.kind, self.known.tobytes(), self.labels.tobytes())
        pixels: collections.Counter[int] = collections.Counter()
        if values.dtype == np.uint8:
            present = histogram(values)
            self._check_palette(name, max(present), mask.palette)
            known = all(is_known[value] for value in present)
            if known:
                image = looked_up(values, table)
                for value, count in present.items():
                    pixels[int(table[value])] += count
        else:
            known = bool(is_known[values].all())
            if known:
                image = looked_up(values, table)
                pixels.update(histogram(image))
        if not known:
            bad = ~is_known[values]
            y, x = divmod(int(bad.argmax()), values.shape[1])
            return Unmapped(name, value_text(int(values[y, x]), self.kind), x, y, int(np.count_nonzero(bad)))
        target = f"{self.out_dir}/{PurePosixPath(name).with_suffix('.png')}"
        with open(target, "wb", buffering=0) as file:
            file.write(png.indexed(image, max(pixels), self.palette))
        return dict(pixels)

    def _check_palette(self, name: str, largest: int, own: bytes) -> None:
        """Raise CocomineError when an index stands for no colour, or for another one than in the first file."""
        if self.kind != "palette":
            return
        if 3 * largest >= len(own):
            hint = "the file is damaged: make it again"
            raise CocomineError(f"{self.in_dir / name}: holds {largest}, its palette {len(own) // 3} colours", hint)
        shared = min(len(own), len(self.source_palette))
        if own[:shared] != self.source_palette[:shared]:
            index = next(i for i in range(shared) if own[i] != self.source_palette[i]) // 3
            hint = "convert these masks to RGB, and relabel them by colour"
            raise CocomineError(f"{self.in_dir / name}: its palette differs from the first file's at {index}", hint)


@functools.lru_cache(maxsize=1)
def tables_of(kind: str, known: bytes, labels: bytes) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Return, for every value that masks of this kind can hold, its label and whether it is known."""
    values = np.frombuffer(known, np.int64)
    table, is_known = np.zeros(VALUES_OF[kind], np.uint8), np.zeros(VALUES_OF[kind], bool)
    table[values], is_known[values] = np.frombuffer(labels, np.uint8), True
    return table, is_known


def histogram(values: npt.NDArray[np.uint8]) -> dict[int, int]:
    """Return the pixels of each value that occurs, by value."""
    return {value: count for value, count in enumerate(Image.fromarray(values).histogram()) if count}


def looked_up(values: Values, table: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the label of every pixel."""
    if values.dtype == np.uint8:
        # Twice as fast as indexing, which first turns each byte into a place of eight.
        return np.frombuffer(values.tobytes().translate(table[:256].tobytes()), np.uint8).reshape(values.shape)
    return table[values]


def kind_of(path: Path) -> str:
    """Return how the mask file holds its values: "grey", "palette" or "rgb"; raise CocomineError for any other form."""
    with _opened(path) as image:
        if image.mode not in MODES:
            hint = "save it as grey values, with a palette, or as RGB without transparency"
            raise CocomineError(f"{path}: a mask of mode {image.mode} has no plain values", hint)
        return MODES[image.mode]


@dataclasses.dataclass(frozen=True)
class Mask:
    """A mask's values, h × w, and the RGB triples of its palette, if it has one."""

    values: Values
    palette: bytes


def read_mask(path: Path, kind: str) -> Mask:
    """Read a mask: grey values as the file holds them, palette indices, or R + 256 G + 65536 B.

    Raises CocomineError when it cannot be read, or holds values of another kind.
    """
    with _opened(path) as image:
        if MODES.get(image.mode) != kind:
            hint = "relabel masks of different forms in folders of their own"
            raise CocomineError(f"{path}: has mode {image.mode}, but the first file holds {kind} values", hint)
        try:
            if kind == "rgb":
                # Pillow holds RGB as four bytes; taking them as one number is quicker than adding up three.
                packed: Values = np.frombuffer(image.tobytes("raw", "RGBX"), "<u4") & np.uint32(0xFFFFFF)
                return Mask(packed.reshape(image.height, image.width), b"")
            # Pillow stretches grey values of few bits over 0..255, as if they were shades; asked of it before it loads.
            steps = {"L;2": 85, "L;4": 17}.get(raw_mode(image), 1)
            values = (np.asarray(image) != 0).view(np.uint8) if image.mode == "1" else np.asarray(image)
            palette = bytes(image.getpalette("RGB") or []) if kind == "palette" else b""
        except (OSError, ValueError, SyntaxError) as error:
            raise CocomineError(f"{path}: cannot be read: {error}", "replace the file") from error
    if values.dtype == np.uint8:
        return Mask(values // np.uint8(steps) if steps > 1 else values, palette)
    if values.dtype.kind not in "ui" or (values.size and (values.min() < 0 or values.max() >= VALUES_OF[kind])):
        hint = "masks hold whole numbers from 0 to 65535"
        raise CocomineError(f"{path}: values from {values.min()} to {values.max()} are no mask's", hint)
    return Mask(values.astype(np.uint16, copy=False), palette)


def raw_mode(image: Image.Image) -> str:
    """Return how the pixels of an image that is not loaded yet lie in its file, as Pillow names it; "" if unknown."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments or "")


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path, formats=FORMATS)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise CocomineError(f"{path}: cannot be read as an image: {error}", "replace or remove the file") from error


def source_palette(path: Path) -> bytes:
    """Return the RGB triples of a mask's palette."""
    with _opened(path) as image:
        return bytes(image.getpalette("RGB") or [])


def value_text(value: int, kind: str) -> str:
    """Return a value as mappings write it: a number, or #rrggbb for a colour."""
    return f"#{value & 255:02x}{value >> 8 & 255:02x}{value >> 16:02x}" if kind == "rgb" else str(value)


def value_number(text: str, kind: str) -> int:
    """Return the number that stands for a mapping's key: a number, #rrggbb, or "r, g, b" where masks are RGB."""
    color = _COLOR.fullmatch(text.strip())
    if kind == "rgb" and color:
        code = color[1]
        parts = [int(code[i : i + 2], 16) for i in (0, 2, 4)] if code else [int(color[i]) for i in (2, 3, 4)]
        if max(parts) <= 255:
            return parts[0] + (parts[1] << 8) + (parts[2] << 16)
    elif kind != "rgb" and text.strip().isdecimal() and int(text) < VALUES_OF[kind]:
        return int(text)
    wanted = "a colour such as #ff8000" if kind == "rgb" else f"a whole number below {VALUES_OF[kind]}"
    raise CocomineError(f"mapping: {text!r} is no value of {kind} masks", f"write {wanted}")


def read_mapping(content: Mapping[str, Any], kind: str) -> dict[int, int]:
    """Return label by value from a mapping, flat or as `relabel_folder` writes it; "void" as a label is 255.

    Raises CocomineError for a key that is no value, a label that is none, or labels that do not run from 0 on.
    """
    flat = content.get("mapping", content)
    if not isinstance(flat, Mapping) or not flat:
        raise CocomineError("mapping: empty, or no mapping of values to labels", 'write {"0": 0, "128": 1, …}')
    result: dict[int, int] = {}
    for key, label in flat.items():
        number = VOID if label == "void" else label
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= VOID:
            hint = f"labels are whole numbers from 0 to {MOST_CLASSES}, or void"
            raise CocomineError(f"mapping: {key!r} has the label {label!r}", hint)
        value = value_number(str(key), kind)
        if result.setdefault(value, number) != number:
            raise CocomineError(f"mapping: {key!r} is there twice, with two labels", "keep one of them")
    used = sorted(set(result.values()) - {VOID})
    if used != list(range(len(used))):
        raise CocomineError(f"mapping: its labels {used[:8]} do not run 0, 1, 2, …", "leave no label out")
    return result


def distinct_values(path: Path, kind: str) -> list[int]:
    """Return the values that occur in a mask file, ascending (colours as numbers)."""
    values = read_mask(path, kind).values
    if values.dtype == np.uint8:
        return sorted(histogram(values))
    flat = values.ravel()
    # Areas are runs of one value: what begins a run is all there is, and much less to sort.
    begins = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    return [int(value) for value in np.unique(np.append(flat[begins], flat[:1]))]


def relabel_folder(
    in_dir: Path, out_dir: Path, mapping: Mapping[str, Any] | None = None, threads: int = 1
) -> dict[str, Any]:
    """Rewrite every mask below `in_dir` to `out_dir` with labels, under its own name as an indexed PNG.

    Without a `mapping` the values that occur become 0, 1, 2, … in ascending order (colours by red, green, blue).
    Returns what is written to mapping.json: the mapping, the files and the pixels of each label. Nothing is written
    when a file cannot be read or holds a value that the mapping lacks; the CocomineError names up to five such files,
    the value and its place.
    """
    in_dir, out_dir = Path(in_dir), Path(out_dir)
    names = mask_files(in_dir)
    if out_dir.resolve() == in_dir.resolve() or in_dir.resolve() in out_dir.resolve().parents:
        raise CocomineError(f"{out_dir}: would be written over the masks it is made from", "name a folder elsewhere")
    kind = kind_of(in_dir / names[0])
    known = _found_values(in_dir, names, kind, threads) if mapping is None else read_mapping(mapping, kind)
    values = sorted(known)
    colors = source_palette(in_dir / names[0]) if kind == "palette" else b""
    palette = _palette(known, kind, colors)
    pixels: collections.Counter[int] = collections.Counter()
    bad: list[Unmapped] = []
    with replaced_folder(out_dir, MANIFEST) as folder:
        table = np.array([known[value] for value in values], np.uint8)
        relabel = Relabeller(in_dir, folder, kind, np.array(values, np.int64), table, palette, colors)
        with Progress("relabel_masks", len(names), "mask") as progress:
            for parent in sorted({PurePosixPath(name).parent for name in names}):
                (folder / parent).mkdir(parents=True, exist_ok=True)
            for outcomes in in_order(relabel, _in_pieces(names), threads):
                for outcome in outcomes:
                    if isinstance(outcome, Unmapped):
                        bad.append(outcome)
                    else:
                        pixels.update(outcome)
                progress.advance(len(outcomes))
        if bad:
            raise _unmapped(bad, len(names))
        summary = {
            "kind": kind,
            "mapping": {value_text(value, kind): known[value] for value in values},
            "files": len(names),
            "pixels": {str(label): pixels[label] for label in sorted(pixels)},
        }
        write_json(folder / MANIFEST, summary)
    return summary


def mask_files(in_dir: Path) -> list[str]:
    """Return the masks below `in_dir`, as sorted relative paths with forward slashes."""
    if not in_dir.is_dir():
        raise CocomineError(f"{in_dir}: no such folder", "name the folder that holds the masks")
    files = sorted(path.relative_to(in_dir).as_posix() for path in in_dir.rglob("*") if path.is_file())
    lossy = [name for name in files if name.lower().endswith(LOSSY)]
    if lossy:
        hint = "masks must be saved without loss, as PNG: a lossy format invents values along every edge"
        raise CocomineError(f"{in_dir / lossy[0]}: is stored with loss ({len(lossy)} such files)", hint)
    names = [name for name in files if name.lower().endswith(ENDINGS)]
    if not names:
        raise CocomineError(f"{in_dir}: holds no masks", f"masks are files ending in {', '.join(ENDINGS)}")
    targets: dict[str, str] = {}
    for name in names:
        other = targets.setdefault(str(Path(name).with_suffix("")), name)
        if other != name:
            raise CocomineError(f"{in_dir}: {other} and {name} would become one PNG", "rename one of them")
    return names


def _found_values(in_dir: Path, names: Sequence[str], kind: str, threads: int) -> dict[int, int]:
    """Return labels for all values that occur, in ascending order."""
    found: dict[int, str] = {}
    with Progress("relabel_masks: values", len(names), "mask") as progress:
        each = itertools.chain.from_iterable(in_order(_ValuesOf(in_dir, kind), _in_pieces(names), threads))
        for name, values in zip(names, each, strict=True):
            for value in values:
                found.setdefault(value, name)
            if len(found) > MOST_CLASSES + 1:
                raise CocomineError(
                    f"{in_dir / name}: with this file the masks hold {len(found)} values; 8 bits hold background and "
                    f"{MOST_CLASSES} classes",
                    "check that these are masks and no other images, or give a --mapping that joins values",
                )
            progress.advance()
    order = sorted(found, key=lambda value: value_text(value, kind) if kind == "rgb" else value)
    return {value: label for label, value in enumerate(order)}


@dataclasses.dataclass(frozen=True)
class _ValuesOf:
    in_dir: Path
    kind: str

    def __call__(self, names: Sequence[str]) -> list[list[int]]:
        return [distinct_values(self.in_dir / name, self.kind) for name in names]


def _in_pieces(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + FILES_IN_A_PIECE] for start in range(0, len(names), FILES_IN_A_PIECE))


def _palette(known: Mapping[int, int], kind: str, own: bytes) -> bytes:
    """Return RGB triples by label: the masks' own colours, or evenly spread hues for grey values."""
    count = max(known.values()) + 1
    hues = (colorsys.hsv_to_rgb(label * 0.618034 % 1, 0.75, 0.95) for label in range(count))
    colors = [(0, 0, 0), *(tuple(round(255 * part) for part in hue) for hue in hues)][:count]
    for value, label in sorted(known.items(), reverse=True):
        if kind == "rgb":
            colors[label] = (value & 255, value >> 8 & 255, value >> 16)
        elif kind == "palette" and len(own) >= 3 * value + 3:
            colors[label] = (own[3 * value], own[3 * value + 1], own[3 * value + 2])
    return bytes(channel for color in colors for channel in color)


def _unmapped(bad: Sequence[Unmapped], files: int) -> CocomineError:
    lines = [
        f"{item.file}: {item.value} at column {item.x}, row {item.y} ({item.pixels} pixels have such values)"
        for item in bad[:MOST_FILES_NAMED]
    ]
    more = [f"… and {len(bad) - MOST_FILES_NAMED} more files"] if len(bad) > MOST_FILES_NAMED else []
    return CocomineError(
        "\n  ".join([f"{len(bad)} of {files} masks hold values that the mapping lacks:", *lines, *more]),
        "add these values to the mapping, or leave out --mapping to number all values that occur; nothing was written",
    )
