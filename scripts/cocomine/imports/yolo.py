"""YOLO's label files: detect, segment and pose, as Ultralytics lays them out and reads them.

A text file an image, a line an object: the class index, then shares of the image's width and height. `c cx cy w h` is a
box by its centre, `c x1 y1 x2 y2 x3 y3 …` an outline, and where data.yaml has `kpt_shape: [K, D]` a line is a box and K
keypoints of D numbers. Ultralytics' docs "Object Detection Datasets Overview", "Instance Segmentation Datasets
Overview" and "Pose Estimation Datasets Overview" say so; `img2label_paths` and `verify_image_label` of
ultralytics/data/utils.py where a label file lies and how far outside a coordinate may be.
"""

import math
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from cocomine.base.errors import CocomineError
from cocomine.base.words import counted
from cocomine.base.yaml_file import read_yaml
from cocomine.imports.files import FileProblem, Files, stem_of
from cocomine.imports.labels import Job, LabelledImage, Object, outlined
from cocomine.imports.reasons import Reason
from cocomine.transfer.names import refusal

SPLITS: Final = ("train", "val", "test")
LEAST, MOST = -0.01, 1.01
"""What a share may be: Ultralytics refuses a file beyond it. What is less far outside is moved to the edge."""
CLASS_LISTS: Final = ("classes.txt", "labels/classes.txt")
"""Where labelImg and Label Studio name the classes, a name a line; they write no data.yaml."""
NOT_LABELS: Final = frozenset({"classes.txt", "obj.names"})

DATA_YAML = (
    "write data.yaml into it: `names: [leaf, flower]` in the order of the class indexes, and `train: images/train`, "
    "`val: images/val`"
)


