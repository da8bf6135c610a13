"""What a format cannot carry: the codes that a manifest counts, what each counts, and what it means."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Loss:
    """A reason for which something of the subset is not in an export.

    `unit` is what is counted. `drops` says that the counted object is absent from the export; where it is False, the
    object or image is there and only a part of what was known of it is lost.
    """

    code: str
    unit: str
    drops: bool
    meaning: str


_TABLE = (
    Loss("crowd", "objects", True, "a crowd is a region of uncounted objects, which one box or outline would misstate"),
    Loss("other-class", "objects", True, "its class is not one of the labels, so the format has no number for it"),
    Loss("rle-object", "objects", True, "its run lengths do not fill its image, so that no outline can be traced"),
    Loss("no-segmentation", "objects", True, "the source gives it no outline"),
    Loss("no-box", "objects", True, "the source gives it neither a box nor an outline to take one from"),
    Loss("polygon-too-short", "objects", True, "none of its outlines has three points"),
    Loss("outside", "objects", True, "nothing of it lies inside the image"),
    Loss("zero-area", "objects", True, "its box or outline has no area inside the image"),
    Loss("hidden", "objects", True, "other objects cover it wholly, and a pixel has one label"),
    Loss("box-only", "objects", True, "it has a box and no outline, so that its box is void in the masks"),
    Loss("no-pixel", "objects", True, "it is too small or too thin for any pixel to be drawn of it"),
    Loss("image-without-mask", "objects", True, "no mask could be drawn of its image; masks/refused.tsv says why"),
    Loss("clipped", "objects", False, "it was cut at the image's edge"),
    Loss("rounded", "objects", False, "its box is widened to whole pixels, since the format has no others"),
    Loss("shape", "objects", False, "of its outline only the box is kept"),
    Loss(
        "traced",
        "objects",
        False,
        "its run-length mask was traced along the edges of its pixels, holes reached over bridges of no width; the IoU "
        "of mask and drawn outline stands in `traced`",
    ),
    Loss("no-keypoints", "objects", False, "the source gives it no keypoints, so that all of them are not labelled"),
    Loss("keypoint-outside", "objects", False, "a keypoint of it lies outside the image and is not labelled"),
    Loss(
        "parts-joined",
        "objects",
        False,
        "its parts were joined into one outline by bridges of no width; `joined` holds the IoU of both as drawn",
    ),
    Loss("parts-dropped", "objects", False, "parts of it with under three points or outside the image were left out"),
    Loss(
        "changed-by-joining",
        "objects",
        False,
        "its parts overlap, so that the joined outline covers other pixels than the parts did (IoU below 0.99)",
    ),
    Loss("box", "objects", False, "its stated box is not written; a reader takes it from the outline or the pixels"),
    Loss("stated-shape", "objects", False, "of its outline and box only the pixels that it shows are kept"),
    Loss("area", "objects", False, "its stated area is not written"),
    Loss("object-id", "objects", False, "its annotation id is not written"),
    Loss("identical-row", "objects", False, "its row equals an earlier one of the image, and some readers drop such"),
    Loss(
        "instances", "objects", False, "neighbours of one class flow together: a pixel knows its class, not its object"
    ),
    Loss(
        "crowd-flag",
        "objects",
        False,
        "the mask does not tell a crowd from an object, only void where the policy says so",
    ),
    Loss("no-mask", "images", True, "no mask could be drawn of the image; masks/refused.tsv says why"),
    Loss("no-class-mask", "images", False, "no mask of its classes was drawn, so that it has none in the export"),
    Loss("no-object-mask", "images", False, "no mask of its objects was drawn, so that it has none in the export"),
    Loss(
        "many-objects", "images", False, "it has over 254 objects, and the mask of objects shows those behind as void"
    ),
    Loss("suffix", "images", False, "its file is no .jpg, which some readers of the format look for"),
    Loss("image-id", "images", False, "the image's id is not written; its file name stands for it"),
    Loss("licence", "images", False, "the image's licence and links are not written; see ATTRIBUTION.md"),
    Loss("only-uncarried", "images", False, "it has objects but none could be carried, so it reads as an empty image"),
    Loss("exif-rotated", "images", False, "readers that obey the EXIF tag turn the image but not its labels"),
    Loss(
        "near-duplicate",
        "images",
        False,
        "which images are near-duplicates of one another is not written; see split.tsv",
    ),
    Loss(
        "class-name",
        "classes",
        False,
        "its name is written otherwise, since the format cannot hold it as it is; `class_names` leads back",
    ),
    Loss("category-id", "classes", False, "the official category ids are not written; labels.json maps both ways"),
    Loss("supercategory", "classes", False, "the classes' supercategories are not written"),
    Loss("captions", "records", True, "the format has no place for captions"),
    Loss("person_keypoints", "records", True, "the format has no place for keypoints beside its boxes or masks"),
    Loss("stuff", "records", True, "the format has no place for the stuff annotations"),
    Loss("panoptic-without-pngs", "records", True, "the panoptic PNGs were not given to the export"),
    Loss("panoptic", "records", True, "the format has no place for panoptic segments"),
)

LOSSES = {loss.code: loss for loss in _TABLE}
"""Every loss by its code, in the order in which manifests list them."""
