from tools.stops import Function, entered, loading, returns, stops


def test_a_function_from_which_the_path_goes_on_within_the_room_is_a_stop():
    from sslhsic_transfer.hub.names import parse_name

    path = entered(lambda: parse_name("org/repo"))
    assert [stop.name for stop in stops(path)] == ["parse_name", "_on_the_hub"]
    assert [function.name for function in path if not function.goes_on] == ["refuse_address", "_split"]


def test_a_step_into_a_file_that_was_left_is_a_return():
    path = [Function(f"hub/{file}.py", str(place), True) for place, file in enumerate("aabbacb")]
    assert returns(path) == 2


def test_loading_a_short_name_takes_ten_stops_and_three_returns():
    path = stops(loading("sslhsic-r18"))
    assert str(path[0]) == "hub/encoder.py: from_pretrained"
    assert len(path) <= 10, [str(stop) for stop in path]
    assert returns(path) <= 3
