"""Two syncs into one place at once, made to overlap: neither moves a byte before the other has begun."""

import subprocess
import threading
from pathlib import Path

import pytest
from helpers.fault_proxy import Fault, FaultProxy
from helpers.gcs_server import GcsServer
from helpers.sync_bench import SyncBench


def both(bench: SyncBench, *more: str) -> None:
    """Run the command twice at once. Each asks through a proxy of its own."""
    begun = [threading.Event(), threading.Event()]
    first = bench.proxy
    server = first.server.geturl()
    children = []
    met: list[bool] = []  # of each run, before its first byte: whether the other had begun
    with FaultProxy(server) as second:
        for number, proxy in enumerate((first, second)):
            mine, other = begun[number], begun[1 - number]
            proxy.delay = 0.03

            def meet(mine: threading.Event = mine, other: threading.Event = other) -> None:
                mine.set()
                met.append(other.wait(30))

            proxy.inject(bench.data, Fault("meet", before=meet), method=bench.method)
            proxy.inject("", Fault("begun", before=mine.set), 10_000, method=".*")
            bench.proxy = proxy
            if isinstance(bench.server, GcsServer):
                bench.env["STORAGE_EMULATOR_HOST"] = proxy.url
            program, environment = bench.program(*more)
            children.append(subprocess.Popen(program, env=environment, stderr=subprocess.PIPE, text=True))
        said = [child.communicate(timeout=120)[1] for child in children]
    bench.proxy = first
    if isinstance(bench.server, GcsServer):
        bench.env["STORAGE_EMULATOR_HOST"] = first.url
    assert [child.returncode for child in children] == [0, 0], "\n--\n".join(said)
    assert met
    assert all(met), "they did not overlap"
    assert not (bench.out / ".cocomine" / "incomplete").exists()
    first.delay = 0.0
    first.clear()


@pytest.mark.parametrize("kind", ["list", "https", "zip", "whole", "annotations"])
def test_two_syncs_into_one_store_take_turns_and_ask_for_nothing_twice(tmp_path: Path, kind: str) -> None:
    begun, waits = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        waits.wait(30)

    with SyncBench(kind, tmp_path) as bench:
        bench.proxy.inject(bench.data, Fault("hold", before=hold), method=bench.method)
        program, environment = bench.program()
        first = subprocess.Popen(program, env=environment)
        assert begun.wait(60)
        with subprocess.Popen(program, env=environment, stderr=subprocess.PIPE, text=True) as second:
            assert second.stderr is not None
            assert any("waiting: another run brings" in line for line in second.stderr)
            waits.set()
            second.stderr.read()
        assert (first.wait(60), second.wait(60)) == (0, 0)
        assert bench.held() == bench.truth
        asked = [one.text for one in bench.proxy.asked(bench.data, bench.method)]
        assert len(asked) == len(set(asked))


def test_two_mirrors_at_once_that_delete_leave_the_bucket_s_files_and_no_other(tmp_path: Path) -> None:
    with SyncBench("mirror", tmp_path) as bench:
        for number in range(30):
            extra = bench.out / "old" / f"{number}.jpg"
            extra.parent.mkdir(parents=True, exist_ok=True)
            extra.write_bytes(b"old")
        both(bench, "-d")
        assert bench.held() == bench.truth
        bench.run("-d").ok()
        assert not bench.proxy.asked(bench.data, bench.method)


def test_two_that_publish_at_once_and_delete_leave_the_folder_s_files_and_no_other(tmp_path: Path) -> None:
    with SyncBench("publish", tmp_path) as bench:
        assert isinstance(bench.server, GcsServer)
        for number in range(10):
            bench.server.put("b", f"coco/old/{number}.jpg", b"old")
        both(bench, "-d")
        assert bench.held() == bench.truth
        bench.run("-d").ok()
        assert not bench.proxy.asked(bench.data, bench.method)
