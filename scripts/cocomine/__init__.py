"""cocomine: mine reproducible, task-specific datasets out of MS COCO and out of anything of its shape."""

__version__ = "0.2.0"


def __getattr__(name: str) -> object:
    """Import `cocomine.load` on first use: the workflow's scripts are made of other rooms, and do without it."""
    if name != "load":
        raise AttributeError(f"module 'cocomine' has no attribute {name!r}")
    return getattr(__import__("cocomine.reader.subset", fromlist=[name]), name)
