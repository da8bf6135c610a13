"""Composing one image of the demo source: which scene, which objects, where, and what covers what.

The composition is made before anything is painted, so the labels are known exactly: an object's mask is the part of
its silhouette that no nearer object covers (COCO annotates visible extents too), drawn by COCO's own polygon rule.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cocomine.synthetic import shapes as demo_shapes
from cocomine.synthetic.outlines import Mask, Points, rasterize
from cocomine.synthetic.shapes import Colour, Random, Shape

LEAST_VISIBLE_PIXELS = 60
LEAST_VISIBLE_SHARE = 0.12


@dataclass(frozen=True)
class Thing:
    """A category of objects: COCO's id, name and supercategory."""

    id: int
    name: str
    supercategory: str


@dataclass(frozen=True)
class Stuff:
    """A category of regions: its name here, and its COCO ids and names in the stuff and in the panoptic task."""

    name: str
    stuff_id: int
    stuff_name: str
    panoptic_id: int
    panoptic_name: str
    supercategory: str


THINGS = (
    Thing(1, "person", "person"),
    Thing(3, "car", "vehicle"),
    Thing(6, "bus", "vehicle"),
    Thing(18, "dog", "animal"),
    Thing(25, "giraffe", "animal"),
    Thing(28, "umbrella", "accessory"),
    Thing(37, "sports ball", "sports"),
    Thing(52, "banana", "food"),
    Thing(56, "broccoli", "food"),
    Thing(73, "laptop", "electronic"),
)
STUFF = (
    Stuff("sky", 157, "sky-other", 187, "sky-other-merged", "sky"),
    Stuff("trees", 169, "tree", 184, "tree-merged", "plant"),
    Stuff("mountains", 135, "mountain", 192, "mountain-merged", "solid"),
    Stuff("buildings", 96, "building-other", 197, "building-other-merged", "building"),
    Stuff("grass", 124, "grass", 193, "grass-merged", "plant"),
    Stuff("dirt", 111, "dirt", 194, "dirt-merged", "ground"),
    Stuff("road", 149, "road", 149, "road", "ground"),
    Stuff("pavement", 140, "pavement", 191, "pavement-merged", "ground"),
    Stuff("sand", 154, "sand", 154, "sand", "ground"),
    Stuff("sea", 155, "sea", 155, "sea", "water"),
    Stuff("snow", 159, "snow", 159, "snow", "ground"),
    Stuff("wall", 173, "wall-other", 199, "wall-other-merged", "wall"),
    Stuff("table", 165, "table", 189, "table-merged", "furniture-stuff"),
    Stuff("wooden floor", 118, "floor-wood", 118, "floor-wood", "floor"),
    Stuff("bush", 97, "bush", 184, "tree-merged", "plant"),
    Stuff("cardboard", 100, "cardboard", 100, "cardboard", "raw-material"),
    Stuff("rock", 150, "rock", 198, "rock-merged", "solid"),
    Stuff("lamp", 130, "light", 130, "light", "furniture-stuff"),
    Stuff("fence", 113, "fence", 185, "fence-merged", "structural"),
    Stuff("tree", 169, "tree", 184, "tree-merged", "plant"),
    Stuff("banner", 92, "banner", 92, "banner", "textile"),
)
THING_BY_NAME = {thing.name: thing for thing in THINGS}
STUFF_INDEX = {stuff.name: index for index, stuff in enumerate(STUFF)}

# Height of an object's frame as a share of the image's shorter side, from far to near.
SIZES: dict[str, tuple[float, float]] = {
    "person": (0.42, 0.92),
    "car": (0.17, 0.34),
    "bus": (0.30, 0.58),
    "dog": (0.25, 0.52),
    "giraffe": (0.60, 1.15),
    "umbrella": (0.35, 0.65),
    "sports ball": (0.13, 0.33),
    "banana": (0.28, 0.60),
    "broccoli": (0.34, 0.66),
    "laptop": (0.34, 0.62),
    "bush": (0.18, 0.38),
    "cardboard": (0.15, 0.36),
    "rock": (0.12, 0.34),
    "lamp": (0.60, 1.05),
    "fence": (0.20, 0.38),
    "tree": (0.60, 1.20),
    "banner": (0.30, 0.55),
}
LYING = {"banana"}
# Deviation of an object's turn, in radians, where it is not 0.05.
TILT = {"car": 0.02, "bus": 0.02, "broccoli": 0.25, "laptop": 0.08, "umbrella": 0.2, "sports ball": 1.0, "fence": 0.02}
CROWDS = ("person", "banana", "broccoli", "giraffe", "car")


