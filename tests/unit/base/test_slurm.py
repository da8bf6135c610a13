"""What Slurm says of the jobs that it ended, in words with a remedy; asked of stand-ins for Slurm's programs."""

import inspect
import itertools
import math
import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
from cocomine.base import slurm
from snakemake_executor_plugin_slurm import Executor

KNOWN = "JobId={0} JobState={1} Reason={2} TimeLimit=00:30:00 NodeList=node7 TRES=cpu=2,mem=1500M,node=1 StdOut={3}"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that PATH begins with, for stand-ins."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    stand_in(folder / "scontrol", "exit 1")
    stand_in(folder / "sacct", "exit 1")
    return folder


def stand_in(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def log_of(root: Path, identity: int, text: str = "") -> Path:
    log = root / slurm.LOGS / "rule_mine_subset" / "pets" / f"{identity}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(text, encoding="utf-8")
    return log


def submitted(job: int, identity: int, log: Path) -> str:
    return f"Job {job} has been submitted with SLURM jobid {identity} (log: {log}).\n"


@pytest.mark.parametrize(
    ("state", "said", "remedy"),
    [
        ("OUT_OF_MEMORY", "it needed more memory than the 1500M that it asked for", "--retries 5"),
        ("TIMEOUT", "it ran past the time that it asked for, 00:30:00", "--retries 5"),
        ("CANCELLED", "it was cancelled", "run the same command again: "),
        ("NODE_FAIL", "its node node7 failed", "if that node fails again"),
        ("PREEMPTED", "a job of higher priority took its place", "run the same command again: "),
    ],
)
def test_a_job_that_slurm_ended_is_said_with_its_reason_a_remedy_and_its_log(
    programs: Path, tmp_path: Path, state: str, said: str, remedy: str
) -> None:
    log = log_of(tmp_path, 12)
    stand_in(programs / "scontrol", f"echo '{KNOWN.format(12, state, 'None', log)}'")
    (text,) = slurm.advice_of_ended_jobs(submitted(3, 12, log), tmp_path)
    what, hint, where = text.splitlines()
    assert what.startswith(f"error in mine_subset: Slurm ended job 12: {said}")
    assert hint.startswith("Hint: ")
    assert remedy in hint
    assert where == "Log: .snakemake/slurm_logs/rule_mine_subset/pets/12.log"


def test_a_job_that_the_controller_has_forgotten_is_asked_of_the_accounting(programs: Path, tmp_path: Path) -> None:
    stand_in(programs / "sacct", "echo 'CANCELLED by 0|2G|01:00:00|node1'")
    (text,) = slurm.advice_of_ended_jobs(submitted(3, 12, log_of(tmp_path, 12)), tmp_path)
    assert "it was cancelled" in text


@pytest.mark.usefixtures("programs")
def test_memory_that_is_watched_without_cgroups_is_known_by_the_jobs_log(tmp_path: Path) -> None:
    log = log_of(tmp_path, 12, "slurmstepd: error: StepId=12.0 exceeded memory limit (3137 > 1048), being killed\n")
    (text,) = slurm.advice_of_ended_jobs(submitted(3, 12, log), tmp_path)
    assert "it needed more memory" in text


def test_what_went_well_in_the_end_or_failed_by_itself_is_not_said(programs: Path, tmp_path: Path) -> None:
    first, last, own = log_of(tmp_path, 12), tmp_path / "removed.log", log_of(tmp_path, 14, "error: no such class\n")
    stand_in(programs / "scontrol", f"echo '{KNOWN.format(14, 'FAILED', 'NonZeroExitCode', own)}'")
    printed = submitted(3, 12, first) + submitted(3, 13, last) + submitted(4, 14, own)
    assert slurm.advice_of_ended_jobs(printed, tmp_path) == []


def test_a_job_that_slurm_did_not_take_is_said_once_with_slurms_own_word() -> None:
    refused = "message: SLURM sbatch failed. The error message was 'invalid partition specified: x'.\n"
    (text,) = slurm.advice_of_ended_jobs(refused * 3, Path())
    assert text.startswith("error: Slurm did not take a job: invalid partition specified: x\nHint: set the account and")


def test_only_jobs_of_this_very_folder_are_cancelled_and_waited_for(programs: Path, tmp_path: Path) -> None:
    ours, theirs = log_of(tmp_path / "work", 12), log_of(tmp_path / "work2", 13)
    cancelled = tmp_path / "cancelled"
    stand_in(programs / "squeue", f"echo 13; test -e {cancelled} || echo 12")
    lines = {one: KNOWN.format(one, "RUNNING", "None", log) for one, log in ((12, ours), (13, theirs))}
    stand_in(programs / "scontrol", f"test $4 = 12 && echo '{lines[12]}' || echo '{lines[13]}'")
    stand_in(programs / "scancel", f"echo $* >{cancelled}")
    assert slurm.cancel_left_behind(tmp_path / "work") == ["12"]
    assert cancelled.read_text(encoding="utf-8") == "12\n"
    assert slurm.cancel_left_behind(tmp_path / "work3") == []


def looks_until(end: float, first: int, times: int = 1) -> list[list[float]]:
    """Return when an executor looks at each of `times` jobs that end after `end` seconds; the last look sees the end.

    It asks as the plugin does: for the first pause once a job ended, for 10 seconds more after each look in vain.
    """
    plugin = type("Executor", (), {"workflow": SimpleNamespace(executor_settings=SimpleNamespace(
        init_seconds_before_status_checks=first))})  # fmt: skip
    slurm.look_in_proportion(plugin)
    executor, all_looks = plugin(), []
    for _ in range(times):
        executor.next_seconds_between_status_checks = first
        looks = [executor.next_seconds_between_status_checks]
        while looks[-1] < end:
            looks.append(looks[-1] + executor.next_seconds_between_status_checks)
            executor.next_seconds_between_status_checks += 10
        all_looks.append(looks)
    return all_looks


@pytest.mark.parametrize("first", [1, 5, 40])
@pytest.mark.parametrize("end", [3.0, 17.0, 61.0, 600.0, 7000.0])
def test_the_end_of_a_job_is_seen_a_tenth_of_its_time_late_at_most_and_the_queue_is_asked_seldom(
    first: int, end: float
) -> None:
    one, again = looks_until(end, first, times=2)
    assert one == again
    assert one[-1] - end <= max(first, slurm.SHARE_OF_WAITING * end)
    # So many of equal pauses, then each longer by a tenth, then each of the longest.
    assert len(one) <= 13 + math.log(max(1, end / (10 * first)), 1.1) + end / slurm.LONGEST_PAUSE


def test_the_pause_never_outlasts_what_the_controller_remembers() -> None:
    (looks,) = looks_until(100_000.0, 5)
    assert max(later - earlier for earlier, later in itertools.pairwise(looks)) == pytest.approx(slurm.LONGEST_PAUSE)


def test_the_plugin_reads_its_pause_where_it_is_put() -> None:
    assert isinstance(inspect.getattr_static(Executor, "next_seconds_between_status_checks"), property)
