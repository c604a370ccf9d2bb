import pytest
from pydantic import BaseModel

from sslhsic_transfer.errors import CheckpointError, ConfigError, OutputExistsError
from sslhsic_transfer.training.run_folder import RunFolder


class Settings(BaseModel):
    rate: float = 0.1
    workers: int = 2
    pictures_sha256: str | None = None


@pytest.fixture
def folder(tmp_path):
    """A run that has logged something."""
    folder = RunFolder(tmp_path / "run")
    assert folder.begin(Settings(pictures_sha256="a"), resume=False) is None
    folder.log({"step": 1})
    return folder


def test_it_is_taken_up_with_its_own_settings_only(folder):
    folder.begin(Settings(pictures_sha256="a", workers=0), resume=True)
    with pytest.raises(CheckpointError, match=r"another recipe \(rate: 0.1 then, 0.2 now\)"):
        folder.begin(Settings(pictures_sha256="a", rate=0.2), resume=True)
    with pytest.raises(OutputExistsError, match="--resume"):
        folder.begin(Settings(pictures_sha256="a"), resume=False)


def test_other_pictures_are_refused_where_the_recipe_tells_which_they_were(folder):
    with pytest.raises(CheckpointError, match="begun on other pictures than are there now"):
        folder.begin(Settings(pictures_sha256="b"), resume=True)
    folder.recipe.write_text("rate: 0.1\nworkers: 2\n")  # of an earlier version
    folder.begin(Settings(pictures_sha256="b"), resume=True)


@pytest.mark.parametrize("text", ["rate: [", "- 1", "rate: x", "\0"])
def test_a_damaged_recipe_is_one_error_and_stays(folder, text):
    folder.recipe.write_text(text)
    with pytest.raises(ConfigError, match=r"recipe\.yaml"):
        folder.begin(Settings(), resume=True)
    assert folder.recipe.read_text() == text


def test_damaged_lines_of_the_log_are_passed_over(folder):
    with folder.metrics.open("a") as file:
        file.write('[1]\n{"stop": 2}\n{"step": "3"}\n' + "[" * 100_000 + '\n{"step": 4}\n{"st')
    assert [record["step"] for record in folder.read_metrics()] == [1, 4]
    folder.forget_after(1)
    assert [record["step"] for record in folder.read_metrics()] == [1]


def test_only_one_at_a_time_and_no_trace_of_it(tmp_path):
    folder = RunFolder(tmp_path / "new" / "run")
    with folder.locked():
        assert folder.root.is_dir()
    assert not list(tmp_path.iterdir())
