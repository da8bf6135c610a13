"""Opening a page in headless chromium: what the page looks like inside, what it asked the network for, what it said."""

import html
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)

FRAME = """<!doctype html><body style="margin:0">
<iframe src="probed.html" width="{width}" height="900" style="border:0"></iframe><pre id="probe"></pre><script>
addEventListener("message", event => {{ document.getElementById("probe").textContent = event.data; }});
</script>"""

PROBE = Path(__file__).with_name("probe.js")


@dataclass(frozen=True)
class Visit:
    """What one opening of a page left: the document as text, the hosts it asked for anything, the console."""

    document: str
    asked: list[str]
    console: str


def chromium() -> str:
    """Return the browser, or skip the test and say why."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("not run: there is no chromium (apt-get install chromium)")
    return path


def visit(page: Path, scratch: Path, width: int = 1400, dark: bool = False, address: str = "") -> Visit:
    """Open a page of this machine in a new profile and return what it left.

    The browser asks its maker's hosts for things of its own; what it asks for with an empty page does not count.
    `address` is the page's, where it is to be written in another way.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    document, hosts, console = _open(page, scratch, width, dark, address)
    return Visit(document, sorted(hosts - _own_hosts()), console)


@cache
def _own_hosts() -> frozenset[str]:
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.html"
        empty.write_text("<!doctype html><title>empty</title>")
        return frozenset(_open(empty, Path(folder), 1400, False)[1])


def _open(page: Path, scratch: Path, width: int, dark: bool, address: str = "") -> tuple[str, set[str], str]:
    """Return the document after its scripts ran, the hosts asked for, and what the console said."""
    log = scratch / "net.json"
    shutil.rmtree(scratch / "profile", ignore_errors=True)
    command = [chromium(), *FLAGS, f"--user-data-dir={scratch / 'profile'}", f"--window-size={width},1000"]
    command += [f"--log-net-log={log}", "--enable-logging=stderr", "--virtual-time-budget=3000"]
    command += [f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--dump-dom", address or page.as_uri()]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    # One event a line; the end may be missing when the browser leaves in a hurry, so the log is not parsed as a whole.
    urls = re.findall(r'"url":"(\w+://[^/"]*)', log.read_text("utf-8"))
    console = "\n".join(line for line in ended.stderr.splitlines() if "CONSOLE" in line)
    return ended.stdout, {url for url in urls if not url.startswith("file:")}, console


def probed(page: Path, scratch: Path, width: int = 1400, dark: bool = False) -> dict:
    """Open a copy of the page that measures itself (its security policy taken out) and return the measures.

    It is shown in a frame, since chromium makes no window narrower than 500 pixels.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text("utf-8"))
    text = text.replace("</body>", f"<script>{{{PROBE.read_text()}}}</script></body>")
    (scratch / "probed.html").write_text(text, "utf-8")
    (scratch / "frame.html").write_text(FRAME.format(width=width), "utf-8")
    found = re.search(r'<pre id="probe">(.+?)</pre>', _open(scratch / "frame.html", scratch, 1500, dark)[0], re.DOTALL)
    assert found, "the probe did not run"
    return json.loads(html.unescape(found[1]))


def accessibility_tree(page: Path, scratch: Path) -> list[dict]:
    """Return what a screen reader is given of a page: of each node its role, its name and, of headings, its level.

    Chromium is spoken to by its DevTools protocol over two pipes, which it expects as file descriptors 3 and 4.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    (reads, asks), (answers, writes) = os.pipe(), os.pipe()
    flags = " ".join(map(shlex.quote, [*FLAGS, f"--user-data-dir={scratch / 'reader'}", "--remote-debugging-pipe"]))
    command = f"exec {shlex.quote(chromium())} {flags} 3<&{reads} 4>&{writes}"
    with subprocess.Popen(["bash", "-c", command], pass_fds=(reads, writes), stderr=subprocess.DEVNULL) as browser:
        os.close(reads)
        os.close(writes)
        with open(asks, "wb", buffering=0) as questions, open(answers, "rb") as replies:
            session = _Session(questions, replies)
            target = session.ask("Target.createTarget", url="about:blank")["targetId"]
            session.of = session.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            session.ask("Page.enable")
            session.ask("Page.navigate", url=page.as_uri())
            session.wait_for("Page.loadEventFired")
            nodes = session.ask("Accessibility.getFullAXTree")["nodes"]
            browser.terminate()
    return [_node(node) for node in nodes if not node["ignored"]]


class _Session:
    """Questions and answers, each a JSON text that a zero byte ends; `of` is the page that they are about."""

    def __init__(self, questions: IO[bytes], replies: IO[bytes]) -> None:
        self.questions, self.replies = questions, replies
        self.of = ""
        self.number = 0

    def ask(self, method: str, **parameters: object) -> dict:
        self.number += 1
        asked = {"id": self.number, "method": method, "params": parameters}
        self.questions.write(json.dumps(asked | ({"sessionId": self.of} if self.of else {})).encode() + b"\0")
        while (heard := self._hear()).get("id") != self.number:
            pass
        return heard["result"]

    def wait_for(self, event: str) -> None:
        while self._hear().get("method") != event:
            pass

    def _hear(self) -> dict:
        text = bytearray()
        while (byte := self.replies.read(1)) != b"\0":
            assert byte, "the browser ended"
            text += byte
        return json.loads(text)


def _node(node: dict) -> dict:
    levels = [one["value"]["value"] for one in node.get("properties", []) if one["name"] == "level"]
    return {
        "role": node["role"]["value"],
        "name": node.get("name", {}).get("value", ""),
        "level": (levels or [None])[0],
    }
