"""The fixtures `hub` and `waits`: a Hub on the loopback interface, and a client that uses it."""

from tests.hub_server.fixture import hub, waits

__all__ = ["hub", "waits"]
