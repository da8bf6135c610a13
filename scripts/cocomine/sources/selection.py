"""The two tables of sync_images: the selection that it reads, and the images lock that it writes."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_table, write_table
from cocomine.transfer.records import Outcome

COLUMNS = ("image_id", "store_path", "status", "bytes", "md5", "sha256", "crc32c", "generation", "origin", "reason")
SPARE = "spare"


@dataclass(frozen=True)
class Selected:
    """One image of a selection; `spare` marks one that is fetched only in place of another that could not be."""

    image_id: str
    store_path: str
    spare: bool
    split: str


def read_selection(path: Path) -> list[Selected]:
    """Read selection.tsv in its order. Raises CocomineError when it lacks a column or names a file twice."""
    try:
        rows = [
            Selected(row["image_id"], row["store_path"], row.get("role") == SPARE, row.get("source_split", ""))
            for row in read_table(path)
        ]
    except FileNotFoundError as error:
        raise CocomineError(f"{path}: no such selection", "run mine_subset first") from error
    except KeyError as error:
        raise CocomineError(f"{path}: no column {error}", "a selection has columns image_id and store_path") from error
    seen: set[str] = set()
    for row in rows:
        if row.store_path in seen:
            raise CocomineError(
                f"{path}: two images have the file {row.store_path}",
                "where each split has its own, say where they lie: images: {train: FOLDER, val: FOLDER} in the source",
            )
        seen.add(row.store_path)
    return rows


def write_lock(path: Path, rows: Iterable[tuple[str, Outcome]]) -> None:
    """Write images.lock.tsv: a row for each image asked for. The generation column holds the ETag of other origins."""
    write_table(
        path,
        COLUMNS,
        (
            (
                image_id,
                outcome.name,
                outcome.status if outcome.status != "failed" else "missing",
                outcome.bytes if outcome.status == "ok" else None,
                outcome.md5,
                outcome.sha256,
                outcome.crc32c,
                outcome.generation or outcome.etag,
                outcome.origin,
                outcome.reason,
            )
            for image_id, outcome in rows
        ),
    )


def read_lock(path: Path) -> dict[str, Outcome]:
    """Read an images.lock.tsv: store path to what was pinned. An absent file pins nothing.

    Raises CocomineError when the file is no such lock.
    """
    if not path.exists():
        return {}
    try:
        return {
            row["store_path"]: Outcome(
                row["store_path"],
                "ok" if row["status"] == "ok" else "missing",
                row["reason"],
                int(row["bytes"] or -1),
                row["md5"],
                row["sha256"],
                row["crc32c"],
                row["generation"],
                origin=row["origin"],
            )
            for row in read_table(path)
        }
    except (KeyError, ValueError) as error:
        raise CocomineError(
            f"{path}: not an images lock", "delete it, or restore the one that was committed"
        ) from error


def locked_images(path: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 that an images.lock.tsv gives of each of these images; empty where it gives none."""
    locked = read_lock(path)
    return {name: locked[name].sha256 if name in locked else "" for name in names}
