"""``doctor``: say where keys are kept and why there, how you can be asked, which files are read, and what is wrong.

Nothing is changed, nobody is asked for anything, and no secret is opened; except with ``--reset``, which see
(`strongroom.cli.reset`).
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

from strongroom import __version__, profiles, prompt
from strongroom.cli import choice, environment, reset
from strongroom.cli.flags import Flag
from strongroom.cli.setting import SETTINGS
from strongroom.cli.terminal import answer
from strongroom.credentials import go_json
from strongroom.errors import StrongroomError, UsageError
from strongroom.keystore import KEYSTORES
from strongroom.sso import reach

if TYPE_CHECKING:
    from collections.abc import Iterator

    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings

FLAGS = (
    Flag("json", "the same, as JSON"),
    Flag("reset", "the passphrase of the file keystore is forgotten: set its files aside, and begin anew"),
    Flag("yes", "--reset: do not ask", short="y"),
)
WORDS: tuple[str, ...] = ()
RUNS = False

NOT_LOOKED_AT = "is used when it is named; not looked at"


def run(arguments: Arguments, settings: Settings) -> int:
    """Print what was found; 1 if no keystore can be used, or a file cannot be read.

    Raises:
        UsageError: These flags do not go together.
    """
    if arguments.on("reset"):
        if arguments.on("json"):
            raise UsageError("--reset has no answer in JSON")
        return reset.run(arguments, settings)
    if arguments.on("yes"):
        raise UsageError("--yes is for --reset: nothing else is asked")
    stores, in_use = _stores(settings)
    problems = list(_problems(settings, stores, in_use))
    found: dict[str, object] = {
        "version": __version__,
        "python": sys.version.split()[0],
        "platform": sys.platform,
        "keystores": stores,
        "questions": list(_drivers(settings)),
        "browser": _browser(settings),
        "files": _files(settings),
        "problems": problems,
    }
    if arguments.on("json"):
        answer(go_json(found, indent=2) + "\n")
    else:
        answer("\n".join(_text(found)) + "\n")
    return 1 if problems else 0


# Keystores


def _stores(settings: Settings) -> tuple[list[dict[str, object]], str]:
    """What is known of each store, and the name of the one that is used, or nothing."""
    named = str(settings.get("backend"))
    looked = {each.name: each for each in choice.looks(settings, asks=False)}
    if named and named not in looked:
        looked = {named: choice.look(settings, named, asks=False)} | looked
    usable = [each for each in looked.values() if each.keystore is not None]
    with_keys = [each for each in usable if each.keys != 0]
    in_use = named or next((each.name for each in [*with_keys, *usable]), "")
    if not named and in_use:
        why = "there are keys in it" if looked[in_use].keys != 0 else "it is the first that can be used here"
    else:
        why = settings.origin("backend") if named else ""
    rows: list[dict[str, object]] = []
    for name in dict.fromkeys([*looked, *KEYSTORES]):
        row: dict[str, object] = {"name": name, "used": name == in_use}
        if name not in looked:
            row |= {"usable": None, "told": NOT_LOOKED_AT}
        elif (store := looked[name].keystore) is None:
            row |= {"usable": False, "told": looked[name].reason}
        else:
            row |= {"usable": True, "location": store.location, "keys": looked[name].keys, "told": ""}
            row["warnings"] = list(store.warnings)
        if row["used"]:
            row["why"] = why
        rows.append(row)
    return rows, in_use


def _drivers(settings: Settings) -> Iterator[dict[str, object]]:
    """Who could ask."""
    wanted = str(settings.get("prompt"))
    place = prompt.Place(environment.of_helper(settings.inherited), title=settings.talk.program)
    for name in prompt.DRIVERS:
        reason = prompt.absent(name, place)
        yield {"name": name, "used": wanted == name, "usable": not reason, "told": reason}


def _browser(settings: Settings) -> str:
    """Why none of this machine can be used to sign in; empty if one may be."""
    return reach.why_not(settings.inherited, platform=sys.platform, find=shutil.which)


def _files(settings: Settings) -> dict[str, object]:
    own = settings.settings_path()
    return {
        "config": settings.config_path,
        "config_exists": os.path.exists(settings.config_path),
        "profiles": len(_names(settings)),
        "settings": own,
        "settings_exists": os.path.exists(own),
        "locks": settings.lock_directory(),
    }


def _names(settings: Settings) -> tuple[str, ...]:
    try:
        return profiles.names(settings.document())
    except StrongroomError:
        return ()


def _problems(settings: Settings, stores: list[dict[str, object]], in_use: str) -> Iterator[str]:
    used = next((row for row in stores if row["name"] == in_use), None)
    if used is None:
        yield "no keystore can be used here"
    elif not used["usable"]:
        yield f"the keystore {in_use!r}, which {used.get('why')} names, cannot be used: {used['told']}"
    try:
        for mistake in settings.document().mistakes():
            yield f"{settings.config_path}:{mistake.line}: {mistake.reason}"
    except StrongroomError as error:
        yield error.message
    for key in SETTINGS:
        try:
            settings.get(key)
        except StrongroomError as error:
            yield error.message


# As text


def _text(found: dict[str, object]) -> Iterator[str]:
    files, browser = found["files"], found["browser"]
    assert isinstance(files, dict)  # noqa: S101 - made above
    yield f"strongroom {found['version']}, Python {found['python']}, {found['platform']}"
    yield ""
    yield "Keystores:"
    yield from _table(found["keystores"], _store)
    yield ""
    yield "Who can ask you:"
    yield from _table(found["questions"], lambda row: str(row["told"]) or "can be used")
    yield ""
    yield "Signing in to IAM Identity Center: " + (f"with a code, because {browser}" if browser else "in a browser")
    yield ""
    yield "Files:"
    there = f"{files['profiles']} profiles" if files["config_exists"] else "missing, which is as good as empty"
    yield f"   config    {files['config']}: {there}"
    yield f"   settings  {files['settings']}: {'there' if files['settings_exists'] else 'missing; defaults hold'}"
    yield f"   locks     {files['locks']}"
    problems = found["problems"]
    assert isinstance(problems, list)  # noqa: S101 - made above
    yield ""
    yield "Problems:" if problems else "No problems."
    for problem in problems:
        yield f"   {problem}"


def _table(rows: object, told: object) -> Iterator[str]:
    assert isinstance(rows, list)  # noqa: S101 - made above
    assert callable(told)  # noqa: S101 - as above
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        yield f" {'*' if row['used'] else ' '} {row['name'].ljust(width)}  {told(row)}"
        for warning in row.get("warnings", ()):
            yield f"   {' ' * width}  {warning}"


def _store(row: dict[str, object]) -> str:
    keys = "not counted, for that it may have to be unlocked" if row.get("keys") is None else f"{row['keys']} keys"
    text = f"{row['location']}: {keys}" if row["usable"] else str(row["told"])
    return text + (f" (used: {row['why']})" if row["used"] else "")
