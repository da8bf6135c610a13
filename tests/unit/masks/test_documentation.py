import re
import subprocess
import sys
from pathlib import Path

from cocomine.base.settings import choices
from cocomine.masks.settings import MaskSettings
from helpers.shared import ROOT


def test_pictures_of_the_documentation_are_what_the_code_draws(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(ROOT / "docs" / "pictures" / "draw_masks.py"), str(tmp_path)], check=True)
    drawn = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_bytes() for path in (ROOT / "docs" / "pictures").glob("masks_*.png")}
    assert drawn.keys() == kept.keys()
    differing = [name for name in drawn if drawn[name] != kept[name]]
    assert differing == [], "run: ./run python docs/pictures/draw_masks.py"


def test_documentation_shows_every_picture_and_names_every_choice_and_reason() -> None:
    text = (ROOT / "docs" / "masks.md").read_text("utf-8")
    assert set(re.findall(r"pictures/(\S+\.png)", text)) == {
        path.name for path in (ROOT / "docs" / "pictures").glob("masks_*.png")
    }
    for key in MaskSettings.__struct_encode_fields__:
        assert f"`{key}" in text or f"`masks.{key}`" in text
        for choice in choices(MaskSettings, key):
            assert f"`{choice}`" in text or f"{key}: {choice}`" in text, (key, choice)
    code = "".join(path.read_text("utf-8") for path in (ROOT / "scripts" / "cocomine" / "masks").glob("*.py"))
    reasons = set(re.findall(r'UnusableMaskError\(\s*"([a-z-]+)"', code)) | {"objects-overlap"}
    assert len(reasons) > 10
    assert all(f"`{reason}`" in text for reason in reasons), reasons
