"""How fast a sync is, beside gsutil and rclone, all through one TLS endpoint (nginx on loopback) in one run.

    ./run python tests/benchmarks/bench_sync.py [--full]

Prints a line for each part as soon as it is known, and as its last line one JSON object, also when it is interrupted
("complete": false then). Each pair of programs runs in turn (A B A B …); ratios are medians over the pairs, above 1
where ours is faster. Every client verifies MD5 (rclone and ours) or CRC32C/MD5 (gsutil). CPU is that of the client:
user and system. Files are fetched into memory (/dev/shm) where it has room: on ext4, whatever is fetched soon after
many files were deleted is slow for every program. --full takes eight to ten minutes, else it is a minute or two and the
figures are rough. A peer that is not installed is named as not run. Each program has run once before it is timed.
The figures come as a table too, each beside its target, as docs/transfer.md has them.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "scripts")]

import psutil  # noqa: E402
from helpers.peers import gsutil_path, write_boto_config  # noqa: E402
from helpers.static_bucket import CREATED_SECONDS, DelayProxy, StaticBucket  # noqa: E402
from helpers.sync import write_selection  # noqa: E402

SIZE = 150_000  # bytes of an object, as a photograph of COCO has on average
# google-cloud-storage's own way of fetching many objects, with the checksum that it takes by default
TRANSFER_MANAGER = """
import sys
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.cloud.storage import transfer_manager
endpoint, folder = sys.argv[1:]
client = storage.Client("none", AnonymousCredentials(), client_options={"api_endpoint": endpoint})
names = [blob.name for blob in client.list_blobs("bkt")]
done = transfer_manager.download_many_to_path(
    client.bucket("bkt"), names, destination_directory=folder, worker_type=transfer_manager.THREAD, max_workers=8
)
failed = [result for result in done if isinstance(result, Exception)]
sys.exit(str(failed[0]) if failed else 0)
"""
MEMORY = Path("/dev/shm")
ROOM = 2 << 30  # bytes that must be free there


class Peaks:
    """The most memory that each program held, summed over its processes, in MB."""

    def __init__(self) -> None:
        self.of: dict[str, float] = {}
        self.cpu = 0.0  # seconds, user and system, of the last run

    def run(self, name: str, command: list[str], env: dict[str, str]) -> float:
        """Run to the end and return the seconds."""
        before = _cpu()
        begin = time.perf_counter()
        child = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        done = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(name, child.pid, done))
        watcher.start()
        assert child.stderr is not None
        try:
            said = child.stderr.read()
            code = child.wait()
            seconds = time.perf_counter() - begin
        finally:
            done.set()
            watcher.join()
            if child.poll() is None:
                child.terminate()
                child.wait()
        self.cpu = _cpu() - before
        if code:
            raise RuntimeError(f"{name} ended with {code}: {said.decode(errors='replace')[-800:]}")
        return seconds

    def _watch(self, name: str, pid: int, done: threading.Event) -> None:
        while not done.wait(0.2):
            try:
                process = psutil.Process(pid)
                total = sum(p.memory_info().rss for p in [process, *process.children(recursive=True)])
            except psutil.Error:
                continue
            self.of[name] = max(self.of.get(name, 0.0), total / 1e6)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)  # of processes that have ended and were waited for
    return used.ru_utime + used.ru_stime


class Bench:
    """One bucket behind one TLS endpoint, and the programs that fetch it."""

    def __init__(self, folder: Path, out: Path) -> None:
        self.folder = folder
        self.bucket = StaticBucket(folder / "bucket")
        self.out = out / "out"
        self.base_env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        self.base_env["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")  # compiled once, as on a user's machine
        self.peaks = Peaks()

    def fill(self, count: int, size: int) -> None:
        """Make `count` objects of `size` random bytes."""
        shutil.rmtree(self.bucket.objects)
        self.bucket.objects.mkdir()
        for number in range(count):
            (self.bucket.objects / f"obj-{number:06d}.jpg").write_bytes(os.urandom(size))
        self.bucket.describe()

    def env(self, port: int) -> dict[str, str]:
        """Return the environment that sends ours to a port."""
        url = f"https://127.0.0.1:{port}"
        return {**self.base_env, "STORAGE_EMULATOR_HOST": url, "REQUESTS_CA_BUNDLE": str(self.bucket.cert)}

    def ours(self, port: int, *options: str) -> float:
        """Sync by ours."""
        command = [sys.executable, str(ROOT / "scripts" / "sync_bucket.py"), "gs://bkt", str(self.out), *options]
        return self.peaks.run("ours", command, self.env(port))

    def transfer_manager(self, port: int) -> float:
        """Fetch by google-cloud-storage, in our own environment, with 8 threads."""
        command = [sys.executable, "-c", TRANSFER_MANAGER, f"https://127.0.0.1:{port}", str(self.out)]
        return self.peaks.run("transfer_manager", command, self.env(port))

    def gsutil(self, port: int, *options: str) -> float:
        """Sync by gsutil -m."""
        boto = write_boto_config(self.folder / "boto", port, self.folder / "state")
        env = {**self.base_env, "BOTO_CONFIG": str(boto), "HOME": str(self.folder), "PYTHONWARNINGS": "ignore"}
        command = [str(gsutil_path()), "-m", "-q", "rsync", "-r", *options, "gs://bkt", str(self.out)]
        return self.peaks.run("gsutil", command, env)

    def rclone(self, port: int, transfers: int) -> float:
        """Sync by rclone."""
        remote = f':gcs,anonymous=true,endpoint="https://127.0.0.1:{port}/storage/v1/":bkt'
        options = ["--fast-list", "--transfers", str(transfers), "--checkers", str(transfers)]
        trust = ["--config", "/dev/null", "--ca-cert", str(self.bucket.cert)]
        return self.peaks.run("rclone", ["rclone", "copy", remote, str(self.out), *options, *trust], dict(os.environ))

    def empty(self) -> None:
        """Begin with an empty folder."""
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()
        os.sync()

    def fresh(self, run: Callable[[], float], count: int) -> float:
        """Run into an empty folder and check that all arrived whole."""
        self.empty()
        seconds = run()
        arrived = [entry for entry in os.scandir(self.out) if entry.is_file()]
        if len(arrived) != count:
            raise RuntimeError(f"{len(arrived)} of {count} files arrived")
        for entry in arrived[:: max(1, count // 50)]:
            if Path(entry.path).read_bytes() != (self.bucket.objects / entry.name).read_bytes():
                raise RuntimeError(f"{entry.name} is not the object")
        return seconds

    def pairs(
        self,
        name: str,
        ours: Callable[[], float],
        peer: Callable[[], float],
        count: int,
        times: int,
        warm: Callable[[], float] | None = None,
    ) -> dict[str, float]:
        """Run ours and a peer in turn; print and return rates and the ratio. `warm` runs the peer beforehand."""
        a, b, cpu_a, cpu_b = [], [], [], []
        self.empty()
        (warm or peer)()  # compiled and cached, both
        self.fresh(ours, count)
        for _ in range(times):
            a.append(self.fresh(ours, count))
            cpu_a.append(self.peaks.cpu)
            b.append(self.fresh(peer, count))
            cpu_b.append(self.peaks.cpu)
        ratios = sorted(y / x for x, y in zip(a, b, strict=True))
        ratio = statistics.median(ratios)
        mine, theirs = count / statistics.median(a), count / statistics.median(b)
        print(
            f"{name:34} ours {mine:7.0f} files/s   peer {theirs:7.0f} files/s   ratio {ratio:6.2f}"
            f"   ({ratios[0]:.2f} to {ratios[-1]:.2f}, {times} pairs)"
            f"   CPU {statistics.median(cpu_a):.2f} s, peer {statistics.median(cpu_b):.2f} s",
            flush=True,
        )
        cpu = statistics.median(y / x for x, y in zip(cpu_a, cpu_b, strict=True))
        return {"ours": mine, "peer": theirs, "ratio": ratio, "cpu_ratio": cpu}


def unchanged(bench: Bench, count: int) -> dict[str, float]:
    """Return the rates of a second sync, of the `count` objects that `flat` fetched last; nothing has changed."""
    result: dict[str, float] = {}
    bench.peaks.of.clear()
    mine = [bench.ours(bench.bucket.port) for _ in range(3)]
    result["ours"] = count / statistics.median(mine)
    result["peak_mb"] = bench.peaks.of["ours"]
    if gsutil_path():
        for entry in os.scandir(bench.out):
            if entry.is_file():
                os.utime(entry.path, (CREATED_SECONDS, CREATED_SECONDS))
        print(f"{f'unchanged, {count} objects':34} ours {result['ours']:.0f}/s; gsutil …", flush=True)
        result["gsutil"] = count / bench.gsutil(bench.bucket.port)
        result["ratio"] = result["ours"] / result["gsutil"]
    words = ", ".join(f"{key} {value:.1f}" for key, value in result.items())
    print(f"{f'unchanged, {count} objects':34} {words}", flush=True)
    return result


def members(bench: Bench, count: int, chosen: int) -> float:
    """Return bytes moved, less the directory's, over those of the members: `chosen` of `count` members of a zip64."""
    files = bench.bucket.folder / "files"
    files.mkdir(exist_ok=True)
    step = count // chosen
    names, size = [], 0
    with zipfile.ZipFile(files / "train2017.zip", "w") as archive:
        for number in range(count):
            name = f"train2017/{number:012d}.jpg"
            picked = number % step == 0 and len(names) < chosen
            if picked:
                names.append(name)
            data = os.urandom(SIZE if picked else 100)
            size += len(data) if picked else 0
            archive.writestr(name, data)
    directory = (files / "train2017.zip").stat().st_size - archive.start_dir
    selection = write_selection(bench.folder / "selection.tsv", names)
    before = bench.bucket.bytes_sent()
    settings = json.dumps({"origins": [f"{bench.bucket.url}/files/train2017.zip"]})
    command = [sys.executable, str(ROOT / "scripts" / "sync_images.py"), "--settings", settings]
    places = ["--selection", selection, "--store-dir", bench.folder / "store", "--lock", bench.folder / "lock.tsv"]
    seconds = bench.peaks.run("zip", [*command, *map(str, places)], bench.env(bench.bucket.port))
    moved = bench.bucket.bytes_sent() - before
    ratio = (moved - directory) / size
    print(f"{chosen} of {count} members of a zip: {seconds:.1f} s, {ratio:.4f} times their bytes, plus the directory")
    return ratio


