"""Publishing of a model folder on the Hub: facts, card, checks, upload."""

from typing import TYPE_CHECKING

from sslhsic_transfer._lazy import lazy_names

if TYPE_CHECKING:
    from sslhsic_transfer.hub.publishing.card import render_card as render_card
    from sslhsic_transfer.hub.publishing.facts import ModelFacts as ModelFacts
    from sslhsic_transfer.hub.publishing.upload import PublishReport as PublishReport
    from sslhsic_transfer.hub.publishing.upload import publish as publish
    from sslhsic_transfer.hub.publishing.upload import push_to_hub as push_to_hub

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "ModelFacts": f"{__name__}.facts",
        "PublishReport": f"{__name__}.upload",
        "publish": f"{__name__}.upload",
        "push_to_hub": f"{__name__}.upload",
        "render_card": f"{__name__}.card",
    },
)
