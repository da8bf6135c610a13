"""What Slurm says of the jobs that it ended, as advice; and the jobs that a dead run of a build left in its queue.

Snakemake's executor knows that a job failed, and often not why. Slurm's controller keeps a job's state for some minutes
after its end (MinJobAge), its accounting, where there is one, for ever; and memory that is watched by sampling and not
by cgroups leaves its word in the job's log only.
"""

import re
import shutil
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cocomine.base.commands import commands
from cocomine.base.errors import CocomineError

LOGS = Path(".snakemake", "slurm_logs")
"""Where the executor keeps the log of every job of a build that did not end well, below the folder of the build."""

SECONDS_TO_ANSWER = 20
"""sacct without its database waits for ever."""

SECONDS_TO_END = 60

MOST_JOBS = 20
"""Jobs that Slurm is asked about; a screen holds fewer."""

SHARE_OF_WAITING = 0.1
"""Of the time that a job has taken, how much may pass until its end is seen."""

LONGEST_PAUSE = 180.0
"""Seconds: the controller forgets a job `MinJobAge` after its end, by default 300."""

_SUBMITTED = re.compile(r"^Job (\S+) has been submitted with SLURM jobid (\w+) \(log: (.+)\)\.$", re.MULTILINE)
_REFUSED = re.compile(r"SLURM sbatch failed\. The error message was '([^']*)'")
_OUT_OF_MEMORY = re.compile(r"exceeded (?:job )?memory limit|oom[-_ ]?kill|out of memory", re.IGNORECASE)
_FIELD = re.compile(r"(\w+)=(\S*)")


@dataclass(frozen=True)
class Ended:
    """A job that Slurm ended: its id, its log, and what Slurm says of it (a field that is not known is empty)."""

    identity: str
    log: Path
    state: str = ""
    reason: str = ""
    memory: str = ""
    time: str = ""
    nodes: str = ""

    @property
    def rules(self) -> str:
        """The rule that it ran, or the group of rules."""
        name = self.log.relative_to(LOGS).parts[0] if self.log.is_relative_to(LOGS) else self.log.parent.name
        return re.sub(r"^(rule|group)_", "", name)

    @property
    def advice(self) -> str:
        """What happened and what to do; nothing where the job failed by itself, which its own log explains."""
        more = f"run again with more attempts, of which each asks for more: {commands().again()} --retries 5"
        again = f"run the same command again: {commands().again()}"
        match self.state.split(" ")[0].rstrip("+"):
            case "OUT_OF_MEMORY":
                what, remedy = f"it needed more memory than the {self.memory or 'amount'} that it asked for", more
            case "TIMEOUT" | "DEADLINE":
                what, remedy = f"it ran past the time that it asked for{f', {self.time}' if self.time else ''}", more
            case "CANCELLED":
                what, remedy = "it was cancelled (scancel), or its partition was closed", again
            case "NODE_FAIL" | "BOOT_FAIL":
                what = f"its node {self.nodes or ''} failed".replace("  ", " ")
                remedy = f"{again}; if that node fails again, name it to those who run the cluster"
            case "PREEMPTED":
                what, remedy = "a job of higher priority took its place", again
            case _:
                return ""
        return f"error in {self.rules}: Slurm ended job {self.identity}: {what}\nHint: {remedy}\nLog: {self.log}"


def advice_of_ended_jobs(printed: str, root: Path) -> list[str]:
    """Return what became of the jobs that a run, of which `printed` is Snakemake's log, lost in the folder `root`.

    A job that was tried again and went well is none of them. Jobs that failed by an error of their own say so in their
    own logs and are left out.
    """
    last = {job: (identity, Path(log)) for job, identity, log in _SUBMITTED.findall(printed)}
    lost = [(identity, log) for identity, log in last.values() if log.exists()]  # the log of one that went well is gone
    ended = [_looked_up(identity, log, root) for identity, log in lost[-MOST_JOBS:]]
    refused = [_refusal(message.strip()) for message in dict.fromkeys(_REFUSED.findall(printed))]
    return [*refused, *(one.advice for one in ended if one.advice)]


def require_slurm() -> None:
    """Raise CocomineError where there is no Slurm: the executor would wait for ever."""
    if shutil.which("sbatch") is None:
        raise CocomineError(
            "Slurm is not to be found here: there is no sbatch",
            "start on a login node of the cluster, or build on this machine, without --profile profiles/slurm",
        )


