"""An empty database with this package's tables, opened as the service opens it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from galwad.desk.database import open_engine, upgrade


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    path = tmp_path / "galwad.db"
    upgrade(path)
    engine = open_engine(path)
    yield engine
    await engine.dispose()
