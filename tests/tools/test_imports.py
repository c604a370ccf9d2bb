from tools.imports import circles, imports


def test_groups_that_lead_to_one_another_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}, "f": {"a"}}
    assert circles(graph) == [["a", "b", "c"], ["d", "e"]]


def test_the_package_has_no_circle():
    """Imports inside functions count."""
    graph = imports()
    assert len(graph) > 300
    assert circles(graph) == []
