"""Origins made of several places, and what is said of files that could not be had."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest
from cocomine.base.errors import CocomineError
from cocomine.base.files import read_table
from cocomine.transfer.behaviour import Behaviour
from cocomine.transfer.lacking import report_lacking
from cocomine.transfer.origins import SplitOrigin
from cocomine.transfer.places import all_or_reason
from cocomine.transfer.receiving import Target
from cocomine.transfer.records import Facts, Outcome, Want
from cocomine.transfer.settings import OriginSettings


class Breaking:
    """A place that serves ten files and is then gone."""

    label = "gs://b/val2017"

    def facts(self, names: Sequence[str]) -> dict[str, Facts]:
        return {}

    def fetch(self, wants: Iterable[Want], target: Target) -> Iterator[Outcome]:
        for number, want in enumerate(wants):
            if number == 10:
                raise CocomineError("the token was refused")
            yield Outcome(want.name, "ok", bytes=1)


WANTS = [Want(f"val2017/{number}.jpg", f"{number}.jpg") for number in range(15)]


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(tmp_path, tmp_path, lambda count: None, Behaviour())


@pytest.mark.parametrize("kind", ["split", "zip"])
def test_files_that_came_before_an_origin_broke_are_not_called_failed(target: Target, kind: str) -> None:
    split = SplitOrigin(OriginSettings("gs://b/{split}"), lambda settings: Breaking())
    outcomes = list(split.fetch(WANTS, target) if kind == "split" else all_or_reason(Breaking(), WANTS, target))
    assert [o.name for o in outcomes] == [want.name for want in WANTS], "each name once"
    assert [o.status for o in outcomes] == ["ok"] * 10 + ["failed"] * 5
    assert {o.origin for o in outcomes[:10]} == {"gs://b/val2017"}


def test_every_lacking_name_goes_somewhere_and_the_message_says_where(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"val2017/{number:04d}.jpg" for number in range(250)]
    lacking = [Outcome(name, "failed", "HTTP 503") for name in names] + [Outcome("a\x1b[2J\nb", "refused", "unsafe")]
    failures = tmp_path / "images.lock.failures.tsv"
    with caplog.at_level(logging.WARNING, "cocomine"):
        assert report_lacking([*lacking, Outcome("fine", "ok")], failures) == f"in {failures}"
    assert [row["name"] for row in read_table(failures)] == [*names, r"'a\x1b[2J\nb'"]
    assert "and 150 more" in caplog.text
    assert "\x1b" not in caplog.text
    report_lacking([Outcome("fine", "ok")], failures)
    assert not failures.exists(), "a table of an earlier run would mislead"
    caplog.clear()
    with caplog.at_level(logging.WARNING, "cocomine"):
        assert report_lacking(lacking) == "above"
    assert all(name in caplog.text for name in names)
