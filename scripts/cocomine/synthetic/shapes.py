"""What the demo source's objects look like: silhouettes, the details inside them, and a person's keypoints.

Everything is drawn in an object's own frame: x to the right, y down, the ground (or the middle, for things that lie or
float) at y = 0, and a height of about 1. A class is told by its shape and texture together with a leaning towards some
colours; no colour belongs to one class alone, and unlabelled things (bushes, boxes, rocks, lamps) share them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Colour = tuple[float, float, float]
Random = np.random.Generator


@dataclass(frozen=True)
class Detail:
    """A filled polygon inside a silhouette; colours are 0..255 per channel."""

    points: Points
    colour: Colour


@dataclass
class Shape:
    """One drawn object in its own frame.

    `outline` are polygons whose union is the silhouette; each carries the colour of its part, and `details` are
    painted over them in order, clipped by the silhouette. `grain` is the strength of its surface noise (0 smooth), and
    `keypoints` (17 x 2) are those of COCO for a person.
    """

    outline: list[Detail] = field(default_factory=list)
    details: list[Detail] = field(default_factory=list)
    grain: float = 0.06
    keypoints: Points | None = None

    def part(self, points: Points, colour: Colour) -> None:
        """Add a part of the silhouette."""
        self.outline.append(Detail(points, colour))

    def mark(self, points: Points, colour: Colour) -> None:
        """Add a detail inside the silhouette."""
        self.details.append(Detail(points, colour))


def ellipse(x: float, y: float, radius_x: float, radius_y: float, points: int = 28, turn: float = 0.0) -> Points:
    """Return an ellipse around (x, y), turned by `turn` radians."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    across, down = radius_x * np.cos(angle), radius_y * np.sin(angle)
    cos, sin = np.cos(turn), np.sin(turn)
    return np.stack([x + across * cos - down * sin, y + across * sin + down * cos], axis=1)


def limb(
    start: tuple[float, float], end: tuple[float, float], wide: float, narrow: float | None = None, points: int = 8
) -> Points:
    """Return a rounded bar from `start` to `end`, `wide` across at its start and `narrow` at its end."""
    narrow = wide if narrow is None else narrow
    direction = np.arctan2(end[1] - start[1], end[0] - start[0])
    back = np.linspace(direction + np.pi / 2, direction + 3 * np.pi / 2, points)
    front = np.linspace(direction - np.pi / 2, direction + np.pi / 2, points)
    return np.concatenate(
        [
            np.stack([start[0] + wide / 2 * np.cos(back), start[1] + wide / 2 * np.sin(back)], axis=1),
            np.stack([end[0] + narrow / 2 * np.cos(front), end[1] + narrow / 2 * np.sin(front)], axis=1),
        ]
    )


