"""Weighted k-NN one query at a time, from its definition."""

import numpy as np


def knn_predict(bank: np.ndarray, labels: np.ndarray, queries: np.ndarray, k: int, temperature: float) -> list[int]:
    """Cosine similarity s; the k nearest vote for their class with weight exp(s / temperature)."""
    predictions = []
    for query in queries:
        similarity = bank @ query / np.linalg.norm(bank, axis=1) / np.linalg.norm(query)
        votes = np.zeros(labels.max() + 1)
        for index in np.argsort(-similarity)[:k]:
            votes[labels[index]] += np.exp(similarity[index] / temperature)
        predictions.append(int(votes.argmax()))
    return predictions
