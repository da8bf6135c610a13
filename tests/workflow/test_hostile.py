"""What a config's author writes never runs, is never formatted, and where it is secret never shown."""

import argparse
import contextlib
import io
import json
import re
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import check_config
import pytest
import yaml
from cocomine.base.errors import CocomineError
from cocomine.base.files import canonical_json
from cocomine.configuration.planning import make_plan
from cocomine.configuration.settings_files import write_settings
from helpers.workflow import snakemake
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

HOSTILE = "a'b\" $(touch pwned) ; touch pwned; `touch pwned` {input} {0} {} \\ | & > pwned"


def write_dataset(folder: Path, images: int = 12) -> None:
    """Draw a small data set whose texts are hostile: a category, a supercategory, a licence, captions."""
    records: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": []}
    (folder / "val").mkdir(parents=True)
    (folder / "annotations").mkdir()
    for number in range(1, images + 1):
        noise = Random(number).randbytes(8 * 6 * 3)
        image, left = Image.frombytes("RGB", (8, 6), noise).resize((64, 48)), 3 * number
        ImageDraw.Draw(image).rectangle((left, 10, left + 12, 30), fill=(250, 7 * number, 20))
        image.save(folder / "val" / f"{number}.jpg")
        records["images"].append({"id": number, "file_name": f"{number}.jpg", "width": 64, "height": 48, "license": 1})
        corners = [left, 10, left + 12, 10, left + 12, 30, left, 30]
        records["annotations"].append(
            {
                "id": number,
                "image_id": number,
                "category_id": 1,
                "iscrowd": 0,
                "area": 240,
                "bbox": [left, 10, 12, 20],
                "segmentation": [corners],
            }
        )
    top = {"info": {}, "licenses": [{"id": 1, "name": HOSTILE, "url": HOSTILE}]}
    categories = [{"id": 1, "name": HOSTILE, "supercategory": HOSTILE}, {"id": 2, "name": "{input}"}]
    captions = [{"id": n, "image_id": n, "caption": f"aa {HOSTILE}"} for n in range(1, images + 1)]
    documents = {"instances": {**records, "categories": categories}, "captions": {**records, "annotations": captions}}
    for task, document in documents.items():
        (folder / "annotations" / f"{task}_val.json").write_text(json.dumps(top | document), encoding="utf-8")


def hostile_config(data: Path) -> dict[str, Any]:
    """A config in which every text that a user may choose is hostile."""
    return {
        "stores": {"own": {"folder": str(data)}},
        "sources": {"own": {"splits": ["val"], "tasks": ["instances", "captions"]}},
        "subsets": {
            "odd": {
                "categories": [HOSTILE, {"name": "{input}"}],
                "exclude_categories": [],
                "licenses": [HOSTILE],
                "caption": "a{1,3} a'b",
                "exclude_images": [HOSTILE, 1],
                "instances_per_class": {HOSTILE: {"min": 1}},
                "max_per_class": {"{input}": 3},
            }
        },
        "exports": ["coco"],
        "split": {"strategy": "official", "official": {"val": [HOSTILE], "train": ["train"]}},
        "masks": {"stuff_categories": [HOSTILE]},
    }


