"""The commands `sslhsic convert …`: weights of other projects to model folders, and back.

Only typer is imported before a command runs.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from sslhsic_transfer.hub.convert import Conversion
    from sslhsic_transfer.hub.encoder import Encoder
    from sslhsic_transfer.models.preprocessing import Preprocessing

convert_app = typer.Typer(
    help="Convert weights of other projects to a model folder, or a model to weights for another library.",
    no_args_is_help=True,
)

Checkpoint = Annotated[
    Path, typer.Argument(metavar="CHECKPOINT", help="Checkpoint file to convert; code inside it is never run.")
]
Output = Annotated[Path, typer.Option(help="Model folder to write.")]
WithHeads = Annotated[
    bool,
    typer.Option(
        "--with-heads",
        help="Also keep projector, predictor, target network and kernel scale, so that pretraining can continue from "
        "them.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing weights.")]


@convert_app.command()
def haiku(
    checkpoint: Checkpoint, *, output: Output, with_heads: WithHeads = False, overwrite: Overwrite = False
) -> None:
    """Convert a checkpoint.npy of the released SSL-HSIC code (JAX).

    Example: sslhsic convert haiku checkpoint.npy --output models/released
    """
    from sslhsic_transfer.hub.convert import convert_haiku

    _save_jax(convert_haiku(checkpoint), checkpoint, output, with_heads, overwrite)


@convert_app.command()
def byol(
    checkpoint: Checkpoint, *, output: Output, with_heads: WithHeads = False, overwrite: Overwrite = False
) -> None:
    """Convert a .pkl of BYOL's code (JAX), such as pretrain_res50x1.pkl.

    Example: sslhsic convert byol pretrain_res50x1.pkl --output models/byol
    """
    from sslhsic_transfer.hub.convert import convert_byol

    _save_jax(convert_byol(checkpoint), checkpoint, output, with_heads, overwrite)


@convert_app.command()
def torch(
    checkpoint: Checkpoint,
    *,
    output: Output,
    overwrite: Overwrite = False,
    entry: Annotated[
        str | None,
        typer.Option(
            help="Key under which the file stores the weights, such as student; by default the first known one."
        ),
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option(
            help="Prefix of the names of the encoder's tensors, such as 'encoder_k.'; by default the first known one."
        ),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BEGINNING", help="Beginning of tensor names that may be left out. Can be given several times."
        ),
    ] = None,
    padding: Annotated[
        Literal["torch", "same"],
        typer.Option(help="Padding of the convolutions; same: for weights that come from JAX or TensorFlow."),
    ] = "torch",
    resize: Annotated[int, typer.Option(help="Short side to which the model's pictures are resized, in pixels.")] = 256,
    crop: Annotated[int, typer.Option(help="Side of the center square that is kept of each picture, in pixels.")] = 224,
    interpolation: Annotated[
        Literal["nearest", "bilinear", "bicubic"], typer.Option(help="Interpolation for resizing pictures.")
    ] = "bicubic",
) -> None:
    """Convert a PyTorch checkpoint: supervised, MoCo, DINO, SwAV, Barlow Twins, SimCLR, Detectron2, …

    Example: sslhsic convert torch moco_v2.pth.tar --output models/moco
    """
    from sslhsic_transfer._config import validate
    from sslhsic_transfer.hub.convert import convert_torch
    from sslhsic_transfer.models.preprocessing import Preprocessing

    settings = {"resize": resize, "crop": crop, "interpolation": interpolation}
    preprocessing = validate(Preprocessing, settings, source="The options --resize, --crop, --interpolation")
    conversion = convert_torch(
        checkpoint,
        entry=entry,
        prefix=prefix,
        drop=drop or (),
        padding=padding,
        preprocessing=preprocessing,
    )
    _save(conversion, output, overwrite)


@convert_app.command()
def torchvision(
    model: Annotated[str, typer.Argument(help="Name of a ResNet of torchvision, such as resnet50.")],
    *,
    output: Output,
    weights: Annotated[str, typer.Option(help="Torchvision's name of the weights, such as IMAGENET1K_V1.")] = "DEFAULT",
    overwrite: Overwrite = False,
) -> None:
    """Convert a ResNet of torchvision; download its weights if the cache lacks them.

    Example: sslhsic convert torchvision resnet50 --weights IMAGENET1K_V1 --output models/supervised
    """
    from sslhsic_transfer.hub.convert import convert_torchvision

    _save(convert_torchvision(model, weights), output, overwrite)


@convert_app.command()
def timm(
    model: Annotated[
        str, typer.Argument(help="Name of a ResNet, ConvNeXt or Vision Transformer of timm, such as resnet50.a1_in1k.")
    ],
    *,
    output: Output,
    overwrite: Overwrite = False,
) -> None:
    """Convert a ResNet, ConvNeXt or Vision Transformer of timm; download its weights if the cache lacks them.

    Example: sslhsic convert timm resnet50.a1_in1k --output models/a1
    """
    from sslhsic_transfer.hub.convert import convert_timm

    _save(convert_timm(model), output, overwrite)


@convert_app.command()
def model(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Model to convert: a folder such as RUN/model/, org/repo on the Hub, or a short name."
        ),
    ],
    *,
    to: Annotated[Literal["mmseg", "detectron2"], typer.Option(help="Library whose ResNet will load the weights.")],
    output: Annotated[
        Path,
        typer.Option(
            help="File to write: .pth for mmseg, .pkl for Detectron2. A file with the matching settings is "
            "written next to it."
        ),
    ],
    network: Annotated[
        Literal["fpn", "c4", "resnet"] | None,
        typer.Option(
            help="Detectron2 only: network that will load the weights. fpn: with a feature pyramid; c4: a C4 detector; "
            "resnet: the ResNet alone. By default fpn."
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a model as a weights file for another library.

    Example: sslhsic convert model sslhsic-r18 --to mmseg --output encoder.pth
    """
    from sslhsic_transfer.errors import ConfigError
    from sslhsic_transfer.hub.convert import save_detectron2, save_mmseg

    if to == "detectron2":
        weights, settings = save_detectron2(name, output, network or "fpn", overwrite=overwrite)
    elif network is not None:
        raise ConfigError(f"Got --network {network} with --to mmseg; it is Detectron2's: leave it out.")
    else:
        weights, settings = save_mmseg(name, output, overwrite=overwrite)
    typer.echo(f"{settings.read_text(encoding='utf-8')}\nWritten to {weights}, its settings to {settings}")


