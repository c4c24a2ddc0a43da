import os
import plistlib
import shutil
import subprocess
import sys

import pytest

from strongroom.cli import service_units

PASSPHRASE = (
    "strongroom: warning: the file keystore wants its passphrase, which is not written into the service: "
    "that begins only where somebody can be asked, or AWS_VAULT_FILE_PASSPHRASE is set for all services\n"
)
ODD = 'a "b" $HOME %h \\'


def verified(path, home):
    """What systemd has to say of a unit; skips where there is no systemd."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze comes with systemd, which containers may lack")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", path],
        env=home.environ | {"XDG_RUNTIME_DIR": str(home.path / "run")},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def test_a_unit(c1):
    """Is written where systemd looks, for the user alone, with what systemd takes without a word."""
    c1.put_key(ODD)
    result = c1.call("serve", "install", "--kind=systemd", "jon", ODD, "--region=eu-west-1", "-d", "2h", "-t", "123456")
    path = c1.path / "xdg-config" / "systemd" / "user" / "strongroom.service"
    assert (result.status, result.stdout) == (0, f"{path}\n")
    assert result.stderr == PASSPHRASE + (
        "strongroom: next: systemctl --user daemon-reload\n"
        "strongroom: next: systemctl --user enable --now strongroom.service\n"
    )
    text = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600 or sys.platform == "win32"
    command = f"{sys.executable} -P -m strongroom serve --region=eu-west-1 --duration=2h --lazy -- start jon "
    assert f"ExecStart={command}" + r'"a \"b\" $$HOME %%h \\"' + "\n" in text
    assert f"Environment=AWS_VAULT_FILE_DIR={c1.keys}\n" in text
    assert "PASSPHRASE" not in text
    assert "123456" not in text
    status, told = verified(str(path), c1)
    assert (status, told) == (0, "")


def test_again(c1):
    """Ours is written over, somebody else's stays."""
    words = ("serve", "install", "--kind=systemd")
    path = c1.path / "xdg-config" / "systemd" / "user" / "strongroom.service"
    assert c1.call(*words, "jon").status == c1.call(*words, "ro").status == 0
    assert "start ro\n" in path.read_text()
    path.write_text("[Unit]\n")
    result = c1.call(*words, "jon")
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr == PASSPHRASE + (
        f"strongroom: error: serve: {path} is there, and not ours\nstrongroom: hint: move it away, or use --stdout\n"
    )
    assert path.read_text() == "[Unit]\n"


def test_a_job(c1):
    """A property list with the same command line; its log is for the user alone."""
    c1.put_key(ODD)
    result = c1.call("serve", "install", "--kind=launchd", "jon", ODD, "--lazy")
    path = c1.path / "Library" / "LaunchAgents" / "strongroom.serve.plist"
    assert (result.status, result.stdout) == (0, f"{path}\n")
    job = plistlib.loads(path.read_bytes())
    assert job["ProgramArguments"][1:] == ["-P", "-m", "strongroom", "serve", "--lazy", "--", "start", "jon", ODD]
    assert job["EnvironmentVariables"]["AWS_VAULT_BACKEND"] == "file"
    assert job["KeepAlive"] == {"SuccessfulExit": False}
    assert not any("PASSPHRASE" in name for name in job["EnvironmentVariables"])
    log = job["StandardErrorPath"]
    assert os.stat(log).st_mode & 0o777 == 0o600 or sys.platform == "win32"
    assert c1.call("serve", "install", "--kind=launchd", "ro").status == 0


@pytest.mark.parametrize("kind", service_units._NEXT)
def test_to_look_at(c1, kind):
    """With --stdout nothing is written."""
    result = c1.call("serve", "install", f"--kind={kind}", "--stdout", "jon")
    assert result.status == 0
    assert service_units.MARK in result.stdout
    assert result.stderr == PASSPHRASE
    assert not (c1.path / "xdg-config").exists()
    assert not (c1.path / "Library").exists()


def test_a_profile_that_there_is_not(c1):
    """Is no service that would be begun for ever."""
    result = c1.call("serve", "install", "--stdout", "--kind=systemd", "nosuch")
    assert (result.status, result.stdout) == (1, "")
    assert "profile 'nosuch' not found" in result.stderr


def test_other_systems(c1, monkeypatch):
    """Which kind must be said there."""
    monkeypatch.setattr(service_units.sys, "platform", "sunos5")
    result = c1.call("serve", "install", "jon")
    assert result.status == 2
    assert result.stderr.startswith("strongroom: error: serve: no service is known for sunos5, try --help\n")


def test_quoting():
    """What systemd would take apart or expand is quoted, and stays one line."""
    assert service_units._quoted("plain/word=1:2") == "plain/word=1:2"
    assert service_units._quoted("a b$c%d", dollars=True) == '"a b$$c%%d"'
    assert service_units._quoted("a b$c%d") == '"a b$c%%d"'
    assert service_units._quoted("a\nb\t") == '"a\\nb\\t"'
    assert "\nX=" not in service_units.systemd_unit(["x"], ["a\nX=1"], {})
