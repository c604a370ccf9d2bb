from tools.imports import circles, imports

ENCODER = "sslhsic_transfer.models.encoder"


def test_groups_that_lead_to_one_another_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}, "f": {"a"}}
    assert circles(graph) == [["a", "b", "c"], ["d", "e"]]


def test_the_package_has_no_circle_but_by_the_encoders_seam():
    """Imports inside functions count. Encoder's methods hand over to the hub, which makes encoders."""
    graph = imports()
    assert len(graph) > 300
    upwards = {name for name in graph[ENCODER] if name.startswith("sslhsic_transfer.hub.")}
    assert upwards
    graph[ENCODER] -= upwards
    assert circles(graph) == []
