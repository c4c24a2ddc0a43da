"""What every test stands on: no credentials of the developer's, hypothesis' profiles, the fake AWS, a throw-away home."""

import os
import signal
import sys

import pytest
from hypothesis import HealthCheck, settings

# The first tells which tests were skipped and whether they may be, the others save time.
pytest_plugins = ["plugins.skips", "plugins.botocore_once", "plugins.untraced"]

# The machine decides how long an example takes, not the code. `ci` is the default on every push; `nightly` runs long.
settings.register_profile("ci", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("nightly", settings.get_profile("ci"), max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

LEAKING = ("AWS_", "STRONGROOM", "OP_", "PROTON_PASS_", "XDG_")


@pytest.fixture(scope="session", autouse=True)
def _no_developer(tmp_path_factory):
    """The developer's own credentials, settings and home stay out of every test, in-process ones too."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(LEAKING):
                patch.delenv(name)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


# What makes the Python processes that tests start count what they run. It doubles their time, and most of what they do is
# counted in this process already, so only those tests have it that ask for the fixture `counted`.
COUNTING = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}


@pytest.fixture(scope="session", autouse=True)
def _children_are_not_counted():
    COUNTING.update({name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")})
    with pytest.MonkeyPatch.context() as patch:
        for name in COUNTING:
            patch.delenv(name, raising=False)
        yield


@pytest.fixture
def counted(monkeypatch):
    """The processes that a test starts count for coverage: ``pytestmark = pytest.mark.usefixtures("counted")``."""
    for name, value in COUNTING.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
def _signals_as_they_were():
    """`exec` gives its command the default SIGPIPE; the tests, which live on, keep their own."""
    names = [name for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)]
    before = {name: signal.getsignal(getattr(signal, name)) for name in names}
    yield
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


@pytest.fixture(scope="session", autouse=True)
def _usual_signals():
    """What nohup and shells without job control ignore is ignored here too, but not by the processes that tests start.

    An ignored signal is inherited; one that is caught, to do nothing, is not.
    """
    if sys.platform != "win32":
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            if signal.getsignal(number) is signal.SIG_IGN:
                signal.signal(number, lambda *_: None)


@pytest.fixture(scope="session")
def _cloud_server():
    from fakes.cloud import Cloud

    with Cloud().serve() as cloud:
        yield cloud


@pytest.fixture
def cloud(_cloud_server):
    """The fake AWS, empty."""
    _cloud_server.reset()
    yield _cloud_server
    _cloud_server.reset()


@pytest.fixture(scope="session")
def _secrets_server():
    from fakes.secrets import Secrets

    with Secrets().serve() as secrets:
        yield secrets


@pytest.fixture
def secrets(_secrets_server):
    """The fake AWS with secrets and parameters, empty; it knows the agent's key."""
    _secrets_server.reset()
    yield _secrets_server
    _secrets_server.reset()


@pytest.fixture
def agent(tmp_path, secrets):
    """Start the agent: ``agent(ttl_seconds=1)``, ``agent(word="sm")``. All end with the test, and well."""
    from contextlib import ExitStack

    from harness.agent import Agent

    with ExitStack() as stack:

        def start(**settings):
            directory = tmp_path / f"agent-{next(numbers)}"
            directory.mkdir()
            return stack.enter_context(Agent(directory, secrets, **settings))

        numbers = iter(range(100))
        yield start


@pytest.fixture
def home(tmp_path):
    """A throw-away home with a file keystore, and ways to run strongroom in it."""
    from harness.home import Home

    return Home(tmp_path)


@pytest.fixture
def c1(home, cloud):
    """The home with config C1, its keys stored, and an AWS that knows them."""
    from harness.home import config_c1

    config_c1(home, cloud)
    return home


@pytest.fixture
def tty(home):
    """Start strongroom on a terminal: ``with tty("exec", "jon") as t: t.expect("MFA"); t.send("123456\\n")``."""
    if sys.platform == "win32":
        pytest.skip("Windows has no pseudo-terminals that a test can drive")
    from harness.terminal import Terminal

    opened = []

    def start(*argv, **settings):
        opened.append(Terminal(home, argv, **settings))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()


@pytest.fixture
def network():
    """A network of its own, in which 169.254.169.254:80 may be had: see `harness.namespace`."""
    from harness.namespace import Namespace, why_not

    if why_not():
        pytest.skip(why_not())
    with Namespace() as made:
        yield made
