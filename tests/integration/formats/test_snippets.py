"""The snippets of docs/use.md run as they stand, over the exports of a small subset."""

import re
import subprocess
import sys

import pytest
from cocomine.formats.export import export_dataset
from helpers.peers import peer
from helpers.shared import ROOT
from helpers.small_subset import make_small_subset

pytestmark = pytest.mark.slow

SNIPPET = re.compile(r"<!-- run in: (\S+) -->\n```python\n(.*?)```", re.DOTALL)
SNIPPETS = SNIPPET.findall((ROOT / "docs" / "use.md").read_text("utf-8"))
FORMATS = sorted({name for _, code in SNIPPETS for name in re.findall(r"exports/([\w-]+)", code)})


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("use")
    subset = make_small_subset(folder)
    (folder / "data/images").mkdir(parents=True)
    (folder / "data/images/coco").symlink_to(subset.store)
    for name in FORMATS:
        export_dataset(name, subset.folder, subset.store, subset.folder / "exports" / name)
    return folder


def test_most_snippets_are_run():
    assert len(SNIPPETS) >= 9


@pytest.mark.parametrize(("tool", "code"), SNIPPETS, ids=[f"{n}-{tool}" for n, (tool, _) in enumerate(SNIPPETS)])
def test_a_snippet_runs_as_it_stands(tool, code, home):
    program = sys.executable if tool == "cocomine" else str(peer(tool))
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "HF_HUB_OFFLINE": "1",
        "YOLO_OFFLINE": "true",
        "YOLO_CONFIG_DIR": str(home),
        "MPLCONFIGDIR": str(home),
        "MPLBACKEND": "Agg",
        **({"PYTHONPATH": str(ROOT / "scripts")} if tool == "cocomine" else {}),
    }
    done = subprocess.run([program, "-c", code], cwd=home, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
