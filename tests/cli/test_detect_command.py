"""``vilaco detect`` as a person meets it."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pictures import make_photo, make_textured
from vilaco.images import encode_jpeg


def vilaco(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "vilaco", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, check=False, timeout=120)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path / "inbox"
    (folder / "deep/er").mkdir(parents=True)
    for name in ("one.jpg", "deep/two.png", "deep/er/drei ü.webp"):
        cv2.imwrite(str(folder / name), make_photo(rng))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    return folder


def test_a_folder_leaves_all_results_and_names_what_failed(inbox: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = vilaco("detect", inbox, "--model", tiny_model, "--out", out)
    assert run.returncode == 3
    assert len(run.stdout.splitlines()) == 3
    [line] = [line for line in run.stderr.splitlines() if line.startswith("skipped: ")]  # one, however long
    assert str(inbox / "broken.jpg") in line
    assert line.endswith("]")
    assert "3 photos judged" in run.stderr
    assert "1 skipped" in run.stderr
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert len(rows) == 3
    for row in rows:
        assert {"path", "verdict", "label", "detection_score", "regions", "model", "seconds"} <= set(row)
        assert row["verdict"] == ("tampered" if row["label"] else "authentic")  # the model is not calibrated
        stem = Path(row["path"]).relative_to(inbox).with_suffix("")
        mask = cv2.imread(str(out / f"{stem}.mask.png"), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (72, 96)
        assert set(np.unique(mask)) <= {0, 255}
        map_ = cv2.imread(str(out / f"{stem}.map.png"), cv2.IMREAD_UNCHANGED)
        assert map_.dtype == np.uint16
        np.testing.assert_array_equal(mask > 0, map_ > 65535 // 2)
        assert cv2.imread(str(out / f"{stem}.overlay.jpg")).shape == (72, 96, 3)
    tolerated = vilaco("detect", inbox, "--model", tiny_model, "--max-failure-rate", "0.25")
    assert tolerated.returncode == 0


def test_json_lines_and_globs(inbox: Path, exported_tiny_model: Path) -> None:
    run = vilaco("detect", f"{inbox}/**/*.png", "--model", exported_tiny_model, "--json")
    assert run.returncode == 0
    (row,) = [json.loads(line) for line in run.stdout.splitlines()]
    assert Path(row["path"]).name == "two.png"


def photo_files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*g") if path.is_file()}


def paths_of(results: Path) -> list[str]:
    return [json.loads(line)["path"] for line in (results / "results.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("out", ["results", "."])
def test_a_second_run_judges_no_results_of_the_first(inbox: Path, exported_tiny_model: Path, out: str) -> None:
    (inbox / "broken.jpg").unlink()
    command = ("detect", ".", "--model", exported_tiny_model, "--out", out)
    first = vilaco(*command, cwd=inbox)
    written = photo_files(inbox)
    again = vilaco(*command, cwd=inbox)
    assert (first.returncode, again.returncode) == (0, 0), again.stderr
    assert again.stdout == first.stdout
    assert photo_files(inbox) == written
    assert len(paths_of(inbox / out)) == 3
    if out == "results":
        alone = vilaco("detect", "results", "--model", exported_tiny_model, "--out", "results", cwd=inbox)
        assert alone.returncode == 2
        assert "only masks, maps and overlays of an earlier run" in alone.stderr


def test_rows_of_earlier_runs_are_kept_and_those_of_the_same_photo_replaced(
    inbox: Path, exported_tiny_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ("--model", exported_tiny_model, "--out", out)
    assert vilaco("detect", inbox / "one.jpg", *options).returncode == 0
    assert vilaco("detect", inbox / "broken.jpg", *options).returncode == 3
    assert paths_of(out) == [str(inbox / "one.jpg")]
    assert vilaco("detect", inbox / "deep", inbox / "one.jpg", *options).returncode == 0
    assert set(paths_of(out)) == {str(inbox / name) for name in ("one.jpg", "deep/two.png", "deep/er/drei ü.webp")}
    assert len(paths_of(out)) == 3
    (out / "results.jsonl").write_text("no result\n")
    refused = vilaco("detect", inbox / "one.jpg", *options)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "results.jsonl: line 1 is no result of vilaco detect; give another folder" in refused.stderr


def test_a_photo_from_standard_input(inbox: Path, exported_tiny_model: Path, tmp_path: Path) -> None:
    def detect(*arguments: object, data: bytes) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "vilaco", "detect", *map(str, arguments), "--model", str(exported_tiny_model)]
        return subprocess.run(command, input=data, capture_output=True, check=False, timeout=120)

    photo = (inbox / "one.jpg").read_bytes()
    run = detect("-", "--json", "--out", tmp_path / "out", "--report", tmp_path / "case.html", data=photo)
    assert run.returncode == 0, run.stderr
    row = json.loads(run.stdout)
    named = json.loads(vilaco("detect", inbox / "one.jpg", "--json", "--model", exported_tiny_model).stdout)
    own = dict.fromkeys(("path", "seconds", "mask", "map", "overlay"))
    assert row | own == named | own
    assert row["path"] == "<stdin>"
    names = {"stdin.mask.png", "stdin.map.png", "stdin.overlay.jpg", "results.jsonl"}
    assert set(os.listdir(tmp_path / "out")) == names
    assert hashlib.sha256(photo).hexdigest() in (tmp_path / "case.html").read_text()
    empty = detect("-", inbox / "one.jpg", data=b"")
    assert empty.returncode == 3
    assert b"skipped: <stdin>: no bytes at all [empty]" in empty.stderr
    assert b"1 photos judged" in empty.stderr


def test_large_photos_do_not_wait_for_a_whole_batch(exported_tiny_model: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((5700, 5700, 3), 90, np.uint8))
    (tmp_path / "b.png").write_bytes(b"broken")
    command = [sys.executable, "-m", "vilaco", "detect", str(tmp_path), "--model", str(exported_tiny_model)]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=120)
    assert run.stdout.index("a.png") < run.stdout.index("b.png")  # judged before the next was looked at


def test_names_that_would_clash_keep_their_extension(inbox: Path, exported_tiny_model: Path, tmp_path: Path) -> None:
    (inbox / "broken.jpg").unlink()
    cv2.imwrite(str(inbox / "one.png"), make_photo(np.random.default_rng(1)))
    out = tmp_path / "out"
    for given in (inbox, inbox / "one.png"):  # alone it keeps the name it has
        assert vilaco("detect", given, "--model", exported_tiny_model, "--out", out).returncode == 0
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    masks = {Path(row["path"]).name: row["mask"] for row in rows}
    assert (masks["one.jpg"], masks["one.png"]) == ("one.jpg.mask.png", "one.png.mask.png")
    assert masks["two.png"] == "deep/two.mask.png"
    for row in rows:
        assert all((out / row[kind]).is_file() for kind in ("mask", "map", "overlay"))
    assert len(list(out.rglob("*.mask.png"))) == len(rows) == 4


def pages_file(folder: Path) -> Path:
    pages = [Image.fromarray(make_photo(np.random.default_rng(seed))) for seed in range(3)]
    pages[0].save(folder / "scan.tiff", save_all=True, append_images=pages[1:])
    return folder / "scan.tiff"


def test_each_page_of_a_file_can_have_its_result(exported_tiny_model: Path, tmp_path: Path) -> None:
    file, out = pages_file(tmp_path), tmp_path / "out"
    run = vilaco("detect", file, "--model", exported_tiny_model, "--out", out)
    assert "(page 1 of 3)" in run.stdout
    run = vilaco(
        "detect",
        file,
        "--page",
        "all",
        "--json",
        "--model",
        exported_tiny_model,
        "--out",
        out,
        "--report",
        out / "r.html",
    )
    assert run.returncode == 0, run.stderr
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    assert [(row["page"], row["pages"], row["notes"]) for row in rows] == [
        (n, 3, [f"page {n} of 3"]) for n in (1, 2, 3)
    ]
    assert [row["mask"] for row in rows] == [f"scan.page{n}.mask.png" for n in (1, 2, 3)]
    assert (out / "results.jsonl").read_text().splitlines() == run.stdout.splitlines()
    assert len(list((out / "r-cases").iterdir())) == 3
    assert "page 2 of 3" in next((out / "r-cases").glob("0002*")).read_text()
    alone = json.loads(vilaco("detect", file, "--page", "2", "--json", "--model", exported_tiny_model).stdout)
    assert (alone["page"], alone["detection_score"]) == (2, rows[1]["detection_score"])
    missing = vilaco("detect", file, "--page", "4", "--model", exported_tiny_model)
    assert missing.returncode == 3
    assert "scan.tiff: has 3 pages, and page 4 was asked for [no_such_page]" in missing.stderr
    wrong = vilaco("detect", file, "--page", "first", "--model", exported_tiny_model)
    assert wrong.returncode == 2


def test_what_is_there_of_a_cut_file_is_judged_when_asked(exported_tiny_model: Path, tmp_path: Path) -> None:
    data = encode_jpeg(make_textured(np.random.default_rng(0)), 90)
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    refused = vilaco("detect", tmp_path / "cut.jpg", "--model", exported_tiny_model)
    assert refused.returncode == 3
    assert re.search(r"ends too early: 4\d% of the picture is there \(--accept-truncated judges it\)", refused.stderr)
    run = vilaco("detect", tmp_path / "cut.jpg", "--accept-truncated", "--json", "--model", exported_tiny_model)
    assert run.returncode == 0
    row = json.loads(run.stdout)
    assert (row["height"], row["width"]) == (256, 384)
    assert all(y + height <= 128 for _, y, _, height in (region["box"] for region in row["regions"]))


def test_nothing_is_fetched(tmp_path: Path) -> None:
    run = vilaco("detect", "https://example.org/a.jpg", cwd=tmp_path)
    assert run.returncode == 2
    assert "https://example.org/a.jpg: nothing is fetched" in run.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["detect", "no-such-file.jpg"], "no-such-file.jpg: no such file or folder"),
        (["detect", ".", "--batch-size", "0"], "batch-size"),
        (["detect", ""], "an argument is empty"),
        (["detect", ".", "--trust-anchors", "."], "is for the report; add --report"),
        (["train", "photos", "--out="], "an argument is empty"),
        (["detec", "x"], "No such command"),
        (["train", "no-such-folder"], "no-such-folder: no such file or folder"),
        (["train", ".", "--set", "training.epochs=0"], "training.epochs"),
    ],
)
def test_wrong_use_gets_one_clear_line_and_code_2(arguments: list[str], words: str, tmp_path: Path) -> None:
    run = vilaco(*arguments, cwd=tmp_path)
    assert run.returncode == 2
    assert words in run.stderr
    assert "Traceback" not in run.stderr


def test_fail_on_tampered(inbox: Path, exported_tiny_model: Path) -> None:
    plain = vilaco("detect", inbox / "one.jpg", "--model", exported_tiny_model, "--json")
    label = json.loads(plain.stdout)["label"]
    strict = vilaco("detect", inbox / "one.jpg", "--model", exported_tiny_model, "--fail-on", "tampered")
    assert (plain.returncode, strict.returncode) == (0, label)


@pytest.fixture(scope="module")
def calibrated_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose every score lies above 19 of 20 authentic ones, and below the last of them."""
    folder = tmp_path_factory.mktemp("calibrated") / "model"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text())
    scores = {"authentic_scores": [0.001] * 19 + [0.999], "tampered_scores": [0.001] * 4 + [0.9] * 15}
    config["calibration"] = {"slope": 0.1, "offset": 0, "map_shift": 0, **scores}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(("rate", "verdict", "code"), [(None, "cannot tell", 0), ("0.1", "tampered", 1)])
