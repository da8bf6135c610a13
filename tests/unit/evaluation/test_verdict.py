"""What is said of a mean IoU: no praise without beating the trivial baseline, no judgement on one image."""

import pytest
from cocomine.evaluation.verdict import beside_baseline, no_better, of_few, times


@pytest.mark.parametrize(
    ("own", "trivial", "ratio", "words"),
    [
        (0.0, 0.0, None, "no better than the trivial baseline (0.000)"),
        (0.1, 0.2, 0.5, "no better than the trivial baseline (0.200)"),
        (0.2, 0.2, 1.0, "no better than the trivial baseline (0.200)"),
        (0.3, 0.0, None, "the better trivial baseline has 0.000"),
        (0.6, 0.2, 3.0, "3.0 times the better trivial baseline"),
        (None, 0.0, None, "no class to be found in these images"),
    ],
)
def test_a_run_is_praised_only_for_more_than_the_baseline(own, trivial, ratio, words):
    assert beside_baseline(own, trivial, ratio) == words
    assert no_better(own, trivial) == words.startswith("no better")


def test_fewer_than_ten_images_allow_no_judgement():
    assert of_few(1) == "Judged on 1 image: so few allow no judgement."
    assert of_few(9) == "Judged on 9 images: so few allow no judgement."
    assert of_few(10) == ""


def test_ratios_below_one_have_two_significant_digits():
    assert [times(ratio) for ratio in (0.7391, 0.01234, 4.3333, 1234.5)] == ["0.74", "0.012", "4.3", "1,234.5"]
