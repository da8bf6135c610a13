"""Looking at a folder of somebody's own: which COCO files lie in it, where their images are, and the config for it."""

import functools
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from cocomine.annotations.file_names import is_safe, names_here
from cocomine.base.errors import CocomineError
from cocomine.base.regular import open_regular
from cocomine.base.words import counted
from cocomine.coco.tasks import TASKS
from cocomine.imports.files import Files
from cocomine.imports.forms import Form, form_of
from cocomine.imports.labels import Tally
from cocomine.imports.load import open_labels
from cocomine.imports.yolo import DATA_YAML
from cocomine.sources.settings import FORMS, SourceSettings
from cocomine.transfer.finding import SPLIT_LIKE, Folder

DEEPEST: Final = 4
MOST_JSON: Final = 2000
SAMPLE: Final = 200
NAMES_SHOWN: Final = 12

_OFFICIAL = re.compile(rf"({'|'.join(TASKS)})_(.+)")
_GENERIC = re.compile(r"_?annotations?(\.coco)?|result|coco|labels?|instances|via.*|export.*|data(set)?", re.IGNORECASE)
_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")


class _Image(msgspec.Struct):
    file_name: Any = None
    coco_url: Any = None


class _Named(msgspec.Struct):
    name: Any = None


class Document(msgspec.Struct):
    """What is looked at of a file; the rest is passed over."""

    images: list[_Image]
    annotations: list[msgspec.Raw]
    categories: list[_Named] = []


@dataclass(frozen=True)
class CocoFile:
    """A COCO file: what it annotates, its split, its images' names, its categories, and where the images are.

    `images` is the folder below which `found` of the `asked` names (all, or an even sample) lie; None where none does.
    """

    path: Path
    task: str
    split: str
    names: tuple[str, ...]
    categories: tuple[str, ...]
    images: Path | None = None
    found: int = 0
    asked: int = 0


@dataclass(frozen=True)
class Labels:
    """Labels of another form than COCO's: which, the folder's own splits, their tasks, classes and images."""

    form: str
    splits: tuple[str, ...]
    tasks: tuple[str, ...]
    classes: tuple[str, ...]
    images: int


@dataclass(frozen=True)
class Looked:
    """What a folder holds: COCO files, or labels of another form, and what is said of other things in it."""

    root: Path
    files: tuple[CocoFile, ...]
    notes: tuple[str, ...] = field(default=())
    labels: Labels | None = None


def look(root: Path) -> Looked:
    """Look at a folder. Raises CocomineError when there is none, or no labels of a form that is read are in it."""
    if not root.is_dir():
        raise CocomineError(f"{root}: no such folder", "give the folder that holds the annotation file and the images")
    documents, others = [], []
    for path in _json_files(root):
        document = read_document(path)
        if document is None:
            others.append(path)
        else:
            documents.append((path, document))
    form = form_of(root)
    if form and not documents:
        return Looked(root, (), labels=_labels(root, form))
    notes = list(_other_forms(root, others, form))
    if not documents:
        what = f"{len(others)} other JSON files{''.join(f'; {note}' for note in notes)}"
        raise CocomineError(
            f"{root}: no COCO file in it and no labels of another form that is read ({what})",
            "export the annotations as COCO JSON: docs/own-data.md says how, for each labelling tool",
        )
    alone = len(documents) == 1
    files = [_with_images(root, _coco_file(root, path, document, alone)) for path, document in documents]
    return Looked(root, tuple(_split_names_apart(root, files)), tuple(notes))


def proposed_config(looked: Looked) -> str:
    """Return the config for what was found, as YAML with a line of comment."""
    name = _NO_NAME.sub("-", looked.root.resolve().name.lower()).replace(".", "-").strip("-_") or "own"
    labels = looked.labels or Labels("coco", *_of_files(looked.files))
    splits, categories, images = labels.splits, labels.classes, labels.images
    more = f" and {len(categories) - NAMES_SHOWN} more" if len(categories) > NAMES_SHOWN else ""
    source = _source(looked, list(splits)) if looked.labels is None else _imported(looked.root, looked.labels)
    config = {"sources": {name: source}, "subsets": {name: {}}}
    head = [
        f"# {counted(images, 'image')} in {counted(max(1, len(splits)), 'split')} of {_plain(str(looked.root))}",
        f"# categories: {', '.join(map(_plain, categories[:NAMES_SHOWN]))}{more}" if categories else "",
        "# a subset takes all of them, unless it says otherwise: {categories: [NAME, …]}" if categories else "",
    ]
    body = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
    return "\n".join([*filter(None, head), body])


