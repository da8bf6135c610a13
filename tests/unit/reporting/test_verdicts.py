"""What a report's sections say in a sentence: known facts, known words."""

import pytest
from cocomine.reporting.verdicts import verdicts

NOTHING = {
    "funnel": None, "classes": {"rows": []}, "interference": None, "conservation": None, "split": None, "masks": None,
    "exports": [], "licences": [], "subset": {"images": 0},
}  # fmt: skip


def said(section, **facts):
    return verdicts(NOTHING | facts).get(section)


def classes(**objects):
    return {"rows": [{"name": name, "after": {"objects": count}} for name, count in objects.items()]}


def split(**objects):
    return {
        "splits": [{"name": "train"}, {"name": "test"}],
        "classes": [{"name": name, "cells": [9, 9, 90, count]} for name, count in objects.items()],
    }


def test_a_section_without_facts_says_nothing():
    assert verdicts(NOTHING) == {}


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"cat": 30, "dog": 20}, "The classes are of like size: cat has 1.5 times as many objects as dog (30 and 20)."),
        ({"cat": 5000, "dog": 50}, "The classes are far from equal: cat has 100.0 times"),
        ({"cat": 30, "dog": 0}, "Without an object in the subset: dog."),
        ({"cat": 30}, None),
    ],
)
def test_classes_are_compared_by_the_largest_and_the_smallest(counts, words):
    found = said("classes", classes=classes(**counts))
    assert (found is None) if words is None else found.startswith(words)


def test_classes_with_few_objects_to_be_judged_on_are_named():
    assert said("split", split=split(cat=20, dog=200)) == "Every class has 20 objects or more in test."
    assert said("split", split=split(cat=19, dog=200)) == (
        "1 class has fewer than 20 objects in test, so its score says little: cat."
    )
    many = said("split", split=split(**{f"c{i}": i for i in range(8)}))
    assert many.startswith("8 classes have fewer than 20 objects")
    assert many.endswith("so their scores say little: c0, c1, c2, c3, c4 and 3 more.")


def test_objects_that_vanish_at_the_training_size_are_said_with_the_remedy():
    sizes = [{"instances": 100, "vanished": 25}, {"instances": 100, "vanished": 0}]
    assert said("masks", masks={"sizes": sizes}).startswith("12.5 % of the objects have no pixel left")
    assert said("masks", masks={"sizes": sizes[1:]}) == "Nearly every object is still there at the training size."


def test_the_strongest_interference_is_named():
    facts = {
        "classes": ["cup", "fork"],
        "columns": ["cup", "fork"],
        "matrices": [{"shares": [[None, 0.25], [0.5, None]]}],
    }
    assert said("interference", interference=facts) == "The strongest: 50 % of the images with fork show cup too."


def test_annotations_that_were_quarantined_are_counted_over_all_tasks_of_objects():
    rows = [{"kind": "annotation", "cells": [100, 90, 4, 6, 0]}, {"kind": "image", "cells": [50, 0, 0, 50, 0]}]
    assert said("records", conservation={"rows": rows}) == (
        "6 annotations of 100 quarantined (6 %), 4 repaired. That is much: read the reasons before you train."
    )
