"""Whatever is wrong, in the user's files, store, machine, network or words: one clear line, and nothing is lost."""

import contextlib
import errno
import os
import re
import shutil
import socket
import stat
import subprocess
import sys

import pytest

from harness.home import RO, Result, decode
from strongroom.aws import client
from strongroom.cli.setting import SETTINGS
from strongroom.keystore import KEYSTORES

KEY = {"AWS_ACCESS_KEY_ID": "AKIANEWNEWNEWNEWNEW1", "AWS_SECRET_ACCESS_KEY": "new+secret"}
STRONGROOM = [sys.executable, "-m", "strongroom"]
ASSUME = f"sts AssumeRole of {RO}"

MEND = "restore its file from a backup, or remove the item and store it anew"
CHECK_PASSPHRASE = "check the passphrase; AWS_VAULT_FILE_PASSPHRASE, if it is set, is taken for it"
CHECK_CONFIG = "check AWS_CONFIG_FILE and its permissions"
CHECK_MODES = "check its owner and permissions"
CHECK_NETWORK = "check the network, region and endpoint_url"
FOREIGN = "check endpoint_url, and whether a proxy or a sign-in page stands in between"

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such descriptors, modes or devices")
linux = pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes, and /dev/full is there, on Linux")

STORES = ", ".join(KEYSTORES)


def failed(result, message, hint="", status=1):
    """The whole of what a failure may say: a line, and perhaps another one with what to do."""
    expected = f"strongroom: error: {message}\n" + (f"strongroom: hint: {hint}\n" if hint else "")
    assert (result.status, result.stdout, result.stderr) == (status, "", expected)


def warned(result, *warnings):
    """A success that had something to say."""
    assert (result.status, result.stderr) == (0, "".join(f"strongroom: warning: {line}\n" for line in warnings))


def reason(number):
    return os.strerror(number).lower()


def contents(home):
    """Every file of the store and the config, as it is."""
    files = [path for path in (home.config, *home.keys.glob("*")) if path.is_file()]
    return {path: path.read_bytes() for path in files}


@pytest.fixture
def full_home(c1, cloud):
    """The usual home, with a key that has no device, whose store and config must be the same afterwards."""
    c1.put_key("bare", cloud=cloud)
    return c1


@pytest.fixture
def untouched(full_home):
    """The same, and at the end of the test nothing in store and config may have changed."""
    before = contents(full_home)
    yield full_home
    assert contents(full_home) == before


def shell(home, script, env=None, program="/bin/sh"):
    """Run a line of shell in which SR is strongroom."""
    script = script.replace("SR", " ".join(STRONGROOM))
    ended = subprocess.run([program, "-c", script], env=home._environ(env), cwd=home.work, capture_output=True)
    return Result(ended.returncode, decode(ended.stdout), decode(ended.stderr))


# Files: modes, directories, pipes, sizes


@pytest.fixture
def commoner(full_home):
    """A home, and a function that runs strongroom there as a user whom modes keep out of files."""
    if sys.platform == "win32":
        pytest.skip("Windows has no modes")
    # Root, without what lets it pass over modes.
    tamed = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    if tamed and not shutil.which(tamed[0]):
        pytest.skip("nothing keeps root out of files")

    def run(*argv, env=None):
        command = [*tamed, *STRONGROOM, *argv]
        ended = subprocess.run(command, env=full_home._environ(env), cwd=full_home.work, capture_output=True)
        return Result(ended.returncode, decode(ended.stdout), decode(ended.stderr))

    yield full_home, run
    for path in (full_home.path, full_home.config.parent, full_home.keys):
        path.chmod(0o700)


def test_a_config_that_may_not_be_read(commoner):
    """Every command that needs it names it; `add` stores no key whose section it cannot look for."""
    home, run = commoner
    home.config.chmod(0)
    for argv in (("export", "bare"), ("list",), ("add", "--env", "new"), ("exec", "bare", "--", "true")):
        failed(
            run(*argv, env=KEY),
            f"{argv[0]}: cannot read the config file {home.config}: {os.strerror(errno.EACCES)}",
            CHECK_CONFIG,
        )
    assert home.item_names() == ["bare", "jon"]


def test_a_store_that_may_not_be_read(commoner):
    """The directory, and one item of it."""
    home, run = commoner
    home.keys.chmod(0)
    for argv in (("export", "bare"), ("list",), ("clear",), ("remove", "-f", "bare")):
        failed(run(*argv), f"{argv[0]}: cannot list {home.keys}: {reason(errno.EACCES)}", CHECK_MODES)
    home.keys.chmod(0o700)
    (home.keys / "bare").chmod(0)
    failed(
        run("export", "bare"),
        f"export: cannot read item 'bare' ({home.keys / 'bare'}): {reason(errno.EACCES)}",
        CHECK_MODES,
    )
    result = run("list", "--credentials")
    assert (result.status, result.stdout, result.stderr) == (0, "bare\njon\n", "")
    assert run("export", "ro").status == 0


