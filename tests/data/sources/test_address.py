import pytest

from sslhsic_transfer.data.sources.address import Address
from sslhsic_transfer.errors import ConfigError


def test_is_taken_apart():
    address = Address.parse("hf://org/name?split=train[10%:]+test&label=&data_dir=a%20b&streaming=True&length=12")
    assert (address.scheme, address.target) == ("hf", "org/name")
    assert address.get("split") == "train[10%:]+test"
    assert address.get("label") == ""
    assert address.get("data_dir") == "a b"
    assert address.get("revision") is None
    assert (address.flag("streaming"), address.flag("download")) == (True, False)
    assert (address.count("length"), address.count("buffer")) == (12, None)
    assert Address.parse("hf:///a/b").target == "/a/b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hf://a?split", "the parameter 'split' has no value; expected name=value"),
        ("hf://a?split=x&split=y", "the parameter 'split' is given twice"),
        ("hf://a?streaming=yes", "streaming=yes; expected true or false"),
        ("hf://a?length=0", "length=0; expected a whole number above 0"),
        ("hf://a?length=many", "length=many; expected a whole number above 0"),
        ("hf://a?lenght=3", r"no such parameter: lenght \(did you mean length\?\); known here: length, streaming"),
    ],
)
def test_what_is_wrong_is_said(text, message):
    with pytest.raises(ConfigError, match=message):
        _use(text)


def _use(text):
    address = Address.parse(text)
    address.flag("streaming")
    address.count("length")
    address.require_known(["streaming", "length"])
