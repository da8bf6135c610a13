import json
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import yaml
from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json, sha256_of_file
from cocomine.base.progress import Progress
from cocomine.base.staging import INCOMPLETE, staging
from cocomine.formats import output
from cocomine.formats.export import export_dataset, much_lost, room_needed
from cocomine.formats.losses import LOSSES
from cocomine.formats.output import Options, Output
from cocomine.formats.registry import FORMATS
from cocomine.formats.subset import open_subset
from helpers.small_subset import DOG, GIRAFFE, IMAGES, OBJECTS, TRUTH, make_small_subset
from PIL import Image
from pycocotools.coco import COCO


@pytest.fixture(scope="module")
def subset(tmp_path_factory):
    return make_small_subset(tmp_path_factory.mktemp("small"))


def export(format_name, subset, out, **options):
    return export_dataset(format_name, subset.folder, subset.store, out, Options(**options))


def lost(manifest):
    return {row["code"]: row["count"] for row in manifest["not_carried"]}


def read_yolo(root):
    """A reader of YOLO folders written apart from the exporter: {split: {stem: [(class, numbers)]}} and the names."""
    data = yaml.safe_load((root / "data.yaml").read_text("utf-8"))
    splits = {}
    for split in ("train", "val"):
        pictures = sorted(path for path in (root / data[split]).rglob("*") if path.is_file())
        labels = {}
        for picture in pictures:
            text = Path(str(picture).replace("/images/", "/labels/")).with_suffix(".txt")
            rows = [line.split() for line in text.read_text().splitlines()]
            labels[picture.stem] = [(int(row[0]), [float(number) for number in row[1:]]) for row in rows]
        splits[split] = labels
    return data["names"], splits


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("format_name", FORMATS)
def test_the_same_subset_gives_the_same_bytes_wherever(format_name, subset, tmp_path):
    export(format_name, subset, tmp_path / "a")
    export(format_name, subset, tmp_path / "deep" / "er" / "b", images="copy")
    first = tree(tmp_path / "a")
    assert first == tree(tmp_path / "deep" / "er" / "b")
    for name, content in first.items():
        if not name.endswith((".jpg", ".png")):
            assert str(tmp_path).encode() not in content
            assert str(subset.folder).encode() not in content


