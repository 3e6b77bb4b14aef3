"""What the officer sees afterwards: the sealed recording, opened with stock tools."""

from __future__ import annotations
