import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.results import check_results, hardware, load_results, new_result, results_text, save_results
from tests.mutations import mutated


def record(**changes):
    facts = {
        "model": "m",
        "task": "knn",
        "dataset": "d",
        "split": "test",
        "protocol": "k=20",
        "metric": "top-1",
        "value": 0.5,
        "n": 10,
    }
    return new_result(**facts | changes)


def test_records_say_where_and_when(tmp_path):
    save_results(tmp_path / "results.json", [record()])
    (row,) = json.loads((tmp_path / "results.json").read_text())["results"]
    assert set(row) >= {"task", "dataset", "split", "protocol", "metric", "value", "std", "seeds", "n", "commit"}
    assert row["date"]
    assert row["hardware"]
    assert load_results(tmp_path / "results.json") == [record()]


@pytest.mark.parametrize("figures", [{"value": float("nan")}, {"value": float("inf")}, {"std": float("nan")}])
def test_a_figure_is_a_number(figures):
    with pytest.raises(ConfigError, match=r"Result cannot be used:\n  (value|std): .*finite"):
        record(**figures)


def test_the_same_measurement_replaces_and_others_stay(tmp_path):
    path = tmp_path / "results.json"
    save_results(path, [record(), record(task="linear")])
    save_results(path, [record(value=0.7), record(model="other")])
    assert [(r.model, r.task, r.value) for r in load_results(path)] == [
        ("m", "knn", 0.7),
        ("m", "linear", 0.5),
        ("other", "knn", 0.5),
    ]


@pytest.mark.parametrize("content", ["", "[]", '{"results": [{"task": "knn"}]}', '{"results": 3}'])
def test_a_file_that_is_no_results_json_is_refused_and_kept(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"results\.json(, record 0| is not a results\.json)"):
        save_results(path, [record()])
    assert path.read_text() == content


def test_unknown_facts_are_refused():
    with pytest.raises(ConfigError, match="accuracy: no such setting"):
        record(accuracy=1)


@pytest.mark.parametrize(
    ("metric", "facts", "figure"),
    [
        ("top-1", {"value": 0.68943}, "68.9 %"),
        ("mIoU", {"value": 0.316, "std": 0.0114, "seeds": [0, 1]}, "31.6 ± 1.1 %"),
        ("abs_rel", {"value": 0.11849, "std": 0.001}, "0.118 ± 0.001"),
        ("smallest cosine of pooled", {"value": 0.9998891}, "0.99989"),
        ("20-NN agreement", {"value": 0.99}, "99.0 %"),
        ("pictures a second, batch 1", {"value": 833.27}, "833"),
    ],
)
def test_figures_are_written_as_their_kind_is_read(metric, facts, figure):
    assert record(metric=metric, **facts).figure() == figure


def test_hardware_is_what_was_computed_on():
    assert "CPU" in hardware("cpu")
    assert hardware("mps").endswith(", mps")


ADD = """
import sys
from sslhsic_transfer.results import new_result, save_results

path, name = sys.argv[1:]
facts = dict(model=name, dataset="d", split="test", protocol="k=20", metric="top-1", value=0.5, n=10)
record = new_result(task="0", **facts)
for number in range(25):
    save_results(path, [record.model_copy(update={"task": str(number)})])
"""


def test_records_of_several_processes_all_arrive(tmp_path):
    path = tmp_path / "new" / "results.json"
    command = [sys.executable, "-c", ADD, str(path)]
    processes = [subprocess.Popen([*command, name]) for name in "abc"]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    found = {(result.model, result.task) for result in load_results(path)}
    assert found == {(name, str(number)) for name in "abc" for number in range(25)}
    assert [file.name for file in path.parent.iterdir()] == ["results.json"]


def test_what_others_wrote_beside_the_records_stays(tmp_path):
    path = tmp_path / "results.json"
    path.write_text('{"note": "mine", "results": []}')
    save_results(path, [record()])
    assert json.loads(path.read_text())["note"] == "mine"
    assert len(load_results(path)) == 1


def test_a_link_stays_one(tmp_path):
    (tmp_path / "link.json").symlink_to(tmp_path / "results.json")
    save_results(tmp_path / "link.json", [record()])
    assert (tmp_path / "link.json").is_symlink()
    assert load_results(tmp_path / "results.json") == [record()]


def test_whether_records_can_be_added_is_known_before(tmp_path):
    check_results(tmp_path / "new" / "results.json")
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        check_results(tmp_path / "file" / "results.json")
    with pytest.raises(ConfigError, match="is not a results"):
        check_results(tmp_path / "file")


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_changed_file_gives_an_error_of_ours_or_records(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("changed") / "results.json"
    path.write_bytes(mutated(results_text([record(), record(task="linear")]).encode(), data))
    said = "results.json"
    try:
        assert all(isinstance(result.value, float) for result in load_results(path))
    except ConfigError as error:
        said = str(error)
    assert "results.json" in said
