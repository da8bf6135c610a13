"""What an image's EXIF orientation means for the width and height of its record."""

SWAPPING = (5, 6, 7, 8)
"""The orientations (EXIF 2.32) as which a viewer shows an image with its width and height swapped."""


def fits_turned(stored: tuple[int, int], stated: tuple[int, int], orientation: int) -> bool:
    """Tell whether an image stored as (width, height) has the stated size only as its EXIF orientation shows it."""
    return orientation in SWAPPING and stored != stated and stored[::-1] == stated
