"""What predictions are judged on: images, their annotations, and what image and category ids stand for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from cocomine.base.errors import CocomineError
from cocomine.base.files import sha256_of_file
from cocomine.coco.labels import read_labels
from cocomine.evaluation.attributes import Images
from cocomine.evaluation.predictions import Split, read_split, training_images
from cocomine.evaluation.resampling import images_digest
from cocomine.evaluation.settings import JudgingSettings

NAMES = {
    "source": "ids of the source",
    "labels": "labels of labels.json (1, 2, …)",
    "indices": "indices (0, 1, …)",
}


def leaderboard(name: str, whole: bool) -> dict[str, Any]:
    """Say whether figures on `name`, a `whole` annotation file or else a subset, can be set beside published ones."""
    return {
        "comparable": whole,
        "because": (
            f"every image and class of {name} was judged as it is: comparable with figures on that file"
            if whole
            else f"{name} is a mined subset: not the images and classes of an official split"
        ),
    }


@dataclass(frozen=True)
class Ground:
    """The images and annotations that predictions of `task` are judged on.

    `annotations` is the COCO or panoptic file, `pngs` the folder of its PNGs; `categories` are its ids in the order of
    labels 1, 2, …, and `of_source` leads to them from the ids of the source's categories, of which a subset may have
    made classes; `subset_dir` is None where a source's own annotation file is judged as it is. `training` are the
    training images that are not judged, `tags` a user's table of images.
    """

    task: str
    subset_dir: Path | None
    split: Split
    annotations: Path
    pngs: Path | None = None
    categories: tuple[int, ...] = ()
    of_source: Mapping[int, int] = field(default_factory=dict)
    elsewhere: frozenset[int] = field(default=frozenset(), repr=False)
    training: Split = field(default_factory=lambda: Split((), (), "train"))
    tags: Path | None = None

    @property
    def name(self) -> str:
        """The subset, or the annotation file, by name."""
        return self.annotations.name if self.subset_dir is None else self.subset_dir.name

    @property
    def images_sha256(self) -> str:
        """The digest of the images: equal where the same ones are judged."""
        return images_digest(self.split.image_ids)

    def facts(self) -> dict[str, Any]:
        """Return what is said of the ground in metrics.json: which images, and whether a leaderboard has the same."""
        whole = self.subset_dir is None
        return {
            "judged_on": {
                "subset" if not whole else "file": self.name,
                "split": self.split.name,
                "images": len(self.split.image_ids),
                "classes": len(self.categories),
                "images_sha256": self.images_sha256,
                "truth_sha256": sha256_of_file(self.annotations) if self.annotations.is_file() else None,
            },
            **({} if self.tags is None else {"tags": {"sha256": sha256_of_file(self.tags)}}),
            "leaderboard": leaderboard(self.name, whole),
        }

    def pictured(self, image_ids: Sequence[int]) -> Images:
        """Return the judged images in the order of `image_ids`, the training images behind them."""
        names = dict(zip(self.split.image_ids, self.split.file_names, strict=True))
        ids = (*image_ids, *self.training.image_ids)
        return Images(ids, (*(names[image] for image in image_ids), *self.training.file_names), len(image_ids))

    def ids_of(self, settings: JudgingSettings) -> str:
        """Return what the predictions' classes are. Raises CocomineError where the settings must say so and do not."""
        made = any(stated != category for stated, category in self.of_source.items())
        if settings.category_ids is None and made:
            raise CocomineError(
                f"{self.name} has classes of its own, so that nothing tells what the predictions' category ids are",
                "say category_ids: labels where they are the subset's (1, 2, …), and category_ids: source where "
                "they are its source's",
            )
        return settings.categories_of(self.task)

    def category_of(self, ids: str) -> dict[int, int]:
        """Return the category id in `annotations` of each class id of the predictions."""
        starts = {"labels": 1, "indices": 0}
        if ids not in starts:
            return dict(self.of_source) or {category: category for category in self.categories}
        return dict(enumerate(self.categories, starts[ids]))

    def image_of(self, ids: str) -> dict[int | str, int]:
        """Return the image id of what stands as image_id in the predictions. Raises CocomineError for equal stems."""
        if ids == "source":
            return {image: image for image in self.split.image_ids}
        stems: dict[int | str, int] = {}
        for image, name in zip(self.split.image_ids, self.split.file_names, strict=True):
            stem = Path(name).stem
            if stem in stems:
                raise CocomineError(
                    f"images {stems[stem]} and {image} have the same file name {stem!r} without its ending",
                    "write the source's image ids and leave image_ids out",
                )
            stems[stem] = image
            # Ultralytics writes the stem 000000000044 as the number 44.
            if stem.isdecimal():
                stems.setdefault(int(stem), image)
        return stems


