"""Train or evaluate with a configuration: ``python -m sslhsic_transfer.adapters.detectron2 --config-file NAME …``.

The options are those of Detectron2's tools/train_net.py. NAME is a bundled configuration or a path; settings may
follow, such as ``MODEL.SSLHSIC.NAME org/name``.
"""

import argparse

import sslhsic_transfer.adapters.detectron2.compat  # noqa: F401 - before Detectron2

# isort: split
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.engine import default_argument_parser, default_setup, launch

from sslhsic_transfer.adapters.detectron2.config import configure, load_config
from sslhsic_transfer.adapters.detectron2.trainer import SSLHSICTrainer


def run(arguments: argparse.Namespace) -> None:
    """Train or evaluate in one process."""
    cfg = load_config(arguments.config_file)
    cfg.merge_from_list(arguments.opts)
    if cfg.MODEL.SSLHSIC.NAME:
        configure(cfg, cfg.MODEL.SSLHSIC.NAME)
    cfg.freeze()
    config_file, arguments.config_file = arguments.config_file, ""  # a name is not a file to read
    default_setup(cfg, arguments)
    arguments.config_file = config_file
    if arguments.eval_only:
        model = SSLHSICTrainer.build_model(cfg)
        DetectionCheckpointer(model, save_dir=cfg.OUTPUT_DIR).resume_or_load(cfg.MODEL.WEIGHTS, resume=arguments.resume)
        SSLHSICTrainer.test(cfg, model)
    else:
        SSLHSICTrainer(cfg, resume=arguments.resume).train()


def main() -> None:
    """Start as many processes as the options request."""
    arguments = default_argument_parser().parse_args()
    launch(
        run,
        arguments.num_gpus,
        num_machines=arguments.num_machines,
        machine_rank=arguments.machine_rank,
        dist_url=arguments.dist_url,
        args=(arguments,),
    )


if __name__ == "__main__":
    main()
