"""Names that are imported when first used (PEP 562), and optional packages with install advice when missing."""

import importlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from sslhsic_transfer.errors import MissingDependencyError


def lazy_names(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make ``__getattr__`` and ``__dir__`` for a package whose public names live in other modules.

    Args:
        package: the package's ``__name__``.
        homes: public name -> full name of the module that defines it. A module may define itself.

    Returns:
        The two functions, to be bound at the package's top level.
    """

    def getattr_(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(homes[name])
        return module if homes[name] == f"{package}.{name}" else getattr(module, name)

    return getattr_, lambda: sorted(homes)


def optional_import(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional package, or say how to install it.

    Args:
        module: the module's import name.
        extra: the extra of this package that installs it.
        purpose: the feature that needs it, for the message: "the LARS optimizer".

    Raises:
        MissingDependencyError: the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise MissingDependencyError(
            f"{purpose} needs the package {module.split('.')[0]!r}, which is not installed. "
            f"Install it with: pip install 'sslhsic-transfer[{extra}]'"
        ) from error
