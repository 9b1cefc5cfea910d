"""Pictures a second that a training learns from: as it was before pictures were made ahead, and now.

    git worktree add ../before d3cd63a
    python benchmarks/training_speed.py PHOTOS --before ../before

Both train the shipped model's network by recipe ``default`` on forgeries alone, one after the other on one machine that
does nothing else, and are timed from step to step once they run steadily. ``before`` makes each picture on the spot, in
one process, and uses it once. ``now`` has pictures made ahead by two processes at low priority, each used eight times,
and lets each core take a part of a batch. ``now, parts frozen`` also keeps the prompt and the high-pass kernels as they
were learned before, as long courses that go on from a model do.

Where the time of a step goes is measured on the same machine apart from the runs, each part by itself, in seconds of
one core; ``waiting`` is the share of a run's time in which no batch was there.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml

from vilaco.encoders import load_encoder
from vilaco.files import find_images, write_atomically
from vilaco.method.self_forged import self_forged_losses
from vilaco.method.vilaco import ViLaCo, ViLaCoConfig
from vilaco.training.makers import PictureSource, make_batch
from vilaco.training.picture_store import BatchStore, flipped
from vilaco.training.recipe import load_recipe

RESULT = Path(__file__).parent / "results" / "training_speed.json"
STEPS = {"before": (80, 20), "now": (220, 120), "now, parts frozen": (220, 120)}
"""Of each run, and those before the clock starts: by then pictures are used as often as they will be."""
ENGINES: dict[str, dict[str, object]] = {
    "before": {},
    "now": {"self_training.store": {"chunk": 4}},
    "now, parts frozen": {
        "self_training.store": {"chunk": 4},
        "self_training.forged.frozen": ["prompt", "residuals.front_end.learned.high_pass"],
    },
}
DRIVER = """
import json, sys, time
from pathlib import Path
from vilaco.files import find_images
from vilaco.training.recipe import load_recipe
from vilaco.training.self_forged import SaveStage, SelfForgedModule
from vilaco.training.self_training import train_by_forging

photos, out, settings = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
ends, starts = [], []
end, start = SaveStage.on_train_batch_end, SelfForgedModule.on_train_batch_start

def timed_end(self, *arguments):
    end(self, *arguments)
    ends.append(time.monotonic())

def timed_start(self, *arguments):
    starts.append(time.monotonic())
    return start(self, *arguments)

SaveStage.on_train_batch_end, SelfForgedModule.on_train_batch_start = timed_end, timed_start
recipe = load_recipe("default", overrides=["self_training.rounds=0", *settings])
train_by_forging([], recipe, out, photos=[image.path for image in find_images([photos])])
print(json.dumps({"starts": starts, "ends": ends}))
"""


def run(engine: str, photos: Path, source: Path) -> dict[str, float]:
    """Train with an engine; pictures a second and the share of time spent waiting, once it runs steadily."""
    steps, warm = STEPS[engine]
    settings = {"self_training.forged.steps": steps, "self_training.forged.save_every": steps, **ENGINES[engine]}
    chosen = [f"{name}={yaml.safe_dump(value, default_flow_style=True).strip()}" for name, value in settings.items()]
    with tempfile.TemporaryDirectory(dir=".") as folder:
        ended = subprocess.run(
            [
                sys.executable,
                "-c",
                DRIVER,
                str(photos),
                f"{folder}/run",
                *[text.removesuffix("\n...") for text in chosen],
            ],
            env={**os.environ, "PYTHONPATH": str(source)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    times = json.loads(ended.stdout.splitlines()[-1])
    starts, ends = (np.array(times[name])[warm:] for name in ("starts", "ends"))
    batch = load_recipe("default").self_training.stream.batch_size  # type: ignore[union-attr]
    lasted = ends[-1] - ends[0]
    return {
        "pictures_per_second": round(batch * (len(ends) - 1) / lasted, 2),
        "seconds_per_step_median": round(float(np.median(np.diff(ends))), 3),
        "waiting_share": round(float((starts[1:] - ends[:-1]).sum() / lasted), 4),
    }


def split(photos: Path) -> dict[str, float]:
    """Seconds of one core that each part takes, for a batch of eight."""
    torch.set_num_threads(1)
    recipe = load_recipe("default")
    assert isinstance(recipe.model, ViLaCoConfig)
    assert recipe.model.residuals is not None
    assert recipe.self_training is not None
    stream = recipe.self_training.stream.model_copy(update={"sizes": ((256, 384),)})
    source = PictureSource(
        photos=tuple(image.path for image in find_images([photos])),
        config=stream,
        seed=0,
        count=stream.batch_size,
        encoder=recipe.model.encoder,
        view_size=recipe.model.image_size,
        kinds=recipe.model.residuals.kinds,
    )
    forge, measurer = source.forge(), source.measurer()
    model = ViLaCo(recipe.model, load_encoder(recipe.model.encoder)).train()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=1e-4, fused=True)
    seconds: dict[str, list[float]] = {}

    def clock(name: str, work: Callable[[], object]) -> object:
        began = time.perf_counter()
        result = work()
        seconds.setdefault(name, []).append(time.perf_counter() - began)
        return result

    with tempfile.TemporaryDirectory(dir=".") as folder:
        store = BatchStore(Path(folder))
        for number in range(10):
            clock("making", lambda number=number: make_batch(forge, measurer, store, number, source.count))

            def read(number: int = number) -> dict[str, torch.Tensor]:
                found = store.read(number)
                assert found is not None
                return flipped(found[0], measurer, across=True, down=False)

            batch = clock("reading", read)
            assert isinstance(batch, dict)

            def forward(batch: dict[str, torch.Tensor] = batch) -> torch.Tensor:
                pixels, evidence = (
                    batch[name].to(torch.float32, memory_format=torch.channels_last) for name in ("pixels", "evidence")
                )
                with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
                    output = model.forward_measured(batch["tokens"].float(), evidence, pixels, batch["matches"].float())
                objective, target = recipe.self_training.objective, batch["mask"].float()  # type: ignore[union-attr]
                weight = torch.ones_like(target)
                return self_forged_losses(output, batch["label"], target, weight, objective, progress=0.5).total

            loss = clock("network forward", forward)
            assert isinstance(loss, torch.Tensor)
            clock("network backward", loss.backward)
            clock("optimiser", optimiser.step)
            optimiser.zero_grad()
    return {name: round(float(np.median(values[2:])), 3) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of authentic photos, about 500")
    parser.add_argument("--before", type=Path, required=True, help="the repository as it was before")
    arguments = parser.parse_args()
    here = Path(__file__).parents[1] / "src"
    runs = {
        engine: run(engine, arguments.photos, arguments.before.resolve() / "src" if engine == "before" else here)
        for engine in ENGINES
    }
    result = {
        "command": "python benchmarks/training_speed.py bsds500/images --before ../before",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}",
        "photos": len(find_images([arguments.photos])),
        "steps_timed": {engine: steps - warm for engine, (steps, warm) in STEPS.items()},
        "runs": runs,
        "times_faster": {
            engine: round(figures["pictures_per_second"] / runs["before"]["pictures_per_second"], 2)
            for engine, figures in runs.items()
        },
        "core_seconds_per_batch_of_8_at_384x256": split(arguments.photos),
    }
    write_atomically(RESULT, (json.dumps(result, indent=2) + "\n").encode())
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
