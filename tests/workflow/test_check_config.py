"""check_config: every mistake at once, in seconds, and what a config would give."""

import json
import re
from pathlib import Path
from typing import Any

import yaml
from cocomine.annotations.build import build_index
from helpers.own_data import coco, lay
from helpers.sync import Result, script


def check(work: Path, config: dict[str, Any] | str) -> Result:
    """Check a config in the working directory `work`."""
    text = config if isinstance(config, str) else yaml.safe_dump(config)
    (work / "my.yaml").write_text(text, encoding="utf-8")
    return script("check_config.py", work / "my.yaml", "--directory", work, timeout=60)


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    lay(tmp_path, {"data/annotations/instances_train.json": coco(["1.jpg"])}, ["data/train/1.jpg"])
    config = {
        "stores": {"gone": {"folder": "nowhere"}, "own": {"folder": "data"}},
        "sources": {
            "own": {"splits": ["train"]},
            "typo": {"store": "own", "splits": ["trian"]},
            "far": {"store": "gone", "splits": ["val"]},
            "public": {"store": "own", "preset": "coco2017", "splits": ["val2018"]},
        },
        "subsets": {
            "a": {"source": "own", "categories": ["leave"]},
            "b": {"source": "typo"},
            "c": {"source": "far"},
            "d": {"source": "public", "categories": ["girafe"]},
            "e": {"source": "own", "catgories": ["leaf"]},
            "f": {"source": "nobody"},
            "g": {"source": "own", "exclude_images": "no-such.txt"},
            "h": {"source": "own", "categories": ["leaf"]},
            "i": {"source": "own", "classes": {"green": ["laef"]}, "labels_from": "no-such.json"},
        },
    }
    result = check(tmp_path, config)
    assert result.code == 1
    for said in (
        "'leave'", "did you mean 'leaf'", "instances_trian.json", "did you mean 'annotations/instances_train.json'",
        "nowhere: no such folder", "preset coco2017 has no instances of val2018", "'girafe'", "'giraffe'",
        "'catgories'", "no source is called 'nobody'", "no-such.txt",
        "subsets.i.classes.green: the source own has no category 'laef'", "labels_from: no-such.json is not there",
        "10 mistakes",
    ):  # fmt: skip
        assert said in result.err + result.out, said
    assert "subset h: all its categories are there" in result.out


def test_a_stranger_s_file_names_reach_no_terminal_as_codes(tmp_path: Path) -> None:
    names = ["1.jpg", "a\u202egpj.jpg", "b\u2066c.jpg", "d\x9be.jpg"]
    lay(tmp_path, {"my.json": coco(names)}, ["pics/1.jpg"])
    config = {"sources": {"own": {"annotations": "my.json", "images": "pics"}}, "subsets": {"leaves": {}}}
    said = check(tmp_path, config).out
    assert {"a\\x202egpj.jpg", "b\\x2066c.jpg"} <= set(re.findall(r"[^ ,/]+\.jpg", said)), said
    assert not set(said) & set("\u202e\u2066\x9b")


def test_a_sound_config_is_counted_where_its_index_is_there(tmp_path: Path) -> None:
    lay(tmp_path, {"my.json": coco(["1.jpg", "2.jpg"])}, ["pics/1.jpg", "pics/2.jpg"])
    config = {"sources": {"own": {"annotations": "my.json", "images": "pics"}}, "subsets": {"leaves": {}}}
    before = check(tmp_path, config).ok()
    assert "1 annotation file used where they are" in before.out
    assert "2 of 2 images looked for in all are there" in before.out
    assert "no mistakes" in before.out
    build_index(tmp_path / "my.json", "instances", "all", tmp_path / "data/annotations/own/index/instances_all")
    assert "subset leaves: 2 images, 2 objects" in check(tmp_path, config).ok().out


