import os
import sys

import pyrage
import pytest

from harness.identities import age_identity, ssh_key, under_passphrase
from strongroom.errors import ConfigError, KeystoreError, KeystoreLocked, PromptDismissed
from strongroom.keystore import age_keys


def nobody(message, *, confirm):
    raise AssertionError(f"asked {message!r}")


class Human:
    """Types one answer after the other, and remembers the questions."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def __call__(self, message, *, confirm):
        self.asked.append((message, confirm))
        return self.answers.pop(0)


def opens(path, public, ask=nobody):
    """Whether what is encrypted for the public key is opened by the identity."""
    sealed = pyrage.encrypt(b"data", age_keys.recipients([public]))
    return pyrage.decrypt(sealed, age_keys.identities(os.fspath(path), ask)) == b"data"


def test_an_identity_of_its_own(tmp_path):
    """As age-keygen writes it, with its comments."""
    public = age_identity(tmp_path / "key")
    assert age_keys.public(os.fspath(tmp_path / "key")) == [public]
    assert opens(tmp_path / "key", public)


def test_several_identities(tmp_path):
    """Each of a file's counts."""
    keys = [age_identity(tmp_path / "one"), age_identity(tmp_path / "two")]
    both = tmp_path / "both"
    both.write_text((tmp_path / "one").read_text() + "\n" + (tmp_path / "two").read_text())
    assert age_keys.public(os.fspath(both)) == keys
    assert opens(both, keys[0])
    assert opens(both, keys[1])


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_key_of_ssh(tmp_path, kind):
    """Its public half is read from the file itself."""
    public = ssh_key(tmp_path / "key", kind)
    assert age_keys.public(os.fspath(tmp_path / "key")) == [public]
    assert opens(tmp_path / "key", public)


@pytest.mark.parametrize(("kind", "form"), [("ed25519", "openssh"), ("rsa", "openssh"), ("rsa", "pem")])
def test_a_key_of_ssh_with_a_passphrase(tmp_path, kind, form):
    """It is asked for, and again after a typing error; the public half needs none."""
    public = ssh_key(tmp_path / "key", kind, "pass\u00e9", form)
    (tmp_path / "key.pub").write_text(f"{public} jon@laptop\n")
    assert age_keys.public(os.fspath(tmp_path / "key"))[0].split()[:2] == public.split()
    human = Human("wrong", "pass\u00e9")
    assert opens(tmp_path / "key", public, human)
    question = f'nter passphrase for "{tmp_path / "key"}": '
    assert human.asked == [("E" + question, False), ("Wrong passphrase. E" + question, False)]


def test_patience_ends(tmp_path):
    """After the third wrong passphrase; an empty one is one of them."""
    ssh_key(tmp_path / "key", passphrase="pass")
    with pytest.raises(KeystoreLocked) as caught:
        age_keys.identities(os.fspath(tmp_path / "key"), Human("", "a", "b", "pass"))
    assert caught.value.message == f"wrong passphrase for age_identity {os.fspath(tmp_path / 'key')!r}"


def test_a_dismissed_question(tmp_path):
    """Is the human's answer."""
    ssh_key(tmp_path / "key", passphrase="pass")

    def dismiss(message, *, confirm):
        raise PromptDismissed("no")

    with pytest.raises(PromptDismissed):
        age_keys.identities(os.fspath(tmp_path / "key"), dismiss)


def test_an_identity_under_a_passphrase(tmp_path):
    """As ``age -p`` writes a file of identities; its public key has to be told."""
    public = age_identity(tmp_path / "key")
    sealed = tmp_path / "key.age"
    sealed.write_bytes(under_passphrase((tmp_path / "key").read_bytes(), "pass"))
    human = Human("wrong", "pass")
    assert opens(sealed, public, human)
    assert len(human.asked) == 2
    with pytest.raises(KeystoreError) as caught:
        age_keys.public(os.fspath(sealed))
    assert (
        caught.value.message == f"age_identity {os.fspath(sealed)!r} is encrypted, and does not say for whom to encrypt"
    )


