"""The end of a run: a model folder with all that tells how its weights came about."""

import shutil

import torch

import sslhsic_transfer
from sslhsic_transfer.hub.config_file import read_config
from sslhsic_transfer.pretrain.monitors.online import OnlineEvaluation
from sslhsic_transfer.pretrain.monitors.plot import plot_runs
from sslhsic_transfer.pretrain.run_folder import RunFolder
from sslhsic_transfer.pretrain.sources import PretrainingData
from sslhsic_transfer.pretrain.trainer import Trainer
from sslhsic_transfer.results import RESULTS_NAME, hardware, save_results


def export_run(folder: RunFolder, trainer: Trainer, data: PretrainingData, evaluation: OnlineEvaluation | None) -> None:
    """Write ``model/``: config.json, model.safetensors, recipe.yaml, metrics.jsonl, curves.png, results.json.

    Args:
        folder: the run.
        trainer: at the end of it.
        data: what it was trained on.
        evaluation: what watched it, if anything did.
    """
    recipe = trainer.recipe
    encoder = trainer.evaluated_encoder().to(memory_format=torch.contiguous_format)
    encoder.metadata = {
        "objective": recipe.objective,
        "data": data.name,
        "pictures": len(data.train),
        "epochs": recipe.epochs,
        "steps": trainer.total_steps,
        "processes": trainer.accelerator.num_processes,
        "hardware": hardware(),
        "hours": round(_hours(folder, recipe.batch_size), 4),
        "recipe": recipe.model_dump(mode="json"),
        "library_version": sslhsic_transfer.__version__,
    }
    encoder.save_pretrained(folder.model, overwrite=True)
    shutil.copyfile(folder.recipe, folder.model / folder.recipe.name)
    shutil.copyfile(folder.metrics, folder.model / folder.metrics.name)
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


def _hours(folder: RunFolder, batch_size: int) -> float:
    """Hours that all steps took, by the speed that was logged; waiting to be resumed does not count."""
    speeds = [(record["step"], record["images_per_second"]) for record in folder.read_metrics() if "loss" in record]
    before = [0, *(step for step, _ in speeds)]
    return sum((step - last) * batch_size / speed / 3600 for (step, speed), last in zip(speeds, before, strict=False))
