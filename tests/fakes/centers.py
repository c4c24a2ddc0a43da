"""Fixtures for whoever signs in: ``from fakes.centers import center, center_server``."""

import pytest

from fakes.identity_center import IdentityCenter


@pytest.fixture(scope="module")
def center_server():
    with IdentityCenter().serve() as made:
        yield made


@pytest.fixture
def center(center_server):
    """The fake Identity Center, with two roles in one account."""
    center_server.reset()
    center_server.account("111111111111", "Admin", "ReadOnly")
    yield center_server
    center_server.reset()
