"""A Hugging Face Hub on the loopback interface, in memory, for tests of what we publish and download.

    with HubServer() as server:
        server.add("me/model", {"config.json": b"{}"})
        with server.fault("config.json", cut_after=1, times=1): ...

Nothing in the client is replaced: real `huggingface_hub` calls go over real sockets. The fixture `hub` (`fixture.py`)
also points this process's client at the server. `python -m tests.hub_server` serves one for a person.
"""

from tests.hub_server.server import HubServer

__all__ = ["HubServer"]
