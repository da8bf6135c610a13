import numpy as np
from cocomine.coco.sizes import SIZES, size_classes


def test_every_known_area_is_small_medium_or_large_and_only_one_of_them():
    areas = np.array([0, 100, 101, 1023.9, 1024, 9215.9, 9216, 1e9, np.nan, np.inf])
    found = size_classes(areas)
    assert tuple(found) == SIZES
    assert {name: areas[which].tolist() for name, which in found.items()} == {
        "very_small": [0, 100],
        "small": [0, 100, 101, 1023.9],
        "medium": [1024, 9215.9],
        "large": [9216, 1e9],
    }
    assert (found["small"].astype(int) + found["medium"] + found["large"]).tolist() == [1] * 8 + [0, 0]
