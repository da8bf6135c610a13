"""A mistake in a file that a person wrote is named with its line, and no file costs more than it is worth."""

import tracemalloc
from pathlib import Path

import pytest
import yaml
from cocomine.base.errors import CocomineError
from cocomine.base.yaml_file import MOST_NODES, given_on_command_line, read_config, read_yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("abc é:#{}[]'\"\n", max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=12,
)


def written(folder: Path, text: str) -> Path:
    path = folder / "my.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(PLAIN)
def test_what_is_right_is_read_as_yaml_reads_it(tmp_path: Path, value: object) -> None:
    assert read_yaml(written(tmp_path, yaml.safe_dump(value))) == value


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("subsets:\n  a: {}\n  b: {}\n  a: {}\n", "line 4, column 3", "'a' stands twice, in line 2 and in line 4"),
        ("a: {x: 1, y: 2, x: 3}\n", "line 1, column 17", "stands twice"),
        ("a: [{k: 1, k: 1}]\n", "line 1, column 12", "stands twice"),
        ("a: 1\n\tb: 2\n", "line 2, column 1", "found"),
        ("a: b: c\n", "line 1, column 5", "mapping values are not allowed"),
        ("a: [1, 2\nb: 3\n", "line 2", "expected"),
        ("a: 'x\n", "line 2, column 1", "unexpected end of stream"),
        ("a: &x [*x]\n", "line 1", "an alias that holds itself"),
        ("a: *nobody\n", "line 1, column 4", "undefined alias"),
    ],
)
def test_a_mistake_is_named_with_file_line_and_column(tmp_path: Path, text: str, place: str, said: str) -> None:
    with pytest.raises(CocomineError) as caught:
        read_yaml(written(tmp_path, text))
    assert f"my.yaml, {place}" in caught.value.message
    assert said in caught.value.message
    assert caught.value.hint


def bomb(kind: str, depth: int = 40) -> str:
    lines = ["a0: &a0 [x, x]" if kind == "lists" else "a0: &a0 {x: 1}"]
    for n in range(1, depth):
        parts = f"[{', '.join([f'*a{n - 1}'] * 9)}]" if kind == "lists" else f"{{k: *a{n - 1}, l: *a{n - 1}}}"
        lines.append(f"a{n}: &a{n} {parts}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("kind", ["lists", "mappings"])
def test_aliases_that_multiply_are_refused_in_little_memory(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, bomb(kind))
    tracemalloc.start()
    with pytest.raises(CocomineError, match=f"over {MOST_NODES:,} values"):
        read_yaml(path)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_a_few_aliases_and_merges_are_as_good_as_what_they_stand_for(tmp_path: Path) -> None:
    text = "base: &b {x: 1}\none: {<<: *b, y: 2}\ntwo: {<<: *b, x: 3}\n"
    assert read_config(written(tmp_path, text)) == {"base": {"x": 1}, "one": {"x": 1, "y": 2}, "two": {"x": 3}}


def test_numbers_on_the_command_line_are_numbers_at_every_depth() -> None:
    assert given_on_command_line('split={"shares": {"a": 0.5}, "seed": 3}') == {
        "split": {"shares": {"a": 0.5}, "seed": 3}
    }
    assert given_on_command_line("seed=7") == {"seed": 7}
    with pytest.raises(CocomineError, match="--config a"):
        given_on_command_line("a={b: [")
