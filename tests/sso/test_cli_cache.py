import hashlib
import json
import os
import sys

import pytest
from botocore.utils import JSONFileCache, SSOTokenLoader

from fakes.identity_center import START_URL
from sso.surroundings import profile
from strongroom import durable
from strongroom.errors import KeystoreError, StrongroomError
from strongroom.keystore.memory import MemoryKeystore
from strongroom.own_items import OwnItems
from strongroom.sso.cli_cache import LIMIT_BYTES, MARK, CliCache
from strongroom.sso.session import Session
from strongroom.sso.token import Token

ENDS = 1_900_000_000
SHOWN = "2030-03-17T17:46:40Z"


@pytest.fixture
def own():
    return OwnItems(MemoryKeystore())


@pytest.fixture
def cache(tmp_path, own):
    return CliCache(str(tmp_path), own, lock_directory=str(tmp_path / "locks"), command="strongroom exec dev")


@pytest.fixture
def session(center):
    return Session.of(profile(center, START_URL))


def everything(_start_url):
    return True


def files(cache):
    """Path below ~/.aws -> content of all that is there."""
    top = os.path.dirname(os.path.dirname(cache.directory))
    found = {}
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, top)] = file.read()
    return found


def put(path, content=b'{"accessToken": "theirs", "expiresAt": "2030-01-01T00:00:00Z"}'):
    """A file of another program's."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
    return path


def test_what_is_left(cache, session):
    """Four members, no more; under the name by which the AWS CLI looks for the session; nothing else is left over."""
    assert cache.write(session, Token("access-1", ENDS))
    name = hashlib.sha1(b"corp").hexdigest() + ".json"
    assert cache.path(session) == os.path.join(cache.directory, name)
    [(path, content)] = files(cache).items()
    assert path == os.path.join("sso", "cache", name)
    assert json.loads(content) == {
        "startUrl": START_URL, "region": "eu-west-1", "accessToken": "access-1", "expiresAt": SHOWN,
    }  # fmt: skip


def test_the_older_form(cache, center):
    """A profile without a session is looked for by its start URL."""
    session = Session.of(profile(center, START_URL, session=""))
    assert os.path.basename(cache.path(session)) == hashlib.sha1(START_URL.encode()).hexdigest() + ".json"


@pytest.mark.parametrize("name", ["corp", ""])
def test_botocore_finds_it(cache, center, name):
    """By its own loader, which every program with botocore uses."""
    cache.write(Session.of(profile(center, START_URL, session=name)), Token("access-1", ENDS))
    load = SSOTokenLoader(JSONFileCache(cache.directory))
    found = load(START_URL, name or None)
    assert (found["accessToken"], found["expiresAt"]) == ("access-1", SHOWN)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_modes(cache, session):
    """The file and the directories that were missing are ours alone; a directory that was there stays as it was."""
    os.makedirs(os.path.dirname(cache.directory), mode=0o755)
    cache.write(session, Token("access-1", ENDS))
    modes = [os.stat(path).st_mode & 0o777 for path in (cache.path(session), cache.directory)]
    assert modes == [0o600, 0o700]
    assert os.stat(os.path.dirname(cache.directory)).st_mode & 0o777 == 0o755


def test_again(cache, session, own, monkeypatch):
    """What is there already is not written again; another token takes its place, and leaves one mark."""
    cache.write(session, Token("access-1", ENDS))
    with monkeypatch.context() as patch:
        patch.setattr(durable, "replace", None)
        assert cache.write(session, Token("access-1", ENDS))
    assert cache.write(session, Token("access-2", ENDS))
    assert json.loads(files(cache).popitem()[1])["accessToken"] == "access-2"
    assert len(own.names(MARK)) == 1


def test_marks_tell_nothing(cache, session, own):
    """Names of items are not encrypted."""
    cache.write(session, Token("access-1", ENDS))
    [mark] = own.names(MARK)
    assert "access-1" not in mark
    assert len(mark) == 32 + 1 + 64
    assert own.get(MARK, mark) == {"path": cache.path(session)}


@pytest.mark.parametrize("content", [b'{"accessToken": "theirs"}', b"", b"\xff junk", b"[]", b"[" * 100_000])
def test_what_others_wrote(cache, session, content):
    """It is neither overwritten nor removed, whatever it is."""
    path = put(cache.path(session), content)
    assert cache.is_foreign(session)
    assert not cache.write(session, Token("access-1", ENDS))
    assert cache.remove(everything) == 0
    assert files(cache) == {os.path.relpath(path, os.path.dirname(os.path.dirname(cache.directory))): content}
    assert cache.lasts_until(session) is None


def test_what_others_made_of_ours(cache, session):
    """A file that the AWS CLI has written since is the AWS CLI's."""
    cache.write(session, Token("access-1", ENDS))
    assert not cache.is_foreign(session)
    put(cache.path(session))
    assert cache.is_foreign(session)
    assert cache.lasts_until(session) == 1_893_456_000
    assert not cache.write(session, Token("access-2", ENDS))
    assert cache.remove(everything) == 0
    assert os.path.exists(cache.path(session))


