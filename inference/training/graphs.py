"""ONNX graphs of several converters brought to one shape: one input, one output, nothing else.

The result has no name, date or random identifier of a converter, so the same model has the same bytes.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from inference.errors import ModelUnusable
from inference.training.derived import Prefix

_OUTPUTS: Final = {
    "probabilities": ("probabilities", "probability"),
    "value": ("variable", "value", "output"),
}
"""What converters call the output that is wanted."""


def plain_graph(
    model: onnx.ModelProto,
    *,
    feed: str,
    columns: int,
    answer: str,
    width: int,
    first: Prefix | None = None,
) -> bytes:
    """The graph with input ``feed`` float32 [n, columns] and output ``answer`` float32 [n, width] alone.

    ``first`` stands between that input and what the converter's graph takes.

    Raises:
        ModelUnusable: the converter's graph has no such input or output.
    """
    graph = model.graph
    outputs = [output.name for output in graph.output]
    wanted = next((name for name in _OUTPUTS[answer] if name in outputs), None)
    if wanted is None or len(graph.input) != 1:
        raise ModelUnusable(f"the converter gave a graph with outputs {', '.join(outputs)}")
    renamed = {graph.input[0].name: feed if first is None else first.result, wanted: answer}
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in _needed(graph, wanted)]
    for node in nodes:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = renamed.get(name, name)
    initializers = [
        tensor for tensor in graph.initializer if any(tensor.name in node.input for node in nodes)
    ]
    if first is not None:
        nodes[:0] = first.nodes
        initializers[:0] = first.initializers
    for at, node in enumerate(nodes):
        node.name = f"{at}_{node.op_type}"
    plain = helper.make_model(
        helper.make_graph(
            nodes,
            "tally",
            [helper.make_tensor_value_info(feed, TensorProto.FLOAT, [None, columns])],
            [helper.make_tensor_value_info(answer, TensorProto.FLOAT, [None, width])],
            initializers,
        ),
        opset_imports=sorted(model.opset_import, key=lambda opset: opset.domain),
        ir_version=model.ir_version,
        producer_name="tally",
    )
    onnx.checker.check_model(plain)
    return plain.SerializeToString(deterministic=True)


def run(artefact: bytes, feed: str, answer: str, inputs: NDArray[np.generic]) -> NDArray[np.float64]:
    """The numbers that an artefact gives for a batch of inputs, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(artefact, options, providers=["CPUExecutionProvider"])
    pieces = [
        np.asarray(session.run([answer], {feed: inputs[at : at + 512]})[0], dtype=np.float64)
        for at in range(0, len(inputs), 512)
    ]
    return np.concatenate(pieces)


def _needed(graph: onnx.GraphProto, output: str) -> list[onnx.NodeProto]:
    """The nodes that ``output`` depends on, in their order: labels and what makes them are left out."""
    wanted = {output}
    kept = []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(node.input)
    return kept[::-1]
