"""Whether a JPEG holds all of its image.

libjpeg fills up what is missing with grey and only warns, and Pillow keeps no warning.
"""

import re
from dataclasses import dataclass

import numpy as np
from PIL import Image

from cocomine.images.opening import holds_luma, opened, prepare_halving, to_luma

END, SCAN, RESTARTS = 0xD9, 0xDA, range(0xD0, 0xD8)
ALONE = {0x01, 0xD8, *RESTARTS}
"""Markers without a length: TEM, SOI and the restarts within a scan."""
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}

NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""What ends a scan: 0xFF stands for itself before a zero, and restarts belong to the scan."""

NOISE = bytes((151 * place + 37) % 255 for place in range(512))
PROBE = b"".join(NOISE + bytes((0xFF, restart)) for restart in (*RESTARTS, *RESTARTS))
"""Entropy-coded data of no meaning, with every restart marker: a decoder that waits for one takes what follows it."""

FLAT = 3
"""Range up to which the last unit may be a filling where luma is worked out of colours; else it is a constant."""

COEFFICIENTS = 64


@dataclass
class Structure:
    """What the markers of a JPEG say.

    `end` is the place of the end marker behind the last scan, None where there is none; `scans` counts the scans.
    `complete` tells whether a progressive file's scans bring every coefficient of every component to its last bit.
    `block` is the (width, height) of its last unit in pixels: 8 times the largest sampling factors.
    """

    end: int | None = None
    scans: int = 0
    complete: bool = True
    block: tuple[int, int] = (8, 8)


def structure(content: bytes) -> Structure:
    """Walk through the markers of a JPEG (ITU-T T.81, annex B); a file that is not laid out so has no end."""
    result = Structure()
    left: dict[int, list[int]] = {}
    progressive = False
    place = 2
    while True:
        found = NEXT_MARKER.search(content, place)
        if found is None:
            break
        marker, place = content[found.end() - 1], found.end()
        if marker == END:
            # Any number of 0xFF may stand before a marker (T.81, B.1.1.2).
            result.end = len(content[: found.start()].rstrip(b"\xff"))
            break
        if marker in ALONE:
            continue
        length = int.from_bytes(content[place : place + 2], "big")
        segment = content[place + 2 : place + length]
        if length < 2 or len(segment) < length - 2:
            break
        place += length
        if marker in FRAMES and len(segment) >= 6 + 3 * segment[5]:
            progressive = marker in PROGRESSIVE
            factors = [segment[7 + 3 * number] for number in range(segment[5])]
            result.block = 8 * max((f >> 4 for f in factors), default=1), 8 * max((f & 15 for f in factors), default=1)
            # 16 stands for a coefficient of which nothing has come: more than any bit that can be left.
            left = {segment[6 + 3 * number]: [16] * COEFFICIENTS for number in range(segment[5])}
        elif marker == SCAN and segment and len(segment) >= 4 + 2 * segment[0]:
            result.scans += 1
            first, last, bits = segment[1 + 2 * segment[0] :][:3]
            for number in range(segment[0]):
                coefficients = left.get(segment[1 + 2 * number], [])
                for which in range(first, min(last + 1, len(coefficients))):
                    coefficients[which] = bits & 15
    if progressive:
        result.complete = not any(bit for coefficients in left.values() for bit in coefficients)
    if not result.scans:
        result.end = None
    return result


def is_whole(content: bytes, luma: Image.Image, halved: bool, own: bool) -> bool:
    """Tell whether a JPEG that was decoded to `luma` (mode L), at half its size or in full, holds all of its image.

    `own` says that this luma is the component that the file holds, not worked out of colours. A scan that ends early is
    found by putting other data behind it: the decoder takes it for the rest of the image only if that was missing. This
    second decoding is needed only where the last unit is flat, as a filling is, and for files of several scans.
    """
    found = structure(content)
    if found.end is None or not found.complete:
        return False
    probed = content[: found.end] + PROBE + content[found.end :]
    if found.scans > 1:  # of which the last may bring what is seen in full alone
        return _luma(content, in_full=True) == _luma(probed, in_full=True)
    width, height = luma.size
    across, down = (side // 2 if halved else side for side in found.block)
    corner = luma.crop(((width - 1) // across * across, (height - 1) // down * down, width, height))
    return int(np.ptp(np.asarray(corner, np.int16))) > (0 if own else FLAT) or luma.tobytes() == _luma(probed)


def _luma(content: bytes, in_full: bool = False) -> bytes:
    with opened(content) as image:
        if in_full and holds_luma(image):
            image.draft("L", image.size)
        elif not in_full:
            prepare_halving(image)
        return to_luma(image).tobytes()
