"""Small documents of two categories, whose annotations are squares."""

SQUARE = [[10, 10, 30, 10, 30, 30, 10, 30]]


def annotation(identity, image_id=1, category_id=25, **changes):
    record = {
        "id": identity,
        "image_id": image_id,
        "category_id": category_id,
        "iscrowd": 0,
        "area": 400.0,
        "bbox": [10, 10, 20, 20],
        "segmentation": SQUARE,
    }
    record |= changes
    return {key: value for key, value in record.items() if value != "absent"}


def document(annotations, images=2, **others):
    return {
        "licenses": [{"id": 1, "name": "Attribution", "url": "http://example.org/"}],
        "images": [
            {"id": n, "file_name": f"{n}.jpg", "width": 100, "height": 80, "license": 1} for n in range(1, images + 1)
        ],
        "annotations": annotations,
        "categories": [
            {"id": 1, "name": "person", "supercategory": "person"},
            {"id": 25, "name": "giraffe", "supercategory": "animal"},
        ],
    } | others