def box(left: float, top: float, right: float, bottom: float, corner: float = 0.0) -> Points:
    """Return a rectangle, its corners rounded by `corner`."""
    if corner <= 0:
        return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=float)
    turns = np.linspace(0, np.pi / 2, 5)
    centres = [(right - corner, bottom - corner), (left + corner, bottom - corner)]
    centres += [(left + corner, top + corner), (right - corner, top + corner)]
    return np.concatenate(
        [
            np.stack([x + corner * np.cos(turns + k * np.pi / 2), y + corner * np.sin(turns + k * np.pi / 2)], axis=1)
            for k, (x, y) in enumerate(centres)
        ]
    )


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Return the colour that lies `share` (0..1) of the way from `one` to `other`."""
    return (
        one[0] + (other[0] - one[0]) * share,
        one[1] + (other[1] - one[1]) * share,
        one[2] + (other[2] - one[2]) * share,
    )


def vary(random: Random, colour: Colour, spread: float = 14.0) -> Colour:
    """Return `colour` with each channel and the brightness jittered."""
    bright = random.normal(0, spread)
    red, green, blue = (float(np.clip(c + bright + random.normal(0, spread / 2), 4, 250)) for c in colour)
    return red, green, blue


def any_colour(random: Random) -> Colour:
    """Return a paint or cloth colour: any hue, from dull to vivid, from dark to light."""
    hue, vivid, light = random.uniform(0, 6), random.uniform(0.1, 0.9), random.uniform(60, 235)
    ramp = np.clip(np.abs((hue + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)
    red, green, blue = (float(light * (1 - vivid * (1 - part))) for part in ramp)
    return red, green, blue


def pick(random: Random, colours: list[Colour], spread: float = 14.0) -> Colour:
    """Return one of `colours`, jittered."""
    return vary(random, colours[int(random.integers(len(colours)))], spread)


WHITE: Colour = (235, 235, 230)
DARK: Colour = (35, 35, 40)
GLASS: list[Colour] = [(70, 90, 110), (40, 50, 60), (150, 175, 190)]
SKIN: list[Colour] = [(241, 204, 177), (224, 172, 125), (198, 134, 90), (141, 85, 54), (92, 58, 40)]
HAIR: list[Colour] = [(30, 24, 22), (70, 45, 30), (150, 110, 60), (190, 190, 190), (120, 60, 35)]


SHOULDER_Y = -0.80


def person(random: Random) -> Shape:
    """Draw a standing or walking person, height 1, seen from the front, the back or the side."""
    shape = Shape(grain=0.05)
    skin, hair, shirt = pick(random, SKIN), pick(random, HAIR), any_colour(random)
    trousers = (
        any_colour(random) if random.random() < 0.5 else pick(random, [(40, 50, 90), (60, 60, 60), (120, 100, 70)])
    )
    wide = random.uniform(0.085, 0.12)
    hip_y, shoulder_y = -0.5, SHOULDER_Y
    lean = random.uniform(-0.03, 0.03)
    shoulder = [(lean + side * wide, shoulder_y) for side in (1, -1)]  # the person's left is the viewer's right
    hip = [(side * wide * 0.62, hip_y) for side in (1, -1)]
    knees, ankles, elbows, wrists = [], [], [], []
    for k, side in enumerate((1, -1)):
        swing = random.uniform(-0.35, 0.35) + 0.06 * side
        knee = (hip[k][0] + 0.24 * np.sin(swing), hip_y + 0.24 * np.cos(swing))
        bend = swing - random.uniform(-0.1, 0.3)
        ankles.append((knee[0] + 0.23 * np.sin(bend), knee[1] + 0.23 * np.cos(bend)))
        knees.append(knee)
        lift = side * random.uniform(0.08, 0.6) if random.random() < 0.75 else side * random.uniform(1.2, 2.6)
        elbow = (shoulder[k][0] + 0.16 * np.sin(lift), shoulder_y + 0.16 * np.cos(lift))
        fold = lift + side * random.uniform(-0.5, 0.9)
        wrists.append((elbow[0] + 0.15 * np.sin(fold), elbow[1] + 0.15 * np.cos(fold)))
        elbows.append(elbow)
    bare_arms, bare_legs = random.random() < 0.5, random.random() < 0.3
    shoe = pick(random, [DARK, WHITE, (120, 50, 40)])
    for k in (0, 1):
        shape.part(limb(hip[k], knees[k], 0.115, 0.085), trousers)
        shape.part(limb(knees[k], ankles[k], 0.085, 0.055), skin if bare_legs else trousers)
        toe = (ankles[k][0] + (0.05 if k == 0 else -0.05), ankles[k][1] + 0.012)
        shape.part(limb(ankles[k], toe, 0.055, 0.045), shoe)
    torso = np.array(
        [
            [shoulder[1][0] - 0.03, shoulder_y + 0.01],
            [lean - 0.04, shoulder_y - 0.04],
            [lean + 0.04, shoulder_y - 0.04],
            [shoulder[0][0] + 0.03, shoulder_y + 0.01],
            [hip[0][0] + 0.055, hip_y + 0.03],
            [hip[1][0] - 0.055, hip_y + 0.03],
        ]
    )
    shape.part(torso, shirt)
    if random.random() < 0.35:  # a skirt or a coat
        flare = random.uniform(0.05, 0.12)
        skirt = [[hip[0][0] + 0.05, hip_y - 0.03], [hip[0][0] + flare + 0.04, hip_y + 0.2]]
        skirt += [[hip[1][0] - flare - 0.04, hip_y + 0.2], [hip[1][0] - 0.05, hip_y - 0.03]]
        shape.part(np.array(skirt), shirt if random.random() < 0.5 else trousers)
    for k in (0, 1):
        shape.part(limb(shoulder[k], elbows[k], 0.075, 0.06), shirt)
        shape.part(limb(elbows[k], wrists[k], 0.058, 0.045), skin if bare_arms else mix(shirt, DARK, 0.1))
        shape.part(ellipse(wrists[k][0], wrists[k][1], 0.026, 0.026, 12), skin)
    joints = _head(shape, random, lean, skin, hair)
    for pair in (shoulder, elbows, wrists, hip, knees, ankles):
        joints += pair
    shape.keypoints = np.array(joints, dtype=float)
    return shape


def _head(shape: Shape, random: Random, lean: float, skin: Colour, hair: Colour) -> list[tuple[float, float]]:
    """Draw the head, and now and then a stripe across the shirt; return where nose, eyes and ears are."""
    head_x, head_y = lean * 1.6, -0.925
    shape.part(limb((lean, SHOULDER_Y), (head_x, head_y), 0.06), skin)
    shape.part(ellipse(head_x, head_y, 0.062, 0.078), skin)
    facing = random.random() < 0.7
    shape.mark(
        np.concatenate([ellipse(head_x, head_y - 0.005, 0.075, 0.09)[14:28], [[head_x + 0.06, head_y - 0.035]]])
        if facing
        else ellipse(head_x, head_y - 0.012, 0.07, 0.075),
        hair,
    )
    if random.random() < 0.3:
        shape.mark(box(lean - 0.15, -0.70, lean + 0.15, -0.62), any_colour(random))
    eyes = [(head_x + side * 0.024, head_y + 0.002) for side in (1, -1)]
    if facing:
        for eye in eyes:
            shape.mark(ellipse(eye[0], eye[1], 0.008, 0.01, 8), DARK)
        shape.mark(ellipse(head_x, head_y + 0.042, 0.02, 0.006, 8), (150, 70, 65))
    ears = [(head_x + side * 0.058, head_y + 0.004) for side in (1, -1)]
    nose = (head_x, head_y + 0.02)
    return [nose, *eyes, *ears]


def _wheel(shape: Shape, x: float, radius: float, hub: Colour) -> None:
    shape.part(ellipse(x, -radius, radius, radius), DARK)
    shape.mark(ellipse(x, -radius, radius, radius), (28, 28, 30))
    shape.mark(ellipse(x, -radius, radius * 0.55, radius * 0.55, 16), hub)


def car(random: Random) -> Shape:
    """Draw a car from its side, height 1 and about 2.6 long: saloon, hatchback or estate."""
    shape = Shape(grain=0.03)
    paint, glass = any_colour(random), pick(random, GLASS)
    half, belt, sill = random.uniform(1.15, 1.45), random.uniform(-0.62, -0.54), -0.16
    back, front = random.uniform(0.35, 0.98) * half, random.uniform(0.25, 0.5) * half
    roof_back, roof_front = back - random.uniform(0.1, 0.35), front - random.uniform(0.25, 0.45)
    body = [[-half, sill], [-half, belt + 0.08], [-half + 0.06, belt], [-back, belt], [-roof_back, -1.0]]
    body += [[roof_front, -1.0], [front + 0.1, belt], [half - 0.12, belt + 0.09], [half, belt + 0.2], [half, sill]]
    shape.part(np.array(body), paint)
    for pane in (
        [[-back + 0.09, belt], [-roof_back + 0.05, -0.93], [-0.16, -0.93], [-0.16, belt]],
        [[-0.08, belt], [-0.08, -0.93], [roof_front - 0.03, -0.93], [front, belt]],
    ):
        shape.mark(np.array(pane), glass)
    shape.mark(box(-half, sill - 0.05, half, sill + 0.02), mix(paint, DARK, 0.55))
    shape.mark(box(-half, belt + 0.05, half, belt + 0.075), mix(paint, WHITE, 0.35))
    shape.mark(box(-0.13, belt, -0.115, sill), mix(paint, DARK, 0.5))
    shape.mark(ellipse(half - 0.04, belt + 0.27, 0.09, 0.055, 12), (250, 240, 190))
    shape.mark(box(-half, belt + 0.14, -half + 0.09, belt + 0.26), (190, 35, 35))
    hub = pick(random, [(170, 170, 175), (90, 90, 95)])
    for x in (-half * 0.60, half * 0.60):
        _wheel(shape, x, 0.22, hub)
    return shape


def bus(random: Random) -> Shape:
    """Draw a bus from its side, height 1 and about 2.2 long, with one or two decks."""
    shape = Shape(grain=0.03)
    paint, glass, trim = any_colour(random), pick(random, GLASS), any_colour(random)
    decks = 2 if random.random() < 0.3 else 1
    half = random.uniform(0.72, 0.95) if decks == 2 else random.uniform(0.95, 1.35)
    shape.part(box(-half, -1.0, half, -0.07, random.uniform(0.03, 0.1)), paint)
    stripe = random.uniform(-0.5, -0.3)
    shape.mark(box(-half, stripe, half, stripe + random.uniform(0.05, 0.16)), trim)
    shape.mark(box(-half, -1.0, half, -0.955), mix(paint, WHITE, 0.5))
    rows = [(-0.92, -0.68), (-0.5, -0.28)] if decks == 2 else [(-0.88, -0.52)]
    panes = int(random.integers(5, 8))
    for top, bottom in rows:
        edges = np.linspace(-half + 0.05, half - 0.05, panes + 1)
        for left, right in pairwise(edges):
            shape.mark(box(float(left) + 0.02, top, float(right) - 0.02, bottom, 0.02), vary(random, glass, 8))
    door = random.uniform(0.55, 0.75) * half
    shape.mark(box(door - 0.09, rows[-1][0], door + 0.09, -0.11), mix(glass, DARK, 0.3))
    shape.mark(box(door - 0.008, rows[-1][0], door + 0.008, -0.11), trim)
    shape.mark(ellipse(half - 0.05, -0.2, 0.035, 0.035, 12), (250, 240, 190))
    shape.mark(box(-half, -0.28, -half + 0.04, -0.18), (190, 35, 35))
    for x in (-half * 0.58, half * 0.52):
        _wheel(shape, x, 0.125, (140, 140, 145))
    return shape


def _four_legs(
    shape: Shape, random: Random, coat: Colour, at: tuple[float, float], top: float, width: float, foot: Colour
) -> None:
    for k, x in enumerate((at[0], at[0] + 0.06, at[1], at[1] + 0.06)):
        swing = random.uniform(-0.07, 0.07)
        shade = mix(coat, DARK, 0.22 if k % 2 else 0.0)
        knee = (x + swing * 0.4, top * 0.5)
        shape.part(limb((x, top), knee, width * 1.5, width), shade)
        shape.part(limb(knee, (x + swing, -width / 2), width, width * 0.8), mix(shade, foot, 0.5))


def dog(random: Random) -> Shape:
    """Draw a standing dog from its side, height about 1, plain or patched."""
    shape = Shape(grain=0.13)
    coats: list[Colour] = [
        (150, 100, 55),
        (60, 42, 32),
        (210, 180, 135),
        (225, 220, 212),
        (45, 45, 48),
        (130, 125, 120),
    ]
    coat, ear = pick(random, coats), pick(random, coats)
    long, thick = random.uniform(0.42, 0.58), random.uniform(0.26, 0.36)
    back = random.uniform(-0.62, -0.5)
    lift = random.uniform(0.1, 0.9)
    tail = (-long - 0.28 * np.cos(lift), back - 0.28 * np.sin(lift))
    shape.part(limb((-long, back), tail, 0.09, 0.05), mix(coat, ear, 0.3))
    _four_legs(shape, random, coat, (-long + 0.02, long - 0.1), back + 0.1, random.uniform(0.085, 0.12), ear)
    shape.part(limb((-long, back + 0.03), (long, back), thick * 0.86, thick), coat)
    head = (long + random.uniform(0.16, 0.24), back - random.uniform(0.16, 0.3))
    shape.part(limb((long - 0.02, back - 0.02), head, thick * 0.75, 0.2), coat)
    shape.part(ellipse(head[0], head[1], 0.15, 0.14), coat)
    snout = (head[0] + random.uniform(0.17, 0.25), head[1] + 0.05)
    shape.part(limb(head, snout, 0.17, 0.09), mix(coat, WHITE, random.uniform(0, 0.4)))
    shape.mark(ellipse(snout[0] + 0.03, snout[1] - 0.02, 0.035, 0.03, 10), (20, 18, 18))
    shape.mark(ellipse(head[0] + 0.05, head[1] - 0.035, 0.022, 0.022, 10), (20, 18, 18))
    if random.random() < 0.55:
        shape.part(limb((head[0] - 0.07, head[1] - 0.08), (head[0] - 0.1, head[1] + 0.12), 0.08, 0.1), ear)
    else:
        shape.part(
            np.array([[head[0] - 0.14, head[1] - 0.05], [head[0] - 0.08, head[1] - 0.27], [head[0], head[1] - 0.1]]),
            ear,
        )
    if random.random() < 0.5:
        for _ in range(int(random.integers(2, 5))):
            x, y = random.uniform(-long, long), random.uniform(back - 0.1, back + 0.15)
            shape.mark(ellipse(x, y, random.uniform(0.08, 0.18), random.uniform(0.06, 0.13), 14), ear)
    if random.random() < 0.5:
        shape.mark(limb((head[0] - 0.16, head[1] + 0.02), (head[0] - 0.06, head[1] + 0.17), 0.045), any_colour(random))
    return shape


def giraffe(random: Random) -> Shape:
    """Draw a giraffe from its side, height about 1: a long neck, a sloping back and a net of dark patches."""
    shape = Shape(grain=0.06)
    ground: Colour = pick(random, [(232, 202, 145), (222, 184, 120), (240, 222, 180), (200, 165, 110)])
    patch = pick(random, [(150, 90, 40), (115, 70, 35), (90, 55, 35), (165, 105, 55)])
    back, chest = random.uniform(-0.47, -0.43), random.uniform(-0.56, -0.5)
    long = random.uniform(0.19, 0.25)
    _four_legs(shape, random, ground, (-long + 0.0, long - 0.05), -0.36, random.uniform(0.038, 0.05), (225, 205, 170))
    tail = (-long - 0.09, -0.25)
    shape.part(limb((-long - 0.02, back), tail, 0.03, 0.02), ground)
    shape.part(ellipse(tail[0], tail[1] + 0.02, 0.018, 0.035, 10), DARK)
    shape.part(limb((-long, back + 0.03), (long, chest + 0.07), 0.19, 0.23), ground)
    tilt = random.uniform(-0.05, 0.75) if random.random() < 0.85 else random.uniform(0.9, 1.5)
    neck = random.uniform(0.42, 0.5)
    base = (long + 0.02, chest + 0.02)
    top = (base[0] + neck * np.sin(tilt), base[1] - neck * np.cos(tilt))
    shape.part(limb(base, top, 0.155, 0.075), ground)
    nod = random.uniform(0.2, 0.7)
    muzzle = (top[0] + 0.12 * np.cos(nod), top[1] + 0.12 * np.sin(nod))
    shape.part(limb((top[0] - 0.01, top[1]), muzzle, 0.085, 0.055), ground)
    for k in (-0.018, 0.018):
        horn = (top[0] + k - 0.01, top[1] - 0.085)
        shape.part(limb((top[0] + k, top[1] - 0.02), horn, 0.018, 0.024), mix(ground, DARK, 0.4))
    shape.part(limb((top[0] - 0.02, top[1] - 0.02), (top[0] - 0.085, top[1] - 0.035), 0.035, 0.015), ground)
    step = random.uniform(0.062, 0.085)
    for row, y in enumerate(np.arange(-1.15, -0.2, step)):
        for x in np.arange(-0.4, 0.85, step):
            angle = np.sort(random.uniform(0, 2 * np.pi, 6))
            radius = step * random.uniform(0.38, 0.56, 6)
            centre = x + (step / 2 if row % 2 else 0) + random.normal(0, 0.006), y + random.normal(0, 0.006)
            shape.mark(
                np.stack([centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)], axis=1),
                vary(random, patch, 7),
            )
    shape.mark(limb((top[0] + 0.05, top[1] + 0.03), muzzle, 0.06, 0.07), mix(ground, (200, 190, 170), 0.5))
    shape.mark(ellipse(top[0] + 0.02, top[1] - 0.005, 0.011, 0.011, 8), (20, 18, 18))
    return shape


def umbrella(random: Random) -> Shape:
    """Draw an open umbrella, height about 1, its shaft's end at the origin."""
    shape = Shape(grain=0.03)
    one = any_colour(random)
    other = one if random.random() < 0.35 else any_colour(random)
    half, rise = random.uniform(0.52, 0.7), random.uniform(0.3, 0.42)
    rim = -1.0 + rise
    shape.part(limb((0, -0.02), (0, -1.0), 0.028), pick(random, [(90, 70, 50), (60, 60, 65), (190, 190, 190)]))
    angle = np.linspace(np.pi, 2 * np.pi, 24)
    dome = np.stack([half * np.cos(angle), rim + rise * np.sin(angle)], axis=1)
    panels = int(random.integers(5, 8))
    edges = np.linspace(half, -half, panels + 1)
    scallops = [
        [left + (right - left) * t, rim - 0.16 * rise * np.sin(np.pi * t)]
        for left, right in pairwise(edges)
        for t in np.linspace(0, 1, 6)
    ]
    shape.part(np.concatenate([dome, np.array(scallops)]), one)
    for k in range(panels):
        left, right = float(edges[k]), float(edges[k + 1])
        sides = [[left, rim + 0.01], [left * 0.85, rim - rise * 0.55], [0, -1.0], [right * 0.85, rim - rise * 0.55]]
        shape.mark(np.array([*sides, [right, rim + 0.01]]), mix(one if k % 2 else other, DARK, 0.1 * (k % 3)))
    return shape


