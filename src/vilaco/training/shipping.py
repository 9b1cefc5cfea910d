"""From a trained model to one as the package ships it: every weight once.

``model.onnx`` and ``front_end.onnx`` read learned weights from ``model.safetensors`` beside them, and models share the
graph of a frozen encoder. Hashes of both lie in ``model.onnx``, so that a damaged or exchanged file is refused.
"""

import hashlib
from pathlib import Path

import onnx
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from vilaco.errors import ModelError
from vilaco.files import write_atomically
from vilaco.method.checkpoint import CONFIG
from vilaco.runtimes import ENCODER, FRONT_END, GRAPH, WEIGHTS
from vilaco.runtimes.onnx import METADATA_KEY, ExportedEncoder, ExportedModel
from vilaco.training.compress import refer_to_weights
from vilaco.training.export import CARD, export_model
from vilaco.weights import shared_encoder


def ship_model(trained: Path, out: Path) -> None:
    """Write a trained model as it is shipped, its weights in half precision.

    Args:
        trained: A model folder.
        out: The folder to write; new or empty. The encoder's graph goes to where
            :func:`vilaco.weights.shared_encoder` says; one that lies there stays, as other models know it by its hash.

    Raises:
        DataError: If ``out`` is not empty.
        ModelError: If ``trained`` is no model, half precision changes what it says, or the encoder's graph that lies
            there is for another view.
    """
    half, exported = out.with_name(f"{out.name}_half"), out.with_name(f"{out.name}_exported")
    weights = save_tensors(
        {name: value.half() for name, value in load_tensors((trained / WEIGHTS).read_bytes()).items()}
    )
    write_atomically(half / WEIGHTS, weights)
    for name in (CONFIG, CARD):
        if (trained / name).is_file():
            write_atomically(half / name, (trained / name).read_bytes())
    export_model(half, exported)
    share_weights(exported, weights, out)
    for folder in (half, exported):
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


def share_weights(exported: Path, weights: bytes, out: Path) -> None:
    """Rewrite an exported model, which is complete by itself, so that each weight is there once.

    Args:
        exported: What ``vilaco export`` wrote.
        weights: The float16 ``model.safetensors`` that it was exported from.
        out: The folder to write.
    """
    graph = onnx.load(exported / GRAPH)
    facts = ExportedModel.model_validate_json(_metadata(graph))
    about, place = ExportedEncoder.model_validate(facts.model_dump()), shared_encoder(facts.encoder_fingerprint)
    if not place.exists():
        encoder = onnx.load(exported / ENCODER)
        _describe(encoder, about.model_dump_json())
        write_atomically(place, encoder.SerializeToString())
    shared = place.read_bytes()
    if ExportedEncoder.model_validate_json(_metadata(onnx.load_from_string(shared))) != about:
        raise ModelError(f"{place}: the encoder that models share is not for this one's views")
    front_end = onnx.load(exported / FRONT_END)
    for one in (graph, front_end):
        refer_to_weights(one, weights, WEIGHTS)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in ((WEIGHTS, weights), (ENCODER, shared))}
    text = facts.model_copy(update={"files_sha256": hashes}).model_dump_json()
    for one in (graph, front_end):
        _describe(one, text)
    write_atomically(out / WEIGHTS, weights)
    write_atomically(out / FRONT_END, front_end.SerializeToString())
    for name in (CONFIG, CARD):
        if (exported / name).is_file():
            write_atomically(out / name, (exported / name).read_bytes())
    write_atomically(out / GRAPH, graph.SerializeToString())


def _metadata(graph: onnx.ModelProto) -> str:
    return next(entry.value for entry in graph.metadata_props if entry.key == METADATA_KEY)


def _describe(graph: onnx.ModelProto, text: str) -> None:
    del graph.metadata_props[:]
    graph.metadata_props.add(key=METADATA_KEY, value=text)
