"""Every fault before every kind of origin: after each the tree is the truth, or the command failed and named the rest.

The fault proxy stands between the command and a real server: our GCS server, moto's S3, a server of files with ranges.
Moments that are drawn at random, and deaths, are in test_killed.py; two syncs at once in test_two_at_once.py.
"""

import os

import pytest
from helpers.fault_proxy import Fault
from helpers.gcs_server import GcsServer
from helpers.range_server import RangeServer
from helpers.sync_bench import GS, KINDS, LARGE, STALL, SyncBench

MIDDLE = 600_000  # a byte of the victim's body
LATE = 1_200_000  # one behind the first MiB, from which on a broken body is continued
FETCHED = tuple(kind for kind in KINDS if kind != "publish")
ONE_BY_ONE = tuple(kind for kind in FETCHED if kind not in ("zip", "whole"))


# What asking again repairs, as (faults, times of each, whose requests): `any` file's bytes, or those of the `victim`.
REPAIRED: dict[str, tuple[tuple[Fault, ...], int, str]] = {
    "a burst of 503": ((Fault("503", status=503),), 4, "any"),
    "500, 502, 529 and 408": (tuple(Fault(str(code), status=code) for code in (500, 502, 529, 408)), 1, "any"),
    "resets before any answer": ((Fault("silent", silent=True),), 2, "victim"),
    "a reset in the middle of a body": ((Fault("reset", reset_at=MIDDLE),), 1, "victim"),
    "a reset late in a large body": ((Fault("reset late", reset_at=LATE),), 1, "victim"),
    "a truncated body": ((Fault("end", end_at=MIDDLE),), 1, "victim"),
    "a body shorter than the file": ((Fault("short", short=10),), 1, "victim"),
    "a flipped byte": ((Fault("flip", flip_at=MIDDLE),), 1, "victim"),
    "a stall in the middle": ((Fault("stall", stall_at=MIDDLE, seconds=3 * STALL),), 1, "victim"),
    "a first byte that comes too late": ((Fault("late", wait=3 * STALL),), 1, "victim"),
}
UPLOADS = ("a burst of 503", "500, 502, 529 and 408", "resets before any answer")
PUBLISHED: dict[str, tuple[tuple[Fault, ...], int, str]] = {
    "an answer lost after the object was stored": ((Fault("lost", after_work=True),), 2, "any"),
    "an answer that comes too late": ((Fault("late", wait=3 * STALL),), 1, "any"),
}
PAIRS = [
    *((kind, name) for kind in FETCHED for name in REPAIRED),
    *(("publish", name) for name in (*UPLOADS, *PUBLISHED)),
]


@pytest.mark.parametrize(("bench", "name"), PAIRS, indirect=["bench"], ids=lambda value: str(value).replace(" ", "-"))
def test_after_the_fault_every_file_is_the_truth(bench: SyncBench, name: str) -> None:
    faults, times, whose = (REPAIRED | PUBLISHED)[name]
    pattern = bench.data if whose == "any" else bench.remote(bench.victim)
    rules = [bench.proxy.inject(pattern, fault, times, method=bench.method) for fault in faults]
    bench.run().ok()
    assert bench.held() == bench.truth
    assert [rule.given for rule in rules] == [times] * len(rules), "a fault did not take place"
    if bench.kind in (*ONE_BY_ONE, "publish"):  # a file is asked for once, and once more for each fault: no more
        assert len(bench.proxy.asked(bench.data, bench.method)) == len(bench.truth) + times * len(rules)


@pytest.mark.parametrize("bench", KINDS, indirect=True)
def test_a_slow_first_byte_is_waited_for_and_nothing_is_asked_twice(bench: SyncBench) -> None:
    bench.proxy.inject(bench.data, Fault("slow", wait=0.5 * STALL), 3, method=bench.method)
    bench.run().ok()
    assert bench.held() == bench.truth
    if bench.kind in (*ONE_BY_ONE, "publish"):
        assert len(bench.proxy.asked(bench.data, bench.method)) == len(bench.truth)


