"""The whole of import_labels: a folder of labels in, COCO documents out, with a count of all that was there."""

import logging
from pathlib import Path
from typing import Any, Final

from cocomine.base.errors import CocomineError
from cocomine.base.files import write_json, write_table
from cocomine.base.progress import Progress
from cocomine.base.words import counted
from cocomine.imports.boxes_csv import Csv
from cocomine.imports.documents import Documents
from cocomine.imports.files import Files
from cocomine.imports.folder import open_folder
from cocomine.imports.labelme import Labelme
from cocomine.imports.labels import QUARANTINE_COLUMNS, REPAIR_COLUMNS, Job, Reader, Tally
from cocomine.imports.reasons import TABLE, Reason
from cocomine.imports.voc import Voc
from cocomine.imports.yolo import Yolo
from cocomine.sources.settings import ONLY_SPLIT, SourceSettings
from cocomine.transfer.names import plain

log = logging.getLogger("cocomine")

READERS: Final[dict[str, type[Reader]]] = {"yolo": Yolo, "voc": Voc, "labelme": Labelme, "csv": Csv}


def import_labels(settings: SourceSettings, out: Path) -> None:
    """Write `annotations/{task}_{split}.json`, quarantine.tsv, repairs.tsv and at last import.json below `out`.

    Raises CocomineError for a folder that is not there or is none of the form, and where no label could be read.
    """
    tally = Tally()
    reader = open_labels(settings, tally)
    documents = Documents(settings.splits, reader.classes, reader.keypoints)
    with Progress("import_labels", None, "image") as progress:
        for image in reader.images():
            documents.add(image)
            progress.advance()
    counts = tally.counts()
    _check_something(settings, counts, tally)
    if reader.keypoints and "person_keypoints" not in settings.tasks:
        tally.lost["keypoints"] = tally.kept["label"] + sum(tally.repaired.values())
    documents.write(out / "annotations", settings.tasks, settings.format)
    write_table(out / "quarantine.tsv", QUARANTINE_COLUMNS, tally.quarantine)
    write_table(out / "repairs.tsv", REPAIR_COLUMNS, tally.repairs)
    write_json(out / "import.json", _manifest(settings, documents, tally, counts))
    _say(tally, counts, out)


def open_labels(settings: SourceSettings, tally: Tally) -> Reader:
    """Return the reader of a folder of labels; raises CocomineError, before any label is read, as `import_labels`."""
    files = Files(open_folder(settings), settings.follow_links)
    reader = READERS[settings.format](Job(files, settings.stated_splits, tally, ONLY_SPLIT))
    if "person_keypoints" in settings.tasks and not reader.keypoints:
        raise CocomineError(
            f"{settings.folder}: its labels have no keypoints, and `tasks` asks for person_keypoints",
            "take person_keypoints out of `tasks`, or write kpt_shape: [K, 3] into data.yaml",
        )
    return reader


def _check_something(settings: SourceSettings, counts: dict[str, Any], tally: Tally) -> None:
    """Raise CocomineError when there is no image, or none of the labels could be used."""
    images = counts.get("images", {"in": 0, "kept": 0})
    labels = counts.get("labels", {"in": 0, "kept": 0, "repaired": {}})
    if images["kept"] and (labels["kept"] or labels["repaired"] or not labels["in"]):
        return
    first = f": {_told(tally.quarantine[0])}" if tally.quarantine else ""
    what = f"none of its {labels['in']} labels could be read" if labels["in"] else "no labelled image in it"
    raise CocomineError(
        f"{settings.folder}: {what} as {settings.format}{first}",
        "docs/own-data.md says where each form has its files; `format` says which form it is",
    )


def _told(row: tuple[str, str, str, str, str]) -> str:
    _, file, place, reason, detail = row
    where = f"{plain(file)}, {place}" if place else plain(file)
    return f"{where}: {reason}{f': {detail}' if detail else ''} ({TABLE[Reason(reason)][2]})"


def _manifest(settings: SourceSettings, documents: Documents, tally: Tally, counts: dict[str, Any]) -> dict[str, Any]:
    return {
        "format": settings.format,
        "classes": documents.classes,
        "splits": {
            split: {"images": documents.images(split), "objects": documents.objects(split)} for split in settings.splits
        },
        "counts": counts,
        "lost": dict(sorted((+tally.lost).items())),
        "said": tally.said,
    }


def _say(tally: Tally, counts: dict[str, Any], out: Path) -> None:
    """Print the counts of each kind, and what was set aside with its first example."""
    for kind, row in counts.items():
        repaired, quarantined = sum(row["repaired"].values()), sum(row["quarantined"].values())
        log.info(
            "%s: %d in = %d kept + %d repaired + %d quarantined", kind, row["in"], row["kept"], repaired, quarantined
        )
    for reason in dict.fromkeys(row[3] for row in tally.quarantine):
        rows = [row for row in tally.quarantine if row[3] == reason]
        log.warning(
            "warning: %s set aside, %s; all in %s",
            counted(len(rows), rows[0][0]),
            _told(rows[0]),
            out / "quarantine.tsv",
        )
    for what, number in sorted((+tally.lost).items()):
        log.warning("warning: %d %s, which are not carried over", number, what)
    for sentence in tally.said:
        log.info("%s", sentence)
