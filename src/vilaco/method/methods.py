"""Every method that can be trained, by name: its configuration, its network, its losses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from vilaco.encoders.base import VisionLanguageEncoder
from vilaco.method.baselines.araslanov import Araslanov, AraslanovConfig
from vilaco.method.baselines.cam import Cam, CamConfig
from vilaco.method.baselines.fcn import image_label_losses
from vilaco.method.baselines.mil_fcn import MilFcn, MilFcnConfig
from vilaco.method.baselines.vadclip import VadClip, VadClipConfig, vadclip_losses
from vilaco.method.baselines.wscl import Wscl, WsclConfig, wscl_losses
from vilaco.method.network import Losses, Objective, PatchNetwork
from vilaco.method.objective import ObjectiveConfig, vilaco_losses
from vilaco.method.vilaco import ViLaCo, ViLaCoConfig

DEFAULT_METHOD = "vilaco"


@dataclass(frozen=True)
class Method:
    """A network, made from its configuration and an encoder, and its losses; ViLaCo's also ask for their settings."""

    network: Callable[[Any, VisionLanguageEncoder | None], PatchNetwork]
    losses: Callable[..., Losses]


METHODS = {
    DEFAULT_METHOD: Method(ViLaCo, vilaco_losses),
    "mil_fcn": Method(MilFcn, image_label_losses),
    "wscl": Method(Wscl, wscl_losses),
    "vadclip": Method(VadClip, vadclip_losses),
    "cam": Method(Cam, image_label_losses),
    "araslanov": Method(Araslanov, image_label_losses),
}


def _with_method(values: Any) -> Any:
    """Files older than the baselines name no method."""
    return {"method": DEFAULT_METHOD, **values} if isinstance(values, dict) else values


MethodConfig = Annotated[
    ViLaCoConfig | MilFcnConfig | WsclConfig | VadClipConfig | CamConfig | AraslanovConfig,
    Field(discriminator="method"),
    BeforeValidator(_with_method),
]
"""The configuration of any method; its field ``method`` says which, and is ``vilaco`` where absent."""


def build_network(config: MethodConfig, encoder: VisionLanguageEncoder | None = None) -> PatchNetwork:
    """Build the network of a method, with fresh weights.

    Args:
        config: The configuration of the method.
        encoder: A loaded encoder to share; loaded from ``config.encoder`` where not given.

    Raises:
        ModelError: If the encoder's weights are not to be had.
    """
    return METHODS[config.method].network(config, encoder)


def build_objective(config: MethodConfig, objective: ObjectiveConfig) -> Objective:
    """Choose the losses of a method; ``objective`` is ViLaCo's, the losses of the others have no settings."""
    if isinstance(config, ViLaCoConfig):
        return partial(vilaco_losses, config=objective)
    return METHODS[config.method].losses


def field_name(location: Sequence[int | str]) -> str:
    """Name a field as people write it, from where pydantic says it is: without the method between ``model`` and it.

    Example:
        >>> field_name(("model", "mil_fcn", "head", "channels"))
        'model.head.channels'
    """
    parts = list(map(str, location))
    if len(parts) > 1 and parts[0] == "model" and parts[1] in METHODS:
        del parts[1]
    return ".".join(parts)