@dataclass(frozen=True)
class Setting:
    """A kind of scene: its regions from the top down, where the ground begins, and who is likely to be there."""

    name: str
    layers: tuple[tuple[str, ...], ...]
    horizon: tuple[float, float]
    things: dict[str, float]
    others: tuple[str, ...]
    phrase: str


SETTINGS = (
    Setting(
        "park",
        (("sky",), ("trees", "buildings", "mountains"), ("grass",)),
        (0.30, 0.55),
        {"person": 1.5, "dog": 2, "giraffe": 2, "sports ball": 1.5, "umbrella": 1, "bus": 0.6, "car": 0.5},
        ("bush", "tree", "fence", "lamp", "banner", "rock"),
        "in a park",
    ),
    Setting(
        "street",
        (("sky",), ("buildings", "trees"), ("pavement",), ("road",)),
        (0.35, 0.55),
        {"car": 2.2, "bus": 3.2, "person": 1.5, "umbrella": 0.8, "dog": 0.6},
        ("lamp", "banner", "tree", "cardboard", "bush"),
        "on a city street",
    ),
    Setting(
        "beach",
        (("sky",), ("sea",), ("sand",)),
        (0.25, 0.50),
        {"umbrella": 2.5, "sports ball": 2, "person": 1.5, "dog": 1.5, "laptop": 0.5, "banana": 0.5},
        ("rock", "banner", "bush", "cardboard"),
        "at the beach",
    ),
    Setting(
        "snow",
        (("sky",), ("mountains", "trees"), ("snow",)),
        (0.25, 0.50),
        {"person": 1.5, "dog": 2, "car": 1, "bus": 1.5, "giraffe": 0.3, "sports ball": 0.5},
        ("rock", "tree", "fence", "banner"),
        "in the snow",
    ),
    Setting(
        "savanna",
        (("sky",), ("trees", "mountains"), ("dirt",)),
        (0.30, 0.55),
        {"giraffe": 4, "bus": 0.6, "person": 0.5, "car": 0.5},
        ("bush", "tree", "rock", "fence"),
        "on a dry plain",
    ),
    Setting(
        "kitchen",
        (("wall",), ("table",)),
        (0.12, 0.42),
        {"banana": 2.5, "broccoli": 5, "laptop": 2, "sports ball": 0.6},
        ("cardboard", "lamp", "cardboard", "bush"),
        "on a table",
    ),
    Setting(
        "room",
        (("wall",), ("wooden floor",)),
        (0.30, 0.55),
        {"laptop": 3, "dog": 1.5, "sports ball": 1.2, "person": 1, "broccoli": 0.8, "banana": 0.8},
        ("cardboard", "lamp", "banner"),
        "in a room",
    ),
)
SETTING_SHARES = np.array([0.17, 0.17, 0.11, 0.09, 0.13, 0.20, 0.13])


@dataclass
class Drawn:
    """One shape placed in the image, in image coordinates."""

    shape: Shape
    base: float
    size: float


@dataclass
class Item:
    """One labelled object, crowd or unlabelled thing: its name, what is drawn for it, and its masks.

    `whole` is the silhouette inside the image, `visible` what of it is seen (both bool, height x width).
    """

    name: str
    members: list[Drawn]
    crowd: bool
    whole: Mask
    visible: Mask
    stuff: int | None = None


