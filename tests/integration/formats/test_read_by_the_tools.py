"""Each format is read by the tools that it is for, in environments of their own: what they find is what went in.

tests/benchmarks/make_peers.py makes the environments; a tool that is not there is named as not run.
"""

import numpy as np
import pytest
from cocomine.formats.export import export_dataset
from helpers.peers import told_by
from helpers.small_subset import DOG, GIRAFFE, IMAGES, OBJECTS, PERSON, TRUTH, make_small_subset
from pycocotools import mask as coco_mask

pytestmark = pytest.mark.slow

NAME_OF = {DOG: "dog", GIRAFFE: "giraffe"}
LABELLED = [row for row in OBJECTS if row[2] != PERSON]
SIZE_OF = {name: (width, height) for _, name, width, height, *_ in IMAGES}
NAMES = {number: name for number, name, *_ in IMAGES}


@pytest.fixture(scope="module")
def subset(tmp_path_factory):
    return make_small_subset(tmp_path_factory.mktemp("small"))


@pytest.fixture
def exported(subset, tmp_path):
    def export(format_name):
        return export_dataset(format_name, subset.folder, subset.store, tmp_path / format_name)

    return export


def in_image(box, size):
    left, top, right, bottom = box[0], box[1], box[0] + box[2], box[1] + box[3]
    return [max(left, 0), max(top, 0), min(right, size[0]), min(bottom, size[1])]


def truth_boxes(rows):
    """By image, the class and the corners of each object, cut at the image's edge."""
    found = {}
    for _, image, category, _, _, box, _ in rows:
        found.setdefault(NAMES[image], []).append((NAME_OF[category], in_image(box, SIZE_OF[NAMES[image]])))
    return {name: sorted(boxes) for name, boxes in found.items()}


def assert_same_boxes(read, wanted, tolerance):
    assert {name for name, boxes in read.items() if boxes} == set(wanted)
    for name, boxes in wanted.items():
        for (name_read, left), (wanted_name, right) in zip(sorted(map(tuple, read[name])), boxes, strict=True):
            assert name_read == wanted_name
            assert np.abs(np.array(left) - right).max() <= tolerance


def truth_mask(row):
    _, image, _, _, segmentation, *_ = row
    width, height = SIZE_OF[NAMES[image]]
    rle = coco_mask.frPyObjects(segmentation, height, width)
    return coco_mask.merge(rle) if isinstance(rle, list) else rle


FOR_YOLO = [row for row in LABELLED if not row[3] and row[5][2] * row[5][3] > 0]


YOLO_DATASET = """
import sys, json, yaml
from pathlib import Path
from ultralytics.data.dataset import YOLODataset
from ultralytics.data.utils import check_det_dataset
task, folder = sys.argv[1], sys.argv[2]
data = check_det_dataset(f"{folder}/data.yaml", autodownload=False)
found, segments, points = {}, {}, {}
for split in ("train", "val"):
    dataset = YOLODataset(img_path=data[split], data=data, task=task, augment=False, imgsz=64, cache=False)
    for row in dataset.labels:
        name = Path(row["im_file"]).name
        height, width = row["shape"]
        boxes = []
        for (cls,), (cx, cy, w, h) in zip(row["cls"].tolist(), row["bboxes"].tolist()):
            corners = [(cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height]
            boxes.append([data["names"][int(cls)], corners])
        found[name] = boxes
        segments[name] = [(part * [width, height]).tolist() for part in row["segments"]]
        if row["keypoints"] is not None:
            points[name] = (row["keypoints"] * [width, height, 1]).tolist()
print(json.dumps({"boxes": found, "segments": segments, "keypoints": points}))
"""


def test_ultralytics_reads_the_boxes(exported, tmp_path):
    exported("yolo-detect")
    read = told_by("ultralytics", YOLO_DATASET, "detect", tmp_path / "yolo-detect", home=tmp_path)
    # The EXIF tag of one image is not in its bytes, so that nothing is turned.
    assert_same_boxes(read["boxes"], truth_boxes(FOR_YOLO), 0.01)