def one_annotation_file(bench: Bench, megabytes: int) -> float:
    """Return bytes moved over those of one compressed JSON file, out of a zip of three such files."""
    files = bench.bucket.folder / "files"
    files.mkdir(exist_ok=True)
    chosen = "annotations/instances_train2017.json"
    with zipfile.ZipFile(files / "annotations.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for task in ("captions", "instances", "person_keypoints"):
            text = json.dumps(
                {"images": [], "annotations": [], "categories": [], "noise": os.urandom(megabytes << 19).hex()}
            )
            archive.writestr(f"annotations/{task}_train2017.json", text)
        size = archive.getinfo(chosen).compress_size
    before = bench.bucket.bytes_sent()
    source = {"origins": [f"{bench.bucket.url}/files/annotations.zip"], "splits": ["train2017"], "tasks": ["instances"]}
    out = bench.folder / "annotations"
    command = [sys.executable, str(ROOT / "scripts" / "sync_annotations.py"), "--settings", json.dumps(source)]
    places = ["--out-dir", str(out), "--lock", str(out / "sync.lock.json")]
    seconds = bench.peaks.run("annotations", [*command, *places], bench.env(bench.bucket.port))
    ratio = (bench.bucket.bytes_sent() - before) / size
    print(
        f"one of three files of {size / 1e6:.0f} MB in a zip: {seconds:.1f} s, {ratio:.4f} times its bytes", flush=True
    )
    return ratio


def flat(bench: Bench, counts: list[int]) -> list[float]:
    """Return the seconds for each 1,000 tiny files, at each number of objects."""
    result = []
    for count in counts:
        bench.fill(count, 1000)
        seconds = bench.fresh(lambda: bench.ours(bench.bucket.port), count)
        result.append(seconds / count * 1000)
        print(f"{f'{count} objects of 1 kB':34} {result[-1]:.2f} s for each 1,000", flush=True)
    return result


def measure(bench: Bench, full: bool, figures: dict[str, object]) -> None:
    """Take all figures, the most telling first, and put each into `figures` at once."""
    count, times = (2000, 5) if full else (400, 2)
    figures |= {"objects": count, "bytes": SIZE}
    bench.fill(count, SIZE)
    with bench.bucket as bucket, DelayProxy(bucket.port, 0.04) as slow:
        if shutil.which("rclone") is not None:
            got = bench.pairs(
                "rclone", lambda: bench.ours(bucket.port), lambda: bench.rclone(bucket.port, 64), count, times
            )
            figures |= {"ratio_vs_rclone": got["ratio"], "cpu_ratio_vs_rclone": got["cpu_ratio"]}
            figures["files_per_s"] = got["ours"]
            bench.bucket.describe(f"https://127.0.0.1:{slow.port}")
            later = (lambda: bench.ours(slow.port), lambda: bench.rclone(slow.port, 64))
            got = bench.pairs("rclone, 40 ms later", *later, count, times)
            figures["ratio_vs_rclone_40ms"] = got["ratio"]
            later = (lambda: bench.ours(slow.port), lambda: bench.rclone(slow.port, 128))
            got = bench.pairs("rclone with 128, 40 ms later", *later, count, times)
            figures["ratio_vs_rclone_128_40ms"] = got["ratio"]
            bench.bucket.describe()
        else:
            print("not run: rclone is not installed (apt-get install rclone)", flush=True)
        both = (lambda: bench.ours(bucket.port), lambda: bench.transfer_manager(bucket.port))
        got = bench.pairs("google-cloud-storage", *both, count, 3 if full else 1)
        figures |= {"ratio_vs_transfer_manager": got["ratio"], "transfer_manager_files_per_s": got["peer"]}
        if gsutil_path():
            both = (lambda: bench.ours(bucket.port), lambda: bench.gsutil(bucket.port))
            few = lambda: bench.gsutil(bucket.port, "-x", r"(?!obj-00000)")  # noqa: E731 - ten files, to compile it
            got = bench.pairs("gsutil -m rsync", *both, count, 3 if full else 1, few)
            figures |= {"ratio_vs_gsutil": got["ratio"], "files_per_s": got["ours"]}
        else:
            print("not run: gsutil is not installed (make_peers.py gsutil)", flush=True)
        figures["peak_mb"] = bench.peaks.of.get("ours", 0.0)
        figures["zip_bytes_ratio"] = members(bench, 118_287 if full else 20_000, 500 if full else 80)
        figures["annotation_bytes_ratio"] = one_annotation_file(bench, 60 if full else 6)
        counts = [1000, 10_000, 118_000] if full else [500, 4000]
        figures["seconds_per_1000"] = flat(bench, counts)
        figures |= {f"unchanged_{key}": value for key, value in unchanged(bench, counts[-1]).items()}


# key, what it is, the target in words, whether a value meets it
TARGETS: list[tuple[str, str, str, Callable[[Any], bool]]] = [
    ("files_per_s", "files of 150 kB a second", "", lambda value: True),
    ("ratio_vs_gsutil", "times `gsutil -m rsync`", "at least 14", lambda value: value >= 14),
    ("ratio_vs_rclone", "times `rclone copy`", "at least 1", lambda value: value >= 1),
    ("ratio_vs_rclone_40ms", "the same, each answer 40 ms later", "at least 1", lambda value: value >= 1),
    ("ratio_vs_rclone_128_40ms", "the same, rclone with 128 transfers instead of 64", "", lambda value: True),
    ("ratio_vs_transfer_manager", "times google-cloud-storage's transfer_manager", "", lambda value: True),
    ("zip_bytes_ratio", "bytes moved for members of a zip, over theirs", "at most 1.05", lambda value: value <= 1.05),
    (
        "annotation_bytes_ratio",
        "bytes moved for one file of a zip, over its",
        "at most 1.05",
        lambda value: value <= 1.05,
    ),
    ("unchanged_ratio", "an unchanged tree again: times gsutil's rate", "at least 10", lambda value: value >= 10),
    ("unchanged_ours", "unchanged files a second", "", lambda value: True),
    ("unchanged_peak_mb", "memory for that, MB", "under 300", lambda value: value < 300),
    (
        "seconds_per_1000",
        "seconds for each 1,000 files of 1 kB, at growing numbers",
        "flat: the last at most 1.25 times the first",
        lambda value: value[-1] <= 1.25 * value[0],
    ),
]


def table(figures: dict[str, object]) -> str:
    """Return the figures beside their targets, as a table in Markdown."""
    lines = ["| what | here | target | |", "|---|---|---|---|"]
    for key, what, target, meets in TARGETS:
        value: Any = figures.get(key)
        if value is None:
            lines.append(f"| {what} | not run | {target} | |")
            continue
        shown = (
            ", ".join(f"{v:.2f}" for v in value) if isinstance(value, list) else f"{value:.{0 if value > 100 else 3}f}"
        )
        verdict = ("met" if meets(value) else "**not met**") if target else ""
        lines.append(f"| {what} | {shown} | {target} | {verdict} |")
    return "\n".join(lines)


def _interrupted(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Run all and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the sizes that the documentation's figures are of")
    full = parser.parse_args().full
    signal.signal(signal.SIGTERM, _interrupted)
    figures: dict[str, object] = {"complete": False}
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    prefix = "cocomine-bench-"
    with (
        tempfile.TemporaryDirectory(prefix=prefix) as name,
        tempfile.TemporaryDirectory(prefix=prefix, dir=MEMORY if roomy else None) as out,
    ):
        try:
            measure(Bench(Path(name), Path(out)), full, figures)
            figures["complete"] = True
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        finally:
            print(table(figures), flush=True)
            rounded = {key: round(v, 3) if isinstance(v, float) else v for key, v in figures.items()}
            print(json.dumps(rounded), flush=True)
    if not figures["complete"]:
        sys.exit(130)


if __name__ == "__main__":
    main()
