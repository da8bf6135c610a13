"""Where an image lies within the square that it is reduced to."""

from cocomine.images.grid import Place, place_of
from hypothesis import given
from hypothesis import strategies as st

SIDES = st.integers(1, 5000)


def test_a_letterbox_keeps_the_aspect_and_lies_in_the_middle():
    assert place_of(480, 640, 128, "letterbox") == Place(16, 0, 96, 128)
    assert place_of(640, 480, 128, "letterbox") == Place(0, 16, 128, 96)
    assert place_of(427, 640, 128, "letterbox") == Place(21, 0, 85, 128)  # 85.4 rows; 43 left over, 21 above
    assert place_of(1, 5000, 64, "letterbox") == Place(31, 0, 1, 64)


@given(SIDES, SIDES, st.integers(1, 1024))
def test_every_place_lies_within_its_square_and_the_longer_side_fills_it(height, width, side):
    assert place_of(height, width, side) == Place(0, 0, side, side)
    place = place_of(height, width, side, "letterbox")
    assert min(place.top, place.left) >= 0
    assert place.top + place.height <= side
    assert place.left + place.width <= side
    assert (place.width if width >= height else place.height) == side
    exact = side * min(height, width) / max(height, width)
    assert abs(min(place.height, place.width) - max(exact, 1)) <= 0.5
