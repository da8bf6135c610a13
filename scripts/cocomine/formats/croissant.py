"""Croissant: a description of the data set that machines read, with tables of its images, objects and captions.

MLCommons' Croissant 1.0 and its Responsible-AI vocabulary 1.0 (docs.mlcommons.org/croissant). The image files are not
in it: the table of images names each by its SHA-256 from the lock and by the addresses that the source gives.
"""

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from cocomine.base.files import canonical_json, read_json, read_table, write_json
from cocomine.formats.format import Format, Writer
from cocomine.formats.output import Output
from cocomine.formats.subset import Item
from cocomine.formats.tally import Tally

if TYPE_CHECKING:
    pass

ROWS = 10_000
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
COLUMNS: dict[str, dict[str, tuple[str, str]]] = {
    "images": {
        "image_id": ("int64", "The image's id in the source."),
        "split": ("string", "The split that it lies in."),
        "file_name": ("string", "Its file name in the source."),
        "width": ("int32", "Pixels from left to right."),
        "height": ("int32", "Pixels from top to bottom."),
        "sha256": ("string", "SHA-256 of its file as it was fetched."),
        "bytes": ("int64", "Size of its file."),
        "license": ("int64", "The id of its licence in the source's list."),
        "coco_url": ("string", "Where the source offers it."),
        "flickr_url": ("string", "Where it was published."),
    },
    "objects": {
        "annotation_id": ("int64", "The object's id in the source."),
        "image_id": ("int64", "The image that it is on."),
        "label": ("int64", "Its label in labels.json."),
        "category_id": ("int64", "The id of its category in the subset."),
        "category": ("string", "The name of its class."),
        "x": ("float64", "Left side of its box in pixels."),
        "y": ("float64", "Upper side of its box in pixels."),
        "width": ("float64", "Width of its box in pixels."),
        "height": ("float64", "Height of its box in pixels."),
        "area": ("float64", "Its area in square pixels, as the source states it."),
        "iscrowd": ("bool", "Whether it is a region of uncounted objects."),
        "segmentation": ("string", "Its outlines or run lengths, as the JSON text of COCO's form."),
    },
    "captions": {
        "caption_id": ("int64", "The caption's id in the source."),
        "image_id": ("int64", "The image that it is of."),
        "caption": ("string", "The text."),
    },
}
DATA_TYPES = {
    "int64": "sc:Integer",
    "int32": "sc:Integer",
    "float64": "sc:Float",
    "string": "sc:Text",
    "bool": "sc:Boolean",
}


class Croissant(Writer):
    """Writes croissant.json and images.parquet, objects.parquet and captions.parquet."""

    loses_of_classes: ClassVar[tuple[str, ...]] = ()
    carries: ClassVar[tuple[str, ...]] = ("captions", "licence")

    def check(self) -> None:
        """Start with no table open."""
        self._tables: dict[str, _Table] = {}

    def write_split(self, split: str, items: Iterable[Item], tally: Tally, out: Output) -> None:
        """Add the rows of a split."""
        if not self._tables:
            self._tables = {name: _Table(name, out) for name in COLUMNS}
        captions = self.subset.other_tasks(split).get("captions")
        for item in items:
            image = item.image
            size = self.subset.locked.get(image.id, ("", 0))[1]
            self._tables["images"].add(
                (image.id, split, image.file_name, image.width, image.height, item.sha256, size, image.license,
                 image.coco_url, image.flickr_url)
            )  # fmt: skip
            carried = tally.objects_out
            for row in self._objects(item, tally):
                self._tables["objects"].add(row)
            for record in captions.annotations(image.id) if captions else ():
                self._tables["captions"].add((record.id, image.id, record.caption or ""))
            tally.image(item, empty=tally.objects_out == carried)

    def _objects(self, item: Item, tally: Tally) -> Iterator[tuple[object, ...]]:
        for annotation in item.objects:
            tally.take(annotation)
            index = self.subset.index_of.get(annotation.category_id)
            if index is None:
                tally.drop("other-class")
                continue
            tally.carry()
            box = annotation.bbox if annotation.bbox is not None and len(annotation.bbox) == 4 else (None,) * 4
            outline = None if annotation.segmentation is None else canonical_json(annotation.segmentation)
            yield (
                annotation.id, item.image.id, index + 1, annotation.category_id, self.subset.classes[index], *box,
                annotation.area, bool(annotation.iscrowd), outline,
            )  # fmt: skip

    def finish(self, out: Output) -> None:
        """Close the tables and describe them."""
        for table in self._tables.values():
            table.close()
        out.copy(self.subset.folder / "labels.json", "labels.json")
        if (self.subset.folder / "ATTRIBUTION.md").is_file():
            out.copy(self.subset.folder / "ATTRIBUTION.md", "ATTRIBUTION.md")
        write_json(out.path("croissant.json"), self._description(out))
        out.written("croissant.json")

    def _description(self, out: Output) -> dict[str, Any]:
        document = self.subset.document(self.subset.path(self.subset.splits[0]))
        info = document.info if isinstance(document.info, dict) else {}
        digests = {file.path: file.sha256 for file in out.files}
        sizes = {file.path: file.bytes for file in out.files}
        described: dict[str, Any] = {
            "@context": CONTEXT,
            "@type": "sc:Dataset",
            "conformsTo": "http://mlcommons.org/croissant/1.0",
            "name": self.subset.name,
            "description": f"A subset of {info.get('description') or 'a data set in the form of COCO'}, mined by "
            f"cocomine: classes {', '.join(map(repr, self.subset.classes))}.",
            "citeAs": ", ".join(
                str(info[key]) for key in ("contributor", "description", "year", "url") if info.get(key)
            ),
            "url": str(info.get("url") or "https://cocodataset.org"),
            "license": sorted(_licence_addresses(document.licenses)) or ["https://schema.org/license"],
            "version": "1.0.0",
            "distribution": [
                {
                    "@type": "cr:FileObject",
                    "@id": f"{name}.parquet",
                    "name": f"{name}.parquet",
                    "contentUrl": f"{name}.parquet",
                    "contentSize": f"{sizes[f'{name}.parquet']} B",
                    "encodingFormat": "application/x-parquet",
                    "sha256": digests[f"{name}.parquet"],
                }
                for name in self._tables
            ],
            "recordSet": [_record_set(name) for name in self._tables],
        }
        if info.get("contributor"):
            described["creator"] = {"@type": "sc:Organization", "name": str(info["contributor"])}
        date = re.fullmatch(r"(\d{4})[/-](\d{2})[/-](\d{2})", str(info.get("date_created") or ""))
        if date:
            described["datePublished"] = "-".join(date.groups())
        return described | self._responsible(info)

    def _responsible(self, info: dict[str, Any]) -> dict[str, Any]:
        """Return the Responsible-AI fields: what the build knows, and plainly where it knows nothing."""
        folder = self.subset.folder
        funnel = read_json(folder / "funnel.json") if (folder / "funnel.json").is_file() else {}
        source = str(info.get("description") or info.get("url") or "its source")
        aside, repaired = (_rows(folder / name) for name in ("quarantine.tsv", "repairs.tsv"))
        counts = ", ".join(f"{name!r}" for name in self.subset.classes)
        return {
            "rai:dataCollection": f"Images and annotations are those of {source}; no image was taken for this subset.",
            "rai:dataCollectionType": ["Secondary Data Analysis"],
            "rai:dataCollectionMissingData": f"{aside} records were set aside, each with its reason, in quarantine.tsv "
            "of the build.",
            "rai:dataPreprocessingProtocol": [
                f"Mined by cocomine from {source} for the classes {counts}"
                + (f"; the query: {canonical_json(funnel['query'])}" if "query" in funnel else ""),
                f"{repaired} records were repaired by written rules, each listed with its old value in repairs.tsv.",
                "Images are byte for byte those of the source; near-duplicates lie in one split.",
            ],
            "rai:dataAnnotationProtocol": f"Annotations are those of {source}; cocomine drew no box and no outline.",
            "rai:dataBiases": "Classes and sizes of objects are as unequal as in the source; statistics.json of the "
            "build counts them. What the source leaves unlabelled counts as background.",
            "rai:dataLimitations": "manifest.json names what this form does not carry. Crowds are regions of uncounted "
            "objects.",
            "rai:dataUseCases": "Training and evaluation of detection and segmentation of the classes named.",
            "rai:personalSensitiveInformation": "The images may show people; nobody looked for what identifies them.",
            "rai:dataSocialImpact": "Not assessed for this subset; see what the source says of itself.",
            "rai:dataReleaseMaintenancePlan": "A build is made again from its config and its lock; another build is "
            "another version.",
        }


