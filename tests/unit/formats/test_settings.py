from typing import get_args

from cocomine.formats.registry import FORMATS
from cocomine.formats.settings import DEFAULT, Format


def test_the_formats_that_can_be_asked_for_are_those_that_can_be_written():
    assert set(get_args(Format)) == set(FORMATS)
    assert set(DEFAULT) <= set(FORMATS)
