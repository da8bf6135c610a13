"""What may be said of a mean IoU: beside the better trivial baseline, and of so many images."""

from collections.abc import Mapping

FEW_IMAGES = 10
"""Judged on fewer images than this, a figure says more of the images than of the model."""


def no_better(own: float | None, trivial: float | None) -> bool:
    """Whether a run's mean IoU does not exceed that of the better trivial baseline; False where either is unknown."""
    return own is not None and trivial is not None and own <= trivial


def too_few(images: int) -> bool:
    """Whether so few images allow no judgement."""
    return images < FEW_IMAGES


def counted(images: int) -> str:
    """Return "1 image", "12 images"."""
    return f"{images:,} image" + "s" * (images != 1)


def times(ratio: float) -> str:
    """Return a ratio as it is read out: two significant digits below 1, one decimal from there on."""
    return f"{ratio:.2g}" if ratio < 1 else f"{ratio:,.1f}"


def beside_baseline(own: float | None, trivial: float, ratio: float | None) -> str:
    """Return a clause that sets a mean IoU beside the better trivial baseline's; `ratio` is own ÷ trivial."""
    if own is None:
        return "no class to be found in these images"
    if no_better(own, trivial):
        return f"no better than the trivial baseline ({trivial:.3f})"
    if ratio is None:
        return f"the better trivial baseline has {trivial:.3f}"
    return f"{times(ratio)} times the better trivial baseline"


def of_few(images: int) -> str:
    """Return the sentence that so few images allow no judgement; empty for enough of them."""
    return f"Judged on {counted(images)}: so few allow no judgement." if too_few(images) else ""


def most_recall(figures: Mapping[str, float | None]) -> tuple[str, float | None]:
    """Return the average recall over all sizes with the most results an image, which `draws.tsv` calls AR, by name."""
    return next((name, figures[name]) for name in ("AR", "AR100", "AR300") if name in figures)
