"""Lists of images as people's editors write them, and their entries that name nothing."""

import pytest
from cocomine.base.errors import CocomineError
from cocomine.mining.image_list import ImageList, image_list
from hypothesis import given
from hypothesis import strategies as st

LINES = "# chosen by hand\n1\n\n  3.jpg  \nb/4.jpg\n"
TABLE = "image_id\tnote\n1\tends with \\\n3\ty\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("name", "text", "entries"),
    [
        ("list.txt", LINES, ("1", "3.jpg", "b/4.jpg")),
        ("list", LINES, ("1", "3.jpg", "b/4.jpg")),
        ("list.tsv", TABLE, ("1", "3")),
        ("LIST.TSV", TABLE, ("1", "3")),
        ("list.tsv", "note\tfile_name\nx\ta b.jpg\n\tc.jpg", ("a b.jpg", "c.jpg")),
        ("list.csv", 'file_name,note\n"a, b.jpg",x\nc.jpg,', ("a, b.jpg", "c.jpg")),
        ("list.json", '[1, "3.jpg"]\n', (1, "3.jpg")),
    ],
)
def test_a_list_is_read_whatever_editor_wrote_it(tmp_path, encoding, ends, name, text, entries):
    content = text.replace("\n", ends)
    bom = encoding == "utf-16-le-bom"
    raw = b"\xff\xfe" + content.encode("utf-16-le") if bom else content.encode(encoding)
    (tmp_path / name).write_bytes(raw)
    assert image_list(str(tmp_path / name), "key").entries == entries


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("list.json", b'{"a": 1', "not a list of images"),
        ("list.json", b'{"a": 1}', "no array of ids and names"),
        ("list.json", b"[1.5]", "no array of ids and names"),
        ("list.tsv", b"name\tsize\nx\t1\n", "its first line, name, size, has no column image_id"),
        ("list.tsv", b"", "its first line, which is empty, has no column image_id"),
        ("list.txt", b"caf\xe9.jpg\n", "not a list of images"),
        ("absent.txt", None, "cannot be read"),
    ],
)
def test_what_is_no_list_is_an_error_with_advice(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CocomineError, match=words) as caught:
        image_list(str(tmp_path / name), "split.lists.val")
    assert caught.value.message.startswith(f"split.lists.val: {tmp_path / name}: ")
    assert caught.value.hint


@pytest.mark.parametrize("entry", ["train\\1.jpg", "./train/1.jpg", "train/1.jpg"])
def test_a_path_is_one_path_however_it_is_written(entry):
    assert ImageList((entry,)).names == {"train/1.jpg"}
    assert ImageList((entry,)).unmatched(set(), {"train/1.jpg"}) == []


def test_unmatched_entries_are_counted_once_and_the_first_are_named():
    listed = ImageList((1, "x.jpg", "x.jpg", *(f"{n}.png" for n in range(9))))
    found = listed.unmatched({1}, {"8.png"})
    assert listed.told(found, "of the source") == (
        "9 of 11 entries name no image of the source: 'x.jpg', '0.png', '1.png', '2.png', '3.png' and 4 more"
    )


@given(st.binary(max_size=60), st.sampled_from([".txt", ".tsv", ".csv", ".json"]))
def test_any_bytes_are_a_list_or_an_error_with_advice(tmp_path_factory, content, suffix):
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_bytes(content)
    try:
        entries = image_list(str(path), "key").entries
    except CocomineError as error:
        assert error.hint  # noqa: PT017 - advice is as good as a list
        return
    assert all(isinstance(entry, int | str) for entry in entries)
    ImageList(entries).unmatched(set(), set())
