"""Who asks, and what they may have.

Without declared clients the one token opens everything. With them each has a token of its own, or is known by the user
id of its processes on the Unix socket, and may read what its patterns name and nothing else.

A pattern is compared with the whole text, and case counts. ``*`` stands for any number of characters but ``:``, so that
no star in an ARN reaches into the next field, and ``?`` for one such character; nothing else is special. There are
three kinds:

- ``prod/*``: names of secrets, in every account and region that the agent's own credentials reach.
- ``arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/*``: their ARNs. The hyphen and six characters that AWS
  appends to the name belong to the ARN; a pattern may leave them out, or end in ``-??????``. As in IAM, one that ends
  in ``db-*`` fits ``db-old`` too. Parameters may be given by ARN as well.
- ``ssm:/app/*``: names of parameters. ``/aws/reference/secretsmanager/NAME`` is the secret NAME, whatever fits it here.

A check has two halves: the id as it was sent decides whether AWS is asked at all (`Client.allows`), name and ARN of
what AWS answered decide whether that is handed out (`Client.allows_record`). An id that may mean something allowed
passes the first half; only what is itself allowed passes the second.
"""

from __future__ import annotations

import hmac
import re

from strongroom.agent.config import ClientRule
from strongroom.agent.token import TokenError
from strongroom.errors import ConfigError
from strongroom.patterns import compiled, fits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from strongroom.agent.config import Config

PARAMETER = "ssm:"
"""Stands before the name of a parameter, in patterns and in ids; no name of a secret has a colon."""

_ARN = "arn:"

# https://docs.aws.amazon.com/systems-manager/latest/userguide/integration-ps-secretsmanager.html
_REFERENCE = "/aws/reference/secretsmanager/"

# What AWS appends to a secret's name in its ARN, and how a pattern may write it.
_SOME_SUFFIX = "-000000"
_SUFFIX = re.compile(r"-[A-Za-z0-9]{6}\Z")
_SUFFIX_PATTERN = re.compile(r"-(?:\*|[A-Za-z0-9?]{6})\Z")

# Decisions are remembered, so that a hit costs a look into a dictionary: so many, for ids of at most this length.
_KEPT_DECISIONS = 4096
_KEPT_CHARACTERS = 512


