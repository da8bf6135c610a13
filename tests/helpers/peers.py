"""The programs that we are compared with, each in an environment of its own under .peers/ (make_peers.py)."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from helpers.shared import ROOT

PEERS = Path(os.environ.get("COCOMINE_PEERS", ROOT / ".peers"))


def gsutil_path() -> Path | None:
    """Return the real gsutil, None where it is not installed."""
    path = PEERS / "gsutil" / "bin" / "gsutil"
    return path if path.exists() else None


def require_gsutil() -> Path:
    """Return the real gsutil, or skip the test and say why."""
    path = gsutil_path()
    if path is None:
        pytest.skip("not run: gsutil is not installed (python tests/benchmarks/make_peers.py gsutil)")
    return path


def write_boto_config(path: Path, port: int, state: Path, extra: str = "") -> Path:
    """Write a BOTO_CONFIG that sends gsutil to https://127.0.0.1:port, with no credentials, and return its path."""
    path.write_text(
        f"""[Credentials]
gs_json_host = 127.0.0.1
gs_json_port = {port}
gs_host = 127.0.0.1
gs_port = {port}
[Boto]
https_validate_certificates = False
num_retries = 2
[GSUtil]
prefer_api = json
json_api_version = v1
check_hashes = if_fast_else_skip
state_dir = {state}
software_update_check_period = 0
{extra}
""",
        "utf-8",
    )
    return path


def gsutil(boto: Path, home: Path, *arguments: str, timeout: float = 300.0) -> subprocess.CompletedProcess[str]:
    """Run gsutil and return what it printed."""
    program = gsutil_path()
    assert program is not None
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "BOTO_CONFIG": str(boto),
        "PYTHONWARNINGS": "ignore",
        "LC_ALL": "C.UTF-8",
    }
    return subprocess.run(
        [str(program), *arguments], env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )


def peer(name: str) -> Path:
    """Return the Python of a peer's environment, or skip the test and say why."""
    path = PEERS / name / "bin" / "python"
    if not path.exists():
        pytest.skip(f"not run: {name} is not installed (python tests/benchmarks/make_peers.py {name})")
    return path


def told_by(name: str, program: str, *arguments: object, home: Path, timeout: float = 300.0) -> Any:
    """Run a program in a peer's environment, with no way out and `home` as its home; return the JSON it prints last."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "HF_HUB_OFFLINE": "1",
        "YOLO_OFFLINE": "true",
        "YOLO_CONFIG_DIR": str(home),
        "MPLCONFIGDIR": str(home),
    }
    command = [str(peer(name)), "-c", program, *map(str, arguments)]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])
