"""The query written down again, as plainly as can be: loops over dictionaries, nothing shared with the miner.

It takes a document and says which images a subset has and which annotations it writes. It knows categories by id only.
"""

import hashlib
from typing import Any


def hash_of(seed, identity):
    return int.from_bytes(hashlib.sha256(f"mine:{seed}:{identity}".encode()).digest()[:8], "big")


def in_range(value, bounds):
    if value is None:
        return bounds == {}
    return bounds.get("min", value) <= value <= bounds.get("max", value)


def mine(document, query, bad_images=(), bad_annotations=()):
    """Return (ids of wanted images, ids of negatives, ids of written annotations).

    `bad_images` and `bad_annotations` are ids of records that policy quarantines.
    """
    ids_of_categories = [category["id"] for category in document["categories"]]
    wanted = query.get("categories") or ids_of_categories
    images = {image["id"]: image for image in document["images"]}
    all_annotations: dict[int, list[dict[str, Any]]] = {identity: [] for identity in images}
    for annotation in document["annotations"]:
        if annotation["image_id"] in images:
            all_annotations[annotation["image_id"]].append(annotation)

    def usable(annotation):
        return annotation["id"] not in bad_annotations and annotation["category_id"] in ids_of_categories

    def area_fits(annotation):
        image = images[annotation["image_id"]]
        share = annotation["area"] / (image["width"] * image["height"])
        return in_range(annotation["area"], query.get("area", {})) and in_range(share, query.get("relative_area", {}))

    def dropped_crowd(annotation):
        return (
            annotation["iscrowd"] == 1 and query.get("crowds", "keep") == "drop" and annotation["category_id"] in wanted
        )

    def counts(annotation):
        if not usable(annotation) or dropped_crowd(annotation):
            return False
        return annotation["category_id"] in wanted and area_fits(annotation)

    def lost(annotation):
        """Whether an unusable object would be background though its category gets a label."""
        known = annotation["category_id"] in ids_of_categories
        asked = annotation["category_id"] in wanted if known else not query.get("categories")
        return not usable(annotation) and (asked or bool(query.get("keep_other_annotations")))

    def image_passes(image):
        if image["id"] in bad_images or any(lost(annotation) for annotation in all_annotations[image["id"]]):
            return False
        if query.get("include_images") is not None and image["id"] not in query["include_images"]:
            return False
        if image["id"] in (query.get("exclude_images") or []):
            return False
        if query.get("licenses") and image["license"] not in query["licenses"]:
            return False
        sizes = (("image_width", image["width"]), ("image_height", image["height"]))
        if not all(in_range(value, query.get(key, {})) for key, value in sizes):
            return False
        if not in_range(image["width"] / image["height"], query.get("image_aspect", {})):
            return False
        for annotation in all_annotations[image["id"]]:
            if annotation["category_id"] not in wanted:
                continue
            if query.get("crowds") == "exclude" and annotation["iscrowd"] == 1:
                return False
            if query.get("outside_area") == "exclude" and usable(annotation) and not area_fits(annotation):
                return False
        return True

    def no_forbidden(image):
        return not any(a["category_id"] in query.get("exclude_categories", []) for a in all_annotations[image["id"]])

    def captioned(image):
        captions = document.get("captions", {}).get(image["id"], [])
        return not query.get("caption") or any(query["caption"] in caption for caption in captions)

    matching, free = [], []
    for image in document["images"]:
        if not image_passes(image) or not captioned(image):
            continue
        here = all_annotations[image["id"]]
        if no_forbidden(image) and not any(a["category_id"] in wanted for a in here):
            free.append(image["id"])
        objects = [a for a in here if counts(a)]
        present = {a["category_id"] for a in objects}
        if query.get("match", "any") == "all":
            if present < set(wanted):
                continue
        elif not present:
            continue
        if query.get("match") == "only" and any(a["category_id"] not in wanted for a in here):
            continue
        if not no_forbidden(image):
            continue
        if not in_range(len(objects), query.get("instances", {})):
            continue
        per_class = query.get("instances_per_class", {})
        if not all(in_range(sum(a["category_id"] == c for a in objects), r) for c, r in per_class.items()):
            continue
        matching.append(image["id"])

    order = sorted(matching, key=lambda identity: (hash_of(query.get("seed", 0), identity), identity))
    present_in = {identity: {a["category_id"] for a in all_annotations[identity] if counts(a)} for identity in matching}
    caps = {}
    cap = query.get("max_per_class")
    if isinstance(cap, int):
        caps = dict.fromkeys(wanted, cap)
    elif cap:
        caps = dict(cap)
    taken = order
    if query.get("fraction", 1) < 1 and taken:
        taken = taken[: max(1, round(query["fraction"] * len(taken)))]
    if query.get("balance"):
        number = {c: sum(c in present_in[i] for i in taken) for c in wanted}
        there = [n for n in number.values() if n]
        if there:
            caps = {c: min(min(there), caps.get(c, min(there))) for c in wanted}
            taken = sorted(taken, key=lambda identity: min(number[c] for c in present_in[identity]))
    if caps:
        seen = dict.fromkeys(caps, 0)
        kept = []
        for identity in taken:
            capped = [c for c in present_in[identity] if c in caps]
            if all(seen[c] < caps[c] for c in capped):
                kept.append(identity)
                for c in capped:
                    seen[c] += 1
        taken = kept
    if query.get("balance"):
        left, taken, number = taken, [], dict.fromkeys(sorted(wanted), 0)
        while left:
            there = [c for c in number if any(c in present_in[i] for i in left)]
            least = min(there, key=lambda c: number[c])
            following = next(i for i in left if least in present_in[i])
            left = [i for i in left if i != following]
            taken.append(following)
            for c in present_in[following]:
                number[c] += 1
    if query.get("max_images"):
        taken = taken[: query["max_images"]]
    free.sort(key=lambda identity: (hash_of(query.get("seed", 0), identity), identity))
    negatives = free[: query.get("negatives", 0)]

    written = []
    for annotation in document["annotations"]:
        if annotation["image_id"] not in taken + negatives or not usable(annotation) or dropped_crowd(annotation):
            continue
        mine = annotation["category_id"] in wanted
        if not mine and not query.get("keep_other_annotations"):
            continue
        if mine and not area_fits(annotation) and query.get("outside_area", "drop") != "keep":
            continue
        written.append(annotation["id"])
    return sorted(taken), sorted(negatives), written
