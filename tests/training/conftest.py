from tests.pretrain.conftest import own_precision as own_precision
