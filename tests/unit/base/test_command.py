"""What every command line promises: advice instead of tracebacks, and an exit code that says which."""

import argparse
from pathlib import Path

import pytest
from cocomine.base import command
from cocomine.base.errors import CocomineError


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
