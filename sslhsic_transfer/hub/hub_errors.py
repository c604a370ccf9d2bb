"""Translation of errors from huggingface_hub and the connection into this library's errors, with advice."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sslhsic_transfer.errors import HubError, ModelNotFoundError, SSLHSICError

_ADVICE = {
    401: "the token is not valid. Log in (hf auth login), or set HF_TOKEN or token=… to one that is.",
    403: "the token lacks the right to do this. Use one that has it (for publishing: a token with write access).",
    409: "something of that name is already there.",
    412: "somebody else has changed the repository in the meantime. Try again.",
    413: "it is too large for the Hub.",
    429: "too many requests. Wait some minutes and try again; logged-in users have more.",
}


@contextmanager
def hub_errors(subject: str, filename: str | None = None) -> Iterator[None]:
    """Turn errors raised in the block into this library's errors.

    Args:
        subject: the repository, with its revision.
        filename: the requested file of the repository.

    Raises:
        ModelNotFoundError: the repository, revision or file does not exist, or is not in the cache when offline.
        HubError: any other failure of the Hub, the connection or the disk.
    """
    from huggingface_hub import errors

    where = f"{filename} of {subject}" if filename else subject
    try:
        yield
    except SSLHSICError:
        raise
    except errors.GatedRepoError as error:
        raise HubError(
            f"{subject} is gated: accept its terms on its page on the Hub, then log in (hf auth login) or pass token=…."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelNotFoundError(
            f"There is no repository {subject} on the Hub, or it is private and the token (HF_TOKEN, hf auth login, "
            "token=…) may not read it. Check the name."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelNotFoundError(f"{subject}: the repository has no such revision. Check the tag or commit.") from error
    except errors.LocalEntryNotFoundError as error:
        raise _not_in_the_cache(where, error.__cause__) from error
    except errors.EntryNotFoundError as error:
        raise ModelNotFoundError(
            f"{subject} has no {filename}, so it is not a model of this library. `sslhsic convert` makes one of other "
            "weights."
        ) from error
    except errors.HfHubHTTPError as error:
        raise HubError(f"The Hub refused {where}: {_status(error)}") from error
    except OSError as error:
        raise _local(where, error) from error
    except ValueError as error:  # raised when a file must be fetched again and the Hub does not answer
        raise HubError(f"The Hub did not give {where}: {error}") from error
    except Exception as error:
        if not breaks_off(error):
            raise
        raise HubError(f"{_broken(where, error)} Nothing broken was kept. Try again.") from error


def breaks_off(error: Exception) -> bool:
    """Tell whether the connection broke: an error of whichever HTTP client huggingface_hub uses."""
    from huggingface_hub import errors

    of_the_client = next(kind for kind in errors.HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError")
    return isinstance(error, of_the_client) and not isinstance(error, errors.HfHubHTTPError)


def _status(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", 0)
    usual = "it is in trouble. Try again later." if status >= 500 else "see the error above for its words."
    return f"status {status}, {_ADVICE.get(status, usual)}"


def _broken(where: str, cause: BaseException | None) -> str:
    return f"The connection to the Hub failed at {where} ({type(cause).__name__})."


def _not_in_the_cache(where: str, cause: BaseException | None) -> SSLHSICError:
    from huggingface_hub import errors

    if cause is None or isinstance(cause, errors.OfflineModeIsEnabled):
        return ModelNotFoundError(
            f"{where} is not in the cache, and the network may not be used (local_files_only or HF_HUB_OFFLINE). "
            "Load it once online, or name a folder."
        )
    if isinstance(cause, errors.HfHubHTTPError):
        return HubError(f"The Hub refused {where}, which is not in the cache: {_status(cause)}")
    return HubError(f"{_broken(where, cause)} It is not in the cache. Check the network and HF_ENDPOINT, or try again.")


def _local(where: str, error: OSError) -> HubError:
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        disk = next(folder for folder in (cache, *cache.parents) if folder.exists())
        return HubError(
            f"The disk is full: {where} was not kept ({shutil.disk_usage(disk).free} bytes are free at {cache}). Make "
            "room, or choose another place by cache_dir=… or HF_HOME."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return HubError(f"{where} cannot be kept: {error}. Choose another place by cache_dir=… or HF_HOME.")
    return HubError(f"{where} did not arrive as the Hub announced it: {error}. Try again.")
