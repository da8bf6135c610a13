"""The vocabulary of COCO's format that every stage shares."""

TASKS = ("instances", "captions", "person_keypoints", "panoptic", "stuff")
"""The tasks of annotation files, as the official files are named."""

TASK_OF: dict[str, str | None] = {
    "instances": None, "stuff": "stuff", "instances+stuff": "stuff", "panoptic": "panoptic",
}  # fmt: skip
"""The annotation file that a choice of `masks.draw_from` needs besides that of the instances."""

VOID = 255
"""The mask value that is left out of every loss and every metric."""

WIDE_VOID = 65535
"""The same in masks of 16 bits, which more than 254 classes need."""

MOST_CLASSES = WIDE_VOID - 1


def void_of(classes: int) -> int:
    """Return the mask value of void for that many classes, background not counted."""
    return VOID if classes < VOID else WIDE_VOID
