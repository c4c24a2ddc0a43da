import time

import pytest

from rotation.surroundings import Surroundings
from strongroom.aws import client


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch):
    """botocore's own pauses take no time, and a client that was made once is used again."""
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    connect, clients = client.connect, {}

    def once(service, endpoint, credentials, *, attempts=None):
        key = service, endpoint.url, credentials, attempts
        if key not in clients:
            clients[key] = connect(service, endpoint, credentials, attempts=attempts)
        return clients[key]

    monkeypatch.setattr(client, "connect", once)


@pytest.fixture
def jon(cloud):
    """Jon's key in a vault, and an AWS that knows it: the surroundings of a rotation."""
    return Surroundings(cloud)
