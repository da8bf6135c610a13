"""Make cocomine's environment: `.venv` from the pinned set, exactly once, whoever else is making it.

Called by `run` and the Containerfile; uses nothing but the standard library. A file lock lets one caller build and the
others wait; the stamp is written last, so that a build killed half-way is thrown away and begun again.
"""

import fcntl
import os
import platform
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path


def run(*command: str) -> None:
    """Run a program and raise CalledProcessError when it fails."""
    subprocess.run(command, check=True)


def has_nvidia_gpu() -> bool:
    """Whether the NVIDIA driver answers, which decides between the CPU and the CUDA build of torch."""
    if shutil.which("nvidia-smi") is None:
        return False
    return subprocess.run(["nvidia-smi", "-L"], capture_output=True).returncode == 0


def install_torch(python: str, uv: str, wanted: str, build: str) -> None:
    """Install torch at its pinned version: the CPU build unless there is a GPU, so that no CUDA is downloaded.

    torch's CPU and CUDA builds share a version but not a hash, so torch stands outside the hashed set; the sha256 of
    what was installed goes into every build lock. `build` is "cuda" for an image that machines with GPUs shall run: the
    build of the package index, whatever this machine has; "cpu" is the CPU build, whatever this machine has.
    """
    if build == "cuda":
        return run(uv, "pip", "install", "-q", "--python", python, wanted)
    if platform.system() == "Darwin":
        return run(uv, "pip", "install", "-q", "--python", python, "--no-deps", wanted)
    if build != "cpu" and has_nvidia_gpu():
        return run(uv, "pip", "install", "-q", "--python", python, "--torch-backend", "auto", wanted)
    # pip honours a wheel folder that the machine's administrator configured; uv knows PyTorch's own index.
    local = subprocess.run(
        [python, "-m", "pip", "install", "-q", "--no-deps", "--no-compile", "--only-binary=:all:", wanted + "+cpu"],
        capture_output=True,
    )
    if local.returncode != 0:
        run(uv, "pip", "install", "-q", "--python", python, "--no-deps", "--torch-backend", "cpu", wanted)
    return None


def make(home: Path, stamp_text: str, build: str) -> None:
    """Build `.venv` under `home` from nothing, with that `build` of torch, and stamp it with `stamp_text`."""
    environment = home / ".venv"
    started = time.monotonic()
    print("cocomine: making the environment in .venv (about a minute, once)", flush=True)
    if environment.is_symlink():
        environment.unlink()  # what it leads to belongs to another checkout
    elif environment.exists():
        # The stamp goes first: whoever comes meanwhile must not trust what is left.
        (environment / "made_from").unlink(missing_ok=True)
        shutil.rmtree(environment)
    venv.create(environment, with_pip=True)
    python, uv = str(environment / "bin" / "python"), str(environment / "bin" / "uv")
    pinned = home / "envs" / "pinned.txt"
    run(python, "-m", "pip", "install", "-q", "--no-compile", "--require-hashes", "--no-deps",
        "-r", str(home / "envs" / "installer.txt"))  # fmt: skip
    torch = (home / "envs" / "torch.txt").read_text(encoding="utf-8").strip()
    run(uv, "pip", "install", "-q", "--python", python, "--require-hashes", "--no-deps", "-r", str(pinned))
    install_torch(python, uv, torch, build)
    stamp = environment / "made_from"
    stamp.with_suffix(".tmp").write_text(stamp_text, encoding="utf-8")
    os.replace(stamp.with_suffix(".tmp"), stamp)
    print(f"cocomine: environment made in {time.monotonic() - started:.0f} s", flush=True)


def main() -> int:
    """Build the environment unless somebody else did while we waited for the lock."""
    home, stamp_text = Path(sys.argv[1]), sys.argv[2]
    build = sys.argv[3] if len(sys.argv) > 3 else ""
    if build not in ("", "cpu", "cuda"):
        print(f"cocomine: there is no build of torch called {build!r}", file=sys.stderr)
        print(
            'Hint: say "cpu" or "cuda" (--build-arg TORCH=cuda), or nothing for what this machine has', file=sys.stderr
        )
        return 1
    with open(home / ".venv.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = home / ".venv" / "made_from"
        if stamp.exists() and stamp.read_text(encoding="utf-8") == stamp_text:
            return 0
        try:
            make(home, stamp_text, build)
        except subprocess.CalledProcessError as error:
            print(f"cocomine: the environment could not be made: {' '.join(error.cmd)}", file=sys.stderr)
            print("Hint: is the package index reachable? The next call begins again.", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
