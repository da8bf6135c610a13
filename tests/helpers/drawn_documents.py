"""Documents of rectangles for two sources: objects, crowds as run lengths, images of 320 x 240 px."""

CATS = [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}]


def box(x, y, width, height):
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def thing(number, *rectangle, category=7, image=1, **more):
    record = {"id": number, "image_id": image, "category_id": category, "iscrowd": 0, "segmentation": box(*rectangle)}
    return record | {"bbox": list(rectangle), "area": rectangle[2] * rectangle[3]} | more


def crowd(number, *rectangle, category=7, image=1, size=(240, 320)):
    x, y, width, height = rectangle
    counts, column = [], x * size[0] + y
    for number_of_column in range(width):
        counts += [column if not number_of_column else size[0] - height, height]
    counts.append(size[0] * size[1] - sum(counts))
    shape = {"size": list(size), "counts": counts}
    return thing(number, *rectangle, category=category, image=image, iscrowd=1, segmentation=shape)


def image(number=1, width=320, height=240):
    return {"id": number, "file_name": f"{number}.jpg", "width": width, "height": height}


def document(*records, images=None, categories=None):
    return {"images": images or [image()], "annotations": list(records), "categories": categories or CATS}
