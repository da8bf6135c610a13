"""The embedded default on three seeds: seconds of the whole job, and its model beside the better trivial baseline.

    ./run python tests/benchmarks/bench_default.py

A seed salts everything: the synthetic bucket, the negatives, the split, the model. The last line is a JSON object.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from helpers.workflow import snakemake

SEEDS = (0, 1, 2)


def measure(seed: int) -> dict[str, float]:
    """Run the default job with a seed in a folder of its own; raises RuntimeError when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        started = time.perf_counter()
        done = snakemake(work, "--config", f"seed={seed}")
        seconds = time.perf_counter() - started
        if done.returncode:
            raise RuntimeError(done.stderr[-3000:])
        evaluation = work / "results" / "experiments" / "baseline" / "on-synthetic-demo"
        facts = json.loads((evaluation / "metrics.json").read_text(encoding="utf-8"))
        keep = os.environ.get("COCOMINE_KEEP")
        if keep:
            shutil.copytree(work, Path(keep) / f"seed{seed}", symlinks=True)
    return {"seed": seed, "seconds": round(seconds), **figures(facts)}


def figures(facts: dict) -> dict[str, float]:
    """Return the model's mean foreground IoU, the better baseline's, and how many times it is reached."""
    ours = facts["training_resolution"]["iou"]["mean_foreground"]
    trivial = (facts["baselines"][name] for name in ("all_background", "most_frequent_place"))
    better = max(part["training_resolution"]["iou"]["mean_foreground"] for part in trivial)
    return {"iou": round(ours, 3), "baseline": round(better, 3), "times": round(ours / better, 1)}


def main() -> None:
    """Run the seeds and print them."""
    rows = []
    for seed in SEEDS:
        row = measure(seed)
        rows.append(row)
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    print(
        json.dumps(
            {
                "seeds": rows,
                "lowest_iou": min(row["iou"] for row in rows),
                "lowest_times": min(row["times"] for row in rows),
            }
        )
    )


if __name__ == "__main__":
    main()
