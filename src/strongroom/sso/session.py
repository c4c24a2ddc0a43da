"""What a profile signs in to."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from strongroom.aws import sso
from strongroom.errors import ProfileIncomplete

if TYPE_CHECKING:
    from strongroom.aws.client import Endpoint
    from strongroom.profiles import Profile

# What an ``[sso-session]`` asks for when it does not say: to list accounts and to use roles. With a scope, AWS gives a
# refresh token as well: https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-sso.html
DEFAULT_SCOPES = ("sso:account:access",)


@dataclass(frozen=True)
class Session:
    """A sign-in that profiles share.

    Args:
        name: Of the ``[sso-session]``; empty for settings in the profile itself, the older form.
        start_url: Whose Identity Center; also the name of the stored token.
        region: Where that is.
        scopes: What the token may be used for; none in the older form, unless it says so.
        endpoint: Where it is asked.
    """

    name: str
    start_url: str
    region: str
    scopes: tuple[str, ...]
    endpoint: Endpoint

    @classmethod
    def of(cls, profile: Profile) -> Session:
        """The session of *profile*.

        Raises:
            ProfileIncomplete: A setting is missing, or cannot be one.
        """
        for field in ("sso_start_url", "sso_region"):
            if not getattr(profile, field):
                where = f"[sso-session {profile.sso_session}]" if profile.sso_session else "the profile"
                raise ProfileIncomplete(
                    profile.name,
                    field,
                    f"profile {profile.name!r} takes its credentials from IAM Identity Center and has no {field}",
                    f"set {field} in {where}",
                )
        check(profile, "sso_start_url", r"https?://[!-~]+", "no address of the web")
        check(profile, "sso_region", r"[a-z]{2,}(-[a-z0-9]+)+", "no region")
        name = profile.sso_session or ""
        place = profile.places.get("sso_start_url")
        if isinstance(place, tuple) and place[1].name != f"sso-session {name}":
            name = ""  # it is named, and not there
        scopes = profile.sso_registration_scopes or (DEFAULT_SCOPES if name else ())
        return cls(name, profile.sso_start_url or "", profile.sso_region or "", scopes, sso.endpoint(profile))

    def label(self) -> str:
        """A name for what belongs to this session: the start URL, and a short mark of all the rest."""
        return self._marked(self.name)

    def client_label(self, grant: str) -> str:
        """The same for a client, which sessions can share that want the same."""
        return self._marked(grant)

    def _marked(self, what: str) -> str:
        rest = json.dumps([self.region, self.scopes, self.endpoint.url, what])
        return f"{self.start_url} {hashlib.sha256(rest.encode()).hexdigest()[:16]}"


def check(profile: Profile, field: str, pattern: str, what: str) -> None:
    """See that a setting may be what it should be, before AWS is asked, whose answer would not name it.

    Args:
        profile: Whose setting.
        field: Its name.
        pattern: A regular expression for all of it.
        what: What it is otherwise, for the message.

    Raises:
        ProfileIncomplete: It cannot.
    """
    value = getattr(profile, field)
    if not re.fullmatch(pattern, value):
        where = profile.origins.get(field, "the config file")
        raise ProfileIncomplete(
            profile.name, field, f"profile {profile.name!r}: {field} is {value!r} ({where}), which is {what}"
        )
