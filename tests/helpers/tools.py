"""Folders as labelling tools export them, drawn: each tool's layout and the very shape of its COCO file.

Every function writes an export of four images below a folder and returns the config's `sources` entry for it, as
docs/own-data.md shows it. Each export has the objects BOX (10, 8, 20, 16) in every image, of category `leaf`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers.own_data import HEIGHT, WIDTH, draw_image, lay

BOX = [10, 8, 20, 16]
OUTLINE = [10, 8, 30, 8, 30, 24, 10, 24]


def cvat(root: Path) -> dict[str, Any]:
    """CVAT, "COCO 1.0", with images: annotations/instances_default.json and images/default/."""
    names = [f"frame_{number:06d}.PNG" for number in range(4)]
    document = {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": {"contributor": "", "date_created": "", "description": "", "url": "", "version": "", "year": ""},
        "categories": [{"id": 1, "name": "leaf", "supercategory": ""}],
        "images": [
            {
                "id": number, "width": WIDTH, "height": HEIGHT, "file_name": name, "license": 0, "flickr_url": "",
                "coco_url": "", "date_captured": 0,
            }
            for number, name in enumerate(names, 1)
        ],
        "annotations": [
            {
                "id": number, "image_id": number, "category_id": 1, "segmentation": [list(map(float, OUTLINE))],
                "area": 320.0, "bbox": list(map(float, BOX)), "iscrowd": 0, "attributes": {"occluded": False},
            }
            for number in range(1, 5)
        ],
    }  # fmt: skip
    lay(root, {"annotations/instances_default.json": document}, [f"images/default/{name}" for name in names])
    return {"folder": str(root), "splits": ["default"]}


def label_studio(root: Path) -> dict[str, Any]:
    """Label Studio, "COCO with images": result.json and images/, names with a folder and a random prefix."""
    names = [f"images/0f8a{number}c21-pic {number}.jpg" for number in range(4)]
    document = {
        "images": [
            {"width": WIDTH, "height": HEIGHT, "id": number, "file_name": name} for number, name in enumerate(names)
        ],
        "categories": [{"id": 0, "name": "leaf"}],
        "annotations": [
            {
                "id": number, "image_id": number, "category_id": 0, "segmentation": [OUTLINE], "bbox": BOX,
                "ignore": 0, "iscrowd": 0, "area": 320,
            }
            for number in range(4)
        ],
        "info": {
            "year": 2024, "version": "1.0", "description": "", "contributor": "Label Studio", "url": "",
            "date_created": "2024-05-01 10:00:00.000000",
        },
    }  # fmt: skip
    lay(root, {"result.json": document}, names)
    return {"annotations": f"{root}/result.json", "images": str(root)}


def roboflow(root: Path) -> dict[str, Any]:
    """Roboflow, "COCO Segmentation": a folder a split, with _annotations.coco.json beside the images; ids restart."""
    number = 0
    for split, count in (("train", 2), ("valid", 1), ("test", 1)):
        names = [f"leaf{number + at}_jpg.rf.{'0a1b2c3d' * 4}.jpg" for at in range(count)]
        document = {
            "info": {"year": "2024", "version": "1", "description": "Exported from roboflow.com", "contributor": ""},
            "licenses": [{"id": 1, "url": "https://creativecommons.org/licenses/by/4.0/", "name": "CC BY 4.0"}],
            "categories": [
                {"id": 0, "name": "leaves", "supercategory": "none"},
                {"id": 1, "name": "leaf", "supercategory": "leaves"},
            ],
            "images": [
                {
                    "id": at, "license": 1, "file_name": name, "height": HEIGHT, "width": WIDTH,
                    "date_captured": "2024-05-01T10:00:00+00:00",
                }
                for at, name in enumerate(names)
            ],
            "annotations": [
                {
                    "id": at, "image_id": at, "category_id": 1, "bbox": BOX, "area": 320, "segmentation": [OUTLINE],
                    "iscrowd": 0,
                }
                for at in range(count)
            ],
        }  # fmt: skip
        lay(root, {f"{split}/_annotations.coco.json": document}, [])
        for at, name in enumerate(names):
            draw_image(root / split / name, number + at)
        number += count
    splits = ("train", "valid", "test")
    return {
        "annotations": {split: f"{root}/{split}/_annotations.coco.json" for split in splits},
        "images": {split: f"{root}/{split}" for split in splits},
    }


def labelme(root: Path) -> dict[str, Any]:
    """Labelme's examples/instance_segmentation/labelme2coco.py: annotations.json, JPEGImages/ and Visualization/."""
    names = [f"JPEGImages/2011_00000{number}.jpg" for number in range(4)]
    document = {
        "info": {"description": None, "url": None, "version": None, "year": 2024, "contributor": None},
        "licenses": [{"url": None, "id": 0, "name": None}],
        "images": [
            {
                "license": 0, "url": None, "file_name": name, "height": HEIGHT, "width": WIDTH, "date_captured": None,
                "id": number,
            }
            for number, name in enumerate(names)
        ],
        "type": "instances",
        "annotations": [
            {
                "id": number, "image_id": number, "category_id": 1, "segmentation": [list(map(float, OUTLINE))],
                "area": 320.0, "bbox": list(map(float, BOX)), "iscrowd": 0,
            }
            for number in range(4)
        ],
        "categories": [
            {"supercategory": None, "id": 0, "name": "_background_"}, {"supercategory": None, "id": 1, "name": "leaf"},
        ],
    }  # fmt: skip
    lay(root, {"annotations.json": document}, names)
    for name in names:
        draw_image(root / name.replace("JPEGImages", "Visualization"), 99)
    return {"annotations": f"{root}/annotations.json", "images": str(root)}


