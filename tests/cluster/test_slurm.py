"""Builds on a real Slurm: proved by the lock of one machine, and right however the cluster misbehaves.

./run pytest tests/cluster -s
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from cocomine.configuration.needs import NEEDS
from helpers.shared import ROOT
from helpers.tiny_coco import write_config, write_tiny_coco
from helpers.workflow import snakemake

from cluster import slurm

SMALL = {
    "sources": {"demo": {"synthetic": {"images": 24, "near_duplicates": 1, "broken": 1, "width": 128, "height": 96}}},
    "subsets": {"small": {"categories": ["person", "giraffe", "bus"]}},
    "exports": ["coco", "masks"],
    "tensors": {"size": 64},
    "experiments": {
        "tiny": {
            "subset": "small",
            "model": {"family": "linknet", "encoder": "resnet18"},
            "train": {"iterations": 2, "batch": 4, "device": "cpu", "precision": "fp32", "threads": 2},
        }
    },
}

# Rules of SMALL by the job of Slurm that runs them; the syncs and `all` run where snakemake does.
JOBS_OF_SMALL = 8

SECONDS_TO_SEE = 500
"""A busy machine takes minutes to start five builds at once."""


@dataclass(frozen=True)
class Cluster:
    """A running Slurm: the environment in which it is found, and a folder that every process may enter."""

    environment: dict[str, str]
    folder: Path

    def ask(self, *command: str) -> str:
        """Return what a program of Slurm prints."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout

    def job(self, identity: str) -> dict[str, str]:
        """Return what Slurm knows of a job."""
        return dict(re.findall(r"(\w+)=(\S*)", self.ask("scontrol", "--oneliner", "show", "job", identity)))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Slurm, in a folder that munged, which is another user, may enter; pytest's own are closed to others."""
    if reason := slurm.missing():
        pytest.skip(f"not run: {reason}")
    with tempfile.TemporaryDirectory(prefix="cocomine-slurm-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with slurm.slurm(folder / "slurm") as environment:
            yield Cluster(environment, folder)


def command_in(work: Path, config: Path, *more: str) -> list[str]:
    """Return the command of a user of this cluster who builds in `work`, looking at its queue every second."""
    return [
        sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(work),
        "--profile", str(ROOT / "profiles" / "slurm"), "--max-threads", str(os.cpu_count()),
        "--slurm-no-account", "--latency-wait", "10", "--slurm-init-seconds-before-status-checks", "1",
        "--configfile", str(config), *more,
    ]  # fmt: skip


def submitted(printed: str) -> list[str]:
    """Return the ids of the jobs that Slurm was given, in their order."""
    return re.findall(r"has been submitted with SLURM jobid (\d+)", printed)


def seconds_of_rules(work: Path) -> float:
    """Return how long the rules themselves ran, by Snakemake's benchmarks."""
    tables = [file.read_text(encoding="utf-8").splitlines() for file in (work / "benchmarks").rglob("*.tsv")]
    return sum(float(dict(zip(table[0].split("\t"), table[1].split("\t"), strict=True))["s"]) for table in tables)


@pytest.mark.timeout(1800)
def test_a_build_through_slurm_is_a_handful_of_jobs_and_ends_in_the_lock_of_one_machine(cluster: Cluster) -> None:
    config = cluster.folder / "small.yaml"
    config.write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    here, there = cluster.folder / "here", cluster.folder / "there"
    for folder in (here, there):
        folder.mkdir()
    started = time.monotonic()
    done = subprocess.run(command_in(there, config), env=cluster.environment, capture_output=True, text=True)
    seconds = time.monotonic() - started
    assert done.returncode == 0, done.stderr[-5000:]
    jobs = submitted(done.stderr)
    assert len(jobs) == JOBS_OF_SMALL, done.stderr[-5000:]
    logs = {identity: cluster.job(identity)["StdOut"] for identity in jobs}
    (prepare,) = (identity for identity, log in logs.items() if "/group_prepare_small_" in log)
    least = NEEDS["rasterize_masks"].mb + NEEDS["split_dataset"].mb  # which may run side by side
    assert int(cluster.job(prepare)["MinMemoryNode"].removesuffix("M")) > least
    local = snakemake(here, "--configfile", str(config))
    assert local.returncode == 0, local.stderr[-3000:]
    lock = Path("results", "build.lock.json")
    assert (there / lock).read_bytes() == (here / lock).read_bytes()
    proof = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "verify_build.py"), "--root", str(there)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert proof.returncode == 0, proof.stdout
    overhead = seconds - seconds_of_rules(there)
    print(f"\n{len(jobs)} jobs in {seconds:.0f} s, of which waiting and starting {overhead / len(jobs):.1f} s a job")