def test_a_store_that_may_not_be_written(commoner):
    """`add` and `remove` say so and change nothing; `export` goes on without storing the session."""
    home, run = commoner
    before = contents(home)
    for path in (home.keys, home.path):
        path.chmod(0o500)
    why = reason(errno.EACCES)
    failed(
        run("add", "--env", "new", env=KEY), f"add: cannot write item 'new' ({home.keys / 'new'}): {why}", CHECK_MODES
    )
    failed(run("remove", "-f", "bare"), f"remove: cannot remove item 'bare' ({home.keys / 'bare'}): {why}", CHECK_MODES)
    result = run("export", "--format=json", "ro")
    assert result.json()["AccessKeyId"].startswith("ASIA")
    assert result.stderr.startswith(
        "strongroom: warning: the session could not be stored, so the next command asks again: cannot write item "
    )
    assert result.stderr.endswith(f": {why}\n")
    assert result.stderr.count("\n") == 1
    assert contents(home) == before


def test_a_config_that_may_not_be_written(commoner):
    """`add` stores the key, and says that the section is missing."""
    home, run = commoner
    before = home.config.read_bytes()
    home.config.parent.chmod(0o500)
    result = run("add", "--env", "new", env=KEY)
    assert (result.status, result.stdout) == (1, 'Added credentials to profile "new" in vault\n')
    assert result.stderr == (
        f"strongroom: error: add: cannot write the config file {home.config}: {os.strerror(errno.EACCES)}\n"
        "strongroom: hint: check its permissions, or use --no-add-config\n"
    )
    assert home.config.read_bytes() == before
    assert run("export", "-n", "new").status == 0


def test_a_home_that_may_not_be_written(commoner):
    """No lock can be made: said, and gone on without it; with what is stored nobody asks for one."""
    home, run = commoner
    nowhere = {"XDG_RUNTIME_DIR": None, "XDG_DATA_HOME": None}
    home.path.chmod(0o500)
    warned(
        run("export", "ro", env=nowhere),
        "going on without a lock, so others may be asked at the same time: cannot make a lock in "
        f"{home.path}/.local/share/strongroom/locks: {reason(errno.EACCES)}",
    )
    warned(run("export", "ro", env=nowhere))


def test_a_directory_for_a_config(untouched):
    """Named as what it is; what does not need the config works."""
    config = untouched.work / "directory"
    config.mkdir()
    env = KEY | {"AWS_CONFIG_FILE": str(config)}
    for argv in (("export", "bare"), ("list",), ("add", "--env", "new"), ("explain", "bare")):
        failed(
            untouched.call(*argv, env=env),
            f"{argv[0]}: cannot read the config file {config}: {os.strerror(errno.EISDIR)}",
            CHECK_CONFIG,
        )
    warned(
        untouched.call("clear", "ro", env=env),
        f"only sessions are looked for, not a token: cannot read the config file {config}: Is a directory",
    )


@posix
def test_a_pipe_for_a_config(untouched):
    """Nobody waits for somebody to write to it: without a writer it is empty. And it is not replaced by a file."""
    pipe = untouched.work / "pipe"
    os.mkfifo(pipe)
    env = {"AWS_CONFIG_FILE": str(pipe)}
    assert untouched.run("list", "--profiles", env=env, timeout=30) == Result(0, "", "")
    failed(
        untouched.run("add", "--env", "new", env=KEY | env, timeout=30),
        f"add: cannot write the config file {pipe}: not a regular file",
        "use --no-add-config",
    )
    assert pipe.is_fifo()
    own = untouched.path / "xdg-config" / "strongroom"
    own.mkdir(parents=True)
    os.mkfifo(own / "config.toml")
    assert untouched.run("list", "--profiles", timeout=30).status == 0


@posix
def test_a_config_out_of_a_command(full_home):
    """What bash's <(command) gives is read to its end."""
    result = shell(full_home, f"AWS_CONFIG_FILE=<(cat '{full_home.config}') SR list --profiles", program="bash")
    assert (result.status, result.stderr) == (0, "")
    assert result.stdout == full_home.call("list", "--profiles").stdout != ""


@posix
def test_the_null_device_is_not_replaced(untouched):
    """`add` with AWS_CONFIG_FILE=/dev/null stores nothing and leaves the device alone, as root too."""
    failed(
        untouched.run("add", "--env", "new", env=KEY | {"AWS_CONFIG_FILE": "/dev/null"}),
        "add: cannot write the config file /dev/null: not a regular file",
        "use --no-add-config",
    )
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@posix
def test_devices_for_a_config(full_home, cloud):
    """/dev/null is an empty file; one without an end is refused; a link to itself is told."""
    null = {"AWS_CONFIG_FILE": "/dev/null", "AWS_ENDPOINT_URL": cloud.url}
    assert full_home.call("export", "bare", env=null).status == 0
    failed(
        full_home.call("list", env={"AWS_CONFIG_FILE": "/dev/zero"}),
        "list: cannot read the config file /dev/zero: not a regular file",
        CHECK_CONFIG,
    )
    loop = full_home.work / "loop"
    loop.symlink_to(loop)
    failed(
        full_home.call("add", "--env", "new", env=KEY | {"AWS_CONFIG_FILE": str(loop)}),
        f"add: cannot read the config file {loop}: {os.strerror(errno.ELOOP)}",
        CHECK_CONFIG,
    )
    assert full_home.item_names()[:2] == ["bare", "jon"]


