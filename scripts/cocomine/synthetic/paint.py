"""Painting a composed scene: textured regions, lit and antialiased objects with shadows, and a camera's faults."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from cocomine.synthetic.scene import STUFF, Drawn, Item, Scene
from cocomine.synthetic.shapes import Colour, Random, any_colour, mix, pick, vary

Canvas = NDArray[np.float32]
SUPERSAMPLING = 3

_GROUNDS: dict[str, list[Colour]] = {
    "sky": [(120, 170, 220), (170, 200, 225), (200, 205, 210), (235, 190, 150), (90, 120, 170)],
    "trees": [(60, 90, 50), (85, 110, 60), (110, 100, 60), (50, 75, 60)],
    "mountains": [(110, 115, 125), (140, 130, 120), (90, 100, 110), (150, 160, 175)],
    "buildings": [(150, 120, 100), (170, 165, 160), (120, 125, 135), (185, 160, 130), (130, 80, 65)],
    "grass": [(95, 135, 60), (120, 145, 70), (80, 115, 60), (150, 150, 80)],
    "dirt": [(170, 135, 95), (190, 160, 115), (150, 110, 80), (185, 170, 120)],
    "road": [(95, 95, 98), (120, 118, 115), (75, 75, 80)],
    "pavement": [(165, 160, 155), (185, 180, 170), (145, 140, 140)],
    "sand": [(220, 200, 160), (205, 180, 140), (230, 215, 185)],
    "sea": [(60, 115, 140), (80, 140, 150), (45, 85, 120)],
    "snow": [(235, 238, 242), (220, 228, 238), (240, 235, 230)],
    "wall": [(215, 205, 190), (180, 190, 195), (200, 170, 140), (150, 165, 140), (225, 225, 225), (160, 110, 100)],
    "table": [(150, 105, 65), (190, 150, 105), (90, 65, 50), (225, 220, 210), (120, 125, 130), (70, 95, 75)],
    "wooden floor": [(170, 125, 80), (140, 95, 60), (195, 160, 120)],
}
_ROUGHNESS = {"trees": 0.30, "grass": 0.20, "dirt": 0.14, "sand": 0.07, "sea": 0.12, "mountains": 0.15, "road": 0.07}


def noise(random: Random, height: int, width: int, cell_y: float, cell_x: float) -> Canvas:
    """Return smooth noise of mean 0 and deviation about 1 whose bumps are about `cell_y` x `cell_x` pixels."""
    rows, columns = int(height / cell_y) + 3, int(width / cell_x) + 3
    grid = Image.fromarray(random.standard_normal((rows, columns), dtype=np.float32))
    area = (0.5, 0.5, 0.5 + width / cell_x, 0.5 + height / cell_y)
    return np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC, box=area), dtype=np.float32) * 1.3


def paint(random: Random, scene: Scene) -> NDArray[np.uint8]:
    """Paint a scene, uint8 (height, width, 3)."""
    canvas = _paint_ground(random, scene)
    height, width = scene.height, scene.width
    grain = 0.6 * noise(random, height, width, 2.5, 2.5) + 0.7 * noise(random, height, width, 9, 9)
    for item in scene.items:
        for member in sorted(item.members, key=lambda one: one.base):
            _paint_shadow(canvas, scene, item, member)
            _paint_shape(canvas, scene, member, grain)
    return _as_photographed(random, canvas, scene)


def _paint_ground(random: Random, scene: Scene) -> Canvas:
    height, width = scene.height, scene.width
    canvas = np.zeros((height, width, 3), dtype=np.float32)
    fine = noise(random, height, width, 2.2, 2.2)
    coarse = noise(random, height, width, 24, 30)
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    for index in np.unique(scene.ground):
        name = STUFF[index].name
        colour = np.array(pick(random, _GROUNDS[name], 10), dtype=np.float32)
        rough = _ROUGHNESS.get(name, 0.035)
        texture = fine
        if name in ("sea", "table", "wooden floor"):
            texture = 0.6 * fine + noise(random, height, width, 2.5, 34)
        elif name == "grass":
            texture = 0.6 * fine + noise(random, height, width, 7, 2.2)
        elif name == "trees":
            texture = 0.5 * fine + noise(random, height, width, 7, 7)
        level = 1 + rough * texture + 0.07 * coarse
        if name == "sky":
            level = 0.86 + 0.35 * rows + np.clip(coarse, 0, 2) * random.uniform(0.0, 0.16)
        layer = colour[None, None, :] * level[:, :, None]
        inside = scene.ground == index
        canvas[inside] = layer[inside]
        _decorate(random, canvas, scene, name, inside, tuple(colour.tolist()))
    return canvas


def _decorate(
    random: Random, canvas: Canvas, scene: Scene, name: str, inside: NDArray[np.bool_], colour: Colour
) -> None:
    """Add what makes a region more than a texture: windows, bricks, planks, road markings."""
    height, width = scene.height, scene.width
    sheet = Image.new("RGB", (width, height))
    marks = Image.new("L", (width, height), 0)
    draw, mark = ImageDraw.Draw(sheet), ImageDraw.Draw(marks)

    def rectangle(left: float, top: float, right: float, bottom: float, fill: Colour, strength: int = 200) -> None:
        whole = tuple(int(part) for part in fill)
        draw.rectangle((left, top, right, bottom), fill=whole)
        mark.rectangle((left, top, right, bottom), fill=strength)

    if name == "buildings":
        step = random.uniform(11, 20)
        pane = pick(random, [(60, 70, 85), (200, 205, 200), (90, 80, 70)])
        for y in np.arange(3, scene.horizon, step * 1.25):
            for x in np.arange(2, width, step):
                rectangle(x, y, x + step * 0.5, y + step * 0.7, vary(random, pane, 12))
    elif name == "wall" and random.random() < 0.75:
        kind = random.random()
        if kind < 0.4:
            line, high = mix(colour, (250, 250, 250), 0.4), random.uniform(8, 14)
            for row, y in enumerate(np.arange(0, scene.horizon + 30, high)):
                rectangle(0, y, width, y + 0.6, line, 110)
                for x in np.arange(-high * (row % 2), width, high * 2.2):
                    rectangle(x, y, x + 0.6, y + high, line, 110)
        elif kind < 0.7:
            other = mix(colour, any_colour(random), 0.4)
            step = random.uniform(12, 30)
            for x in np.arange(random.uniform(0, step), width, step):
                rectangle(x, 0, x + step * random.uniform(0.3, 0.5), height, other, 120)
        else:
            for _ in range(int(random.integers(1, 4))):
                x, y = random.uniform(0, width * 0.8), random.uniform(0, scene.horizon * 0.6)
                side = random.uniform(25, 70)
                rectangle(x, y, x + side, y + side * 0.75, (90, 70, 50), 255)
                rectangle(x + 3, y + 3, x + side - 3, y + side * 0.75 - 3, any_colour(random), 255)
    elif name in ("wooden floor", "table"):
        for y in np.cumsum(random.uniform(8, 26, 16)) + scene.horizon:
            rectangle(0, y, width, y + 0.7, mix(colour, (20, 15, 10), 0.6), 130 if name == "wooden floor" else 50)
    elif name == "road":
        middle = scene.horizon + (height - scene.horizon) * random.uniform(0.5, 0.75)
        shift = random.uniform(0, 60)
        for x in np.arange(-shift, width, 62):
            rectangle(x, middle, x + 34, middle + 4, (225, 220, 205), 190)
    elif name == "pavement":
        for x in np.arange(random.uniform(0, 30), width, 30):
            rectangle(x, 0, x + 0.7, height, mix(colour, (20, 20, 20), 0.6), 110)
    weight = np.asarray(marks, dtype=np.float32)[:, :, None] / 255
    weight = weight * inside[:, :, None]
    canvas += (np.asarray(sheet, dtype=np.float32) - canvas) * weight


def _window(points: list[NDArray[np.float64]], scene: Scene, margin: int = 2) -> tuple[int, int, int, int] | None:
    every = np.concatenate(points)
    left, top = np.floor(every.min(axis=0)).astype(int) - margin
    right, bottom = np.ceil(every.max(axis=0)).astype(int) + margin
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, scene.width), min(bottom, scene.height)
    return (int(left), int(top), int(right), int(bottom)) if right > left and bottom > top else None


def _paint_shadow(canvas: Canvas, scene: Scene, item: Item, member: Drawn) -> None:
    if item.name == "umbrella" or member.base < scene.horizon:
        return
    feet = np.concatenate([part.points for part in member.shape.outline])
    left, right, bottom = float(feet[:, 0].min()), float(feet[:, 0].max()), float(feet[:, 1].max())
    middle, half = (left + right) / 2 + scene.light * 0.12 * (right - left), (right - left) * 0.52
    deep = max(4.0, min(0.10 * member.size, half * 0.5))
    corners = np.array([[middle - half - deep, bottom - 2 * deep], [middle + half + deep, bottom + 2 * deep]])
    window = _window([corners], scene, 0)
    if window is None:
        return
    x, y, x_end, y_end = window
    sheet = Image.new("L", (x_end - x, y_end - y), 0)
    ImageDraw.Draw(sheet).ellipse(
        (middle - half - x, bottom - deep - y, middle + half - x, bottom + deep * 0.8 - y), 120
    )
    soft = np.asarray(sheet.filter(ImageFilter.GaussianBlur(deep * 0.35)), dtype=np.float32) / 255
    canvas[y:y_end, x:x_end] *= 1 - soft[:, :, None]


def _paint_shape(canvas: Canvas, scene: Scene, member: Drawn, grain: Canvas) -> None:
    """Paint one shape; its antialiased edge comes from the very polygons that its mask is drawn from."""
    shape = member.shape
    window = _window([part.points for part in shape.outline], scene)
    if window is None:
        return
    x, y, x_end, y_end = window
    wide, high = x_end - x, y_end - y
    size = (wide * SUPERSAMPLING, high * SUPERSAMPLING)
    origin = np.array([x, y])
    first = tuple(int(part) for part in shape.outline[0].colour)
    colours, cover = Image.new("RGB", size, first), Image.new("L", size, 0)
    draw, draw_cover = ImageDraw.Draw(colours), ImageDraw.Draw(cover)
    for part in shape.outline:
        points = ((part.points - origin) * SUPERSAMPLING - 0.5).ravel().tolist()
        draw.polygon(points, fill=tuple(int(c) for c in part.colour))
        draw_cover.polygon(points, fill=255)
    for part in shape.details:
        draw.polygon(
            ((part.points - origin) * SUPERSAMPLING - 0.5).ravel().tolist(), fill=tuple(int(c) for c in part.colour)
        )
    alpha_image = cover.reduce(SUPERSAMPLING)
    paint_layer = np.asarray(colours.reduce(SUPERSAMPLING), dtype=np.float32)
    alpha = np.asarray(alpha_image, dtype=np.float32)[:, :, None] / 255
    inner = (
        np.asarray(alpha_image.filter(ImageFilter.GaussianBlur(max(1.5, member.size * 0.03))), dtype=np.float32) / 255
    )
    across = np.linspace(-1, 1, wide, dtype=np.float32)[None, :] * scene.light
    down = np.linspace(1, -1, high, dtype=np.float32)[:, None]
    level = (0.72 + 0.34 * inner) * (1 + 0.10 * across + 0.10 * down)
    level = level * (1 + shape.grain * grain[y:y_end, x:x_end])
    area = canvas[y:y_end, x:x_end]
    area += (paint_layer * level[:, :, None] - area) * alpha


def _as_photographed(random: Random, canvas: Canvas, scene: Scene) -> NDArray[np.uint8]:
    """Add what a camera adds: light and tint, contrast, a vignette, softness and sensor noise."""
    height, width = scene.height, scene.width
    exposure, contrast = random.uniform(0.80, 1.18), random.uniform(0.82, 1.15)
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    level = exposure * (1 + 0.12 * scene.light * across) * (1 - random.uniform(0, 0.14) * (across**2 + down**2))
    light = canvas * np.array(scene.tint, dtype=np.float32) * level[:, :, None]
    light = (light - 120) * contrast + 120
    soft = random.uniform(0.2, 0.9)
    image = Image.fromarray(np.clip(light, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(soft))
    speckle = random.standard_normal((height, width, 1), dtype=np.float32) * random.uniform(1, 6)
    return np.clip(np.asarray(image, dtype=np.float32) + speckle, 0, 255).astype(np.uint8)