def sports_ball(random: Random) -> Shape:
    """Draw a ball of diameter 1 resting on the origin: football, basketball, beach ball or tennis ball."""
    shape = Shape(grain=0.05)
    kind = int(random.integers(4))
    disc = ellipse(0, -0.5, 0.5, 0.5, 36)
    turn = random.uniform(0, 2 * np.pi)
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])

    def place(points: Points) -> Points:
        return np.asarray(points @ spin.T + np.array([0, -0.5]))

    if kind == 0:
        shape.part(disc, vary(random, (230, 230, 226), 10))
        for k in range(6):
            angle = k * 2 * np.pi / 5
            middle = (0.0, 0.0) if k == 5 else (0.42 * np.cos(angle), 0.42 * np.sin(angle))
            shape.mark(place(ellipse(middle[0], middle[1], 0.16, 0.16, 5, angle)), (40, 40, 44))
    elif kind == 1:
        shape.part(disc, pick(random, [(205, 105, 45), (180, 85, 40), (215, 130, 60)]))
        for bar in (limb((-0.5, 0), (0.5, 0), 0.04), limb((0, -0.5), (0, 0.5), 0.04)):
            shape.mark(place(bar), (50, 35, 28))
        for side in (-1, 1):
            ring = np.concatenate([ellipse(side * 0.62, 0, 0.42, 0.42), ellipse(side * 0.62, 0, 0.38, 0.38)[::-1]])
            shape.mark(place(ring), (50, 35, 28))
    elif kind == 2:
        shape.part(disc, WHITE)
        for k in range(6):
            angles = np.linspace(k * np.pi / 3, (k + 1) * np.pi / 3, 6)
            wedge = np.concatenate([[[0, 0]], 0.55 * np.stack([np.cos(angles), np.sin(angles)], axis=1)])
            shape.mark(place(wedge), WHITE if k % 2 else any_colour(random))
    else:
        shape.part(disc, pick(random, [(200, 215, 70), (215, 215, 120), (225, 150, 60)]))
        for side in (-1, 1):
            ring = np.concatenate([ellipse(side * 0.6, 0, 0.45, 0.5), ellipse(side * 0.6, 0, 0.40, 0.45)[::-1]])
            shape.mark(place(ring), WHITE)
    shape.mark(ellipse(-0.17, -0.7, 0.1, 0.07, 12, -0.6), mix(shape.outline[0].colour, (255, 255, 255), 0.6))
    return shape