class _Pause:
    """The seconds until an executor looks at its jobs again, as a descriptor that the executor reads and sets.

    The plugin asks for 10 seconds more after each look in vain, so that a job of a minute is seen half a minute after
    its end. Here it waits a share of the time that it has waited in vain, and the first pause again once a job ended.
    """

    def __get__(self, executor: Any, _owner: type | None = None) -> float:
        return float(vars(executor).get("pause", self._first(executor)))

    def __set__(self, executor: Any, asked: float) -> None:
        first = self._first(executor)
        waited = vars(executor).get("waited", 0.0) + self.__get__(executor) if asked > first else 0.0
        vars(executor).update(waited=waited, pause=min(max(first, SHARE_OF_WAITING * waited), LONGEST_PAUSE))

    @staticmethod
    def _first(executor: Any) -> float:
        return float(executor.workflow.executor_settings.init_seconds_before_status_checks)


def look_in_proportion(executor: type) -> None:
    """Let a class of executors look at its jobs again after a tenth of the time that it waited for them already."""
    executor.next_seconds_between_status_checks = _Pause()  # type: ignore[attr-defined]


def _refusal(message: str) -> str:
    return (
        f"error: Slurm did not take a job: {message}\n"
        "Hint: set the account and the partition in a copy of profiles/slurm (default-resources); for a job that asks "
        "for more than the partition has, --set-resources RULE:mem_mb=… or RULE:runtime=… (minutes)"
    )


def _looked_up(identity: str, log: Path, root: Path) -> Ended:
    inside = log.is_relative_to(root.resolve())
    job = Ended(identity, log.relative_to(root.resolve()) if inside else log, **_known(identity))
    if job.state in ("", "FAILED") and _OUT_OF_MEMORY.search(log.read_text(encoding="utf-8", errors="replace")):
        return Ended(identity, job.log, "OUT_OF_MEMORY", job.reason, job.memory, job.time, job.nodes)
    return job


def _known(identity: str) -> dict[str, str]:
    """Return the fields of `Ended` that Slurm's controller knows of a job, or else its accounting."""
    said = dict(_FIELD.findall(_ask("scontrol", "--oneliner", "show", "job", identity)))
    if "JobState" in said:
        memory = re.search(r"mem=(\w+)", said.get("TRES", ""))
        return {
            "state": said["JobState"], "reason": said.get("Reason", ""), "time": said.get("TimeLimit", ""),
            "memory": memory[1] if memory else "", "nodes": said.get("NodeList", ""),
        }  # fmt: skip
    fields = ("state", "memory", "time", "nodes")
    row = _ask("sacct", "-X", "-n", "-P", "-j", identity, "-o", "State,ReqMem,Timelimit,NodeList").strip().split("|")
    return dict(zip(fields, row, strict=True)) if len(row) == len(fields) else {}


def cancel_left_behind(root: Path) -> list[str]:
    """Cancel the jobs in Slurm's queue that an earlier run of the build in `root` left there; return their ids.

    Snakemake cancels its jobs when it is interrupted. One that is killed outright cannot, and the next run would do the
    same work beside them, into the same files. Waits until they are gone. To be called by the one run that holds the
    folder's lock, before it submits a job.
    """
    if not (root / LOGS).is_dir() or shutil.which("squeue") is None:
        return []
    left = _in_queue(root)
    if left:
        _ask("scancel", *left)
        deadline = time.monotonic() + SECONDS_TO_END
        while time.monotonic() < deadline and set(left) & set(_in_queue(root)):
            time.sleep(1)
    return left


def _in_queue(root: Path) -> list[str]:
    """Return the ids of this user's jobs that wait or run and whose log lies in the build at `root`."""
    logs = f"{root.resolve() / LOGS}/"
    mine = _ask("squeue", "--me", "--noheader", "--format=%i").split()
    return [
        identity for identity in mine if f"StdOut={logs}" in _ask("scontrol", "--oneliner", "show", "job", identity)
    ]


def _ask(*command: str) -> str:
    """Return what a program of Slurm prints; nothing where it is absent, fails or does not answer."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_ANSWER, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def read(logs: Iterable[str]) -> str:
    """Return the text of Snakemake's logs of a run."""
    return "".join(Path(log).read_text(encoding="utf-8", errors="replace") for log in logs if Path(log).is_file())