def test_ultralytics_reads_the_outlines_of_objects_with_their_parts_and_of_run_lengths(exported, tmp_path):
    exported("yolo-segment")
    read = told_by("ultralytics", YOLO_DATASET, "segment", tmp_path / "yolo-segment", home=tmp_path)
    ious = {}
    for name in NAMES.values():
        width, height = SIZE_OF[name]
        rows = [row for row in FOR_YOLO if NAMES[row[1]] == name]
        for row, outline in zip(rows, read["segments"][name], strict=True):
            drawn = coco_mask.frPyObjects([np.array(outline).ravel().tolist()], height, width)
            ious[row[0]] = float(coco_mask.iou(drawn, [truth_mask(row)], [0])[0, 0])
    # 106 has parts that overlap, which the manifest counts as changed by joining.
    assert {number for number, iou in ious.items() if iou < 0.99} <= {106}
    assert ious[105] > 0.99


def test_ultralytics_reads_the_keypoints(exported, tmp_path):
    exported("yolo-pose")
    read = told_by("ultralytics", YOLO_DATASET, "pose", tmp_path / "yolo-pose", home=tmp_path)
    points = np.array(read["keypoints"]["000000000007.jpg"])
    assert points == pytest.approx(np.array([[[16, 12, 2], [0, 0, 0], [8, 24, 1]]]), abs=0.01)


def test_supervision_reads_the_boxes(exported, tmp_path):
    program = """
import sys, json, supervision as sv
from pathlib import Path
found = {}
for split in ("train", "val"):
    root = sys.argv[1]
    data = sv.DetectionDataset.from_yolo(f"{root}/images/{split}", f"{root}/labels/{split}", f"{root}/data.yaml")
    for path, _, marks in data:
        rows = zip(marks.class_id.tolist(), marks.xyxy.tolist())
        found[Path(path).name] = [[data.classes[number], box] for number, box in rows]
print(json.dumps(found))
"""
    exported("yolo-detect")
    read = told_by("supervision", program, tmp_path / "yolo-detect", home=tmp_path)
    assert_same_boxes(read, truth_boxes(FOR_YOLO), 1.0)


def test_torchvision_reads_voc_and_coco(exported, tmp_path):
    program = """
import sys, json
import numpy as np
from torchvision.datasets import CocoDetection, VOCDetection, VOCSegmentation
voc, coco = sys.argv[1:3]
found = {"boxes": {}, "values": {}, "coco": {}}
for split in ("train", "val"):
    for image, target in VOCDetection(voc, image_set=split):
        row = target["annotation"]
        objects = row.get("object", [])
        found["boxes"][row["filename"]] = [
            [o["name"], [int(o["bndbox"]["xmin"]) - 1, int(o["bndbox"]["ymin"]) - 1, int(o["bndbox"]["xmax"]),
             int(o["bndbox"]["ymax"])]] for o in objects]
    found["values"][split] = [sorted(set(np.asarray(mask).ravel().tolist())) for _, mask in
                              VOCSegmentation(voc, image_set=split)]
    data = CocoDetection(f"{coco}/{split}", f"{coco}/annotations/instances_{split}.json")
    found["coco"][split] = [len(data), sum(len(target) for _, target in data)]
print(json.dumps(found))
"""
    exported("voc")
    exported("coco")
    read = told_by("torchvision", program, tmp_path / "voc", tmp_path / "coco", home=tmp_path)
    assert_same_boxes(read["boxes"], truth_boxes([row for row in LABELLED if row[5][2] * row[5][3] > 0]), 1.0)
    assert {split: len(values) for split, values in read["values"].items()} == TRUTH["images"]
    assert {value for values in read["values"].values() for mask in values for value in mask} == {0, 1, 2, 255}
    assert read["coco"] == {"train": [3, 5], "val": [2, 4]}