def doubts(looked: Looked) -> list[str]:
    """Return, in sentences, what was found and what will not work yet."""
    lines = []
    if looked.labels is not None:
        lines.append(f"{looked.root}: {FORMS[looked.labels.form]}, {counted(looked.labels.images, 'image')}; imported")
    for file in looked.files:
        what = f"{file.path}: {file.task} of split {file.split}, {counted(len(file.names), 'image')}"
        if file.images is None:
            lines.append(f"{what}: none of them was found in {looked.root}; write where they lie into `images`")
        else:
            of_all = "" if file.asked == len(file.names) else " that were looked for"
            lines.append(f"{what}: {file.found} of {file.asked}{of_all} found in {file.images}")
    return [*lines, *looked.notes]


# What lies in the folder ----------------------------------------------------------------------------------------------


def _walk(root: Path, ending: str) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        deep = len(Path(folder).relative_to(root).parts)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if deep < DEEPEST else []
        yield from (Path(folder, name) for name in sorted(files) if name.lower().endswith(ending))


def _json_files(root: Path) -> list[Path]:
    found = []
    for path in _walk(root, ".json"):
        found.append(path)
        if len(found) > MOST_JSON:
            break  # a JSON file an image: none of them is COCO's
    return found


@functools.lru_cache(8)
def read_document(path: Path) -> Document | None:
    """Return what is looked at of a COCO file; None for any other file."""
    try:
        with open_regular(path) as file:
            return msgspec.json.decode(file.read().removeprefix(b"\xef\xbb\xbf"), type=Document)
    except (msgspec.DecodeError, OSError, RecursionError, UnicodeDecodeError):
        return None


def _labels(root: Path, form: Form) -> Labels:
    """Describe labels of another form than COCO's. Raises CocomineError as their import does."""
    reader = open_labels(SourceSettings(format=form, folder=str(root)), Tally())
    tasks = ("instances", "person_keypoints") if reader.keypoints else ("instances",)
    return Labels(form, reader.own_splits, tasks, tuple(reader.classes or ()), len(Files(root).images))


def _other_forms(root: Path, others: list[Path], form: Form | None) -> Iterator[str]:
    """Say which forms that are not COCO's lie there."""
    if form:
        yield f"{FORMS[form]} lie there too, which `format: {form}` with `folder` alone would read"
    elif any(_any(root, name) for name in ("labels/**/*.txt", "*/labels/*.txt")):
        yield f"YOLO's label files lie there, but no data.yaml that names the classes: {DATA_YAML}"
    head = others[0].read_bytes()[:100_000] if others else b""
    if b'"_via_' in head:
        yield "a project of VIA lies there, which is not read: use its Export Annotations (COCO format)"


def _any(root: Path, pattern: str) -> bool:
    return next(root.glob(pattern), None) is not None


def _coco_file(root: Path, path: Path, document: Document, alone: bool) -> CocoFile:
    safe = names_of(document)
    task, split = _task_and_split(root, path, document, alone)
    categories = tuple(str(item.name) for item in document.categories if item.name)
    return CocoFile(path, task, split, tuple(name for name in safe if name and is_safe(name)), categories)


def names_of(document: Document) -> list[str | None]:
    """Return the images' file names as the index will have them; None where there is none."""
    names = [_name_of(image) for image in document.images]
    here = names_here(names)
    return [here.get(row, name) for row, name in enumerate(names)]


def _name_of(image: _Image) -> str | None:
    if isinstance(image.file_name, str):
        return image.file_name
    return image.coco_url if isinstance(image.coco_url, str) else None


def _task_and_split(root: Path, path: Path, document: Document, alone: bool) -> tuple[str, str]:
    stem = path.stem
    official = _OFFICIAL.fullmatch(stem)
    if official:
        return official[1], official[2]
    first = bytes(document.annotations[0]) if document.annotations else b""
    marks = {"panoptic": b'"segments_info"', "captions": b'"caption"', "person_keypoints": b'"keypoints"'}
    task = next((task for task, mark in marks.items() if mark in first), "instances")
    parent = path.parent.name
    if SPLIT_LIKE.fullmatch(stem):
        return task, stem
    if path.parent != root and (SPLIT_LIKE.fullmatch(parent) or not alone) and _GENERIC.fullmatch(stem):
        return task, _NO_NAME.sub("-", parent).strip("-._") or "all"
    return task, "all" if alone else _NO_NAME.sub("-", stem).strip("-._") or "all"


