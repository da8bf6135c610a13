"""The strategies: which split, and which fold, each image goes to."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cocomine.base.errors import CocomineError
from cocomine.base.files import rank
from cocomine.mining.image_list import image_list, plain_name
from cocomine.splits.choose import deal, nearest
from cocomine.splits.names import USUAL, in_order
from cocomine.splits.settings import SplitSettings

NO_FOLD = -1


@dataclass(frozen=True, slots=True)
class Member:
    """What a strategy may know of an image; `labels` are the category ids that it holds."""

    image_id: int
    source_split: str
    file_name: str
    group: int
    labels: tuple[int, ...] = ()


@dataclass
class Assignment:
    """The split of each image (by place), its fold (-1 where there are none), and what to tell about it.

    `shares` are those that were aimed at, empty where they follow from lists or the source; `asked` and `nearest` are
    the number of images asked for in a split and the nearest that the groups allow. `moved` are images that a
    near-duplicate drew to another split than their source or list says, `unlisted` those that are in no list or source
    split that makes one. `note` says what else could not be as it was asked for.
    """

    split: list[str]
    fold: list[int]
    shares: Mapping[str, float] = field(default_factory=dict)
    asked: Mapping[str, int] = field(default_factory=dict)
    nearest: Mapping[str, int] = field(default_factory=dict)
    moved: list[int] = field(default_factory=list)
    unlisted: list[int] = field(default_factory=list)
    note: str = ""


def assign(members: Sequence[Member], settings: SplitSettings) -> Assignment:
    """Give every member a split. Raises CocomineError when a split would be empty or a list does not add up."""
    if settings.strategy == "official":
        result = _official(members, settings)
    elif settings.strategy == "lists":
        result = _lists(members, settings)
    elif settings.strategy.endswith("kfold"):
        result = _kfold(members, settings)
    else:
        result = _shared(members, settings)
    names = in_order([*settings.named, *result.split])
    empty = [name for name in names if name not in result.split]
    if empty or len(names) < 2:
        told = f"no image goes to {', '.join(empty)}" if empty else f"every image goes to {names[0]}"
        raise CocomineError(f"split: {settings.strategy}: of {len(members)} images, {told}", _remedy(settings, members))
    return result


def _remedy(settings: SplitSettings, members: Sequence[Member]) -> str:
    if settings.strategy == "official":
        names = sorted({member.source_split for member in members})
        return f"the images come from {', '.join(names)}: say in split.official which make which split, or choose hash"
    if settings.strategy == "lists":
        return "put images on each list, or set split.unlisted"
    return "ask for more images in the subset, or for other shares; all may be near-duplicates that stay together"


def inherit(members: Sequence[Member], splits: Mapping[int, tuple[str, int]], settings: SplitSettings) -> Assignment:
    """Give every member the split and fold that another split gives it, by image id.

    Images that the other split does not know follow a near-duplicate that it knows, and are dealt out by hash
    otherwise. Raises CocomineError when a split is empty.
    """
    result = Assignment([""] * len(members), [NO_FOLD] * len(members))
    names = in_order(split for split, _ in splits.values())
    known_groups: dict[int, tuple[str, int]] = {}
    for member in members:
        if member.image_id in splits:
            # A group that the other split already parts cannot leak more: newcomers follow what is judged, not train.
            before, own = known_groups.get(member.group), splits[member.image_id]
            if before is None or names.index(own[0]) > names.index(before[0]):
                known_groups[member.group] = own
    unknown = [place for place, member in enumerate(members) if member.image_id not in splits]
    free = [place for place in unknown if members[place].group not in known_groups]
    dealt = _dealt(members, free, splits, settings)
    for place, member in enumerate(members):
        split = splits.get(member.image_id) or known_groups.get(member.group) or dealt[place]
        result.split[place], result.fold[place] = split
    empty = [name for name in names if name not in result.split]
    if empty or len(names) < 2:
        raise CocomineError(
            f"split: of {len(members)} images, none is in {', '.join(empty) or 'another split'} of the split that is "
            "inherited",
            "take images_from a subset that shares images of each split with this one",
        )
    return result


def _dealt(
    members: Sequence[Member], places: Sequence[int], splits: Mapping[int, tuple[str, int]], settings: SplitSettings
) -> dict[int, tuple[str, int]]:
    """Return split and fold by hash for members that another split does not know: its folds, where it has any."""
    folds: dict[int, set[str]] = {}
    for split, fold in splits.values():
        folds.setdefault(fold, set()).add(split)
    apart = folds.pop(NO_FOLD, set())
    if not folds or any(len(names) > 1 for names in folds.values()):
        counts = Counter(split for split, _ in splits.values())
        own = {name: settings.shares.get(name, 0.0) for name in counts}
        shares = own if all(own.values()) and own.keys() == settings.shares.keys() else counts
        return {place: (split, NO_FOLD) for place, split in _by_hash(members, places, shares, settings.seed).items()}
    numbers = sorted(folds)
    result: dict[int, tuple[str, int]] = {}
    counts = Counter(split if split in apart else USUAL[0] for split, _ in splits.values())
    split_of = _by_hash(members, places, counts, settings.seed)
    for unit in _units(members, places, settings.seed):
        fold = numbers[_key(members, unit, settings.seed)[0] % len(numbers)]
        own_split = split_of[unit[0]]
        where = (own_split, NO_FOLD) if own_split in apart else (next(iter(folds[fold])), fold)
        result |= dict.fromkeys(unit, where)
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


def _by_hash(
    members: Sequence[Member], places: Sequence[int], shares: Mapping[str, float], seed: int
) -> dict[int, str]:
    """Return the split of each of `places` by shares, as nearly as there are groups; some may get none."""
    units = _units(members, places, seed)
    drawn = _drawn(shares)[-max(len(units), 1) :]
    part = deal([len(unit) for unit in units], [shares[name] for name in drawn])
    return {place: drawn[number] for unit, number in zip(units, part, strict=True) for place in unit}


def _drawn(shares: Iterable[str]) -> tuple[str, ...]:
    """Return splits in the order in which they are drawn: the first of all, usually train, takes what is left."""
    first, *others = in_order(shares)
    return (*others, first)


def _labels(members: Sequence[Member], units: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Return how many images of each group hold each label, (g, c)."""
    order = sorted({label for unit in units for place in unit for label in members[place].labels})
    column = {label: number for number, label in enumerate(order)}
    # An image without any object is a class of its own, so that every split gets its share of them too.
    labels: NDArray[np.int64] = np.zeros((len(units), len(order) + 1), dtype=np.int64)
    for number, unit in enumerate(units):
        for place in unit:
            labels[number, [column[label] for label in members[place].labels] or [len(order)]] += 1
    return labels


