"""Coverage watches every line that runs, also where nothing is counted. What runs most here is botocore and the fakes.

They go faster without, and so does Python's collector of garbage if it leaves alone what stays for the whole run anyway.
"""

import functools
import gc
import sys
import threading

import botocore.client
import botocore.httpsession
import botocore.session
import pytest

from strongroom.aws import chain


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """The process that hands out the tests to xdist's workers runs none of our code."""
    if session.config.getoption("numprocesses", None) and not hasattr(session.config, "workerinput"):
        threading.settrace(None)
        sys.settrace(None)


def pytest_collection_finish() -> None:
    """Nine thousand tests and all modules: to look through them again and again takes a twentieth of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _botocore_is_not_traced():
    """Where it calls nothing of ours back. The agent's sessions have a reader of files, a signer and a parser of ours."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, name, is_ours in (
            (botocore.session.Session, "__init__", lambda _session: False),
            (botocore.session.Session, "create_client", _has_our_reader),
            (botocore.client.BaseClient, "_make_api_call", _has_our_signer),
            (botocore.httpsession.URLLib3Session, "send", lambda _session: False),
        ):
            patch.setattr(owner, name, _untraced(getattr(owner, name), is_ours))
        yield


def _has_our_reader(session):
    return isinstance(session.get_component("data_loader").file_loader, chain._LeanFiles)


def _has_our_signer(client):
    return isinstance(client._request_signer._credentials, chain._Signer)


def _untraced(method, is_ours):
    @functools.wraps(method)
    def call(self, *args, **kwargs):
        tracer = sys.gettrace()
        if not type(tracer).__module__.startswith("coverage") or is_ours(self):
            return method(self, *args, **kwargs)
        sys.settrace(None)
        try:
            return method(self, *args, **kwargs)
        finally:
            sys.settrace(tracer)
            _wake()

    return call


def _wake() -> None:
    """A tracer that was set from Python goes to work at the next call, and there becomes as fast as it was."""