@dataclass
class Scene:
    """A composed image: its regions and its items from the farthest to the nearest.

    `regions` and `ground` hold, for each pixel, the index into STUFF of what is seen (unlabelled things included, but
    labelled objects not) and of the bare region behind everything.
    """

    setting: Setting
    height: int
    width: int
    horizon: int
    ground: NDArray[np.uint8]
    regions: NDArray[np.uint8]
    items: list[Item] = field(default_factory=list)
    tint: Colour = (1.0, 1.0, 1.0)
    light: float = 0.0


def compose(random: Random, height: int, width: int, empty: bool) -> Scene:
    """Compose an image of `height` x `width`; an `empty` one holds no labelled object."""
    setting = SETTINGS[int(random.choice(len(SETTINGS), p=SETTING_SHARES))]
    ground, horizon = _regions(random, setting, height, width)
    scene = Scene(setting, height, width, horizon, ground, ground.copy())
    scene.light = random.uniform(-1, 1)
    warm = random.normal(0, 0.05)
    scene.tint = (1 + warm, 1 + random.normal(0, 0.015), 1 - warm)
    items = _place(random, scene, empty)
    _cover(scene, items)
    return scene


def _regions(random: Random, setting: Setting, height: int, width: int) -> tuple[NDArray[np.uint8], int]:
    ground = np.zeros((height, width), dtype=np.uint8)
    rows = np.arange(height)[:, None]
    x = np.linspace(0, 1, width)
    horizon = int(height * random.uniform(*setting.horizon))
    names = [layer[int(random.integers(len(layer)))] for layer in setting.layers]
    edges = [-1.0, horizon * random.uniform(0.45, 0.85), float(horizon), horizon + (height - horizon) * 0.3]
    if len(names) == 2:
        edges = [-1.0, float(horizon)]
    for name, edge in zip(names, edges, strict=False):
        rough = {"mountains": 0.10, "trees": 0.03, "grass": 0.012, "dirt": 0.012, "snow": 0.02}.get(name, 0.0)
        curve = edge + height * random.normal(0, 0.012) * (x - 0.5) * 2 * (name not in ("sea", "table"))
        for wave in (1, 2, 3, 5, 9):
            curve = curve + height * rough / wave * random.normal() * np.sin(wave * np.pi * (x + random.uniform(0, 2)))
        if name == "buildings":
            steps = int(random.integers(4, 9))
            roofs = horizon * random.uniform(0.15, 0.85, steps)
            curve = roofs[np.minimum((x * steps).astype(int), steps - 1)]
        ground[rows >= curve[None, :]] = STUFF_INDEX[name]
    return ground, horizon


def _place(random: Random, scene: Scene, empty: bool) -> list[Item]:
    """Return items in no particular order, their `visible` masks still to be worked out."""
    names = list(scene.setting.things)
    weights = np.array([scene.setting.things[name] for name in names])
    wanted: list[tuple[str, bool]] = []
    if not empty:
        count = int(random.choice([1, 2, 3, 4, 5, 6], p=[0.14, 0.26, 0.26, 0.18, 0.10, 0.06]))
        favourite = names[int(random.choice(len(names), p=weights / weights.sum()))]
        for _ in range(count):
            if random.random() < 0.10:  # no class belongs to one scene alone
                wanted.append((THINGS[int(random.integers(len(THINGS)))].name, False))
            elif random.random() < 0.30:
                wanted.append((favourite, False))
            else:
                wanted.append((names[int(random.choice(len(names), p=weights / weights.sum()))], False))
        if random.random() < 0.10:
            crowd = [name for name in CROWDS if name in scene.setting.things]
            wanted.append((crowd[int(random.integers(len(crowd)))] if crowd else "person", True))
    items = [item for name, crowd in wanted if (item := _item(random, scene, name, crowd)) is not None]
    others = int(random.choice([0, 1, 2, 3], p=[0.25, 0.35, 0.25, 0.15])) + (2 if empty else 0)
    for _ in range(others):
        name = scene.setting.others[int(random.integers(len(scene.setting.others)))]
        item = _item(random, scene, name, False)
        if item is not None:
            item.stuff = STUFF_INDEX[name]
            items.append(item)
    items += [held for item in items if (held := _umbrella_over(random, scene, item)) is not None]
    return items