@pytest.mark.parametrize(
    ("bench", "status"), [*((kind, 429) for kind in KINDS), ("mirror", 503), ("s3", 503)], indirect=["bench"]
)
def test_retry_after_is_honoured(bench: SyncBench, status: int) -> None:
    """By the times of the requests, as the server sees them."""
    pattern = bench.data if bench.kind == "publish" else bench.remote(bench.victim)
    fault = Fault("wait", status=status, headers={"Retry-After": "1"})
    bench.proxy.inject(pattern, fault, method=bench.method)
    bench.run().ok()
    assert bench.held() == bench.truth
    asked = bench.proxy.asked(pattern, bench.method)
    (told,) = [row for row in asked if row.fault]
    if bench.kind == "publish":  # a request does not say which object it is for: nothing new but what was under way
        again = [row for row in asked if row.headers.get("content-length") == told.headers["content-length"]][-1]
        assert again is not told
        assert again.came - told.answered >= 1.0
    else:
        assert len(asked) == 2
        assert asked[1].came - told.answered >= 1.0


def final(bench: SyncBench, fault: Fault) -> None:
    """Let a fault hit the victim for ever: it is named, the rest arrives, and afterwards it alone is fetched."""
    pattern = bench.data if bench.kind == "publish" else bench.remote(bench.victim)
    times, first = (10_000, 5) if bench.kind == "publish" else (10_000, 0)
    bench.proxy.inject(pattern, fault, times, first, bench.method)
    result = bench.run()
    assert result.code == 1, result.err
    bench.judge(result)
    held = bench.held()
    if bench.kind in (*ONE_BY_ONE, "zip"):
        assert set(bench.truth) - set(held) == {bench.victim}
    bench.proxy.clear()
    bench.run().ok()
    assert bench.held() == bench.truth
    if bench.kind in ONE_BY_ONE:
        assert len(bench.proxy.asked(bench.data)) == 1
        assert len(bench.proxy.asked(bench.remote(bench.victim))) == 1
    elif bench.kind == "publish":
        taken = [one for one in bench.proxy.asked(bench.data, "POST") if one.status == 200]  # not what was sent again
        assert len(taken) == len(bench.truth) - len(held)
    elif bench.kind == "zip":
        assert not bench.fetched_again(bench.proxy.log, held)


@pytest.mark.parametrize("bench", KINDS, indirect=True)
@pytest.mark.parametrize("status", [404, 503])
def test_what_cannot_be_had_is_named_and_the_rest_arrives(bench: SyncBench, status: int) -> None:
    """404 in the middle of a sync, and 503 for ever."""
    final(bench, Fault(str(status), status=status))


@pytest.mark.parametrize("bench", ONE_BY_ONE, indirect=True)
def test_what_arrives_broken_each_time_is_named_and_never_kept(bench: SyncBench) -> None:
    final(bench, Fault("flip", flip_at=77))


@pytest.mark.parametrize("bench", ["mirror", "https", "s3"], indirect=True)
def test_what_breaks_off_each_time_is_named_and_never_kept(bench: SyncBench) -> None:
    final(bench, Fault("reset", reset_at=5))


@pytest.mark.parametrize("bench", ["zip"], indirect=True)
def test_a_member_that_arrives_flipped_each_time_is_named_and_never_kept(bench: SyncBench) -> None:
    final(bench, Fault("flip", flip_at=MIDDLE))


