"""Coverage gaps: a slice or class that training images lack is found, and none where they lack nothing."""

import numpy as np
from cocomine.evaluation.attributes import Described, Images
from cocomine.evaluation.coverage import coverage
from cocomine.evaluation.slices import by_value


def described(judged, training, classes=None):
    values = [*judged, *training]
    images = Images(range(len(values)), [f"{n}.jpg" for n in range(len(values))], len(judged))
    return Described(images, [by_value("weather", values)], np.full(len(values), 2), classes or {})


def test_a_planted_gap_is_found_with_its_counts_and_no_other():
    found = coverage(described(["sun"] * 20 + ["fog"] * 5, ["sun"] * 80 + ["fog"] * 3), 10)
    assert found["training_images"] == 83
    assert found["gaps"] == [
        {"attribute": "weather", "cell": "fog", "judged_images": 5, "training_images": 3, "judged_objects": 10,
         "training_objects": 6}
    ]  # fmt: skip
    assert "weather fog, 5 judged, 3 for training" in found["finding"]


def test_where_training_lacks_nothing_no_gap_is_found():
    found = coverage(described(["sun"] * 20 + ["fog"] * 5, ["sun"] * 80 + ["fog"] * 10 + ["snow"]), 10)
    assert found["gaps"] == []
    assert found["finding"].startswith("Every class and slice")


def test_classes_that_training_lacks_are_gaps_and_those_that_nobody_shows_are_not():
    classes = {"cat": ((4, 0), (6, 0)), "dog": ((4, 50), (4, 70)), "yak": ((0, 0), (0, 0))}
    found = coverage(described(["sun"] * 20, ["sun"] * 80, classes), 10)
    assert [(row["attribute"], row["cell"], row["judged_objects"]) for row in found["gaps"]] == [("class", "cat", 6)]


def test_without_training_images_nothing_is_said():
    assert coverage(described(["sun"] * 20, []), 10) == {}
