"""The form of a call id, such as `20261125-093000-abcdefgh`."""

from __future__ import annotations

import re
from typing import Final

_FORM: Final = re.compile(r"\d{8}-\d{6}-[a-z2-7]{8}")


def is_call_id(text: str) -> bool:
    """Return whether the text is a call id, which is safe as a part of a file name or path."""
    return _FORM.fullmatch(text) is not None