def _parts(
    members: Sequence[Member],
    units: Sequence[Sequence[int]],
    weights: Sequence[float],
    settings: SplitSettings,
    of: str,
) -> list[int]:
    """Return the part of each group; raise CocomineError when there are fewer groups than parts."""
    if len(units) < len(weights):
        count = sum(map(len, units))
        raise CocomineError(
            f"split: {len(units)} groups that stay together ({count} images) cannot fill {len(weights)} {of}",
            f"ask for fewer {of} in split.{'folds' if of == 'folds' else 'shares'}, or for more images in the subset",
        )
    labels = _labels(members, units) if settings.strategy.startswith("stratified") else None
    return deal([len(unit) for unit in units], weights, labels)


def _shared(members: Sequence[Member], settings: SplitSettings) -> Assignment:
    """The strategies hash and stratified: of each split its share of the images, as a rounded number."""
    units, drawn = _units(members, range(len(members)), settings.seed), _drawn(settings.shares)
    part = _parts(members, units, [settings.shares[name] for name in drawn], settings, "splits")
    split = [""] * len(members)
    for unit, number in zip(units, part, strict=True):
        for place in unit:
            split[place] = drawn[number]
    asked = _asked(settings.shares, len(members))
    counts = sorted(Counter(map(len, units)).items())
    possible = {name: nearest(counts, number, part=True) for name, number in asked.items()}
    return Assignment(split, [NO_FOLD] * len(members), settings.shares, asked, possible)


def _asked(shares: Mapping[str, float], images: int) -> dict[str, int]:
    """Return the number of images that each split but the one that takes what is left should have."""
    result, done, whole, cumulative = {}, 0, sum(shares.values()), 0.0
    for name in _drawn(shares)[:-1]:
        cumulative += shares[name]
        result[name] = round(images * cumulative / whole) - done
        done += result[name]
    return result