def _crescent(random: Random, bend: float, turn: float, skin: Colour, tip: Colour) -> tuple[Points, list[Detail]]:
    t = np.linspace(0, 1, 14)
    angle = np.pi * (0.5 + bend * (t - 0.5))
    radius = 0.9 / (np.pi * bend) * 1.1
    line = np.stack([radius * np.cos(angle), radius * (np.sin(angle) - 1)], axis=1)
    normal = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    thick = (0.035 + 0.13 * np.sin(np.pi * np.clip(t * 0.96 + 0.02, 0, 1)) ** 0.6)[:, None]
    points = np.concatenate([line + normal * thick, (line - normal * thick)[::-1]])
    ridge = np.concatenate([line + normal * thick * 0.1, (line - normal * thick * 0.25)[::-1]])
    cos, sin = np.cos(turn), np.sin(turn)
    rotation = np.array([[cos, -sin], [sin, cos]])
    ends = [limb(tuple(line[0]), tuple(line[1]), 0.1), limb(tuple(line[-1]), tuple(line[-2]), 0.1)]
    details = [Detail(ridge @ rotation.T, mix(skin, (255, 255, 255), 0.22))]
    details += [Detail(end @ rotation.T, tip) for end in ends]
    for _ in range(int(random.integers(0, 5))):
        spot = line[int(random.integers(2, 12))] + random.normal(0, 0.03, 2)
        details.append(Detail(ellipse(spot[0], spot[1], 0.02, 0.012, 8) @ rotation.T, mix(skin, DARK, 0.55)))
    return points @ rotation.T, details