class Yolo:
    """Reads a folder with data.yaml, images and label files."""

    def __init__(self, job: Job) -> None:
        """Read data.yaml. Raises CocomineError where there is none, or it does not say what is needed."""
        self._job = job
        self._files = job.files
        self._name, self._data = _data_yaml(job)
        where = f"{job.files.root / self._name}"
        self.classes: list[str] | None = _names(where, self._data)
        self._shape = _keypoint_shape(where, self._data)
        self.own_splits = tuple(key for key in SPLITS if self._data.get(key))
        self.keypoints = _keypoint_names(self._data, self._shape[0]) if self._shape else []

    def images(self) -> Iterator[LabelledImage]:
        """Yield every image; one without a file of labels has no objects."""
        of_splits = {split: self._images_of(split) for split in self._job.splits or (self._job.all_as,)}
        self._twins = _of_one_stem(path for paths in of_splits.values() for path in paths)
        self._there = frozenset(self._files.all)
        taken: set[str] = set()
        empty = 0
        for split, paths in of_splits.items():
            for path in paths:
                if path in taken:
                    self._job.tally.set_aside("image", path, "", Reason.IN_TWO_SPLITS)
                    continue
                taken.add(path)
                image = self._image(path, split)
                if image is not None:
                    empty += label_path(path) not in self._there
                    yield image
        self._orphans({posixpath.dirname(label_path(path)) for path in taken})
        if empty:
            self._job.tally.said.append(
                f"{counted(empty, 'image')} without a file of labels, taken for images without objects"
            )

    def _image(self, path: str, split: str) -> LabelledImage | None:
        """Return an image with its objects, or None where the tally says why there is none."""
        tally, labels = self._job.tally, label_path(path)
        if path in self._twins:
            tally.set_aside("image", path, "", Reason.TWO_OF_ONE_STEM, f"beside {self._twins[path]}")
            if path < self._twins[path]:
                self._without_image(labels)
            return None
        if (unsafe := refusal(path)) is not None:
            tally.set_aside("image", path, "", Reason.UNSAFE_NAME, unsafe)
            self._without_image(labels)
            return None
        try:
            size = self._files.size(path)
        except FileProblem as problem:
            tally.set_aside("image", path, "", Reason.IMAGE_UNREADABLE, problem)
            self._without_image(labels)
            return None
        try:
            lines = self._lines(labels)
        except FileProblem:
            tally.set_aside("image", path, "", Reason.UNREADABLE_FILE, labels)
            return None
        tally.keep("image")
        return LabelledImage(path, split, size, list(self._objects(labels, lines, size)))

    # -- which images

    def _images_of(self, split: str) -> list[str]:
        """Return the images of a split, or of all splits that data.yaml names, as sorted paths below the folder."""
        if self._job.splits:
            if split not in self._data:
                known = ", ".join(self.own_splits) or "none"
                raise CocomineError(
                    f"{self._files.root / self._name}: it names no split {split!r}",
                    f"it names {known}: say so in the source's `splits`, or write `{split}: images/{split}` into it",
                )
            named = [split]
        else:
            named = list(self.own_splits)
        places = [place for key in named for place in self._places(key)]
        if not named:
            return self._files.images
        found = [path for place in places for path in self._images_at(place)]
        return sorted(set(found))

    def _places(self, split: str) -> list[str]:
        """Return what data.yaml says of a split, as paths below the folder."""
        said = self._data[split]
        result = []
        for one in said if isinstance(said, list) else [said]:
            place = self._resolved(str(one))
            if place is not None:
                result.append(place)
            elif self._job.splits or split != "test":
                raise CocomineError(
                    f"{self._files.root / self._name}: {split}: {one}: no such folder or list below {self._files.root}",
                    "give the path from data.yaml, as images/train; the folder of the source must hold it",
                )
            else:
                self._job.tally.said.append(f"data.yaml names the test images {one}, which are not there")
        return result

    def _resolved(self, said: str) -> str | None:
        """Return the path below the folder of what data.yaml says, where there is something.

        Tried are the path from `path`, from data.yaml, and without what leads out of the folder, as Roboflow's ../.
        """
        base = str(self._data.get("path") or "")
        candidates = (self._files.within(base, said), self._files.within(said), self._files.within(said.lstrip("./")))
        return next((place for place in candidates if place is not None), None)

    def _images_at(self, place: str) -> Iterator[str]:
        """Yield the images below a folder, or those that a list names, which must lie below the folder."""
        if not place.endswith(".txt"):
            yield from self._files.below(place, self._files.images)
            return
        there = set(self._files.images)
        beside = posixpath.dirname(place)
        try:
            lines = self._files.text(place).splitlines()
        except FileProblem as problem:
            raise CocomineError(
                f"{self._files.root / place}: {problem}", "give a list of images, a path a line"
            ) from None
        for number, line in enumerate(lines, 1):
            said = line.strip()
            tried = [posixpath.normpath(posixpath.join(beside, said)), self._resolved(said) or ""]
            found = next((path for path in tried if path in there), None)
            if found is not None:
                yield found
            elif said:
                self._job.tally.set_aside("image", place, number, Reason.MISSING_IMAGE, said)

    # -- the labels

    def _lines(self, labels: str) -> list[tuple[int, str]]:
        """Return the lines of a file of labels that are not blank, with their numbers; none where there is no file.

        Raises FileProblem, once it is counted, for a file that cannot be read.
        """
        if labels not in self._there:
            return []
        try:
            text = self._files.text(labels)
        except FileProblem as problem:
            self._job.tally.set_aside("file", labels, "", Reason.UNREADABLE_FILE, problem)
            raise
        self._job.tally.keep("file")
        return [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]

    def _objects(self, labels: str, lines: Iterable[tuple[int, str]], size: tuple[int, int]) -> Iterator[Object]:
        tally = self._job.tally
        for number, line in lines:
            numbers = _numbers(line)
            wrong = self._wrong(numbers)
            if wrong:
                known = Object(self._class(numbers), None)
                yield tally.lose(labels, number, wrong, line, known)
                continue
            moved = self._moved(numbers)
            found = self._object(self._class(numbers), moved[1:], size)
            if found.category is None:
                yield tally.lose(labels, number, Reason.UNKNOWN_CLASS, line, found)
                continue
            if moved == numbers:
                tally.keep("label")
            else:
                before, after = zip(*((x, y) for x, y in zip(numbers, moved, strict=True) if x != y), strict=True)
                tally.repair(labels, number, Reason.JUST_OUTSIDE, list(before), list(after))
            yield found

    def _wrong(self, numbers: list[float]) -> Reason | None:
        """Return why the numbers of a line (all but NaN) are no label; None where they are, of whatever class."""
        if not numbers or not all(map(math.isfinite, numbers)):
            return Reason.NOT_A_NUMBER
        if not self._right_count(len(numbers)):
            return Reason.FIELD_COUNT
        if any(not LEAST <= numbers[place] <= MOST for place in self._shares(numbers)):
            return Reason.OUTSIDE
        if self._shape and self._shape[1] == 3 and any(seen not in (0, 1, 2) for seen in numbers[7::3]):
            return Reason.BAD_VISIBILITY
        return None

    def _class(self, numbers: list[float]) -> int | None:
        """Return the class index of a line, None where it is none of `names`."""
        assert self.classes is not None
        known = bool(numbers) and numbers[0] in range(len(self.classes))
        return int(numbers[0]) if known else None

    def _moved(self, numbers: list[float]) -> list[float]:
        """Return the numbers of a line with its shares moved into 0 to 1."""
        moved = numbers.copy()
        for place in self._shares(numbers):
            moved[place] = min(max(numbers[place], 0.0), 1.0)
        return moved

    def _right_count(self, count: int) -> bool:
        if self._shape:
            return count == 5 + self._shape[0] * self._shape[1]
        return count == 5 or (count >= 7 and count % 2 == 1)

    def _shares(self, numbers: Sequence[float]) -> list[int]:
        """Return the places of a line's numbers that are shares of the image: all but class and visibilities."""
        visible = self._shape is not None and self._shape[1] == 3
        return [place for place in range(1, len(numbers)) if not (visible and place >= 5 and place % 3 == 1)]

    def _object(self, index: int | None, numbers: list[float], size: tuple[int, int]) -> Object:
        width, height = size
        if len(numbers) > 4 and not self._shape:
            return outlined(index, [[share * size[place % 2] for place, share in enumerate(numbers)]])
        centre_x, centre_y, wide, high = numbers[:4]
        box = ((centre_x - wide / 2) * width, (centre_y - high / 2) * height, wide * width, high * height)
        return Object(index, box, keypoints=self._points(numbers[4:], size))

    def _points(self, numbers: list[float], size: tuple[int, int]) -> list[float] | None:
        """Return x, y and visibility of each keypoint; without visibility each is visible, as in Ultralytics."""
        if not self._shape:
            return None
        step = self._shape[1]
        points: list[float] = []
        for place in range(0, len(numbers), step):
            seen = numbers[place + 2] if step == 3 else 2
            points += [numbers[place] * size[0] * bool(seen), numbers[place + 1] * size[1] * bool(seen), seen]
        return points

    # -- labels without an image

    def _without_image(self, labels: str) -> None:
        with suppress(FileProblem):
            for number, line in self._lines(labels):
                self._job.tally.set_aside("label", labels, number, Reason.MISSING_IMAGE, line)

    def _orphans(self, folders: set[str]) -> None:
        """Count the labels of images that are not there, in the folders where labels of the splits lie."""
        owned = {label_path(path) for path in self._files.images}
        for path in sorted(self._there - owned):
            folder, _, name = path.rpartition("/")
            if folder in folders and "labels" in folder.split("/") and name.endswith(".txt") and name not in NOT_LABELS:
                self._without_image(path)