@pytest.mark.parametrize("bench", ["whole"], indirect=True)
def test_a_whole_zip_that_arrives_flipped_each_time_names_what_is_broken_and_keeps_none_of_it(bench: SyncBench) -> None:
    begin, end = bench.spans[bench.victim]
    bench.proxy.inject("/v.zip", Fault("flip", flip_at=(begin + end) // 2), 10_000)
    result = bench.run()
    assert result.code == 1
    bench.judge(result)
    assert bench.victim not in bench.held()
    bench.proxy.clear()
    bench.run().ok()
    assert bench.held() == bench.truth


@pytest.mark.parametrize("bench", ["publish"], indirect=True)
@pytest.mark.parametrize(
    "fault",
    [Fault("503", status=503), Fault("silent", silent=True), Fault("lost", after_work=True)],
    ids=["503", "reset", "answer lost"],
)
def test_a_large_upload_that_breaks_is_finished(bench: SyncBench, fault: Fault) -> None:
    """Above 8 MiB objects go up in a session of their own: its beginning and its bytes break, one after the other."""
    name = "val2017/large.bin"
    bench.truth[name] = os.urandom(9 << 20)
    (bench.folder / "in" / name).write_bytes(bench.truth[name])
    begins = bench.proxy.inject("uploadType=resumable", fault, method="POST")
    sends = bench.proxy.inject("upload_id=", fault, method="PUT")
    bench.run().ok()
    assert bench.held() == bench.truth
    assert begins.given == sends.given == 1


@pytest.mark.parametrize("bench", ["publish"], indirect=True)
def test_a_deletion_whose_answer_does_not_come_is_asked_for_again(bench: SyncBench) -> None:
    server = bench.server
    assert isinstance(server, GcsServer)
    for number in range(3):
        server.put("b", f"coco/old/{number}", b"old")
    rules = [
        bench.proxy.inject("old/0", Fault("late", wait=3 * STALL), method="DELETE"),
        bench.proxy.inject("old/1", Fault("lost", after_work=True), method="DELETE"),
        bench.proxy.inject("old/2", Fault("503", status=503), 2, method="DELETE"),
    ]
    bench.run("-d").ok()
    assert bench.held() == bench.truth
    assert [rule.given for rule in rules] == [1, 1, 2]


@pytest.mark.parametrize("bench", ["publish"], indirect=True)
def test_a_byte_flipped_on_the_way_up_is_refused_by_the_bucket_and_named(bench: SyncBench) -> None:
    bench.proxy.inject(bench.data, Fault("flip", flip_sent=900), 1, first=4, method="POST")
    bench.judge(bench.run())


# -- versions


@pytest.mark.parametrize("bench", ["zip", "whole"], indirect=True)
def test_a_zip_whose_version_changes_under_the_transfer_is_never_mixed(bench: SyncBench) -> None:
    """Another ETag in the middle: the files whose bytes are of the old version arrive, the others are named."""
    first = 4 if bench.kind == "zip" else 0
    bench.proxy.inject(bench.data, Fault("changed", headers={"ETag": '"another"'}), 10_000, first)
    result = bench.run()
    assert result.code == 1
    bench.judge(result)
    assert "changed" in result.err
    bench.proxy.clear()
    bench.run().ok()
    assert bench.held() == bench.truth


@pytest.mark.parametrize("bench", ["zip", "whole"], indirect=True)
def test_a_zip_that_is_replaced_between_two_pieces_is_never_mixed(bench: SyncBench) -> None:
    """The file itself is another after a broken answer; a later run brings the new one."""
    server = bench.server
    assert isinstance(server, RangeServer)
    path = server.folder / "v.zip"
    old = path.read_bytes()
    new = old.replace(bench.truth[bench.victim][MIDDLE : MIDDLE + 64], os.urandom(64))

    def replace() -> None:
        before = path.stat()
        path.write_bytes(new)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 5_000_000_000))

    bench.proxy.inject(bench.remote(bench.victim), Fault("replaced", reset_at=MIDDLE - 100_000, then=replace))
    result = bench.run()
    assert result.code in (0, 1)
    bench.judge(result)  # every byte that is there is the old zip's


@pytest.mark.parametrize("bench", GS, indirect=True)
def test_an_object_that_changes_between_two_pieces_is_never_mixed(bench: SyncBench) -> None:
    server = bench.server
    assert isinstance(server, GcsServer)
    new = os.urandom(LARGE)
    name = f"coco/{bench.victim}"
    fault = Fault("replaced", reset_at=LATE, then=lambda: server.put("b", name, new))
    bench.proxy.inject(bench.remote(bench.victim), fault)
    result = bench.run()
    if bench.kind == "list":  # a list names no version: the new one is as good
        assert result.code == 0
        assert bench.held() == bench.truth | {bench.victim: new}
        return
    assert result.code == 1
    assert bench.victim in result.err
    assert "changed" in result.err
    bench.judge(result)
    bench.run().ok()
    assert bench.held() == bench.truth | {bench.victim: new}


@pytest.mark.parametrize("bench", ["s3", "https"], indirect=True)
def test_a_file_whose_etag_changes_between_two_tries_is_taken_whole_from_one(bench: SyncBench) -> None:
    bench.proxy.inject(bench.remote(bench.victim), Fault("reset", reset_at=MIDDLE))
    bench.proxy.inject(bench.remote(bench.victim), Fault("changed", headers={"ETag": '"another"'}), 1, first=1)
    bench.run().ok()
    assert bench.held() == bench.truth
    (again,) = bench.proxy.asked(bench.remote(bench.victim))[1:]
    assert again.span is None