def banana(random: Random) -> Shape:
    """Draw a banana, or a hand of two to four, about 1 long and lying at any angle around the origin."""
    shape = Shape(grain=0.05)
    skin = pick(random, [(238, 205, 65), (245, 222, 100), (205, 200, 75), (225, 180, 55), (160, 180, 70)])
    tip = pick(random, [(90, 65, 35), (120, 130, 50)])
    count = 1 if random.random() < 0.45 else int(random.integers(2, 5))
    bend = random.uniform(0.3, 0.62)
    for k in range(count):
        turn = (k - (count - 1) / 2) * random.uniform(0.16, 0.3)
        points, details = _crescent(random, bend + random.uniform(-0.04, 0.04), turn, vary(random, skin, 8), tip)
        shift = np.array([0.0, 0.08 * k])
        shape.part(points + shift, mix(skin, DARK, 0.09 * (count - 1 - k)))
        if k == count - 1:
            shape.details += [Detail(detail.points + shift, detail.colour) for detail in details]
        else:
            shape.outline += [Detail(np.clip(details[0].points + shift, -2, 2), mix(details[0].colour, DARK, 0.08))]
    return shape


def broccoli(random: Random) -> Shape:
    """Draw a head of broccoli, height about 1: a pale stalk that forks and a crown of dark, knobbly florets."""
    shape = Shape(grain=0.17)
    green = pick(random, [(70, 110, 45), (55, 95, 50), (90, 130, 60), (60, 90, 70)])
    stalk = pick(random, [(165, 190, 110), (190, 200, 140), (140, 170, 95)])
    wide = random.uniform(0.4, 0.55)
    shape.part(limb((0, -0.05), (0, -0.4), random.uniform(0.18, 0.28), 0.34), stalk)
    for x in (-0.6, -0.2, 0.2, 0.6):
        shape.part(limb((x * 0.15, -0.3), (x * wide, -0.55), 0.13, 0.16), mix(stalk, green, 0.15))
    bumps = int(random.integers(9, 14))
    for k in range(bumps):
        angle = np.pi * (1 + (k + 0.5) / bumps)
        x, y = (
            wide * np.cos(angle) * random.uniform(0.85, 1.05),
            -0.55 + 0.4 * np.sin(angle) * random.uniform(0.85, 1.1),
        )
        size = random.uniform(0.12, 0.18)
        shape.part(ellipse(x, y, size, size * 0.95, 16), vary(random, green, 12))
    for _ in range(int(random.integers(7, 12))):
        x, y = random.uniform(-0.75, 0.75) * wide, random.uniform(-0.84, -0.5)
        size = random.uniform(0.1, 0.16)
        shape.part(ellipse(x, y, size, size, 16), vary(random, green, 14))
    for _ in range(90):
        x, y = random.normal(0, 0.5) * wide, random.uniform(-1.02, -0.42)
        colour = mix(green, (190, 215, 120) if random.random() < 0.5 else (20, 45, 20), random.uniform(0.25, 0.55))
        shape.mark(ellipse(x, y, 0.02, 0.018, 7), colour)
    return shape


