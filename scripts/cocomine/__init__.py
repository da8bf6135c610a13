"""cocomine: mine reproducible, task-specific datasets out of MS COCO and out of anything of its shape."""

__version__ = "0.2.0"
