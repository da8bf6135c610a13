"""What `COCOMINE_IMAGE` promises in the workflow: every job runs in the image that it names, to the same lock."""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from helpers.shared import ROOT
from helpers.tiny_coco import write_config, write_tiny_coco
from helpers.workflow import jobs_of, snakemake

IN_IMAGE = ("--software-deployment-method", "apptainer")
LOCK = Path("results") / "build.lock.json"

# Takes the place of apptainer: writes down what it is asked to run in the image, and runs it outside.
STAND_IN = """\
#!/bin/sh
[ "$1" != --version ] || exec echo apptainer version 1.4.5
while [ $# -gt 0 ] && [ "$1" != "$COCOMINE_IMAGE" ]; do shift; done
[ $# -gt 0 ] || { echo "the image is not named" >&2; exit 9; }
shift
echo "$3" >> "$RAN"
exec "$@"
"""

# The image's own Python: the host's, but that it writes down what it ran.
PYTHON = '#!/bin/sh\necho "$*" >> "{ran}"\nexec "{python}" "$@"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(tmp_path / "config.json", write_tiny_coco(tmp_path / "coco"), exports=["coco"])


def written_program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def rules_in(ran: Path) -> list[str]:
    """The rules whose jobs were run, as each job's log tells."""
    return sorted(re.findall(r"--log logs/(\w+)", ran.read_text(encoding="utf-8")))


def rules_of(printed: str) -> list[str]:
    """The rules of the jobs that Snakemake announced."""
    return sorted(rule for rule, count in jobs_of(printed).items() for _ in range(count))


def commands_in(printed: str) -> list[str]:
    return sorted(line for line in printed.splitlines() if "--log logs/" in line)


def test_every_job_is_handed_to_apptainer_with_the_image(tmp_path: Path, config: Path) -> None:
    stand_in = written_program(tmp_path / "bin" / "apptainer", STAND_IN)
    image, work, ran = tmp_path / "cocomine.sif", tmp_path / "work", tmp_path / "ran"
    image.touch()
    path = os.pathsep.join([str(stand_in.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {"COCOMINE_IMAGE": str(image), "RAN": str(ran), "PATH": path}
    done = snakemake(work, "--configfile", str(config), *IN_IMAGE, environment=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert rules_in(ran) == rules_of(done.stdout + done.stderr) != []


def test_without_the_option_an_image_changes_nothing(tmp_path: Path, config: Path) -> None:
    arguments = ("--configfile", str(config), "--dry-run", "--printshellcmds")
    without, beside = (
        snakemake(tmp_path / "work", *arguments, environment={"COCOMINE_IMAGE": image})
        for image in ("", str(tmp_path / "cocomine.sif"))
    )
    assert (without.returncode, beside.returncode) == (0, 0), without.stderr + beside.stderr
    assert commands_in(beside.stdout) == commands_in(without.stdout) != []
    assert "cocomine.sif" not in beside.stdout + beside.stderr


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("", "COCOMINE_IMAGE names no image"),
        ("no-such.sif", "COCOMINE_IMAGE: no-such.sif is not there"),
        ("a.sif;touch${IFS}x", "COCOMINE_IMAGE: 'a.sif;touch${IFS}x' holds ';'"),
    ],
)
def test_nothing_runs_where_no_image_can_be_had(tmp_path: Path, config: Path, image: str, said: str) -> None:
    work = tmp_path / "work"
    done = snakemake(work, "--configfile", str(config), *IN_IMAGE, environment={"COCOMINE_IMAGE": image})
    assert done.returncode == 1
    assert said in done.stderr
    assert "\nHint: " in done.stderr
    assert {path.name for path in work.iterdir()} <= {".snakemake"}


def image_of_this_machine(folder: Path, ran: Path) -> list[str]:
    """Make an image of nothing but a Python of its own; return the binds that lay this machine's system into it."""
    written_program(folder / "own" / "python", PYTHON.format(ran=ran, python=sys.executable))
    binds = []
    for top in map(Path, ("/bin", "/sbin", "/lib", "/lib64", "/usr", "/opt")):
        if top.is_symlink():
            (folder / top.name).symlink_to(top.readlink())
        elif top.is_dir():
            (folder / top.name).mkdir()
            binds += ["--bind", str(top)]
    for name in ("dev", "proc", "sys", "tmp", "etc", "root", "home", "var/tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for place in dict.fromkeys([str(ROOT), sys.prefix, sys.base_prefix, str(ran.parent)]):
        if not Path(place).is_relative_to("/usr"):
            (folder / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
            binds += ["--bind", place]
    return binds


@pytest.mark.skipif(shutil.which("apptainer") is None, reason="not run: apptainer is not installed")
def test_a_build_by_apptainer_ends_in_the_same_lock_as_outside(tmp_path: Path, config: Path) -> None:
    image, ran = tmp_path / "image", tmp_path / "ran"
    binds = image_of_this_machine(image, ran)
    environment = {"COCOMINE_IMAGE": str(image), "APPTAINERENV_PREPEND_PATH": "/own"}
    asked = [*IN_IMAGE, f"--apptainer-args=--no-privs {' '.join(binds)}"]
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    done = snakemake(inside, "--configfile", str(config), *asked, environment=environment)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert rules_in(ran) == rules_of(done.stdout + done.stderr) != []
    done = snakemake(outside, "--configfile", str(config))
    assert done.returncode == 0, done.stderr[-3000:]
    assert (inside / LOCK).read_bytes() == (outside / LOCK).read_bytes()