def test_a_config_of_fifty_megabytes(full_home):
    """Of 110,000 profiles the one that is asked for is found, and one that is missing is missing."""
    filler = "# " + "y" * 380 + "\n"
    with full_home.config.open("a") as file:
        file.writelines(f"\n[profile p{number}]\nregion = eu-west-1\n{filler}" for number in range(125_000))
    assert full_home.config.stat().st_size > 50_000_000
    warned(full_home.call("export", "ro"))
    failed(
        full_home.call("export", "p124999"),
        "export: profile p124999: credentials missing",
        "store a key with `strongroom add p124999`, or set source_profile",
    )
    result = full_home.call("list", "--profiles")
    assert (result.status, result.stderr) == (0, "")
    assert len(result.stdout.splitlines()) == 125_006


def test_a_config_that_is_something_else(full_home):
    """Fifty million bytes without a line end: the commands that need it say what cannot be read, shortened."""
    full_home.config.write_bytes(b"\x7fELF" + b"\0" * 50_000_000)
    shown = repr("\x7fELF" + "\0" * 96).replace("\\", "\\\\")
    line = rf"{re.escape(str(full_home.config))}:1( \[DEFAULT\])?: key-value delimiter not found: {shown}\n"
    result = full_home.call("list", "--credentials")
    assert (result.status, result.stdout) == (0, "bare\njon\n")
    assert re.fullmatch(f"strongroom: warning: {line}", result.stderr)
    result = full_home.call("export", "bare")
    assert (result.status, result.stdout) == (1, "")
    assert re.fullmatch(
        f"strongroom: error: export: {line}strongroom: hint: correct that line, or begin it with # to leave it out\n",
        result.stderr,
    )


# Items: damaged, foreign, too large; passphrases


