"""Keys in URLs: sent where they must go, and found in nothing that a sync says or leaves behind."""

import base64
import json
import shutil
from pathlib import Path

import pytest
from helpers.fault_proxy import Fault
from helpers.forward_proxy import ForwardProxy
from helpers.sync import Result, script, write_selection
from helpers.sync_bench import SyncBench

USER, PASSWORD, SIGNATURE, TOKEN = "planteduser", "plantedpassword", "plantedsignature", "plantedtoken"
PLANTED = (USER, PASSWORD, SIGNATURE, TOKEN, base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())


def with_secrets(url: str) -> str:
    signed = f"X-Amz-Signature={SIGNATURE}&token={TOKEN}"
    return url.replace("://", f"://{USER}:{PASSWORD}@") + f"?{signed}"


def run(bench: SyncBench, folder: Path, origin: object, *more: str) -> Result:
    selection = write_selection(folder / "selection.tsv", list(bench.truth))
    settings = folder / "settings.json"
    settings.write_text(json.dumps({"origins": [origin]}), "utf-8")
    places = ["--store-dir", folder / "store", "--lock", folder / "images.lock.tsv", "--log", folder / "log.txt"]
    arguments = ["--settings", settings, "--selection", selection, *places, *bench.quick, *more]
    result = script("sync_images.py", *arguments, env=bench.env)
    settings.unlink()
    return result


def leaks(result: Result, folder: Path) -> list[str]:
    """Return the places where a planted secret was found: what was said, names of files, what is in them."""
    found = [name for name, text in (("out", result.out), ("err", result.err)) if any(s in text for s in PLANTED)]
    for path in folder.rglob("*"):
        if any(secret in path.name for secret in PLANTED):
            found.append(f"the name {path}")
        if path.is_file() and any(secret.encode() in path.read_bytes() for secret in PLANTED):
            found.append(str(path))
    return found


@pytest.mark.parametrize("kind", ["https", "zip", "whole"])
@pytest.mark.parametrize("fault", ["none", "404", "403", "503", "flip", "redirect", "silent"])
def test_no_secret_of_a_url_is_said_or_left_behind(tmp_path: Path, kind: str, fault: str) -> None:
    with SyncBench(kind, tmp_path / "bench") as bench:
        url = bench.proxy.url if kind == "https" else f"{bench.proxy.url}/v.zip"
        origin = {"url": with_secrets(url), "whole": kind == "whole"}
        faults = {
            "flip": Fault("flip", flip_at=100),
            "silent": Fault("silent", silent=True),
            "redirect": Fault("moved", status=302, headers={"Location": f"http://127.0.0.1:9/x?sig={SIGNATURE}"}),
        }
        if fault != "none":
            given = faults[fault] if fault in faults else Fault(fault, status=int(fault))
            bench.proxy.inject(".", given, 10_000, method="GET|HEAD")
        folder = tmp_path / "work"
        folder.mkdir()
        for more in ((), ("--plan",), ("--verify-origin",)):
            result = run(bench, folder, origin, *more)
            assert result.code == (0 if fault == "none" else 1) or more, result.err
            assert not leaks(result, folder)
        asked = [row for row in bench.proxy.log if fault != "redirect"]
        assert all(SIGNATURE in row.path for row in asked), "what is secret must still be sent"
        assert all(row.headers["authorization"].startswith("Basic ") for row in asked)


def test_a_login_of_the_proxy_is_sent_to_it_and_said_to_nobody(tmp_path: Path) -> None:
    with SyncBench("https", tmp_path / "bench") as bench, ForwardProxy() as proxy:
        secret = proxy.url.replace("://", f"://{USER}:{PASSWORD}@")
        bench.env |= {"http_proxy": secret, "HTTP_PROXY": secret, "NO_PROXY": "", "no_proxy": ""}
        folder = tmp_path / "work"
        folder.mkdir()
        result = run(bench, folder, bench.proxy.url).ok()
        assert proxy.log
        assert not leaks(result, folder)
        shutil.rmtree(folder / "store")
        proxy_gone = secret.rpartition(":")[0] + ":9"
        bench.env |= {"http_proxy": proxy_gone, "HTTP_PROXY": proxy_gone}
        result = run(bench, folder, bench.proxy.url)
        assert result.code == 1
        assert not leaks(result, folder)
