"""The lines of progress: counts agree with their nouns, and amounts of bytes take no plural."""

import pytest
from cocomine.base.progress import Progress


@pytest.mark.parametrize(
    ("done", "unit", "scale", "said"),
    [(1, "image", False, "1 image in"), (3, "image", False, "3 images in"), (0, "category", False, "0 categories in"),
     (2048, "B", True, "2048 B in"), (7, "iteration", False, "7 iterations in")],
)  # fmt: skip
def test_the_closing_line_counts_in_words(caplog, done, unit, scale, said):
    with caplog.at_level("INFO", "cocomine"), Progress("work", 9, unit, scale) as progress:
        progress.advance(done)
    assert said in caplog.messages[-1]