@pytest.mark.parametrize("format_name", FORMATS)
def test_the_manifest_names_every_file_with_its_hash_and_every_loss_with_its_meaning(format_name, subset, tmp_path):
    manifest = export(format_name, subset, tmp_path / "out")
    assert manifest == read_json(tmp_path / "out" / "manifest.json")
    files = {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert {row["path"] for row in manifest["files"]} == files - {"manifest.json"}
    for row in manifest["files"]:
        assert sha256_of_file(tmp_path / "out" / row["path"]) == row["sha256"]
    assert all(row["meaning"] == LOSSES[row["code"]].meaning for row in manifest["not_carried"])
    assert {split: counts["images"] for split, counts in manifest["splits"].items()} == TRUTH["images"]


@pytest.mark.parametrize("format_name", FORMATS)
def test_no_object_is_lost_without_a_reason(format_name, subset, tmp_path):
    manifest = export(format_name, subset, tmp_path / "out")
    dropped = sum(row["count"] for row in manifest["not_carried"] if row["drops"] and row["unit"] == "objects")
    assert manifest["totals"]["objects_in"] == TRUTH["objects"] == manifest["totals"]["objects_out"] + dropped


def test_coco_reads_with_pycocotools_and_holds_each_record_and_image(subset, tmp_path, capsys):
    manifest = export("coco", subset, tmp_path / "out")
    objects = {}
    for split, count in TRUTH["images"].items():
        coco = COCO(tmp_path / "out" / "annotations" / f"instances_{split}.json")
        assert len(coco.imgs) == count
        objects.update(coco.anns)
        for image in coco.imgs.values():
            with Image.open(tmp_path / "out" / split / image["file_name"]) as picture:
                assert picture.size == (image["width"], image["height"])
    assert {number: row["bbox"] for number, row in objects.items()} == {row[0]: row[5] for row in OBJECTS}
    assert len(COCO(tmp_path / "out" / "annotations" / "captions_train.json").anns) == 1
    source = (subset.folder / "splits/instances_train.json").read_bytes()
    assert (tmp_path / "out" / "annotations" / "instances_train.json").read_bytes() == source
    assert lost(manifest) == {"exif-rotated": 1}


def test_yolo_boxes_are_the_stated_boxes_cut_at_the_edge(subset, tmp_path):
    manifest = export("yolo-detect", subset, tmp_path / "out")
    names, splits = read_yolo(tmp_path / "out")
    assert names == {0: "dog", 1: "giraffe"}
    read = {}
    for labels in splits.values():
        for stem, rows in labels.items():
            width, height = next((w, h) for _, name, w, h, *_ in IMAGES if Path(name).stem == stem)
            for index, (cx, cy, w, h) in rows:
                box = [(cx - w / 2) * width, (cy - h / 2) * height, w * width, h * height]
                read[int(stem), index, round(box[0]), round(box[1])] = box
    wanted = {
        (7, 1): [4, 4, 20, 20],
        (7, 0): [30, 5, 24, 25],
        (12, 1): [0, 10, 20, 20],
        (12, 0): [5, 40, 20, 10],
        (44, 0): [10, 10, 18, 18],
    }
    assert len(read) == len(wanted)
    for (image, index, x, y), box in read.items():
        assert (x, y) == tuple(wanted[image, index][:2])
        assert box == pytest.approx(wanted[image, index], abs=1e-3)
    assert splits["train"]["000000000031"] == []
    assert splits["val"]["000000000058"] == []
    counts = lost(manifest)
    assert (counts["crowd"], counts["other-class"], counts["zero-area"]) == (2, 1, 1)
    assert (counts["clipped"], counts["shape"], counts["only-uncarried"]) == (1, 5, 1)
    assert (counts["captions"], counts["person_keypoints"], counts["exif-rotated"]) == (2, 1, 1)


def test_yolo_outlines_draw_the_pixels_of_the_source(subset, tmp_path):
    """Filled by Pillow, which shares no code with the exporter, they cover what pycocotools draws of the source."""
    from PIL import ImageDraw

    manifest = export("yolo-segment", subset, tmp_path / "out")
    _, splits = read_yolo(tmp_path / "out")
    assert [row[0] for row in splits["train"]["000000000007"]] == [1, 0]
    for index, numbers in splits["train"]["000000000007"]:
        points = np.array(numbers).reshape(-1, 2) * (64, 48)
        canvas = Image.new("1", (64, 48))
        ImageDraw.Draw(canvas).polygon([tuple(point) for point in points], fill=1)
        area = np.asarray(canvas).sum()
        assert area == pytest.approx({1: 400, 0: 164}[index], rel=0.25)
    leaving = np.array(splits["train"]["000000000012"][0][1]).reshape(-1, 2) * (40, 60)
    assert leaving.min() >= 0
    assert np.ptp(leaving, axis=0) == pytest.approx([20, 20], abs=1e-3)
    counts = lost(manifest)
    assert (counts["crowd"], counts["other-class"], counts["traced"], counts["polygon-too-short"]) == (2, 1, 1, 1)
    assert manifest["splits"]["train"]["traced"] == {
        "objects": 1,
        "iou_least": 1.0,
        "iou_mean": 1.0,
        "iou_of": {"105": 1.0},
    }
    assert (counts["parts-joined"], counts["changed-by-joining"], counts["clipped"]) == (2, 1, 1)
    assert manifest["splits"]["train"]["joined"]["objects"] == 1
    assert manifest["splits"]["val"]["joined"]["iou_least"] < 0.99
    assert manifest["totals"]["objects_out"] == 5


def test_masks_are_the_label_masks_pixel_for_pixel(subset, tmp_path):
    manifest = export("masks", subset, tmp_path / "out")
    for _, name, width, height, _, split, _ in IMAGES:
        with Image.open(tmp_path / "out" / "masks" / split / f"{Path(name).stem}.png") as mask:
            assert mask.size == (width, height)
            assert set(np.unique(np.asarray(mask))) <= {0, 1, 2, 255}
        assert (tmp_path / "out" / "images" / split / name).is_file()
    assert read_json(tmp_path / "out" / "labels.json")["category_to_label"] == {str(DOG): 1, str(GIRAFFE): 2}
    counts = lost(manifest)
    assert (counts["other-class"], counts["hidden"], counts["no-pixel"]) == (1, 1, 1)
    assert (counts["crowd-flag"], counts["instances"]) == (2, 6)


def test_an_image_that_could_not_be_drawn_is_left_out_and_counted(subset, tmp_path):
    folder, store = altered(subset, tmp_path)
    (folder / "masks" / "semantic" / "000000000044.png").unlink()
    (folder / "masks" / "refused.tsv").write_text("image_id\tfile_name\treason\tdetail\n44\tx.jpg\tbad\t\n")
    manifest = export_dataset("masks", folder, store, tmp_path / "out")
    assert (lost(manifest)["no-mask"], lost(manifest)["image-without-mask"]) == (1, 3)
    assert manifest["splits"]["val"]["images"] == 1
    assert not (tmp_path / "out" / "images" / "val" / "000000000044.jpg").exists()


def test_images_are_hard_linked_where_that_can_be_done(subset, tmp_path):
    export("coco", subset, tmp_path / "out")
    stored = subset.store / "train2017" / IMAGES[0][1]
    assert stored.samefile(tmp_path / "out" / "train" / IMAGES[0][1])
    export("coco", subset, tmp_path / "copy", images="copy")
    assert not stored.samefile(tmp_path / "copy" / "train" / IMAGES[0][1])


def test_images_are_copied_where_a_link_is_refused(subset, tmp_path, monkeypatch):
    def refuse(*_args, **_keywords):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(output.os, "link", refuse)
    export("coco", subset, tmp_path / "out")
    stored = subset.store / "train2017" / IMAGES[0][1]
    assert (tmp_path / "out" / "train" / IMAGES[0][1]).read_bytes() == stored.read_bytes()


def test_formats_of_a_store_in_place_share_one_copy_of_each_image_and_never_link_into_the_store(subset, tmp_path):
    copies = tmp_path / "copies"
    stored = subset.store / "train2017" / IMAGES[0][1]
    before = stored.stat().st_nlink
    for format_name in FORMATS:
        export(format_name, subset, tmp_path / format_name, copies=copies)
    assert stored.stat().st_nlink == before
    placed = [tmp_path / "coco" / "train" / IMAGES[0][1], tmp_path / "masks" / "images" / "train" / IMAGES[0][1]]
    assert placed[0].samefile(placed[1])
    assert sum(path.is_file() for path in copies.rglob("*")) == len(IMAGES)


def test_copies_that_an_earlier_export_made_ask_for_no_room_again(subset, tmp_path):
    options = Options(copies=tmp_path / "copies")

    def needed():
        return room_needed(FORMATS["masks"], open_subset(subset.folder, subset.store), options)

    before = needed()
    export("coco", subset, tmp_path / "coco", copies=options.copies)
    assert before - needed() == sum((subset.store / "train2017" / name).stat().st_size for _, name, *_ in IMAGES) > 0


def test_an_export_makes_one_folder_for_what_it_copies_and_leaves_none(subset, tmp_path, monkeypatch):
    places = []
    monkeypatch.setattr(output, "staging", lambda place: places.append(place) or staging(place))
    export("coco", subset, tmp_path / "coco", copies=tmp_path / "copies")
    assert places == [tmp_path / "copies" / INCOMPLETE]
    assert not places[0].exists()


def shares_all(folder, name):
    """Link to the shared copy of each image as an export does that runs beside another."""
    own, copies = folder / name, folder / "copies"
    own.mkdir()
    with staging(copies / INCOMPLETE) as staged:
        (folder / f"{name}.ready").touch()
        until = time.monotonic() + 60
        while len(list(folder.glob("*.ready"))) < 2:
            assert time.monotonic() < until, "the other process did not start"
        for image in sorted((folder / "store").iterdir()):
            output._shared(image, own / image.name, copies, staged, "", {})


def test_exports_side_by_side_make_the_shared_copies_without_harm(tmp_path):
    (tmp_path / "store").mkdir()
    for number in range(600):
        (tmp_path / "store" / f"{number}.jpg").write_bytes(bytes(50_000) + str(number).encode())
    with ProcessPoolExecutor(2) as pool:
        for done in [pool.submit(shares_all, tmp_path, name) for name in ("a", "b")]:
            done.result()
    stored = {path.name: sha256_of_file(path) for path in (tmp_path / "store").iterdir()}
    for name in ("a", "b"):
        assert {path.name: sha256_of_file(path) for path in (tmp_path / name).iterdir()} == stored
    assert sum(path.is_file() for path in (tmp_path / "copies").rglob("*")) == 600


def shares(folder, name, ready):
    """Make the shared copies as an export does that starts beside another; return how many it made."""
    images = [(path, sha256_of_file(path)) for path in sorted((folder / "store").iterdir())]
    (folder / f"{name}.ready").touch()
    until = time.monotonic() + 60
    while len(list(folder.glob("*.ready"))) < ready:
        assert time.monotonic() < until, "the other process did not start"
    with (
        Output(folder, folder / name, Options(copies=folder / "copies")) as out,
        Progress("copy", 1, "image") as progress,
    ):
        out.share(images, progress)
        return len(out._copied)


def test_exports_that_start_together_share_the_work_of_copying(tmp_path):
    (tmp_path / "store").mkdir()
    for number in range(600):
        (tmp_path / "store" / f"{number}.jpg").write_bytes(bytes(50_000) + str(number).encode())
    with ProcessPoolExecutor(2) as pool:
        made = [done.result() for done in [pool.submit(shares, tmp_path, name, 2) for name in ("coco", "masks")]]
    assert 600 <= sum(made) <= 610  # both may make one that they come to together
    assert min(made) > 60
    stored = {f"{sha256_of_file(path)}.jpg" for path in (tmp_path / "store").iterdir()}
    assert {path.name for path in (tmp_path / "copies").rglob("*") if path.is_file()} == stored
    assert shares(tmp_path, "coco", 1) == 0


def test_images_that_are_links_and_copies_that_vanish_are_exported_too(subset, tmp_path, monkeypatch):
    store = tmp_path / "linked"
    for number, path in enumerate(sorted((subset.store / "train2017").iterdir())):
        (tmp_path / "blobs").mkdir(exist_ok=True)
        shutil.copyfile(path, tmp_path / "blobs" / str(number))
        (store / "train2017").mkdir(parents=True, exist_ok=True)
        (store / "train2017" / path.name).symlink_to(tmp_path / "blobs" / str(number))
    expected = export("coco", subset, tmp_path / "plain", copies=tmp_path / "copies")
    linked = subset.__class__(subset.folder, store)
    assert export("coco", linked, tmp_path / "links", copies=tmp_path / "others") == expected
    shared = Output.share

    def vanishing(out, *arguments):
        shared(out, *arguments)
        shutil.rmtree(out.options.copies / next(iter(out._copied)).parent.name)

    monkeypatch.setattr(Output, "share", vanishing)
    assert export("coco", linked, tmp_path / "again", copies=tmp_path / "third") == expected


def test_a_copy_that_is_written_into_while_its_export_runs_is_made_anew(subset, tmp_path, monkeypatch):
    expected = export("coco", subset, tmp_path / "plain", copies=tmp_path / "copies")
    shared = Output.share

    def spoiled(out, *arguments):
        shared(out, *arguments)
        for copy in out._copied:
            copy.write_bytes(b"no image")

    monkeypatch.setattr(Output, "share", spoiled)
    assert export("coco", subset, tmp_path / "again", copies=tmp_path / "others") == expected
    for file in expected["files"]:
        assert sha256_of_file(tmp_path / "again" / file["path"]) == file["sha256"]


def test_an_image_that_changed_is_not_copied_before_its_turn(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"changed")
    with (
        Output(tmp_path, tmp_path / "x", Options(copies=tmp_path / "copies")) as out,
        Progress("copy", 2, "image") as p,
    ):
        out.share([(tmp_path / "a.jpg", "0" * 64), (tmp_path / "gone.jpg", "1" * 64)], p)
    assert not [path for path in (tmp_path / "copies").rglob("*") if path.is_file()]


def test_a_shared_copy_that_somebody_wrote_into_is_made_anew(subset, tmp_path):
    copies = tmp_path / "copies"
    export("coco", subset, tmp_path / "a", copies=copies)
    (tmp_path / "a" / "train" / IMAGES[0][1]).write_bytes(b"mine")
    export("coco", subset, tmp_path / "b", copies=copies)
    stored = subset.store / "train2017" / IMAGES[0][1]
    assert (tmp_path / "b" / "train" / IMAGES[0][1]).read_bytes() == stored.read_bytes()


def test_images_linked_by_name_are_found_from_where_the_export_lies(subset, tmp_path):
    export("yolo-detect", subset, tmp_path / "out", images="symlink")
    placed = tmp_path / "out" / "images" / "train" / IMAGES[0][1]
    assert placed.is_symlink()
    assert not Path(placed.readlink()).is_absolute()
    assert placed.read_bytes() == (subset.store / "train2017" / IMAGES[0][1]).read_bytes()


def test_without_images_a_list_says_where_they_lie_seen_from_the_export(subset, tmp_path):
    export("coco", subset, tmp_path / "out", images="none")
    assert not list((tmp_path / "out").rglob("*.jpg"))
    names = (tmp_path / "out" / "images" / "train.txt").read_text().splitlines()
    assert [(tmp_path / "out" / name).resolve().name for name in names] == [IMAGES[0][1], IMAGES[1][1], IMAGES[2][1]]
    assert all((tmp_path / "out" / name).is_file() for name in names)
    with pytest.raises(CocomineError, match="beside its labels"):
        export("yolo-detect", subset, tmp_path / "yolo", images="none")
    assert not (tmp_path / "yolo").exists()


def test_a_disk_without_room_for_copies_is_said_before_anything_is_written(subset, tmp_path, monkeypatch):
    monkeypatch.setattr("cocomine.base.space.free_bytes", lambda _folder: 1000)
    with pytest.raises(CocomineError, match="needs about"):
        export("coco", subset, tmp_path / "out", images="copy")
    assert not list(tmp_path.iterdir())


def test_a_class_that_loses_over_a_hundredth_of_its_objects_is_named_with_its_counts(subset, tmp_path):
    manifest = export("yolo-detect", subset, tmp_path / "out")
    assert much_lost(manifest) == ["dog: 2 of 5 objects are not in it", "giraffe: 1 of 3 objects are not in it"]
    assert much_lost(export("coco", subset, tmp_path / "coco")) == []


def test_more_splits_than_two_are_exported(subset, tmp_path):
    folder, store = altered(subset, tmp_path)
    table = (folder / "split.tsv").read_text().replace("44\t000000000044.jpg\tval", "44\t000000000044.jpg\ttest")
    (folder / "split.tsv").write_text(table)
    document = json.loads((folder / "splits/instances_val.json").read_text())
    for split, image in (("val", 58), ("test", 44)):
        part = {
            **document,
            "images": [record for record in document["images"] if record["id"] == image],
            "annotations": [record for record in document["annotations"] if record["image_id"] == image],
        }
        (folder / f"splits/instances_{split}.json").write_text(json.dumps(part))
    for format_name in FORMATS:
        manifest = export_dataset(format_name, folder, store, tmp_path / format_name)
        assert {split: row["images"] for split, row in manifest["splits"].items()} == {"train": 3, "val": 1, "test": 1}
    assert "test: images/test" in (tmp_path / "yolo-detect" / "data.yaml").read_text()


def test_a_store_of_symbolic_links_gives_an_export_without_any(subset, tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    (store / "train2017").symlink_to(subset.store / "train2017")
    export_dataset("masks", subset.folder, store, tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_symlink()]


def test_a_moved_export_still_reads(subset, tmp_path, capsys):
    export("coco", subset, tmp_path / "out")
    export("yolo-detect", subset, tmp_path / "yolo")
    (tmp_path / "elsewhere").mkdir()
    for name in ("out", "yolo"):
        shutil.move(tmp_path / name, tmp_path / "elsewhere" / name)
    assert len(COCO(tmp_path / "elsewhere" / "out" / "annotations" / "instances_val.json").imgs) == 2
    _, splits = read_yolo(tmp_path / "elsewhere" / "yolo")
    assert len(splits["train"]) == 3


def altered(subset, tmp_path):
    shutil.copytree(subset.folder, tmp_path / "subset")
    shutil.copytree(subset.store, tmp_path / "store")
    return tmp_path / "subset", tmp_path / "store"


def test_a_missing_image_is_named_with_the_remedy_and_leaves_nothing_behind(subset, tmp_path):
    folder, store = altered(subset, tmp_path)
    (store / "train2017" / IMAGES[2][1]).unlink()
    with pytest.raises(CocomineError, match=r"000000000031\.jpg") as error:
        export_dataset("yolo-detect", folder, store, tmp_path / "out")
    assert "--forcerun sync_images" in error.value.hint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store", "subset"]


def test_a_image_that_changed_in_the_store_is_refused(subset, tmp_path):
    folder, store = altered(subset, tmp_path)
    image = store / "train2017" / IMAGES[0][1]
    image.write_bytes(image.read_bytes() + b"x")
    with pytest.raises(CocomineError, match="was fetched"):
        export_dataset("coco", folder, store, tmp_path / "out")


def test_a_missing_mask_says_which_rule_makes_it(subset, tmp_path):
    folder, store = altered(subset, tmp_path)
    (folder / "masks" / "semantic" / "000000000044.png").unlink()
    with pytest.raises(CocomineError, match=r"000000000044\.png") as error:
        export_dataset("masks", folder, store, tmp_path / "out")
    assert "rasterize_masks" in error.value.hint


def test_a_missing_split_file_says_what_to_run(tmp_path):
    with pytest.raises(CocomineError, match=r"split\.tsv: no such file") as error:
        export_dataset("coco", tmp_path, tmp_path, tmp_path / "out")
    assert "split_dataset" in error.value.hint


def test_a_folder_that_is_no_earlier_export_is_not_replaced(subset, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("mine")
    with pytest.raises(CocomineError, match="no earlier result"):
        export("coco", subset, out)
    assert (out / "thesis.tex").read_text() == "mine"


def test_an_earlier_export_is_replaced_with_nothing_of_it_left(subset, tmp_path):
    export("yolo-detect", subset, tmp_path / "out")
    export("coco", subset, tmp_path / "out")
    assert not (tmp_path / "out" / "labels").exists()


@pytest.mark.parametrize("names", [("a/1.jpg", "a/1.png"), ("a/x.jpg", "a/X.jpg"), ("a/1.jpg", "a/1.jpg")])
def test_two_images_of_one_name_are_refused_rather_than_overwritten(names):
    with pytest.raises(CocomineError, match="would both be written"):
        output.check_names("train", names, by_stem=True)


@pytest.mark.parametrize("name", ["../x.jpg", "/etc/x.jpg", "a/../../x.jpg", "..\\x.jpg"])
def test_a_file_name_that_leaves_the_folder_is_refused(name):
    with pytest.raises(CocomineError, match="would leave"):
        output.check_names("train", [name], by_stem=False)


def test_a_subset_with_an_unsafe_file_name_writes_nothing_outside(subset, tmp_path):
    folder, store = altered(subset, tmp_path)
    text = (folder / "splits/instances_train.json").read_text()
    (folder / "splits/instances_train.json").write_text(text.replace('"000000000007.jpg"', '"../../../escaped.jpg"'))
    for format_name, chosen in FORMATS.items():
        if chosen.images == "named":
            export_dataset(format_name, folder, store, tmp_path / "deep" / "out")
            continue
        # Formats that hold the images name no file after them; what is missing then is the mask of that name.
        with pytest.raises(CocomineError, match="no such file" if chosen.images == "embedded" else "would leave"):
            export_dataset(format_name, folder, store, tmp_path / "deep" / "out")
    assert not list(tmp_path.rglob("escaped*"))


def test_hostile_class_names_come_back_from_data_yaml_as_they_were(tmp_path):
    names = ('dog: "x" # no', "- 'é' {yes}\n")
    subset = make_small_subset(tmp_path, names=names)
    export("yolo-detect", subset, tmp_path / "out")
    assert read_yolo(tmp_path / "out")[0] == dict(enumerate(names))


def test_panoptic_files_go_with_their_pngs_or_are_counted(subset, tmp_path):
    folder, store = altered(subset, tmp_path)
    record = {"image_id": 7, "file_name": "000000000007.png", "segments_info": [{"id": 1, "category_id": 1}]}
    document = {"images": [], "annotations": [record], "categories": []}
    (folder / "splits" / "panoptic_train.json").write_text(json.dumps(document))
    assert lost(export_dataset("coco", folder, store, tmp_path / "a"))["panoptic-without-pngs"] == 1
    assert not (tmp_path / "a" / "annotations" / "panoptic_train.json").exists()
    pngs = tmp_path / "pngs"
    pngs.mkdir()
    Image.new("RGB", (64, 48)).save(pngs / "000000000007.png")
    options = Options(panoptic_pngs=(tmp_path / "none", pngs))
    assert "panoptic-without-pngs" not in lost(export_dataset("coco", folder, store, tmp_path / "b", options))
    assert (tmp_path / "b" / "annotations" / "panoptic_train" / "000000000007.png").is_file()
    with pytest.raises(CocomineError, match=r"000000000007\.png"):
        export_dataset("coco", folder, store, tmp_path / "c", Options(panoptic_pngs=(tmp_path,)))
