"""Addresses of data, such as ``hf://ORG/NAME?split=train``."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from urllib.parse import unquote

from sslhsic_transfer.errors import ConfigError


@dataclass(frozen=True)
class Address:
    """An address, taken apart.

    Attributes:
        text: the address as it was given.
        scheme: what stands before ``://``.
        target: what stands between it and the question mark.
        parameters: what stands after it, ``name=value``, separated by ``&``.
    """

    text: str
    scheme: str
    target: str
    parameters: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Take an address apart; ``%20`` and the like are decoded, a plus sign stays one.

        Raises:
            ConfigError: a parameter without a value, or given twice.
        """
        scheme, _, rest = text.partition("://")
        target, _, query = rest.partition("?")
        parameters: dict[str, str] = {}
        for part in filter(None, query.split("&")):
            name, equals, value = part.partition("=")
            if not equals or name in parameters:
                problem = "is given twice" if equals else "has no value"
                raise ConfigError(f"{text}: the parameter {name!r} {problem}; expected name=value, each once.")
            parameters[name] = unquote(value)
        return cls(text, scheme, unquote(target), parameters)

    def get(self, name: str) -> str | None:
        """A parameter; None where it is not given."""
        return self.parameters.get(name)

    def flag(self, name: str) -> bool:
        """A parameter that is true or false; false where it is not given.

        Raises:
            ConfigError: it is neither.
        """
        return as_flag(self, name, self.parameters.get(name, "false"))

    def count(self, name: str) -> int | None:
        """A parameter that is a positive whole number; None where it is not given.

        Raises:
            ConfigError: it is none.
        """
        value = self.parameters.get(name)
        if value is None:
            return None
        if not value.isdecimal() or int(value) == 0:
            raise ConfigError(f"{self.text}: {name}={value}; expected a whole number above 0.")
        return int(value)

    def require_known(self, known: Iterable[str]) -> None:
        """Refuse parameters that are not among ``known``.

        Raises:
            ConfigError: there are some.
        """
        known = sorted(known)
        unknown = [name for name in self.parameters if name not in known]
        if unknown:
            raise ConfigError(
                f"{self.text}: no such parameter: {', '.join(unknown)}{suggestion(unknown[0], known)}; "
                f"known here: {', '.join(known)}."
            )


def as_flag(address: Address, name: str, value: str) -> bool:
    """``value`` of the parameter ``name`` as true or false.

    Raises:
        ConfigError: it is neither.
    """
    if value.lower() not in ("true", "false"):
        raise ConfigError(f"{address.text}: {name}={value}; expected true or false.")
    return value.lower() == "true"


def suggestion(name: str, known: Collection[str]) -> str:
    """`` (did you mean …?)``, or nothing where nothing is close."""
    lower = {option.lower(): option for option in known}
    close = [lower[match] for match in get_close_matches(name.lower(), lower, n=3, cutoff=0.6)]
    return f" (did you mean {' or '.join(close)}?)" if close else ""
