"""Parquet as the `datasets` library of Hugging Face writes it, with a dataset card: for `load_dataset` and for the Hub.

Every file holds the types of its columns twice: as Parquet knows them, and under the key `huggingface` of its metadata
as `datasets` does (`Features.to_dict`), so that images open as images and labels have names.
"""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import yaml

from cocomine.base.files import canonical_json
from cocomine.coco.reader import Annotation
from cocomine.formats.boxes import box_of
from cocomine.formats.format import Format, Writer
from cocomine.formats.masks import Drawn
from cocomine.formats.names import changed, distinct_names
from cocomine.formats.output import Output
from cocomine.formats.shards import in_shards, shard_sizes
from cocomine.formats.subset import Item
from cocomine.formats.tally import Tally

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 100
"""Images in a row group, which is what a reader holds in memory."""

Feature = dict[str, Any]


def _value(kind: str) -> Feature:
    return {"dtype": kind, "_type": "Value"}


def _list(feature: Feature, length: int = -1) -> Feature:
    return {"feature": feature, "length": length, "_type": "Sequence"}


class HuggingFace(Writer):
    """Writes data/{split}-*.parquet and README.md."""

    loses_of_classes: ClassVar[tuple[str, ...]] = ()
    carries: ClassVar[tuple[str, ...]] = ("captions",)

    def check(self) -> None:
        """Choose names for the classes: a ClassLabel tells them by their names."""
        self._names = distinct_names(self.subset.classes, self.subset.labels.category_ids[1:])
        self.class_names = changed(self.subset.classes, self._names)
        self._drawn = Drawn(self.subset)
        self._masked = (self.subset.folder / "masks" / "semantic").is_dir()
        self._counts: dict[str, Tally] = {}

    def features(self) -> Feature:
        """Return the types of the columns, as `datasets` writes them."""
        image = {"_type": "Image"}
        objects = {
            "id": _list(_value("int64")),
            "category": _list({"names": self._names, "_type": "ClassLabel"}),
            "category_id": _list(_value("int64")),
            "bbox": _list(_list(_value("float64"), 4)),
            "area": _list(_value("float64")),
            "iscrowd": _list(_value("bool")),
            "segmentation": _list(_list(_list(_value("float64")))),
            "rle": _list(_value("string")),
        }
        columns = {"image_id": _value("int64"), "file_name": _value("string"), "image": image}
        columns |= {"width": _value("int32"), "height": _value("int32"), "license": _value("int64")}
        columns |= {"objects": objects, "captions": _list(_value("string"))}
        return columns | ({"mask": image} if self._masked else {})

    def write_split(self, split: str, items: Iterable[Item], tally: Tally, out: Output) -> None:
        """Write the shards of a split."""
        import pyarrow as pa
        from pyarrow import parquet

        self._counts[split] = tally
        features = self.features()
        # Not canonical: `datasets` compares the order of the keys with that of the columns.
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        schema = pa.schema([(name, _arrow(feature)) for name, feature in features.items()], metadata=metadata)
        captions = self.subset.other_tasks(split).get("captions")
        numbers = shard_sizes(self.subset, split)
        for shard, chosen in in_shards(items, numbers):
            path = f"data/{split}-{shard:05d}-of-{len(numbers):05d}.parquet"
            with parquet.ParquetWriter(out.path(path), schema, compression="zstd") as writer:
                rows: list[dict[str, Any]] = []
                for item in chosen:
                    texts = captions.annotations(item.image.id) if captions else []
                    rows.append(self._row(item, [text.caption or "" for text in texts], tally, out))
                    if len(rows) == ROWS:
                        writer.write_table(pa.Table.from_pylist(rows, schema), row_group_size=ROWS)
                        rows = []
                if rows:
                    writer.write_table(pa.Table.from_pylist(rows, schema), row_group_size=ROWS)
            out.written(path)

    def _row(self, item: Item, captions: list[str], tally: Tally, out: Output) -> dict[str, Any]:
        image = item.image
        kept = []
        for annotation in item.objects:
            tally.take(annotation)
            if annotation.category_id not in self.subset.index_of:
                tally.drop("other-class")
            elif box_of(annotation) is None:
                tally.drop("no-box")
            else:
                tally.carry()
                kept.append(annotation)
        tally.image(item, empty=not kept)
        tally.note("only-uncarried", int(bool(item.objects) and not kept))
        row = {
            "image_id": image.id,
            "file_name": image.file_name,
            "image": {"bytes": out.content(item), "path": item.name.name},
            "width": image.width,
            "height": image.height,
            "license": image.license,
            "objects": self._objects(kept),
            "captions": captions,
        }
        if self._masked and item.image.id in self._drawn.refused:
            tally.note("no-class-mask")
            row["mask"] = None
        elif self._masked:
            mask = self._drawn.mask("semantic", item)
            row["mask"] = {"bytes": out.own(mask), "path": mask.name}
        return row

    def _objects(self, kept: list[Annotation]) -> dict[str, list[Any]]:
        outlines = [a.segmentation if isinstance(a.segmentation, list) else [] for a in kept]
        return {
            "id": [a.id for a in kept],
            "category": [self.subset.index_of[a.category_id] for a in kept],
            "category_id": [a.category_id for a in kept],
            "bbox": [list(box_of(a) or ()) for a in kept],
            "area": [a.area for a in kept],
            "iscrowd": [bool(a.iscrowd) for a in kept],
            "segmentation": outlines,
            "rle": [canonical_json(a.segmentation) if isinstance(a.segmentation, dict) else None for a in kept],
        }

    def finish(self, out: Output) -> None:
        """Write the dataset card, and beside it the attribution of the images."""
        out.write("README.md", self._card())
        out.copy(self.subset.folder / "labels.json", "labels.json")
        if (self.subset.folder / "ATTRIBUTION.md").is_file():
            out.copy(self.subset.folder / "ATTRIBUTION.md", "ATTRIBUTION.md")

    def _card(self) -> str:
        images = sum(tally.images for tally in self._counts.values())
        sizes = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**12, "100K<n<1M"))
        head = {
            "pretty_name": self.subset.name,
            "license": "other",
            "license_name": "of-each-image",
            "task_categories": ["object-detection", *(["image-segmentation"] if self._masked else [])],
            "size_categories": [next(name for limit, name in sizes if images < limit)],
            "configs": [
                {
                    "config_name": "default",
                    "data_files": [{"split": split, "path": f"data/{split}-*.parquet"} for split in self.subset.splits],
                }
            ],
        }
        rows = [f"| {split} | {tally.images} | {tally.objects_out} |" for split, tally in self._counts.items()]
        names = [f"{place}. {canonical_json(name)}" for place, name in enumerate(self._names)]
        parts = [
            "---",
            yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=10**6).rstrip(),
            "---",
            f"# {self.subset.name}",
            "",
            "A subset of a data set in COCO's form, mined by cocomine. `manifest.json` lists every file with its "
            "SHA-256, and what this form could not carry.",
            "",
            "| split | images | objects |",
            "|---|---|---|",
            *rows,
            "",
            "Columns: `image`, `objects` (boxes x, y, width, height in pixels; outlines as polygons, or as COCO's run "
            "lengths in `rle`; `category` counts the classes from 0, `category_id` is the subset's), `captions`"
            + (
                f", `mask` (the label of each pixel: 0 background, class + 1, {self.subset.labels.void} void)."
                if self._masked
                else "."
            ),
            "",
            "Classes, as JSON texts:",
            "",
            *names,
            "",
            "Each image has its own licence (`license`, an id of the source's list); ATTRIBUTION.md names the authors "
            "where the source does.",
            "",
        ]
        return "\n".join(parts)


def _arrow(feature: Feature) -> "pa.DataType":
    """Return the Arrow type in which `datasets` stores a feature."""
    import pyarrow as pa

    kind = feature.get("_type")
    if kind == "Image":
        return pa.struct({"bytes": pa.binary(), "path": pa.string()})
    if kind == "ClassLabel":
        return pa.int64()
    if kind == "Value":
        return pa.bool_() if feature["dtype"] == "bool" else pa.type_for_alias(feature["dtype"])
    if kind == "Sequence":
        return pa.list_(_arrow(feature["feature"]), feature["length"])
    fields: Mapping[str, Feature] = feature
    return pa.struct([(name, _arrow(part)) for name, part in fields.items()])


FORMATS = (
    Format(
        name="huggingface",
        writer=HuggingFace,
        what="data/{split}-*.parquet with the images themselves, their objects, captions and masks in typed columns, "
        "and README.md, the dataset card; the folder is what the Hub wants.",
        read_by="datasets of Hugging Face, pandas, Polars, DuckDB",
        load='datasets.load_dataset("{folder}", split="train")',
        uses=("semantic",),
        images="embedded",
    ),
)
