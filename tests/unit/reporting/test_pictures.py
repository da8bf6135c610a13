import base64
import io

import numpy as np
from cocomine.reporting import pictures
from PIL import Image


def opened(uri):
    kind, _, content = uri.partition(";base64,")
    return kind, Image.open(io.BytesIO(base64.b64decode(content)))


def test_the_choice_depends_on_ids_alone_and_each_class_has_its_turn():
    classes = {image: {1} for image in range(1000)} | {1000: {2}, 1001: {3, 1}, 1002: {3}}
    chosen = pictures.choose(list(classes), classes, 24, "s")
    assert chosen == pictures.choose(list(reversed(classes)), classes, 24, "s")
    assert len(set(chosen)) == 24
    assert {1000, 1001, 1002} <= set(chosen)
    assert chosen != pictures.choose(list(classes), classes, 24, "other")


def test_fewer_images_than_wanted_are_all_shown_and_empty_ones_come_last():
    assert sorted(pictures.choose([5, 6, 7], {6: {1}}, 24, "s")) == [5, 6, 7]
    assert pictures.choose([5, 6, 7], {6: {1}}, 24, "s")[0] == 6
    assert pictures.choose([], {}, 24, "s") == []


def test_a_thumbnail_is_small_and_turned_only_where_its_record_says_so(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (640, 400), (9, 99, 199)).save(tmp_path / "a.jpg", exif=exif)
    for stated, shown in (((640, 400), (320, 200)), ((400, 640), (200, 320))):
        uri, size = pictures.thumbnail(tmp_path, "a.jpg", stated, "")
        kind, picture = opened(uri)
        assert (kind, picture.size, size) == ("data:image/jpeg", shown, shown)


def test_an_overlay_is_clear_on_background_coloured_on_classes_and_grey_on_void(tmp_path):
    mask = np.zeros((40, 60), np.uint8)
    mask[:20, :30], mask[20:, 30:] = 1, 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    uri = pictures.overlay(tmp_path / "m.png", (30, 20), [[0, 0, 0], [214, 39, 40]], 255)
    kind, picture = opened(uri)
    pixels = np.asarray(picture.convert("RGBA"))
    assert kind == "data:image/png"
    assert tuple(pixels[2, 2]) == (214, 39, 40, pictures.OVERLAY_OPACITY)
    assert pixels[2, 25, 3] == 0
    assert tuple(pixels[15, 25]) == (120, 120, 120, pictures.VOID_OPACITY)