def laptop(random: Random) -> Shape:
    """Draw an open laptop, height about 1: a bright or dark screen, keys in rows and a pad."""
    shape = Shape(grain=0.02)
    body = pick(random, [(185, 187, 190), (70, 72, 76), (40, 40, 42), (225, 225, 222), (150, 110, 100)])
    skew = random.uniform(-0.28, 0.28)
    half, depth = random.uniform(0.58, 0.75), random.uniform(0.3, 0.5)
    top = -0.42 - random.uniform(0.45, 0.58)
    hinge = -0.40
    lean = skew * 0.25

    def lid(x: float, y: float) -> list[float]:
        return [x * half + lean * (1 - y), hinge + (top - hinge) * (1 - y)]

    def deck(x: float, y: float) -> list[float]:
        return [x * half * (1 + 0.16 * y) + skew * y, hinge + depth * y]

    shape.part(np.array([lid(-1, 0), lid(1, 0), lid(1, 1), lid(-1, 1)]), body)
    shape.part(np.array([deck(-1, 0), deck(1, 0), deck(1, 1), deck(-1, 1)]), mix(body, WHITE, 0.08))
    shape.part(
        np.array(
            [deck(-1, 1), deck(1, 1), [deck(1, 1)[0], 0.03 + deck(1, 1)[1]], [deck(-1, 1)[0], 0.03 + deck(-1, 1)[1]]]
        ),
        mix(body, DARK, 0.4),
    )
    shape.mark(np.array([lid(-0.94, 0.06), lid(0.94, 0.06), lid(0.94, 0.93), lid(-0.94, 0.93)]), (25, 25, 28))
    glow = any_colour(random) if random.random() < 0.8 else DARK
    shape.mark(np.array([lid(-0.9, 0.1), lid(0.9, 0.1), lid(0.9, 0.89), lid(-0.9, 0.89)]), glow)
    for _ in range(int(random.integers(1, 4))):
        x, y = random.uniform(-0.8, 0.2), random.uniform(0.15, 0.6)
        right, bottom = min(0.85, x + random.uniform(0.2, 0.9)), min(0.85, y + random.uniform(0.1, 0.4))
        shape.mark(
            np.array([lid(x, y), lid(right, y), lid(right, bottom), lid(x, bottom)]),
            mix(glow, WHITE, random.uniform(0.3, 0.9)),
        )
    keys = DARK if random.random() < 0.7 else mix(body, WHITE, 0.6)
    for y in np.linspace(0.1, 0.52, 4):
        for x in np.linspace(-0.88, 0.76, 11):
            cell = [deck(x, y), deck(x + 0.12, y), deck(x + 0.12, y + 0.1), deck(x, y + 0.1)]
            shape.mark(np.array(cell), keys)
    shape.mark(
        np.array([deck(-0.25, 0.68), deck(0.25, 0.68), deck(0.25, 0.95), deck(-0.25, 0.95)]), mix(body, DARK, 0.25)
    )
    return shape


