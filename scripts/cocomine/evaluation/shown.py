"""What was predicted for each image, kept small beside its figures, so that two predictions can be drawn side by side.

`predicted.parquet` has a row for each result from the score of the best F1 on (its box, mask or keypoints as JSON), or
for each image its label mask as a PNG of at most SIDE pixels, of panoptic segments with the true one beside.
"""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from cocomine.base.arrays import Bytes
from cocomine.base.files import atomic_path
from cocomine.coco.tasks import VOID
from cocomine.evaluation.baselines import enlarged

NAME = "predicted.parquet"
SIDE = 256  # of a kept mask's longer side, in pixels
PART = {"boxes": "bbox", "masks": "segmentation", "keypoints": "keypoints"}


def keep_results(out_dir: Path, task: str, entries: Iterable[dict[str, Any]]) -> None:
    """Keep results of boxes, masks or keypoints, by image."""
    rows = sorted(entries, key=lambda entry: (entry["image_id"], -entry["score"]))
    _write(
        out_dir,
        {
            "image_id": pa.array([row["image_id"] for row in rows], pa.int64()),
            "category_id": pa.array([row["category_id"] for row in rows], pa.int64()),
            "score": pa.array([float(row["score"]) for row in rows], pa.float64()),
            "shape": pa.array([json.dumps(row[PART[task]]) for row in rows], pa.string()),
        },
    )


def keep_masks(out_dir: Path, image_ids: Sequence[int], masks: Iterable[Bytes]) -> None:
    """Keep the label mask (h, w) of each image."""
    _write(
        out_dir,
        {
            "image_id": pa.array(list(image_ids), pa.int64()),
            "png": pa.array([_packed(mask) for mask in masks], pa.binary()),
        },
    )


def keep_segments(out_dir: Path, image_ids: Sequence[int], found: Sequence[bytes], truth: Sequence[bytes]) -> None:
    """Keep the categories of the segments of each image, as `packed_segments` packs them, and the true ones."""
    columns = {"png": pa.array(found, pa.binary()), "truth": pa.array(truth, pa.binary())}
    _write(out_dir, {"image_id": pa.array(list(image_ids), pa.int64())} | columns)


def packed_segments(ids: npt.NDArray[np.int64], label_of: Mapping[int, int]) -> bytes:
    """Pack segments, their ids (h, w) and the label of each, as a small label mask; where two meet it is void."""
    step = -(-max(ids.shape) // SIDE)
    small = ids[::step, ::step]
    known, place = np.unique(small, return_inverse=True)
    labels = np.array([label_of.get(one, 0) for one in known.tolist()], np.uint8)[place].reshape(small.shape)
    labels[:, 1:][small[:, 1:] != small[:, :-1]] = VOID
    labels[1:][small[1:] != small[:-1]] = VOID
    return _packed(labels)


def kept(folder: Path, image_ids: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    """Return the rows of some images; empty where nothing was kept, as by a run of ours."""
    path, found = folder / NAME, {image: list[dict[str, Any]]() for image in image_ids}
    if path.is_file():
        for row in pq.read_table(path, filters=[("image_id", "in", set(image_ids))]).to_pylist():
            found[row["image_id"]].append(row)
    return found


def mask_of(row: dict[str, Any], column: str = "png") -> Bytes:
    """Return the label mask of a row; that of the column `truth` is the true one of panoptic segments."""
    with Image.open(io.BytesIO(row[column]), formats=["PNG"]) as picture:
        return np.array(picture)


def _packed(mask: Bytes) -> bytes:
    scale = min(1.0, SIDE / max(mask.shape))
    small = enlarged(mask, *(max(1, round(scale * side)) for side in mask.shape))
    content = io.BytesIO()
    Image.fromarray(small).save(content, format="PNG")
    return content.getvalue()


def _write(out_dir: Path, columns: dict[str, pa.Array]) -> None:
    with atomic_path(out_dir / NAME) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")
