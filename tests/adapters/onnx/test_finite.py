import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from sslhsic_transfer.adapters.onnx.runtime.finite import count_non_finite


@given(values=arrays(np.float32, array_shapes(max_dims=4, max_side=5), elements=st.floats(width=32)))
def test_every_value_that_is_no_number_is_counted(values):
    assert count_non_finite(values) == sum(not np.isfinite(value) for value in values.flat)


def test_finite_values_whose_sum_is_not():
    largest = np.finfo(np.float32).max
    assert count_non_finite(np.full((2, 3, 8, 8), largest, np.float32)) == 0
    assert count_non_finite(np.array([largest, largest, np.nan, -np.inf], np.float32)) == 2