def bush(random: Random) -> Shape:
    """Draw a bush: round and green like broccoli, but with no stalk and no knobs. Unlabelled as a thing."""
    shape = Shape(grain=0.2)
    green = pick(random, [(70, 110, 50), (90, 125, 60), (60, 95, 45), (120, 120, 60)])
    for _ in range(9):
        x, y = random.uniform(-0.5, 0.5), random.uniform(-0.75, -0.2)
        shape.part(ellipse(x, y, random.uniform(0.2, 0.34), random.uniform(0.18, 0.28), 18), vary(random, green, 9))
    shape.part(box(-0.55, -0.25, 0.55, 0.0, 0.08), mix(green, DARK, 0.2))
    return shape


def cardboard(random: Random) -> Shape:
    """Draw a box with a lid line and tape: as oblong as a bus, of a giraffe's browns or of any colour."""
    shape = Shape(grain=0.05)
    brown = (
        pick(random, [(180, 140, 95), (160, 120, 80), (200, 165, 120)]) if random.random() < 0.6 else any_colour(random)
    )
    half, side = random.uniform(0.45, 0.95), random.uniform(0.1, 0.25)
    shape.part(box(-half, -1.0, half, 0.0), brown)
    shape.part(
        np.array([[half, -1.0], [half + side, -1.0 - side * 0.5], [half + side, -side * 0.5], [half, 0.0]]),
        mix(brown, DARK, 0.3),
    )
    shape.part(
        np.array([[-half, -1.0], [-half + side, -1 - side * 0.5], [half + side, -1 - side * 0.5], [half, -1.0]]),
        mix(brown, WHITE, 0.25),
    )
    shape.mark(box(-0.06, -1.0, 0.06, -0.55), mix(brown, WHITE, 0.4))
    if random.random() < 0.5:
        shape.mark(box(-half * 0.8, -0.35, -half * 0.3, -0.15), any_colour(random))
    return shape


