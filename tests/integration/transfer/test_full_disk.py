"""A disk that fills while a sync runs, one that cannot be written, too few inodes, too few open files."""

import subprocess
import sys

import pytest
from helpers.fault_proxy import Fault
from helpers.shared import ROOT
from helpers.small_disk import fill, small_disk
from helpers.sync_bench import SyncBench, clean_environment

KINDS = ("mirror", "list", "https", "zip", "whole", "s3")


@pytest.mark.parametrize("bench", KINDS, indirect=True)
def test_a_disk_that_fills_on_the_way_is_named_and_the_same_command_goes_on(bench: SyncBench) -> None:
    with small_disk(bench.out, 8_000_000) as out:
        pattern = bench.remote(bench.victim)
        bench.proxy.inject(pattern, Fault("fills", before=lambda: fill(out, leaving=100_000)))
        result = bench.run()
        assert result.code == 1, result.err
        assert f"{out}" in result.err
        assert "the disk is full" in result.err
        assert "free" in result.err
        assert "make room there, then run the same command again" in result.err
        assert "fault in cocomine" not in result.err
        if bench.kind != "whole":
            assert "are still to be fetched" in result.err
        held = bench.held()
        held.pop("ballast")
        assert held.items() <= bench.truth.items(), "nothing partial is at its place"
        (out / "ballast").unlink()
        bench.proxy.clear()
        bench.run().ok()
        assert bench.held() == bench.truth
        if bench.kind in ("mirror", "list", "https", "s3"):
            assert not bench.fetched_again(bench.proxy.log, held)


@pytest.mark.parametrize("bench", ["mirror", "list"], indirect=True)
def test_a_disk_without_inodes_is_said_to_have_none(bench: SyncBench) -> None:
    with small_disk(bench.out, 8_000_000, files=14):
        result = bench.run()
        assert result.code == 1
        assert "no inodes (files) are left" in result.err
        assert "fault in cocomine" not in result.err
        subprocess.run(["mount", "-o", "remount,nr_inodes=1000", bench.out], check=True)
        bench.run().ok()
        assert bench.held() == bench.truth


@pytest.mark.parametrize("bench", ["mirror", "list"], indirect=True)
def test_a_disk_that_cannot_be_written_is_named(bench: SyncBench) -> None:
    with small_disk(bench.out, 8_000_000):
        subprocess.run(["mount", "-o", "remount,ro", bench.out], check=True)
        result = bench.run()
        assert result.code == 1
        assert str(bench.out) in result.err
        assert "this disk is read-only" in result.err
        assert "fault in cocomine" not in result.err


@pytest.mark.parametrize("bench", ["mirror", "https", "zip"], indirect=True)
def test_few_open_files_are_enough(bench: SyncBench) -> None:
    bench.quick = (*bench.quick[:-2], "--connections", "128")
    script, *arguments = bench.command()
    command = [sys.executable, str(ROOT / "scripts" / script), *arguments]
    few = ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *command]
    done = subprocess.run(few, env=clean_environment() | bench.env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert bench.held() == bench.truth
