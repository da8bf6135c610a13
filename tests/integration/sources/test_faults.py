"""Every fault of an origin: after each the tree is the truth, or the command has failed and named what lacks."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.gcs_server import Fault, GcsServer, Request
from helpers.shared import ROOT
from helpers.sync import Result, script, tree, write_selection

QUICK = ("--first-wait", "0.02", "--stall", "1", "--tries", "5", "--connections", "8")
VICTIM = "val2017/000007.jpg"


def truth() -> dict[str, bytes]:
    """Return thirty files, one of them large enough to arrive in several pieces, one empty."""
    files = {f"val2017/{n:06d}.jpg": os.urandom(2000 + 997 * n) for n in range(30)}
    files[VICTIM] = os.urandom(3_000_000)
    files["val2017/000029.jpg"] = b""
    return files


class Bench:
    """A bucket of known content, and the two commands that fetch it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.truth = truth()
        self.server = GcsServer(page=10)
        for name, data in self.truth.items():
            self.server.put("b", f"coco/{name}", data)
        self.env = {"STORAGE_EMULATOR_HOST": self.server.url}
        self.out = folder / "out"
        self.lock = folder / "images.lock.tsv"

    def command(self, which: str) -> list[str]:
        if which == "sync_bucket.py":
            return [which, "gs://b/coco", str(self.out), *QUICK]
        selection = write_selection(self.folder / "selection.tsv", list(self.truth))
        settings = '{"origins": ["gs://b/coco"]}'
        places = ["--selection", str(selection), "--store-dir", str(self.out), "--lock", str(self.lock)]
        return [which, "--settings", settings, *places, *QUICK]

    def run(self, which: str) -> Result:
        return script(*self.command(which), env=self.env)

    def fault(self, which: Callable[[Request], bool], what: dict[str, Any], times: int = 1) -> None:
        left = {"n": times}

        def made(request: Request) -> dict[str, Any] | None:
            if left["n"] > 0 and which(request):
                left["n"] -= 1
                return what
            return None

        self.server.fault = made


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    with made.server:
        yield made


BOTH = pytest.mark.parametrize("which", ["sync_images.py", "sync_bucket.py"])


def media(request: Request) -> bool:
    return request.kind == "media"


def victim(request: Request) -> bool:
    return request.kind == "media" and request.name.endswith(VICTIM)


MENDED: dict[str, tuple[Callable[[Request], bool], dict[str, Any], int]] = {
    "a burst of 503": (media, {"status": 503}, 25),
    "500 and 408 too": (media, {"status": 408}, 5),
    "429 with Retry-After": (victim, {"status": 429, "headers": {"Retry-After": "1"}}, 1),
    "a reset before any answer": (media, {"status": 0}, 6),
    "a reset in the middle of a body": (victim, {"reset_at": 1_200_000}, 2),
    "a reset early in a body": (victim, {"reset_at": 1000}, 2),
    "a body that ends too early": (victim, {"truncate": 2_500_000}, 2),
    "a body shorter than the object": (victim, {"short": 10}, 2),
    "a flipped byte": (victim, {"flip": 1_500_000}, 1),
    "a flipped byte at the end": (victim, {"flip": 2_999_999}, 2),
    "a stall in the middle": (victim, {"stall_at": 1_100_000, "stall": 4}, 1),
    "a slow first byte": (victim, {"wait": 0.7}, 3),
    "a listing that fails": (lambda request: request.kind == "list", {"status": 503}, 2),
}


TURNS = [(("sync_bucket.py", "sync_images.py")[number % 2], name) for number, name in enumerate(MENDED)]


@pytest.mark.parametrize(("which", "name"), TURNS)
def test_after_the_fault_every_file_is_the_truth(bench: Bench, which: str, name: str) -> None:
    bench.fault(*MENDED[name])
    bench.run(which).ok()
    assert tree(bench.out) == bench.truth


def test_retry_after_is_waited_for(bench: Bench) -> None:
    bench.fault(victim, {"status": 429, "headers": {"Retry-After": "2"}}, 1)
    begin = time.monotonic()
    bench.run("sync_bucket.py").ok()
    assert time.monotonic() - begin > 2.0


def test_a_broken_large_body_is_continued_where_it_broke(bench: Bench) -> None:
    bench.fault(victim, {"truncate": 2_000_000}, 1)
    bench.run("sync_bucket.py").ok()
    ranges = [r.headers.get("Range", "") for r in bench.server.log if victim(r)]
    assert ranges[0] == ""
    assert int(ranges[1].removeprefix("bytes=").rstrip("-")) >= 1 << 20