@pytest.mark.slow
def test_hostile_texts_are_built_as_what_they_are(tmp_path: Path) -> None:
    data, work = tmp_path / "d $(touch pwned) 'x' {a}; b", tmp_path / "work"
    write_dataset(data)
    work.mkdir()
    config = hostile_config(data) | {"split": {"strategy": "hash"}}
    (work / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    done = snakemake(work, "--configfile", str(work / "config.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(tmp_path.rglob("pwned*"))
    labels = json.loads((work / "results/odd/labels.json").read_text(encoding="utf-8"))["labels"]
    assert {HOSTILE, "{input}"} <= {label["name"] for label in labels}
    lock = json.loads((work / "results/build.lock.json").read_text(encoding="utf-8"))
    assert lock["config"]["subsets"]["odd"]["caption"] == "a{1,3} a'b"


def test_hostile_texts_are_planned_as_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(hostile_config(tmp_path / "{d}")), encoding="utf-8")
    done = snakemake(tmp_path, "--configfile", str(tmp_path / "config.yaml"), "--dry-run", "-p")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"config.yaml", ".snakemake"}, "a dry run writes nothing"


@pytest.mark.parametrize(
    "name", ["x; touch pwned; echo", "a b", "a'b", "$(id)", "{split}", "../up", "a/b", ".hidden", "-f", "val\n"]
)
def test_a_name_that_becomes_a_path_is_plain(name: str) -> None:
    base = {
        "stores": {"own": {"folder": "/d"}},
        "sources": {"own": {"splits": ["val"]}},
        "subsets": {"pets": {}},
    }
    changes: list[dict[str, Any]] = [
        {"stores": {name: {"folder": "/d"}}},
        {"sources": {name: {"splits": ["val"]}}},
        {"sources": {"own": {"splits": [name], "tasks": ["instances", "panoptic"]}}},
        {"sources": {"own": {"files": {name: {"panoptic": "p.json"}}}}},
        {"subsets": {name: {}}},
        {"comparisons": {name: {"first": "own", "second": "own"}}},
        {"experiments": {name: {"subset": "pets"}}},
        {"experiments": {"try": {"subset": "pets", "models": {name: {}, "other": {}}}}},
    ]
    for change in changes:
        with pytest.raises(CocomineError, match=r"cannot be used"):
            make_plan(base | change)


SECRETS = {
    "stores": {"own": {"origins": ["https://user:pw-word@127.0.0.1:9/x/?sig=s3cr3t&token=t0k3n"]}},
    "sources": {"own": {"splits": ["val"]}},
    "subsets": {"pets": {}},
}


def test_a_secret_is_in_no_command_no_log_and_no_metadata(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(SECRETS), encoding="utf-8")
    done = snakemake(tmp_path, "--configfile", str(tmp_path / "config.yaml"), "-p", "--until", "sync_annotations")
    assert done.returncode != 0
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "config.yaml"]
    holders = [path for path in written if any(word in path.read_bytes() for word in (b"pw-word", b"s3cr3t", b"t0k3n"))]
    assert holders
    assert {path.relative_to(tmp_path).parts[:2] for path in holders} == {("data", "settings")}
    assert {stat.S_IMODE(path.stat().st_mode) for path in holders} == {0o600}
    for word in ("pw-word", "s3cr3t", "t0k3n"):
        assert word not in done.stdout + done.stderr


