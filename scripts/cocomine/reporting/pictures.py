"""The pictures of a report: which images, how small, and their masks as see-through layers."""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from cocomine.base.commands import commands, sync_images_again
from cocomine.base.errors import CocomineError
from cocomine.base.files import rank
from cocomine.images.opening import ImageError, opened, read_file, read_locked, rgb_of

THUMBNAIL = 320
"""Longest side of a thumbnail in pixels."""

OVERLAY_OPACITY, VOID_OPACITY = 150, 170


def choose(images: Sequence[int], classes_of: Mapping[int, set[int]], wanted: int, salt: str) -> list[int]:
    """Return at most `wanted` image ids: the first of the hash ranking, but each class in turn gets a picture.

    `classes_of` maps image ids to the labels in their masks. The choice depends on ids, labels and salt alone. Images
    are taken round by round, the rarest class first, each class giving its next-ranked image; then any that are left.
    """
    ranked = sorted(images, key=lambda image: (rank(salt, image), image))
    holders: dict[int, list[int]] = {}
    for image in ranked:
        for label in classes_of.get(image, ()):
            holders.setdefault(label, []).append(image)
    chosen: list[int] = []
    queues = [
        list(reversed(holders[label])) for label in sorted(holders, key=lambda label: (len(holders[label]), label))
    ]
    while len(chosen) < wanted and any(queues):
        for queue in queues:
            while queue and queue[-1] in chosen:
                queue.pop()
            if queue and len(chosen) < wanted:
                chosen.append(queue.pop())
    chosen += [image for image in ranked if image not in chosen][: wanted - len(chosen)]
    return chosen


def thumbnail(store_dir: Path, name: str, stated: tuple[int, int], sha256: str) -> tuple[str, tuple[int, int]]:
    """Return an image as a JPEG data URI, and its size (width, height) in pixels, at most THUMBNAIL.

    `stated` is the width and height of its record, and of its mask, `sha256` that of its lock (empty: it has none).
    Raises CocomineError when the image is missing, broken or not as locked.
    """
    try:
        picture = rgb_of(read_locked(store_dir, name, sha256), stated)
    except ImageError as error:
        raise CocomineError(f"{store_dir / name}: {error}", f"fetch it again with: {sync_images_again()}") from error
    picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return data_uri(_encoded(picture, "JPEG", quality=78, optimize=True), "image/jpeg"), picture.size


def overlay(mask_path: Path, size: tuple[int, int], colours: Sequence[Sequence[int]], void: int) -> str:
    """Return a label mask as a PNG data URI of the given size: classes half see-through, void grey, background clear.

    `colours` are [r, g, b] by label. Raises CocomineError when the mask is missing.
    """
    try:
        with opened(read_file(mask_path)) as stored:
            labels = np.asarray(stored)
    except ImageError as error:
        raise CocomineError(
            f"{mask_path}: {error}", f"draw it again with: {commands().again('rasterize_masks')}"
        ) from error
    layer = Image.fromarray(labels).resize(size, Image.Resampling.NEAREST)
    if void > 255:  # more classes than a palette has colours
        table = np.zeros((void + 1, 4), np.uint8)
        table[1 : len(colours), :3], table[1 : len(colours), 3] = colours[1:], OVERLAY_OPACITY
        table[void] = 120, 120, 120, VOID_OPACITY
        return data_uri(_encoded(Image.fromarray(table[np.asarray(layer)]), "PNG", optimize=True), "image/png")
    palette, alpha = bytearray(768), bytearray(256)
    for label, colour in enumerate(colours):
        palette[3 * label : 3 * label + 3] = bytes(int(part) for part in colour)
        alpha[label] = OVERLAY_OPACITY if label else 0
    palette[3 * void : 3 * void + 3] = bytes((120, 120, 120))
    alpha[void] = VOID_OPACITY
    layer.putpalette(bytes(palette))
    return data_uri(_encoded(layer, "PNG", optimize=True, transparency=bytes(alpha)), "image/png")


def embedded(path: Path, longest: int | None = None) -> tuple[str, tuple[int, int]]:
    """Return a picture that another stage made as a data URI with its size, made smaller when `longest` says so."""
    with Image.open(path) as stored:
        picture = stored.convert("RGB")
    if longest is not None:
        picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return data_uri(_encoded(picture, "JPEG", quality=80, optimize=True), "image/jpeg"), picture.size


def data_uri(content: bytes, kind: str) -> str:
    """Return bytes as a data URI of the given media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()