def _rows(table: Any) -> int:
    return sum(1 for _ in read_table(table)) if table.is_file() else 0


def _licence_addresses(licenses: object) -> set[str]:
    rows = licenses if isinstance(licenses, list) else []
    urls = {str(row.get("url")) for row in rows if isinstance(row, dict)}
    return {url for url in urls if re.match(r"https?://", url)}


def _record_set(name: str) -> dict[str, Any]:
    fields = []
    for column, (kind, meaning) in COLUMNS[name].items():
        row: dict[str, Any] = {
            "@type": "cr:Field",
            "@id": f"{name}/{column}",
            "name": f"{name}/{column}",
            "description": meaning,
            "dataType": DATA_TYPES[kind],
            "source": {"fileObject": {"@id": f"{name}.parquet"}, "extract": {"column": column}},
        }
        if column == "image_id" and name != "images":
            row["references"] = {"field": {"@id": "images/image_id"}}
        fields.append(row)
    key = {"images": "image_id", "objects": "annotation_id", "captions": "caption_id"}[name]
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "key": {"@id": f"{name}/{key}"}, "field": fields}


class _Table:
    """A Parquet file that is written some rows at a time."""

    def __init__(self, name: str, out: Output) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self._path, self._out = f"{name}.parquet", out
        types = {"bool": pa.bool_()}
        fields = [(column, types.get(kind) or pa.type_for_alias(kind)) for column, (kind, _) in COLUMNS[name].items()]
        self._schema: pa.Schema = pa.schema(fields)
        self._writer = parquet.ParquetWriter(out.path(self._path), self._schema, compression="zstd")
        self._rows: list[tuple[object, ...]] = []

    def add(self, row: tuple[object, ...]) -> None:
        """Add a row."""
        self._rows.append(row)
        if len(self._rows) == ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        columns = list(zip(*self._rows, strict=True)) or [()] * len(self._schema)
        arrays = [pa.array(column, kind) for column, kind in zip(columns, self._schema.types, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows = []

    def close(self) -> None:
        """Write what is left, and list the file."""
        self._flush()
        self._writer.close()
        self._out.written(self._path)


FORMATS = (
    Format(
        name="croissant",
        writer=Croissant,
        what="croissant.json describes the subset for machines, with Responsible-AI fields, and images.parquet, "
        "objects.parquet and captions.parquet hold its records; the image files are named by SHA-256 and address only.",
        read_by="mlcroissant, data set searches, NeurIPS' submission checker",
        load='mlcroissant.Dataset("{folder}/croissant.json").records("objects")',
        images="named",
    ),
)
