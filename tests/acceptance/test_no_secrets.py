"""No secret is ever shown or left behind: planted ones are looked for in all that every command says and writes."""

import base64
import os
import sys

import pytest

from harness import items
from harness.home import ADM, RO, M, config_c1

PASSPHRASE = "canary-passphrase-4711"
SECRET = "canary+secret/key0123456789abcdefghijklmn"
NEW_SECRET = "canary+new/secret0123456789abcdefghijklm"
CODE, WRONG_CODE = "918273", "918274"
NEW = {"AWS_ACCESS_KEY_ID": "AKIANEWNEWNEWNEWNEW1", "AWS_SECRET_ACCESS_KEY": NEW_SECRET}
EXPORT = ("export", "--format=json")

posix = pytest.mark.skipif(sys.platform == "win32", reason="the programs that are asked are lines of sh")


class Watch:
    """Runs commands with --debug, and looks for every secret that there is wherever none should be."""

    def __init__(self, home, cloud):
        self.home, self.cloud = home, cloud
        self.planted = {PASSPHRASE, SECRET, NEW_SECRET}
        self.codes = {CODE, WRONG_CODE}
        # What is left in here is left behind.
        self.temporary = home.path / "tmp"
        self.temporary.mkdir()
        home.environ |= {"TMPDIR": str(self.temporary), "TEMP": str(self.temporary)}

    def secrets(self):
        found = set(self.planted)
        for key in self.cloud.keys.values():
            found |= {key.secret_access_key, key.session_token or SECRET}
        return found | {base64.b64encode(secret.encode()).decode() for secret in found}

    def __call__(self, status, *argv, env=None, answer=False, real=False):
        """Run a command that ends with *status*; with *answer*, its stdout is what was asked for and may hold secrets."""
        run = self.home.run if real else self.home.call
        result = run(argv[0], "--debug", *argv[1:], env=env)
        assert result.status == status, result.stderr
        self.look("stderr", result.stderr, self.codes)
        if not answer:
            self.look("stdout", result.stdout, self.codes)
        for path in self.home.path.parent.rglob("*"):
            if path.is_file():
                kept = set() if path.parent == self.home.keys else self.codes
                self.look(str(path), path.read_bytes().decode("latin-1"), kept)
        assert list(self.temporary.iterdir()) == []
        return result

    def look(self, where, text, codes):
        shown = [secret for secret in self.secrets() | codes if secret in text]
        # The secret itself is not repeated here either: a test's log is read by many.
        assert not shown, f"{len(shown)} secrets in {where}"


@pytest.fixture
def watch(home, cloud, monkeypatch):
    """The usual home, with planted secrets in place of the usual ones."""
    monkeypatch.setattr("harness.home.PASSPHRASE", PASSPHRASE)
    home.environ["AWS_VAULT_FILE_PASSPHRASE"] = PASSPHRASE
    home.put_key("bare", secret=SECRET, cloud=cloud)
    config_c1(home, cloud)
    home.put_key("jon", secret=SECRET, cloud=cloud)
    cloud.mfa[M] = {CODE}
    return Watch(home, cloud)


def test_the_watch_sees(watch):
    """It finds what it is meant to find: in what is said, and in files."""
    with pytest.raises(AssertionError, match="secrets in stdout"):
        watch(0, "export", "-n", "bare")
    (watch.home.work / "left").write_text(base64.b64encode(SECRET.encode()).decode())
    with pytest.raises(AssertionError, match=r"1 secrets in .*left"):
        watch(0, "list")


def test_success(watch):
    """Every command, cold and cached, in this process and in one of its own."""
    watch(0, "list")
    watch(0, "add", "--env", "new", env=NEW)
    watch(0, "add", "--env", "new", env=NEW, real=True)
    for profile in ("admin", "jon", "ro", "bare", "r2"):
        watch(0, "explain", profile)
        for _ in range(2):
            got = watch(0, *EXPORT, "-t", CODE, profile, answer=True).json()
            assert watch.cloud.keys[got["AccessKeyId"]].session_token == got["SessionToken"]
        watch(0, "explain", "--json", profile)
    for form in ("env", "export-env", "ini", "fish", "powershell", "nu"):
        watch(0, "export", f"--format={form}", "-n", "bare", answer=True)
    for words in ([], ["--keep-vault-secrets"], ["-n"], ["--profile-env"]):
        result = watch(0, "exec", *words, "bare", "--", "true")
        assert result.child == ["true"]
    watch(0, "exec", "-t", CODE, "-d", "2h", "jon", "--", sys.executable, "-c", "print('done')", real=True)
    watch(0, "list", "--json")
    watch(0, "list", "--sessions", real=True)
    watch(0, "clear", "ro")
    watch(0, "clear")
    watch(0, "remove", "-f", "new")
    watch(0, "version")
    watch(0, "help", "exec")


