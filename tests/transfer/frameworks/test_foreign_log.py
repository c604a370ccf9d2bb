import json

from sslhsic_transfer.training.run_folder import RunFolder
from sslhsic_transfer.transfer.frameworks.foreign_log import take_over_log

NAMES = {"iteration": "step", "total_loss": "loss"}


def lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


def test_lines_are_renamed_counted_from_one_and_in_order(tmp_path):
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    first.write_text(lines({"iteration": 9, "total_loss": 2.0, "eta": 5}, {"iteration": 19, "total_loss": 1.5}))
    second.write_text(lines({"iteration": 14, "total_loss": 1.7}, {"iteration": 19, "total_loss": 1.4}, {"AP": 0.3}))
    folder = RunFolder(tmp_path / "run")
    folder.root.mkdir()
    take_over_log(folder, [first, second], NAMES, first_step=0)
    expected = [{"step": 10, "loss": 2.0}, {"step": 15, "loss": 1.7}, {"step": 20, "loss": 1.4}]
    assert folder.read_metrics() == expected
    take_over_log(folder, [first, second], NAMES, first_step=0)
    assert folder.read_metrics() == expected