def test_nothing_there(cache, session):
    """Nobody's, and good for nothing."""
    assert not cache.is_foreign(session)
    assert cache.lasts_until(session) is None
    assert cache.remove(everything) == 0


@pytest.mark.parametrize("kind", ["link", "directory", "pipe", "large"])
def test_what_is_no_plain_file(cache, session, tmp_path, kind):
    """A link, of ours or not, a directory and a pipe are somebody's, and nobody waits for what is in them."""
    path = cache.path(session)
    cache.write(session, Token("access-1", ENDS))
    if kind == "link":
        os.rename(path, tmp_path / "elsewhere")
        os.symlink(tmp_path / "elsewhere", path)
    elif kind == "large":
        put(path, b" " * (LIMIT_BYTES + 1))
    else:
        os.unlink(path)
        if kind == "pipe" and sys.platform == "win32":
            pytest.skip("Windows has no pipes in directories")
        os.mkdir(path) if kind == "directory" else os.mkfifo(path)
    assert cache.is_foreign(session)
    assert not cache.write(session, Token("access-2", ENDS))
    assert cache.remove(everything) == 0
    assert os.path.lexists(path)


def test_removed(cache, center, own):
    """Those that are meant, by their start URLs; other files, and other kinds, stay."""
    sessions = [Session.of(profile(center, url, session=name)) for url, name in
                ((START_URL, "corp"), (START_URL, ""), ("https://other.example/start", "other"))]  # fmt: skip
    for session in sessions:
        cache.write(session, Token("access-1", ENDS))
    theirs = put(os.path.join(cache.directory, "botocore-client-id-eu-west-1.json"))
    assert cache.remove(lambda url: url == START_URL) == 2
    assert sorted(os.listdir(cache.directory)) == sorted(map(os.path.basename, (cache.path(sessions[2]), theirs)))
    assert len(own.names(MARK)) == 1
    assert cache.remove(everything) == 1
    assert own.names(MARK) == []
    assert os.listdir(cache.directory) == [os.path.basename(theirs)]


def test_a_crash(cache, session, monkeypatch):
    """Between the mark and the file: nothing is there, and what is written afterwards is ours."""

    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(durable, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            cache.write(session, Token("access-1", ENDS))
    assert files(cache) == {}
    assert cache.write(session, Token("access-2", ENDS))
    assert cache.remove(everything) == 1


def test_no_mark_no_file(cache, session, monkeypatch):
    """What could not be known as ours again is not written."""

    def refuse(*_):
        raise KeystoreError("the store is read-only")

    monkeypatch.setattr(OwnItems, "put", refuse)
    with pytest.raises(KeystoreError, match="read-only"):
        cache.write(session, Token("access-1", ENDS))
    assert files(cache) == {}


def test_no_directory(cache, session):
    """A file stands where the directory should be: said with the path."""
    put(os.path.dirname(os.path.dirname(cache.directory)), b"")
    with pytest.raises(StrongroomError) as caught:
        cache.write(session, Token("access-1", ENDS))
    assert caught.value.message.startswith(f"cannot write {cache.path(session)}: ")


def test_cannot_be_removed(cache, session, center, monkeypatch):
    """The others go all the same; which one stays is said, for a token is in it."""
    other = Session.of(profile(center, START_URL, session=""))
    for each in (session, other):
        cache.write(each, Token("access-1", ENDS))
    unlink = os.unlink

    def refuse(path, **more):
        if path == cache.path(session):
            raise PermissionError(13, "Permission denied", path)
        unlink(path, **more)

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(StrongroomError) as caught:
        cache.remove(everything)
    assert caught.value.message == f"cannot remove {cache.path(session)}: Permission denied"
    assert os.listdir(cache.directory) == [os.path.basename(cache.path(session))]


def test_other_homes(tmp_path, session, own):
    """One keystore, two homes: each knows its own files."""
    caches = [CliCache(str(tmp_path / home), own, lock_directory=str(tmp_path / "locks"), command="x") for home in "ab"]
    for each in caches:
        each.write(session, Token("access-1", ENDS))
    assert caches[0].remove(everything) == 1
    assert not caches[1].is_foreign(session)
    assert caches[1].remove(everything) == 1
