from pathlib import Path

import pytest
from cocomine.transfer.names import FolderGuard, collisions, refusal
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../x",
        "a/..",
        ".",
        "a/./b",
        "a//b",
        "a/",
        "a\\b",
        "C:/x",
        "c:x",
        "a\nb",
        "a\x00b",
        "\x85",
        "x" * 300,
        "a/" * 600 + "b",
        "\ud800",
    ],
)
def test_names_that_lead_elsewhere_or_fit_no_disk_are_refused(name: str) -> None:
    assert refusal(name)


@pytest.mark.parametrize("name", ["a.jpg", "train2017/000000000009.jpg", "..a", "a..b/c", "a b%20#?.jpg", "é中/🦒.png"])
def test_ordinary_names_are_taken(name: str) -> None:
    assert refusal(name) is None


@given(st.text(max_size=60))
def test_no_name_that_is_taken_leads_out_of_the_folder(name: str) -> None:
    if refusal(name) is None:
        root = Path("/some/root")
        assert root in (root / name).parents


def test_names_that_one_disk_could_not_hold_apart_are_refused_but_for_the_first() -> None:
    names = ["a/X.jpg", "a/x.jpg", "a/\u00e9", "a/e\u0301", "a/y"]
    assert sorted(collisions(names)) == sorted(["a/x.jpg", "a/e\u0301"])


def test_a_guard_makes_folders_and_passes_through_no_symlink(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "file").write_text("x")
    guard = FolderGuard(tmp_path / "root")
    assert guard.prepare("a/b/c.jpg") is None
    assert (tmp_path / "root" / "a" / "b").is_dir()
    assert "symlink" in (guard.prepare("link/c.jpg") or "")
    assert "symlink" in (guard.prepare("link/d/c.jpg") or "")
    assert "file" in (guard.prepare("file/c.jpg") or "")
