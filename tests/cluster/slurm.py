"""A real Slurm on this host alone, for tests: munged, slurmctld and slurmd, in a folder of their own, on loopback.

Needs Debian's packages slurm-wlm and munge, and root (slurmd runs jobs as whoever submits them).
"""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo")

SECONDS_TO_START = 30

CORES, MEMORY_MB = 16, 200_000
"""What the one node claims to have, so that several builds share it; the tests' jobs use less than this host has."""


def missing() -> str:
    """Return why Slurm cannot be started here, or nothing when it can."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (Debian: apt-get install slurm-wlm munge)"
    if os.geteuid() != 0:
        return "slurmd needs root to run jobs as their submitters"
    return ""


def free_ports(count: int) -> list[int]:
    """Return loopback ports that are free now."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def configuration(folder: Path, socket_path: Path) -> str:
    """Return a slurm.conf for one node that is this host."""
    host = socket.gethostname()
    control, daemon = free_ports(2)
    return f"""
ClusterName=cocomine
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmdPort={daemon}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={socket_path}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
KillWait=2
MinJobAge=86400
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
MpiDefault=none
SchedulerParameters=sched_interval=1,batch_sched_delay=1
StateSaveLocation={folder}/state
SlurmdParameters=config_overrides
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs={CORES} RealMemory={MEMORY_MB} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def _wait(what: str, ready: "subprocess.Popen[bytes] | None", check: list[str], environment: dict[str, str]) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    answer = ""
    while time.monotonic() < deadline:
        if ready is not None and ready.poll() is not None:
            break
        done = subprocess.run(check, env=environment, capture_output=True, text=True, timeout=10)
        answer = done.stdout + done.stderr
        if done.returncode == 0 and ("idle" in answer or "sinfo" not in check[0]):
            return
        time.sleep(0.3)
    raise RuntimeError(f"{what} did not start: {answer}")


@contextmanager
def _process(command: list[str], environment: dict[str, str], log: Path) -> "Iterator[subprocess.Popen[bytes]]":
    with open(log, "wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _programs(folder: Path, configuration_file: Path) -> Path:
    """Return a folder with an `srun` that finds this Slurm: Snakemake takes SLURM_CONF out of a job's environment."""
    programs = folder / "bin"
    programs.mkdir()
    srun = programs / "srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={configuration_file} exec {shutil.which("srun")} "$@"\n', encoding="utf-8")
    srun.chmod(0o755)
    return programs


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Start Slurm below `folder`, yield the environment in which sbatch finds it, and stop it by its own processes."""
    folder.mkdir(parents=True, exist_ok=True)
    munge_folder = folder / "munge"
    munge_folder.mkdir(mode=0o755)
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    key = munge_folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    owner = pwd.getpwnam("munge")
    for path in (munge_folder, key):
        os.chown(path, owner.pw_uid, owner.pw_gid)
    socket_path = munge_folder / "munge.socket"
    file = folder / "slurm.conf"
    file.write_text(configuration(folder, socket_path), encoding="utf-8")
    environment = {**os.environ, "SLURM_CONF": str(file)}
    # --force: the folder above the socket may be writable by others (a temporary folder is).
    munged = [
        "munged", "--foreground", "--force", f"--socket={socket_path}", f"--key-file={key}",
        f"--log-file={munge_folder}/munged.log", f"--pid-file={munge_folder}/munged.pid",
        f"--seed-file={munge_folder}/seed",
    ]  # fmt: skip
    with ExitStack() as stack:
        as_munge = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups", *munged]
        daemon = stack.enter_context(_process(as_munge, environment, folder / "munged.out"))
        _wait("munged", daemon, ["munge", "-n", f"--socket={socket_path}"], environment)
        stack.enter_context(_process(["slurmctld", "-D"], environment, folder / "slurmctld.out"))
        node = stack.enter_context(_process(["slurmd", "-D"], environment, folder / "slurmd.out"))
        _wait("slurmd", node, ["sinfo", "--noheader", "--format=%T"], environment)
        yield {**environment, "PATH": f"{_programs(folder, file)}{os.pathsep}{environment['PATH']}"}
