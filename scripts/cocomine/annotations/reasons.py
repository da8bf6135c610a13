"""The one table of reason codes: what can be the matter with a record, and what happens to it by default.

A fact is a bit in the `reasons` column of the index (or is found later, from the image or the drawn mask). What follows
from it is a policy: `keep` copies the record as it is, `repair` changes it as `cocomine.annotations.repairs` defines
(a record that cannot be repaired is quarantined), `quarantine` leaves it out and lists it, `stop` ends the run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cocomine.base.errors import CocomineError

POLICIES: Final = ("keep", "repair", "quarantine", "stop")

PIXEL_TOLERANCE: Final = 1.0
"""How far, in pixels, a box or an outline may pass the border of its image before that is a fact."""

AREA_TOLERANCE: Final = 0.1
"""The default of a subset's `area_tolerance`: how far a stated area may be from the drawn mask's, as a share of the
latter. Of coco-mini's 2,302 objects 6 are further off, all but one of them crowds; half of all differ by under 0.3 %.
"""

AREA_TOLERANCE_PX: Final = 10.0
"""What a stated area may be off in any case, in px²: COCO states the area of the polygon and a drawing counts pixels,
so that small objects differ by their border."""


class Reason(StrEnum):
    """The stable codes, as they stand in quarantine.tsv, in repairs.tsv, in policies and in reports."""

    NOT_AN_OBJECT = "not-an-object"
    BAD_ID = "bad-id"
    TEXT_ID = "text-id"
    DUPLICATE_ID = "duplicate-id"
    DUPLICATE_KEY = "duplicate-key"
    NOT_FINITE = "not-finite"
    BAD_TEXT = "bad-text"
    BAD_FIELD = "bad-field"
    EXACT_DUPLICATE = "exact-duplicate"

    NO_FILE_NAME = "no-file-name"
    UNSAFE_FILE_NAME = "unsafe-file-name"
    DUPLICATE_FILE_NAME = "duplicate-file-name"
    BAD_SIZE = "bad-size"
    IMAGE_MISSING = "image-missing"
    IMAGE_UNDECODABLE = "image-undecodable"
    IMAGE_TRUNCATED = "image-truncated"
    IMAGE_SIZE_DIFFERS = "image-size-differs"
    IMAGE_EXIF_ROTATED = "image-exif-rotated"

    MISSING_IMAGE = "missing-image"
    MISSING_CATEGORY = "missing-category"
    NO_ISCROWD = "no-iscrowd"
    RLE_NOT_CROWD = "rle-not-crowd"
    POLYGON_CROWD = "polygon-crowd"
    NO_BOX = "no-box"
    BAD_BOX = "bad-box"
    BOX_ZERO_SIDE = "box-zero-side"
    BOX_OUTSIDE = "box-outside"
    BOX_PARTLY_OUTSIDE = "box-partly-outside"
    NO_SEGMENTATION = "no-segmentation"
    BAD_SEGMENTATION = "bad-segmentation"
    POLYGON_TOO_SHORT = "polygon-too-short"
    POLYGON_ODD = "polygon-odd"
    POLYGON_OUTSIDE = "polygon-outside"
    POLYGON_PARTLY_OUTSIDE = "polygon-partly-outside"
    RLE_SUM = "rle-sum"
    RLE_SIZE_DIFFERS = "rle-size-differs"
    NO_AREA = "no-area"
    BAD_AREA = "bad-area"
    AREA_MISMATCH = "area-mismatch"
    MASK_EMPTY = "mask-empty"
    BAD_KEYPOINTS = "bad-keypoints"
    KEYPOINTS_COUNT_DIFFERS = "keypoints-count-differs"
    NO_CAPTION = "no-caption"

    NO_NAME = "no-name"
    DUPLICATE_NAME = "duplicate-name"

    NO_SEGMENTS = "no-segments"
    DUPLICATE_SEGMENT = "duplicate-segment"

    IMAGE_UNREADABLE = "image-unreadable"
    NO_ID = "no-id"
    POLYGON_NESTING = "polygon-nesting"
    FOREIGN_FILE_NAME = "foreign-file-name"
    IMAGE_TOO_LARGE = "image-too-large"
    IMAGE_DEPTH_UNKNOWN = "image-depth-unknown"
    IMAGE_SIZE_TURNED = "image-size-turned"
    NO_CATEGORIES = "no-categories"
    MOSTLY_CROWDS = "mostly-crowds"


@dataclass(frozen=True)
class Rule:
    """One row of the table.

    `bit` is the bit's number in the index's `reasons` column and never changes its meaning. `kinds` are the kinds of
    record that can have the reason. `found_by` is "index" (from the JSON alone), "image" (needs the JPEG) or
    "drawing" (needs the drawn mask). `repair` says what `repair` does, "" where there is none.
    """

    reason: Reason
    bit: int
    kinds: tuple[str, ...]
    found_by: str
    policy: str
    meaning: str
    repair: str = ""


_ANY = ("image", "annotation", "category", "caption", "segment")
_OBJECT = ("annotation", "segment")
_LABEL = ("annotation", "caption", "segment")

TABLE: Final[tuple[Rule, ...]] = (
    Rule(Reason.NOT_AN_OBJECT, 0, _ANY, "index", "quarantine", "the record is no JSON object, or no JSON at all"),
    Rule(
        Reason.BAD_ID,
        1,
        _ANY,
        "index",
        "quarantine",
        "an id (its own, or the image's or category's it names) is absent, negative, above 2^63 - 1, or no word either",
    ),
    Rule(
        Reason.TEXT_ID,
        2,
        _ANY,
        "index",
        "repair",
        "an id (its own, or the image's or category's it names) is a word, or an integer written as text or as a float",
        "the id is written as an integer, a word's being made from its SHA-256; `repairs.tsv` holds the word",
    ),
    Rule(
        Reason.DUPLICATE_ID,
        3,
        _ANY,
        "index",
        "repair",
        "an earlier record of the array, or of an earlier split, has this id (the first does not carry the reason)",
        "the record gets a new id, listed in `ids.tsv` (docs/mining.md has the rule); categories, segments and images "
        "that nothing tells from another of their file are quarantined",
    ),
    Rule(
        Reason.DUPLICATE_KEY,
        4,
        _ANY,
        "index",
        "repair",
        "the record names a key twice; as in every common reader the last value counts",
        "the record is written with the last value only",
    ),
    Rule(
        Reason.NOT_FINITE,
        5,
        _ANY,
        "index",
        "repair",
        "the record holds NaN or an infinity, which JSON does not have",
        "a box is made anew from the segmentation, an area from the mask; elsewhere there is no repair",
    ),
    Rule(
        Reason.BAD_TEXT,
        6,
        _ANY,
        "index",
        "quarantine",
        "the record holds bytes that are no UTF-8, or half of a surrogate pair",
    ),
    Rule(
        Reason.BAD_FIELD,
        7,
        _ANY,
        "index",
        "repair",
        "a field that COCO defines has a value of another type",
        "a number written as text, float or boolean is written as a number; keypoints are counted; a "
        "licence that is a word becomes null",
    ),
    Rule(
        Reason.EXACT_DUPLICATE,
        8,
        ("annotation", "caption"),
        "index",
        "quarantine",
        "an earlier record says the same of the same image: all values but `id` are equal",
    ),
    Rule(
        Reason.NO_FILE_NAME,
        9,
        ("image", "segment"),
        "index",
        "repair",
        "the image, or the panoptic record, has no `file_name`",
        "an image's folder and name are taken from the end of `coco_url`, as for LVIS",
    ),
    Rule(
        Reason.UNSAFE_FILE_NAME,
        10,
        ("image",),
        "index",
        "quarantine",
        "`file_name` leads out of its folder by `..`, holds a control letter, or fits no disk",
    ),
    Rule(
        Reason.DUPLICATE_FILE_NAME,
        11,
        ("image",),
        "index",
        "quarantine",
        "an earlier image has this `file_name`, or one that differs in case only",
    ),
    Rule(
        Reason.BAD_SIZE,
        12,
        ("image",),
        "index",
        "repair",
        "`width` or `height` is absent, no integer, or not from 1 to 2^31 - 1",
        "both are those of the image as it is decoded",
    ),
    Rule(
        Reason.IMAGE_MISSING,
        13,
        ("image",),
        "image",
        "quarantine",
        "no origin has the image's file; the sync stops at it, unless the subset's `policy` names this reason or "
        "`refill` is true",
    ),
    Rule(
        Reason.IMAGE_UNDECODABLE,
        14,
        ("image",),
        "image",
        "quarantine",
        "the image's file is no image, or none of a format that is read",
    ),
    Rule(Reason.IMAGE_TRUNCATED, 15, ("image",), "image", "quarantine", "the image's file ends early"),
    Rule(
        Reason.IMAGE_SIZE_DIFFERS,
        16,
        ("image",),
        "image",
        "quarantine",
        "the decoded image has another width or height than the record says, as stored and as its EXIF orientation "
        "shows it",
    ),
    Rule(
        Reason.IMAGE_EXIF_ROTATED,
        17,
        ("image",),
        "image",
        "keep",
        "the file asks viewers to rotate it; the record's width and height fit it as stored, and it is not rotated",
    ),
    Rule(
        Reason.MISSING_IMAGE,
        18,
        _LABEL,
        "index",
        "quarantine",
        "`image_id` names no image of the file",
    ),
    Rule(Reason.MISSING_CATEGORY, 19, _OBJECT, "index", "quarantine", "`category_id` names no category of the file"),
    Rule(
        Reason.NO_ISCROWD,
        20,
        _OBJECT,
        "index",
        "repair",
        "the annotation has no `iscrowd`",
        "`iscrowd` is added with 0, as pycocotools' evaluation needs it",
    ),
    Rule(
        Reason.RLE_NOT_CROWD,
        21,
        ("annotation",),
        "index",
        "keep",
        "a single object is given as run lengths, where COCO uses polygons; both draw alike",
    ),
    Rule(
        Reason.POLYGON_CROWD,
        22,
        ("annotation",),
        "index",
        "keep",
        "a crowd is given as polygons, where COCO uses run lengths; both draw alike",
    ),
    Rule(
        Reason.NO_BOX,
        23,
        _OBJECT,
        "index",
        "repair",
        "the annotation has no `bbox`",
        "the box is made from the segmentation",
    ),
    Rule(
        Reason.BAD_BOX,
        24,
        _OBJECT,
        "index",
        "repair",
        "`bbox` is not four numbers",
        "numbers written as text are read; any other box is made from the segmentation",
    ),
    Rule(
        Reason.BOX_ZERO_SIDE,
        25,
        _OBJECT,
        "index",
        "repair",
        "the box's width or height is zero or negative",
        "the box is made from the segmentation, if that has both sides",
    ),
    Rule(
        Reason.BOX_OUTSIDE,
        26,
        _OBJECT,
        "index",
        "repair",
        "no part of the box is in the image",
        "the box is made from the segmentation, if that lies in the image",
    ),
    Rule(
        Reason.BOX_PARTLY_OUTSIDE,
        27,
        _OBJECT,
        "index",
        "repair",
        "the box passes the image's border by more than 1 px",
        "the box is cut at the border",
    ),
    Rule(
        Reason.NO_SEGMENTATION,
        28,
        ("annotation",),
        "index",
        "keep",
        "there is no `segmentation`, or an empty one: an object with a box alone, see `masks.boxes`",
    ),
    Rule(
        Reason.BAD_SEGMENTATION,
        29,
        ("annotation",),
        "index",
        "quarantine",
        "`segmentation` is neither a list of lists of numbers nor run lengths with a size",
    ),
    Rule(
        Reason.POLYGON_TOO_SHORT,
        30,
        ("annotation",),
        "index",
        "repair",
        "a polygon has fewer than 6 numbers (pycocotools reads 4 as a box)",
        "the polygon is taken out, if another remains",
    ),
    Rule(
        Reason.POLYGON_ODD,
        31,
        ("annotation",),
        "index",
        "quarantine",
        "a polygon has an odd count of numbers, so that x and y cannot be told apart",
    ),
    Rule(
        Reason.POLYGON_OUTSIDE,
        32,
        ("annotation",),
        "index",
        "repair",
        "a polygon's bounding box has no point in common with the image",
        "the polygon is taken out, if another remains",
    ),
    Rule(
        Reason.POLYGON_PARTLY_OUTSIDE,
        33,
        ("annotation",),
        "index",
        "keep",
        "a polygon's vertex passes the image's border by more than 1 px; drawing cuts it off",
    ),
    Rule(
        Reason.RLE_SUM,
        34,
        ("annotation",),
        "index",
        "quarantine",
        "the run lengths do not add up to height x width of their own `size`, or one is negative",
    ),
    Rule(
        Reason.RLE_SIZE_DIFFERS,
        35,
        ("annotation",),
        "index",
        "quarantine",
        "the `size` of the run lengths is not the image's height and width",
    ),
    Rule(
        Reason.NO_AREA,
        36,
        _OBJECT,
        "index",
        "repair",
        "the annotation has no `area`",
        "the area is that of the drawn mask; without an outline, that of the box",
    ),
    Rule(
        Reason.BAD_AREA,
        37,
        _OBJECT,
        "index",
        "repair",
        "`area` is negative or no number",
        "the area is that of the drawn mask; without an outline, that of the box",
    ),
    Rule(
        Reason.AREA_MISMATCH,
        38,
        ("annotation",),
        "drawing",
        "keep",
        "`area` differs from the drawn mask's by more than `area_tolerance` of that, and by more than 10 px",
        "the area is that of the drawn mask",
    ),
    Rule(Reason.MASK_EMPTY, 39, ("annotation",), "drawing", "quarantine", "the drawn mask has no pixel"),
    Rule(
        Reason.BAD_KEYPOINTS,
        40,
        ("annotation",),
        "index",
        "quarantine",
        "`keypoints` is not a list of numbers, three a point (x, y, visibility 0, 1 or 2)",
    ),
    Rule(
        Reason.KEYPOINTS_COUNT_DIFFERS,
        41,
        ("annotation",),
        "index",
        "repair",
        "`num_keypoints` is not the number of keypoints with a visibility above 0",
        "`num_keypoints` is counted anew",
    ),
    Rule(Reason.NO_CAPTION, 42, ("caption",), "index", "quarantine", "`caption` is absent or blank"),
    Rule(Reason.NO_NAME, 43, ("category",), "index", "quarantine", "the category has no `name`"),
    Rule(
        Reason.DUPLICATE_NAME,
        44,
        ("category",),
        "index",
        "keep",
        "an earlier category has this `name`; a query by name means both",
    ),
    Rule(Reason.NO_SEGMENTS, 45, ("segment",), "index", "quarantine", "a panoptic record lists no segment"),
    Rule(
        Reason.DUPLICATE_SEGMENT,
        46,
        ("segment",),
        "index",
        "quarantine",
        "an earlier panoptic record is of the same image",
    ),
    Rule(
        Reason.IMAGE_UNREADABLE,
        47,
        ("image",),
        "image",
        "quarantine",
        "something lies at the image's place that cannot be taken: a FIFO, a device, a folder, a link that loops or "
        "leads out of the folder, a name too long, no permission, a file that changes while it is read",
    ),
    Rule(
        Reason.NO_ID,
        48,
        ("annotation", "caption"),
        "index",
        "repair",
        "the annotation has no `id`",
        "it is numbered by its place: the largest id below 2^52 of its file, plus its place from 1",
    ),
    Rule(
        Reason.POLYGON_NESTING,
        49,
        ("annotation",),
        "index",
        "repair",
        "`segmentation` is one polygon without a list around it, or polygons of points [x, y] or {x, y}",
        "the same numbers are written in COCO's form, a list of lists [x, y, x, y, …]",
    ),
    Rule(
        Reason.FOREIGN_FILE_NAME,
        50,
        ("image",),
        "index",
        "repair",
        "`file_name` is a URL, a full path of another machine, begins with `./` or has backslashes",
        "it becomes a path with slashes, without host, drive and query, and without the folders that all full paths of "
        "the file share; the image is then looked for by the longest end of it that one file alone has",
    ),
    Rule(
        Reason.IMAGE_TOO_LARGE,
        51,
        ("image",),
        "image",
        "quarantine",
        "the image has more pixels than `images.max_megapixels` allows, or its file more than four bytes for each",
    ),
    Rule(
        Reason.IMAGE_DEPTH_UNKNOWN,
        52,
        ("image",),
        "image",
        "quarantine",
        "what black and white are cannot be known: pixels that are no finite numbers, or 16 bits a channel of which "
        "the upper 4 are not used",
    ),
    Rule(
        Reason.IMAGE_SIZE_TURNED,
        53,
        ("image",),
        "image",
        "keep",
        "the record's width and height are those of the image as its EXIF orientation shows it; where its pixels are "
        "used it is turned, so that the outlines fit",
    ),
    Rule(
        Reason.NO_CATEGORIES,
        54,
        ("category",),
        "index",
        "repair",
        "the file lists no categories; this one is made from an id that its annotations use",
        "it is named by the word that is its id or, of a number such as 3, `category 3`",
    ),
    Rule(
        Reason.MOSTLY_CROWDS,
        55,
        ("annotation",),
        "index",
        "keep",
        "a crowd (`iscrowd: 1`) of a category of which at least half of the file's objects, and two, are crowds, as "
        "tools export masks that were drawn with a brush",
        "`iscrowd` is written as 0: one object, not a crowd",
    ),
)

RULES: Final[dict[Reason, Rule]] = {rule.reason: rule for rule in TABLE}
DEFAULT_POLICIES: Final[dict[Reason, str]] = {rule.reason: rule.policy for rule in TABLE}


NEVER_KEPT: Final[dict[Reason, str]] = {
    Reason.NOT_AN_OBJECT: "no reader of COCO's format could read the file",
    Reason.BAD_ID: "nothing could refer to them",
    Reason.TEXT_ID: 'to a reader of COCO\'s format the id "7" is not 7',
    Reason.DUPLICATE_ID: "of two records with one id, readers of COCO's format know one",
    Reason.NOT_FINITE: "with NaN the file would be no JSON",
    Reason.BAD_TEXT: "with bytes that are no UTF-8 the file would be no JSON",
    Reason.NO_ID: "nothing could refer to them",
    Reason.NO_CATEGORIES: "there is no record to keep",
    Reason.POLYGON_NESTING: "to a reader of COCO's format they have no outline",
    Reason.FOREIGN_FILE_NAME: "no file could be found or written under them",
    Reason.UNSAFE_FILE_NAME: "their files would be written outside of their folder",
}
"""Reasons for which policy `keep` is refused, and why."""


def mask_of(*reasons: Reason) -> int:
    """Return the bit mask that has the bits of `reasons` set."""
    result = 0
    for reason in reasons:
        result |= 1 << RULES[reason].bit
    return result


def reasons_of(mask: int) -> list[Reason]:
    """Return the reasons whose bits are set in `mask`, in the table's order."""
    return [rule.reason for rule in TABLE if mask >> rule.bit & 1]


