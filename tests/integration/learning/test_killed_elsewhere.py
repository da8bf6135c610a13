"""A run that is killed again and again, each time on a machine of its own, ends with the bytes of one left alone.

Nothing is left of a machine but what it had copied: also where it died in the middle of a copy.
"""

import hashlib
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from cloud.buckets import NAME, GcsBucket, S3Bucket
from helpers.shapes import write_shapes

SCRIPT = Path(__file__).resolve().parents[2] / "helpers/train_until_killed.py"
KINDS = {"s3": S3Bucket, "gs": GcsBucket}

pytestmark = pytest.mark.slow


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("kind", ["folder", "gs", "s3"])
def test_killed_while_it_copies_and_gone_on_elsewhere_ends_with_the_same_bytes(tmp_path: Path, kind: str) -> None:
    tensors = write_shapes(tmp_path / "tensors", images=8, size=32)
    with ExitStack() as stack:
        place, environment = str(tmp_path / "outlives"), dict(os.environ)
        if kind in KINDS:
            bucket = stack.enter_context(KINDS[kind]())
            place, environment = f"{kind}://{NAME}/runs", {**os.environ, **bucket.environment}
            environment["AWS_ENDPOINT_URL"] = environment.get("SNAKEMAKE_STORAGE_S3_ENDPOINT_URL", "")
            left = bucket.sizes
        else:
            left = lambda: [path for path in Path(place).rglob("*") if path.is_file()]  # noqa: E731
        command = [sys.executable, str(SCRIPT), str(tensors), str(tmp_path), place]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        facts, log = json.loads(done.stdout), (tmp_path / "cut/log.txt").read_text()
        assert facts["status"] == [0, 0], log
        assert facts["killed"] == 13, log
        assert facts["resumed_at"] == sorted(facts["resumed_at"])
        assert len(set(facts["resumed_at"])) > 4
        assert facts["resumed_at"][-1] == 30
        assert hashes(tmp_path / "cut/out") == hashes(tmp_path / "whole/out")
        assert not left()
