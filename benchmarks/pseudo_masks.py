"""How right the masks are that the shipped model draws of unseen kinds of forgery, which adapting learns from.

    python benchmarks/pseudo_masks.py ../shared/data

On pictures of the scenes that ``adapting.py`` adapts with, tampered with by two kinds that it leaves out by
default: what share of the pixels that a pseudo-mask calls tampered is, and what share of the tampered pixels it calls
authentic. Writes ``pseudo_masks.md`` to ``benchmarks/results/``.
"""

import argparse
from pathlib import Path

import numpy as np

from adapting import SHIPPED, Photos
from harness import RESULTS
from unseen_forgeries import write_piles
from vilaco.data.forging import AUTHENTIC_PIXEL, TAMPERED_PIXEL
from vilaco.data.formats import read_dataset
from vilaco.files import write_atomically
from vilaco.images import load_mask, load_photo
from vilaco.localizer import Localizer
from vilaco.training.recipe import SelfTrainingConfig
from vilaco.training.self_training import pseudo_mask

KINDS, COUNT = ("codec", "detail"), 24
TAMPERED_SHARE = SelfTrainingConfig().tampered_share
UNKNOWN_SHARES = (SelfTrainingConfig().unknown_share, 0.24, 0.44)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that holds casia1_dev")
    parser.add_argument("--runs", type=Path, default=Path("runs/pseudo_masks"))
    arguments = parser.parse_args()
    teacher = Localizer.load(SHIPPED)
    hosts = Photos(arguments.data).to_adapt()[:COUNT]
    lines = ["| kind | tampered | unknown share | right of those called tampered | tampered and called authentic |"]
    lines += ["|---|---|---|---|---|"]
    for kind in KINDS:
        records = read_dataset(write_piles([], hosts, kind, arguments.runs / kind, seed=3, masks=True))
        maps = [teacher.predict(load_photo(record.path)).localization_map for record in records]
        truths = [load_mask(record.mask) for record in records if record.mask]
        for unknown_share in UNKNOWN_SHARES:
            right, lost = [], []
            for map_, truth in zip(maps, truths, strict=True):
                drawn = pseudo_mask(map_, tampered_share=TAMPERED_SHARE, unknown_share=unknown_share)
                right.append(truth[drawn == TAMPERED_PIXEL].mean())
                lost.append((drawn[truth] == AUTHENTIC_PIXEL).mean())
            area = np.mean([truth.mean() for truth in truths])
            lines.append(f"| {kind} | {area:.3f} | {unknown_share} | {np.mean(right):.3f} | {np.mean(lost):.3f} |")
    text = f"""# What pseudo-masks of unseen kinds of forgery say

`python benchmarks/pseudo_masks.py DATA`. Model `{SHIPPED}`, weights {teacher.fingerprint[:12]}; {COUNT} pictures a
kind; the highest {TAMPERED_SHARE:.0%} of the map are called tampered, the unknown share below them nothing, the rest
authentic. Shares of pixels, means over images.

"""
    text += "\n".join(lines) + "\n"
    write_atomically(RESULTS / "pseudo_masks.md", text.encode())
    print(text)


if __name__ == "__main__":
    main()
