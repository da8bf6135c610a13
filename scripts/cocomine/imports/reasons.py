"""Why a label, an image or a file of labels is set aside or repaired while labels of one's own are imported.

These are the facts that keep something from becoming a COCO record at all. What can become one is judged afterwards
like any other annotation, by the reasons of `cocomine.annotations.reasons` and the policy of the subset.
"""

from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """The stable codes, as they stand in quarantine.tsv and repairs.tsv of an import."""

    UNREADABLE_FILE = "unreadable-file"
    IMAGE_UNREADABLE = "image-unreadable"
    UNSAFE_NAME = "unsafe-name"
    TWO_OF_ONE_STEM = "two-images-of-one-stem"
    IN_TWO_SPLITS = "in-two-splits"
    TWO_FILES = "two-label-files"
    NO_LABELS = "no-labels"
    MISSING_IMAGE = "missing-image"
    UNKNOWN_CLASS = "unknown-class"
    NO_CLASS = "no-class"
    FIELD_COUNT = "field-count"
    NOT_A_NUMBER = "not-a-number"
    OUTSIDE = "outside"
    BAD_VISIBILITY = "bad-visibility"
    NO_BOX = "no-box"
    BAD_POINTS = "bad-points"
    NO_AREA = "no-area"
    BAD_MASK = "bad-mask"
    IGNORED = "ignored"
    JUST_OUTSIDE = "just-outside"
    CORNERS_SWAPPED = "corners-swapped"


TABLE: Final[dict[Reason, tuple[str, str, str]]] = {
    Reason.UNREADABLE_FILE: (
        "file, image",
        "quarantined",
        "a file of labels is no text, no JSON or no XML, has a document type (DTD), is larger than 64 MB, or is none",
    ),
    Reason.IMAGE_UNREADABLE: ("image", "quarantined", "the size of the image cannot be read from its file"),
    Reason.UNSAFE_NAME: ("image", "quarantined", "the name of the image holds a control character or is no UTF-8"),
    Reason.TWO_OF_ONE_STEM: (
        "image, label",
        "quarantined",
        "two images differ in their ending only, so that one file of labels would be both's; both are set aside",
    ),
    Reason.IN_TWO_SPLITS: ("image", "quarantined", "an earlier split has the same image, and keeps it"),
    Reason.TWO_FILES: ("label", "quarantined", "an earlier file of labels, or an earlier split, has the same image"),
    Reason.NO_LABELS: (
        "image",
        "quarantined",
        "no file of labels names the image (in YOLO such an image is one without objects)",
    ),
    Reason.MISSING_IMAGE: (
        "image, label",
        "quarantined",
        "the image that a list or a label names is not in the folder, or was set aside",
    ),
    Reason.UNKNOWN_CLASS: ("label", "quarantined", "the class index is none of `names`"),
    Reason.NO_CLASS: ("label", "quarantined", "the label names no class"),
    Reason.FIELD_COUNT: ("label", "quarantined", "the line has another number of fields than its kind of label"),
    Reason.NOT_A_NUMBER: ("label", "quarantined", "a coordinate is no finite number"),
    Reason.OUTSIDE: (
        "label",
        "quarantined",
        "a share of the image's side is below -0.01 or above 1.01: pixels were written where shares belong",
    ),
    Reason.BAD_VISIBILITY: ("label", "quarantined", "the visibility of a keypoint is not 0, 1 or 2"),
    Reason.NO_BOX: ("label", "quarantined", "the object has no box"),
    Reason.BAD_POINTS: (
        "label",
        "quarantined",
        "the shape has too few points, some that are no pairs of numbers, or some ten sides outside of the image",
    ),
    Reason.NO_AREA: ("label", "quarantined", "a point or a line, which has no area"),
    Reason.BAD_MASK: ("label", "quarantined", "the mask of the shape cannot be decoded or does not lie in the image"),
    Reason.IGNORED: ("label", "quarantined", "the label is called `__ignore__`"),
    Reason.JUST_OUTSIDE: ("label", "repaired", "a share that is at most 0.01 outside of 0 to 1 is moved to the edge"),
    Reason.CORNERS_SWAPPED: ("label", "repaired", "the corners of a box are named the wrong way round"),
}
"""For each reason: what it is of, what becomes of that, and its meaning."""
