import sslhsic_transfer.adapters.detectron2.compat  # noqa: F401 - before Detectron2 itself, which the tests import, too