def _umbrella_over(random: Random, scene: Scene, item: Item) -> Item | None:
    """Give some persons an umbrella: the two classes share images, as COCO's do."""
    if item.name != "person" or item.crowd or random.random() > 0.12:
        return None
    holder = item.members[0]
    keypoints = holder.shape.keypoints
    assert keypoints is not None
    hand = keypoints[int(random.integers(9, 11))]
    size = holder.size * random.uniform(0.5, 0.65)
    shape = _placed(demo_shapes.umbrella(random), float(hand[0]), float(hand[1]), size, random.normal(0, 0.12), False)
    return _masked(scene, "umbrella", [Drawn(shape, holder.base + 0.5, size)], False)


def _item(random: Random, scene: Scene, name: str, crowd: bool) -> Item | None:
    height, width, horizon = scene.height, scene.width, scene.horizon
    near = random.uniform(0, 1) ** 0.8
    base = horizon + (height - horizon) * (0.12 + 0.93 * near)
    low, high = SIZES[name]
    size = min(height, width) * (low + (high - low) * near) * random.uniform(0.8, 1.2)
    x = random.uniform(0.06, 0.94) * width
    members = []
    if not crowd:
        turn = random.uniform(-np.pi, np.pi) if name in LYING else random.normal(0, TILT.get(name, 0.05))
        shape = _placed(demo_shapes.DRAW[name](random), x, base, size, turn, random.random() < 0.5)
        members.append(Drawn(shape, base, size))
    else:
        size *= 0.42
        for k in range(int(random.integers(9, 16))):
            row = base + size * 0.16 * (k // 5)
            column = x + size * ((0.33 if name == "person" else 0.6) * ((k % 5) - 2) + random.normal(0, 0.1))
            turn = random.uniform(-np.pi, np.pi) if name in LYING else random.normal(0, 0.05)
            one = size * random.uniform(0.85, 1.15)
            shape = _placed(demo_shapes.DRAW[name](random), column, row, one, turn, random.random() < 0.5)
            members.append(Drawn(shape, row, one))
    return _masked(scene, name, members, crowd)


def _masked(scene: Scene, name: str, members: list[Drawn], crowd: bool) -> Item | None:
    outlines = [part.points for member in members for part in member.shape.outline]
    whole = rasterize(outlines, scene.height, scene.width)
    if int(whole.sum()) < LEAST_VISIBLE_PIXELS:
        return None
    return Item(name, members, crowd, whole, whole)


def _placed(shape: Shape, x: float, base: float, size: float, turn: float, mirror: bool) -> Shape:
    """Return `shape` moved into the image; coordinates are rounded to COCO's two decimals, before any drawing."""
    cos, sin = np.cos(turn), np.sin(turn)
    rotation = np.array([[cos, -sin], [sin, cos]])

    def move(points: Points) -> Points:
        flipped = points * np.array([-1.0, 1.0]) if mirror else points
        return np.asarray(np.round(flipped @ rotation.T * size + np.array([x, base]), 2))

    keypoints = None
    if shape.keypoints is not None:
        keypoints = move(shape.keypoints)  # a mirrored person still has its left on its own left
        if mirror:
            keypoints = keypoints[[0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]]
    return Shape(
        [demo_shapes.Detail(move(part.points), part.colour) for part in shape.outline],
        [demo_shapes.Detail(move(part.points), part.colour) for part in shape.details],
        shape.grain,
        keypoints,
    )


def _cover(scene: Scene, items: list[Item]) -> None:
    """Work out what is seen of each item, nearest first; those of which next to nothing is seen are taken out."""
    taken = np.zeros((scene.height, scene.width), dtype=bool)
    kept: list[Item] = []
    for item in sorted(items, key=lambda one: -max(member.base for member in one.members)):
        visible = item.whole & ~taken
        pixels = int(visible.sum())
        if pixels < max(LEAST_VISIBLE_PIXELS, LEAST_VISIBLE_SHARE * int(item.whole.sum())):
            continue
        item.visible = visible
        taken |= item.whole
        if item.stuff is not None:
            scene.regions[visible] = item.stuff
        kept.append(item)
    scene.items = kept[::-1]
