"""Groups of images that must stay in one split: the same image, the same file, near-duplicates."""

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cocomine.splits.near_duplicates import Pairs

UNLIKE_BITS = 16

# COCO_train2014_000000000009.jpg and 000000000009.jpg are one image, in whatever folder.
_COCO_NAME = re.compile(r"^(?:COCO_(?:train|val|test|unlabeled)20\d\d_)?(\d{12})\.[A-Za-z]+$")


@dataclass(frozen=True, slots=True)
class Link:
    """Why two images (rows `first` < `second`) belong together.

    `why` is "same image", "same file", "near-duplicate", "mirrored", "turned" or "cropped"; all but the first two have
    bits of difference and similarity.
    """

    first: int
    second: int
    why: str
    distance: int = 0
    similarity: float = 1.0


@dataclass
class Groups:
    """The group of each row (its first row), the links that made the groups, and those cut to keep them small."""

    of: list[int]
    links: list[Link] = field(default_factory=list)
    cut: list[Link] = field(default_factory=list)


def image_name(file_name: str) -> str:
    """Return what names the image: COCO's number of it, whatever the year, or else the file name itself."""
    name = file_name.replace("\\", "/").rsplit("/", 1)[-1]
    match = _COCO_NAME.match(name)
    return match.group(1) if match else file_name


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells that two rows are one image: ids, names and content. Hashes are None where there is no file."""

    image_id: int
    file_name: str
    sha256: str | None
    phash: int | None


def certain_links(rows: Sequence[Identity]) -> list[Link]:
    """Return the links between rows of the same image id, the same image by name or the same file by content.

    COCO's name alone is no proof: other datasets number their files as COCO does. So images of one name whose
    perceptual hashes differ by a quarter of their bits or more are taken for two.
    """
    links = []
    keys: list[tuple[str, list[Hashable]]] = [
        ("same image", [row.image_id for row in rows]),
        ("same image", [image_name(row.file_name) for row in rows]),
        ("same file", [row.sha256 for row in rows]),
    ]
    for number, (why, values) in enumerate(keys):
        # One name may stand for several images, so each that is unlike the others known of it is kept.
        known: dict[Hashable, list[int]] = {}
        for row, value in enumerate(values):
            if value is None:
                continue
            others = known.setdefault(value, [])
            alike = [other for other in others if number != 1 or not _unlike(rows[other], rows[row])]
            links += [Link(other, row, why) for other in alike]
            if not alike or number == 1:
                others.append(row)
    return links


def _unlike(one: Identity, other: Identity) -> bool:
    if one.phash is None or other.phash is None:
        return False
    return (one.phash ^ other.phash).bit_count() >= UNLIKE_BITS


def group(
    rows: int, certain: Iterable[Link], pairs: Pairs | None, largest: int, changed: Mapping[str, Pairs] | None = None
) -> Groups:
    """Join rows into groups.

    Certain links always join. Near-duplicates join from the most alike to the least, as long as the group that would
    result has at most `largest` images: so a long chain of look-alikes falls into pieces at its weakest links instead
    of swallowing the dataset. `changed` are pairs of which one is the other mirrored, turned or cropped, by that
    word; they join as near-duplicates do. Links between two groups in the end are returned as cut.
    """
    parent = list(range(rows))
    size = [1] * rows

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    def join(one: int, other: int) -> None:
        low, high = min(one, other), max(one, other)
        parent[high] = low
        size[low] += size[high]

    links: list[Link] = []
    for link in certain:
        one, other = root(link.first), root(link.second)
        links.append(link)
        if one != other:
            join(one, other)
    alike = ({} if pairs is None else {"near-duplicate": pairs}) | dict(changed or {})
    if alike:
        pairs_found = [
            Link(a, b, why, d, s)
            for why, some in alike.items()
            for a, b, d, s in zip(*map(_list, (some.first, some.second, some.distance, some.similarity)), strict=True)
        ]
        pairs_found.sort(key=lambda link: (link.distance, -link.similarity, link.first, link.second))
        for link in pairs_found:
            one, other = root(link.first), root(link.second)
            if one != other and size[one] + size[other] <= largest:
                join(one, other)
        links += pairs_found
    of = [root(row) for row in range(rows)]
    return Groups(
        of,
        [link for link in links if of[link.first] == of[link.second]],
        [link for link in links if of[link.first] != of[link.second]],
    )


def _list(column: object) -> list[int]:
    result: list[int] = column.tolist()  # type: ignore[attr-defined]
    return result