@pytest.mark.parametrize(
    ("which", "what"),
    [
        pytest.param("sync_images.py", {"status": 404}, id="404 in the middle"),
        pytest.param("sync_bucket.py", {"status": 404}, id="404 in the middle of a mirror"),
        pytest.param("sync_images.py", {"status": 403}, id="403"),
        pytest.param("sync_bucket.py", {"status": 503}, id="503 for ever"),
        pytest.param("sync_images.py", {"flip": 77}, id="a byte flipped each time"),
        pytest.param("sync_bucket.py", {"reset_at": 5}, id="reset each time"),
    ],
)
def test_what_cannot_be_had_is_named_and_the_rest_arrives(bench: Bench, which: str, what: dict[str, Any]) -> None:
    bench.fault(victim, what, 1000)
    result = bench.run(which)
    assert result.code == 1
    assert VICTIM in result.err
    assert tree(bench.out) == {name: data for name, data in bench.truth.items() if name != VICTIM}
    assert not list(bench.out.rglob("*.part"))
    assert not (bench.out / ".cocomine" / "incomplete").exists()
    bench.server.fault = None
    before = len(bench.server.requests("media"))
    bench.run(which).ok()
    assert tree(bench.out) == bench.truth
    assert bench.server.requests("media")[before:] == [f"coco/{VICTIM}"]


def test_an_object_that_changes_after_the_listing_is_noticed(bench: Bench) -> None:
    def change(request: Request) -> dict[str, Any] | None:
        if victim(request) and request.count == 0:
            bench.server.put("b", f"coco/{VICTIM}", b"changed meanwhile")
        return None

    bench.server.fault = change
    result = bench.run("sync_bucket.py")
    assert result.code == 1
    assert VICTIM in result.err
    assert "changed" in result.err
    assert VICTIM not in tree(bench.out)
    bench.server.fault = None
    bench.run("sync_bucket.py").ok()
    assert tree(bench.out)[VICTIM] == b"changed meanwhile"


def test_an_object_that_changes_between_two_pieces_is_never_mixed(bench: Bench) -> None:
    new = os.urandom(3_000_000)

    def change(request: Request) -> dict[str, Any] | None:
        if victim(request) and request.count == 0:
            return {"reset_at": 2_000_000, "then": lambda: bench.server.put("b", f"coco/{VICTIM}", new)}
        return None

    bench.server.fault = change
    bench.run("sync_images.py").ok()
    assert tree(bench.out)[VICTIM] == new


def test_a_token_that_expires_is_renewed(bench: Bench) -> None:
    fault: Fault = lambda request: {"status": 401} if victim(request) and request.count == 0 else None  # noqa: E731
    bench.server.fault = fault
    bench.run("sync_bucket.py").ok()
    assert tree(bench.out) == bench.truth


@BOTH
def test_two_syncs_into_one_folder_at_once_do_no_harm(bench: Bench, which: str) -> None:
    command = [sys.executable, str(ROOT / "scripts" / which), *bench.command(which)[1:]]
    environment = {**os.environ, **bench.env}
    both = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [p.communicate()[1] is not None and p.returncode for p in both] == [0, 0]
    assert tree(bench.out) == bench.truth


@BOTH
def test_killed_at_any_moment_nothing_complete_is_fetched_again_and_nothing_partial_is_kept(
    bench: Bench, which: str
) -> None:
    """A few moments; tests/integration/sources/kill_loop.py does fifty."""
    killed(bench, which, rounds=3)


def killed(bench: Bench, which: str, rounds: int) -> int:
    """Start a sync over and over, killing it at another moment each time, then let it end; return how often it died."""
    command = [sys.executable, str(ROOT / "scripts" / which), *bench.command(which)[1:]]
    environment = {**os.environ, **bench.env}
    bench.server.fault = lambda request: {"wait": 0.05} if request.kind == "media" else None
    deaths = 0
    for number in range(rounds):
        begin = len(bench.server.requests("media"))
        complete = set(tree(bench.out)) if bench.out.exists() else set()
        for name, data in (tree(bench.out) if bench.out.exists() else {}).items():
            assert data == bench.truth[name], f"{name} is partial"
        child = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        limit = time.monotonic() + 10
        while len(bench.server.requests("media")) < begin + 1 and child.poll() is None and time.monotonic() < limit:
            time.sleep(0.005)
        time.sleep(0.013 * (number % 11))
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
            deaths += 1
        child.wait()
        time.sleep(0.1)
        again = {name.removeprefix("coco/") for name in bench.server.requests("media")[begin:]} & complete
        assert not again, f"fetched again: {again}"
    bench.server.fault = None
    bench.run(which).ok()
    assert tree(bench.out) == bench.truth
    assert not (bench.out / ".cocomine" / "incomplete").exists()
    return deaths