class Client:
    """One who may ask.

    Attributes:
        name: As the log shows it.
        uid: The user id that makes it known on the Unix socket, or None.
        unrestricted: Whether it may have everything.
    """

    __slots__ = (
        "_asked",
        "_decisions",
        "_full",
        "_implied",
        "_names",
        "_parameters",
        "_roles",
        "_short",
        "name",
        "uid",
        "unrestricted",
    )

    def __init__(self, rule: ClientRule, *, unrestricted: bool = False) -> None:
        arns = [pattern for pattern in rule.secrets if pattern.startswith(_ARN)]
        parameters = [pattern for pattern in rule.secrets if pattern.startswith(PARAMETER)]
        names = [pattern for pattern in rule.secrets if not pattern.startswith((_ARN, PARAMETER))]
        # A pattern without the six characters means a secret as surely as its name does. One that ends in a hyphen and
        # six characters could be meant either way; it is taken at its word.
        short = [pattern for pattern in arns if not _SUFFIX_PATTERN.search(pattern)]
        self.name = rule.name
        self.uid = rule.uid
        self.unrestricted = unrestricted
        self._names = compiled(names)
        self._full = compiled(arns)
        self._short = compiled(short)
        self._parameters = compiled(pattern.removeprefix(PARAMETER) for pattern in parameters)
        # The first half of a check: what an ARN that was sent is compared with, and what a name besides.
        self._asked = compiled([*rule.secrets, *(_SUFFIX_PATTERN.sub("", pattern) for pattern in arns)])
        self._implied = compiled(name for pattern in arns for name in _implied_names(pattern))
        self._roles = compiled(rule.roles)
        self._decisions: dict[str | tuple[str, str | None, str | None], bool] = {}

    def __repr__(self) -> str:
        return f"Client({self.name!r})"

    def allows(self, sent: str) -> bool:
        """Tell whether AWS may be asked for an id as it would be sent; a parameter's stands behind ``ssm:``."""
        if self.unrestricted:
            return True
        found = self._decisions.get(sent)
        return self._keep(sent, sent, self._may_ask(sent)) if found is None else found

    def allows_record(self, sent: str, arn: str | None, name: str | None) -> bool:
        """Tell whether an answer may be handed out.

        Args:
            sent: The id as it was sent to AWS, as for `allows`.
            arn: The ARN that came back.
            name: The name that came back; a parameter's without ``ssm:``.
        """
        if self.unrestricted:
            return True
        key = (sent, arn, name)
        found = self._decisions.get(key)
        if found is None:
            found = self._keep(sent, key, self.allows(sent) and self._may_have(sent, arn, name))
        return found

    def may_assume(self, role_arn: str) -> bool:
        """Tell whether a role may be named in ``roleArn``."""
        return self.unrestricted or fits(self._roles, role_arn)

    def _keep(self, sent: str, key: str | tuple[str, str | None, str | None], decision: bool) -> bool:
        if len(self._decisions) >= _KEPT_DECISIONS:
            self._decisions.clear()
        if len(sent) <= _KEPT_CHARACTERS:
            self._decisions[key] = decision
        return decision

    def _may_ask(self, sent: str) -> bool:
        parameter = sent.removeprefix(PARAMETER)
        if parameter == sent:
            words = _secret_words(sent)
            # Stars and question marks may reach into what AWS appends, which whoever asks need not send.
            is_arn = len(words) > 1
            names = [] if is_arn else [sent, sent + _SOME_SUFFIX]
            words += [sent + _SOME_SUFFIX] if is_arn else []
        else:
            secret = referenced_secret(parameter)
            if secret is not None:
                return self._may_ask(secret)
            words = _parameter_words(parameter)
            names = words if len(words) == 1 else []
        return any(fits(self._asked, word) for word in words) or any(fits(self._implied, name) for name in names)

    def _may_have(self, sent: str, arn: str | None, name: str | None) -> bool:
        if sent.startswith(PARAMETER):
            secret = _first_reference(name, arn, sent.removeprefix(PARAMETER))
            if secret is None:
                return self._may_have_parameter(arn, name)
            # Of such a parameter neither ARN nor name are those of the secret.
            if name is None or referenced_secret(name) is not None:
                name = secret
            if arn is not None and not _is_secret(arn):
                arn = None
        return self._may_have_secret(arn, name)

    def _may_have_parameter(self, arn: str | None, name: str | None) -> bool:
        if name is not None and fits(self._parameters, name):
            return True
        return arn is not None and not _is_secret(arn) and fits(self._full, arn)

    def _may_have_secret(self, arn: str | None, name: str | None) -> bool:
        if name is not None and fits(self._names, name):
            return True
        if arn is None or not _is_secret(arn):
            return False
        if fits(self._full, arn):
            return True
        short = _SUFFIX.sub("", arn)
        return (name is None or short.endswith(f":secret:{name}")) and fits(self._short, short)