def half(good):
    return good[: len(good) // 2]


DAMAGES = {
    "half": (half, "item 'bare' is damaged: it is cut short"),
    "a part is missing": (lambda good: good.rpartition(b".")[0], "item 'bare' is damaged: it is cut short"),
    "a byte is changed": (
        lambda good: good[:-9] + (b"A" if good[-9:-8] != b"A" else b"B") + good[-8:],
        "item 'bare' is damaged: its content was changed after it was written",
    ),
    "one byte is left": (lambda _: b"e", "item 'bare' is damaged: it is not an encrypted item"),
    "nothing is left": (lambda _: b"", "item 'bare' is damaged: {path} is empty"),
    "zeros": (lambda good: bytes(len(good)), "item 'bare' is damaged: it is not an encrypted item"),
    "another algorithm": (
        lambda good: b"eyJhbGciOiJub25lIn0." + good.partition(b".")[2],
        "item 'bare' is damaged: its algorithm is not supported (alg 'none', not 'PBES2-HS256+A128KW')",
    ),
    "huge": (
        lambda _: b"eyJ" + b"x" * (2 << 20),
        "item 'bare' cannot be used: {path} has 2097155 bytes, and no item is larger than 1048576",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_key(untouched, cloud, damage):
    """The profile that needs it is told what is wrong; the others work, lists are whole, and the item is left alone."""
    change, message = DAMAGES[damage]
    path = untouched.keys / "bare"
    good = path.read_bytes()
    path.write_bytes(change(good))
    before = contents(untouched)
    for argv in (("export", "bare"), ("exec", "bare", "--", "true")):
        failed(untouched.call(*argv), f"{argv[0]}: " + message.format(path=path), MEND)
    assert untouched.call("list", "--credentials").stdout == "bare\njon\n"
    assert untouched.call("clear").stdout == "Cleared 0 sessions.\n"
    assert cloud.calls == []
    warned(untouched.call("export", "-n", "jon"))
    assert contents(untouched) == before
    assert untouched.call("add", "--env", "--no-add-config", "bare", env=KEY).status == 0
    assert untouched.call("export", "--format=json", "-n", "bare").json()["AccessKeyId"] == KEY["AWS_ACCESS_KEY_ID"]
    path.write_bytes(good)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_session(full_home, cloud, damage):
    """A miss: AWS is asked again, and the new one takes its place."""
    assert full_home.call("export", "ro").status == 0
    (session,) = [name for name in full_home.item_names() if "," in name]
    path = full_home.keys / session
    path.write_bytes(DAMAGES[damage][0](path.read_bytes()))
    os.utime(path, (0, 0))
    warned(full_home.call("export", "ro"))
    warned(full_home.call("export", "ro"))
    assert cloud.actions == ["AssumeRole"] * 2
    assert len(full_home.items()) == 3


def test_a_file_that_is_no_item(untouched):
    """Neither shown, nor used, nor overwritten, nor removed."""
    path = untouched.keys / "notes"
    path.write_text("hello world\n")
    path.chmod(0o600)
    assert untouched.call("list", "--credentials").stdout == "bare\njon\n"
    failed(
        untouched.call("add", "--env", "--no-add-config", "notes", env=KEY),
        f"add: cannot overwrite item 'notes': {path} is not an item",
        "move that file away",
    )
    failed(
        untouched.call("remove", "-f", "notes"),
        "remove: no credentials are stored for profile 'notes'",
        "`list --credentials` shows those that are",
    )
    assert path.read_text() == "hello world\n"
    path.unlink()


def test_an_item_under_another_name(untouched):
    """Whoever can rename files cannot give one profile another one's key."""
    shutil.copy(untouched.keys / "jon", untouched.keys / "ro")
    failed(
        untouched.call("export", "ro"),
        "export: item 'ro' is damaged: it holds the item 'jon'",
        "it was renamed or copied after it was written: rename it back, or remove it and add it anew",
    )
    (untouched.keys / "ro").unlink()


def test_a_store_that_is_a_file(untouched):
    """Named, and left alone."""
    env = KEY | {"AWS_VAULT_FILE_DIR": str(untouched.config)}
    for argv in (("list",), ("export", "bare"), ("add", "--env", "--no-add-config", "new")):
        failed(
            untouched.call(*argv, env=env),
            f"{argv[0]}: cannot list {untouched.config}: {reason(errno.ENOTDIR)}",
            "the keystore is a directory: name another one",
        )


def test_a_wrong_passphrase(untouched, cloud):
    """Reading says which item it did not open; writing does not begin."""
    env = KEY | {"AWS_VAULT_FILE_PASSPHRASE": "wrong"}
    keys = untouched.keys
    failed(
        untouched.call("export", "bare", env=env),
        f"export: wrong passphrase for 'bare' in {keys} (or the item is damaged: the two look the same)",
        CHECK_PASSPHRASE,
    )
    failed(
        untouched.call("add", "--env", "new", env=env),
        f"add: wrong passphrase: it opens no item in {keys}, so nothing was written",
        CHECK_PASSPHRASE,
    )
    assert cloud.calls == []


@posix
def test_no_passphrase_and_nobody_to_ask(untouched):
    """A line, at once, with the ways out."""
    result = untouched.run("export", "bare", env={"AWS_VAULT_FILE_PASSPHRASE": None})
    assert (result.status, result.stdout) == (1, "")
    said, hint = result.stderr.splitlines()
    assert said.startswith(
        "strongroom: error: export: the keystore's passphrase is needed, and there is no terminal to ask at (/dev/tty: "
    )
    assert hint == (
        "strongroom: hint: run it in a terminal, or set AWS_VAULT_FILE_PASSPHRASE; inside `strongroom exec`, "
        "exec --keep-vault-secrets passes it on"
    )


# A full disk


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KB, and a function that fills it."""
    place = tmp_path / "disk"
    place.mkdir()
    done = shutil.which("mount") and sys.platform == "linux" and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", place], capture_output=True
    )  # fmt: skip
    if not done or done.returncode:
        pytest.skip("only root may mount a small disk")

    def fill():
        with contextlib.suppress(OSError), open(place / "filler", "wb", buffering=0) as file:
            while True:
                file.write(bytes(1024))

    yield place, fill
    subprocess.run(["umount", place], check=True)


def test_a_full_disk(full_home, cloud, small_disk):
    """`add` and its config change nothing, `export` gives what it got, `remove` makes room."""
    disk, fill = small_disk
    shutil.move(full_home.keys, disk / "keys")
    shutil.move(full_home.config, disk / "config")
    full_home.keys, full_home.config = disk / "keys", disk / "config"
    env = KEY | {"AWS_VAULT_FILE_DIR": str(full_home.keys), "AWS_CONFIG_FILE": str(full_home.config)}
    fill()
    before = contents(full_home)
    why = reason(errno.ENOSPC)
    failed(
        full_home.call("add", "--env", "new", env=env),
        f"add: cannot write item 'new' ({full_home.keys / 'new'}): {why}",
        "nothing was changed: make room, and try again",
    )
    result = full_home.call("export", "--format=json", "ro", env=env)
    assert result.json()["AccessKeyId"].startswith("ASIA")
    assert re.fullmatch(
        "strongroom: warning: the session could not be stored, so the next command asks again: cannot write item "
        rf"'sts.AssumeRole,[^']*' \({re.escape(str(full_home.keys))}/[^)]*\): {why}\n",
        result.stderr,
    )
    assert contents(full_home) == before
    assert sorted(os.listdir(disk)) == ["config", "filler", "keys"]
    assert full_home.call("remove", "-f", "bare", env=env).status == 0
    assert sorted(full_home.items()) == ["jon"]


def test_a_full_disk_under_the_config(full_home, small_disk):
    """The key is stored, the config stays whole, and what is missing is said."""
    disk, fill = small_disk
    shutil.move(full_home.config, disk / "config")
    config = disk / "config"
    fill()
    before = config.read_bytes()
    result = full_home.call("add", "--env", "new", env=KEY | {"AWS_CONFIG_FILE": str(config)})
    assert (result.status, result.stdout) == (1, 'Added credentials to profile "new" in vault\n')
    assert result.stderr == (
        f"strongroom: error: add: cannot write the config file {config}: {os.strerror(errno.ENOSPC)}\n"
        "strongroom: hint: check its permissions, or use --no-add-config\n"
    )
    assert config.read_bytes() == before
    assert sorted(os.listdir(disk)) == ["config", "filler"]


# AWS: the clock, refusals, silence, strangers


@pytest.mark.parametrize(("minutes", "direction"), [(20, "behind"), (-20, "ahead of"), (-7, "ahead of")])
def test_a_clock_that_is_wrong(untouched, cloud, minutes, direction):
    """AWS's own words, and by how much this machine is off."""
    cloud.skew(minutes)
    result = untouched.call("export", "ro")
    assert (result.status, result.stdout) == (1, "")
    said, hint = result.stderr.splitlines()
    assert said.startswith(f"strongroom: error: export: {ASSUME} was refused (SignatureDoesNotMatch): Signature ")
    off = re.fullmatch(
        rf"strongroom: hint: this machine's clock is (\d+)m(\d+)s {direction} AWS's: set it, and try again", hint
    )
    assert abs(int(off[1]) * 60 + int(off[2]) - abs(minutes) * 60) <= 5


@pytest.mark.parametrize("code", ["Throttling", "ThrottlingException"])
def test_throttling(untouched, cloud, monkeypatch, code):
    """Tried three times, then told."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    cloud.fail("AssumeRole", times=9, code=code, status=400, message="Rate exceeded")
    failed(
        untouched.call("export", "ro"),
        f"export: {ASSUME} was refused ({code}): Rate exceeded",
        "AWS limits the rate of calls: try again in a moment",
    )
    assert cloud.actions == ["AssumeRole"] * 3


def test_throttling_that_ends(full_home, cloud, monkeypatch):
    """One refusal of that kind is nobody's business."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    cloud.fail("AssumeRole", times=1, code="Throttling", status=400, message="Rate exceeded")
    warned(full_home.call("export", "ro"))


def test_an_answer_that_does_not_come(untouched, cloud, monkeypatch):
    """Bounded; with the address that was silent."""
    monkeypatch.setattr(client, "READ_SECONDS", 0.05)
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    cloud.hang("AssumeRole", times=9)
    failed(
        untouched.call("export", "ro"),
        f'export: {ASSUME} did not reach AWS: Read timeout on endpoint URL: "{cloud.url}/"',
        CHECK_NETWORK,
    )
    assert cloud.actions == ["AssumeRole"] * 3


@pytest.mark.parametrize(
    ("url", "said", "hint"),
    [
        (
            "http://127.0.0.1:{port}",
            'did not reach AWS: Could not connect to the endpoint URL: "{url}/"',
            CHECK_NETWORK,
        ),
        ("http://x.invalid", 'did not reach AWS: Could not connect to the endpoint URL: "{url}/"', CHECK_NETWORK),
    ],
)
def test_nobody_there(untouched, monkeypatch, url, said, hint):
    """A refused connection, and a name that does not exist."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    with socket.socket() as bound:  # and not listening: its port refuses connections
        bound.bind(("127.0.0.1", 0))
        url = url.format(port=bound.getsockname()[1])
        failed(
            untouched.call("export", "ro", env={"AWS_ENDPOINT_URL": url}),
            f"export: {ASSUME} {said.format(url=url)}",
            hint,
        )


@pytest.mark.parametrize(
    ("status", "page", "said", "hint"),
    [
        (200, None, " was answered with something that is not AWS's format", FOREIGN),
        (200, b"<p>log in<br>", " was answered with something that is not AWS's format", FOREIGN),
        (200, b"", " was answered with something that is not AWS's format", FOREIGN),
        (403, b"<p>forbidden<br>", " was answered with something that is not AWS's format", FOREIGN),
        (302, None, ", with HTTP status 302, was answered with something that is not AWS's format", FOREIGN),
        (502, None, " failed at AWS's side with HTTP status 502", "try again in a moment"),
    ],
)
def test_a_page_instead_of_an_answer(untouched, cloud, monkeypatch, status, page, said, hint):
    """A proxy's or a portal's HTML is told as what it is, and none of it is shown."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    cloud.html("AssumeRole", times=9, status=status, **({} if page is None else {"page": page}))
    failed(untouched.call("export", "ro"), f"export: {ASSUME}{said}", hint)


def test_a_connection_that_breaks(untouched, cloud, monkeypatch):
    """Tried again, then told."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    cloud.cut("AssumeRole", times=9)
    failed(
        untouched.call("export", "ro"),
        f"export: {ASSUME} did not reach AWS: Connection was closed before we received a valid response from endpoint "
        f'URL: "{cloud.url}/".',
        CHECK_NETWORK,
    )


# Homes and runtime directories


def test_no_home(untouched, cloud):
    """Said, with the variable to set; commands that find everything without it work."""
    name = "USERPROFILE" if sys.platform == "win32" else "HOME"
    lost = {name: None, "XDG_CONFIG_HOME": None, "XDG_RUNTIME_DIR": None, "XDG_DATA_HOME": None, "LOCALAPPDATA": None}
    message = f"{name} is not set, so the files below it cannot be found"
    for argv in (("export", "bare"), ("list",), ("add", "--env", "new")):
        failed(untouched.call(*argv, env=KEY | lost), f"{argv[0]}: {message}", f"set {name}")
    found = lost | {"AWS_CONFIG_FILE": str(untouched.config)}
    assert untouched.call("list", "--credentials", env=found).stdout == "bare\njon\n"
    warned(untouched.call("export", "-n", "bare", env=found))
    assert untouched.call("version", env=lost).status == 0


@posix
def test_runtime_directories_that_are_none(full_home, cloud):
    """A variable that leads nowhere does no harm."""
    for place in ("nowhere/at/all", "file"):
        (full_home.work / "file").write_text("")
        path = full_home.work / place
        result = full_home.call("export", "ro", "-d", "1h", env={"XDG_RUNTIME_DIR": str(path)})
        if place == "file":
            warned(
                result,
                "going on without a lock, so others may be asked at the same time: cannot make a lock in "
                f"{path}/strongroom: {reason(errno.ENOTDIR)}",
            )
        else:
            warned(result)
        full_home.call("clear")


@posix
@pytest.mark.skipif(sys.platform != "win32" and os.geteuid() != 0, reason="only root may give directories away")
def test_runtime_directories_of_others(full_home):
    """As su leaves it: nothing of ours is put in there, and the locks lie in the home instead."""
    foreign = full_home.work / "foreign"
    foreign.mkdir(mode=0o700)
    os.chown(foreign, 65534, 65534)
    warned(full_home.call("export", "ro", env={"XDG_RUNTIME_DIR": str(foreign)}))
    assert list(foreign.iterdir()) == []
    full_home.call("clear")
    locks = full_home.path / "run" / "strongroom"
    shutil.rmtree(locks, ignore_errors=True)
    locks.mkdir()
    os.chown(locks, 65534, 65534)
    warned(
        full_home.call("export", "ro"),
        f"going on without a lock, so others may be asked at the same time: cannot use {locks} for locks: "
        "it is not a directory of this user",
    )


# Standard streams


@posix
@pytest.mark.parametrize(
    "words", ["list", "version", "help", "clear", "explain ro", "export ro", "export --format=json ro"]
)
def test_stdout_that_takes_nothing(full_home, words):
    """Closed, or full: exit 1 and why, for each command that has an answer."""
    name = words.split()[0]
    failed(shell(full_home, f"SR {words} >&-"), f"{name}: standard output is closed", "redirect it to a file or a pipe")
    if os.path.exists("/dev/full"):
        failed(
            shell(full_home, f"SR {words} >/dev/full"),
            f"{name}: cannot write to standard output: {os.strerror(errno.ENOSPC)}",
        )


@posix
def test_a_reader_that_has_gone(untouched):
    """`list | head -0`: exit 1, not a word."""
    process = untouched.popen("list", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    with process:
        assert (process.stderr.read(), process.wait(60)) == (b"", 1)


@posix
@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("export -n bare", 0),
        ("export nobody", 1),
        ("--debug export nobody", 1),
        ("exec --debug bare -n -- ./nosuch", 127),
        ("foo", 2),
        ("", 2),
    ],
)
@pytest.mark.parametrize("where", ["2>&-", "<&- 2>&-", "2>/dev/full"])
def test_stderr_that_takes_nothing(untouched, words, status, where):
    """The status and the answer are the same as if somebody listened."""
    if "/dev/full" in where and not os.path.exists("/dev/full"):
        pytest.skip("needs a file that is always full")
    result = shell(untouched, f"SR {words} {where}")
    assert (result.status, result.stderr) == (status, "")
    assert ("AKIA" in result.stdout) is (status == 0)


@posix
def test_no_streams_at_all(full_home):
    """No descriptor 0 to 2: files that are opened meanwhile take their numbers, and nothing is written into those."""
    result = shell(full_home, "SR add --env --debug new <&- >&- 2>&-", env=KEY)
    assert result.status == 1
    assert sorted(full_home.items()) == ["bare", "jon", "new"]
    assert full_home.config.read_text().endswith("\n[profile new]\n")
    before = contents(full_home)
    assert shell(full_home, "SR exec --debug ro <&- >&- 2>&- -- sh -c 'exit 7'").status == 7
    after = contents(full_home)
    assert {path: after[path] for path in before} == before
    assert len(full_home.items()) == 4


# Bytes that are no text


@linux
@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_words_that_are_not_utf_8(untouched, locale):
    """Refused by name where a name is meant; given on as they are where a command is."""
    run = lambda *argv: untouched.run(*(os.fsdecode(word) for word in argv), env=KEY | {"LC_ALL": locale})  # noqa: E731
    for argv in ((b"export", b"\xff"), (b"exec", b"\xff", b"--", b"true"), (b"add", b"--env", b"\xff")):
        failed(run(*argv), rf"{argv[0].decode()}: the profile name '\udcff' is not UTF-8, try --help", status=2)
    failed(
        run(b"remove", b"-f", b"\xff"),
        r"remove: no credentials are stored for profile '\udcff'",
        "`list --credentials` shows those that are",
    )
    failed(run(b"f\xffo"), r'expected command but got "f\udcffo", try --help', status=2)
    failed(run(b"list", b"--\xff"), r"list: unknown long flag '--\udcff', try --help", status=2)
    assert os.fsencode(run(b"exec", b"-n", b"bare", b"--", b"printf", b"%s", b"\xff\xe9").stdout) == b"\xff\xe9"


@linux
def test_variables_that_are_not_utf_8(untouched):
    """A profile's name is refused; paths and passphrases are bytes; what is none of our business goes on."""
    odd = os.fsdecode(b"\xff")
    failed(
        untouched.run("export", env={"AWS_PROFILE": odd}),
        r"export: the profile name '\udcff' is not UTF-8, try --help",
        status=2,
    )
    failed(
        untouched.run("export", "bare", env={"AWS_VAULT_FILE_PASSPHRASE": odd}),
        f"export: wrong passphrase for 'bare' in {untouched.keys} (or the item is damaged: the two look the same)",
        CHECK_PASSPHRASE,
    )
    result = untouched.run("list", "--credentials", env={"AWS_VAULT_FILE_DIR": f"/{odd}", "AWS_CONFIG_FILE": f"/{odd}"})
    assert (result.status, result.stdout, result.stderr) == (0, "", "")
    result = untouched.run("exec", "-n", "bare", "--", "printenv", "ODD", env={"ODD": odd})
    assert (result.status, result.stdout) == (0, f"{odd}\n")


def test_a_config_that_is_not_utf_8(full_home):
    """Only the profiles that need such a line fail, and the line is shown with the bytes escaped."""
    lines = full_home.config.read_bytes().count(b"\n")
    more = b"# \xff\n[profile b\xff]\nregion=x\n[profile v]\nregion=\xff\n[profile \xc3\xa9]\nsource_profile=bare\n"
    full_home.config.write_bytes(full_home.config.read_bytes() + more)
    failed(
        full_home.call("export", "v"),
        rf"export: {full_home.config}:{lines + 5} [profile v]: not UTF-8: 'region=\udcff'",
        "correct that line, or begin it with # to leave it out",
    )
    warned(full_home.call("export", "é"))
    result = full_home.call("list", "--profiles")
    assert result.stdout.splitlines()[-3:] == [os.fsdecode(b"b\xff"), "v", "é"]
    warned(
        result,
        rf"{full_home.config}:{lines + 2}: not UTF-8: '[profile b\udcff]'",
        rf"{full_home.config}:{lines + 5}: not UTF-8: 'region=\udcff'",
    )


# Names

ODD = [
    "a/b", "a%2Fb", "%", "100%", "..", ".", "../../x", "a b", "\N{GRINNING FACE}", "\u0645\u0631\u062d\u0628\u0627", "-x",
    "[", "a#b", "a;b", "a=b", "a'b", 'a"b', "\\", "a\\", "$(id)", "a,b,c,1", ".strongroom-x.tmp", "x" * 246, "x" * 255,
]  # fmt: skip


@pytest.mark.parametrize("name", ODD, ids=range(len(ODD)))
def test_odd_names(full_home, cloud, name):
    """A name of any characters that can be stored and written: it is added, listed, used, cleared and removed."""
    assert full_home.call("add", "--env", "--", name, env=KEY).status == 0
    cloud.key(KEY["AWS_ACCESS_KEY_ID"], KEY["AWS_SECRET_ACCESS_KEY"])
    assert name in full_home.call("list", "--profiles").stdout.splitlines()
    assert name in full_home.call("list", "--credentials").stdout.splitlines()
    result = full_home.call("export", "--format=json", "-n", "--", name)
    assert result.json()["AccessKeyId"] == KEY["AWS_ACCESS_KEY_ID"]
    result = full_home.call("export", "--format=json", "--", name)
    assert result.json()["SessionToken"]
    too_long = len(name) > 150  # the names of sessions hold the profile's in base64, and files have 255 bytes
    assert ("the session could not be stored" in result.stderr) is too_long
    assert result.stderr.count("\n") == too_long
    cleared = full_home.call("clear", "--", name)
    assert cleared.stdout == f"Cleared {int(not too_long)} sessions.\n"
    assert full_home.call("remove", "-f", "--", name).status == 0
    assert full_home.item_names() == ["bare", "jon"]


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\x1b[31mb", "\x7f", " a ", "a]b", "a`b", "\u2028"])
def test_names_that_no_config_can_hold(untouched, name):
    """Refused before anything is stored; the line that says so is one line and moves no cursor."""
    failed(
        untouched.call("add", "--env", "--", name, env=KEY),
        f"add: the config file {untouched.config} cannot hold section {'profile ' + name!r}: "
        f"{'profile ' + name!r} cannot be the name of a section",
        "use --no-add-config, or another name",
    )
    result = untouched.call("export", "--", name)
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr.isprintable() or result.stderr.replace("\n", "").isprintable()
    assert len(result.stderr.splitlines()) == 2
    assert result.stderr.startswith(
        f"strongroom: error: export: profile {name!r} not found in {untouched.config} and no stored credentials"
    )


@posix
def test_a_name_with_a_line_break_in_the_store(full_home):
    """Without a section it can be stored, and all of what shows it stays what it is."""
    assert full_home.call("add", "--env", "--no-add-config", "a\nb", env=KEY).status == 0
    assert full_home.call("export", "--format=json", "-n", "a\nb").json()["AccessKeyId"] == KEY["AWS_ACCESS_KEY_ID"]
    assert full_home.call("list", "--json").json()["credentials"] == ["a\nb", "bare", "jon"]
    failed(
        full_home.call("export", "-n", "--format=ini", "a\nb"),
        "export: a value or the profile's name holds a line break, which an INI file cannot keep",
    )
    assert full_home.call("remove", "-f", "a\nb").status == 0
    assert full_home.item_names() == ["bare", "jon"]


def test_a_name_of_three_hundred_characters(untouched):
    """Longer than a file's name can be: said, with both lengths."""
    name = "x" * 300
    failed(
        untouched.call("add", "--env", name, env=KEY),
        f"add: cannot store item {name!r} in {untouched.keys}: its file name would have 300 bytes, "
        "and a file system takes 255",
    )
    failed(
        untouched.call("export", name),
        f"export: profile {name!r} not found in {untouched.config} and no stored credentials exist for it",
        f"store a key with `strongroom add {name}`",
    )


# Profiles that lead nowhere


@pytest.mark.parametrize(
    ("sections", "message", "hint"),
    [
        ("[profile x]\nsource_profile = y\nrole_arn = {RO}\n[profile y]\nsource_profile = x\n",
         "loop detected in config file for profile 'x': source_profile leads x -> y -> x", ""),
        ("[profile x]\ninclude_profile = y\n[profile y]\ninclude_profile = x\n",
         "loop detected in config file for profile 'x': include_profile leads x -> y -> x", ""),
        ("[profile x]\nsource_profile = gone\nrole_arn = {RO}\n", "profile gone: credentials missing",
         "store a key with `strongroom add gone`, or correct source_profile of 'x' ({path}:{line} [profile x])"),
        ("[profile x]\nduration_seconds = abc\nsource_profile = bare\nrole_arn = {RO}\n",
         "{path}:{line} [profile x]: duration_seconds: invalid duration 'abc', for example 1h30m", ""),
        ("[profile x]\nduration_seconds = 60\nsource_profile = bare\nrole_arn = {RO}\n",
         "{path}:{line} [profile x]: duration_seconds: 1m0s is not within AWS's 15m0s to 12h0m0s", ""),
        ("[profile x]\nthis means nothing\n",
         "{path}:{line} [profile x]: key-value delimiter not found: 'this means nothing'",
         "correct that line, or begin it with # to leave it out"),
        ("", "profile 'x' not found in {path} and no stored credentials exist for it",
         "store a key with `strongroom add x`"),
    ],
    ids=["sources loop", "includes loop", "no source", "no duration", "too short", "no setting", "no profile"],
)  # fmt: skip
def test_a_profile_that_cannot_be_used(full_home, cloud, sections, message, hint):
    """Named with file and line; no call is made; other profiles, and `list`, do not mind."""
    line = full_home.config.read_text().count("\n") + 2
    full_home.write_config(full_home.config.read_text() + sections.format(RO=RO))
    before = contents(full_home)
    for argv in (("export", "x"), ("exec", "x", "--", "true"), ("explain", "x")):
        shown = {"path": full_home.config, "line": line}
        failed(full_home.call(*argv), f"{argv[0]}: {message.format(**shown)}", hint.format(**shown))
    assert cloud.calls == []
    assert contents(full_home) == before
    assert full_home.call("list").status == 0
    assert full_home.call("export", "ro").status == 0


@pytest.mark.parametrize(
    ("words", "message", "status"),
    [
        (("-d", "abc", "ro"), "-d: invalid duration 'abc', for example 1h30m, try --help", 2),
        (("-d", "10s", "ro"), "--duration: 10s is not within AWS's 15m0s to 12h0m0s", 1),
        (("-d", "13h", "ro"), "--duration: 13h0m0s is not within AWS's 15m0s to 12h0m0s", 1),
        (("-d", "37h", "bare"), "--duration: 37h0m0s is not within AWS's 15m0s to 36h0m0s", 1),
    ],
)
def test_durations_out_of_range(untouched, cloud, words, message, status):
    """The flag, the value and AWS's limits, before AWS is asked."""
    failed(untouched.call("export", *words), f"export: {message}", status=status)
    assert cloud.calls == []


# Our own settings


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("x = ", "Invalid value (at end of document)", 'the file is TOML: key = "value"'),
        ("nope = 1", "unknown key 'nope'", "known are " + ", ".join(SETTINGS)),
        ('backend = "fil"', f"backend: must be one of {STORES}, got 'fil'", ""),
        ("backend = true", f"backend: must be one of {STORES}, got 'true'", ""),
        ("backend = [1]", "backend: expected a text, a number, true or false, got [1]", ""),
        ("file_iterations = 5", "file_iterations: expected a number from 8192 to 1300000, got '5'", ""),
        ('lock_wait = "soon"', "lock_wait: invalid duration 'soon', for example 1h30m", ""),
    ],
)
def test_settings_that_make_no_sense(untouched, text, message, hint):
    """File, key and value; what needs no settings works."""
    path = untouched.path / "xdg-config" / "strongroom" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    failed(untouched.call("export", "ro", env={"AWS_VAULT_BACKEND": None}), f"export: {path}: {message}", hint)
    assert untouched.call("version").status == 0
    assert untouched.call("help", "export").status == 0


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("STRONGROOM_BACKEND", "x", f"must be one of {STORES}, got 'x'"),
        ("STRONGROOM_FILE_ITERATIONS", "x", "expected a number from 8192 to 1300000, got 'x'"),
        ("STRONGROOM_LOCK_WAIT", "5", "missing unit in duration '5', for example 5s or 1h30m"),
        ("STRONGROOM_LOCK_WAIT", "-5s", "expected 0 or more, got '-5s'"),
        ("AWS_VAULT_BACKEND", "nowhere", f"must be one of {STORES}, got 'nowhere'"),
    ],
)
def test_variables_that_make_no_sense(untouched, cloud, variable, value, message):
    """The variable, its value, and what it may be: exit 2, as for a flag."""
    failed(
        untouched.call("export", "ro", env={variable: value}), f"export: {variable}: {message}, try --help", status=2
    )
    assert cloud.calls == []
