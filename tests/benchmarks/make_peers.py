"""Make the environments of the programs that the benchmarks compare with, each of its own, below .peers/.

    ./run python tests/benchmarks/make_peers.py [NAME ...]

Their needs conflict with cocomine's pins, so none of them is installed beside it. What is there already is left
alone. COCOMINE_PEERS names another folder than .peers/.
rclone and nginx are programs of the system: apt-get install rclone nginx-light.
"""

import argparse
import os
import subprocess
import sys
import venv
from pathlib import Path

PEERS = Path(os.environ.get("COCOMINE_PEERS", Path(__file__).resolve().parents[2] / ".peers"))

TORCH = "torch==2.13.0+cpu"

# What lvis and Ultralytics draw with, listed because neither is installed with its own needs.
DRAWING = [
    "pycocotools==2.0.11",
    "numpy==2.4.6",
    "opencv-python-headless==5.0.0.93",
    "matplotlib",
    "contourpy",
    "cycler",
    "fonttools",
    "kiwisolver",
    "packaging",
    "pillow",
    "pyparsing",
    "python-dateutil",
    "six",
]

# name -> what is installed, and a command that shows that it works
WANTED: dict[str, tuple[list[str], list[str]]] = {
    "datumaro": (["datumaro==1.13.0"], ["python", "-c", "import datumaro; print(datumaro.__version__)"]),
    "datasets": (["datasets==5.2.0", "pillow"], ["python", "-c", "import datasets; print(datasets.__version__)"]),
    "faster-coco-eval": (
        ["faster-coco-eval==1.8.0", "pycocotools==2.0.11"],
        ["python", "-c", "import faster_coco_eval, importlib.metadata as m; print(m.version('faster-coco-eval'))"],
    ),
    "gsutil": (["gsutil==5.38"], ["gsutil", "version"]),
    "hotcoco": (
        ["hotcoco==1.3.0"],
        ["python", "-c", "import hotcoco, importlib.metadata as m; print(m.version('hotcoco'))"],
    ),
    # Without its own needs, of which opencv-python does not import where no desktop is.
    "lvis": (
        [
            "--no-deps",
            "lvis==0.5.3",
            *DRAWING,
        ],
        ["python", "-c", "import lvis, importlib.metadata as m; print(m.version('lvis'))"],
    ),
    "mlcroissant": (
        ["mlcroissant==1.1.1", "pyarrow"],
        ["python", "-c", "import importlib.metadata as m; print(m.version('mlcroissant'))"],
    ),
    # The client alone; cocomine's own packages, which its test imports, beside it.
    "mlflow": (
        ["mlflow-skinny==3.17.2", "msgspec", "numpy", "pyarrow"],
        ["python", "-c", "import mlflow; print(mlflow.__version__)"],
    ),
    "numba": (
        ["numba==0.68.1", "numpy", "pycocotools==2.0.11", "msgspec", "pillow"],
        ["python", "-c", "import numba, pycocotools; print(numba.__version__)"],
    ),
    # Beside cocomine's own packages, which its test puts on the path.
    "onnx": (
        ["onnx==1.23.2", "onnxscript==0.7.2", "onnxruntime==1.32.0"],
        ["python", "-c", "import onnx, onnxruntime; print(onnx.__version__, onnxruntime.__version__)"],
    ),
    "supervision": (["supervision==0.28.0"], ["python", "-c", "import supervision; print(supervision.__version__)"]),
    # Without its own needs: torch for CUDA, 5 GB, and torchvision, which does not import beside torch for CPUs
    # from elsewhere (`without_torchvision`). The build for CPUs is pip's own choice of places, as for cocomine itself.
    "ultralytics": (
        [
            "--no-deps",
            "ultralytics==8.4.190",
            TORCH,
            *DRAWING,
            "pyyaml",
            "requests",
            "certifi",
            "charset-normalizer",
            "idna",
            "urllib3",
            "psutil",
            "polars",
            "polars-runtime-32",
            "ultralytics-thop",
            "filelock",
            "typing-extensions",
            "sympy",
            "mpmath",
            "networkx",
            "jinja2",
            "markupsafe",
            "fsspec",
            "setuptools",
        ],
        ["python", "-c", "import ultralytics; print(ultralytics.__version__)"],
    ),
    # Brings torch for CUDA, 5 GB.
    "torchvision": (
        ["torchvision==0.28.0", "pycocotools==2.0.11"],
        ["python", "-c", "import torchvision; print(torchvision.__version__)"],
    ),
    "webdataset": (
        ["webdataset==1.0.2", "pillow"],
        ["python", "-c", "import webdataset; print(webdataset.__version__)"],
    ),
}


# What Ultralytics takes of torchvision where it trains and validates: its version, and suppression of doubled boxes,
# for which Ultralytics has code of its own as well.
STAND_IN = {
    "torchvision/__init__.py": "from torchvision import ops\n\n__version__ = '0.28.0'\n",
    "torchvision/ops.py": (
        "def nms(boxes, scores, threshold):\n"
        "    from ultralytics.utils.nms import TorchNMS\n\n"
        "    return TorchNMS.nms(boxes, scores, threshold)\n"
    ),
    "torchvision-0.28.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.28.0\n",
}


def without_torchvision(folder: Path) -> None:
    """Write STAND_IN into an environment."""
    (packages,) = folder.glob("lib/python3*/site-packages")
    for name, text in STAND_IN.items():
        (packages / name).parent.mkdir(exist_ok=True)
        (packages / name).write_text(text, "utf-8")


def make(name: str) -> None:
    """Make one environment and try it."""
    packages, probe = WANTED[name]
    folder = PEERS / name
    program = folder / "bin" / probe[0]
    if not program.exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", *packages], check=True)
        if name == "ultralytics":
            without_torchvision(folder)
    done = subprocess.run([program, *probe[1:]], capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines() or done.stderr.splitlines() or [""]
    print(f"{name}: {lines[0]}" if done.returncode == 0 else f"{name}: does not run: {lines[-1]}")


def main() -> None:
    """Make those that were named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"from {', '.join(sorted(WANTED))} (default: all)")
    names = parser.parse_args().names or sorted(WANTED)
    unknown = [name for name in names if name not in WANTED]
    if unknown:
        sys.exit(f"unknown peer {unknown[0]}: choose from {', '.join(sorted(WANTED))}")
    for name in names:
        make(name)


if __name__ == "__main__":
    main()
