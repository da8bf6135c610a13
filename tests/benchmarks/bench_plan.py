"""What planning costs: one subset of all of COCO's train2017, and 200 subsets with three seeds of a model trained on
each, against an empty Snakefile, in turn in one run.

    ./run python tests/benchmarks/bench_plan.py

Seconds of the clock, and of processors, which other work on the machine leaves as they are. The last line is a JSON
object: `seconds_more` is the median of what the one subset takes more, `many_seconds_over` that of what the many take
over twice the empty Snakefile, and `many_processor_seconds_over` the same of processors.
"""

import json
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from helpers.shared import ROOT
from helpers.workflow import snakemake

PAIRS = 5
MANY = [f"subset-{number:03}" for number in range(200)]
SEEDS = [0, 1, 2]

ONE: dict[str, Any] = {
    "stores": {"coco": {"preset": "coco2017"}},
    "sources": {"coco": {"preset": "coco2017"}},
    "subsets": {"all": {"source_splits": ["train2017"]}},
}
"""All of train2017."""

CONFIGS = {
    "one": ONE,
    "many": ONE
    | {
        "subsets": {name: {"source_splits": ["train2017"], "seed": seed} for seed, name in enumerate(MANY)},
        "experiments": {"linknet": {"subsets": MANY, "seeds": SEEDS}},
    },
}


def seconds_to_plan(work: Path, *arguments: str, project: Path = ROOT) -> tuple[float, float]:
    """Return the seconds of one dry run, and those of processors; raises RuntimeError when it fails."""
    started, used = time.perf_counter(), _processor_seconds()
    done = snakemake(work, "--dry-run", *arguments, project=project)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return time.perf_counter() - started, _processor_seconds() - used


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Run the pairs and print them."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "Snakefile").write_text("rule all:\n    output: 'x'\n    shell: 'touch x'\n", encoding="utf-8")
        for name, config in CONFIGS.items():
            (work / f"{name}.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        seconds_to_plan(work, "--configfile", str(work / "one.yaml"))
        rounds = [
            {"empty": seconds_to_plan(work, project=work)}
            | {name: seconds_to_plan(work, "--configfile", str(work / f"{name}.yaml")) for name in CONFIGS}
            for _ in range(PAIRS)
        ]
    for taken in rounds:
        print("   ".join(f"{name} {clock:5.2f} s ({processors:5.2f})" for name, (clock, processors) in taken.items()))
    over = [statistics.median(taken["many"][kind] - 2 * taken["empty"][kind] for taken in rounds) for kind in range(2)]
    more = statistics.median(taken["one"][0] - taken["empty"][0] for taken in rounds)
    result = {"images": 118_287, "subsets": len(MANY), "seeds": len(SEEDS), "pairs": PAIRS}
    result |= {"seconds_more": round(more, 2)}
    result |= {"many_seconds_over": round(over[0], 2), "many_processor_seconds_over": round(over[1], 2)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
