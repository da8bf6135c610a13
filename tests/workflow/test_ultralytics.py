"""Ultralytics as a program of the user's: trained on an export in the graph, and what it predicts is judged there."""

import json
from pathlib import Path

import pytest
import yaml
from helpers.peers import peer
from helpers.workflow import snakemake

# Of a copy, since Ultralytics writes a cache beside the labels that it reads.
COMMAND = """
cp -r $COCOMINE_EXPORT data &&
yolo segment train model=yolo11n-seg.yaml data=$PWD/data/data.yaml epochs=2 imgsz=64 batch=8 seed=$COCOMINE_SEED
project=$COCOMINE_OUTPUT name=run device=cpu workers=0 plots=False amp=False &&
yolo segment val model=$COCOMINE_OUTPUT/run/weights/last.pt data=$PWD/data/data.yaml imgsz=64 save_json=True
conf=0.0001 project=$COCOMINE_OUTPUT name=val device=cpu workers=0 plots=False &&
rm -r data
"""


@pytest.mark.slow
def test_ultralytics_trains_in_the_graph_and_its_predictions_are_judged(tmp_path: Path) -> None:
    environment = peer("ultralytics").parents[1]
    judged = {"file": "val/predictions.json", "category_ids": "labels", "image_ids": "stems"}
    config = {
        "sources": {"synthetic-demo": {"synthetic": {"images": 40}}},
        "subsets": {"things": {"source": "synthetic-demo", "categories": ["giraffe", "bus", "laptop"], "exports": []}},
        "experiments": {
            "yolo": {
                "subset": "things",
                "command": " ".join(COMMAND.split()),
                "environment": str(environment),
                "export": "yolo-segment",
                "time_limit": 20,
                "predictions": {"boxes": judged, "masks": judged},
            }
        },
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    targets = [f"results/predictions/{name}" for name in ("yolo-boxes", "yolo-masks")]
    offline = {"YOLO_OFFLINE": "true", "YOLO_CONFIG_DIR": str(tmp_path), "MPLCONFIGDIR": str(tmp_path)}
    done = snakemake(tmp_path, *targets, "--configfile", str(tmp_path / "c.yaml"), environment=offline)
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads((tmp_path / "results/experiments/yolo/program.json").read_text())
    assert facts["packages"]["ultralytics"]
    for target in targets:
        metrics = json.loads((tmp_path / target / "metrics.json").read_text())
        assert metrics["predictions"]["judged"] > 0
        assert metrics["predictions"]["unknown_image"] == metrics["predictions"]["unknown_category"] == 0
        assert metrics["all"]["AP"] is not None