def _numbers(line: str) -> list[float]:
    """Return the numbers of a line, NaN for a word that is none."""
    return [_number(word) for word in line.split()]


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def label_path(image: str) -> str:
    """Return where the labels of an image lie: its last folder `images` is `labels`, and the ending .txt."""
    before, folder, after = f"/{image}".rpartition("/images/")
    return stem_of(f"{before}/labels/{after}" if folder else f"/{image}")[1:] + ".txt"


def _of_one_stem(paths: Iterable[str]) -> dict[str, str]:
    """Return the images whose labels are also another's, with that other."""
    owners: dict[str, list[str]] = {}
    for path in dict.fromkeys(paths):
        owners.setdefault(label_path(path), []).append(path)
    shared = [owned for owned in owners.values() if len(owned) > 1]
    return {path: next(other for other in owned if other != path) for owned in shared for path in owned}


def _data_yaml(job: Job) -> tuple[str, dict[str, Any]]:
    """Return the name and the content of data.yaml, of another YAML file that has `names`, or of a list of classes."""
    root = job.files.root
    present = [path for path in job.files.all if "/" not in path and path.endswith((".yaml", ".yml"))]
    for name in [one for one in ("data.yaml", "dataset.yaml") if one in present] or present:
        try:
            job.files.content(name)
        except FileProblem as problem:
            raise CocomineError(f"{root / name}: {problem}", "put a file of one's own there") from None
        content = read_yaml(root / name)
        if isinstance(content, dict) and "names" in content:
            return name, content
    listed = next((name for name in CLASS_LISTS if name in job.files.all), None)
    if listed is not None:
        return listed, {"names": _listed(root / listed, job.files, listed)}
    seen = f" ({', '.join(present)}: without `names`)" if present else ""
    raise CocomineError(f"{root}: no data.yaml in it that names the classes{seen}", DATA_YAML)


