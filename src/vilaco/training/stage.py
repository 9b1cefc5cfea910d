"""Settings of the stages of a training in stages."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class StageConfig(BaseModel):
    """Settings of one stage of optimisation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(ge=1)
    optimiser: Literal["adamw", "muon"] = "adamw"  # muon: for matrices and convolutions; AdamW moves the rest
    learning_rate: float = Field(1e-3, gt=0)
    warmup_steps: int = Field(100, ge=1)
    weight_decay: float = Field(0.01, ge=0)
    decay_share: float = Field(
        1.0, gt=0, le=1
    )  # of the steps after the warm-up: the rate falls linearly; before it is flat
    gradient_clip: float = Field(1.0, gt=0)
    average_decay: float = Field(0.99, ge=0, lt=1)  # of the weight average, which is what is saved
    save_every: int = Field(100, ge=1)  # steps
    frozen: tuple[str, ...] = ()  # parts of the network, by their names in it, that stay as the stage finds them

    def rate(self, step: int) -> float:
        """Share of the learning rate at a step: a linear way up, a plateau, a linear way down to a fiftieth.

        Example:
            >>> stage = StageConfig(steps=110, warmup_steps=10, decay_share=0.5)
            >>> [stage.rate(step) for step in (0, 9, 60, 85, 109)]
            [0.1, 1.0, 1.0, 0.5, 0.02]
        """
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        falling = self.decay_share * max(1, self.steps - self.warmup_steps)
        return max(0.02, min(1.0, (self.steps - step) / falling))


class ForgedStageConfig(StageConfig):
    """The first stage, on self-made forgeries alone."""

    steps: int = Field(3000, ge=1)


class RoundConfig(StageConfig):
    """A round of self-training, which starts from what was learned before."""

    steps: int = Field(200, ge=1)
    learning_rate: float = Field(5e-4, gt=0)
    warmup_steps: int = Field(30, ge=1)