def ground_of_subset(subset_dir: Path, settings: JudgingSettings, task: str, tags: Path | None = None) -> Ground:
    """Return the ground of a subset's split. Raises CocomineError for a file that is not there."""
    split, every = read_split(subset_dir, settings.split), read_split(subset_dir, "all")
    files = {"keypoints": "tasks/person_keypoints.json", "panoptic": "masks/panoptic.json"}
    path = subset_dir / files.get(task, "subset.json")
    if task != "semantic" and not path.exists():
        raise CocomineError(
            f"{path}: no such file", f"predictions of {task} are judged on it: build it, or name --annotations"
        )
    if task == "keypoints":
        categories, of_source = _categories(_listed(path))
    else:
        labels = read_labels(subset_dir / "labels.json")
        ids = labels.category_ids
        categories = tuple(category for category in ids if category is not None)
        of_source = {stated: ids[label] or 0 for stated, label in labels.source_to_label.items()}
    elsewhere = frozenset(every.image_ids) - frozenset(split.image_ids)
    pngs = subset_dir / "masks" / "panoptic"
    training = training_images(subset_dir, split)
    return Ground(task, subset_dir, split, path, pngs, categories, of_source, elsewhere, training, tags)


def ground_of_file(annotations: Path, pngs: Path | None, task: str, tags: Path | None = None) -> Ground:
    """Return the ground of an annotation file as it is: all its images and categories. Raises CocomineError."""
    if task == "semantic":
        raise CocomineError("semantic masks are judged on a subset", "give --subset-dir")
    if task == "panoptic" and pngs is None:
        raise CocomineError("a panoptic --annotations without its PNGs", "name their folder with --annotation-pngs")
    listed = _listed(annotations)
    images = sorted((image.id, image.file_name) for image in listed.images)
    split = Split(tuple(image for image, _ in images), tuple(name for _, name in images))
    return Ground(task, None, split, annotations, pngs, *_categories(listed), tags=tags)


class _Part(msgspec.Struct, gc=False):
    id: int


class _Category(_Part, gc=False):
    source_categories: list[_Part] = []


class _Image(_Part, gc=False):
    file_name: str


class _Listed(msgspec.Struct):
    """What an annotation file lists beside its annotations, which are read once, by cocomine.evaluation.truth."""

    images: list[_Image]
    categories: list[_Category]


def _listed(path: Path) -> _Listed:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Listed)
    except (OSError, msgspec.DecodeError, RecursionError) as error:
        raise CocomineError(
            f"{path}: not an annotation file of COCO: {error}", "it holds images and categories"
        ) from error


def _categories(listed: _Listed) -> tuple[tuple[int, ...], dict[int, int]]:
    """Return the ids of the categories, and those to which the ids of the source's lead."""
    made_of = {category.id: category.source_categories or [category] for category in listed.categories}
    return tuple(made_of), {one.id: identity for identity, ones in made_of.items() for one in ones}


def check_categories(found: Iterable[int], ground: Ground, ids: str, where: Path) -> None:
    """Raise CocomineError where class ids are unknown as `ids` and all of them would be known as something else."""
    classes = set(found)
    unknown = sorted(classes - ground.category_of(ids).keys())
    if not unknown:
        return
    better = [other for other in NAMES if other != ids and classes <= ground.category_of(other).keys()]
    if better:
        raise CocomineError(
            f"{where}: the category {unknown[0]} is none of the {NAMES[ids]}, and all of its categories are "
            f"{NAMES[better[0]]}",
            f"say so with category_ids: {better[0]}",
        )