def _listed(where: Path, files: Files, path: str) -> list[str]:
    try:
        return [line.strip() for line in files.text(path).rstrip().split("\n")]
    except FileProblem as problem:
        raise CocomineError(f"{where}: {problem}", DATA_YAML) from None


def _names(where: str, data: dict[str, Any]) -> list[str]:
    """Return the names of the classes by index. Raises CocomineError where they are no list or gaps are among them."""
    said = data["names"]
    indexes = said if isinstance(said, dict) else dict(enumerate(said)) if isinstance(said, list) else {}
    if not indexes or sorted(map(str, indexes)) != sorted(map(str, range(len(indexes)))):
        raise CocomineError(f"{where}: `names` is no list of names, nor {{0: name, 1: name, …}}", DATA_YAML)
    by_index = {int(index): name for index, name in indexes.items()}
    for index, name in by_index.items():
        if not isinstance(name, str | int | float) or isinstance(name, bool) or not str(name).strip():
            raise CocomineError(
                f"{where}: the name of class {index} is {name!r}, no text",
                "put it into quotation marks: YAML reads yes, no, on and off as true and false",
            )
    count = data.get("nc", len(by_index))
    if count != len(by_index):
        raise CocomineError(
            f"{where}: nc is {count}, and `names` has {len(by_index)} names", "correct one of them, or remove nc"
        )
    return [str(by_index[index]) for index in range(len(by_index))]


def _keypoint_shape(where: str, data: dict[str, Any]) -> tuple[int, int] | None:
    shape = data.get("kpt_shape")
    if shape is None:
        return None
    right = isinstance(shape, list) and len(shape) == 2 and all(type(side) is int for side in shape)
    if not right or shape[0] < 1 or shape[1] not in (2, 3):
        raise CocomineError(
            f"{where}: kpt_shape is {shape!r}", "write [K, 3], or [K, 2] where labels have no visibility; K is a number"
        )
    return shape[0], shape[1]


def _keypoint_names(data: dict[str, Any], count: int) -> list[str]:
    """Return the names of the keypoints: `kpt_names` of the first class that has enough, or numbered ones."""
    said = data.get("kpt_names")
    lists = said.values() if isinstance(said, dict) else [said]
    fitting = (names for names in lists if isinstance(names, list) and len(names) == count)
    return [str(name) for name in next(fitting, [f"point_{number}" for number in range(1, count + 1)])]
