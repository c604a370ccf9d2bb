"""Draw the demo's picture: training curves, nearest neighbors of some test pictures, and a map of the embeddings."""

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from PIL import Image
from sklearn.manifold import TSNE

mpl.use("Agg")
import matplotlib.pyplot as plt

from sslhsic_transfer.embed import read_embeddings

NEIGHBOURS = 7


def draw_figure(metrics: Path, embeddings: Path, pictures: Path, output: Path) -> Path:
    """Draw everything from what the run left on disk.

    Args:
        metrics: metrics.jsonl of the run.
        embeddings: Parquet file of the test pictures.
        pictures: the folder that its paths are relative to.
        output: the PNG.
    """
    file = read_embeddings(embeddings)
    paths, vectors = file.paths, file.embeddings.numpy()
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = np.array([path.split("/")[0] for path in paths])

    figure = plt.figure(figsize=(15, 9), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.15, 1))
    top, bottom = left.subfigures(2, 1, height_ratios=(1, 1.5))
    _curves(top, [json.loads(line) for line in metrics.read_text().splitlines()])
    _neighbors(bottom, pictures, paths, vectors, labels)
    _map(right, vectors, labels)
    figure.savefig(output, dpi=90)
    plt.close(figure)
    return output


def _curves(figure: Any, records: list[dict[str, float]]) -> None:
    loss, terms, knn = figure.subplots(1, 3)
    steps = [record for record in records if "loss" in record]
    epochs = [record["epoch"] for record in steps]
    loss.plot(epochs, [record["loss"] for record in steps])
    loss.set_title("loss")
    terms.plot(epochs, [record["hsic_zy"] for record in steps], label="HSIC(Z,Y)")
    terms.plot(epochs, [max(0.0, record["hsic_zz"]) ** 0.5 for record in steps], label="√HSIC(Z,Z)")
    terms.legend()
    terms.set_title("its two terms")
    watched = [record for record in records if "knn" in record]
    knn.plot([record["epoch"] for record in watched], [100 * record["knn"] for record in watched], marker=".")
    knn.set_title("online k-NN, %")
    for axes in (loss, terms, knn):
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)


def _neighbors(figure: Any, pictures: Path, paths: list[str], vectors: Any, labels: Any) -> None:
    queries = [int(np.flatnonzero(labels == label)[3]) for label in sorted(set(labels))[:6]]
    grid = figure.subplots(len(queries), NEIGHBOURS + 1)
    figure.suptitle("test pictures (left) and their nearest neighbors; green: the same digit")
    for row, query in zip(grid, queries, strict=True):
        similarity = vectors @ vectors[query]
        similarity[query] = np.inf
        for axes, index in zip(row, np.argsort(-similarity)[: NEIGHBOURS + 1], strict=True):
            axes.imshow(Image.open(pictures / paths[index]))
            axes.set(xticks=[], yticks=[])
            color = "black" if index == query else "tab:green" if labels[index] == labels[query] else "tab:red"
            for spine in axes.spines.values():
                spine.set(edgecolor=color, linewidth=3)


def _map(figure: Any, vectors: Any, labels: Any) -> None:
    points = TSNE(n_components=2, init="pca", perplexity=20, random_state=0).fit_transform(vectors)
    axes = figure.subplots()
    for label in sorted(set(labels)):
        chosen = labels == label
        axes.scatter(*points[chosen].T, s=14, label=label)
        axes.annotate(label, points[chosen].mean(axis=0), fontsize=16, weight="bold", ha="center", va="center")
    axes.set(xticks=[], yticks=[])
    axes.set_title("test embeddings (t-SNE), colored by digit; no label was used in training")
