"""The strategies: which split, and which fold, each image goes to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cocomine.base.errors import CocomineError
from cocomine.base.files import rank
from cocomine.mining.image_list import image_list, plain_name
from cocomine.splits.choose import balance, nearest, take
from cocomine.splits.settings import SplitSettings

NO_FOLD = -1


@dataclass(frozen=True)
class Member:
    """What a strategy may know of an image; `labels` are the category ids that it holds."""

    image_id: int
    source_split: str
    file_name: str
    group: int
    labels: tuple[int, ...] = ()


@dataclass
class Assignment:
    """Which images (by place) are in val, the fold of each (-1 where there are none), and what to tell about it.

    `share` is the share of val that was aimed at, None where it follows from lists or the source; `target` and
    `nearest` are the number of images asked for and the nearest that the groups allow. `moved` are images that a
    near-duplicate drew to the other split than their source or list says. `note` says what else could not be as it was
    asked for.
    """

    in_val: list[bool]
    fold: list[int]
    share: float | None = None
    target: int | None = None
    nearest: int | None = None
    moved: list[int] = field(default_factory=list)
    note: str = ""


def assign(members: Sequence[Member], settings: SplitSettings) -> Assignment:
    """Give every member a split. Raises CocomineError when a split would be empty or a list does not add up."""
    if settings.strategy == "official":
        result = _official(members, settings)
    elif settings.strategy == "lists":
        result = _lists(members, settings)
    elif settings.strategy == "kfold":
        result = _kfold(members, settings)
    else:
        result = _shared(members, settings)
    count = sum(result.in_val)
    if count == 0 or count == len(members):
        raise CocomineError(
            f"split: {settings.strategy} puts {count} of {len(members)} images into val, so one split is empty",
            _remedy(settings, members),
        )
    return result


def _remedy(settings: SplitSettings, members: Sequence[Member]) -> str:
    if settings.strategy == "official":
        names = sorted({member.source_split for member in members})
        return f"the images come from {', '.join(names)}: name those of val in split.official_val, or choose hash"
    if settings.strategy == "lists":
        return "put images on both lists, or set split.unlisted"
    return "ask for more images in the subset, or for another share; all may be near-duplicates that stay together"


def inherit(members: Sequence[Member], splits: Mapping[int, tuple[str, int]], settings: SplitSettings) -> Assignment:
    """Give every member the split and fold that another split gives it, by image id.

    Images that the other split does not know follow a near-duplicate that it knows, and are dealt out by hash
    otherwise. Raises CocomineError when a split is empty.
    """
    result = Assignment([False] * len(members), [NO_FOLD] * len(members), share=settings.val_share)
    known_groups: dict[int, tuple[str, int]] = {}
    for member in members:
        if member.image_id in splits:
            # A group that the other split already parts cannot leak more: the val split rules for newcomers.
            before = known_groups.get(member.group)
            if before is None or before[0] == "train":
                known_groups[member.group] = splits[member.image_id]
    unknown = [place for place, member in enumerate(members) if member.image_id not in splits]
    free = [place for place in unknown if members[place].group not in known_groups]
    dealt = _dealt(members, free, splits, settings)
    for place, member in enumerate(members):
        split = splits.get(member.image_id) or known_groups.get(member.group) or dealt[place]
        result.in_val[place] = split[0] == "val"
        result.fold[place] = split[1]
    count = sum(result.in_val)
    if count == 0 or count == len(members):
        raise CocomineError(
            f"split: of {len(members)} images, {count} are in val of the split that is inherited",
            "take images_from a subset that shares images of both splits with this one",
        )
    return result


def _dealt(
    members: Sequence[Member], places: Sequence[int], splits: Mapping[int, tuple[str, int]], settings: SplitSettings
) -> dict[int, tuple[str, int]]:
    """Return split and fold by hash for members that another split does not know: its folds, where it has any."""
    folds = sorted({fold for _, fold in splits.values()} - {NO_FOLD})
    of_val = {fold for split, fold in splits.values() if split == "val"}
    if not folds or of_val & {fold for split, fold in splits.values() if split == "train"}:
        drawn = _taken(members, places, round(settings.val_share * len(places)), settings.seed) if places else set()
        return {place: ("val" if place in drawn else "train", NO_FOLD) for place in places}
    result: dict[int, tuple[str, int]] = {}
    for unit in _units(members, places, settings.seed):
        fold = folds[_key(members, unit, settings.seed)[0] % len(folds)]
        result |= dict.fromkeys(unit, ("val" if fold in of_val else "train", fold))
    return result


def _units(members: Sequence[Member], places: Sequence[int], seed: int) -> list[list[int]]:
    """Return the groups among `places` in the order of their hash: that of the smallest image id of each."""
    groups: dict[int, list[int]] = {}
    for place in places:
        groups.setdefault(members[place].group, []).append(place)
    return sorted(groups.values(), key=lambda unit: _key(members, unit, seed))


def _key(members: Sequence[Member], unit: Sequence[int], seed: int) -> tuple[int, int]:
    first = min(members[place].image_id for place in unit)
    return rank(f"split:{seed}", first), first


def _taken(members: Sequence[Member], places: Sequence[int], target: int, seed: int) -> set[int]:
    units = _units(members, places, seed)
    chosen = take([len(unit) for unit in units], target)
    return {place for unit, taken in zip(units, chosen, strict=True) if taken for place in unit}


def _shared(members: Sequence[Member], settings: SplitSettings) -> Assignment:
    """The strategies hash and stratified: `val_share` of the images, as a rounded number."""
    places = range(len(members))
    target = round(settings.val_share * len(members))
    units = _units(members, places, settings.seed)
    sizes = [len(unit) for unit in units]
    if settings.strategy == "stratified":
        order = sorted({label for member in members for label in member.labels})
        column = {label: number for number, label in enumerate(order)}
        # An image without any object is a class of its own, so that both splits get their share of them too.
        labels: NDArray[np.int64] = np.zeros((len(units), len(order) + 1), dtype=np.int64)
        for number, unit in enumerate(units):
            for place in unit:
                columns = [column[label] for label in members[place].labels] or [len(order)]
                labels[number, columns] += 1
        chosen = balance(np.array(sizes), labels, settings.val_share, target).tolist()
    else:
        chosen = take(sizes, target)
    in_val = [False] * len(members)
    for unit, taken in zip(units, chosen, strict=True):
        for place in unit:
            in_val[place] = taken
    counts: dict[int, int] = {}
    for size in sizes:
        counts[size] = counts.get(size, 0) + 1
    possible = nearest(sorted(counts.items()), target, part=True)
    return Assignment(in_val, [NO_FOLD] * len(members), settings.val_share, target, possible)


def _kfold(members: Sequence[Member], settings: SplitSettings) -> Assignment:
    """Cut the order of the hash into `folds` stretches of the same number of images, as nearly as groups allow."""
    count, folds = len(members), settings.folds
    fold = [folds - 1] * count
    left = list(range(count))
    done = 0
    for number in range(folds - 1):
        target = round(count * (number + 1) / folds) - done
        taken = _taken(members, left, target, settings.seed)
        for place in taken:
            fold[place] = number
        left = [place for place in left if place not in taken]
        done += len(taken)
    sizes = [fold.count(number) for number in range(folds)]
    if not all(sizes):
        fold = _spread(members, settings)
        sizes = [fold.count(number) for number in range(folds)]
    note = ""
    if max(sizes) - min(sizes) > 1:
        note = f"groups stay together, so the folds hold {', '.join(map(str, sizes))} images and not the same number"
    in_val = [number == settings.fold for number in fold]
    target = round(count * (settings.fold + 1) / folds) - round(count * settings.fold / folds)
    return Assignment(in_val, fold, 1 / folds, target, None, note=note)


def _spread(members: Sequence[Member], settings: SplitSettings) -> list[int]:
    """Return a fold for each member: the largest groups first, each to the fold that holds least so far.

    For groups so large that stretches of the hash order leave a fold empty. Raises CocomineError when there are fewer
    groups than folds.
    """
    units = _units(members, range(len(members)), settings.seed)
    if len(units) < settings.folds:
        raise CocomineError(
            f"split: {len(units)} groups that stay together ({len(members)} images) cannot fill {settings.folds} folds",
            "ask for fewer folds in split.folds, or for more images in the subset",
        )
    fold = [0] * len(members)
    sizes = [0] * settings.folds
    for unit in sorted(units, key=len, reverse=True):
        number = sizes.index(min(sizes))
        sizes[number] += len(unit)
        for place in unit:
            fold[place] = number
    return fold


def _official(members: Sequence[Member], settings: SplitSettings) -> Assignment:
    """Keep the source's splits; a near-duplicate of a val image comes to val too, so the official val stays whole."""
    names = sorted({member.source_split for member in members})
    unknown = [name for name in settings.official_val if name not in names]
    if unknown:
        raise CocomineError(
            f"split.official_val: no image comes from {', '.join(unknown)}", f"the splits are {', '.join(names)}"
        )
    of_val = set(settings.official_val) or {name for name in names if name.lower().startswith("val")}
    groups = {member.group for member in members if member.source_split in of_val}
    in_val = [member.group in groups for member in members]
    moved = [p.image_id for p, val in zip(members, in_val, strict=True) if val and p.source_split not in of_val]
    return Assignment(in_val, [NO_FOLD] * len(members), moved=sorted(moved))


