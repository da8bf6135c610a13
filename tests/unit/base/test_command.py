"""What every command line promises: advice instead of tracebacks, and an exit code that says which."""

import argparse
import os
from pathlib import Path

import pytest
from cocomine.base import command
from cocomine.base.errors import CocomineError, about


def run_with(error: Exception | None, *arguments: str) -> int:
    def main(_: argparse.Namespace) -> int | None:
        if error is not None:
            raise error
        return None

    return command.run(main, command.parser("A test.", settings="masks"), arguments)


def test_an_error_of_the_user_prints_message_and_hint_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_with(CocomineError("masks.overlap: 'top' is unknown", "choose one of order, void")) == 1
    printed = capsys.readouterr().err
    assert "error: masks.overlap: 'top' is unknown" in printed
    assert "Hint: choose one of order, void" in printed
    assert "Traceback" not in printed


def test_a_fault_keeps_its_traceback_in_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "deep" / "x.log"
    assert run_with(ZeroDivisionError("oops"), "--log", str(log)) == 3
    assert "ZeroDivisionError: oops" in log.read_text(encoding="utf-8")
    assert "Traceback" in log.read_text(encoding="utf-8")
    assert str(log) in capsys.readouterr().err


def test_the_failed_jobs_advice_is_gathered_from_the_logs_of_this_run_alone(tmp_path: Path) -> None:
    old, new = tmp_path / "mine_subset" / "old.log", tmp_path / "mine_subset" / "pets.log"
    new.parent.mkdir()
    for path in (old, new):
        path.write_text(f"mining\nerror: {path.stem}\nHint: do this\n", encoding="utf-8")
    os.utime(old, (1, 1))
    assert command.advice_of_failed_jobs(tmp_path, since=2) == ["error in mine_subset: pets", "Hint: do this"]


def test_an_error_about_a_section_names_the_users_own_key() -> None:
    with pytest.raises(CocomineError) as caught, about("subset", "subsets.pets"):
        raise CocomineError("subset: categories: no category 'dgo'", "did you mean dog?")
    assert caught.value.message == "subsets.pets.categories: no category 'dgo'"
    with pytest.raises(CocomineError, match=r"^subsets\.pets: no image is left"), about("subset", "subsets.pets"):
        raise CocomineError("subset: no image is left")


def test_settings_come_as_json_or_as_a_yaml_file(tmp_path: Path) -> None:
    file = tmp_path / "masks.yaml"
    file.write_text("overlap: void\n", encoding="utf-8")
    parser = command.parser("A test.", settings="masks")
    assert parser.parse_args(["--settings", '{"overlap": "void"}']).settings == {"overlap": "void"}
    assert parser.parse_args(["--settings", str(file)]).settings == {"overlap": "void"}


def test_settings_that_are_no_mapping_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run_with(None, "--settings", "no/such/file.yaml")
    assert stopped.value.code == 2
    assert "--settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    "url",
    [
        "https://user:pw-word@h/x",
        "gs://pw-word@b/x",
        "https://user:p@pw-word@h/x",
        "https://h/x?a=1&sig=pw-word",
        "https://h/x?X-Amz-Signature=pw-word#f",
        'say "https://h/x?token=pw-word", please',
    ],
)
def test_no_secret_of_a_url_is_printed_or_logged(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "x.log"
    assert run_with(CocomineError(f"{url}: refused", f"try {url}"), "--log", str(log)) == 1
    assert run_with(ValueError(url), "--log", str(tmp_path / "fault.log")) == 3
    printed = capsys.readouterr().err + log.read_text("utf-8") + (tmp_path / "fault.log").read_text("utf-8")
    assert "pw-word" not in printed
    assert "refused" in printed
