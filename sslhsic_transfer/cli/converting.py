"""The commands `sslhsic convert …`: weights of other projects to model folders, and back.

Only typer is imported before a command runs.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from sslhsic_transfer.hub.convert import Conversion
    from sslhsic_transfer.models.preprocessing import Preprocessing

convert_app = typer.Typer(
    help="Turn other people's weights into a model folder, and a model into theirs.", no_args_is_help=True
)

Checkpoint = Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="The file; no code in it can run.")]
Output = Annotated[Path, typer.Option(help="Model folder to write.")]
WithHeads = Annotated[
    bool,
    typer.Option(
        "--with-heads",
        help="Also keep projector, predictor, target network and kernel scale, for pretraining to go on from.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace weights that are there already.")]


@convert_app.command()
def haiku(
    checkpoint: Checkpoint, *, output: Output, with_heads: WithHeads = False, overwrite: Overwrite = False
) -> None:
    """Convert a checkpoint.npy of the released SSL-HSIC code (JAX)."""
    from sslhsic_transfer.hub.convert import convert_haiku

    _save_jax(convert_haiku(checkpoint), checkpoint, output, with_heads, overwrite)


@convert_app.command()
def byol(
    checkpoint: Checkpoint, *, output: Output, with_heads: WithHeads = False, overwrite: Overwrite = False
) -> None:
    """Convert a .pkl of BYOL's code (JAX), such as pretrain_res50x1.pkl."""
    from sslhsic_transfer.hub.convert import convert_byol

    _save_jax(convert_byol(checkpoint), checkpoint, output, with_heads, overwrite)


@convert_app.command()
def torch(
    checkpoint: Checkpoint,
    *,
    output: Output,
    overwrite: Overwrite = False,
    entry: Annotated[str | None, typer.Option(help="Key of the weights in the file, such as student.")] = None,
    prefix: Annotated[str | None, typer.Option(help="Of the encoder's tensors, such as encoder_k.")] = None,
    drop: Annotated[
        list[str] | None, typer.Option(metavar="BEGINNING", help="Names that may be left out; can be given again.")
    ] = None,
    padding: Annotated[
        Literal["torch", "same"], typer.Option(help="'same' for weights that come from JAX or TensorFlow.")
    ] = "torch",
    resize: Annotated[int, typer.Option(help="Short side of pictures, in pixels.")] = 256,
    crop: Annotated[int, typer.Option(help="Centre square that is kept, in pixels.")] = 224,
    interpolation: Annotated[
        Literal["nearest", "bilinear", "bicubic"], typer.Option(help="How they are resized.")
    ] = "bicubic",
) -> None:
    """Convert a PyTorch checkpoint: supervised, MoCo, DINO, SwAV, Barlow Twins, SimCLR, Detectron2, …"""
    from sslhsic_transfer._config import validated
    from sslhsic_transfer.hub.convert import convert_torch
    from sslhsic_transfer.models.preprocessing import Preprocessing

    settings = {"resize": resize, "crop": crop, "interpolation": interpolation}
    preprocessing = validated(Preprocessing, settings, source="The options --resize, --crop, --interpolation")
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
    model: Annotated[str, typer.Argument(help="A ResNet of torchvision, such as resnet50.")],
    *,
    output: Output,
    weights: Annotated[str, typer.Option(help="Such as IMAGENET1K_V1.")] = "DEFAULT",
    overwrite: Overwrite = False,
) -> None:
    """Convert a ResNet of torchvision; download its weights if the cache lacks them."""
    from sslhsic_transfer.hub.convert import convert_torchvision

    _save(convert_torchvision(model, weights), output, overwrite)


@convert_app.command()
def timm(
    model: Annotated[str, typer.Argument(help="A ResNet of timm, such as resnet50.a1_in1k.")],
    *,
    output: Output,
    overwrite: Overwrite = False,
) -> None:
    """Convert a model of timm; download its weights if the cache lacks them."""
    from sslhsic_transfer.hub.convert import convert_timm

    _save(convert_timm(model), output, overwrite)


@convert_app.command()
def model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model folder or a name on the Hub.")],
    *,
    to: Annotated[
        Literal["mmseg", "detectron2"], typer.Option(help="The library whose ResNet is to load the weights.")
    ],
    output: Annotated[
        Path, typer.Option(help="File to write: .pth for mmseg, .pkl for Detectron2; its settings stand beside it.")
    ],
    network: Annotated[
        Literal["fpn", "c4", "resnet"] | None,
        typer.Option(help="Of Detectron2; resnet: the ResNet alone. By default fpn."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a model as a weights file for another library."""
    from sslhsic_transfer.errors import ConfigError
    from sslhsic_transfer.hub.convert import save_detectron2, save_mmseg

    if to == "detectron2":
        weights, settings = save_detectron2(name, output, network or "fpn", overwrite=overwrite)
    elif network is not None:
        raise ConfigError(f"Got --network {network} with --to mmseg; it is Detectron2's: leave it out.")
    else:
        weights, settings = save_mmseg(name, output, overwrite=overwrite)
    typer.echo(f"{settings.read_text(encoding='utf-8')}\nWritten to {weights}, its settings to {settings}")


def _save_jax(conversion: "Conversion", checkpoint: Path, output: Path, with_heads: bool, overwrite: bool) -> None:
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


def _save(conversion: "Conversion", output: Path, overwrite: bool) -> None:
    from sslhsic_transfer._files import removed_on_failure
    from sslhsic_transfer.hub.folder import load_folder

    with removed_on_failure(output):
        conversion.encoder.save_pretrained(output, overwrite=overwrite)
        load_folder(output)  # compares its fingerprint
    typer.echo(conversion.report)
    typer.echo(f"Pictures: {_described(conversion.encoder.preprocessing)}")
    typer.echo(f"Written to {output}")


def _described(preprocessing: "Preprocessing") -> str:
    if preprocessing.style == "byol-jax":
        share = f"{preprocessing.crop}/{preprocessing.resize} of the short side"
        return f"centre square of {share}, then {preprocessing.crop} px, bicubic as in TensorFlow"
    return f"short side {preprocessing.resize}, centre {preprocessing.crop}, {preprocessing.interpolation}"
