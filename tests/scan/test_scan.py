"""``vilaco scan`` as a person meets it: killed, interrupted, short of disk, with files that crash what reads them."""

import hashlib
import json
import os
import random
import re
import resource
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from scan_runs import command, rows_of, run_scan
from vilaco.errors import DataError
from vilaco.localizer import Localizer
from vilaco.scan.run import scan
from vilaco.scan.store import SCHEMA

Fill = Callable[[Path, int], Path]


def each_once(out: Path, source: Path) -> None:
    """Each image of the source has exactly one row, and no file is left half-written."""
    names = Counter(row["path"] for row in rows_of(out))
    assert names == Counter(path.relative_to(source).as_posix() for path in source.rglob("*.jpg"))
    assert not list(out.rglob("*.tmp"))
    for row in rows_of(out):
        for name in ("mask", "overlay"):
            assert row[name] is None or cv2.imread(str(out / row[name])) is not None


def test_rows_are_what_the_localizer_says(photos: Fill, exported_tiny_model: Path, tmp_path: Path) -> None:
    source, out = photos(tmp_path / "in", 7), tmp_path / "out"
    (source / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    run = run_scan(source, "--out", out, "--model", exported_tiny_model, "--keep-above", "0", "--json")
    assert run.returncode == 3, run.stderr
    assert re.search(r"^skipped: broken.jpg: .* \[(corrupt|truncated)\]$", run.stderr, re.MULTILINE)
    report = json.loads(run.stdout)
    assert (report["images"], report["done"], sum(report["failures"].values())) == (8, 8, 1)
    each_once(out, source)
    localizer = Localizer.load(exported_tiny_model)
    for row in rows_of(out):
        data = (source / row["path"]).read_bytes()
        assert (row["sha256"], row["size"]) == (hashlib.sha256(data).hexdigest(), len(data))
        assert row["model_fingerprint"] == localizer.fingerprint
        assert (row["verdict"] is None) == (row["error_code"] is not None) == (row["path"] == "broken.jpg")
        if row["verdict"] is None:
            continue
        result = localizer(data)
        assert row["detection_score"] == pytest.approx(result.detection_score, abs=1e-4)
        assert row["region_count"] == len(row["regions"]) == len(result.regions)
        assert row["largest_region"] == max((region.area for region in result.regions), default=0)
        assert (row["height"], row["width"]) == result.localization_map.shape
        mask = cv2.imread(str(out / row["mask"]), cv2.IMREAD_UNCHANGED)
        np.testing.assert_allclose(mask > 0, result.pred_mask, atol=0)
    (part,) = (out / "results").iterdir()
    assert pq.read_schema(part).equals(SCHEMA)


def test_killed_at_random_and_gone_on_with(photos: Fill, exported_tiny_model: Path, tmp_path: Path) -> None:
    source, out = photos(tmp_path / "in", 240), tmp_path / "out"
    arguments = command(source, "--out", out, "--model", exported_tiny_model, "--keep-above", "0", "--workers", 2)
    dice, kills = random.Random(0), 0
    for _ in range(3):
        before = (out / "journal.jsonl").stat().st_size if out.exists() else 0
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and kept(out) <= before:
            time.sleep(0.01)
        time.sleep(dice.random() / 5)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills == 3
    assert kept(out) > 0
    with open(out / "journal.jsonl", "ab") as journal:  # a power cut may leave half a line
        journal.write(b'{"path":"0001.jpg","sha2')
    run = run_scan(source, "--out", out, "--model", exported_tiny_model, "--keep-above", "0")
    assert run.returncode == 0, run.stderr
    assert " of them done before" in run.stderr
    each_once(out, source)
    assert (out / "summary.html").is_file()


def kept(out: Path) -> int:
    """Size of the journal, in bytes."""
    return (out / "journal.jsonl").stat().st_size if (out / "journal.jsonl").exists() else 0


def test_parts_and_journal_never_hold_an_image_twice(photos: Fill, exported_tiny_model: Path, tmp_path: Path) -> None:
    source, out = photos(tmp_path / "in", 9), tmp_path / "out"
    report = scan(source, out, model=exported_tiny_model, workers=1, part_rows=4)
    assert (report.done, report.interrupted) == (9, False)
    assert [pq.read_metadata(part).num_rows for part in sorted((out / "results").iterdir())] == [4, 4, 1]
    last = sorted((out / "results").iterdir())[-1]  # as if it had died between the part and the emptied journal
    (row,) = pq.read_table(last).to_pylist()
    line = {**row, "regions": []}
    (out / "journal.jsonl").write_text(json.dumps(line) + "\n")
    assert scan(source, out, model=exported_tiny_model, workers=1).done == 9
    each_once(out, source)
    (source / "new.jpg").write_bytes((source / "0001.jpg").read_bytes())
    assert scan(source, out, model=exported_tiny_model, workers=1).done == 10
    each_once(out, source)


def test_failures_are_looked_at_again_when_asked_for(photos: Fill, exported_tiny_model: Path, tmp_path: Path) -> None:
    source, out = photos(tmp_path / "in", 6), tmp_path / "out"
    whole = [(source / f"000{number}.jpg").read_bytes() for number in (1, 2)]
    for name in ("0001.jpg", "0002.jpg", "gone.jpg"):
        (source / name).write_bytes(b"not yet")
    once = partial(scan, source, out, model=exported_tiny_model, workers=1, part_rows=1)
    assert sum(once().failures.values()) == 3
    judged_before = {row["path"]: row["seconds"] for row in rows_of(out) if row["error_code"] is None}
    (source / "gone.jpg").unlink()
    (source / "0001.jpg").write_bytes(whole[0])
    assert sum(once().failures.values()) == 3
    report = once(retry_failed=True)
    assert (report.images, report.done, sum(report.failures.values())) == (6, 6, 1)
    rows = {row["path"]: row for row in rows_of(out)}
    assert len(rows) == len(rows_of(out)) == 6
    assert [path for path, row in rows.items() if row["error_code"] is not None] == [
        "0002.jpg"
    ]  # gone.jpg is forgotten
    assert {path: rows[path]["seconds"] for path in judged_before} == judged_before
    (source / "0002.jpg").write_bytes(whole[1])
    assert once(retry_failed=True, part_rows=100).failures == {}


def test_interrupt_keeps_what_is_done(photos: Fill, exported_tiny_model: Path, tmp_path: Path) -> None:
    source, out = photos(tmp_path / "in", 400), tmp_path / "out"
    arguments = command(source, "--out", out, "--model", exported_tiny_model)
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # what a shell starts in the background ignores it
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, preexec_fn=heed)
    while process.poll() is None and not kept(out):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 130, messages
    assert "Traceback" not in messages
    (done,) = re.findall(r"interrupted with (\d+) of 400 photos done; the same command goes on", messages)
    assert 0 < int(done) == len(rows_of(out)) < 400
    assert run_scan(source, "--out", out, "--model", exported_tiny_model).returncode == 0
    each_once(out, source)


