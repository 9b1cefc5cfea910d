"""What becomes of a training that is disturbed: killed, interrupted, on a full disk, with images that go bad.

    python benchmarks/train_reliability.py [--kills 5] [--seed 0]

Trains three small courses on photos that it makes itself, each with the command line a person would use: recipe
`paper` with and without cached features, and recipe `default`, forging and a round of self-training. The encoder is a
small CLIP of random weights, one thread computes. Each course is trained once undisturbed, then

- killed with SIGKILL ``--kills`` times, at random moments after it has begun to train, and resumed each time;
- interrupted with SIGINT once, and resumed;
- on a disk that is full from some step on, and resumed when there is room;
- with an image that nothing can read among its photos from the start, beside one that never had that image;
- with images that go bad while it trains and, where it stops, come back and are resumed with.

All go to their end, and their weights are compared with the undisturbed ones byte for byte. Processes are forked from
one that has imported everything, so that moments fall into training and not into imports. The small disk is a tmpfs,
for which Linux asks for the right to mount. Writes ``benchmarks/results/train_reliability.json``; exits with 1 unless
all weights are the same, exit codes are as documented, no stop shows a traceback and every file is whole.
"""

import argparse
import json
import multiprocessing
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import lightning
import numpy as np
import torch
from safetensors.torch import load_file
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from vilaco.cli.main import main as vilaco
from vilaco.files import TEMPORARY, write_atomically
from vilaco.images import encode_jpeg

RESULT = Path(__file__).parent / "results" / "train_reliability.json"
IMAGES = 12  # of each kind
BAD = b"not a picture"
CHOSEN = "tampered/05.jpg"  # goes bad
PATIENCE = 1800.0  # seconds that a training may take
WEIGHTS = "model/model.safetensors"
MODEL = {
    "model.image_size": "64",
    "model.prompt.context_length": "4",
    "model.adapter.num_heads": "4",
    "model.text_attention.num_heads": "4",
    "training.precision": "32-true",
    "training.validation_share": "0.25",
}
PAPER = {**MODEL, "training.batch_size": "8", "training.epochs": "16", "training.example_every": "4"}
FORGING = {
    **MODEL,
    "model.residuals": "{channels: 16, deep_channels: 16, fine_channels: 8, depth: 1, dilations: [1, 2]}",
    "model.copy_move": "{compared: 4, channels: 8}",
    "model.native_decoder": "{token_channels: 8, channels: 16, fine_channels: 8}",
    "self_training.stream.batch_size": "6",
    "self_training.stream.sizes": "[[64, 96], [96, 64]]",
    "self_training.forged": "{steps: 40, warmup_steps: 2, save_every: 3}",
    "self_training.round": "{steps: 24, warmup_steps: 2, save_every: 3}",
}
COURSES: dict[str, tuple[str, dict[str, str]]] = {
    "paper": ("paper", {**PAPER, "training.cache_views": "2"}),
    "paper, nothing cached": ("paper", {**PAPER, "training.epochs": "8", "training.cache_views": "null"}),
    "default": ("default", FORGING),
}


def save_small_clip(folder: Path) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=[]).save_pretrained(folder)
    layers = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {**layers, "vocab_size": 54, "bos_token_id": 52, "eos_token_id": 53, "pad_token_id": 53}
    torch.manual_seed(0)
    vision = {**layers, "image_size": 32, "patch_size": 8}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)).save_pretrained(folder)


def processor_seconds(process: int) -> float:
    """Of a process so far; 0 where it has ended (Linux)."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def make_photos(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for kind in ("authentic", "tampered"):
        (folder / kind).mkdir(parents=True)
        for index in range(IMAGES):
            coarse = rng.integers(0, 256, (12, 18, 3), dtype=np.uint8)
            pixels = cv2.resize(coarse, (144, 96), interpolation=cv2.INTER_CUBIC)
            pixels = cv2.add(pixels, rng.integers(0, 12, pixels.shape, dtype=np.uint8))
            if kind == "tampered":
                pixels[20:60, 30:80] = cv2.GaussianBlur(pixels, (0, 0), 3)[:40, :50]
            (folder / kind / f"{index:02d}.jpg").write_bytes(encode_jpeg(pixels, 92))


def run_command(words: list[str], log: Path) -> None:
    """In a process of its own: ``vilaco`` with these words, what it says on stderr in a file."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    multiprocessing.set_start_method("fork", force=True)  # for those that load, as on a command line
    torch.set_num_threads(1)
    sys.argv = ["vilaco", *words]
    vilaco()


