"""What an SDK would take before it asks a server for credentials, or even instead of it.

The AWS config and credentials files come first in every SDK's order:
https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from strongroom import ini
from strongroom.cli import text_file
from strongroom.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from strongroom.cli.settings import Settings

# Each of these makes the section a source of credentials.
_SOURCES = (
    "aws_access_key_id",
    "credential_process",
    "role_arn",
    "sso_session",
    "sso_start_url",
    "web_identity_token_file",
    "login_session",
)
_NAME = "default"


def of(settings: Settings, variables: Mapping[str, str]) -> Iterator[str]:
    """What stands before a server, in words.

    Args:
        settings: Where the files are.
        variables: The environment of the SDK's program, which names no profile.
    """
    credentials = variables.get("AWS_SHARED_CREDENTIALS_FILE") or settings.expand("~/.aws/credentials")
    config = variables.get("AWS_CONFIG_FILE") or settings.expand("~/.aws/config")
    for path in dict.fromkeys((credentials, config)):
        keys = _sources(os.path.expanduser(path))
        if keys:
            yield (
                f"SDKs take what [{_NAME}] in {path} says ({keys[0]}) before they ask a server: "
                "give that section another name, or use exec without a server"
            )


def _sources(path: str) -> list[str]:
    if not os.path.isfile(path):
        return []  # such as a pipe, which can be read once
    try:
        section = ini.Document(ini.decode(text_file.read(path)), path).section(_NAME)
    except (OSError, ConfigError, ValueError):
        return []  # whoever needs the file says so
    return [key for key in _SOURCES if section is not None and section.entries.get(key)]