def test_an_image_that_is_not_there_is_named_as_a_warning(tmp_path: Path) -> None:
    lay(tmp_path, {"my.json": coco(["1.jpg", "2.jpg", "3.jpg"])}, ["pics/1.jpg", "pics/3.jpg"])
    config = {"sources": {"own": {"annotations": "my.json", "images": "pics"}}, "subsets": {"leaves": {}}}
    said = check(tmp_path, config).ok().out
    assert "2 of 3 images looked for in all are there" in said
    assert "warning: sources.own: all/2.jpg of all cannot be found\nHint: " in said
    assert "no mistakes, 1 warning" in said


def test_a_relative_path_that_leads_nowhere_says_where_it_begins(tmp_path: Path) -> None:
    lay(tmp_path, {"my.json": coco(["1.jpg"])}, ["pics/1.jpg"])
    (tmp_path / "other").mkdir()
    config = {"sources": {"own": {"annotations": "my.json", "images": "pics"}}, "subsets": {"leaves": {}}}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    said = script("check_config.py", tmp_path / "my.yaml", "--directory", tmp_path / "other").err
    assert said.count(f"from the working directory, which is {tmp_path / 'other'}, or in full") == 2


def test_a_key_that_stands_twice_and_a_yaml_mistake_are_named_by_line(tmp_path: Path) -> None:
    twice = check(tmp_path, "subsets:\n  a: {}\n  b: {}\n  a: {}\n")
    assert twice.code == 1
    assert "'a' stands twice, in line 2 and in line 4" in twice.err
    broken = check(tmp_path, "subsets:\n  a: [1\n")
    assert broken.code == 1
    assert "my.yaml, line 3" in broken.err


def test_what_new_config_writes_is_a_config_without_mistakes(tmp_path: Path) -> None:
    lay(tmp_path, {"set/train.json": coco(["1.jpg"]), "set/val.json": coco(["2.jpg"])}, ["set/p/1.jpg", "set/p/2.jpg"])
    script("new_config.py", tmp_path / "set", "--out", tmp_path / "my.yaml").ok()
    checked = script("check_config.py", tmp_path / "my.yaml", "--directory", tmp_path).ok()
    assert "no mistakes" in checked.out
    again = script("new_config.py", tmp_path / "set", "--out", tmp_path / "my.yaml")
    assert again.code == 1
    assert "is there already" in again.err
    assert json.dumps(yaml.safe_load((tmp_path / "my.yaml").read_text())).count(str(tmp_path / "set")) == 3


def test_images_that_are_nowhere_and_a_folder_that_is_not_there_are_mistakes(tmp_path: Path) -> None:
    lay(tmp_path, {"my.json": coco(["1.jpg", "2.jpg"])}, ["pics/9.jpg"])
    result = check(tmp_path, {"sources": {"own": {"annotations": "my.json", "images": "pics"}}, "subsets": {"a": {}}})
    assert result.code == 1
    assert "none of the 2 images that were looked for is there" in result.err
    both = check(tmp_path, {"sources": {"own": {"annotations": "no.json", "images": "nope"}}, "subsets": {"a": {}}})
    assert "no.json: no such file" in both.err
    assert "nope: no such folder" in both.err
    assert "2 mistakes" in both.out


def test_classes_and_mistakes_of_labels_that_are_imported_are_known_before_the_build(tmp_path: Path) -> None:
    for name in ("own", "broken"):
        lay(tmp_path / name, {}, ["images/1.jpg"])
    (tmp_path / "own/data.yaml").write_text("names: [leaf]\ntrain: images\n")
    sources = {name: {"format": "yolo", "folder": name} for name in ("own", "broken", "gone")}
    subsets = {name: {"source": name, "categories": ["leave"]} for name in sources}
    result = check(tmp_path, {"sources": sources, "subsets": subsets})
    for said in (
        "subsets.own.categories: the source own has no category 'leave'", "did you mean 'leaf'?",
        "sources.broken: broken: no data.yaml", "write data.yaml", "sources.gone: folder gone: no such folder",
        "3 mistakes",
    ):  # fmt: skip
        assert said in result.err + result.out, said
