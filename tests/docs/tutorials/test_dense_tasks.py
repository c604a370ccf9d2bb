from pathlib import Path

from tests.dense_data import CLASSES, SIZE, depth_lists, detection_coco, scene, segmentation_lists

QUICK = "iterations=2 warmup=1 batch_size=2 workers=0"


def test_dense_tasks(tutorial):
    for layout, name in ((segmentation_lists, "street"), (detection_coco, "cells"), (depth_lists, "rooms")):
        Path("data").mkdir(exist_ok=True)
        layout(Path("data") / name, train=4, val=2)
    for name in ("street", "cells", "room"):
        scene(1)[0].save(f"{name}.jpg")
    page = tutorial(
        "dense-tasks",
        budget={
            "iterations=2000": QUICK,
            "crop=[320,320]": "crop=[64,64]",
            "crop=[192,256]": "crop=[64,64]",
            "sides=[480,512]": "sides=[64] proposals=20 sampled_regions=16",
        },
        elsewhere=["pip install -c constraints.txt -e '.[transfer]'"],
    )
    page.run(until="runs/cells")
    assert page.names["classes"].shape == SIZE[::-1]
    assert page.names["model"].config.classes == CLASSES
    page.run()
    assert page.names["found"].boxes.shape[1:] == (4,)
    assert page.names["meters"].shape == SIZE[::-1]
    assert [result.metric for result in load(page)] == ["mIoU", "pixel accuracy"]
    assert all("sslhsic-r18" in shown for shown in page.shown)


def load(page):
    return page.names["load_results"]("runs/street/results.json")