def test_refusals(watch):
    """AWS says no, or nothing that makes sense, with and without a code; what others are told lies in the lock files."""
    watch(1, "export", "-t", WRONG_CODE, "jon")
    watch(1, "exec", "-t", WRONG_CODE, "admin", "--", "true", real=True)
    watch(2, "export", "-t", f"{CODE}0", "jon")
    watch(2, "export", f"--mfa-tokn={CODE}", "jon")
    for profile, action in (("bare", "GetSessionToken"), ("ro", "AssumeRole"), ("admin", "*")):
        for trouble in (
            {"code": "AccessDenied", "status": 403},
            {"code": "ValidationError", "status": 400},
            {"code": "ExpiredToken", "status": 403},
        ):
            watch.cloud.fail(action, times=1, **trouble)
            watch(1, "export", "-t", CODE, profile)
        watch.cloud.html(action, times=1, status=200)
        watch(1, "export", "-t", CODE, profile)
        watch.cloud.skew(30)
        watch(1, "export", "-t", CODE, profile)
        watch.cloud.skew(0)
    watch(1, "export", "-t", CODE, "bare", env={"AWS_ENDPOINT_URL": "nonsense"})
    watch(1, "export", "bare", env={"AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    assert any((watch.home.path / "run" / "strongroom").iterdir())


def test_answers_that_cannot_be_used(watch):
    """AWS's answer itself is wrong: the part of it that is right is not shown."""
    page = (
        "<AssumeRoleResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'><AssumeRoleResult><Credentials>"
        f"<AccessKeyId>ASIAX</AccessKeyId><SecretAccessKey>{NEW_SECRET}</SecretAccessKey>"
        f"<SessionToken>{SECRET}</SessionToken>{{}}</Credentials></AssumeRoleResult></AssumeRoleResponse>"
    )
    for rest in ("", "<Expiration>soon</Expiration>", "<Expiration/>", "<"):
        watch.cloud.html("AssumeRole", times=1, status=200, page=page.format(rest).encode())
        watch(1, "export", "ro")


@posix
@pytest.mark.parametrize(
    ("command", "status"),
    [
        (f"echo {CODE}", 0),
        (f"echo {WRONG_CODE}", 1),
        (f"echo {CODE}; exit 3", 1),
        (f"echo {CODE}{CODE}", 1),
        (f"echo {CODE}; echo {SECRET}", 1),
        (f"echo {SECRET}", 1),
        (f"./{SECRET}", 1),
    ],
    ids=range(7),
)
def test_a_program_that_is_asked(watch, command, status):
    """Its command line, its output and what it is given hold no secret of ours, whether it answers or not."""
    seen = watch.home.path.parent / "seen"
    program = watch.home.path.parent.parent / f"{watch.home.path.parent.name}-program"
    program.write_text(f"tr '\\0' '\\n' </proc/self/cmdline >{seen}; env >>{seen}\n{command} 2>/dev/null\n")
    text = watch.home.config.read_text()
    watch.home.config.write_text(text.replace("[profile jon]", f"[profile jon]\nmfa_process = sh {program}", 1))
    old = {"AWS_ACCESS_KEY_ID": "AKIAOLD", "AWS_SECRET_ACCESS_KEY": NEW_SECRET, "AWS_SESSION_TOKEN": SECRET}
    watch(status, *EXPORT, "jon", answer=status == 0, env=old)
    for path in (watch.home.path / "run" / "strongroom").glob("*.codes"):
        path.unlink()  # else the code, used now, would not be sent again before its half minute is over
    watch(status, "exec", "admin", "--", "true", env=old)
    assert "PATH=" in seen.read_text()


def test_failures_of_the_store(watch):
    """Wrong passphrases, damaged items, a key that is none."""
    watch.planted.add("another-canary-passphrase")
    wrong = {"AWS_VAULT_FILE_PASSPHRASE": "another-canary-passphrase"}
    for argv in (("export", "bare"), ("exec", "bare", "--", "true"), ("add", "--env", "new")):
        watch(1, *argv, env=NEW | wrong)
    watch(0, "explain", "ro", env=wrong)
    path = watch.home.keys / "bare"
    good = path.read_bytes()
    for content in (good[:100], good[:-4] + b"AAAA", b"eyJ.....", b""):
        path.write_bytes(content)
        watch(1, "export", "bare")
        watch(1, "add", "--env", "bare", env=wrong | NEW)
    for fields in ({"AccessKeyID": "", "SecretAccessKey": SECRET}, {"SecretAccessKey": SECRET}, [SECRET]):
        items.write(str(watch.home.keys), "bare", fields, PASSPHRASE)
        watch(1, "export", "bare")
        watch(1, "export", "-n", "bare")


def test_failures_of_the_config(watch):
    """Keys that somebody wrote into the config file, in lines that can be read and in lines that cannot."""
    text = watch.home.config.read_text()
    for line in (
        f"aws_secret_access_key = {SECRET}",
        f"aws_secret_access_key {SECRET}",
        f"{SECRET}",
        f"aws_session_token  {NEW_SECRET}{SECRET}",
        f"[profile {SECRET}",
    ):
        watch.home.config.write_bytes(b"")
        broken = watch.home.work.parent.parent / f"{watch.home.path.parent.name}-config"
        broken.write_text(f"{text}\n[profile broken]\nrole_arn = {RO}\nsource_profile = bare\n{line}\n")
        env = {"AWS_CONFIG_FILE": str(broken)}
        watch(0, "list", "--credentials", env=env)
        watch(0, "export", "-n", "bare", env=env, answer=True)
        result = watch.home.call("export", "--debug", "broken", env=env)
        watch.look("stderr", result.stderr, set())
        if result.status == 0:
            watch(0, "explain", "--json", "broken", env=env)
        watch(0, "clear", "broken", env=env)


def test_other_failures(watch):
    """What cannot be run, stored, locked or found."""
    watch(127, "exec", "-n", "bare", "--", "./no-such-command", real=True)
    watch(1, "export", "nobody")
    watch(2, "export", "bare", "-d", "abc")
    watch(1, "add", "--env", "new", env=NEW | {"AWS_SECRET_ACCESS_KEY": f"{NEW_SECRET} with-more"})
    watch(1, "add", "--env", "new", env=NEW | {"AWS_ACCESS_KEY_ID": ""})
    watch(1, "add", "--env", "new", env=NEW | {"AWS_ACCESS_KEY_ID": "ASIATEMPORARY"})
    watch(1, "add", "--env", "a\nb", env=NEW)
    watch(1, "export", "jon", real=True)  # nobody can be asked for a code
    watch(1, "remove", "nobody")
    watch(1, "export", "bare", env={"AWS_VAULT": "outer"})
    unlockable = watch.home.work / "file"
    unlockable.write_text("")
    watch(0, *EXPORT, "ro", env={"XDG_RUNTIME_DIR": str(unlockable)}, answer=True)


@posix
def test_a_question_at_the_terminal(watch, tty):
    """A code that is typed is on the screen, and nowhere else; a passphrase and a new key's secret nowhere at all."""
    terminal = tty("exec", "--debug", "admin", "--", "true", env={"AWS_VAULT_FILE_PASSPHRASE": None})
    terminal.expect("Enter passphrase")
    terminal.wait_for_echo(on=False)
    terminal.send(f"{PASSPHRASE}\n")
    terminal.expect(f"Enter MFA code for {M}: ")
    terminal.send(f"{CODE}\n")
    result = terminal.wait()
    assert result.status == 0, result.stderr
    watch.look("terminal", terminal.shown, set())
    watch.look("stderr", result.stderr, watch.codes)
    terminal = tty("add", "--debug", "new")
    terminal.expect("Enter Access Key ID: ")
    terminal.send("AKIANEWNEWNEWNEWNEW1\n")
    terminal.expect("Enter Secret Access Key: ")
    terminal.send(f"{NEW_SECRET}\n")
    terminal.expect("leave this blank): ")
    terminal.send("\n")
    result = terminal.wait()
    assert result.status == 0, result.stderr
    watch.look("terminal", terminal.shown, set())
    watch.look("stdout", result.stdout + result.stderr, watch.codes)
    assert watch.cloud.calls[-1].role == ADM
    assert set(os.listdir(watch.home.keys)) >= {"jon", "bare", "new"}