def policies(overrides: Mapping[str, str] | None = None) -> dict[Reason, str]:
    """Return every reason's policy: the table's default, or what `overrides` (code to policy) says.

    Raises CocomineError for an unknown code, an unknown policy, `repair` where no repair is defined, and `keep` for the
    reasons of NEVER_KEPT.
    """
    result = dict(DEFAULT_POLICIES)
    for code, policy in (overrides or {}).items():
        if code not in set(Reason):
            raise CocomineError(
                f"policy: there is no reason code {code!r}", "use one of: " + ", ".join(rule.reason for rule in TABLE)
            )
        if policy not in POLICIES:
            raise CocomineError(f"policy: {code}: {policy!r} is no policy", "use one of: " + ", ".join(POLICIES))
        rule = RULES[Reason(code)]
        if policy == "keep" and rule.reason in NEVER_KEPT:
            raise CocomineError(
                f"policy: {code}: such records cannot be kept as they are: {NEVER_KEPT[rule.reason]}",
                "use " + ("repair, " if rule.repair else "") + "quarantine or stop",
            )
        if policy == "repair" and not rule.repair:
            raise CocomineError(f"policy: {code}: no repair is defined for it", "use keep, quarantine or stop")
        result[rule.reason] = policy
    return result


def masks_by_policy(chosen: Mapping[Reason, str]) -> dict[str, int]:
    """Return for each policy the mask of the reasons that have it, to be applied to the index's `reasons` column."""
    return {policy: mask_of(*(reason for reason, p in chosen.items() if p == policy)) for policy in POLICIES}