@pytest.mark.parametrize(
    ("kind", "passphrase", "told"), [("ecdsa", "", ": ecdsa-sha2-nistp256"), ("ecdsa", "pass", ": ecdsa-sha2-nistp256")]
)
def test_keys_that_age_cannot_use(tmp_path, kind, passphrase, told):
    """Are named by their kind; nobody is asked for a passphrase in vain."""
    ssh_key(tmp_path / "key", kind, passphrase)
    path = os.fspath(tmp_path / "key")
    with pytest.raises(KeystoreError) as caught:
        age_keys.identities(path, nobody)
    assert caught.value.message == f"age_identity {path!r} is a key that age cannot use{told}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds something that is no identity of age's"),
        (b"# nothing\n", "holds something that is no identity of age's"),
        (b"AGE-SECRET-KEY-1DAMAGED\n", "holds something that is no identity of age's"),
        (b"\xff\xfe", "holds something that is no identity of age's"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nx\n-----END", "is a key that age cannot use"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END", "is a key that age cannot use"),
        (b"-----BEGIN SOMETHING-----\nAAAA\n-----END", "is a key that age cannot use"),
    ],
    ids=range(7),
)
def test_files_that_hold_no_identity(tmp_path, content, message):
    """Are told by their name; what they hold is not shown."""
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(KeystoreError) as caught:
        age_keys.identities(os.fspath(path), nobody)
    assert caught.value.message == f"age_identity {os.fspath(path)!r} {message}"
    with pytest.raises(KeystoreError):
        age_keys.public(os.fspath(path))


def test_a_key_that_was_cut_short(tmp_path):
    """Anywhere: it is refused, or it asks, and nothing else happens."""
    ssh_key(tmp_path / "key", passphrase="pass")
    whole = (tmp_path / "key").read_bytes()
    for length in range(0, len(whole) - 2, 7):
        (tmp_path / "key").write_bytes(whole[:length])
        with pytest.raises(KeystoreError):
            age_keys.identities(os.fspath(tmp_path / "key"), lambda message, *, confirm: "wrong")


def test_a_file_that_cannot_be_read(tmp_path):
    """Says which, and how to come by one."""
    path = os.fspath(tmp_path / "none")
    with pytest.raises(KeystoreError) as caught:
        age_keys.identities(path, nobody)
    assert caught.value.message == f"cannot read age_identity {path!r}: no such file or directory"
    assert caught.value.hint.startswith("`age-keygen -o FILE` makes an identity")


def test_a_file_that_is_too_large(tmp_path):
    """Is none of keys."""
    (tmp_path / "big").write_bytes(bytes(age_keys.LIMIT_BYTES + 1))
    with pytest.raises(KeystoreError, match="has more than 1048576 bytes"):
        age_keys.identities(os.fspath(tmp_path / "big"), nobody)


def test_an_old_key_of_ssh_without_its_public_half(tmp_path):
    """The hint makes the file."""
    ssh_key(tmp_path / "key", "rsa", form="pem")
    path = os.fspath(tmp_path / "key")
    with pytest.raises(KeystoreError) as caught:
        age_keys.public(path)
    assert caught.value.message == f"cannot tell the public key of age_identity {path!r}"
    assert caught.value.hint == f"ssh-keygen -y -f {path} > {path}.pub"


def test_recipients_by_name(tmp_path):
    """With commas between them, or one a line in a file, as ``age -R`` takes it."""
    one, two = age_identity(tmp_path / "one"), ssh_key(tmp_path / "two")
    assert age_keys.named_recipients(f"{one}, {two} jon@laptop,") == [one, f"{two} jon@laptop"]
    (tmp_path / "list").write_text(f"# ours\n{one}\n\n  {two}\n")
    assert age_keys.named_recipients(os.fspath(tmp_path / "list")) == [one, two]
    assert len(age_keys.recipients([one, two])) == 2
    with pytest.raises(KeystoreError, match=r"cannot read age_recipients '.*none': no such file"):
        age_keys.named_recipients(os.fspath(tmp_path / "none"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [("age1nobody", ": 'age1nobody'"), ("ssh-ed25519 AAAA", ": 'ssh-ed25519 AAAA'"), ("AGE-SECRET-KEY-1X", "")],
)
def test_what_is_no_recipient(text, shown):
    """Is quoted, unless it may be a secret."""
    with pytest.raises(ConfigError) as caught:
        age_keys.recipients([text])
    assert caught.value.message == f"age_recipients holds something that is no recipient{shown}"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_a_file_that_others_may_read(tmp_path):
    """Is noticed."""
    age_identity(tmp_path / "key")
    assert not age_keys.is_loose(os.fspath(tmp_path / "key"))
    (tmp_path / "key").chmod(0o640)
    assert age_keys.is_loose(os.fspath(tmp_path / "key"))


def test_the_stand_in_for_a_passphrase_file(tmp_path):
    """What the tests write by themselves, age's own library reads."""
    assert pyrage.passphrase.decrypt(under_passphrase(b"data", "pass"), "pass") == b"data"