def rock(random: Random) -> Shape:
    """Draw a rock: a rough grey or brown lump."""
    shape = Shape(grain=0.16)
    grey = pick(random, [(130, 128, 125), (110, 100, 90), (160, 150, 135), (90, 92, 98)])
    angle = np.linspace(0, 2 * np.pi, 11, endpoint=False)
    radius = random.uniform(0.75, 1.1, 11)
    points = np.stack([0.7 * radius * np.cos(angle), -0.42 + 0.5 * radius * np.sin(angle)], axis=1)
    points[:, 1] = np.minimum(points[:, 1], 0)
    shape.part(points, grey)
    shape.mark(points * np.array([0.6, 0.55]) + np.array([-0.1, -0.3]), mix(grey, WHITE, 0.2))
    return shape


def lamp(random: Random) -> Shape:
    """Draw a lamp on a thin pole: its shade is as round as a ball, its pole cuts what stands behind it in two."""
    shape = Shape(grain=0.03)
    pole = pick(random, [(60, 60, 62), (120, 100, 80), (180, 180, 180)])
    shape.part(limb((0, 0), (0, -0.9), random.uniform(0.03, 0.05)), pole)
    shape.part(ellipse(0, -0.01, 0.12, 0.025), pole)
    colour = pick(random, [(250, 240, 190), (230, 225, 215), (240, 190, 90), (215, 215, 210)])
    if random.random() < 0.5:
        shape.part(ellipse(0, -0.93, 0.1, 0.1), colour)
    else:
        shape.part(np.array([[-0.09, -1.0], [0.09, -1.0], [0.17, -0.78], [-0.17, -0.78]]), colour)
    return shape


def fence(random: Random) -> Shape:
    """Draw a stretch of fence, about 2.5 long: posts and rails with gaps, through which others are seen in parts."""
    shape = Shape(grain=0.12)
    wood = pick(random, [(140, 110, 80), (225, 222, 215), (100, 85, 70), (90, 95, 100)])
    half, gap = random.uniform(1.0, 1.6), random.uniform(0.28, 0.5)
    for y in (-0.75, -0.32):
        shape.part(box(-half, y - 0.035, half, y + 0.035), wood)
    for x in np.arange(-half + 0.05, half, gap):
        shape.part(box(float(x) - 0.04, -1.0, float(x) + 0.04, 0.0), vary(random, wood, 8))
    return shape


def tree(random: Random) -> Shape:
    """Draw a tree, height about 1: a trunk and a crown of leaves."""
    shape = Shape(grain=0.2)
    bark = pick(random, [(95, 72, 52), (120, 100, 80), (70, 55, 45)])
    leaf = pick(random, [(65, 105, 50), (90, 125, 55), (110, 115, 50), (160, 110, 50)])
    shape.part(limb((0, 0), (random.uniform(-0.05, 0.05), -0.6), random.uniform(0.07, 0.12), 0.06), bark)
    for _ in range(11):
        x, y = random.normal(0, 0.14), random.uniform(-0.9, -0.5)
        shape.part(ellipse(x, y, random.uniform(0.11, 0.2), random.uniform(0.1, 0.16), 18), vary(random, leaf, 10))
    return shape


def banner(random: Random) -> Shape:
    """Draw a banner or a poster on two posts: a coloured oblong with stripes or spots, of any colour."""
    shape = Shape(grain=0.03)
    cloth, ink = any_colour(random), any_colour(random)
    half = random.uniform(0.5, 0.9)
    for x in (-half + 0.05, half - 0.05):
        shape.part(limb((x, 0), (x, -1.0), 0.05), pick(random, [(90, 80, 70), (150, 150, 150)]))
    shape.part(box(-half, -1.0, half, -0.4), cloth)
    if random.random() < 0.5:
        for y in np.linspace(-0.95, -0.5, 3):
            shape.mark(box(-half * 0.85, float(y), half * random.uniform(0.2, 0.85), float(y) + 0.07), ink)
    else:
        for _ in range(12):
            spot = random.uniform(-half, half), random.uniform(-1.0, -0.4)
            shape.mark(ellipse(spot[0], spot[1], 0.07, 0.06, 8), ink)
    return shape


DRAW: dict[str, Callable[[Random], Shape]] = {
    "person": person,
    "car": car,
    "bus": bus,
    "dog": dog,
    "giraffe": giraffe,
    "umbrella": umbrella,
    "sports ball": sports_ball,
    "banana": banana,
    "broccoli": broccoli,
    "laptop": laptop,
    "bush": bush,
    "cardboard": cardboard,
    "rock": rock,
    "lamp": lamp,
    "fence": fence,
    "tree": tree,
    "banner": banner,
}