def _kfold(members: Sequence[Member], settings: SplitSettings) -> Assignment:
    """Set the other splits aside, then cut what is left into `folds` of the same number, as nearly as groups allow."""
    count, folds = len(members), settings.folds
    shares, (train, val) = settings.shares, USUAL[:2]
    aside = [name for name in _drawn(shares) if name not in (train, val)]
    units = _units(members, range(count), settings.seed)
    split, fold = [train] * count, [NO_FOLD] * count
    if aside:
        together = {name: shares[name] for name in aside} | {train: shares[train] + shares[val]}
        part = _parts(members, units, list(together.values()), settings, "splits")
        for unit, number in zip(units, part, strict=True):
            for place in unit:
                split[place] = list(together)[number]
        units = [unit for unit in units if split[unit[0]] == train]
    part = _parts(members, units, [1] * folds, settings, "folds")
    for unit, number in zip(units, part, strict=True):
        for place in unit:
            fold[place] = number
            split[place] = val if number == settings.fold else train
    sizes = [fold.count(number) for number in range(folds)]
    note = ""
    if max(sizes) - min(sizes) > 1:
        note = f"groups stay together, so the folds hold {', '.join(map(str, sizes))} images and not the same number"
    left = 1 - sum(shares[name] for name in aside)
    wanted = {name: shares[name] for name in aside} | {train: left - left / folds, val: left / folds}
    in_folds = sum(sizes)
    target = round(in_folds * (settings.fold + 1) / folds) - round(in_folds * settings.fold / folds)
    asked = {name: number for name, number in _asked(shares, count).items() if name in aside} | {val: target}
    return Assignment(split, fold, wanted, asked, {}, note=note)


def _fixed(members: Sequence[Member], fixed: Mapping[int, str], settings: SplitSettings, what: str) -> Assignment:
    """Return every member's split, where `fixed` (by place) says that of some.

    A group goes to the last of its splits in their order, so what is judged stays whole and train gives way. Images
    without a split follow a near-duplicate that has one, and otherwise go where `unlisted` says.
    """
    names = in_order(fixed.values())
    of_group: dict[int, str] = {}
    for place, name in fixed.items():
        group = members[place].group
        of_group[group] = max(name, of_group.get(group, name), key=names.index)
    free = [place for place, member in enumerate(members) if member.group not in of_group]
    if free and settings.unlisted == "stop":
        one = members[free[0]]
        raise CocomineError(
            f"split: {len(free)} images are {what}, one is {one.image_id} ({one.file_name}) of {one.source_split}",
            f"name them in split.{settings.strategy}, or set split.unlisted to the name of a split, or to shares",
        )
    dealt = _by_hash(members, free, settings.shares, settings.seed) if settings.unlisted == "shares" else {}
    split = [of_group.get(member.group) or dealt.get(place, settings.unlisted) for place, member in enumerate(members)]
    led = (p for p, m in enumerate(members) if m.group in of_group and fixed.get(p) != split[p])
    moved, unlisted = sorted(members[p].image_id for p in led), sorted(members[p].image_id for p in free)
    return Assignment(split, [NO_FOLD] * len(members), moved=moved, unlisted=unlisted)


def _official(members: Sequence[Member], settings: SplitSettings) -> Assignment:
    """Keep the source's splits; a near-duplicate of a test or val image comes to it, so these stay whole."""
    present = sorted({member.source_split for member in members})
    stated = {source: name for name, sources in settings.official.items() for source in sources}
    unknown = [source for source in stated if source not in present]
    if unknown:
        raise CocomineError(
            f"split.official: no image comes from {', '.join(unknown)}", f"the splits are {', '.join(present)}"
        )
    split_of = stated or {one: name for one in present for name in USUAL if one.lower().startswith(name)}
    fixed = {place: split_of[m.source_split] for place, m in enumerate(members) if m.source_split in split_of}
    others = ", ".join(one for one in present if one not in split_of)
    return _fixed(members, fixed, settings, f"of source splits that make no split ({others})")


def _lists(members: Sequence[Member], settings: SplitSettings) -> Assignment:
    """Follow the lists to the letter; near-duplicates in two splits are an error unless they are allowed."""
    listed = {name: image_list(settings.lists[name], f"split.lists.{name}") for name in in_order(settings.lists)}
    asked = {name: (one.ids, one.names) for name, one in listed.items()}
    split: dict[int, str] = {}
    for place, member in enumerate(members):
        splits = [
            name
            for name, (ids, names) in asked.items()
            if member.image_id in ids or plain_name(member.file_name) in names
        ]
        if len(splits) > 1:
            raise CocomineError(
                f"split: image {member.image_id} ({member.file_name}) is on the lists of {' and '.join(splits)}",
                "leave it on one of them",
            )
        if splits:
            split[place] = splits[0]
    ids = {member.image_id for member in members}
    file_names = {plain_name(member.file_name) for member in members}
    unmatched = {name: one.unmatched(ids, file_names) for name, one in listed.items()}
    notes = [
        f"split.lists.{name}: {listed[name].told(entries, 'of the subset')}"
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
    return replace(_fixed(members, split, settings, "on no list"), note="; ".join(notes))