def test_full_disk_is_said_and_gone_on_from(photos: Fill, exported_tiny_model: Path, tmp_path: Path) -> None:
    source, out = photos(tmp_path / "in", 40), tmp_path / "out"
    arguments = (source, "--out", out, "--model", exported_tiny_model)
    short = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (8000, resource.RLIM_INFINITY))
    run = run_scan(*arguments, preexec_fn=short)
    assert run.returncode == 2
    (line,) = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
    assert "journal.jsonl: cannot be written (" in line
    assert "Traceback" not in run.stderr
    run = run_scan(*arguments)
    assert run.returncode == 0, run.stderr
    assert " of them done before" in run.stderr
    each_once(out, source)


def test_a_file_that_kills_costs_itself_alone(
    photos: Fill, deadly: str, exported_tiny_model: Path, tmp_path: Path
) -> None:
    source, out = photos(tmp_path / "in", 12), tmp_path / "out"
    picture = (source / "0001.jpg").read_bytes()
    for name in ("segfault.jpg", "deep/segfault2.jpg", "oom.jpg", "hang.jpg"):
        (source / name).write_bytes(picture)
    path = os.pathsep.join([deadly, *filter(None, [os.environ.get("PYTHONPATH")])])
    run = run_scan(
        f"deadly://{source}", "--out", out, "--model", exported_tiny_model, "--workers", 2, "--time-limit", 8,
        env={"PYTHONPATH": path},
    )  # fmt: skip
    assert run.returncode == 3, run.stderr
    each_once(out, source)
    failed = {row["path"]: (row["error_code"], row["error_reason"]) for row in rows_of(out) if row["error_code"]}
    assert set(failed) == {"segfault.jpg", "deep/segfault2.jpg", "oom.jpg", "hang.jpg"}
    assert failed["segfault.jpg"] == ("crashed", "the process that looked at it died twice (signal SIGSEGV)")
    assert failed["oom.jpg"] == ("crashed", "the process that looked at it died twice (signal SIGKILL)")
    assert failed["hang.jpg"] == ("time_limit", "was not done after 8 seconds, twice")