def via(root: Path) -> dict[str, Any]:
    """VGG Image Annotator 2, "Export Annotations (COCO format)": flat polygons, image ids as text."""
    names = [f"pic{number}.jpg" for number in range(4)]
    document = {
        "info": {
            "year": 2024, "version": "1.0", "contributor": "",
            "description": "VIA project exported to COCO format using VGG Image Annotator",
            "url": "http://www.robots.ox.ac.uk/~vgg/software/via/", "date_created": "Wed May 01 2024",
        },
        "images": [
            {
                "id": number, "width": WIDTH, "height": HEIGHT, "file_name": name, "license": 1, "flickr_url": name,
                "coco_url": name, "date_captured": "",
            }
            for number, name in enumerate(names)
        ],
        "annotations": [
            {
                "id": number, "image_id": str(number), "category_id": 1, "segmentation": OUTLINE, "area": 320,
                "bbox": BOX, "iscrowd": 0,
            }
            for number in range(4)
        ],
        "licenses": [{"id": 1, "name": "Unknown", "url": ""}],
        "categories": [{"supercategory": "type", "id": 1, "name": "leaf"}],
    }  # fmt: skip
    lay(root, {"via_project_coco.json": document}, [f"pics/{name}" for name in names])
    return {"annotations": f"{root}/via_project_coco.json", "images": f"{root}/pics"}


def coco_annotator(root: Path) -> dict[str, Any]:
    """COCO Annotator, a dataset's export: paths of its own server, `iscrowd` true or false, fields of its database."""
    names = [f"pic{number}.jpg" for number in range(4)]
    document = {
        "images": [
            {
                "id": number, "dataset_id": 1, "category_ids": [1], "path": f"/datasets/leaves/{name}",
                "width": WIDTH, "height": HEIGHT, "file_name": name, "annotated": True, "annotating": [],
                "num_annotations": 1, "metadata": {}, "deleted": False, "milliseconds": 0, "events": [],
                "regenerate_thumbnail": False, "is_modified": False,
            }
            for number, name in enumerate(names, 1)
        ],
        "categories": [
            {"id": 1, "name": "leaf", "supercategory": "", "color": "#0b8a2f", "metadata": {}, "keypoint_colors": []}
        ],
        "annotations": [
            {
                "id": number, "image_id": number, "category_id": 1, "segmentation": [list(map(float, OUTLINE))],
                "area": 320, "bbox": list(map(float, BOX)), "iscrowd": False, "isbbox": False, "color": "#7c3ac9",
                "metadata": {},
            }
            for number in range(1, 5)
        ],
    }  # fmt: skip
    lay(root, {"leaves.json": document}, [f"leaves/{name}" for name in names])
    return {"annotations": f"{root}/leaves.json", "images": f"{root}/leaves"}


def superannotate(root: Path) -> dict[str, Any]:
    """SuperAnnotate's converter (dataset_format COCO): NAME.json and image_set/."""
    names = [f"pic{number}.jpg" for number in range(4)]
    document = {
        "info": {
            "description": "This is leaves dataset.", "url": "https://superannotate.ai", "version": "1.0",
            "year": 2024, "contributor": "Superannotate AI", "date_created": "01/05/2024",
        },
        "licenses": [{"url": "https://superannotate.ai", "id": 1, "name": "Superannotate AI"}],
        "images": [
            {"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH, "license": 1}
            for number, name in enumerate(names, 1)
        ],
        "annotations": [
            {
                "id": number, "image_id": number, "segmentation": [OUTLINE], "iscrowd": 0, "bbox": BOX, "area": 320,
                "category_id": 1,
            }
            for number in range(1, 5)
        ],
        "categories": [{"id": 1, "name": "leaf", "supercategory": "leaf"}],
    }  # fmt: skip
    lay(root, {"leaves.json": document}, [f"image_set/{name}" for name in names])
    return {"annotations": f"{root}/leaves.json", "images": f"{root}/image_set"}


TOOLS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "CVAT": cvat, "Label Studio": label_studio, "Roboflow": roboflow, "labelme": labelme, "VIA": via,
    "COCO Annotator": coco_annotator, "SuperAnnotate": superannotate,
}  # fmt: skip
