"""A database as the service makes and opens it, for whatever keeps its tables there."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from galwad.desk.database import open_engine, upgrade


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """An empty one."""
    upgrade(tmp_path / "galwad.db")
    engine = open_engine(tmp_path / "galwad.db")
    yield engine
    await engine.dispose()
