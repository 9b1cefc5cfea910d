"""Train the shipped model, judge its recipe out of fold, and measure everything its card says.

    python benchmarks/shipped_model.py ../shared/data

Recipe `default`. First one stage of self-made forgeries from authentic photos (bsds500, imagenet_sample, casia2_au); then,
from there, self-training on casia1_dev with image labels alone: once in each of two folds by scene, whose models judge
the scenes they have not seen, and once on all of it, which is the shipped model. It judges micc_f220 and comofod_50, which
nothing was trained on. Every set as it is, re-saved at JPEG 80, and at 0.75x re-saved at JPEG 80.

Takes up under ``--runs`` what is done, and may be stopped. Writes ``shipped_model.csv`` (every figure) and
``shipped_model.md`` to ``benchmarks/results/``.
"""

PHOTOS = ("bsds500/images", "imagenet_sample", "casia2_au")
USERS, UNSEEN = "casia1_dev", ("micc_f220", "comofod_50")