def test_a_rate_of_false_alarms_moves_the_verdict(
    inbox: Path, calibrated_model: Path, rate: str | None, verdict: str, code: int
) -> None:
    options = [] if rate is None else ["--max-false-alarms", rate]
    detect = ("detect", inbox / "one.jpg", "--model", calibrated_model, "--fail-on", "tampered", *options)
    run, as_json = vilaco(*detect), vilaco(*detect, "--json")
    assert (run.returncode, as_json.returncode) == (code, code)
    assert run.stdout.startswith(f"{verdict}  ")
    assert f"1 {verdict}" in run.stderr
    assert json.loads(as_json.stdout)["verdict"] == verdict


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        ("0.01", "max_false_alarms=0.01 cannot be promised: the model was calibrated on 20 authentic pictures"),
        ("2", "max_false_alarms must be between 0 and 1, got 2"),
    ],
)
def test_a_rate_that_cannot_be_promised_is_refused(inbox: Path, calibrated_model: Path, rate: str, words: str) -> None:
    run = vilaco("detect", inbox / "one.jpg", "--model", calibrated_model, "--max-false-alarms", rate)
    assert (run.returncode, run.stdout) == (2, "")
    assert words in run.stderr


def test_a_model_without_calibration_promises_nothing(inbox: Path, tiny_model: Path) -> None:
    run = vilaco("detect", inbox / "one.jpg", "--model", tiny_model, "--max-false-alarms", "0.05")
    assert run.returncode == 2
    assert "is not calibrated" in run.stderr


