"""Small documents indexed, mined and assembled, and what that wrote read back."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
from cocomine.annotations.build import build_index
from cocomine.base.files import read_table
from cocomine.mining.assemble import assemble
from cocomine.mining.drawn import INSTANCES
from cocomine.mining.mine import mine
from cocomine.mining.settings import SubsetSettings


def build(folder, documents, query=None, broken=None, drawn=INSTANCES):
    """Index, mine and assemble documents, given as {"instances_a": document, text or bytes, …}; return the statistics.

    `broken` gives what was measured of images, by id, where that differs from what the document says; with None, no
    image is measured. `drawn` says which categories get a label.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in documents.items():
        task, split = name.rsplit("_", 1)
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        (folder / f"{name}.json").write_bytes(text.encode() if isinstance(text, str) else text)
        build_index(folder / f"{name}.json", task, split, folder / "index" / name)
    out = folder / "out"
    chosen = SubsetSettings.from_mapping(query or {})
    mine(chosen, folder / "index", [], out / "selection.tsv", out / "funnel.json")
    measures = None if broken is None else measures_of(folder, broken)
    tables = out / "selection.tsv", out / "funnel.json", measures
    return assemble(chosen, folder / "index", folder, *tables, out, drawn=drawn)


def subset(folder):
    return json.loads((folder / "out" / "subset.json").read_text("utf-8"))


def lines(folder, name):
    return list(read_table(folder / "out" / f"{name}.tsv"))


def measures_of(folder, broken):
    """A table of measured images, as measure_images writes it; `broken` gives other values by image id."""
    rows = []
    for row in read_table(folder / "out" / "selection.tsv"):
        sound = {
            "status": "ok",
            "width": int(row["width"]),
            "height": int(row["height"]),
            "exif_orientation": 0,
            "detail": None,
        }
        given = {"image_id": int(row["image_id"]), "source_split": row["source_split"], "file_name": row["file_name"]}
        rows.append(given | sound | broken.get(int(row["image_id"]), {}))
    path = folder / "images.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path
