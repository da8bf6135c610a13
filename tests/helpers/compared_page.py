"""The page of two small sources: a crowd against objects, a coarse against a fine outline, and an object more."""

from pathlib import Path

from cocomine.matching.match import Inputs
from cocomine.matching.settings import ComparisonSettings
from cocomine.reporting.compared import Shown, render_differences
from PIL import Image

from helpers.drawn_documents import crowd, document, image, thing
from helpers.two_sources import annotations, matched

ROUND = [150, 20, 170, 12, 190, 20, 210, 45, 215, 80, 205, 110, 180, 125, 150, 120, 130, 95, 126, 60, 135, 35]


def compared_page(folder: Path, **names: str) -> Path:
    """Make and return it; only the first of its two images has a photograph."""
    first = document(
        crowd(1, 20, 20, 200, 100),
        thing(2, 128, 10, 90, 118, image=2, segmentation=[[128, 128, 172, 10, 218, 128]]),
        images=[image(1), image(2)],
    )
    second = document(
        thing(5, 30, 30, 30, 60),
        thing(6, 80, 30, 30, 60),
        thing(7, 240, 30, 50, 50, category=9),
        thing(8, 126, 12, 89, 113, image=2, segmentation=[ROUND]),
        images=[image(1), image(2)],
    )
    folders = annotations(folder / "one", first), annotations(folder / "other", second)
    out, store = folder / "results", folder / "store"
    store.mkdir()
    Image.new("RGB", (320, 240), (90, 140, 90)).save(store / "1.jpg")
    settings = {"first": "one", "second": "other", **names}
    matched(*folders, out, settings)
    shown = Shown(out, Inputs(*folders, ("a",), ("a",)), store, "small")
    render_differences(shown, ComparisonSettings.from_mapping(settings), out / "differences.html")
    return out / "differences.html"
