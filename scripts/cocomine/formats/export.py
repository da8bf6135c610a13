"""Writing a subset in a format of the field: image files placed, labels rewritten, losses counted.

A format writes into an empty folder beside the export's place, which the folder takes when it is complete. The manifest
lists every file with its hash, so that a copy of the folder on another machine can be checked.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json, write_json
from cocomine.base.folder import replaced_folder
from cocomine.base.progress import Progress
from cocomine.base.space import require_space
from cocomine.formats.format import Format, Writer
from cocomine.formats.losses import LOSSES
from cocomine.formats.output import DEFAULT, IMAGE_MODES, Options, Output, Placed, check_names, shared_copy
from cocomine.formats.registry import format_called
from cocomine.formats.subset import Item, Subset, open_subset
from cocomine.formats.tally import Tally

MANIFEST = "manifest.json"
MUCH = 0.01
"""Share of a class's objects whose loss is worth a warning."""


def export_dataset(
    format_name: str, subset_dir: Path, store_dir: Path, out_dir: Path, options: Options = DEFAULT
) -> dict[str, Any]:
    """Export the subset in `subset_dir`, whose image files lie in `store_dir`, to `out_dir`; return the manifest.

    `out_dir` is replaced as a whole when it holds an earlier export. Nothing in it depends on where it lies or on the
    time. Raises CocomineError, before anything is written, for an unknown format, a subset
    that the format cannot hold, names that would collide and a disk without room; and later for a missing file, and an
    image file that is not the one that was fetched.
    """
    chosen = format_called(format_name)
    if options.images not in IMAGE_MODES:
        raise CocomineError(f"images: {options.images!r} is not known", f"use one of: {', '.join(IMAGE_MODES)}")
    if options.images == "none" and chosen.images == "placed":
        raise CocomineError(
            f"images: none: readers of {format_name} look for the image files beside its labels",
            "use hardlink, symlink or copy",
        )
    subset = open_subset(subset_dir, store_dir)
    _check_masks(chosen, subset)
    writer = chosen.writer(subset, options)
    writer.check()
    groups = [subset.splits] if chosen.one_folder else [(split,) for split in subset.splits]
    for splits in [] if chosen.images in ("embedded", "named") else groups:
        names = (image.file_name for split in splits for image in subset.images(split))
        check_names(", ".join(splits), names, chosen.by_stem)
    require_space(out_dir, room_needed(chosen, subset, options), f"the export {chosen.name}")
    tallies: dict[str, Tally] = {}
    with replaced_folder(out_dir, MANIFEST) as folder, Output(folder, out_dir, options) as out:
        if absent := [(path, sha256) for path, sha256, _ in _lacking(chosen, subset, options)]:
            with Progress(f"copy images for {chosen.name} and other exports", len(absent), "image") as progress:
                out.share(absent, progress)
        for split in subset.splits:
            tally = tallies[split] = Tally()
            with Progress(f"export {chosen.name} {split}", None, "image") as progress:
                writer.write_split(split, _watched(subset.items(split), progress), tally, out)
            _note_other_tasks(writer, subset, split, tally)
        writer.finish(out)
        manifest = _manifest(chosen, writer, subset, tallies, out.files)
        write_json(folder / MANIFEST, manifest)
    return manifest


def _check_masks(chosen: Format, subset: Subset) -> None:
    """Raise CocomineError when the masks that the format shows were not drawn, though others were."""
    manifest = subset.folder / "masks.json"
    if manifest.is_file() and read_json(manifest)["settings"].get("outputs") == []:
        return
    for kind in chosen.masks:
        if not (subset.folder / "masks" / kind).is_dir():
            raise CocomineError(
                f"{chosen.name}: it shows {kind} masks, and {subset.folder / 'masks'} holds none",
                f"add {kind} to masks.outputs in the config, or leave {chosen.name} out of exports",
            )


