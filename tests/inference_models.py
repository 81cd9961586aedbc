"""Small real models for tests: artefacts made with onnx, manifests, and their way to champion.

The photo model answers by mean brightness, so a test knows what it says of a photo: ``SHADES`` has a shade of
grey for each class.  The readings model is linear: ``GLASS`` and ``METAL`` are readings of either class.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from inference.governance.registry import Registry
from inference.manifest import ARTEFACT, CARD, MANIFEST, Manifest, manifest_bytes, sha256_hex
from outbox.sender import RawSender
from store.governance import GovernanceStore
from store.sessions import Sessions

PHOTOS: Final = "waste-photos"
READINGS: Final = "waste-sensors"
SHADES: Final = {"glass": 40, "metal": 128, "paper": 215}
"""Class to the brightness, 0 to 255, that it is."""
SIDE: Final = 32
"""Width and height of the photo model's input, in pixels."""
GLASS: Final[Mapping[str, float | str]] = {"mass_g": 300.0, "nir": 0.1, "lid": "yes"}
METAL: Final[Mapping[str, float | str]] = {"mass_g": 20.0, "nir": 0.9, "lid": "no"}
_OPSET: Final = 17
_Result = TypeVar("_Result")


def write_photo_model(
    shelf: Path, version: str, *, model_id: str = PHOTOS, swap: bool = False, matmuls: int = 0, **changes: Any
) -> Path:
    """A photo model's folder.  ``swap`` exchanges glass and paper; ``matmuls`` makes it slow."""
    classes = tuple(SHADES)
    shades = [SHADES[name] for name in (reversed(classes) if swap else classes)]
    constants = {
        "shades": np.array([shades], np.float32),
        "scale": np.array([-1 / 300], np.float32),
        "flat": np.array([-1, 1], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["photos"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["numbers"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["mean", "flat"], ["column"]),
        helper.make_node("Sub", ["column", "shades"], ["distance"]),
        helper.make_node("Mul", ["distance", "distance"], ["squared"]),
        helper.make_node("Mul", ["squared", "scale"], ["plain" if matmuls else "logits"]),
    ]
    if matmuls:
        constants["work0"] = np.eye(512, dtype=np.float32)
        constants["nothing"] = np.array([0], np.float32)
        nodes.append(helper.make_node("ReduceMean", ["column"], ["scalar"], axes=[0, 1], keepdims=0))
        nodes.append(helper.make_node("Mul", ["work0", "scalar"], ["work_0"]))
        nodes += [
            helper.make_node("MatMul", [f"work_{step}", "work0"], [f"work_{step + 1}"])
            for step in range(matmuls)
        ]
        nodes += [
            helper.make_node("ReduceMean", [f"work_{matmuls}"], ["sum"], axes=[0, 1], keepdims=0),
            helper.make_node("Mul", ["sum", "nothing"], ["zero"]),
            helper.make_node("Add", ["plain", "zero"], ["logits"]),
        ]
    feed = helper.make_tensor_value_info("photos", TensorProto.UINT8, ["n", SIDE, SIDE, 3])
    artefact = _artefact(nodes, constants, feed, len(classes))
    values = {"input": {"kind": "photo", "width": SIDE, "height": SIDE}, "classes": classes}
    return write_model(shelf, model_id, version, artefact, **{**values, **changes})


def write_readings_model(
    shelf: Path, version: str, *, model_id: str = READINGS, swap: bool = False, **changes: Any
) -> Path:
    """A linear readings model's folder.  ``swap`` exchanges its classes' weights."""
    weights = np.array([[0.02, -0.02], [-4.0, 4.0], [0.5, -0.5], [-0.5, 0.5]], np.float32)
    nodes = [helper.make_node("Gemm", ["readings", "weights"], ["logits"])]
    constants = {"weights": weights[:, ::-1].copy() if swap else weights}
    feed = helper.make_tensor_value_info("readings", TensorProto.FLOAT, ["n", 4])
    artefact = _artefact(nodes, constants, feed, 2)
    values = {
        "input": {
            "kind": "readings",
            "features": [
                {"name": "mass_g", "unit": "g", "minimum": 0, "maximum": 5000},
                {"name": "nir", "minimum": 0, "maximum": 1},
                {"name": "lid", "values": ["yes", "no"], "nullable": True},
            ],
        },
        "classes": ("glass", "metal"),
    }
    return write_model(shelf, model_id, version, artefact, **{**values, **changes})


def write_model(shelf: Path, model_id: str, version: str, artefact: bytes, **changes: Any) -> Path:
    """A model folder that fulfils every compliance rule, with that artefact."""
    folder = shelf / model_id / version
    folder.mkdir(parents=True)
    card = f"# {model_id} {version}\n\nFor tests.\n".encode()
    values: dict[str, Any] = {
        "model_id": model_id,
        "version": version,
        "task": "classification",
        "title": f"{model_id} for tests",
        "artefact_digest": sha256_hex(artefact),
        "card_digest": sha256_hex(card),
        "output": "logits",
        "spec_digest": sha256_hex(b"spec"),
        "data_digest": sha256_hex(b"data"),
        "metrics": {"accuracy": 0.95},
        "promotion": {"minimum": {"accuracy": 0.9}},
        "trained_at": datetime(2026, 3, 1, tzinfo=UTC),
        "trained_by": "trainer",
        "seconds": 1.0,
    }
    (folder / ARTEFACT).write_bytes(artefact)
    (folder / CARD).write_bytes(card)
    (folder / MANIFEST).write_bytes(manifest_bytes(Manifest.model_validate(values | changes)))
    return folder


def photo(shade: int, *, kind: str = "PNG", side: int = 48, mark: int = 0) -> bytes:
    """A grey photo of that brightness; ``mark`` makes another file of the same look."""
    image = Image.new("RGB", (side, side), (shade, shade, shade))
    image.putpixel((0, 0), (mark % 256, mark // 256 % 256, 0))
    buffer = BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def on_registry(url: str, collector: str, work: Callable[[Registry], Awaitable[_Result]]) -> _Result:
    """Do something with a registry of its own: ``url`` is the database's, ``collector`` is host:port."""

    async def run() -> _Result:
        sessions = Sessions(url)
        with tempfile.TemporaryDirectory() as directory:
            async with RawSender(collector) as sender:
                try:
                    return await work(
                        Registry(GovernanceStore(sessions), sender, Path(directory) / "kept.json")
                    )
                finally:
                    await sessions.close()

    return asyncio.run(run())


def promote(url: str, collector: str, *folders: Path) -> None:
    """Register, approve and promote model folders, one after the other."""

    async def work(registry: Registry) -> None:
        for folder in folders:
            model_id, version = folder.parent.name, folder.name
            await registry.register(folder)
            await registry.act(model_id, version, "approved", "approver", "figures seen")
            await registry.act(model_id, version, "promoted", "operator", "for tests")

    on_registry(url, collector, work)


def _artefact(
    nodes: list[onnx.NodeProto],
    constants: Mapping[str, Any],
    feed: onnx.ValueInfoProto,
    classes: int,
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "test",
        [feed],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", classes])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
