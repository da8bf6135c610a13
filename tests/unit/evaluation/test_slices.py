"""Slices: what was spoilt on purpose is named first, small cells are not judged, η² is the textbook's."""

import itertools
import json
import math

import numpy as np
import pytest
from cocomine.evaluation import slices
from cocomine.learning import metrics


def images_with(errors):
    """Sums of images whose mean foreground IoU is 1 − error."""
    hit = np.round(1000 * (1 - np.asarray(errors))).astype(np.int64)
    truth = np.stack([np.zeros_like(hit), np.full_like(hit, 1000)], 1)
    inter = np.stack([np.zeros_like(hit), hit], 1)
    return metrics.Sums(inter, inter, truth, truth.sum(1), np.zeros((2, 2), np.int64), None, None, None)


def attributes_of(generator, count):
    return [
        slices.by_value("licence", [str(x) for x in generator.integers(1, 9, count)]),
        slices.by_thirds("brightness", generator.random(count)),
        slices.by_thirds("contrast", generator.random(count)),
        slices.by_ranges("objects", generator.integers(1, 9, count).tolist(), (0, 1, 2, 4, 8)),
        slices.by_value("crowd", ["yes" if x else "no" for x in generator.random(count) < 0.2]),
    ]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("attribute", "code"), [("licence", 3), ("brightness", 2), ("objects", 1), ("crowd", 1)])
def test_slice_whose_labels_were_spoilt_is_named_first(seed, attribute, code):
    generator = np.random.default_rng(seed)
    attributes = attributes_of(generator, 300)
    errors = np.clip(0.3 + 0.1 * generator.standard_normal(300), 0, 1)
    chosen = next(a for a in attributes if a.name == attribute)
    errors[chosen.codes == code] += 0.25
    found = slices.analyse(attributes, images_with(errors), np.clip(errors, 0, 1), 10, 100, 0.95, 0)
    assert found["attributes"][0]["attribute"] == attribute
    assert (found["worst"][0]["attribute"], found["worst"][0]["cell"]) == (attribute, chosen.cells[code])
    assert f"Worst slice: {attribute} {chosen.cells[code]}" in found["finding"]
    epsilon = found["attributes"][0]["epsilon_squared"]
    assert f"{attribute} explains most of the error: ε² {epsilon:.2f}" in found["finding"]
    assert found["attributes"][0]["p"] == pytest.approx(1 / 101)  # none of 100 random assignments does as well


def test_eta_squared_is_between_over_total():
    errors = np.array([0.1, 0.2, 0.3, 0.6, 0.7, 0.8])
    attribute = slices.by_value("x", ["a", "a", "a", "b", "b", "b"])
    (table,) = slices.analyse([attribute], images_with(errors), errors, 2, 0, 0.95, 0)["attributes"]
    total, between = ((errors - 0.45) ** 2).sum(), 6 * 0.25**2
    assert table["eta_squared"] == pytest.approx(between / total)
    assert table["epsilon_squared"] == pytest.approx((between - (total - between) / 4) / total)


def test_p_is_the_share_of_all_assignments_that_explain_as_much():
    # Of the 20 ways to choose 3 of 6 images, two part them as well as the observed one does.
    errors = np.array([0.1, 0.2, 0.3, 0.6, 0.7, 0.8])
    judged = [np.array([True, True, True, False, False, False]), np.array([False, False, False, True, True, True])]
    (found,) = slices.against_chance([judged], errors, 4000, 0)
    assert found["p"] == found["p_of_all"] == pytest.approx(2 / 20, abs=0.02)
    # An assignment that parts them the other way round has the other slice as far above.
    far = 0.25 / math.sqrt(0.415 / 5 * (1 / 3 - 1 / 6))
    assert [cell["z"] for cell in found["slices"]] == [pytest.approx(-far), pytest.approx(far)]
    assert found["slices"][1]["p_of_all"] == pytest.approx(2 / 20, abs=0.02)


def test_z_is_the_mean_in_the_deviations_of_all_assignments():
    errors = np.random.default_rng(0).random(12)
    member = np.arange(12) < 4
    (found,) = slices.against_chance([[member, ~member]], errors, 0, 0)
    means = [errors[list(some)].mean() for some in itertools.combinations(range(12), 4)]
    expected = (errors[member].mean() - errors.mean()) / np.std(means)
    assert found["slices"][0]["z"] == pytest.approx(expected)


@pytest.mark.slow
def test_of_many_attributes_that_mean_nothing_one_is_named_as_rarely_as_chance_is_allowed():
    named = worst = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        attributes = [slices.by_value(f"a{n}", generator.choice(list("xyz"), 90).tolist()) for n in range(20)]
        errors = generator.random(90)
        found = slices.analyse(attributes, images_with(errors), errors, 10, 99, 0.95, 0)
        named += "explains most" in found["finding"]
        worst += "Worst slice" in found["finding"]
        assert min(table["p"] for table in found["attributes"]) <= min(t["p_of_all"] for t in found["attributes"])
    # Of 200 with a chance of 0.05 each, 20 or more are named once in 500 times.
    assert named < 20
    assert worst < 20


