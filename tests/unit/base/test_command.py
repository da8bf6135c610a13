"""What every command line promises: advice instead of tracebacks, and an exit code that says which."""

import argparse
import errno
import logging
import os
import pickle
import re
from pathlib import Path

import pytest
from cocomine.base import command
from cocomine.base.errors import CocomineError, about
from cocomine.base.files import atomic_path
from cocomine.masks.settings import MaskSettings


def run_with(error: Exception | None, *arguments: str) -> int:
    def main(_: argparse.Namespace) -> int | None:
        if error is not None:
            raise error
        return None

    return command.run(main, command.parser("A test.", settings=MaskSettings), arguments)


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


def job_log(logs: Path, rule: str, name: str, text: str) -> Path:
    path = logs / rule / f"{name}.log"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_the_failed_jobs_advice_is_gathered_from_the_logs_of_this_run_alone(tmp_path: Path) -> None:
    old, new = (job_log(tmp_path, "mine_subset", x, f"mining\nerror: {x}\nHint: do this\n") for x in ("old", "pets"))
    job_log(tmp_path, "split_dataset", "pets", "went well\n")
    os.utime(old, (1, 1))
    said = command.advice_of_failed_jobs(tmp_path, since=2)
    assert said == ["error in mine_subset: pets", "Hint: do this", f"Log: {new}"]


def test_the_same_failure_of_many_jobs_is_said_once_and_a_screen_holds_all(tmp_path: Path) -> None:
    for number in range(30):
        job_log(tmp_path, "mine_subset", f"s{number}", "error: no category 'dgo'\nin line 2\nHint: dog\n")
        job_log(tmp_path, "split_dataset", f"s{number}", f"error: {number}\nHint: this\n")
    said = command.advice_of_failed_jobs(tmp_path, since=0)
    assert said[:3] == ["error in mine_subset: no category 'dgo'", "in line 2", "Hint: dog"]
    assert said[3].endswith("s0.log and 29 more")
    assert len(said) < 20
    assert said[-1].startswith("… and 27 other failures")


def test_a_job_that_was_killed_without_a_word_is_said_to_be(tmp_path: Path) -> None:
    job_log(tmp_path, "mine_subset", "pets", "mining\n")
    assert "probably killed" in command.advice_of_failed_jobs(tmp_path, since=0)[0]


@pytest.mark.parametrize(("kind", "code"), [(CocomineError, 1), (RuntimeError, 3)])
def test_a_log_and_a_terminal_get_no_code_that_they_obey(
    kind: type[Exception], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "x.log"
    name = "a\x1b[2J\x07\u202egpj.exe"
    assert run_with(kind(f"{name}: no such file"), "--log", str(log)) == code
    for text in (log.read_text(encoding="utf-8"), capsys.readouterr().err):
        assert "a\\x1b[2J\\x07\\x202egpj.exe: no such file" in text
        assert not set(text) & set("\x1b\x07\u202e")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "the disk is full: .* free"),
        (errno.EDQUOT, "quota there is used up"),
        (errno.EROFS, "this disk is read-only"),
        (errno.EACCES, "may not do this"),
        (errno.EMFILE, "too many files are open"),
        (errno.EFBIG, "grows larger"),
        (errno.ENAMETOOLONG, "name is longer"),
    ],
)
def test_what_the_system_refuses_is_advice_that_names_the_file(tmp_path, capsys, number: int, said: str) -> None:
    assert run_with(OSError(number, os.strerror(number), str(tmp_path / "out.json"))) == 1
    printed = capsys.readouterr().err
    assert re.search(rf"error: {re.escape(str(tmp_path / 'out.json'))}: .*{said}", printed), printed
    assert "Hint: " in printed


def test_an_error_without_a_file_names_the_one_that_was_being_written(tmp_path, capsys) -> None:
    def main(_: argparse.Namespace) -> None:
        with atomic_path(tmp_path / "out.json"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert command.run(main, command.parser("A test."), []) == 1
    assert f"error: {tmp_path / 'out.json'}: the disk is full" in capsys.readouterr().err


def test_an_error_of_the_system_that_no_user_can_mend_stays_a_fault(capsys) -> None:
    assert run_with(OSError(errno.EBADF, "Bad file descriptor")) == 3


def test_the_step_says_what_is_wrong_where_even_its_log_cannot_be_written(tmp_path: Path, capsys) -> None:
    (tmp_path / "logs").write_text("a file where a folder should be")
    assert run_with(CocomineError("the disk is full"), "--log", str(tmp_path / "logs" / "x.log")) == 1
    assert "error: the disk is full" in capsys.readouterr().err


def test_an_error_about_a_section_names_the_users_own_key() -> None:
    with pytest.raises(CocomineError) as caught, about("subset", "subsets.pets"):
        raise CocomineError("subset: categories: no category 'dgo'", "did you mean dog?")
    assert caught.value.message == "subsets.pets.categories: no category 'dgo'"
    with pytest.raises(CocomineError, match=r"^subsets\.pets: no image is left"), about("subset", "subsets.pets"):
        raise CocomineError("subset: no image is left")


def test_settings_come_as_json_or_as_a_yaml_file(tmp_path: Path) -> None:
    file = tmp_path / "masks.yaml"
    file.write_text("overlap: void\n", encoding="utf-8")
    parser = command.parser("A test.", settings=MaskSettings)
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


@pytest.mark.parametrize(
    ("last_word", "forgone"),
    [
        ("error: no such class\nHint: name another", ["export_dataset", "split_dataset"]),
        ("fault in cocomine: MemoryError: ", []),
        ("export coco: 8 images", []),
    ],
)
def test_a_mistake_is_not_retried_nor_is_its_group_but_what_was_killed_is(
    tmp_path: Path, last_word: str, forgone: list[str]
) -> None:
    log = tmp_path / "export.log"
    log.write_text(last_word, encoding="utf-8")
    told: list[str] = []
    jobs = [
        {"rule_name": "export_dataset", "log": [str(log)]},
        {"rule_name": "split_dataset", "log": [str(tmp_path / "absent.log")]},
    ]
    record = logging.makeLogRecord({"event": "group_error", "job_error_info": jobs})
    command.RetriesOfMistakes(told.append, since=0).emit(record)
    assert told == forgone
    told.clear()
    command.RetriesOfMistakes(told.append, since=log.stat().st_mtime + 1).emit(record)
    assert told == []


def test_an_error_of_a_worker_process_keeps_its_hint():
    error = pickle.loads(pickle.dumps(CocomineError("a.json: no such file", "sync first")))
    assert (error.message, error.hint) == ("a.json: no such file", "sync first")
