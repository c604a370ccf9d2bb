"""Addresses of data, such as ``hf://ORG/NAME?split=train``."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from urllib.parse import unquote

from sslhsic_transfer.errors import ConfigError


@dataclass(frozen=True)
class Address:
    """A parsed address.

    Attributes:
        text: the address as it was given.
        scheme: the part before ``://``.
        target: the part between ``://`` and the question mark.
        parameters: the pairs ``name=value`` after the question mark, separated by ``&``.
    """

    text: str
    scheme: str
    target: str
    parameters: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Parse an address; ``%20`` and the like are decoded, but a plus sign is kept.

        Raises:
            ConfigError: a parameter has no value, or is given twice.
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
        """Return a parameter, or None if it is not given."""
        return self.parameters.get(name)

    def flag(self, name: str) -> bool:
        """Return a boolean parameter, or False if it is not given.

        Raises:
            ConfigError: it is neither true nor false.
        """
        return as_flag(self, name, self.parameters.get(name, "false"))

    def count(self, name: str) -> int | None:
        """Return a parameter that is a positive integer, or None if it is not given.

        Raises:
            ConfigError: it is not a positive integer.
        """
        value = self.parameters.get(name)
        if value is None:
            return None
        if not value.isdecimal() or int(value) == 0:
            raise ConfigError(f"{self.text}: {name}={value}; expected a whole number above 0.")
        return int(value)

    def require_known(self, known: Iterable[str]) -> None:
        """Check that all parameters are among ``known``.

        Raises:
            ConfigError: some are not.
        """
        known = sorted(known)
        unknown = [name for name in self.parameters if name not in known]
        if unknown:
            raise ConfigError(
                f"{self.text}: no such parameter: {', '.join(unknown)}{suggestion(unknown[0], known)}; "
                f"known here: {', '.join(known)}."
            )


def as_flag(address: Address, name: str, value: str) -> bool:
    """Convert ``value`` of the parameter ``name`` to a boolean.

    Raises:
        ConfigError: it is neither true nor false.
    """
    if value.lower() not in ("true", "false"):
        raise ConfigError(f"{address.text}: {name}={value}; expected true or false.")
    return value.lower() == "true"


def suggestion(name: str, known: Collection[str]) -> str:
    """Make the text `` (did you mean …?)``, or an empty one if no known name is close."""
    lower = {option.lower(): option for option in known}
    close = [lower[match] for match in get_close_matches(name.lower(), lower, n=3, cutoff=0.6)]
    return f" (did you mean {' or '.join(close)}?)" if close else ""