@dataclass
class Training:
    """One run folder, and the command that begins it or goes on with it."""

    course: str
    photos: Path
    out: Path
    log: Path
    shared: Path
    problems: list[str] = field(default_factory=list)

    def start(self) -> Any:
        """A process that trains, begun or resumed."""
        words = ["train", str(self.photos), "--out", str(self.out), "--cache", str(self.shared / "cache")]
        if (self.out / "recipe.yaml").exists():
            words.append("--resume")
        else:
            recipe, settings = COURSES[self.course]
            chosen = {"model.encoder": f"{{family: clip, checkpoint: '{self.shared / 'clip'}'}}", **settings}
            words += ["--recipe", recipe, *(word for item in chosen.items() for word in ("--set", "=".join(item)))]
        process = multiprocessing.get_context("forkserver").Process(target=run_command, args=(words, self.log))
        process.start()
        return process

    def start_and_wait(self, seconds: float) -> tuple[Any, float]:
        """The same, once it has trained for so many processor seconds, or ended; and how many it has trained for.

        It trains when its loggers have opened a file. Processor seconds do not count what else the machine does.
        """
        before, process = self.count_logs(), self.start()
        while self.count_logs() == before and process.exitcode is None:
            time.sleep(0.01)
        began = now = processor_seconds(process.pid)
        while now - began <= seconds and process.exitcode is None:
            time.sleep(0.01)
            now = processor_seconds(process.pid) or now
        return process, now - began

    def end(self, process: Any, *codes: int) -> int:
        """Wait for the end; an exit code that is not expected and an error of more than one line are problems."""
        process.join(PATIENCE)
        said = self.log.read_text()
        if process.exitcode not in codes or "Traceback" in said:
            self.problems.append(f"exit code {process.exitcode}: {said[-1000:]}")
        return int(process.exitcode)

    def last_words(self) -> list[str]:
        """What the last command said about why it stopped."""
        said = self.log.read_text()
        return [line.replace(str(self.log.parent), "DIR") for line in said[max(0, said.find("error: ")) :].splitlines()]

    def count_logs(self) -> int:
        return len(list(self.out.rglob("events.out.tfevents.*")))

    def kept(self) -> str:
        """How far the run is on disk; files that are not whole are problems."""
        for file in self.out.rglob("*"):
            try:
                if file.suffix == ".safetensors":
                    load_file(file)
                elif file.suffix == ".json":
                    json.loads(file.read_bytes())
                elif file.suffix == ".ckpt":
                    torch.load(file, weights_only=True)
            except Exception as error:
                self.problems.append(f"{file.relative_to(self.out)} is not whole: {error!r}")
        done = len(list(self.out.glob("stages/*/model/config.json")))
        steps = [torch.load(file, weights_only=True)["global_step"] for file in sorted(self.out.rglob("last.ckpt"))]
        return f"stage {done}, step {steps[0] if steps else 0}" if "default" in self.course else f"step {sum(steps)}"

    def digests(self) -> dict[str, str]:
        """SHA-256 of the weights: of the model, of each stage, and of the last epoch, by file."""
        found = {file: file.read_bytes() for file in self.out.rglob("model.safetensors")}
        for file in self.out.glob("last.ckpt"):
            state = torch.load(file, weights_only=True)["state_dict"]
            found[file] = b"".join(name.encode() + value.numpy().tobytes() for name, value in sorted(state.items()))
        return {str(file.relative_to(self.out)): sha256(data).hexdigest() for file, data in sorted(found.items())}


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(file: Path) -> None:
    with suppress(OSError), file.open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(4096))