def test_opencv_reads_grey_masks_by_label(exported, tmp_path):
    program = """
import sys, json, cv2
from pathlib import Path
found = {}
for path in Path(sys.argv[1]).rglob("*.png"):
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    found[path.stem] = [list(mask.shape), sorted(set(mask.ravel().tolist()))]
print(json.dumps(found))
"""
    exported("masks-grey")
    read = told_by("ultralytics", program, tmp_path / "masks-grey" / "masks", home=tmp_path)
    assert {stem: shape for stem, (shape, _) in read.items()} == {
        name.split(".")[0]: [height, width] for name, (width, height) in SIZE_OF.items()
    }
    assert {value for _, values in read.values() for value in values} == {0, 1, 2, 255}


def test_datasets_reads_parquet_with_images_masks_and_names(exported, tmp_path):
    program = """
import sys, json, datasets
found = {}
for split, data in datasets.load_dataset(sys.argv[1], cache_dir=sys.argv[2]).items():
    names = data.features["objects"]["category"].feature.names
    for row in data:
        objects = row["objects"]
        boxes = [[names[c], [x, y, x + w, y + h]] for c, (x, y, w, h) in zip(objects["category"], objects["bbox"])]
        found[row["file_name"]] = [row["image"].size, row["mask"].size, row["mask"].mode, boxes, row["captions"]]
print(json.dumps(found))
"""
    exported("huggingface")
    read = told_by("datasets", program, tmp_path / "huggingface", tmp_path / "cache", home=tmp_path)
    assert {name: (tuple(row[0]), tuple(row[1])) for name, row in read.items()} == {
        name: (size, size) for name, size in SIZE_OF.items()
    }
    assert sum(len(row[3]) for row in read.values()) == len(LABELLED)
    assert read["000000000007.jpg"][3][0] == ["giraffe", [4, 4, 24, 24]]
    assert sum(len(row[4]) for row in read.values()) == TRUTH["captions"]


def test_webdataset_reads_its_samples(exported, tmp_path):
    program = """
import sys, json, io, glob, webdataset
from PIL import Image
found = {}
for split in ("train", "val"):
    for sample in webdataset.WebDataset(sorted(glob.glob(f"{sys.argv[1]}/{split}-*.tar")), shardshuffle=False):
        record = json.loads(sample["json"])
        sizes = [Image.open(io.BytesIO(sample[key])).size for key in ("jpg", "mask.png")]
        found[record["file_name"]] = [*sizes, [[o["name"], o["bbox"]] for o in record["objects"]]]
print(json.dumps(found))
"""
    exported("webdataset")
    read = told_by("webdataset", program, tmp_path / "webdataset", home=tmp_path)
    assert {name: (tuple(row[0]), tuple(row[1])) for name, row in read.items()} == {
        name: (size, size) for name, size in SIZE_OF.items()
    }
    assert read["000000000007.jpg"][2][0] == ["giraffe", [4, 4, 20, 20]]
    assert sum(len(row[2]) for row in read.values()) == len(LABELLED)


def test_mlcroissant_validates_the_description_and_reads_the_tables(exported, tmp_path):
    program = """
import sys, json, mlcroissant
data = mlcroissant.Dataset(sys.argv[1])
issues = data.metadata.ctx.issues
rows = {name: [row for row in data.records(name)] for name in ("images", "objects", "captions")}
boxes = [[row["objects/image_id"], row["objects/category"].decode(), row["objects/x"]] for row in rows["objects"]]
print(json.dumps({"errors": sorted(issues.errors), "warnings": sorted(issues.warnings), "boxes": boxes,
                  "rows": {name: len(found) for name, found in rows.items()}}))
"""
    exported("croissant")
    read = told_by("mlcroissant", program, tmp_path / "croissant" / "croissant.json", home=tmp_path)
    assert read["errors"] == []
    assert read["rows"] == {"images": len(IMAGES), "objects": len(LABELLED), "captions": TRUTH["captions"]}
    assert read["boxes"] == [[row[1], NAME_OF[row[2]], row[5][0]] for row in LABELLED]
    assert all("datePublished" in warning for warning in read["warnings"])


