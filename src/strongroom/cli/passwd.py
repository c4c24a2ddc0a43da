"""``passwd``: another passphrase for the file keystore."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom.cli import passphrase, rekeying
from strongroom.cli.flags import Flag
from strongroom.cli.terminal import answer
from strongroom.errors import KeystoreError
from strongroom.keystore.rekeying import commit, finish, prepare

if TYPE_CHECKING:
    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings
    from strongroom.keystore.file import FileKeystore

FLAGS = (Flag("resume", "finish a change that was interrupted, and begin none"),)
WORDS: tuple[str, ...] = ()
RUNS = False

VARIABLE = "AWS_VAULT_FILE_PASSPHRASE"
# While this runs, others may write items under the former passphrase: so often what is new is changed too.
ROUNDS = 5


def run(arguments: Arguments, settings: Settings) -> int:
    """Ask for the new passphrase, and put every item under it."""
    stores = rekeying.stores(settings)
    with rekeying.alone(settings, stores):
        finish(stores)  # opening the store has done so, unless it could not
        if not arguments.on("resume"):
            return _change(settings, stores)
    answer("Nothing is left to finish.\n")
    return 0


def _change(settings: Settings, stores: list[FileKeystore]) -> int:
    with_items = [store for store in stores if store.file_names()]
    if not with_items:
        raise KeystoreError(
            f"{stores[0].location} is empty, so it has no passphrase yet", "the first `add` asks for one"
        )
    former = with_items[0].passphrase()
    new = passphrase.ask(
        settings,
        f'Enter a new passphrase to protect "{stores[0].location}": ',
        confirm=True,
        what="a new passphrase",
        instead="run it in a terminal",
    ).encode("utf-8", "surrogateescape")
    iterations = int(str(settings.get("file_iterations")))
    done = 0
    for _ in range(ROUNDS):
        plan = prepare(stores, former, new, iterations=iterations)
        if not plan.moves or (done and former == new):
            break
        commit(stores, plan.moves)
        done += finish(stores)
    for key in plan.left:
        settings.talk.warn(f"item {key!r} is damaged, or under another passphrase: left as it is")
    answer(f"Changed the passphrase of {rekeying.items(done)}.\n")
    if settings.inherited.get(VARIABLE) is not None:
        settings.talk.warn(f"{VARIABLE} holds the former passphrase: change it where it is set")
    return 0
