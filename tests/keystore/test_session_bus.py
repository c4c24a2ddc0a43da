import gc
import shutil
import sys
import threading

import pytest

if sys.platform != "linux" or not shutil.which("dbus-daemon"):
    pytest.skip("needs dbus-daemon", allow_module_level=True)

from jeepney import DBusAddress, new_signal

from harness.desktop import Bus
from strongroom.errors import KeystoreError, KeystoreUnavailable, PromptDismissed, PromptFailed
from strongroom.keystore import session_bus

BROKER = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
NAME = "strongroom.Prompting"


@pytest.fixture(scope="module")
def desktop(tmp_path_factory):
    bus = Bus(tmp_path_factory.mktemp("desktop"))
    yield bus
    bus.close()


@pytest.fixture
def connect(desktop):
    """Connections, closed at the end."""
    made = []

    def one_more():
        made.append(session_bus.connect(desktop.address))
        return made[-1]

    yield one_more
    for each in made:
        each.close()


# Where the bus is


def test_the_variable_names_it():
    """As every desktop sets it."""
    environment = {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/there", "XDG_RUNTIME_DIR": "/"}
    assert session_bus.address_in({"program_environment": environment}) == "unix:path=/there"


def test_systemd_puts_it_where_it_can_be_found(tmp_path):
    """A login over ssh may have no variable for it."""
    (tmp_path / "bus").touch()
    environment = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert session_bus.address_in({"program_environment": environment}) == f"unix:path={tmp_path}/bus"


@pytest.mark.parametrize("named", [{}, {"DBUS_SESSION_BUS_ADDRESS": ""}, {"DISPLAY": ":0"}], ids=str)
def test_there_is_none(tmp_path, named):
    """None is started, and no display is asked for one."""
    with pytest.raises(KeystoreUnavailable) as caught:
        session_bus.address_in({"program_environment": named | {"XDG_RUNTIME_DIR": str(tmp_path)}})
    assert caught.value.message == "there is no session bus here"


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("unix:path=/nonexistent/bus", "no such file or directory"),
        ("tcp:host=localhost,port=1", "dbus transports ({'tcp'}) not supported. supported: ('unix',)"),
        ("nonsense", "not enough values to unpack (expected 2, got 1)"),
    ],
    ids=["gone", "not a socket", "nonsense"],
)
def test_it_cannot_be_used(address, reason):
    """As if there were none; the address is named."""
    with pytest.raises(KeystoreUnavailable) as caught:
        session_bus.connect(address)
    assert caught.value.message == f"the session bus at {address!r} cannot be used: {reason}"


@pytest.mark.parametrize(
    ("environment", "headless"), [({}, True), ({"DISPLAY": ":0"}, False), ({"WAYLAND_DISPLAY": "w"}, False)], ids=str
)
def test_a_display(environment, headless):
    """Either kind shows windows."""
    assert session_bus.is_headless({"program_environment": environment}) is headless


@pytest.mark.parametrize(
    ("text", "can"), [("\u00fcml\U0001f511\n", True), ("a\0", False), ("\udcff", False)], ids=ascii
)
def test_what_the_bus_carries(text, can):
    """Valid Unicode without NUL."""
    assert session_bus.can_carry(text) is can


# Questions


def test_properties_of_many(connect):
    """What is no object is left out, and signals in between are overlooked."""
    bus, other = connect(), connect()
    signal = new_signal(DBusAddress("/x", interface="a.b"), "C")
    bus.call(BROKER, "AddMatch", "s", "interface='a.b'")
    other.send(signal)
    other.call(BROKER, "GetId")  # the signal is on its way to us now
    asked = [BROKER, DBusAddress("/", "no.such.program", "a.b"), BROKER]
    answers = list(bus.properties(asked * 50))
    assert len(answers) == 100
    assert all("Features" in answer for answer in answers)


def test_who_is_there(connect):
    """The first that runs; nobody, where nobody does and nobody would be started."""
    bus = connect()
    assert bus.first_of(["no.such.program", "org.freedesktop.DBus"]) == "org.freedesktop.DBus"
    assert bus.first_of(["no.such.program"]) is None


def test_an_error_is_passed_on(desktop):
    """With what the program said."""
    link = session_bus.Link(desktop.address, "the broker")
    with pytest.raises(KeystoreError) as caught, link.bus() as bus:
        bus.call(BROKER, "NoSuchMethod")
    assert caught.value.message.startswith("the broker refused: ")
    with pytest.raises(KeystoreUnavailable) as caught, link.bus() as bus:
        bus.call(DBusAddress("/", "no.such.program", "a.b"), "C")
    assert caught.value.message.startswith("the broker is not there: ")


def test_a_connection_ends_with_its_last_user(desktop):
    """At once; and in a reference cycle, such as a traceback makes, no socket is left behind for a warning."""
    ended = []
    for in_cycle in (False, True):
        link = session_bus.Link(desktop.address, "the broker")
        with link.bus() as bus:
            ended.append(bus.unique_name)
        if in_cycle:
            cycle = [link]
            cycle.append(cycle)
            del cycle
        del link, bus
    gc.collect()
    for name in ended:
        desktop.wait_until_gone(name)


# Turns


def test_one_turn_at_a_time(connect, desktop):
    """The second comes when the first has ended, or has died."""
    first, second, third = connect(), connect(), connect()
    order = []

    def wait():
        with second.turn("x"):
            order.append("second")
            third.call(BROKER, "GetId")

    waiting = threading.Thread(target=wait)
    with first.turn("x"):
        waiting.start()
        desktop.wait_for_queue(NAME, 2)
        order.append("first")
    waiting.join(30)
    assert order == ["first", "second"]
    first.call(BROKER, "RequestName", "su", NAME, 0)
    first.close()  # a process dies
    with third.turn("x"):
        pass


def test_a_no_is_for_those_who_wait(connect, desktop):
    """About the same thing; others have their turn, and so has whoever comes later."""
    asking, same, other = connect(), connect(), connect()
    told = {}

    def wait(bus, about):
        try:
            with bus.turn(about):
                told[about] = "my turn"
        except PromptDismissed as error:
            told[about] = error.message

    threads = []

    def decline():
        with asking.turn("x"):
            for number, (bus, about) in enumerate([(same, "x"), (other, "y")], start=2):
                threads.append(threading.Thread(target=wait, args=(bus, about)))
                threads[-1].start()
                desktop.wait_for_queue(NAME, number)
            raise PromptDismissed("no")

    with pytest.raises(PromptDismissed):
        decline()
    for thread in threads:
        thread.join(30)
    assert told == {"x": "the keystore's prompt was dismissed, when another process asked", "y": "my turn"}
    with same.turn("x"):
        pass


def test_a_turn_that_never_comes(connect, monkeypatch):
    """We do not wait for ever, and nobody waits for us."""
    monkeypatch.setattr(session_bus, "PROMPT_SECONDS", 0.05)
    first, second = connect(), connect()
    with first.turn("x"):
        with pytest.raises(PromptFailed), second.turn("x"):
            pass
        second.call(BROKER, "GetId")  # what it sent before was heard
        assert first.call(BROKER, "ListQueuedOwners", "s", NAME)[0] == [first.unique_name]
