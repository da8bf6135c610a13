import pytest
from cocomine.base.words import counted


@pytest.mark.parametrize(
    ("number", "noun", "words"),
    [
        (1, "image", "1 image"),
        (0, "image", "0 images"),
        (2, "category", "2 categories"),
        (1, "category", "1 category"),
        (3, "key", "3 keys"),
        (2, "box", "2 boxes"),
        (2, "class", "2 classes"),
        (5, "annotation file", "5 annotation files"),
    ],
)
def test_a_number_and_its_noun_agree(number, noun, words):
    assert counted(number, noun) == words
