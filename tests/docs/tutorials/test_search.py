from pathlib import Path

import pandas  # comes with the extra `data`
import torch
from PIL import Image


def test_search(tutorial):
    page = tutorial("search")
    page.run()
    names = page.names
    assert names["vectors"].shape == (72, 512)
    torch.testing.assert_close(names["vectors"].norm(dim=1), torch.ones(72))
    frame = pandas.read_parquet("train.parquet")
    assert list(frame["path"]) == list(names["bank"].paths)
    assert [len(row) for row in frame["embedding"]] == [512] * 72
    best = names["bank"].paths[names["nearest"].indices[0]]
    direct = names["encoder"].embed([names["query"], Path("pictures/train") / best])
    assert names["nearest"].values[0] == names["cosines"].max()
    torch.testing.assert_close(torch.cosine_similarity(*direct, dim=0), names["cosines"].max(), rtol=1e-4, atol=0)
    assert names["maps"]["c4"].shape == (1, 256, 16, 16)
    for file, size in (("neighbors.png", (768, 128)), ("map.png", (256, 256))):
        with Image.open(file) as picture:
            assert picture.size == size
            assert len(picture.getcolors(1 << 24)) > 1000, "an empty canvas"
