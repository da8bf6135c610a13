"""The language of count_subset."""

import pytest
from cocomine.base.errors import CocomineError
from cocomine.inquiry.expression import And, Not, Or, Term, parse, terms
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("giraffe", Term("giraffe")),
        ("giraffe and not person", And((Term("giraffe"), Not(Term("person"))))),
        ("a or b and c", Or((Term("a"), And((Term("b"), Term("c")))))),
        ("(a or b) and c", And((Or((Term("a"), Term("b"))), Term("c")))),
        ("not not a", Not(Not(Term("a")))),
        ('"dining table"', Term("dining table")),
        ("'dining table' >= 2", Term("dining table", ">=", 2)),
        ("dining table and cup", And((Term("dining table"), Term("cup")))),
        ("person>=2", Term("person", ">=", 2)),
        ("person != 0 OR dog", Or((Term("person", "!=", 0), Term("dog")))),
        ('"and"', Term("and")),
        ("25", Term("25")),
    ],
)
def test_an_expression_means_what_it_says(text, node):
    assert parse(text) == node


@pytest.mark.parametrize(
    ("text", "message", "at"),
    [
        ("", "empty", 0),
        ("   ", "empty", 0),
        ("giraffe and", "a category is missing here", 11),
        ("and giraffe", "a category is missing here", 0),
        ("(giraffe", "')' is missing", 0),
        ("giraffe)", "'and' or 'or' is missing", 7),
        ('giraffe "person"', "'and' or 'or' is missing", 8),
        ("person >= many", "a whole number is missing here", 10),
        ("person >=", "a whole number is missing here", 9),
        ('"giraffe', "a quotation mark without its other", 0),
        ('""', "a category is missing here", 0),
        ("giraffe ! person", "not understood", 8),
        ("(" * 1000, "nested too deeply", 100),
    ],
)
def test_a_mistake_is_pointed_at(text, message, at):
    with pytest.raises(CocomineError) as caught:
        parse(text)
    first, shown, pointer = caught.value.message.split("\n")
    assert message in first
    assert shown == f"  {text}"
    assert pointer.index("^") - 2 == at


NAMES = st.one_of(
    st.sampled_from(["person", "dining table", "and", "a=b", "it's", "25"]), st.text(min_size=1, max_size=8)
)
NODES = st.recursive(
    st.builds(
        Term,
        NAMES.filter(lambda name: name.strip() == name and '"' not in name and name.split() == name.split(" ")),
        st.just(None),
        st.just(0),
    )
    | st.builds(Term, st.just("person"), st.sampled_from([">=", "<", "=="]), st.integers(0, 99)),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)


@given(NODES)
def test_an_expression_that_is_written_reads_back_as_itself(node):
    assert parse(str(node)) == node


@given(st.text(alphabet="ab()\"'<>=! nodrt12", max_size=30) | st.text(max_size=30))
def test_any_text_is_an_expression_or_an_error_with_advice(text):
    try:
        parse(text)
    except CocomineError as error:
        assert error.hint  # noqa: PT017 - either outcome is right


def test_terms_know_whether_they_are_denied():
    found = [(term.name, negated) for term, negated in terms(parse("a and not (b or not c)"))]
    assert found == [("a", False), ("b", True), ("c", False)]
