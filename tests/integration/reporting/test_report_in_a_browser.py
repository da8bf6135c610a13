"""The report as chromium shows it: offline, nothing refused or broken, no overflow, readable by day and by night."""

import pytest
from helpers.browser import probed, visit
from helpers.report_page import HOSTILE, make_report


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    _, _, subset = make_report(tmp_path_factory.mktemp("report"))
    return subset.folder / "report.html"


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory):
    _, _, subset = make_report(tmp_path_factory.mktemp("report"), HOSTILE)
    return subset.folder / "report.html"


def test_it_asks_the_network_for_nothing_and_its_own_policy_refuses_nothing(page, tmp_path):
    seen = visit(page, tmp_path)
    assert seen.asked == []
    assert seen.console == ""
    assert '<div class="controls" data-gallery="gallery" role="group"' in seen.document, "the script did not run"


def test_a_page_that_asks_for_something_would_be_caught(tmp_path):
    page = tmp_path / "page.html"
    policy = '<meta http-equiv="Content-Security-Policy" content="script-src \'none\'">'
    page.write_text(f"<!doctype html>{policy}<img src='http://elsewhere.example/x.png'><script>1</script>")
    seen = visit(page, tmp_path / "scratch")
    assert seen.asked == ["http://elsewhere.example"]
    assert "Content Security Policy" in seen.console


def test_hostile_names_run_nothing(hostile_page, tmp_path):
    seen = visit(hostile_page, tmp_path)
    assert seen.asked == []
    assert seen.console == ""


@pytest.mark.parametrize("width", [1400, 800, 400])
def test_it_fits_its_window_even_with_long_names(hostile_page, width, tmp_path):
    measured = probed(hostile_page, tmp_path, width)
    assert measured["width"] == width
    assert (measured["overflow"], measured["wide"]) == (0, [])


def test_every_text_is_readable_by_day_and_by_night(page, tmp_path):
    day, night = probed(page, tmp_path / "day"), probed(page, tmp_path / "night", dark=True)
    assert day["background"] != night["background"]
    assert (day["faint"], night["faint"]) == ([], [])


def test_pictures_load_masks_lie_over_them_and_buttons_choose_a_class(page, tmp_path):
    measured = probed(page, tmp_path)
    assert (measured["broken"], measured["alts"], measured["headless"], measured["unlinked"]) == (0, 0, 0, 0)
    assert measured["layers"] < 1
    assert measured["figures"] == 5
    assert measured["byClass"] == [["All classes", 5, "true"], ["dog", 3, "true"], ["giraffe", 2, "true"]]
    assert measured["masks"] == ["visible", "hidden"]
