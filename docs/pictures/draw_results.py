"""Make README's pictures of results out of a finished default job: masks over images, the curves, the report's opening.

    ./run snakemake --cores 8
    ./run python docs/pictures/draw_results.py

The report is photographed by headless Chromium (Debian: chromium).
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent

CHROMIUM = (
    "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic", "--hide-scrollbars",
)  # fmt: skip


def shrunk(picture: Image.Image, width: int) -> Image.Image:
    """Return the picture at `width` pixels, in 256 colours, so that the repository stays small."""
    height = round(picture.height * width / picture.width)
    return picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS).quantize(256)


def photograph(page: Path, width: int, height: int) -> Image.Image:
    """Return what Chromium shows of a page."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "page.png"
        options = (f"--user-data-dir={folder}/profile", f"--window-size={width},{height}", f"--screenshot={target}")
        subprocess.run([*CHROMIUM, *options, page.resolve().as_uri()], check=True, capture_output=True, timeout=120)
        with Image.open(target) as picture:
            picture.load()
            return picture


def main() -> None:
    """Draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"), help="results of the default job")
    results = parser.parse_args().results
    subset = results / "synthetic-demo"
    with Image.open(subset / "contact_sheet.png") as sheet:
        shrunk(sheet, 1200).save(HERE / "masks.png", optimize=True)
    with Image.open(results / "experiments" / "baseline" / "curves.png") as curves:
        shrunk(curves, 900).save(HERE / "curves.png", optimize=True)
    shrunk(photograph(subset / "report.html", 1300, 1750), 1000).save(HERE / "report.png", optimize=True)


if __name__ == "__main__":
    main()
