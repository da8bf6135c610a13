"""How the files that are made of an image are called."""

from pathlib import PurePosixPath


def mask_name(file_name: str) -> str:
    """Return the path of an image's mask below the folder of its kind: `cam1/1.jpg` has the mask `cam1/1.png`."""
    path = PurePosixPath(file_name)
    return str(path.parent / f"{path.stem}.png")


def leaves_its_folder(file_name: str) -> bool:
    """Tell whether a file of that name would lie outside of the folder that it is written to."""
    path = PurePosixPath(file_name)
    return path.is_absolute() or ".." in path.parts or not path.name