@pytest.mark.parametrize("bench", ["mirror"], indirect=True)
def test_an_object_that_changes_after_the_listing_is_noticed(bench: SyncBench) -> None:
    server = bench.server
    assert isinstance(server, GcsServer)
    put = lambda: server.put("b", f"coco/{bench.victim}", b"changed meanwhile")  # noqa: E731
    bench.proxy.inject(bench.remote(bench.victim), Fault("changed", before=put))
    result = bench.run()
    assert result.code == 1
    bench.judge(result)
    assert "changed" in result.err
    bench.run().ok()
    assert bench.held()[bench.victim] == b"changed meanwhile"


@pytest.mark.parametrize("bench", ["publish"], indirect=True)
def test_an_object_that_somebody_else_puts_meanwhile_is_not_overwritten(bench: SyncBench) -> None:
    server = bench.server
    assert isinstance(server, GcsServer)
    put = lambda: server.put("b", f"coco/{bench.victim}", b"theirs")  # noqa: E731
    bench.proxy.inject("/o[?]", Fault("theirs", then=put), 1)  # after the listing, before any upload
    result = bench.run()
    assert result.code == 1
    assert bench.victim in result.err
    assert "changed by someone else" in result.err
    held = bench.held()
    assert held.pop(bench.victim) == b"theirs"
    assert held == {name: data for name, data in bench.truth.items() if name != bench.victim}


# -- what comes before the bytes


LISTINGS = {
    "mirror": "/o[?].*prefix=coco/",
    "list": "/o[?]|/o/[^?]*[?]fields",
    "annotations": "/o[?]|/o/[^?]*[?]fields",
    "publish": "/o[?].*prefix=coco/",
    "zip": "bytes=(?!0-0)",
}


@pytest.mark.parametrize("bench", LISTINGS, indirect=True)
@pytest.mark.parametrize("fault", [Fault("503", status=503), Fault("reset", reset_at=20)], ids=["503", "reset"])
def test_a_listing_that_breaks_is_asked_again(bench: SyncBench, fault: Fault) -> None:
    rule = bench.proxy.inject(LISTINGS[bench.kind], fault, 2)
    bench.run().ok()
    assert bench.held() == bench.truth
    assert rule.given == 2


@pytest.mark.parametrize("bench", ["mirror"], indirect=True)
def test_a_listing_that_fails_on_its_second_page_stops_the_sync_and_deletes_nothing(bench: SyncBench) -> None:
    bench.run().ok()
    (bench.out / "val2017" / "extra.jpg").write_bytes(b"extra")
    bench.proxy.inject("/o[?].*pageToken", Fault("503", status=503), 10_000)
    result = bench.run("-d")
    assert result.code == 1
    assert "503" in result.err
    assert bench.held() == bench.truth | {"val2017/extra.jpg": b"extra"}


@pytest.mark.parametrize("bench", ["mirror"], indirect=True)
def test_a_broken_large_body_is_continued_where_it_broke(bench: SyncBench) -> None:
    bench.proxy.inject(bench.remote(bench.victim), Fault("reset", end_at=LATE))
    bench.run().ok()
    first, second = bench.proxy.asked(bench.remote(bench.victim))
    assert first.span is None
    assert second.span is not None
    assert second.span[0] >= 1 << 20


@pytest.mark.parametrize("bench", ["whole"], indirect=True)
def test_a_broken_download_of_a_whole_zip_goes_on_where_it_broke(bench: SyncBench) -> None:
    bench.proxy.inject("/v.zip", Fault("end", end_at=LATE), 1)
    bench.run().ok()
    assert bench.held() == bench.truth
    _, second = bench.proxy.asked("/v.zip")
    assert second.span is not None
    assert second.span[0] > 1_000_000


@pytest.mark.parametrize("bench", ["mirror"], indirect=True)
def test_a_token_that_expires_is_renewed(bench: SyncBench) -> None:
    bench.proxy.inject(bench.remote(bench.victim), Fault("401", status=401))
    bench.run().ok()
    assert bench.held() == bench.truth
