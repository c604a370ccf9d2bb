"""Where a name leads: a path on this machine, or a repository whose weights may be pinned. Does not import torch."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sslhsic_transfer.errors import ModelNotFoundError
from sslhsic_transfer.hub.config_file import CONFIG_NAME
from sslhsic_transfer.hub.names import HubName, parse_name
from sslhsic_transfer.hub.zoo import NAMESPACE_VARIABLE, ZOO, ZooModel, chosen_namespace, unknown_name

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """A repository on the Hub.

    Attributes:
        name: the repository and its revision.
        model: the row of the table of short names whose weights it must hold; None accepts any weights.
        shipped: the copy that came with the package, if there is one.
    """

    name: HubName
    model: ZooModel | None = None
    shipped: Path | None = field(default=None, compare=False)  # of this machine, not of the name

    @property
    def sha256(self) -> str | None:
        """The hash that the weights must have, if it is known beforehand."""
        return self.model.sha256 if self.model else None

    @contextmanager
    def looked_up(self) -> Iterator[None]:
        """Add advice to a not-found error in the block if a local folder has the repository's name."""
        try:
            yield
        except ModelNotFoundError as error:
            if Path(self.name.repo_id).is_dir():
                raise ModelNotFoundError(f"{error} To load the folder here, write './{self.name.repo_id}'.") from error
            raise


def resolve(name_or_path: str | Path, revision: str | None = None) -> Path | Published:
    """Tell where to look for a model.

    Args:
        name_or_path: the user's name for it; see `sslhsic_transfer.hub.names.parse_name`.
        revision: branch, tag or commit of a repository.

    Returns:
        A path, which need not exist, or a repository.

    Raises:
        ModelNotFoundError: the word is neither a short name nor a local folder; or a short name is asked for at a
            revision other than its own while SSLHSIC_HUB_NAMESPACE is not set.
        ConfigError: the name is not valid.
    """
    name = parse_name(name_or_path, revision)
    if isinstance(name, Path):
        return name
    if isinstance(name, HubName):
        if Path(name.repo_id).is_dir():
            logger.warning(
                "%s is read as a repository on the Hub, not as the folder of that name here: write ./%s to mean that.",
                name,
                name.repo_id,
            )
        return Published(name)
    model, folder = ZOO.get(name.name), Path(name.name)
    if model is None:
        if folder.is_dir() and name.revision is None:
            return folder
        raise unknown_name(name.name)
    if (folder / CONFIG_NAME).exists():
        logger.warning("%s is a short name; the folder ./%s is not used. Write ./%s to mean it.", *[name.name] * 3)
    if name.revision not in (None, model.revision):
        if chosen_namespace() is None:
            raise ModelNotFoundError(
                f"{name.name} stands for one set of weights, {model.revision}; got the revision {name.revision!r}. "
                f"Others are a repository's: name it with its owner, as org/{name.name}@{name.revision}, or set "
                f"{NAMESPACE_VARIABLE} to the owner."
            )
        logger.info("%s at another revision than the pinned one: its hash is not known beforehand", name.name)
        return Published(HubName(model.hub_name.repo_id, name.revision))
    shipped = model.shipped if (model.shipped / CONFIG_NAME).is_file() else None
    return Published(model.hub_name, model, shipped)
