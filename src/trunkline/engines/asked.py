"""What a trunk may be asked."""

from __future__ import annotations

from trunkline.errors import TrunklineError, nearest
from trunkline.types import Call, EngineCard


def check_asked(card: EngineCard, call: Call) -> None:
    """Raises TrunklineError for a form that the trunk doesn't have, or options."""
    if call.form not in card.forms:
        raise TrunklineError(
            f"the trunk {card.id!r} has no form {call.form!r}",
            wanted=" or ".join(card.forms),
            hint=nearest(call.form, card.forms),
        )
    if call.options:
        raise TrunklineError(
            f"the trunk {card.id!r} takes no options",
            found=str(dict(call.options)),
        )
