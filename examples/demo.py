"""Judges the example photos with the shipped model and draws what it found.

    python examples/demo.py

writes masks, maps, overlays, ``results.jsonl`` and the picture ``overview.jpg`` to ``demo-out/``. It needs no network.
"""

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vilaco.cli import console
from vilaco.data.formats import read_dataset
from vilaco.data.records import TAMPERED
from vilaco.errors import VilacoError
from vilaco.files import write_atomically
from vilaco.images import encode_jpeg, load_mask, resize_map, resize_pixels
from vilaco.localizer import Localizer
from vilaco.report.overlay import draw_overlay, heat_colours, titled_row
from vilaco.result import Result
from vilaco.weights import DEFAULT

HERE = Path(__file__).resolve().parent
PHOTOS, MASKS = HERE / "photos", HERE / "masks"
CELL = (240, 364)
"""(height, width) in pixels of a picture's place in the overview."""
WORDS = ("authentic", "tampered")
"""Labels 0 and 1 in words."""
RIGHT = ("nothing found", "tampered")
"""The verdicts that are right of them."""


@dataclass(frozen=True)
class Judged:
    """An example photo with its truth and what the model says.

    Attributes:
        name: Path inside the example photos without its ending; the results are called so too.
        label: 1 tampered, 0 authentic.
        mask: The forged pixels, (H, W) bool.
        result: The model's answer.
    """

    name: Path
    label: int
    mask: np.ndarray
    result: Result


def judge_examples(localizer: Localizer, out: Path) -> list[Judged]:
    """Judge every example photo, print a line on each, and write its mask, map and overlay below ``out``."""
    print(f"{'photo':32}{'truth':11}{'verdict':15}{'score':>6}{'regions':>9}{'seconds':>9}")
    judged = []
    for record in read_dataset(PHOTOS):
        result = localizer(record.path)
        name = record.path.relative_to(PHOTOS).with_suffix("")
        label = int(record.label == TAMPERED)
        mask = load_mask(MASKS / f"{name.name}.png") if label else np.zeros(result.pixels.shape[:2], bool)
        result.save(out, name)
        judged.append(Judged(name, label, mask, result))
        numbers = f"{result.detection_score:6.3f}{len(result.regions):9d}{result.seconds:9.2f}"
        print(f"{name.as_posix():32}{WORDS[label]:11}{result.verdict:15}{numbers}", flush=True)
    return judged


def overview(judged: list[Judged]) -> np.ndarray:
    """One row a photo: the photo, the truth, the map, the overlay; uint8 RGB."""
    return np.concatenate([_row(one) for one in judged])


def _row(one: Judged) -> np.ndarray:
    result = one.result
    height, width = one.mask.shape
    scale = min(CELL[0] / height, CELL[1] / width)
    size = round(scale * height), round(scale * width)
    photo = resize_pixels(result.pixels, size)
    values, shown = resize_map(result.localization_map, size), resize_map(result.shown_map, size)
    truth, pred_mask = (resize_map(mask, size) > 0.5 for mask in (one.mask, result.pred_mask))
    grey = np.repeat(truth[..., None], 3, axis=2).astype(np.uint8) * 255
    verdict = f"verdict: {result.verdict}, score {result.detection_score:.2f}"
    pictures = (
        (one.name.name, photo),
        (f"truth: {WORDS[one.label]}", grey),
        ("map", heat_colours(values)),
        (verdict, draw_overlay(photo, shown, pred_mask)),
    )
    return titled_row([(title, _in_cell(picture)) for title, picture in pictures])


def _in_cell(picture: np.ndarray) -> np.ndarray:
    cell = np.full((*CELL, 3), 255, np.uint8)
    cell[: picture.shape[0], : picture.shape[1]] = picture
    return cell


def run(model: str, out: Path) -> None:
    """The whole demo.

    Raises:
        VilacoError: If the model is missing, or ``out`` cannot be written.
    """
    print(f"The model '{model}' judges the example photos in {PHOTOS}, here and without network.")
    print(f"Masks, maps, overlays and an overview go to {out}; what was forged: {HERE / 'README.md'}\n", flush=True)
    judged = judge_examples(Localizer.load(model), out)
    results, picture = out / "results.jsonl", out / "overview.jpg"
    write_atomically(results, "".join(one.result.to_json() + "\n" for one in judged).encode())
    write_atomically(picture, encode_jpeg(overview(judged), 90, subsampling="4:4:4"))
    right = sum(one.result.verdict == RIGHT[one.label] for one in judged)
    undecided = sum(one.result.verdict == "cannot tell" for one in judged)
    print(
        f"\n{right} of {len(judged)} verdicts are right, {undecided} say that the model cannot tell. "
        "Nine photos measure nothing: they show what results look like."
    )
    print(f"overview: {picture}\nresults:  {results}\noverlays: {out}/*/*.overlay.jpg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "model", nargs="?", default=DEFAULT, help="shipped model or model folder (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="folder of results (default: %(default)s)")
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        run(arguments.model, arguments.out.resolve())
    except VilacoError as error:
        console.error(str(error))
        sys.exit(console.EXIT_WRONG_USE)


if __name__ == "__main__":
    main()