def test_other_settings_are_refused(
    photos: Fill, exported_tiny_model: Path, exported_pixel_model: Path, tmp_path: Path
) -> None:
    source, out = photos(tmp_path / "in", 2), tmp_path / "out"
    first = ("--out", out, "--model", exported_tiny_model)
    assert run_scan(source, *first).returncode == 0
    for arguments, words in [
        ((source, "--out", out, "--model", exported_pixel_model), "holds a scan with model "),
        ((source, *first, "--keep-above", "0.9"), "and now it is 0.9; go on with the same, or give a new folder"),
        ((source, *first, "--max-pixels", "5"), "holds a scan with max_pixels 100000000, and now it is 5"),
        ((source / "deep", *first), f"holds a scan with source {source}, and now it is {source}/deep"),
        ((source, "--out", source, "--model", exported_tiny_model), "what a scan writes must not be scanned"),
        ((f"file://{source}", "--out", source / "new"), "what a scan writes must not be scanned"),
        ((source, "--out", tmp_path, "--model", exported_tiny_model), "is not empty and holds no scan"),
        ((source, *first, "--keep-above", "2"), "keep_above: Input should be less than or equal to 1"),
        ((source, *first, "--address", "here"), "add --engine ray"),
    ]:
        run = run_scan(*arguments)
        assert run.returncode == 2, arguments
        assert words in " ".join(run.stderr.split()), run.stderr
        assert "Traceback" not in run.stderr
    each_once(out, source)
    assert sorted(os.listdir(tmp_path)) == ["in", "out"]  # a refused folder is left as it was


def test_two_scans_do_not_write_to_one_folder(photos: Fill, exported_tiny_model: Path, tmp_path: Path) -> None:
    source, out = photos(tmp_path / "in", 1), tmp_path / "out"

    def second(done: int, images: int, row: object) -> None:
        with pytest.raises(DataError, match="another scan is writing here"):
            scan(source, out, model=exported_tiny_model, workers=1)

    assert scan(source, out, model=exported_tiny_model, workers=1, tell=second).done == 1


def test_a_damaged_part_is_named(photos: Fill, exported_tiny_model: Path, tmp_path: Path) -> None:
    source, out = photos(tmp_path / "in", 1), tmp_path / "out"
    scan(source, out, model=exported_tiny_model, workers=1)
    (part,) = (out / "results").iterdir()
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"part-000000.parquet: is damaged"):
        scan(source, out, model=exported_tiny_model, workers=1)


def test_ray_gives_the_same_rows_and_survives_the_same_files(
    photos: Fill, deadly: str, exported_tiny_model: Path, tmp_path: Path
) -> None:
    source = photos(tmp_path / "in", 40)
    (source / "segfault.jpg").write_bytes((source / "0001.jpg").read_bytes())
    path = os.pathsep.join([deadly, *filter(None, [os.environ.get("PYTHONPATH")])])
    rows = {}
    for engine in ("local", "ray"):
        out = tmp_path / engine
        options = ("--out", out, "--model", exported_tiny_model, "--engine", engine, "--workers", 1)
        run = run_scan(f"deadly://{source}", *options, env={"PYTHONPATH": path})
        assert run.returncode == 3, run.stderr
        assert run.stderr.splitlines()[-2].startswith("40 photos judged, ")
        each_once(out, source)
        rows[engine] = sorted((row["path"], row["verdict"], row["error_code"]) for row in rows_of(out))
    assert rows["local"] == rows["ray"]