def test_a_difference_that_chance_makes_often_is_not_said_to_explain():
    errors = np.array([0.1, 0.9, 0.2, 0.8, 0.35, 0.7])
    attribute = slices.by_value("x", ["a", "b", "a", "b", "b", "a"])
    found = slices.analyse([attribute], images_with(errors), errors, 2, 200, 0.95, 0)
    assert found["attributes"][0]["epsilon_squared"] > 0
    assert found["attributes"][0]["p"] > slices.CHANCE
    assert found["finding"].startswith("No attribute explains more of the error than chance does.")


def test_cells_of_too_few_images_are_shown_and_not_judged():
    errors = np.r_[np.full(30, 0.2), np.full(30, 0.3), [1.0, 1.0]]
    attribute = slices.by_value("x", ["a"] * 30 + ["b"] * 30 + ["c"] * 2)
    found = slices.analyse([attribute], images_with(errors), errors, 10, 50, 0.95, 0)
    assert [(cell["cell"], cell["images"], cell["judged"]) for cell in found["attributes"][0]["cells"]] == [
        ("a", 30, True), ("b", 30, True), ("c", 2, False)]  # fmt: skip
    assert found["worst"][0]["cell"] != "c"
    assert found["attributes"][0]["eta_squared"] == pytest.approx(1.0)


def test_noise_over_many_cells_does_not_outrank_a_real_difference():
    generator = np.random.default_rng(0)
    errors = generator.random(120)
    real = slices.by_value("real", ["a" if e < 0.4 + 0.5 * generator.random() else "b" for e in errors])
    noise = slices.by_value("noise", [str(i % 40) for i in range(120)])
    found = slices.analyse([noise, real], images_with(errors), errors, 2, 0, 0.95, 0)
    assert found["attributes"][0]["attribute"] == "real"


def test_thirds_ranges_and_unknowns():
    thirds = slices.by_thirds("b", np.array([1.0, 2, 3, 4, 5, 6, np.nan]))
    assert thirds.codes.tolist() == [0, 0, 1, 1, 2, 2, -1]
    assert slices.by_thirds("b", np.array([np.nan])).cells == ()
    ranges = slices.by_ranges("n", [0, 1, 2, 3, 4, 9], (0, 1, 2, 4))
    assert ranges.cells == ("0", "1", "2-3", "4+")
    assert ranges.codes.tolist() == [0, 1, 2, 2, 3, 3]
    assert slices.by_value("v", ["x", None]).codes.tolist() == [0, -1]


def test_constant_errors_explain_nothing():
    attribute = slices.by_value("x", ["a", "b"] * 20)
    found = slices.analyse([attribute], images_with(np.full(40, 0.5)), np.full(40, 0.5), 5, 20, 0.95, 0)
    assert found["attributes"][0]["eta_squared"] is None
    assert found["finding"] == "Every image has the same error: no slice is worse than another."


@pytest.mark.parametrize("right", [0.0, 0.25])
def test_one_slice_wholly_wrong_among_faultless_ones_is_named_though_neither_side_varies(right):
    codes = ["a", "b", "c"] * 20
    errors = np.array([1.0 if code == "b" else right for code in codes])
    noise = slices.by_value("noise", [str(i % 4) for i in range(60)])
    found = slices.analyse([noise, slices.by_value("x", codes)], images_with(errors), errors, 10, 20, 0.95, 0)
    assert (found["worst"][0]["attribute"], found["worst"][0]["cell"]) == ("x", "b")
    assert found["worst"][0]["p_of_all"] == pytest.approx(1 / 21)
    assert "Worst slice: x b, mean error 1.00 over 20 images" in found["finding"]
    json.dumps(found, allow_nan=False)


def test_attributes_that_explain_no_more_than_chance_are_not_said_to_explain():
    errors = np.tile([0.2, 0.4], 40)
    attribute = slices.by_value("x", ["a", "a", "b", "b"] * 20)  # the same errors in both cells
    found = slices.analyse([attribute], images_with(errors), errors, 10, 20, 0.95, 0)
    assert found["attributes"][0]["epsilon_squared"] <= 0
    assert found["finding"] == (
        "No attribute explains more of the error than chance does. No slice is clearly worse than the other images."
    )


def test_too_few_images_are_said_to_be_too_few():
    errors = np.array([0.1, 0.9, 0.3])
    found = slices.analyse([slices.by_value("x", ["a", "b", "a"])], images_with(errors), errors, 10, 20, 0.95, 0)
    assert found["finding"].startswith("Too few images")


def test_images_without_an_error_are_in_no_slice():
    errors = np.r_[np.full(20, 0.2), np.full(20, 0.6), np.full(20, np.nan)]
    codes = ["a"] * 20 + ["b"] * 20 + ["a"] * 20
    found = slices.analyse([slices.by_value("x", codes)], images_with(np.nan_to_num(errors)), errors, 10, 20, 0.95, 0)
    assert [cell["images"] for cell in found["attributes"][0]["cells"]] == [20, 20]
    assert found["images_without_error"] == 20
    assert found["mean_error"] == pytest.approx(0.4)
    json.dumps(found, allow_nan=False)
