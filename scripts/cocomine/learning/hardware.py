"""Device, precision and threads: resolved once from the settings and the machine, applied, and recorded."""

import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from cocomine.base.errors import CocomineError
from cocomine.learning.settings import TrainSettings

log = logging.getLogger("cocomine")

BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86: AVX-512 and AMX; ARM: bf16


@dataclass(frozen=True)
class Hardware:
    """What a run computes with. All of it bears on the last bits of the weights."""

    device: str
    precision: str
    threads: int
    channels_last: bool


def cpu_has_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Say whether the CPU multiplies bfloat16 itself; where it does not, bf16 is slower than fp32."""
    try:
        text = cpuinfo.read_text("utf-8", errors="replace")
    except OSError:
        return platform.machine() == "arm64"  # Apple's have it, and have no /proc
    flags = {
        word for line in text.splitlines() if line.lower().startswith(("flags", "features")) for word in line.split()
    }
    return bool(flags & BF16_FLAGS)


def resolve(settings: TrainSettings) -> Hardware:
    """Settle what `auto` means here. Raises CocomineError when a GPU is asked for and absent."""
    device = settings.device
    if device == "cuda" and not torch.cuda.is_available():
        built = "" if torch.version.cuda else "; this build of torch has no CUDA"
        raise CocomineError(
            f"train.device is 'cuda', and no GPU can be used{built}",
            "set train.device to 'auto' or 'cpu'; with an NVIDIA GPU, look at `nvidia-smi` and make the environment "
            "again on that machine",
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    precision = settings.precision
    if precision == "auto":
        able = torch.cuda.is_bf16_supported() if device == "cuda" else cpu_has_bf16()
        precision = "bf16" if able else "fp32"
    elif precision == "bf16" and device == "cpu" and not cpu_has_bf16():
        log.warning("train.precision is bf16, which this CPU has no instructions for: fp32 would be faster")
    return Hardware(device, precision, settings.threads, settings.channels_last)


def apply(hardware: Hardware) -> None:
    """Set torch to the threads asked for and to algorithms that give the same bits each time."""
    if hardware.device == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
    torch.set_num_threads(hardware.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Deterministic mode would otherwise fill every new tensor with NaN, which costs time and changes nothing here.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


@contextmanager
def computing(hardware: Hardware) -> Iterator[None]:
    """Run the forward pass in the precision asked for; weights, losses and updates stay fp32."""
    with torch.autocast(hardware.device, dtype=torch.bfloat16, enabled=hardware.precision == "bf16"):
        yield
