"""The progress bar of a run, with the latest values of the most important figures."""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from tqdm import tqdm

# Label and format of logged figures in the bar, by name.
_SHOWN: dict[str, tuple[str, Callable[[float], str]]] = {
    "loss": ("loss", "{:.4f}".format),
    "hsic_zy": ("HSIC(Z,Y)", "{:.4f}".format),
    "hsic_zz": ("√HSIC(Z,Z)", lambda value: f"{max(0.0, value) ** 0.5:.4f}"),
    "learning_rate": ("lr", "{:.2g}".format),
    "images_per_second": ("img/s", "{:.0f}".format),
    "knn": ("k-NN", "{:.1%}".format),
}


class Progress:
    """A progress bar over the steps of a run.

    Args:
        total: number of steps of the run.
        initial: number of steps already made.
        visible: whether to show the bar.
        title: title of the bar.
    """

    def __init__(self, total: int, initial: int, *, visible: bool, title: str = "pretrain") -> None:
        self._bar = tqdm(total=total, initial=initial, desc=title, unit="step", disable=not visible)
        self._values: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()

    def advance(self) -> None:
        """Count one step."""
        self._bar.update()

    def show(self, values: Mapping[str, float]) -> None:
        """Show newly logged figures; the others keep their latest value."""
        for name, value in values.items():
            if name in _SHOWN:
                title, text = _SHOWN[name]
                self._values[title] = text(value)
        self._bar.set_postfix(self._values)
