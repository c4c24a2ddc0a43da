"""What every keystore must do: its test module inherits one of these classes and gives it the fixtures it asks for.

`KeystoreContract` is for all; `SharedKeystoreContract` for those that several processes see at once, which is every store
that outlives a process.
"""

import subprocess
import sys
import time

import pytest

from strongroom.errors import ItemNotFound, KeystoreError
from strongroom.keystore import Item

# Names that profiles, device serials, portals and people come up with.
KEYS = [
    "jon",
    "team/dev 100%",
    "a%2Fb",
    "a%2fb",
    "a/b",
    "%",
    "%%2",
    ".",
    "..",
    "../../etc/passwd",
    "/absolute",
    "trailing/",
    " blanks at both ends ",
    "ends with a dot.",
    ".hidden",
    ".strongroom-0123456789abcdef.tmp",
    "-rf",
    "new\nline",
    "tab\tand\rreturn",
    'it\'s "quoted" `and` $HOME \\ more',
    "CON",
    "nul.txt",
    "a:b,c;d*e?f<g>h|i",
    "\u00fcml\u00e4ut",
    "u\u0308 decomposed",
    "\U0001f511 key",
    "\u202eright to left",
    "oidc:https://corp.example/start",
    "sts.GetSessionToken,am9u,YXJuOmF3czppYW06OjExMTExMTExMTExMTptZmEvam9u,1795315097",
]

VALUES = [b"", b"\0", b"\xff\xfe\x00text", b'{"AccessKeyID":"AKIA"}', bytes(range(256)) * 256]


class KeystoreContract:
    """Needs a fixture ``store``: an open, empty store that needs no human."""

    # The longest data that the store takes, if it has such a limit; more is refused, and the limit named.
    longest_bytes: int | None = None

    def test_a_new_store_is_empty(self, store):
        """Nothing is listed, and nothing has been noticed."""
        assert store.listing() == {}
        assert store.warnings == []

    def test_a_store_says_where_it_is(self, store):
        """The location is a text for people."""
        assert isinstance(store.location, str)
        assert store.location

    def test_any_name_comes_back(self, store):
        """Each name is listed as it was given, all at once, and holds its own data."""
        for number, key in enumerate(KEYS):
            store.set(Item(key, b"data %d" % number))
        assert sorted(store.listing()) == sorted(KEYS)
        assert [store.get(key).data for key in KEYS] == [b"data %d" % number for number in range(len(KEYS))]

    def test_any_name_can_be_removed(self, store):
        """Removing one item leaves the others."""
        for key in KEYS:
            store.set(Item(key, b"data"))
        left = list(KEYS)
        while left:
            store.remove(left.pop())
            assert sorted(store.listing()) == sorted(left)

    @pytest.mark.parametrize("value", VALUES, ids=["empty", "NUL", "not text", "JSON", "64 KB"])
    def test_any_value_comes_back(self, store, value):
        """Data is bytes: nothing is added, trimmed or decoded. Or it is refused, and what was there is there still."""
        if self.longest_bytes is not None and len(value) > self.longest_bytes:
            store.set(Item("jon", b"before"))
            with pytest.raises(KeystoreError, match=f"'jon'.*{self.longest_bytes}"):
                store.set(Item("jon", value))
            assert store.get("jon").data == b"before"
            return
        store.set(Item("jon", value))
        assert store.get("jon").data == value

    def test_an_item_comes_back_whole(self, store):
        """Label, description and the hints for the macOS Keychain are kept too."""
        item = Item("jon", b"data", "aws-vault (jon)", "a key", not_trust_application=True, not_synchronizable=True)
        store.set(item)
        assert store.get("jon") == item

    def test_the_last_write_counts(self, store):
        """Setting an item replaces the one of the same key, whichever is longer."""
        for value in (b"first", b"a much longer second one" * 100, b""):
            store.set(Item("jon", value, label=value[:5].decode()))
            assert (store.get("jon").data, store.get("jon").label) == (value, value[:5].decode())
            assert list(store.listing()) == ["jon"]

    def test_the_listing_tells_when_an_item_was_written(self, store):
        """In epoch seconds, or not at all."""
        before = time.time()
        store.set(Item("jon", b"data"))
        modified = store.listing()["jon"]
        assert modified is None or before - 2 <= modified <= time.time() + 2  # file systems round

    def test_an_item_that_is_missing_cannot_be_opened(self, store):
        """The error names it."""
        store.set(Item("other", b"data"))
        with pytest.raises(ItemNotFound) as caught:
            store.get("no/such")
        assert caught.value.key == "no/such"
        assert "'no/such'" in caught.value.message

    def test_an_item_that_is_missing_cannot_be_removed(self, store):
        """Not even twice in a row."""
        store.set(Item("jon", b"data"))
        store.remove("jon")
        with pytest.raises(ItemNotFound) as caught:
            store.remove("jon")
        assert caught.value.key == "jon"
        with pytest.raises(ItemNotFound):
            store.get("jon")

    def test_nothing_shows_a_secret(self, store):
        """Neither the store nor an item has a repr that gives its data away."""
        store.set(Item("jon", b"do not show"))
        assert "do not show" not in repr(store) + repr(store.get("jon")) + str(store.get("jon"))


class SharedKeystoreContract(KeystoreContract):
    """Needs, besides ``store``, a fixture ``opening``: Python code that opens the same store again, as ``store``."""

    def start(self, opening, code, *words):
        """Start a process that opens the store and runs *code*, in which ``words`` are its words."""
        program = f"import sys\nfrom strongroom.keystore import Item\n{opening}\nwords = sys.argv[1:]\n{code}"
        return subprocess.Popen([sys.executable, "-c", program, *words], stdout=subprocess.PIPE, text=True)

    def test_another_process_sees_what_was_stored(self, store, opening):
        """Stored here, opened there."""
        store.set(Item("jon", b"data", "label"))
        with self.start(
            opening, "item = store.get('jon'); print(item.data, item.label, list(store.listing()))"
        ) as reader:
            assert reader.stdout.read() == "b'data' label ['jon']\n"
        assert reader.returncode == 0

    def test_writers_at_once_lose_nothing(self, store, opening):
        """Processes that write different items at the same time all find them afterwards."""
        store.set(Item("first", b"first"))
        code = "for n in range(5): store.set(Item(f'{words[0]}/{n}', words[0].encode() * 1000))"
        writers = [self.start(opening, code, str(number)) for number in range(4)]
        for writer in writers:
            with writer:
                assert writer.wait() == 0
        keys = [f"{number}/{n}" for number in range(4) for n in range(5)]
        assert sorted(store.listing()) == sorted([*keys, "first"])
        assert all(store.get(key).data == key[0].encode() * 1000 for key in keys)

    def test_a_reader_never_sees_half_an_item(self, store, opening):
        """While others overwrite one item with short and long values, whoever reads it gets one of these, whole."""
        values = [b"short", b"x" * 30_000]
        store.set(Item("jon", values[0]))
        code = "for n in range(20): store.set(Item('jon', (b'short', b'x' * 30_000)[n % 2]))"
        writers = [self.start(opening, code) for _ in range(2)]
        seen = 0
        while any(writer.poll() is None for writer in writers):
            assert store.get("jon").data in values
            assert list(store.listing()) == ["jon"]
            seen += 1
        for writer in writers:
            with writer:
                assert writer.returncode == 0
        assert seen
