"""Running a program of the user's, such as a trainer, as a step of the build: told by variables, ended after its time.

It gets a copy of the environment with the variables of `told` and starts in its output folder. What it may not do is
write elsewhere in silence: files that it only reads are looked at before and after, and new names in the working
directory are named.
"""

import hashlib
import json
import logging
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import cocomine
from cocomine.base.commands import commands
from cocomine.base.errors import CocomineError
from cocomine.base.files import write_json
from cocomine.base.folder import replaced_folder
from cocomine.base.words import counted
from cocomine.evaluation.settings import ProgramSettings

log = logging.getLogger("cocomine")

LAST_LINES = 20
MOST_NAMED = 5
GRACE = 10  # seconds between asking a program to end and ending it
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
FACTS = "program.json"

# Run by the environment's own Python: what is installed there.
VERSIONS = """
import importlib.metadata as m, json, platform
found = {str(d.metadata["Name"]): d.version for d in m.distributions() if d.metadata["Name"]}
print(json.dumps({"python": platform.python_version(), "packages": dict(sorted(found.items()))}))
"""


@dataclass(frozen=True)
class Job:
    """A program and where it works: the export and the subset that it reads, the folder that it writes to.

    `reads` are the files and folders that must be the same afterwards; `printed` is where all that it prints goes.
    """

    settings: ProgramSettings
    export: Path
    subset: Path
    out_dir: Path
    checkpoints: Path
    printed: Path
    reads: tuple[Path, ...] = ()


State = dict[str, tuple[int, int, int]]


def run_program(job: Job) -> dict[str, Any]:
    """Run the command, put what it wrote into `out_dir` with program.json beside, and return what that holds.

    Raises CocomineError, with the last lines, when it fails or takes too long, when it wrote nothing, and when it
    changed what it was to read.
    """
    ours = {path.parts[0] for path in (job.out_dir, job.checkpoints, job.printed)}
    before, around = _state(job.reads), _names() | ours
    with replaced_folder(job.out_dir, FACTS) as made:
        output = made / "output"
        output.mkdir()
        _run(job, output)
        after = _state(job.reads)
        changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        if changed:
            raise CocomineError(
                f"the command changed {counted(len(changed), 'file')} that it was to read: {_listed(changed)}",
                f"let it write to COCOMINE_OUTPUT; make the files anew with: {commands().again('export_dataset')}",
            )
        if appeared := sorted(_names() - around):
            log.warning("appeared in the working directory while the command ran: %s", _listed(appeared))
        files = _hashes(output)
        if not files:
            raise CocomineError("the command wrote nothing", "let it write to the folder COCOMINE_OUTPUT")
        facts = {
            "command": job.settings.command,
            "seed": job.settings.seed,
            "threads": job.settings.threads,
            "reproducible": False,
            **_versions(_environment(job, output)),
            "files": files,
        }
        write_json(made / FACTS, facts)
    return facts


def told(job: Job, output: Path) -> dict[str, str]:
    """Return the variables that tell the program what to do; paths are absolute."""
    settings = job.settings
    return {
        "COCOMINE_EXPORT": str(job.export.absolute()),
        "COCOMINE_SUBSET": str(job.subset.absolute()),
        "COCOMINE_OUTPUT": str(output.absolute()),
        "COCOMINE_CHECKPOINTS": str(job.checkpoints.absolute()),
        "COCOMINE_WORK": str(Path.cwd()),
        "COCOMINE_HOME": str(Path(cocomine.__file__).absolute().parents[2]),
        "COCOMINE_SEED": str(settings.seed),
        "COCOMINE_THREADS": str(settings.threads),
        "PYTHONHASHSEED": str(settings.seed % 2**32),
        **dict.fromkeys(THREAD_VARIABLES, str(settings.threads)),
    }


def _environment(job: Job, output: Path) -> dict[str, str]:
    variables = {**os.environ, **told(job, output)}
    if job.settings.environment is not None:
        folder = Path(job.settings.environment).absolute()
        if not (folder / "bin").is_dir():
            raise CocomineError(
                f"{job.settings.environment}: no environment: it has no folder bin", "make it, or name another"
            )
        variables["PATH"] = f"{folder / 'bin'}{os.pathsep}{variables.get('PATH', '')}"
        variables["VIRTUAL_ENV"] = str(folder)
        variables.pop("PYTHONHOME", None)
    return variables


def _run(job: Job, output: Path) -> None:
    job.printed.parent.mkdir(parents=True, exist_ok=True)
    job.checkpoints.mkdir(parents=True, exist_ok=True)
    minutes = job.settings.time_limit
    with open(job.printed, "wb") as printed, _started(job, output, printed) as process:
        try:
            code = process.wait(timeout=60 * minutes)
        except subprocess.TimeoutExpired:
            code = None
    if code != 0:
        how = f"was ended after its {minutes} minutes" if code is None else f"failed with exit code {code}"
        raise CocomineError(
            f"the command {how}; it said last:\n{_last_lines(job.printed)}",
            "raise time_limit" if code is None else f"all that it said is in {job.printed}",
        )


@contextmanager
def _started(job: Job, output: Path, printed: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """Start the command in a group of its own, which ends with this step, also when the step is told to end."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", str(job.settings.command)],
        cwd=output,
        env=_environment(job, output),
        stdin=subprocess.DEVNULL,
        stdout=printed,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )

    def told_to_end(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    earlier = signal.signal(signal.SIGTERM, told_to_end)
    try:
        yield process
    finally:
        signal.signal(signal.SIGTERM, earlier)
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End what is left of the program's group: asked first, then killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(timeout=GRACE)
        except subprocess.TimeoutExpired:
            continue


def _last_lines(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"  | {line}" for line in lines[-LAST_LINES:]) or "  | (nothing)"


def _state(paths: Sequence[Path]) -> State:
    """Return size, time of change and inode of every file at or below `paths`, links not followed."""
    found: State = {}
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if not file.is_dir():
                state = file.lstat()
                found[file.as_posix()] = state.st_size, state.st_mtime_ns, state.st_ino
    return found


def _names() -> set[str]:
    return {entry.name for entry in os.scandir()}


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:MOST_NAMED])}{', …' * (len(names) > MOST_NAMED)}"


def _hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that the program wrote. Raises CocomineError for a link out of its folder."""
    result = {}
    for path in sorted(folder.rglob("*")):
        if not path.resolve().is_relative_to(folder.resolve()):
            raise CocomineError(f"the command wrote a link out of its folder: {path.name}", "write a copy instead")
        if path.is_file():
            with open(path, "rb") as file:
                result[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return result


def _versions(environment: dict[str, str]) -> dict[str, Any]:
    """Return the version of the first Python on the command's PATH and what is installed there; None where none is."""
    try:
        done = subprocess.run(["python", "-c", VERSIONS], env=environment, capture_output=True, check=True, timeout=60)
        facts: dict[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return {"python": None, "packages": None}
    return facts