def test_ultralytics_reads_semantic_masks_by_label(exported, tmp_path):
    program = """
import sys, json
from pathlib import Path
from ultralytics.data.dataset import SemanticDataset
from ultralytics.data.utils import check_det_dataset
data = check_det_dataset(sys.argv[1], autodownload=False)
found = {}
for split in ("train", "val"):
    dataset = SemanticDataset(img_path=data[split], data=data, task="semantic", augment=False, imgsz=64, cache=False)
    for row in dataset:
        values, counts = row["semantic_mask"].unique(return_counts=True)
        name = Path(row["im_file"]).name
        found[name] = [list(row["ori_shape"]), dict(zip(map(str, values.tolist()), counts.tolist()))]
print(json.dumps({"found": found, "names": data["names"]}))
"""
    exported("yolo-semantic")
    read = told_by("ultralytics", program, tmp_path / "yolo-semantic" / "data.yaml", home=tmp_path)
    assert read["names"] == {"0": "background", "1": "dog", "2": "giraffe"}
    assert {name: tuple(shape) for name, (shape, _) in read["found"].items()} == {
        name: (height, width) for name, (width, height) in SIZE_OF.items()
    }
    # 64 × 48 pixels are not resized: the giraffe's square of 20 pixels a side, the dog's of 8 and 10.
    values = read["found"]["000000000007.jpg"][1]
    assert (values["2"], values["1"]) == (400, 164)


def test_datumaro_reads_boxes_masks_and_captions(exported, tmp_path):
    program = """
import sys, json
import numpy as np
from datumaro.components.annotation import AnnotationType as kinds
from datumaro.components.dataset import Dataset
from pycocotools import mask as coder
data = Dataset.import_from(sys.argv[1], "datumaro")
names = [label.name for label in data.categories()[kinds.label]]
found = {"boxes": {}, "masks": {}, "captions": 0, "splits": {}, "crowds": []}
for item in data:
    height, width = item.media.size
    name = item.media.path.rpartition("/")[2]
    found["splits"][item.subset] = found["splits"].get(item.subset, 0) + 1
    boxes = found["boxes"][name] = []
    for one in item.annotations:
        if one.type == kinds.caption:
            found["captions"] += 1
            continue
        if one.attributes["is_crowd"] and one.group not in found["crowds"]:
            found["crowds"].append(one.group)
        if one.type == kinds.bbox:
            x, y, w, h = one.get_bbox()
            boxes.append([names[one.label], [max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)]])
            continue
        if one.type == kinds.polygon:
            drawn = coder.decode(coder.merge(coder.frPyObjects([one.points], height, width)))
        else:
            drawn = np.asarray(one.image, np.uint8)
        found["masks"].setdefault(str(one.group), np.zeros((height, width), np.uint8))[drawn > 0] = 1
found["masks"] = {group: coder.encode(np.asfortranarray(mask)) for group, mask in found["masks"].items()}
for mask in found["masks"].values():
    mask["counts"] = mask["counts"].decode()
print(json.dumps(found))
"""
    manifest = exported("datumaro")
    read = told_by("datumaro", program, tmp_path / "datumaro", home=tmp_path)
    assert read["splits"] == TRUTH["images"]
    assert_same_boxes(read["boxes"], truth_boxes(LABELLED), 1.0)
    assert sorted(read["crowds"]) == [103, 109]
    assert read["captions"] == TRUTH["captions"]
    drawn = [row for row in LABELLED if row[0] != 107]  # an outline of two points is none
    ious = {row[0]: float(coco_mask.iou([read["masks"][str(row[0])]], [truth_mask(row)], [0])[0, 0]) for row in drawn}
    assert min(ious.values()) == 1.0
    assert manifest["totals"]["objects_out"] == len(LABELLED)
