from pathlib import Path

import numpy as np
from PIL import Image


def test_search(tutorial):
    page = tutorial("search")
    page.run()
    names = page.names
    assert names["vectors"].shape == (72, 512)
    np.testing.assert_allclose(np.linalg.norm(names["vectors"], axis=1), 1, rtol=1e-5)
    best = names["paths"][names["nearest"][0]]
    direct = names["encoder"].embed([names["query"], Path("pictures/train") / best]).numpy()
    cosine = direct[0] @ direct[1] / np.linalg.norm(direct[0]) / np.linalg.norm(direct[1])
    assert names["cosines"].max() == names["cosines"][names["nearest"][0]]
    np.testing.assert_allclose(cosine, names["cosines"].max(), rtol=1e-4)
    assert names["maps"]["c4"].shape == (1, 256, 16, 16)
    for file, size in (("neighbours.png", (768, 128)), ("map.png", (256, 256))):
        with Image.open(file) as picture:
            assert picture.size == size
            assert len(picture.getcolors(1 << 24)) > 1000, "an empty canvas"
