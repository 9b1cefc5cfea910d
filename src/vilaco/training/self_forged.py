"""One stage of training on self-made forgeries and the user's images: the Lightning side."""

import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from vilaco.errors import ConfigError, ImageError
from vilaco.method.checkpoint import save_checkpoint
from vilaco.method.network import Losses
from vilaco.method.self_forged import SelfForgedObjectiveConfig, self_forged_losses
from vilaco.method.vilaco import ViLaCo
from vilaco.training.callbacks import LAST
from vilaco.training.loaders import PlannedBatches, make_loader, whole
from vilaco.training.makers import Makers
from vilaco.training.mean_teacher import MeanTeacher, soft_targets
from vilaco.training.muon import MatrixMuon, is_matrix
from vilaco.training.stage import StageConfig
from vilaco.training.stage_pictures import Looks, StageBatch, StagePictures


class WeightAverage:
    """Exponential moving average of the trainable weights, which generalises better than the last ones."""

    def __init__(self, model: ViLaCo, *, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.weights = {name: value.detach().clone().float() for name, value in model.trainable_state().items()}

    @torch.no_grad()
    def update(self, model: ViLaCo) -> None:
        """Take up the weights of one more step; the first steps are forgotten faster."""
        self.updates += 1
        share = 1.0 - min(self.decay, (1.0 + self.updates) / (10.0 + self.updates))
        now = {name: value.float() for name, value in model.trainable_state().items()}
        self.weights = {name: self.weights[name].to(value.device) for name, value in now.items()}
        torch._foreach_lerp_(list(self.weights.values()), list(now.values()), share)


class SelfForgedModule(L.LightningModule):
    """One stage; the averaged weights in :attr:`average` are the result.

    All randomness of a step follows from the seed and the step's number, so training goes on after an interruption as
    if nothing had happened.

    On a CPU a step's batch can be split into a part for each core, whose gradients are averaged
    (:meth:`on_all_cores`): kernels of a small network gain less from a second core than a second set of pictures does.
    Threads would share PyTorch's random numbers, so a network with dropout goes whole.

    Args:
        model: The network.
        stage: How it is optimised.
        objective: Weights of the losses.
        seed: Fixes all randomness together with a step's number.
        teacher: What draws targets of real tampered pictures, where there are any; it becomes the average each step.
    """

    def __init__(
        self,
        model: ViLaCo,
        stage: StageConfig,
        objective: SelfForgedObjectiveConfig,
        *,
        seed: int,
        teacher: MeanTeacher | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model, self.stage, self.objective, self.seed = model, stage, objective, seed
        parts = dict(model.named_modules())
        for name in stage.frozen:
            if name not in parts:
                raise ConfigError(f"frozen: the network has no {name}")
            parts[name].requires_grad_(False)
        self.average = WeightAverage(model, decay=stage.average_decay)
        self.teacher = teacher
        self._cores = 1
        self._threads: ThreadPoolExecutor | None = None

    @contextmanager
    def on_all_cores(self) -> Iterator[None]:
        """Have each core take a part of every batch, within a ``with`` statement and where the network allows it."""
        modules = (module for name, module in self.model.named_modules() if not name.startswith("encoder."))
        draws = any(isinstance(module, nn.Dropout) and module.p for module in modules)
        cores = torch.get_num_threads()
        if draws or cores == 1:
            yield
            return
        torch.set_num_threads(1)  # what is left beside the parts is small, and waits for no second core
        try:
            with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as self._threads:
                self._cores = cores
                yield
        finally:
            self._threads = None
            torch.set_num_threads(cores)

    def on_train_batch_start(self, batch: StageBatch, batch_index: int) -> None:
        """Seed dropout and patch drawing for this step."""
        torch.manual_seed((self.seed << 32) + self.global_step + 1)

    def training_step(self, batch: StageBatch, batch_index: int) -> None:
        """One step: targets, forward and backward, clip, optimise, average."""
        self.model.zero_grad()
        measured = self._measured(self._with_targets(batch))
        if self._threads is None:
            losses = self._losses(measured)
            self.manual_backward(losses.total)
            parts = losses.parts
        else:
            parts = self._backward_in_parts(measured, self._threads)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.stage.gradient_clip)
        self._optimise()
        self.average.update(self.model)
        for name, part in parts.items():
            self.log(f"loss/{name}", part, prog_bar=True)

    def _optimise(self) -> None:
        """Move the weights; the schedules follow."""
        counted, *others = _listed(self.optimizers())
        counted.step()  # Lightning counts the steps of what it wraps
        for other in others:
            other.optimizer.step()
        for schedule in _listed(self.lr_schedulers()):
            schedule.step()

    def _with_targets(self, batch: StageBatch) -> dict[str, Tensor]:
        """A batch with ``target`` and ``weight`` of every pixel in place of ``mask`` and ``looks``."""
        kept = {name: value for name, value in batch.items() if name not in ("mask", "looks")}
        target = batch["mask"].float()
        weight = torch.ones_like(target)
        looks: Looks = batch.get("looks", [])
        if looks:
            assert self.teacher is not None, "whoever trains on real pictures gives one"
            self.teacher.take_up(self.average.weights)
            size = (target.shape[1], target.shape[2])
            tasks = [
                (picture, mirrored)
                for _, scales in looks
                for number, picture in enumerate(scales)
                for mirrored in ((False, True) if number == 0 else (False,))
            ]

            def look(task: tuple[dict[str, Tensor], bool]) -> Tensor:
                assert self.teacher is not None
                with self.trainer.precision_plugin.forward_context():
                    return self.teacher.look(task[0], mirrored=task[1], size=size)

            maps = list((map if self._threads is None else self._threads.map)(look, tasks))
            each = len(tasks) // len(looks)
            for index, (place, _) in enumerate(looks):
                drawn = torch.stack(maps[index * each : (index + 1) * each])
                target[place], weight[place] = soft_targets(drawn, target[place] > 0, self.teacher.config)
        return {**kept, "target": target, "weight": weight}

    def _measured(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """A batch whose pictures are all measured: those made ahead are, the others (the first) come with a view."""
        if "view" not in batch:
            return batch
        count = len(batch["view"])
        assert self.model.residuals is not None
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            evidence = self.model.residuals.front_end.evidence(batch["pixels"][:count].float())
        tokens = self.model.encoder.encode_patches(batch["view"].float() / 255)
        if "tokens" in batch:
            tokens = torch.cat([tokens, batch["tokens"].to(tokens.dtype)])
            evidence = torch.cat([evidence, batch["evidence"].to(evidence.dtype)])
        return {**batch, "tokens": tokens, "evidence": evidence}

    def _losses(self, batch: dict[str, Tensor], generator: torch.Generator | None = None) -> Losses:
        """The network, then its objective in float32."""
        pixels = batch["pixels"].to(torch.float32, memory_format=torch.channels_last)
        evidence = batch["evidence"].to(torch.float32, memory_format=torch.channels_last)
        output = self.model.forward_measured(batch["tokens"].float(), evidence, pixels, batch["matches"].float())
        with torch.autocast(self.device.type, enabled=False):
            return self_forged_losses(
                output,
                batch["label"],
                batch["target"],
                batch["weight"],
                self.objective,
                progress=self.global_step / self.stage.steps,
                generator=generator,
            )

    def _backward_in_parts(self, batch: dict[str, Tensor], threads: ThreadPoolExecutor) -> dict[str, Tensor]:
        """Gradients of the mean loss over parts of the batch, a thread each; the mean of each part's losses."""
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        tensors = {name: value for name, value in batch.items() if name != "view"}
        count = min(self._cores, len(batch["label"]))

        def one(part: int) -> tuple[Mapping[str, Tensor], Sequence[Tensor]]:
            generator = torch.Generator().manual_seed((self.seed << 32) + count * self.global_step + part)
            with self.trainer.precision_plugin.forward_context():
                losses = self._losses({name: value[part::count] for name, value in tensors.items()}, generator)
            gradients = torch.autograd.grad(losses.total / count, weights, allow_unused=True, materialize_grads=True)
            return losses.parts, gradients

        done = list(threads.map(one, range(count)))
        total = list(done[0][1])
        for _, gradients in done[1:]:
            torch._foreach_add_(total, list(gradients))
        for weight, gradient in zip(weights, total, strict=True):
            weight.grad = gradient
        names = done[0][0]
        return {name: torch.stack([parts[name].detach() for parts, _ in done]).mean() for name in names}

    def predict(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Mask probabilities ``(B, H, W)`` and image scores ``(B,)`` of a measured batch, on the CPU."""
        tensors = {name: value.to(self.device) for name, value in batch.items()}
        pixels = tensors["pixels"].to(torch.float32, memory_format=torch.channels_last)
        with self.trainer.precision_plugin.forward_context():
            output = self.model.forward_measured(
                tensors["tokens"].float(), tensors["evidence"].float(), pixels, tensors["matches"].float()
            )
        return output.localization_logits.float().sigmoid().cpu(), output.detection_scores.float().cpu()

    def configure_optimizers(self) -> Any:
        """AdamW, beside Muon where the stage asks for it; a way up, a plateau, and a linear way down.

        Everything but the frozen encoder learns.
        """
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        rate, decay = self.stage.learning_rate, self.stage.weight_decay
        matrices = [weight for weight in weights if is_matrix(weight)] if self.stage.optimiser == "muon" else []
        chosen = set(map(id, matrices))
        others = [weight for weight in weights if id(weight) not in chosen]
        optimisers: list[torch.optim.Optimizer] = [torch.optim.AdamW(others, lr=rate, weight_decay=decay, fused=True)]
        if matrices:
            optimisers.append(MatrixMuon(matrices, learning_rate=rate, weight_decay=decay))
        schedules = [torch.optim.lr_scheduler.LambdaLR(optimiser, self.stage.rate) for optimiser in optimisers]
        return optimisers, schedules

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Trainable weights only: a checkpoint never holds the encoder."""
        return self.model.trainable_state()

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Load what :meth:`state_dict` gave."""
        self.model.load_trainable_state(state_dict)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the average beside the weights."""
        checkpoint["average"] = {"updates": self.average.updates, "weights": self.average.weights}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the average."""
        self.average.updates, self.average.weights = checkpoint["average"]["updates"], checkpoint["average"]["weights"]


def _listed(one_or_more: Any) -> list[Any]:
    """Lightning gives one optimiser, or one schedule, without a list around it."""
    return one_or_more if isinstance(one_or_more, list) else [one_or_more]


class SaveStage(L.Callback):
    """Every so many steps write ``last.ckpt`` for resuming; at the end of the stage, its averaged model.

    Ctrl-C ends the stage when the step it falls into is done and saved; pressed again, at once.
    """

    def __init__(self, folder: Path, trained_with: dict[str, Any]) -> None:
        self.folder, self.trained_with = folder, trained_with
        self.interrupted = False

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Take the first Ctrl-C as a request."""
        with suppress(ValueError):  # only the main thread has signals
            signal.signal(signal.SIGINT, self._interrupt)

    def end_early(self) -> None:
        """End when the step in hand is done, as on Ctrl-C."""
        self.interrupted = True

    def _interrupt(self, *_: Any) -> None:
        self.end_early()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Save when it is time."""
        assert isinstance(module, SelfForgedModule)
        step = trainer.global_step
        interrupted = trainer.strategy.reduce_boolean_decision(self.interrupted, all=False)  # by any process
        if (interrupted or step % module.stage.save_every == 0) and step < module.stage.steps:
            trainer.save_checkpoint(self.folder / LAST)
        if step == module.stage.steps and trainer.is_global_zero:
            module.model.load_trainable_state(module.average.weights)
            save_checkpoint(module.model, self.folder / "model", trained_with=self.trained_with)
        if step == module.stage.steps:
            trainer.strategy.barrier("model written")  # the next stage of every process reads it
        if interrupted:
            raise KeyboardInterrupt

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        """Save where an image cannot be read any more: the steps before it are done."""
        if isinstance(exception, ImageError) and trainer.global_step and trainer.world_size == 1:
            trainer.save_checkpoint(self.folder / LAST)


class StageBatches(PlannedBatches):
    """Loader of a stage, which goes on where the trainer is."""

    def __init__(self, pictures: StagePictures, *, steps: int, num_workers: int) -> None:
        super().__init__()
        self.pictures, self.steps, self.num_workers = pictures, steps, num_workers

    def train_dataloader(self) -> DataLoader:
        """The batches that are left."""
        assert self.trainer is not None
        loop: Any = self.trainer.fit_loop.epoch_loop
        self.pictures.rank, self.pictures.world = self.trainer.global_rank, self.trainer.world_size
        left = [[step] for step in range(loop.global_step, self.steps)]
        return make_loader(self.pictures, left, num_workers=self.num_workers, collate=whole)


class KeepMade(L.Callback):
    """Tell the makers which batches are wanted, at the start and as the training moves on."""

    def __init__(self, makers: Makers, pictures: StagePictures) -> None:
        self.makers, self.pictures = makers, pictures

    def on_train_start(self, trainer: L.Trainer, *_: Any) -> None:
        """Begin, or go on, where the trainer is."""
        self.makers.want(self.pictures.plan.alive(trainer.global_step))

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        """Move on."""
        self.makers.want(self.pictures.plan.alive(trainer.global_step))
