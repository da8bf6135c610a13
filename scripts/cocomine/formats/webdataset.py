"""WebDataset: tar files whose members belong to one sample when their names are equal up to the first full stop.

A sample's key is its image id, so that file names with full stops or folders in them cannot part it.
"""

import io
import tarfile
from collections.abc import Iterable
from typing import ClassVar

from cocomine.base.files import canonical_json
from cocomine.coco.reader import Annotation
from cocomine.formats.format import Format, Writer
from cocomine.formats.masks import Drawn
from cocomine.formats.output import Output
from cocomine.formats.shards import in_shards, shard_sizes
from cocomine.formats.subset import Item
from cocomine.formats.tally import Tally


class WebDataset(Writer):
    """Writes {split}-*.tar."""

    loses_of_classes: ClassVar[tuple[str, ...]] = ("supercategory",)
    carries: ClassVar[tuple[str, ...]] = ("captions", "licence")

    def check(self) -> None:
        """Look which masks there are."""
        self._drawn = Drawn(self.subset)
        self._masked = (self.subset.folder / "masks" / "semantic").is_dir()

    def write_split(self, split: str, items: Iterable[Item], tally: Tally, out: Output) -> None:
        """Write the shards of a split."""
        captions = self.subset.other_tasks(split).get("captions")
        for shard, chosen in in_shards(items, shard_sizes(self.subset, split)):
            path = f"{split}-{shard:06d}.tar"
            with tarfile.open(out.path(path), "w", format=tarfile.USTAR_FORMAT) as archive:
                for item in chosen:
                    texts = captions.annotations(item.image.id) if captions else []
                    self._sample(archive, item, [text.caption or "" for text in texts], tally, out)
            out.written(path)

    def _sample(self, archive: tarfile.TarFile, item: Item, captions: list[str], tally: Tally, out: Output) -> None:
        image, key = item.image, f"{item.image.id:012d}"
        kept = []
        for annotation in item.objects:
            tally.take(annotation)
            if annotation.category_id not in self.subset.index_of:
                tally.drop("other-class")
                continue
            tally.carry()
            kept.append(self._object(annotation))
        tally.image(item, empty=not kept)
        record = {
            "image_id": image.id,
            "file_name": image.file_name,
            "width": image.width,
            "height": image.height,
            "license": image.license,
            "coco_url": image.coco_url,
            "flickr_url": image.flickr_url,
            "objects": kept,
            "captions": captions,
        }
        suffix = item.name.suffix.lower().lstrip(".")
        _add(archive, f"{key}.{suffix if suffix.isalnum() and suffix.isascii() else 'image'}", out.content(item))
        _add(archive, f"{key}.json", canonical_json(record).encode())
        if not self._masked:
            return
        if item.image.id in self._drawn.refused:
            tally.note("no-class-mask")
        else:
            _add(archive, f"{key}.mask.png", out.own(self._drawn.mask("semantic", item)))

    def _object(self, annotation: Annotation) -> dict[str, object]:
        index = self.subset.index_of[annotation.category_id]
        return {
            "id": annotation.id,
            "label": index + 1,
            "name": self.subset.classes[index],
            "category_id": annotation.category_id,
            "bbox": annotation.bbox,
            "area": annotation.area,
            "iscrowd": annotation.iscrowd,
            "segmentation": annotation.segmentation,
        }

    def finish(self, out: Output) -> None:
        """Say which label is which class."""
        out.copy(self.subset.folder / "labels.json", "labels.json")


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a member that tells nothing of who wrote it, or when."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    archive.addfile(member, io.BytesIO(content))


FORMATS = (
    Format(
        name="webdataset",
        writer=WebDataset,
        what="{split}-*.tar with three members an image, named by its id: the image, .json (file name, size, objects "
        "with labels, captions) and .mask.png (0 background, 255 void).",
        read_by="webdataset, and anything that streams tar files",
        load='webdataset.WebDataset(sorted(glob.glob("{folder}/train-*.tar")), shardshuffle=False)',
        uses=("semantic",),
        images="embedded",
    ),
)
