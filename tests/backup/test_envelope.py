"""What is around a backup: age's format, in which each trouble has its own words."""

import base64

import pyrage
import pytest

from harness import age
from strongroom.backup import envelope
from strongroom.backup.archive import BackupError
from strongroom.errors import UsageError

ME, OTHER = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
SEALED = envelope.seal(b"content" * 100, [ME.to_public()])
PATH = "vault.age"
DAMAGED = "vault.age is cut short or damaged"


LOCKED = age.seal_by_passphrase(b"content", "pass word")


def refused(call, *args):
    with pytest.raises(BackupError) as caught:
        call(*args, PATH)
    return caught.value.message


def test_for_several():
    """Any one of the keys opens it."""
    sealed = envelope.seal(b"x", [ME.to_public(), OTHER.to_public()])
    assert not envelope.wants_passphrase(sealed, PATH)
    assert [envelope.open_by_identities(sealed, [each], PATH) for each in (ME, OTHER)] == [b"x", b"x"]


def test_for_somebody_else():
    """No damage, and what to do."""
    assert refused(envelope.open_by_identities, SEALED, [OTHER]) == (
        "vault.age is encrypted for somebody else than this identity"
    )


def test_under_a_passphrase():
    """It, and no other; damage is told from a wrong one where it can be."""
    assert envelope.wants_passphrase(LOCKED, PATH)
    assert envelope.open_by_passphrase(LOCKED, "pass word", PATH) == b"content"
    assert envelope.open_by_passphrase(LOCKED, "password", PATH) is None
    assert envelope.open_by_passphrase(LOCKED, "\udcff", PATH) is None
    assert refused(envelope.open_by_passphrase, LOCKED[:-1], "pass word") == DAMAGED


def test_what_is_written():
    """A passphrase takes a second or so to try, which is why this is the one test that writes such a file."""
    sealed = envelope.seal_by_passphrase(b"content", "pass word")
    assert envelope.wants_passphrase(sealed, PATH)
    assert int(sealed.splitlines()[1].split()[-1]) >= 14  # the logarithm of scrypt's cost


def test_a_passphrase_that_is_no_text():
    """age takes none."""
    with pytest.raises(UsageError, match="not UTF-8, and age takes only text"):
        envelope.seal_by_passphrase(b"x", "\udcff")


def test_cut_short():
    """Anywhere: in the header, in the content, in the last byte."""
    for length in (len(envelope.BINARY), 60, len(SEALED) - 700, len(SEALED) - 1):
        assert refused(envelope.open_by_identities, SEALED[:length], [ME]) == DAMAGED


def test_changed():
    """A bit of the content, one of the header."""
    for at in (len(SEALED) - 30, len(envelope.BINARY) + 30):
        changed = bytearray(SEALED)
        changed[at] ^= 1
        with pytest.raises(BackupError):
            envelope.open_by_identities(bytes(changed), [ME], PATH)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "it is empty"), (b"hello", "it is not encrypted by age"), (b"age-encryption.org/v2\n", "it is not encrypted by age")],
)  # fmt: skip
def test_something_else(content, reason):
    """Said before anybody is asked for anything."""
    assert refused(envelope.wants_passphrase, content) == f"vault.age is no backup: {reason}"
    assert not envelope.is_sealed(content)


def test_in_armour():
    """What `age -a` writes is opened too."""
    armour = b"%s\n%s-----END AGE ENCRYPTED FILE-----\n" % (envelope.ARMOUR, base64.encodebytes(LOCKED))
    for armoured, wanted in ((pyrage.encrypt(b"x", [ME.to_public()], armored=True), False), (armour, True)):
        assert envelope.is_sealed(armoured)
        assert envelope.wants_passphrase(armoured, PATH) is wanted
    assert refused(envelope.wants_passphrase, envelope.ARMOUR + b"\n?\n") == (
        "vault.age is no backup: it is not encrypted by age"
    )
