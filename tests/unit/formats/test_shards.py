"""Hugging Face's Parquet, WebDataset's tar files and Croissant's tables, read without the tools that they are for."""

import json
import tarfile
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from cocomine.formats import shards
from cocomine.formats.export import export_dataset
from cocomine.formats.output import Options
from cocomine.formats.subset import open_subset
from helpers.small_subset import IMAGES, OBJECTS, PERSON, make_small_subset
from PIL import Image


@pytest.fixture(scope="module")
def subset(tmp_path_factory):
    return make_small_subset(tmp_path_factory.mktemp("small"))


def export(format_name, subset, out, **options):
    return export_dataset(format_name, subset.folder, subset.store, out, Options(**options))


KEPT = [row for row in OBJECTS if row[2] != PERSON]


def test_parquet_holds_images_byte_for_byte_and_every_labelled_object(subset, tmp_path):
    export("huggingface", subset, tmp_path / "out")
    found = {}
    for split, count in (("train", 3), ("val", 2)):
        table = pq.read_table(tmp_path / "out" / "data" / f"{split}-00000-of-00001.parquet")
        assert table.num_rows == count
        for row in table.to_pylist():
            stored = subset.store / "train2017" / row["file_name"]
            assert row["image"] == {"bytes": stored.read_bytes(), "path": row["file_name"]}
            drawn = subset.folder / "masks" / "semantic" / row["mask"]["path"]
            assert row["mask"]["bytes"] == drawn.read_bytes()
            for number, box, rle in zip(*(row["objects"][key] for key in ("id", "bbox", "rle")), strict=True):
                found[number] = (box, rle is not None)
    assert found == {row[0]: (row[5], isinstance(row[4], dict)) for row in KEPT}
    assert row["captions"] == []


def test_the_types_in_the_metadata_name_columns_and_classes_in_their_order(subset, tmp_path):
    export("huggingface", subset, tmp_path / "out")
    schema = pq.read_schema(tmp_path / "out" / "data" / "val-00000-of-00001.parquet")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == schema.names
    assert list(features["objects"]) == [field.name for field in schema.field("objects").type]
    assert features["objects"]["category"]["feature"]["names"] == ["dog", "giraffe"]
    assert features["image"] == features["mask"] == {"_type": "Image"}


def test_the_card_names_the_splits_and_survives_any_class_name(tmp_path):
    names = ("dog\n---\n# x", "dog\n---\n# x")
    subset = make_small_subset(tmp_path / "small", names=names)
    manifest = export("huggingface", subset, tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text("utf-8")
    head = yaml.safe_load(text.split("---\n")[1])
    assert [row["split"] for row in head["configs"][0]["data_files"]] == ["train", "val"]
    assert text.count("\n---\n") == 1
    assert set(manifest["class_names"].values()) == {names[0]}


def test_a_sample_of_a_tar_file_is_an_image_its_record_and_its_mask(subset, tmp_path):
    export("webdataset", subset, tmp_path / "out")
    found = {}
    for split in ("train", "val"):
        with tarfile.open(tmp_path / "out" / f"{split}-000000.tar") as archive:
            members = archive.getmembers()
            assert all((m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) == (0, 0, 0, "", "", 0o644) for m in members)
            for image in [m.name for m in members if m.name.endswith(".jpg")]:
                key = image.partition(".")[0]
                record = json.load(archive.extractfile(f"{key}.json"))
                assert int(key) == record["image_id"]
                stored = subset.store / "train2017" / record["file_name"]
                assert archive.extractfile(image).read() == stored.read_bytes()
                with Image.open(archive.extractfile(f"{key}.mask.png")) as mask:
                    assert mask.size == (record["width"], record["height"])
                found |= {row["id"]: (row["label"], row["segmentation"]) for row in record["objects"]}
    assert found == {row[0]: ({18: 1, 25: 2}[row[2]], row[4]) for row in KEPT}


@pytest.mark.parametrize(("largest", "numbers"), [(10**9, [5]), (1, [1] * 5), (2_700, [2, 2, 1])])
def test_shards_hold_as_many_images_as_their_size_allows_and_all_of_them(largest, numbers, subset, tmp_path):
    whole = open_subset(subset.folder, subset.store)
    both = [image for split in ("train", "val") for image in whole.images(split)]
    sizes = {image.id: ("", 1_300) for image in both}
    opened = SimpleNamespace(locked=sizes, images=lambda _split: iter(both))
    assert shards.shard_sizes(opened, "train", largest) == numbers
    parts = [(shard, list(chosen)) for shard, chosen in shards.in_shards(iter(both), numbers)]
    assert [image for _, chosen in parts for image in chosen] == both
    assert [len(chosen) for _, chosen in parts] == numbers


def test_croissant_describes_each_table_by_its_hash_and_each_column_that_it_has(subset, tmp_path):
    manifest = export("croissant", subset, tmp_path / "out")
    described = json.loads((tmp_path / "out" / "croissant.json").read_text("utf-8"))
    digests = {row["path"]: row["sha256"] for row in manifest["files"]}
    for file in described["distribution"]:
        assert file["sha256"] == digests[file["contentUrl"]]
    for records in described["recordSet"]:
        table = pq.read_table(tmp_path / "out" / f"{records['name']}.parquet")
        assert [row["source"]["extract"]["column"] for row in records["field"]] == table.column_names
    assert sorted(table.column("image_id").to_pylist()) == [7, 44]
    images = pq.read_table(tmp_path / "out" / "images.parquet").to_pylist()
    assert [row["image_id"] for row in images] == [number for number, *_ in IMAGES]
    assert all(len(row["sha256"]) == 64 for row in images)
    assert {key for key in described if key.startswith("rai:")} >= {
        "rai:dataCollection", "rai:dataAnnotationProtocol", "rai:dataBiases", "rai:dataLimitations",
        "rai:personalSensitiveInformation", "rai:dataUseCases", "rai:dataSocialImpact",
    }  # fmt: skip
    assert described["license"] == [
        "http://creativecommons.org/licenses/by-nc/2.0/",
        "http://creativecommons.org/licenses/by/2.0/",
    ]


def test_an_image_that_changed_in_the_store_is_refused_by_formats_that_hold_it(tmp_path):
    from cocomine.base.errors import CocomineError

    subset = make_small_subset(tmp_path / "small")
    stored = subset.store / "train2017" / IMAGES[0][1]
    stored.write_bytes(stored.read_bytes() + b"x")
    for format_name in ("huggingface", "webdataset"):
        with pytest.raises(CocomineError, match="was fetched"):
            export(format_name, subset, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_masks_in_parquet_hold_the_labels(subset, tmp_path):
    export("huggingface", subset, tmp_path / "out")
    row = pq.read_table(tmp_path / "out" / "data" / "train-00000-of-00001.parquet").to_pylist()[0]
    file = tmp_path / "mask.png"
    file.write_bytes(row["mask"]["bytes"])
    with Image.open(file) as mask:
        assert set(np.unique(np.asarray(mask))) <= {0, 1, 2, 255}
