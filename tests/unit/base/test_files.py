"""What the writers of files promise: complete or absent, the same bytes for the same value, one line a row."""

import math
from pathlib import Path

import pytest
from cocomine.base import files
from cocomine.base.errors import CocomineError
from hypothesis import given
from hypothesis import strategies as st


def test_a_write_that_fails_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    files.write_text(target, "old")

    def interrupted_write() -> None:
        with files.atomic_path(target) as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        interrupted_write()
    assert target.read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_canonical_json_does_not_depend_on_the_order_of_keys() -> None:
    assert files.canonical_json({"b": 1, "a": [1.5, "é"]}) == files.canonical_json({"a": [1.5, "é"], "b": 1})


def test_canonical_json_refuses_what_json_does_not_have() -> None:
    with pytest.raises(ValueError):
        files.canonical_json({"loss": math.nan})


@given(st.lists(st.tuples(st.text(), st.text()), max_size=5))
def test_a_table_gives_back_every_text_that_was_put_in(tmp_path_factory: pytest.TempPathFactory, rows) -> None:
    path = tmp_path_factory.mktemp("table") / "table.tsv"
    files.write_table(path, ["a", "b"], rows)
    assert [(row["a"], row["b"]) for row in files.read_table(path)] == rows
    assert path.read_bytes().count(b"\n") == len(rows) + 1


def test_a_missing_json_file_is_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(CocomineError, match=r"absent\.json.*no such file") as caught:
        files.read_json(tmp_path / "absent.json")
    assert caught.value.hint


def test_rank_is_the_published_one_on_every_platform() -> None:
    # sha256("7:42") = first eight bytes, computed with coreutils: printf 7:42 | sha256sum
    assert f"{files.rank('7', 42):016x}" == "6fb44d7d504d375b"


@pytest.mark.parametrize("text", ["[" * 100_000 + "]" * 100_000, "[", "é"])
def test_what_is_no_json_or_nested_beyond_all_measure_is_an_error_that_names_the_file(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(CocomineError, match=r"a\.json: not a JSON file"):
        files.read_json(tmp_path / "a.json")
