"""The three scripts by hand, as a user runs them: from an annotation file to a subset."""

import json
import os
import subprocess
import sys

import pytest
from cocomine.annotations.build import build_index
from helpers.shared import ROOT, coco_mini


def run(script, *arguments, cwd=None):
    """Run a script; return its exit code, what it printed and what it told."""
    environment = {**os.environ, "TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "scripts" / f"{script}.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    for split in ("train2017", "val2017"):
        file = coco_mini() / "annotations" / f"instances_{split}.json"
        build_index(file, "instances", split, folder / f"data/annotations/mini/index/instances_{split}")
    (folder / "config.yaml").write_text(
        """
sources:
  mini: {store: mini, splits: [train2017, val2017]}
subsets:
  giraffes: {categories: [giraffe], exclude_categories: [person]}
  dogs: {source: mini, categories: [dog], source_splits: [val2017], split: {train: 0.5}}
"""
    )
    return folder


@pytest.mark.parametrize("script", ["mine_subset", "assemble_subset", "count_subset"])
def test_help_teaches_with_an_example(script):
    code, out, _ = run(script, "--help")
    assert code == 0
    assert f"scripts/{script}.py" in out.split("options:")[0]


def test_the_two_halves_make_a_subset_by_hand(work):
    settings = json.dumps({"categories": ["giraffe"], "match": "only"})
    index = ("--settings", settings, "--index-dir", "data/annotations/mini/index")
    tables = ("--selection", "out/selection.tsv", "--funnel", "out/funnel.json")
    code, _, told = run("mine_subset", *index, *tables, "--splits", "train2017", "val2017", cwd=work)
    assert code == 0, told
    assert "287 images in, 5 wanted, 0 negative, 0 spare; 2302 annotations in, 10 kept" in told
    folders = ("--annotations-dir", coco_mini() / "annotations", "--out-dir", "out", "--log", "out.log")
    code, _, told = run("assemble_subset", *index, *tables, *folders, cwd=work)
    assert code == 0, told
    assert "instances, images: 287 in = 5 kept + 0 repaired + 0 quarantined + 282 left out by the query" in told
    assert len(json.loads((work / "out/subset.json").read_text())["images"]) == 5
    assert sorted(path.name for path in (work / "out").iterdir()) == [
        "ATTRIBUTION.md", "dictionary.json", "funnel.json", "ids.tsv", "images.tsv", "interference.png", "labels.json",
        "quarantine.tsv", "repairs.tsv", "selection.tsv", "statistics.json", "subset.json", "tasks", "void.json",
    ]  # fmt: skip


def test_a_question_and_a_subset_of_a_config_are_counted_alike(work):
    code, asked, _ = run("count_subset", "giraffe and not person", cwd=work)
    assert code == 0
    code, named, _ = run("count_subset", "giraffes", "--config", "config.yaml", cwd=work)
    assert code == 0
    assert asked.splitlines()[-1] == named.splitlines()[-1] == "5 images, 10 objects"
    code, out, _ = run("count_subset", "dogs", "--config", "config.yaml", "--json", cwd=work)
    assert code == 0
    assert json.loads(out)["splits"] == ["val2017"]


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["girafe"], "did you mean 'giraffe'?"),
        (["giraffe and"], "a category is missing here"),
        (["dog", "--config", "config.yaml"], "did you mean 'dogs'"),
        (["dogs", "--config", "nowhere.yaml"], "nowhere.yaml"),
        (["dog", "--index-dir", "nowhere"], "holds no index of instances"),
        (["toothbrush and giraffe and bear"], "0 images, 0 objects"),
    ],
)
def test_a_wrong_question_is_answered_with_advice_and_no_traceback(work, arguments, advice):
    code, out, told = run("count_subset", *arguments, cwd=work)
    assert advice in out + told
    assert "Traceback" not in told
    assert code == (0 if out else 1)


def test_the_answer_loads_no_library_that_it_does_not_need(work):
    code = (
        "import sys; sys.path.insert(0, 'SCRIPTS'); from cocomine.inquiry.ask import answer; "
        "answer('giraffe', None, None); "
        "print([name for name in ('pandas', 'torch', 'matplotlib', 'scipy', 'pycocotools') if name in sys.modules])"
    ).replace("SCRIPTS", str(ROOT / "scripts"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=work, check=True)
    assert done.stdout.strip() == "[]"
