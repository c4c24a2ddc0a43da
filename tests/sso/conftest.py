import pytest

from fakes.centers import center, center_server  # noqa: F401 - fixtures
from sso.surroundings import World


@pytest.fixture
def world(center, tmp_path):  # noqa: F811
    """Surroundings with a browser, whose human allows everything."""
    return World(center, tmp_path / "locks")