def _save_jax(
    conversion: "Conversion[Encoder]", checkpoint: Path, output: Path, with_heads: bool, overwrite: bool
) -> None:
    if not with_heads:
        _save(conversion, output, overwrite)
        return
    from sslhsic_transfer._files import removed_on_failure
    from sslhsic_transfer.hub.convert import convert_haiku_networks, save_pretraining

    state = convert_haiku_networks(checkpoint)
    with removed_on_failure(output):
        _save(conversion, output, overwrite)
        path = save_pretraining(state, output, overwrite=overwrite)
    typer.echo(f"Projector, predictor and target network: {path}")
    typer.echo(f"Go on: sslhsic pretrain RECIPE --data DIR --output RUN init_from={output} init_parts=all")


def _save(conversion: "Conversion[Encoder]", output: Path, overwrite: bool) -> None:
    from sslhsic_transfer._files import removed_on_failure
    from sslhsic_transfer.hub.encoder import load_folder

    with removed_on_failure(output):
        conversion.encoder.save_pretrained(output, overwrite=overwrite)
        load_folder(output)  # compares its fingerprint
    typer.echo(conversion.report)
    typer.echo(f"Pictures: {_described(conversion.encoder.preprocessing)}")
    typer.echo(f"Written to {output}")


def _described(preprocessing: "Preprocessing") -> str:
    if preprocessing.style == "byol-jax":
        share = f"{preprocessing.crop}/{preprocessing.resize} of the short side"
        return f"center square of {share}, then {preprocessing.crop} px, bicubic as in TensorFlow"
    return f"short side {preprocessing.resize}, center {preprocessing.crop}, {preprocessing.interpolation}"
