"""What is decided before a server serves; what it does then is in tests/acceptance/test_standing.py."""

import types

import pytest

from strongroom import prompt
from strongroom.cli import standing
from strongroom.cli.flags import Arguments
from strongroom.cli.settings import Settings
from strongroom.cli.terminal import Talk
from strongroom.errors import StrongroomError


@pytest.fixture
def settings(home):
    return Settings(Arguments({}, []), home.environ, Talk("strongroom"), "serve")


def source_of(*, serial=None, mfa_process=None, browser=False):
    profile = types.SimpleNamespace(mfa_serial=serial, mfa_process=mfa_process)
    return types.SimpleNamespace(profile=profile, needs_browser=lambda: browser)


@pytest.mark.parametrize(("lazy", "said"), [(False, False), (True, True)])
def test_a_profile_that_signs_in_with_a_browser(settings, monkeypatch, capsys, lazy, said):
    """Is named at start when the first request would have to wait for that."""
    monkeypatch.setattr(standing, "Source", lambda *_: source_of(browser=True))
    assert list(standing._sources(Arguments({"lazy": lazy}, []), settings, ["dev"])) == ["dev"]
    told = "strongroom: warning: profile 'dev' signs in with a browser, and no request can wait for that: sign in before, with `strongroom export dev`\n"
    assert capsys.readouterr().err == (told if said else "")


@pytest.fixture
def absent(monkeypatch):
    """Driver -> why it cannot be used; those that are not in it can."""
    reasons = {}
    monkeypatch.setattr(prompt, "absent", lambda name, _place: reasons.get(name, ""))
    monkeypatch.setattr(prompt.Place, "no_desktop", lambda _place: reasons.get("desktop", ""))
    return reasons


def test_somebody_can_be_asked(settings, absent, capsys):
    """At the terminal, or in a window; then nothing is said."""
    sources = {"jon": source_of(serial="arn")}
    standing._tell_who_can_be_asked(Arguments({"lazy": True}, []), settings, sources)
    absent["terminal"] = "no terminal"
    standing._tell_who_can_be_asked(Arguments({"lazy": True}, []), settings, sources)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("desktop", "why"),
    [
        ("no DISPLAY", "no terminal, and there is no desktop to open a window on (no DISPLAY)"),
        ("", "no terminal, and there is no program to open a window with ("),
    ],
)
def test_nobody_can_be_asked(settings, absent, capsys, desktop, why):
    """It is said of profiles with MFA; not where a program brings the code."""
    absent |= dict.fromkeys(prompt.DRIVERS, "not here") | {"terminal": "no terminal", "desktop": desktop}
    sources = {"jon": source_of(serial="arn"), "otp": source_of(serial="arn", mfa_process="pass"), "ro": source_of()}
    standing._tell_who_can_be_asked(Arguments({"lazy": True}, []), settings, sources)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"strongroom: warning: profile 'jon': once its session ends nobody can be asked for an MFA code ({why}"
    )
    assert line.endswith("); then get a new one with `strongroom export jon` in a terminal")


def test_a_passphrase_that_nobody_can_type(home, absent):
    """Is an error if it is wanted later; if it was typed before, it is known."""
    home.environ.pop("AWS_VAULT_FILE_PASSPHRASE")
    settings = Settings(Arguments({"prompt": "terminal"}, []), home.environ, Talk("strongroom"), "serve")
    absent["terminal"] = "no terminal"
    standing._tell_who_can_be_asked(Arguments({}, []), settings, {"jon": source_of()})
    with pytest.raises(StrongroomError) as caught:
        standing._tell_who_can_be_asked(Arguments({"lazy": True}, []), settings, {"jon": source_of()})
    assert caught.value.message == (
        "the file keystore wants its passphrase, and nobody can be asked for it: no terminal"
    )
    assert settings.terminal_is_taken == ""


def test_in_the_background_the_terminal_is_not_ours(settings, absent):
    """From the moment on at which it is let go of."""
    standing._tell_who_can_be_asked(Arguments({"detached": True}, []), settings, {"jon": source_of()})
    assert settings.terminal_is_taken == "the server runs in the background"
