"""What a build lock promises: the same bytes for the same build, and every difference by name."""

import os
import re
import time
from pathlib import Path

import pytest
import yaml
from cocomine.base.errors import CocomineError
from cocomine.configuration.plan import make_plan
from cocomine.provenance import lock
from helpers.shared import ROOT

SCRIPTS = ROOT / "scripts"


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of one input and a folder of two outputs, with its lock."""
    monkeypatch.chdir(tmp_path)
    for name, text in {"data/in.json": "{}", "results/a/x.txt": "x", "results/a/deep/y.txt": "yy"}.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")
    lock.write_lock(Path("results/build.lock.json"), make())
    return tmp_path


def make() -> dict:
    return lock.make_lock({"seed": 7}, SCRIPTS, ["lock_build"], [Path("data/in.json")], [Path("results/a")])


def found(root: Path) -> list[str]:
    return [str(d) for d in lock.differences_of_tree(lock.read_lock(root / "results/build.lock.json"), root, SCRIPTS)]


def test_an_untouched_tree_is_proved(build: Path) -> None:
    assert found(build) == []


def test_the_same_tree_gives_the_same_lock_whatever_the_time(build: Path) -> None:
    before = Path("results/build.lock.json").read_bytes()
    os.utime("results/a/x.txt", (0, time.time() + 1000))
    Path("results/a/.snakemake_timestamp").write_text("", encoding="utf-8")
    lock.write_lock(Path("results/build.lock.json"), make())
    assert Path("results/build.lock.json").read_bytes() == before


def test_a_changed_a_grown_a_missing_and_an_unknown_file_are_each_named(build: Path) -> None:
    Path("results/a/x.txt").write_text("z", encoding="utf-8")
    Path("results/a/deep/y.txt").write_text("longer", encoding="utf-8")
    Path("data/in.json").unlink()
    Path("results/a/stray.txt").write_text("", encoding="utf-8")
    assert found(build) == [
        "input data/in.json: missing",
        "output results/a/deep/y.txt: 6 bytes instead of 2",
        "output results/a/x.txt: the same size but other bytes",
        "output results/a/stray.txt: not in the lock",
    ]


def test_a_lock_refuses_what_lies_outside_the_build() -> None:
    with pytest.raises(CocomineError, match="outside the working directory"):
        lock.make_lock({}, SCRIPTS, [], [], [Path("/etc/hostname")])


def test_a_file_that_is_no_lock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[]", encoding="utf-8")
    with pytest.raises(CocomineError, match="not a build lock"):
        lock.read_lock(tmp_path / "x.json")


def test_two_locks_are_compared_down_to_the_key_and_the_file(build: Path) -> None:
    first = make()
    Path("results/a/x.txt").write_text("z", encoding="utf-8")
    second = make() | {"config": {"seed": 8, "split": {"train": 0.8}}}
    assert [f"{d.kind} {d.name}" for d in lock.differences_of_locks(first, second)] == [
        "config seed", "config split.train", "output results/a/x.txt",
    ]  # fmt: skip


def test_the_same_build_with_other_bytes_stops_and_says_which_rule_makes_them_again(build: Path) -> None:
    history = Path("data/locks")
    lock.check_against_earlier(make(), history)
    lock.check_against_earlier(make(), history)
    Path("results/a/labels.json").write_text("{}", encoding="utf-8")
    with pytest.raises(CocomineError, match=r"results/a/labels\.json: new") as caught:
        lock.check_against_earlier(make(), history)
    assert "--forcerun assemble_subset" in caught.value.hint


def test_a_build_of_another_config_is_not_held_to_this_one(build: Path) -> None:
    history = Path("data/locks")
    lock.check_against_earlier(make(), history)
    Path("results/a/x.txt").write_text("z", encoding="utf-8")
    lock.check_against_earlier(make() | {"config": {"seed": 8}}, history)


def test_every_output_of_the_workflow_has_a_rule_that_makes_it_again() -> None:
    plan = make_plan(yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8")))
    rules = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    for path in plan.locked_outputs:
        name = path if Path(path).suffix else f"{path}/file"
        makers = [rule for pattern, rule in lock.MADE_BY if re.search(pattern, name)]
        assert len(makers) == 1, (name, makers)
        body = re.split(r"^rule ", rules.split(f"\nrule {makers[0]}:")[1], maxsplit=1, flags=re.MULTILINE)[0]
        assert Path(path).name in body or "{" in body.split("output:")[1].split("log:")[0], (name, makers[0])