@dataclass
class Trial:
    """One course, its undisturbed training, and what is done to others."""

    course: str
    folder: Path
    shared: Path
    dice: random.Random
    kills: int
    seconds: float = 0.0  # of a processor, that training takes undisturbed

    def training(self, name: str, *, photos: Path | None = None, out: Path | None = None) -> Training:
        if photos is None:
            photos = shutil.copytree(self.shared / "photos", self.folder / f"{name} photos")
        return Training(self.course, photos, out or self.folder / name, self.folder / f"{name}.log", self.shared)

    def run(self) -> dict[str, Any]:
        whole = self.training("undisturbed")
        process, self.seconds = whole.start_and_wait(PATIENCE)
        whole.end(process, 0)
        undisturbed = self.compared(whole, whole)
        del undisturbed["same_weights"]
        return {
            "undisturbed": {
                **undisturbed,
                "processor_seconds_of_training": round(self.seconds, 2),
                "weights": whole.digests(),
            },
            "killed": self.killed(whole),
            "interrupted": self.interrupted(whole),
            "full_disk": self.full_disk(whole),
            "bad_from_the_start": self.bad_from_the_start(),
            "gone_bad": self.gone_bad(whole),
        }

    def compared(self, training: Training, expected: Training) -> dict[str, Any]:
        training.kept()
        if unfinished := list(training.out.rglob(TEMPORARY)):
            training.problems.append(f"{len(unfinished)} temporary files are left")
        return {"same_weights": training.digests() == expected.digests(), "problems": training.problems}

    def moment(self, low: float, high: float) -> float:
        """Processor seconds of training: a share, drawn between these, of what the undisturbed one took."""
        return self.dice.uniform(low, high) * self.seconds

    def killed(self, whole: Training) -> dict[str, Any]:
        training, kept = self.training("killed"), []
        for _ in range(self.kills):
            process, _ = training.start_and_wait(self.moment(0, 1.2 / self.kills))
            if process.exitcode is not None:  # it was at its end first
                training.end(process, 0)
                break
            process.kill()
            process.join()
            kept.append(training.kept())
        training.end(training.start(), 0)
        return {"kills": len(kept), "kept_at_each": kept, **self.compared(training, whole)}

    def interrupted(self, whole: Training) -> dict[str, Any]:
        training = self.training("interrupted")
        process, _ = training.start_and_wait(self.moment(0.1, 0.6))
        os.kill(process.pid, signal.SIGINT)
        training.end(process, 130)
        said, kept = training.last_words(), training.kept()
        training.end(training.start(), 0)
        return {"said": said[-1:], "kept": kept, **self.compared(training, whole)}

    def full_disk(self, whole: Training) -> dict[str, Any]:
        disk = self.folder / "disk"
        with small_disk(disk):
            training = self.training("full", out=disk / "run")
            process, _ = training.start_and_wait(self.moment(0.1, 0.6))
            fill(disk / "ballast")
            training.end(process, 2)
            said, kept = training.last_words(), training.kept()
            (disk / "ballast").unlink()
            training.end(training.start(), 0)
            return {"said": said, "kept": kept, **self.compared(training, whole)}

    def bad_from_the_start(self) -> dict[str, Any]:
        training, without = self.training("bad"), self.training("without")
        (training.photos / CHOSEN).write_bytes(BAD)
        (without.photos / CHOSEN).unlink()
        training.end(training.start(), 3)
        without.end(without.start(), 0)
        return {"said": training.last_words()[-2:], **self.compared(training, without)}

    def gone_bad(self, whole: Training) -> dict[str, Any]:
        training = self.training("gone bad")
        photo = training.photos / CHOSEN
        kept = photo.read_bytes()
        process, _ = training.start_and_wait(self.moment(0, 0.3))
        photo.write_bytes(BAD)
        said: list[str] = []
        if training.end(process, 0, 2) == 2:
            said = training.last_words()
            training.end(training.start(), 2)
            said += training.last_words()
            photo.write_bytes(kept)
            training.end(training.start(), 0)
        return {"stopped": bool(said), "said": said, **self.compared(training, whole)}


def main() -> int:
    parser = argparse.ArgumentParser(description="Disturb trainings, and compare what comes out.")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--course",
        choices=COURSES,
        action="append",
        help="One of the courses, put into the result beside the others; all by default.",
    )
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["__main__", "vilaco.training.fit", "vilaco.training.self_training", "transformers.models.clip"]
    )
    command = f"python benchmarks/train_reliability.py --kills {options.kills} --seed {options.seed}"
    problems = 0
    for name in options.course or COURSES:
        with tempfile.TemporaryDirectory() as temporary:
            shared = Path(temporary, name)
            shared.mkdir()
            save_small_clip(shared / "clip")
            make_photos(shared / "photos")
            trial = Trial(name, Path(tempfile.mkdtemp(dir=shared)), shared, random.Random(options.seed), options.kills)
            trials = trial.run()
        problems += sum(bool(each["problems"]) or not each.get("same_weights", True) for each in trials.values())
        before = json.loads(options.out.read_bytes())["courses"] if options.out.exists() else {}
        result = {
            "command": command,
            "courses": {**before, name: trials},
            "cpus": os.cpu_count(),
            "torch": torch.__version__,
            "lightning": lightning.__version__,
            "python": platform.python_version(),
        }
        write_atomically(options.out, json.dumps(result, indent=1).encode() + b"\n")
    print(options.out.read_text())
    return int(problems > 0)


if __name__ == "__main__":
    sys.exit(main())
