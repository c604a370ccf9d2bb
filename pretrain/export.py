"""Export of a finished run: a model folder with its weights, recipe, metrics and results."""

from pathlib import Path

import torch

import sslhsic_transfer
from sslhsic_transfer._files import copy_file
from sslhsic_transfer._locks import changing
from sslhsic_transfer.data.sources import PretrainingData
from sslhsic_transfer.errors import SSLHSICError
from sslhsic_transfer.hub.config_file import CONFIG_NAME, FolderConfig, read_config, write_config
from sslhsic_transfer.pretrain.monitors.online import OnlineEvaluation
from sslhsic_transfer.pretrain.monitors.plot import plot_runs
from sslhsic_transfer.pretrain.trainer import Trainer
from sslhsic_transfer.results import RESULTS_NAME, hardware, save_results
from sslhsic_transfer.training.run_folder import RunFolder


def export_run(folder: RunFolder, trainer: Trainer, data: PretrainingData, evaluation: OnlineEvaluation | None) -> None:
    """Write ``model/``: config.json, model.safetensors, recipe.yaml, metrics.jsonl, curves.png, results.json.

    Args:
        folder: the run's folder.
        trainer: the run's trainer, after the last step.
        data: the data that the run was trained on.
        evaluation: the run's online evaluation, if there was one.
    """
    recipe = trainer.recipe
    encoder = trainer.evaluated_encoder().to(memory_format=torch.contiguous_format)
    encoder.metadata = {
        "objective": recipe.objective,
        "data": data.name,
        "pictures": len(data.train),
        "epochs": recipe.epochs if recipe.steps is None else round(trainer.epoch, 4),
        "steps": trainer.total_steps,
        "processes": trainer.accelerator.num_processes,
        "precision": "fp32" if trainer.accelerator.mixed_precision == "no" else trainer.accelerator.mixed_precision,
        "hardware": hardware(trainer.accelerator.device),
        "hours": round(_hours(folder, recipe.batch_size), 4),
        "recipe": recipe.model_dump(mode="json"),
        "library_version": sslhsic_transfer.__version__,
    }
    with changing(folder.model / CONFIG_NAME):
        before = _config_of(folder.model)
        encoder.save_pretrained(folder.model, overwrite=True)
        _keep_what_was_added(before, folder)
    copy_file(folder.recipe, folder.model / folder.recipe.name)
    copy_file(folder.metrics, folder.model / folder.metrics.name)
    plot_runs([folder.root], folder.model / "curves.png")
    figures = [record for record in folder.read_metrics() if "rankme" in record]
    if evaluation is not None and figures:
        records = evaluation.records(
            figures[-1],
            model=folder.root.resolve().name,
            dataset=data.name,
            seeds=[recipe.seed],
            weights_sha256=read_config(folder.model).fingerprint.sha256,
        )
        save_results(folder.model / RESULTS_NAME, records)


def _config_of(model: Path) -> FolderConfig | None:
    try:
        return read_config(model)
    except SSLHSICError:  # there is none yet, or a damaged one that is about to be overwritten
        return None


def _keep_what_was_added(before: FolderConfig | None, folder: RunFolder) -> None:
    """Keep what publishing has added to the config file if a resumed, finished run writes the same weights again."""
    now = read_config(folder.model)
    if before and before.fingerprint.sha256 == now.fingerprint.sha256:
        kept = now.model_copy(update={"metadata": before.metadata | now.metadata, "onnx": before.onnx})
        write_config(folder.model / CONFIG_NAME, kept)


def _hours(folder: RunFolder, batch_size: int) -> float:
    """Compute the hours that all steps took from the logged speeds; pauses before a resume do not count."""
    found = [(record["step"], record.get("images_per_second")) for record in folder.read_metrics() if "loss" in record]
    speeds = [(step, speed) for step, speed in found if isinstance(speed, float) and speed > 0]
    before = [0, *(step for step, _ in speeds)]
    return sum((step - last) * batch_size / speed / 3600 for (step, speed), last in zip(speeds, before, strict=False))
