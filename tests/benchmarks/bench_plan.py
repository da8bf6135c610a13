"""What planning costs: all of COCO's train2017 in one subset, against an empty Snakefile, in turn in one run.

    ./run python tests/benchmarks/bench_plan.py

The last line is a JSON object; `seconds_more` is the median of the pairs' differences.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from helpers.shared import ROOT
from helpers.workflow import snakemake

PAIRS = 5

CONFIG = {
    "stores": {"coco": {"preset": "coco2017"}},
    "sources": {"coco": {"preset": "coco2017"}},
    "subsets": {"all": {"source_splits": ["train2017"]}},
}


def seconds_to_plan(work: Path, *arguments: str, project: Path = ROOT) -> float:
    """Return the seconds of one dry run; raises RuntimeError when it fails."""
    started = time.perf_counter()
    done = snakemake(work, "--dry-run", *arguments, project=project)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return time.perf_counter() - started


def main() -> None:
    """Run the pairs and print them."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "Snakefile").write_text("rule all:\n    output: 'x'\n    shell: 'touch x'\n", encoding="utf-8")
        config = work / "config.yaml"
        config.write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
        seconds_to_plan(work, "--configfile", str(config))
        pairs = [
            (seconds_to_plan(work, project=work), seconds_to_plan(work, "--configfile", str(config)))
            for _ in range(PAIRS)
        ]
    for empty, ours in pairs:
        print(f"empty Snakefile {empty:5.2f} s   train2017 {ours:5.2f} s   more {ours - empty:5.2f} s")
    more = statistics.median(ours - empty for empty, ours in pairs)
    print(json.dumps({"images": 118_287, "pairs": PAIRS, "seconds_more": round(more, 2)}))


if __name__ == "__main__":
    main()