def shim(folder: Path, misbehaviour: str) -> Path:
    """Return a folder with a `python` whose first `mine_subset` misbehaves; it notes when each starts and ends."""
    programs = folder / "bin"
    programs.mkdir()
    python = programs / "python"
    python.write_text(
        f'#!/bin/sh\ncase "$1" in */mine_subset.py) echo start >>{folder}/said; mkdir {folder}/first 2>/dev/null '
        f'&& {{ {misbehaviour}; }};; esac\n{sys.executable} "$@"\ncode=$?\n'
        f'case "$1" in */mine_subset.py) echo end >>{folder}/said;; esac\nexit $code\n',
        encoding="utf-8",
    )
    python.chmod(0o755)
    return programs


@dataclass(frozen=True)
class Trial:
    """A build whose only step left, `mine_subset`, misbehaves the first time that it runs."""

    cluster: Cluster
    folder: Path
    config: Path
    environment: dict[str, str]

    @property
    def work(self) -> Path:
        """The folder of the build."""
        return self.folder / "work"

    def start(self, *more: str) -> "subprocess.Popen[str]":
        """Start the build."""
        return subprocess.Popen(
            command_in(self.work, self.config, "--until", "mine_subset", *more),
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def run(self, *more: str) -> tuple[int, str]:
        """Run the build and return its exit code and what it printed."""
        process = self.start(*more)
        printed = process.communicate()[0]
        return process.returncode, printed

    def wait_for_the_first(self) -> None:
        """Return once `mine_subset` runs."""
        deadline = time.monotonic() + SECONDS_TO_SEE
        while not (self.folder / "first").exists():
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def jobs(self) -> list[str]:
        """Return the ids of its jobs that wait or run."""
        mine = self.cluster.ask("squeue", "--noheader", "--format=%i").split()
        return [one for one in mine if f"{self.work}/" in self.cluster.job(one)["StdOut"]]


@pytest.fixture(scope="module")
def indexed(cluster: Cluster) -> Path:
    """The folder of a build that has come as far as its index."""
    folder = cluster.folder / "indexed"
    (folder / "work").mkdir(parents=True)
    config = write_config(folder / "config.json", write_tiny_coco(folder / "coco"))
    done = snakemake(folder / "work", "--configfile", str(config), "--until", "index_annotations")
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def trial(cluster: Cluster, indexed: Path, name: str, misbehaviour: str, **config: object) -> Trial:
    """Return a build of its own that goes on from the index."""
    folder = cluster.folder / name
    shutil.copytree(indexed / "work", folder / "work")
    file = folder / "config.json"
    write_config(file, indexed / "coco", **config)
    path = f"{shim(folder, misbehaviour)}{os.pathsep}{cluster.environment['PATH']}"
    return Trial(cluster, folder, file, {**cluster.environment, "PATH": path})


def out_of_memory(cluster: Cluster, indexed: Path) -> None:
    """A job that is killed for memory is tried again with more, and goes well."""
    greedy = f"{sys.executable} -c 'import time; held = bytes(range(256)) * 8_000_000; time.sleep(8)'"
    one = trial(cluster, indexed, "memory", greedy)
    code, printed = one.run()
    assert code == 0, printed[-3000:]
    asked = [cluster.job(identity)["MinMemoryNode"] for identity in submitted(printed)]
    assert len(asked) == 2
    assert int(asked[1].removesuffix("M")) == 2 * int(asked[0].removesuffix("M"))


def past_its_time(cluster: Cluster, indexed: Path) -> None:
    """A job that is killed for time is tried again with more; where it is not tried again, that is said last."""
    one = trial(cluster, indexed, "time", "sleep 600")
    code, printed = one.run("--retries", "0", "--set-resources", "mine_subset:runtime=1")
    assert code != 0
    said = printed.rstrip().splitlines()[-3:]
    (identity,) = submitted(printed)
    assert said[0].startswith(f"error in mine_subset: Slurm ended job {identity}: it ran past the time"), printed[
        -3000:
    ]
    assert "--retries 5" in said[1]
    assert said[2].startswith("Log: ")


def cancelled(cluster: Cluster, indexed: Path) -> None:
    """A job that somebody cancels is tried again; where it is not tried again, that is said last."""
    one = trial(cluster, indexed, "cancelled", "sleep 600")
    process = one.start("--retries", "0")
    one.wait_for_the_first()
    cluster.ask("scancel", *one.jobs())
    printed = process.communicate()[0]
    assert process.returncode != 0
    said = printed.rstrip().splitlines()[-3:]
    assert "it was cancelled" in said[0], printed[-3000:]
    code, printed = one.run()
    assert code == 0, printed[-3000:]


def killed(cluster: Cluster, indexed: Path) -> None:
    """What a killed run left in the queue is replaced by the next run, and never runs beside it."""
    one = trial(cluster, indexed, "killed", "sleep 600")
    process = one.start()
    one.wait_for_the_first()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (left,) = one.jobs()
    unlocked = subprocess.run([*command_in(one.work, one.config), "--unlock"], env=one.environment, capture_output=True)
    assert unlocked.returncode == 0
    code, printed = one.run()
    assert code == 0, printed[-3000:]
    assert f"cancelled what a run that was killed had left in Slurm's queue: {left}" in printed
    assert cluster.job(left)["JobState"] == "CANCELLED"
    assert (one.folder / "said").read_text(encoding="utf-8").split() == ["start", "start", "end"]


def mistaken(cluster: Cluster, indexed: Path) -> None:
    """A mistake in the config is tried once, whatever the profile retries, and what to do stands last."""
    one = trial(cluster, indexed, "mistaken", "true", subsets={"pets": {"categories": ["catt"]}})
    code, printed = one.run()
    assert code != 0
    assert len(submitted(printed)) == 1
    last = printed.rstrip().splitlines()[-4:]
    assert any("the source has no category 'catt'" in line for line in last), printed[-3000:]
    assert any("did you mean 'cat'?" in line for line in last)
    assert any("logs/mine_subset/pets.log" in line for line in last)


@pytest.mark.timeout(1800)
def test_a_cluster_that_misbehaves_costs_time_and_nothing_else(cluster: Cluster, indexed: Path) -> None:
    host = cluster.ask("sinfo", "--noheader", "--format=%n").strip()
    cluster.ask("scontrol", "update", f"nodename={host}", "state=drain", "reason=a test")
    trials: tuple[Callable[[Cluster, Path], None], ...] = (past_its_time, out_of_memory, cancelled, killed, mistaken)
    with ThreadPoolExecutor(len(trials)) as pool:
        running = [pool.submit(one, cluster, indexed) for one in trials]
        try:
            deadline = time.monotonic() + SECONDS_TO_SEE
            while len(cluster.ask("squeue", "--noheader").splitlines()) < len(trials):  # all wait for the drained node
                assert time.monotonic() < deadline
                time.sleep(0.5)
            assert cluster.ask("squeue", "--noheader", "--states=RUNNING") == ""
        finally:
            cluster.ask("scontrol", "update", f"nodename={host}", "state=resume")
        for one in running:
            one.result()


def test_a_machine_without_slurm_is_told_so_and_nothing_is_tried(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "bash", "env", "which", "uname"):
        (programs / name).symlink_to(shutil.which(name) or f"/no {name}")
    python = programs / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    (tmp_path / "work").mkdir()
    config = write_config(tmp_path / "config.json", write_tiny_coco(tmp_path / "coco"))
    done = subprocess.run(
        command_in(tmp_path / "work", config, "--until", "index_annotations"),
        env={**os.environ, "PATH": str(programs)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode != 0
    assert "Slurm is not to be found here: there is no sbatch\nHint: start on a login node" in done.stderr
    assert "Job 1:" not in done.stderr
