"""Finding images in any folder: what is found is the image that was asked for, or nothing is."""

import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from cocomine.transfer.finding import Folder
from cocomine.transfer.names import folded
from hypothesis import given
from hypothesis import strategies as st

FOLDERS = st.lists(st.sampled_from(["train", "val", "images", "a", "masks", ".x"]), max_size=3)
FILES = st.sampled_from(["1.jpg", "2.jpg", "1.JPG"])
PATHS = st.builds(lambda folders, file: "/".join([*folders, file]), FOLDERS, FILES)
NAMES = st.builds(lambda split, path: f"{split}/{path}", st.sampled_from(["train", "val"]), PATHS)


@pytest.fixture(scope="module")
def places() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@given(there=st.sets(PATHS, max_size=6), asked=st.sets(NAMES, min_size=1, max_size=4))
def test_a_file_is_found_only_as_the_image_asked_for_and_never_for_two(
    places: Path, there: set[str], asked: set[str]
) -> None:
    root = Path(tempfile.mkdtemp(dir=places))
    for path in there:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    found = Folder(root, splits=frozenset({"train", "val"})).find(sorted(asked))
    assert set(found) == asked
    taken: dict[Path, str] = {}
    for name, item in found.items():
        if item.path is None:
            assert item.reason
            continue
        assert item.path.is_file()
        split, _, rest = name.partition("/")
        place = item.path.relative_to(root)
        if place in (PurePosixPath(name), PurePosixPath("images", name)):
            assert not item.elsewhere
            continue
        assert item.elsewhere == place.as_posix()
        assert folded(place.name) == folded(PurePosixPath(name).name)
        other = {"train": "val", "val": "train"}[split]
        assert other not in place.parts[:-1] or other in name.split("/")
        assert not {"masks", ".x"} & (set(place.parts) - set(name.split("/")))
        assert taken.setdefault(item.path, rest) == rest
    exact = {item.path for item in found.values() if item.path is not None and not item.elsewhere}
    assert not exact & set(taken)


@pytest.mark.parametrize("asked", ["train/1", "train/1.jpg"])
def test_an_image_of_the_same_name_with_another_ending_is_named_and_not_taken(tmp_path: Path, asked: str) -> None:
    (tmp_path / "1.png").write_bytes(b"x")
    (tmp_path / "1.txt").write_bytes(b"0 0.5 0.5 1 1")
    found = Folder(tmp_path, {"train": ""}, frozenset({"train"})).find([asked])[asked]
    assert found.path is None
    assert found.reason == "no such file, but 1.png is there: write its ending into file_name"