def test_another_password_runs_nothing_again_and_another_folder_does(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = json.dumps(SECRETS)
    plans = [make_plan(json.loads(text.replace(*change))) for change in (("", ""), ("pw-word", "n3w"), ("/x/", "/y/"))]
    first, rotated, moved = (plan.settings("store", "own") for plan in plans)
    assert first == rotated != moved
    for plan in plans[:2]:
        write_settings(plan.settings_files.values(), tmp_path, sweep=True)
    assert "n3w" in Path(first).read_text(encoding="utf-8")
    assert len(list(Path("data/settings/store").iterdir())) == 1


def test_an_error_about_an_origin_shows_no_secret() -> None:
    bad = json.loads(json.dumps(SECRETS).replace("https://", "ftp://"))
    with pytest.raises(CocomineError) as caught:
        make_plan(bad)
    assert "pw-word" not in str(caught.value)
    assert "unknown scheme" in str(caught.value)


@pytest.mark.parametrize(
    "subset", [{"include_images": "{a}.txt"}, {"exclude_images": "{a}.txt"}, {"split": {"lists": {"val": "{a}.txt"}}}]
)
def test_a_file_that_snakemake_reads_has_no_braces_in_its_name(subset: dict[str, Any]) -> None:
    with pytest.raises(CocomineError, match=r"'\{a\}.txt'"):
        make_plan({**SECRETS, "subsets": {"pets": subset}})


BASE: dict[str, Any] = {
    "stores": {"own": {"folder": "/d"}},
    "sources": {"own": {"splits": ["val"], "tasks": ["instances"]}, "other": {"splits": ["val"], "store": "own"}},
    "subsets": {"pets": {"source": "own"}},
}
PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "store": lambda text: {"stores": BASE["stores"] | {text: {"folder": "/d"}}},
    "folder": lambda text: {"stores": {"own": {"folder": text}}},
    "origin": lambda text: {"stores": {"own": {"origins": [f"https://x.test/{text}"]}}},
    "source": lambda text: {"sources": BASE["sources"] | {text: {"splits": ["val"], "store": "own"}}},
    "split": lambda text: {"sources": {"own": {"splits": [text]}}},
    "annotations": lambda text: {"sources": {"own": {"annotations": text, "store": "own"}}},
    "files": lambda text: {"sources": {"own": {"files": {"val": {"instances": text}}}}},
    "subset": lambda text: {"subsets": {text: {"source": "own"}}},
    "categories": lambda text: {"categories": [text]},
    "exclude_categories": lambda text: {"exclude_categories": [text]},
    "classes": lambda text: {"classes": {text: ["cat"], "b": [f"b{text}"]}},
    "licenses": lambda text: {"licenses": [text]},
    "caption": lambda text: {"caption": text},
    "exclude_images": lambda text: {"exclude_images": [text]},
    "image list": lambda text: {"include_images": text},
    "instances_per_class": lambda text: {"instances_per_class": {text: {"min": 1}}},
    "labels_from": lambda text: {"labels_from": text},
    "tags": lambda text: {"tags": text},
    "official": lambda text: {"split": {"strategy": "official", "official": {"val": [text], "train": ["t"]}}},
    "split lists": lambda text: {"split": {"lists": {text: ["1.jpg"]}, "unlisted": "shares"}},
    "stuff": lambda text: {"masks": {"stuff_categories": [text]}},
    "comparison": lambda text: {"comparisons": {text: {"first": "own", "second": "other"}}},
    "experiment": lambda text: {"experiments": {text: {"subset": "pets"}}},
    "model": lambda text: {"experiments": {"try": {"subset": "pets", "models": {text: {}, "b": {}}}}},
    "environment": lambda text: {
        "experiments": {
            "try": {
                "subset": "pets",
                "command": "true",
                "environment": text,
                "predictions": {"boxes": {"file": "b.json"}},
            }
        }
    },
    "weights": lambda text: {"experiments": {"try": {"subset": "pets", "model": {"weights": text}}}},
    "predictions": lambda text: {"predictions": {text: {"task": "boxes", "file": "a.json", "subset": "pets"}}},
    "file of predictions": lambda text: {"predictions": {"a": {"task": "boxes", "file": text, "subset": "pets"}}},
    "unknown key": lambda text: {text: 1},
}
PIECES = ["../", "/", "a", "é", " ", "'", '"', "`", "$(x)", ";", "&", "|", "<b>", "{input}", "{", "}", "*", "[a-", "\\",
          "\n", "\r", "\t", "\x1b[31m", "\x07", "\x9b", "\u202e", "\u2066", "\0", "-", "--x", "#", "%s", ":",
          "~"]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join)
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What a terminal obeys, line ends and tabs left out."""
PLAIN_PATH = re.compile(r"[a-z0-9_-][A-Za-z0-9_.-]*(/[a-z0-9_-][A-Za-z0-9_.-]*)*")


def config_with(place: str, text: str) -> dict[str, Any]:
    """A config that holds `text` at a place of PLACES; what is no section of the config is a key of the subset."""
    change = PLACES[place](text)
    sections = {*BASE, "comparisons", "experiments", "predictions"}
    if place == "unknown key" or change.keys() <= sections:
        return BASE | change
    return BASE | {"subsets": {"pets": {"source": "own"} | change}}


def what_check_config_says(config: dict[str, Any]) -> str:
    """Return what the script prints of a config, on both channels."""
    said = io.StringIO()
    with (
        tempfile.NamedTemporaryFile("w", suffix=".yaml") as file,
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
    ):
        file.write(yaml.safe_dump(config))
        file.flush()
        assert check_config.main(argparse.Namespace(config=Path(file.name), directory=None)) == 1
    return said.getvalue()


@pytest.mark.parametrize("place", [place for place in PLACES if place != "unknown key"])
def test_a_plain_text_is_taken_at_any_place(place: str) -> None:
    assert make_plan(config_with(place, "a"))


@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=60, deadline=None)
@given(text=TEXTS)
def test_any_text_at_any_place_is_refused_in_plain_letters_or_reaches_no_path_that_is_made(
    place: str, text: str
) -> None:
    config = config_with(place, text)
    try:
        plan = make_plan(config)
    except CocomineError:
        assert not OBEYED.search(what_check_config_says(config))
        return
    for file in plan.settings_files.values():
        assert PLAIN_PATH.fullmatch(file.path)
        assert ".." not in file.path
        json.loads(canonical_json(file.content))
    for folder in (
        *(subset.folder for subset in plan.subsets.values()),
        *(store.folder for store in plan.stores.values()),
        *(source.index_folder for source in plan.sources.values()),
    ):
        assert PLAIN_PATH.fullmatch(folder)