def _lists(members: Sequence[Member], settings: SplitSettings) -> Assignment:
    """Follow the lists to the letter; near-duplicates in two splits are an error unless they are allowed."""
    listed = {
        "train": image_list(settings.train_list, "split.train_list"),
        "val": image_list(settings.val_list, "split.val_list"),
    }
    asked = {name: (one.ids, one.names) for name, one in listed.items()}
    split: dict[int, str] = {}
    for place, member in enumerate(members):
        splits = [
            name
            for name, (ids, names) in asked.items()
            if member.image_id in ids or plain_name(member.file_name) in names
        ]
        if len(splits) == 2:
            raise CocomineError(
                f"split: image {member.image_id} ({member.file_name}) is on both lists", "take it off one of them"
            )
        if splits:
            split[place] = splits[0]
    ids = {member.image_id for member in members}
    file_names = {plain_name(member.file_name) for member in members}
    unmatched = {name: one.unmatched(ids, file_names) for name, one in listed.items()}
    notes = [
        f"split.{name}_list: {listed[name].told(entries, 'of the subset')}"
        for name, entries in unmatched.items()
        if entries
    ]
    if not split:
        raise CocomineError(
            "split: " + ("; ".join(notes) or "the lists are empty"),
            "give ids or file names of the subset's images, which images.tsv lists",
        )
    group_split: dict[int, tuple[str, int]] = {}
    for place, name in split.items():
        other = group_split.setdefault(members[place].group, (name, members[place].image_id))
        if other[0] != name:
            raise CocomineError(
                f"split: image {members[place].image_id} is listed for {name} and its near-duplicate {other[1]} for "
                f"{other[0]}",
                "list both for one split, or set split.near_duplicates: allow if they only look alike",
            )
    moved = []
    for place, member in enumerate(members):
        if place not in split:
            if member.group in group_split:
                split[place] = group_split[member.group][0]
                moved.append(member.image_id)
            elif settings.unlisted == "stop":
                missing = len(members) - len(split)
                raise CocomineError(
                    f"split: {missing} images are on neither list, one is {member.image_id} ({member.file_name})",
                    "list them, or set split.unlisted to train or val",
                )
            else:
                split[place] = settings.unlisted
    in_val = [split[place] == "val" for place in range(len(members))]
    return Assignment(in_val, [NO_FOLD] * len(members), moved=sorted(moved), note="; ".join(notes))
