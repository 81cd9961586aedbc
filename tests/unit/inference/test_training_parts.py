"""The parts of training: data held against a specification, graphs that say what estimators say, folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from inference.errors import Conflict, ModelUnusable, SpecError
from inference.spec import Spec, read_spec
from inference.training.derived import extended, prefix
from inference.training.energy import Meter
from inference.training.estimators import exported, make, probabilities
from inference.training.folder import FolderUnwritable, write_folder
from inference.training.graphs import run
from inference.training.reference import of_category, of_number
from inference.training.rows import fitting_rows
from inference.training.sources import read_table

MakeSpec = Callable[..., Spec]
HEADER = '\ufeffsize,"Kind, of it",ph,grade\r\n'


def lines(count: int = 60, **changes: str) -> str:
    """A table with a byte order mark, quoted names and missing values; ``changes`` has rows, as r<number>."""
    rows = []
    for number in range(1, count + 1):
        ph = "" if number % 7 == 0 else "7"
        plain = f'{number / 10},"{"LM"[number % 2]}",{ph},{number % 2}'
        rows.append(changes.get(f"r{number}", plain))
    return HEADER + "\r\n".join(rows) + "\r\n"


@pytest.fixture
def make_spec(tmp_path: Path) -> MakeSpec:
    def make_one(invalid: str = "refuse", **changes: object) -> Spec:
        content: dict[str, Any] = {
            "id": "grades",
            "title": "Grades",
            "task": "classification",
            "intended_use": "a test",
            "limits": ["it is small"],
            "data": {"source": "csv", "path": "grades.csv", "origin": "made up", "invalid": invalid},
            "features": [
                {"name": "size", "unit": "cm", "minimum": 0, "maximum": 10},
                {"name": "Kind, of it", "values": ["L", "M"]},
                {"name": "ph", "minimum": 0, "maximum": 14, "nullable": True},
            ],
            "target": {"column": "grade", "classes": {"0": "bad", "1": "good"}},
            "search": {"metric": "log_loss", "trials": 1, "folds": 2},
            "candidates": [{"estimator": "logistic"}],
            "promotion": {"minimum": {"accuracy": 0.5}},
        }
        path = tmp_path / "spec.yaml"
        path.write_text(json.dumps(content | changes))
        return read_spec(path)[0]

    return make_one


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "grades.csv").write_bytes(text.encode())
    return tmp_path


def test_a_table_with_byte_order_mark_quotes_and_gaps_is_read(tmp_path: Path, make_spec: MakeSpec) -> None:
    spec = make_spec(groups={"column": "ph", "edges": [6, 8]})
    rows = fitting_rows(spec, read_table(spec, written(tmp_path, lines()), {}).frame)
    assert rows.matrix.shape == (60, 4)
    assert rows.matrix[0].tolist() == pytest.approx([0.1, 0, 1, 7])
    assert np.isnan(rows.matrix[6, 3])
    assert rows.target[:3].tolist() == [1, 0, 1]
    assert rows.groups is not None
    assert set(rows.groups) == {"6 to 8", "missing"}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("99,L,7,1", "row 9: size: expected 0 to 10 cm, got 99.0"),
        (",L,7,1", "row 9: size: expected 0 to 10 cm, got null"),
        ("x,L,7,1", "row 9: size: expected a number, 0 to 10 cm, got 'x'"),
        ("inf,L,7,1", "row 9: size: expected 0 to 10 cm, got inf"),
        ("1,Z,7,1", "row 9: Kind, of it: expected one of L, M, got 'Z'"),
        ("1,L,7,", "row 9: grade: the target is missing"),
        ("1,L,7,2", "row 9: grade: expected one of 0, 1, got '2'"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_or_dropped_as_the_specification_says(
    tmp_path: Path, make_spec: MakeSpec, row: str, said: str
) -> None:
    folder = written(tmp_path, lines(r9=row))
    spec = make_spec()
    with pytest.raises(SpecError) as refused:
        fitting_rows(spec, read_table(spec, folder, {}).frame)
    assert said in str(refused.value)
    assert "1 of 60 rows" in str(refused.value)
    lenient = make_spec(invalid="drop")
    rows = fitting_rows(lenient, read_table(lenient, folder, {}).frame)
    assert len(rows) == 59
    assert sum(rows.dropped.values()) == 1


def test_the_worst_rows_are_named_first(tmp_path: Path, make_spec: MakeSpec) -> None:
    spec = make_spec()
    folder = written(tmp_path, lines(r3="11,L,7,1", r4="5000,L,7,1", r5="12,L,7,1"))
    with pytest.raises(SpecError, match=r"3 of 60.*row 4.*row 5.*row 3"):
        fitting_rows(spec, read_table(spec, folder, {}).frame)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no CSV"),
        ("size,grade\n" + "1,1\n" * 60, "no column Kind, of it, ph"),
        (lines(20), "50 rows"),
        ("a,b\n1,2\n1,2,3,4\n", "no CSV"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused(
    tmp_path: Path, make_spec: MakeSpec, text: str, said: str
) -> None:
    with pytest.raises(SpecError, match=said):
        read_table(make_spec(), written(tmp_path, text), {})


def test_data_that_are_not_there_are_missed_with_what_to_do(tmp_path: Path, make_spec: MakeSpec) -> None:
    with pytest.raises(SpecError, match="--data DIR or TALLY_DATA_DIR"):
        read_table(make_spec(), None, {})
    with pytest.raises(SpecError, match=r"grades\.csv does not exist"):
        read_table(make_spec(), tmp_path, {})
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "grades.csv").symlink_to("/etc/hostname")
    with pytest.raises(SpecError, match="leads out"):
        read_table(make_spec(), tmp_path / "data", {})
    simulated = {"source": "simulated", "simulation": "nothing", "rows": 100, "origin": "made up"}
    with pytest.raises(SpecError, match="expected one of none, got nothing"):
        read_table(make_spec(data=simulated), tmp_path, {})


def _table(rows: int = 400) -> np.ndarray[Any, np.dtype[np.float32]]:
    rng = np.random.default_rng(3)
    matrix = np.round(rng.normal(size=(rows, 4)), 2).astype(np.float32)
    matrix[::9, 0] = np.nan
    return matrix


FEW: dict[str, dict[str, Any]] = {
    "lightgbm": {"n_estimators": 30},
    "random_forest": {"n_estimators": 10},
    "extra_trees": {"n_estimators": 10},
    "mlp": {"hidden_layer_sizes": (8,), "max_iter": 400, "tol": 0.01},
    "blend": {"trees_n_estimators": 10, "network_hidden_layer_sizes": (8,), "network_tol": 0.01},
}


@pytest.mark.parametrize("classes", [0, 2, 3])
@pytest.mark.parametrize("name", ["lightgbm", "random_forest", "extra_trees", "logistic", "mlp", "blend"])
def test_the_graph_says_what_the_estimator_says_for_any_number_of_rows(name: str, classes: int) -> None:
    if name == "logistic" and not classes:
        name = "linear"
    matrix = _table()
    value = np.nan_to_num(matrix[:, 0]) + matrix[:, 1] * matrix[:, 2]
    target = value if not classes else np.digitize(value, [-0.5, 0.5][: classes - 1])
    models = [
        make(name, "classification" if classes else "regression", FEW.get(name, {}), 1).fit(matrix, target)
        for _ in range(2)
    ]
    artefacts = [exported(model, 4, classes) for model in models]
    assert artefacts[0] == artefacts[1]
    answer = "probabilities" if classes else "value"
    for rows in (1, 2, 400):
        found = run(artefacts[0], "readings", answer, matrix[:rows])
        assert found.shape == (rows, classes or 1)
        assert np.abs(found - probabilities(models[0], matrix[:rows])).max() < 1e-4
    session = onnxruntime.InferenceSession(artefacts[0], providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == [answer]
    assert [(given.name, given.type, given.shape[1]) for given in session.get_inputs()] == [
        ("readings", "tensor(float)", 4)
    ]


def test_thresholds_beside_a_reading_send_it_down_the_same_branch_in_the_graph() -> None:
    steps = np.nextafter(np.float32(1), np.float32(2)) - np.float32(1)
    matrix = (1 + np.arange(400, dtype=np.float32) * steps).reshape(-1, 1).astype(np.float32)
    target = np.arange(400) // 20 % 2
    fine: dict[str, Any] = {"n_estimators": 40, "max_bin": 1023, "min_child_samples": 1}
    model = make("lightgbm", "classification", fine, 1).fit(matrix, target)
    found = run(exported(model, 1, 2), "readings", "probabilities", matrix)
    assert np.abs(found - probabilities(model, matrix)).max() < 1e-5


def test_an_estimator_refuses_a_parameter_that_it_does_not_have() -> None:
    with pytest.raises(SpecError, match="candidates: logistic"):
        make("logistic", "classification", {"magic": 1}, 1)
    with pytest.raises(SpecError, match="trees_ or network_"):
        make("blend", "classification", {"magic": 1}, 1)


def test_derived_columns_have_the_same_bits_in_the_graph(make_spec: MakeSpec) -> None:
    spec = make_spec(
        derived=[
            {"name": "a", "product": ["size", "ph"]},
            {"name": "b", "difference": ["ph", "size"]},
        ]
    )
    matrix = _table(64)
    first = prefix(spec, "readings")
    assert first is not None
    whole = onnx.helper.make_model(
        onnx.helper.make_graph(
            list(first.nodes),
            "g",
            [onnx.helper.make_tensor_value_info("readings", onnx.TensorProto.FLOAT, [None, 4])],
            [onnx.helper.make_tensor_value_info(first.result, onnx.TensorProto.FLOAT, [None, 6])],
            list(first.initializers),
        ),
        opset_imports=[onnx.helper.make_opsetid("", 17)],
        ir_version=8,
    )
    found = run(whole.SerializeToString(), "readings", first.result, matrix)
    np.testing.assert_array_equal(found.astype(np.float32), extended(spec, matrix))
    np.testing.assert_array_equal(extended(spec, matrix)[:, 4], matrix[:, 0] * matrix[:, 3])


def test_a_reference_distribution_has_deciles_and_sums_to_one() -> None:
    found = of_number([*map(float, range(100)), None, None])
    assert len(found.shares) == len(found.edges) + 1 == 10
    assert sum(found.shares) + found.missing == pytest.approx(1, abs=1e-4)
    assert of_number([5.0] * 10).shares == (0.0, 1.0)
    assert of_number([None]).missing == 1
    assert of_category(["x", "y", "x", None], ["x", "y"]).shares == (0.5, 0.25)


def test_a_folder_is_there_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, "m", "1", {"a": b"1", "b": b"2"}, lambda path: path)
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b"]
    with pytest.raises(Conflict):
        write_folder(tmp_path, "m", "1", {"a": b"1"}, lambda path: path)

    def refuse(path: Path) -> None:
        assert (path / "a").read_bytes() == b"1"
        raise ModelUnusable("no")

    with pytest.raises(ModelUnusable):
        write_folder(tmp_path, "m", "2", {"a": b"1"}, refuse)
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["1"]
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderUnwritable):
        write_folder(tmp_path / "file", "m", "1", {}, lambda path: path)


def test_energy_is_read_where_the_processor_tells_it_and_else_estimated(tmp_path: Path) -> None:
    counter = tmp_path / "intel-rapl:0"
    counter.mkdir()
    (counter / "energy_uj").write_text("900000000\n")
    (counter / "max_energy_range_uj").write_text("1000000000\n")
    meter = Meter.started(tmp_path)
    (counter / "energy_uj").write_text("100000000\n")  # it began again from 0
    used = meter.used()
    assert used.kwh == pytest.approx(200 / 3.6e6, abs=1e-9)
    assert "RAPL" in used.how
    estimated = Meter.started(tmp_path / "none").used()
    assert "estimated" in estimated.how
    assert estimated.kwh >= 0
