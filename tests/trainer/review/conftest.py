"""What the tests of reviewing share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.reviewed import audited, photos
from trainer.review.items import Audit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return photos(tmp_path / "photos")


@pytest.fixture
def audit(folder: Path) -> Audit:
    return audited(folder)