def test_interrupt_keeps_what_is_done(exported_tiny_model: Path, tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    picture = cv2.imencode(".jpg", make_photo(np.random.default_rng(0), 480, 640))[1].tobytes()
    for index in range(3000):
        (photos / f"{index:04d}.jpg").write_bytes(picture)
    command = [sys.executable, "-m", "vilaco", "detect", photos, "--model", exported_tiny_model, "--out", out]
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # what a shell starts in the background ignores Ctrl-C
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed)
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, messages = process.communicate(timeout=60)
    assert process.returncode == 130, messages
    assert "Traceback" not in messages
    printed = [first, *rest.splitlines()]
    rows = (out / "results.jsonl").read_text().splitlines()
    assert 0 < len(printed) <= len(rows) + 1 < 3000
    assert len(list(out.glob("*.overlay.jpg"))) >= len(rows)


def test_on_a_terminal_the_bar_leaves_every_result_line_whole(inbox: Path, tiny_model: Path) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "vilaco", "detect", inbox, "--model", tiny_model, "--batch-size", "1"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "COLUMNS": "80"})
    os.close(theirs)
    output = b""
    with contextlib.suppress(OSError):  # how Linux says that the other side has closed
        while chunk := os.read(ours, 65536):
            output += chunk
    assert process.wait(timeout=60) == 3
    text = output.decode()
    assert "photos" in text  # the bar was there
    lines = re.findall(r"(.*?)(?:nothing found|tampered     )  0\.\d{3}  ", text)
    assert len(lines) == 3
    for before in lines:  # the bar's line was wiped before the result was printed on it
        assert before.endswith("\x1b[2K")


def test_help_is_quick_and_names_every_command() -> None:
    run = vilaco("--help")
    assert run.returncode == 0
    for command in ("detect", "train", "calibrate", "evaluate", "robustness", "audit", "data", "models"):
        assert command in run.stdout
    assert vilaco("--version").stdout.startswith("vilaco 0.")
