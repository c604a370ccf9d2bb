"""config.json as anybody may write it: a configuration, or one error of ours; never a crash."""

import copy
import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sslhsic_transfer.errors import ConfigError, ModelNotFoundError, SSLHSICError
from sslhsic_transfer.hub.config_file import FolderConfig, config_text, read_config

GOOD = {
    "format_version": 1,
    "encoder": {"architecture": "resnet18"},
    "preprocessing": {},
    "fingerprint": {"sha256": "0" * 64, "features": [0.0] * 16},
}
ODD = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([1e300, -math.inf, math.nan, 10**400, "resnet18", "\ud800", "[" * 2000])
    | st.sampled_from([{}, [], [[]], [math.nan] * 3])
    | st.lists(st.floats(), min_size=3, max_size=3)
)
PLACES = [
    (key,) for key in (*GOOD, "metadata", "onnx", "architecture")
] + [
    ("encoder", key) for key in ("architecture", "stem", "padding", "width", "embedding")
] + [
    ("preprocessing", key) for key in ("resize", "crop", "interpolation", "antialias", "style", "mean", "std")
] + [("fingerprint", "sha256"), ("fingerprint", "features"), ("metadata", "a"), ("onnx", "fp32")]  # fmt: skip


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), ODD), min_size=1, max_size=3))
def test_odd_values_are_a_configuration_that_can_be_used_or_an_error_of_ours(changes, tmp_path):
    values = json.loads(json.dumps(GOOD))
    for place, value in changes:
        section = values
        for key in place[:-1]:
            inner = section.get(key)
            section[key] = inner if isinstance(inner, dict) else {}
            section = section[key]
        section[place[-1]] = copy.deepcopy(value)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(values))
    try:
        config = read_config(path)
    except SSLHSICError:
        return
    chosen = config.preprocessing
    assert 32 <= chosen.crop <= 1024
    assert chosen.crop <= chosen.resize <= 2048
    assert all(math.isfinite(value) for value in (*chosen.mean, *chosen.std))
    config_text(config) if _is_finite(config.metadata) else None


def _is_finite(value):
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60) | st.text(alphabet='[]{}",: 1', max_size=60).map(str.encode))
def test_noise(content, tmp_path):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ConfigError):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 500_000, "is not JSON: lists or objects lie more than 64 levels"),
        ('{"format_version":' * 900 + "1" + "}" * 900, "lie more than 64 levels"),
        ("", "is not JSON: it is empty: fetch or save it again"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:7\nsize 9\n", "it is a Git LFS pointer.*git lfs pull"),
        ("<!DOCTYPE html><html>", "it is a web page; download the file itself"),
        ('{"format_version": 1, "metadata": {"a": "\\ud800"}}', "surrogates not allowed"),
        (json.dumps(GOOD | {"encoder": {"architecture": "x" * 500_000}}), "Unknown architecture 'xxx"),
        (json.dumps(GOOD | {"preprocessing": {"std": [math.inf] * 3}}), "std must lie between"),
        (json.dumps(GOOD | {"preprocessing": {"crop": 4096, "resize": 4096}}), "less than or equal to 1024"),
    ],
)
def test_files_that_cannot_be_meant(text, words, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        read_config(tmp_path)
    assert len(str(caught.value)) < 5000


def test_facts_that_are_too_deep_are_not_written():
    deep: list = []
    for _ in range(60):
        deep = [deep]
    config = FolderConfig.model_validate(GOOD).model_copy(update={"metadata": {"a": deep}})
    with pytest.raises(ConfigError, match="up to 56 deep"):
        config_text(config)
    endless: list = []
    endless.append(endless)
    with pytest.raises(ConfigError, match="metadata: 'a'"):
        config_text(config.model_copy(update={"metadata": {"a": endless}}))


def test_a_link_to_no_file_is_told(tmp_path):
    (tmp_path / "config.json").symlink_to("../.git/annex/objects/XY/config.json")
    with pytest.raises(ModelNotFoundError, match=r"It is a link to \.\./\.git/annex/objects/XY/config\.json, where"):
        read_config(tmp_path)