def _split_names_apart(root: Path, files: list[CocoFile]) -> list[CocoFile]:
    """Give files that would be the same task of one split names of their own, after where they lie."""
    keys = [(file.task, file.split) for file in files]
    return [
        file
        if keys.count((file.task, file.split)) == 1
        else _renamed(file, _NO_NAME.sub("-", "-".join(file.path.relative_to(root).with_suffix("").parts)).strip("-._"))
        for file in files
    ]


def _renamed(file: CocoFile, split: str) -> CocoFile:
    return CocoFile(file.path, file.task, split, file.names, file.categories, file.images, file.found, file.asked)


# Where the images are -------------------------------------------------------------------------------------------------


def _with_images(root: Path, file: CocoFile) -> CocoFile:
    """Find the folder below which most of a file's images lie as they are named, or else by the ends of their names."""
    step = max(1, len(file.names) // SAMPLE)
    sample = [f"{file.split}/{name}" for name in file.names[::step]]
    near = file.path.parent
    candidates = [base / rest for base in (near, root) for rest in (file.split, "images", f"images/{file.split}", "")]
    best: tuple[int, int, Path | None] = (0, 0, None)
    for base in dict.fromkeys(candidates):
        if not base.is_dir() or best[0] == len(sample):
            continue
        folder = Folder(base.absolute(), {file.split: str(base.absolute())}, frozenset({file.split}))
        places = {name: item.path for name, item in folder.find(sample).items() if item.path is not None}
        exact = sum(path == base.absolute() / name.partition("/")[2] for name, path in places.items())
        if (exact, len(places)) > best[:2]:
            best = (exact, len(places), _shared_folder(root, base, places))
    return CocoFile(file.path, file.task, file.split, file.names, file.categories, best[2], best[1], len(sample))


def _shared_folder(root: Path, base: Path, places: Mapping[str, Path]) -> Path:
    """Return the folder below which all files lie as they are named, where there is one; otherwise `base`."""
    folders = set()
    for name, path in places.items():
        parts = Path(name).parts[1:]
        folders.add(path.parents[len(parts) - 1] if path.parts[-len(parts) :] == parts else None)
    only = folders.pop() if len(folders) == 1 else None
    return base if only is None else root / only.relative_to(root.absolute())


# The config -----------------------------------------------------------------------------------------------------------


def _of_files(files: tuple[CocoFile, ...]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], int]:
    """Return the splits, tasks, categories and the number of images of COCO files."""
    splits, tasks = tuple(dict.fromkeys(one.split for one in files)), tuple(dict.fromkeys(one.task for one in files))
    categories = tuple(dict.fromkeys(name for file in files for name in file.categories))
    return splits, tasks, categories, sum(len(file.names) for file in files if file.task == files[0].task)


def _imported(root: Path, labels: Labels) -> dict[str, Any]:
    source: dict[str, Any] = {"format": labels.form, "folder": str(root)}
    if len(labels.splits) > 1:
        source["splits"] = list(labels.splits)
    if labels.tasks != ("instances",):
        source["tasks"] = list(labels.tasks)
    return source


def _source(looked: Looked, splits: list[str]) -> dict[str, Any]:
    if _is_cocos_own(looked):
        source: dict[str, Any] = {"folder": str(looked.root), "splits": splits}
        there = {split: [file.task for file in looked.files if file.split == split] for split in splits}
        shared = [task for task in TASKS if all(task in tasks for tasks in there.values())]
        if shared != ["instances"]:
            source["tasks"] = shared
        more = {split: [task for task in tasks if task not in shared] for split, tasks in there.items()}
        if any(more.values()):
            source["files"] = {
                split: {task: f"annotations/{task}_{split}.json" for task in tasks}
                for split, tasks in more.items()
                if tasks
            }
        return source
    images = {file.split: str(file.images or file.path.parent) for file in looked.files}
    annotations: dict[str, Any] = {}
    for file in looked.files:
        annotations.setdefault(file.split, {})[file.task] = str(file.path)
    short: Mapping[str, Any] = {
        split: tasks["instances"] if list(tasks) == ["instances"] else tasks for split, tasks in annotations.items()
    }
    same = set(images.values())
    return {
        "annotations": short["all"] if list(short) == ["all"] and isinstance(short["all"], str) else dict(short),
        "images": same.pop() if len(same) == 1 else images,
    }


def _is_cocos_own(looked: Looked) -> bool:
    """Tell whether all lies as COCO publishes it: annotations/{task}_{split}.json, and {split}/ or images/{split}/."""
    return all(
        file.path == looked.root / "annotations" / f"{file.task}_{file.split}.json"
        and file.images in (looked.root / file.split, looked.root / "images" / file.split)
        for file in looked.files
    )


def _plain(text: str) -> str:
    return text if text.isprintable() else ascii(text)
