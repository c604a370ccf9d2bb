"""A Hugging Face Hub on the loopback interface, in memory, for tests of what we publish and download.

Nothing in the client is replaced: real `huggingface_hub` calls go over real sockets. `HubServer` is all that a test
needs; the fixture `hub` (`fixture.py`) also points this process's client at it. `python -m tests.hub_server` serves one
for a person.
"""

from tests.hub_server.server import HubServer

__all__ = ["HubServer"]
