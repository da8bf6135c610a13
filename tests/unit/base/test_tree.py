import hashlib
import os

from cocomine.base import tree


def test_a_file_with_several_names_is_read_once_and_each_name_has_its_fingerprint(tmp_path, monkeypatch):
    contents = {"a": b"one", "b": b"another", "d": b"one"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    os.link(tmp_path / "b", tmp_path / "c")
    os.link(tmp_path / "b", tmp_path / "e")
    names = ["a", "b", "c", "d", "missing", "e"]
    read = []
    monkeypatch.setattr(tree, "sha256_of_file", lambda path: read.append(path.name) or sha256(path.read_bytes()))
    found = list(tree.fingerprints("read", [str(tmp_path / name) for name in names]))
    one, another = (sha256(b"one"), 3), (sha256(b"another"), 7)
    assert found == [one, another, another, one, ("", -1), another]
    assert read == ["a", "b", "d"]


def test_fingerprints_are_the_same_whatever_the_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(tree, "FILES_AT_ONCE", 2)
    for number in range(9):
        (tmp_path / str(number)).write_bytes(bytes(number))
        if number % 3 == 0:
            os.link(tmp_path / str(number), tmp_path / f"{number}.link")
    files = tree.files_in(tmp_path)
    expected = [(sha256(bytes(int(name))), int(name)) for name in "001233456678"]
    for processes in (1, 3):
        assert list(tree.fingerprints("read", files, processes)) == expected


def test_a_link_that_leads_nowhere_takes_no_other_file_out_of_the_list(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(40):
        (tmp_path / f"{number:02}").write_bytes(b"")
        (tmp_path / "in" / f"{number:02}").write_bytes(b"")
    expected = [str(path) for path in sorted(tmp_path.rglob("*")) if path.is_file()]
    for name, target in {"loop": "loop", "long": "x" * 300, "through": "00/x", "gone": "nothing", "out": "in"}.items():
        (tmp_path / name).symlink_to(target)
    assert tree.files_in(tmp_path) == expected
    (tmp_path / "good").symlink_to("00")
    assert tree.files_in(tmp_path) == sorted([*expected, str(tmp_path / "good")])
    assert tree.files_in(tmp_path / "absent") == []


def sha256(content):
    return hashlib.sha256(content).hexdigest()
