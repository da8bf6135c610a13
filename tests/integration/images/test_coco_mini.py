"""Measuring real COCO photographs."""

import pyarrow.parquet as pq
from cocomine.base.files import write_table
from cocomine.coco.reader import load_document
from cocomine.images.measure import measure
from helpers.shared import coco_mini


def test_every_photograph_of_coco_mini_decodes_at_its_annotated_size(tmp_path):
    folder = coco_mini()
    rows = []
    for split in ("train2017", "val2017"):
        document = load_document(folder / f"annotations/instances_{split}.json")
        rows += [(i.id, split, i.file_name, f"{split}/{i.file_name}", i.width, i.height) for i in document.images]
    columns = ("image_id", "source_split", "file_name", "store_path", "width", "height")
    write_table(tmp_path / "selection.tsv", columns, rows)
    write_table(tmp_path / "lock.tsv", ("store_path", "status", "reason"), ((r[3], "ok", "") for r in rows))
    measure(tmp_path / "selection.tsv", tmp_path / "lock.tsv", folder, tmp_path / "images.parquet", tmp_path / "s", 2)
    table = pq.read_table(tmp_path / "images.parquet").to_pydict()
    assert set(table["status"]) == {"ok"}
    assert list(zip(table["width"], table["height"], strict=True)) == [(row[4], row[5]) for row in rows]
    assert len(set(table["sha256"])) == len(rows) == 287