class Policy:
    """Tells clients apart.

    Args:
        config: With the clients that are declared.
        main_token: The token of the variables. Once clients are declared it is good for nothing, unless it is the
            token of one of them.
        read_token_file: Returns the token in a file, or raises TokenError.

    Raises:
        ConfigError: A client's token cannot be had, or is another's too. The message names all such clients.
    """

    __slots__ = ("_tokens", "_users", "declared")

    def __init__(self, config: Config, main_token: bytes, read_token_file: Callable[[str], bytes]) -> None:
        self.declared = bool(config.own.clients)
        self._tokens: list[tuple[bytes, Client]] = []
        self._users: dict[int, Client] = {}
        if not self.declared:
            self._tokens.append((main_token, EVERYBODY))
            return
        mistakes = [mistake for rule in config.own.clients for mistake in self._declare(rule, read_token_file)]
        if mistakes:
            raise ConfigError("; ".join(mistakes))

    def __repr__(self) -> str:
        return f"Policy({[client.name for _, client in self._tokens]!r}, {self._users!r})"

    def identify(self, values: Sequence[bytes | None], uid: int | None) -> Client | None:
        """Return who asks, or None for nobody we know.

        A declared user needs no token. Otherwise the first of the values that is a token counts. Each value is compared
        with each token whatever was found before, in a time that depends on their lengths only.

        Args:
            values: The first value of each of the configured headers, in their order; None for one that is missing.
            uid: The user at the other end of a Unix socket; None on TCP, or where it cannot be known.
        """
        if uid is not None and uid in self._users:
            return self._users[uid]
        known = None
        for value in values:
            if value is None:
                continue
            for token, client in self._tokens:
                if hmac.compare_digest(token, value) and known is None:
                    known = client
        return known

    def _declare(self, rule: ClientRule, read_token_file: Callable[[str], bytes]) -> Iterable[str]:
        client = Client(rule)
        if rule.uid is None and rule.token_file is None:
            yield f"client {rule.name!r}: it has neither token_file nor uid, so it can never be known"
        if rule.uid is not None:
            other = self._users.setdefault(rule.uid, client)
            if other is not client:
                yield f"client {rule.name!r}: its uid {rule.uid} is that of client {other.name!r} too"
        if rule.token_file is None:
            return
        try:
            token = read_token_file(rule.token_file)
        except TokenError as error:
            yield f"client {rule.name!r}: cannot use token file {rule.token_file!r}: {error.message}"
            return
        for taken, other in self._tokens:
            if hmac.compare_digest(taken, token):
                yield f"client {rule.name!r}: its token is that of client {other.name!r} too"
        self._tokens.append((token, client))


def why_unknown(values: Iterable[bytes | None]) -> str:
    """Say for the log why `Policy.identify` found nobody."""
    return "missing_header" if all(value is None for value in values) else "token_mismatch"


def referenced_secret(parameter: str) -> str | None:
    """Return the secret that a parameter's name or ARN refers to; None if it is an ordinary parameter.

    A name that only resembles such a reference refers to "", which nobody may read.
    """
    name = f"/{parameter.partition(':parameter/')[2]}" if parameter.startswith(_ARN) else parameter
    folded = "/".join(part.strip() for part in name.lower().split("/") if part.strip())
    if _REFERENCE.strip("/") not in folded:
        return None
    if not name.startswith(_REFERENCE):
        return ""
    secret = name.removeprefix(_REFERENCE)
    return "" if secret.startswith(_ARN) else secret.partition(":")[0]


def _first_reference(*texts: str | None) -> str | None:
    found = (referenced_secret(text) for text in texts if text is not None)
    return next((secret for secret in found if secret is not None), None)


def _secret_words(sent: str) -> list[str]:
    """Return what an id of a secret may mean: a name itself; an ARN, and the name in it, with and without suffix."""
    if not sent.startswith(_ARN):
        return [sent]
    words = [sent, _SUFFIX.sub("", sent)]
    return words + [word.split(":", 6)[6] for word in words if _is_secret(sent)]


def _parameter_words(sent: str) -> list[str]:
    """Return the same for a parameter, without the version or label behind a colon."""
    if not sent.startswith(_ARN):
        return [PARAMETER + sent.partition(":")[0]]
    arn = ":".join(sent.split(":")[:6])
    name = arn.partition(":parameter/")[2]
    # A name without levels, `x`, and `/x` have the same ARN.
    return [arn, f"{PARAMETER}/{name}", PARAMETER + name] if name else [arn]


def _implied_names(pattern: str) -> list[str]:
    """Return patterns for the names of what an ARN pattern means."""
    fields = pattern.split(":", 6)
    if len(fields) == 7:
        return [fields[6], _SUFFIX_PATTERN.sub("", fields[6])]
    resource = fields[-1]
    if resource.startswith("parameter/"):
        return [PARAMETER + resource.removeprefix("parameter"), PARAMETER + resource.removeprefix("parameter/")]
    return []


def _is_secret(arn: str) -> bool:
    """Tell whether an ARN is a secret's: arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME."""
    fields = arn.split(":", 6)
    return len(fields) == 7 and (fields[0], fields[2], fields[5]) == ("arn", "secretsmanager", "secret")


EVERYBODY = Client(ClientRule("-"), unrestricted=True)
"""Whoever has the token, as long as no clients are declared."""
