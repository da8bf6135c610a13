"""The real input that tests read: a slice of MS COCO which lies beside the project and is never copied into it."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def coco_mini() -> Path:
    """Return the folder of real COCO images and annotations, or skip the test and say why."""
    folder = Path(os.environ.get("COCOMINE_SHARED", ROOT.parent / "shared")) / "coco-mini"
    if not folder.is_dir():
        pytest.skip("not run: the real COCO slice ../shared/coco-mini is absent")
    return folder
