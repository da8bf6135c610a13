"""What a reader should take from each section of a report, in a sentence, computed from the section's own facts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cocomine.base.words import counted

FEW_OBJECTS = 20
"""Validation objects below which a class's score says little: one object is then five points of recall or more."""

IMBALANCE = 10.0
"""How many times as many objects the largest class has as the smallest before it is said to matter."""

MUCH = 0.05
"""A share worth a sentence."""

NAMED = 5
"""How many classes a sentence names."""


def verdicts(content: Mapping[str, Any]) -> dict[str, str]:
    """Return the sentence of each section that has one, by the section's name in the page."""
    makers: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
        "funnel": _funnel,
        "classes": _classes,
        "interference": _interference,
        "records": _records,
        "split": _split,
        "masks": _masks,
        "exports": _exports,
        "licences": _licences,
    }
    found = {section: make(content) for section, make in makers.items()}
    return {section: sentence for section, sentence in found.items() if sentence}


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _percent(share: float) -> str:
    if 0.9995 <= share < 1:
        return "over 99.9 %"
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def _funnel(content: Mapping[str, Any]) -> str:
    funnel = content["funnel"]
    if not funnel or not funnel["source_images"]:
        return ""
    most = max(funnel["steps"], key=lambda step: step["images"]["removed"], default=None)
    if most is None or not most["images"]["removed"]:
        return "No clause removed an image."
    share = most["images"]["removed"] / funnel["source_images"]
    return f"Most images went at the clause “{most['words']}”: {_percent(share)} of the source's."


def _classes(content: Mapping[str, Any]) -> str:
    rows = sorted(content["classes"]["rows"], key=lambda row: (-row["after"]["objects"], row["name"]))
    present = [row for row in rows if row["after"]["objects"]]
    absent = [row["name"] for row in rows if not row["after"]["objects"]]
    if absent:
        return f"Without an object in the subset: {_named(absent)}."
    if len(present) < 2:
        return ""
    most, least = present[0], present[-1]
    ratio = most["after"]["objects"] / least["after"]["objects"]
    said = (
        f"{most['name']} has {ratio:.1f} times as many objects as {least['name']} "
        f"({most['after']['objects']:,} and {least['after']['objects']:,})"
    )
    if ratio < IMBALANCE:
        return f"The classes are of like size: {said}."
    return f"The classes are far from equal: {said}. Weigh the loss (class_weights) or cap the larger ones."


def _interference(content: Mapping[str, Any]) -> str:
    facts = content["interference"]
    if not facts:
        return ""
    after = facts["matrices"][-1]["shares"]
    pairs = [
        (share, row, column)
        for row, shares in zip(facts["classes"], after, strict=True)
        for column, share in zip(facts["columns"], shares, strict=True)
        if share and row != column
    ]
    if not pairs:
        return "No two classes meet in one image."
    share, row, column = max(pairs, key=lambda pair: (pair[0], pair[1], pair[2]))
    return f"The strongest: {_percent(share)} of the images with {row} show {column} too."


def _records(content: Mapping[str, Any]) -> str:
    sums = content["conservation"]
    if not sums:
        return ""
    rows = [row for row in sums["rows"] if row["kind"].startswith("annotation")]
    quarantined, repaired, taken = (sum(row["cells"][at] for row in rows) for at in (3, 2, 0))
    if not taken:
        return ""
    if not quarantined and not repaired:
        return "Every annotation that the query asked for was valid as it stood."
    share = quarantined / taken
    said = f"{counted(quarantined, 'annotation')} of {taken:,} quarantined ({_percent(share)}), {repaired:,} repaired."
    return said if share <= MUCH else f"{said} That is much: read the reasons before you train."


def _split(content: Mapping[str, Any]) -> str:
    facts = content["split"]
    if not facts or not facts["classes"]:
        return ""
    where = facts["splits"][-1]["name"]
    few = [row["name"] for row in facts["classes"] if row["cells"][-1] < FEW_OBJECTS]
    if not few:
        return f"Every class has {FEW_OBJECTS} objects or more in {where}."
    verb, whose = ("has", "its score says") if len(few) == 1 else ("have", "their scores say")
    number = f"{counted(len(few), 'class')} {verb} fewer than {FEW_OBJECTS} objects in {where}"
    return f"{number}, so {whose} little: {_named(few)}."


def _masks(content: Mapping[str, Any]) -> str:
    facts = content["masks"]
    if not facts or not facts["sizes"]:
        return ""
    objects, vanished = (sum(row[key] for row in facts["sizes"]) for key in ("instances", "vanished"))
    if vanished <= MUCH * objects:
        return "Nearly every object is still there at the training size."
    return (
        f"{_percent(vanished / objects)} of the objects have no pixel left at the training size and cannot be learnt: "
        "a larger tensors.size keeps them."
    )


def _exports(content: Mapping[str, Any]) -> str:
    exports = content["exports"]
    less = [one["format"] for one in exports if one["objects_out"] < one["objects_in"]]
    if not exports:
        return ""
    return (
        f"Formats that carry fewer objects than there are: {_named(less)}."
        if less
        else "Every format carries all objects."
    )


def _licences(content: Mapping[str, Any]) -> str:
    images = content["subset"]["images"]
    barred = sum(row["images"] for row in content["licences"] if row["non_commercial"])
    if not images:
        return ""
    if not barred:
        return "No licence that the source states forbids commercial use."
    return f"{counted(barred, 'image')} ({_percent(barred / images)}) must not be used commercially."
