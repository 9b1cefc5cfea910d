"""Settings of one stage of a training in stages."""

from pydantic import BaseModel, ConfigDict, Field


class StageConfig(BaseModel):
    """Settings of one stage of optimisation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    warmup_steps: int = Field(100, ge=1)
    weight_decay: float = Field(0.01, ge=0)
    gradient_clip: float = Field(1.0, gt=0)
    average_decay: float = Field(0.998, ge=0, lt=1)  # of the weight average, which is what is saved
    save_every: int = Field(100, ge=1)  # steps