def room_needed(chosen: Format, subset: Subset, options: Options) -> int:
    """Return about how many bytes the export takes: its documents, and the image files that it has to copy.

    What an earlier export copied into the folder that exports share is there already.
    """
    documents = sum(subset.path(split).stat().st_size for split in subset.splits)
    placed = chosen.images in ("placed", "listed")
    if chosen.images == "embedded" or (placed and options.images == "copy"):
        return documents + sum(size for _, size in subset.locked.values())
    return documents + sum(size for _, _, size in _lacking(chosen, subset, options))


def _lacking(chosen: Format, subset: Subset, options: Options) -> Iterator[tuple[Path, str, int]]:
    """Yield the image files whose copy, which exports share, is not there yet: with their SHA-256 and bytes."""
    if chosen.images not in ("placed", "listed") or options.images != "hardlink" or options.copies is None:
        return
    for image, (sha256, size) in subset.locked.items():
        if image in subset.store_path_of and sha256:
            path = subset.store / subset.store_path_of[image]
            real = path.resolve() if path.is_symlink() else path  # a copy has the suffix of the file itself
            if not shared_copy(options.copies, sha256, real).exists():
                yield path, sha256, size


def much_lost(manifest: dict[str, Any]) -> list[str]:
    """Return a line for each class that lost more than 1 % of its objects, those that lost most first."""
    rows = [row for row in manifest["by_class"] if row["objects_in"] - row["objects_out"] > MUCH * row["objects_in"]]
    rows.sort(key=lambda row: (row["objects_out"] - row["objects_in"], row["name"]))
    return [
        f"{row['name']}: {row['objects_in'] - row['objects_out']} of {row['objects_in']} objects are not in it"
        for row in rows
    ]


def _watched(items: Iterable[Item], progress: Progress) -> Iterator[Item]:
    """Pass the images on, and tell of them."""
    for item in items:
        yield item
        progress.advance()


def _note_other_tasks(writer: Writer, subset: Subset, split: str, tally: Tally) -> None:
    """Count the records that the format has no place for."""
    if "licence" not in writer.carries:
        tally.note("licence", tally.images)
    for task, document in subset.other_tasks(split).items():
        if task not in writer.carries:
            tally.note(task, len(document))


def _manifest(
    chosen: Format, writer: Writer, subset: Subset, tallies: dict[str, Tally], placed: list[Placed]
) -> dict[str, Any]:
    splits = {split: tally.summary() for split, tally in tallies.items()}
    losses: Counter[str] = Counter()
    for tally in tallies.values():
        losses.update(tally.losses)
    losses.update({code: len(subset.classes) for code in writer.loses_of_classes})
    losses["class-name"] += len(writer.class_names)
    return {
        "format": chosen.name,
        "what": chosen.what,
        "load": chosen.load,
        "classes": list(subset.classes),
        **({"class_names": writer.class_names} if writer.class_names else {}),
        "splits": splits,
        "totals": {
            key: sum(split[key] for split in splits.values())
            for key in ("images", "images_without_objects", "objects_in", "objects_out")
        },
        "by_class": _by_class(subset, tallies.values()),
        "not_carried": [
            {
                "code": loss.code,
                "unit": loss.unit,
                "count": losses[loss.code],
                "drops": loss.drops,
                "meaning": loss.meaning,
            }
            for loss in LOSSES.values()
            if losses[loss.code]
        ],
        "files": [
            {"path": file.path, "bytes": file.bytes, "sha256": file.sha256}
            for file in sorted(placed, key=lambda file: file.path)
        ],
    }


def _by_class(subset: Subset, tallies: Iterable[Tally]) -> list[dict[str, Any]]:
    taken: Counter[int] = Counter()
    lost: Counter[int] = Counter()
    for tally in tallies:
        for category, index in subset.index_of.items():
            taken[index] += tally.taken[category]
            lost[index] += tally.lost[category]
    return [
        {"name": name, "objects_in": taken[index], "objects_out": taken[index] - lost[index]}
        for index, name in enumerate(subset.classes)
    ]
