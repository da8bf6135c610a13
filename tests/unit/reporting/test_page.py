import jinja2
import pytest
from cocomine.reporting import charts
from cocomine.reporting.page import environment, format_number, heat, keyed, traced


def rendered(template, facts):
    return environment().from_string(template).render(facts=traced(facts))


def test_a_number_shows_its_path_and_its_format():
    assert (
        rendered("{{ facts.a[1].n | count }}", {"a": [0, {"n": 12345}]})
        == '<span data-key="a.1.n" data-format="count">12,345</span>'
    )


def test_a_number_without_a_format_or_from_outside_the_facts_stops_the_page():
    with pytest.raises(TypeError, match="without a format"):
        rendered("{{ facts.n }}", {"n": 3})
    with pytest.raises(ValueError, match="no number of the facts"):
        rendered("{{ (facts.n + 1) | count }}", {"n": 3})


def test_a_number_that_is_not_known_is_a_dash_and_never_zero():
    assert "–" in rendered("{{ facts.n | score }}", {"n": None})


def test_a_text_is_escaped_and_shows_its_path():
    assert rendered("{{ facts.t }}", {"t": "<i>&"}) == '<span data-text="t">&lt;i&gt;&amp;</span>'
    assert rendered('<p title="{{ facts.t | bare }}">', {"t": '"><i>'}) == '<p title="&#34;&gt;&lt;i&gt;">'


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "JaVaScRiPt:x", "data:text/html,x", "//evil", " http://x", "ftp://x"]
)
def test_only_plain_web_addresses_become_links(url):
    assert "href" not in rendered("{{ link(facts.u, facts.u) }}", {"u": url})
    assert 'href="https://a/?x=1&amp;y=&#34;"' in rendered("{{ link(facts.u, facts.u) }}", {"u": 'https://a/?x=1&y="'})


def test_an_unknown_variable_stops_the_page():
    with pytest.raises(jinja2.UndefinedError):
        rendered("{{ facts.missing.n }}", {})


@pytest.mark.parametrize(
    ("number", "kind", "text"),
    [
        (1234567, "count", "1,234,567"),
        (900100, "id", "900100"),
        (0.12345, "share", "12.3 %"),
        (-0.031, "signed", "−3.1 %"),
        (0.5, "score", "0.500"),
        (11.53e6, "plain", "1.153e+07"),
        (0.175, "points", "17.5\N{NO-BREAK SPACE}points"),
        (0.7391, "ratio", "0.74"),
        (4.3333, "ratio", "4.3"),
        (999, "size", "999 B"),
        (469785474, "size", "469.8 MB"),
    ],
)
def test_numbers_are_written_as_people_read_them(number, kind, text):
    assert format_number(number, kind) == text.replace(" ", "\N{NO-BREAK SPACE}")


def test_heat_goes_from_empty_to_full():
    assert [heat(value, 1.0) for value in (0, 0.001, 0.5, 1.0, 2.0)] == ["h0", "h1", "h5", "h9", "h9"]


def test_a_bar_never_leaves_its_track():
    assert 'class="fill" width="100.00"' in charts.bar(7, 5)
    assert 'class="fill" width="0.00"' in charts.bar(None, 5)
    assert "interval" not in charts.bar(3, 5)


def test_a_missing_key_is_shown_as_a_dash_only_through_a_format():
    assert "–" in keyed(None, "count")
