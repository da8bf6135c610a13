"""Fetching encoder weights with the hub's own client from a loopback server, then training's loader reads them."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from cocomine.learning.models import encoders, registry
from cocomine.learning.settings import ModelSettings
from safetensors.torch import save_file

SCRIPT = Path(__file__).resolve().parents[3] / "scripts/fetch_encoder.py"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path):
    """A server that answers `/microsoft/resnet-18/resolve/…` as the hub does."""
    files = tmp_path / "hub"
    files.mkdir()
    torch.manual_seed(3)
    whole = encoders.ResNetBackbone(encoders.resnet_config("resnet18"))
    state = {f"resnet.{key}": value.contiguous() for key, value in whole.state_dict().items()}
    save_file(state, files / "model.safetensors", metadata={"format": "pt"})
    config = encoders.resnet_config("resnet18").to_dict() | {"model_type": "resnet"}
    (files / "config.json").write_text(json.dumps(config))
    (files / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.2]})
    )

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self, body=True):
            path = files / self.path.split("?")[0].rsplit("/", 1)[1]
            known = "/microsoft/resnet-18/resolve/" in self.path and path.exists()
            content = path.read_bytes() if known else b"{}"
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", str(len(content)))
            if known:
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.send_header("X-Repo-Commit", COMMIT)
            else:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.end_headers()
            if body:
                self.wfile.write(content)

        def do_HEAD(self):
            self.do_GET(body=False)

        def log_message(self, *_args):
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", whole
    server.shutdown()
    server.server_close()


def fetch(endpoint, tmp_path, name="resnet18", **more):
    environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "cache")} | more
    for proxy in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        environment.pop(proxy, None)
    command = [sys.executable, str(SCRIPT), name, "--out-dir", str(tmp_path / "encoders")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_fetched_weights_are_what_training_loads_with_their_normalisation(hub, tmp_path):
    endpoint, whole = hub
    done = fetch(endpoint, tmp_path)
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "encoders/resnet18/encoder.json").read_text())
    assert facts["revision"] == COMMIT
    assert facts["repository"] == "microsoft/resnet-18"
    model = registry.build_model(ModelSettings(weights="imagenet", weights_folder=str(tmp_path / "encoders")), 3, 0)
    assert model.encoder.normalisation.mean == (0.5, 0.4, 0.3)
    loaded = model.network.backbone.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in whole.state_dict().items())


def test_offline_fetch_says_what_to_do(tmp_path):
    done = fetch("http://127.0.0.1:9", tmp_path, HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    assert "cannot be fetched" in done.stderr
    assert "Hint: on a machine with a network run" in done.stderr
    assert not list((tmp_path / "encoders").rglob("*")) if (tmp_path / "encoders").exists() else True
