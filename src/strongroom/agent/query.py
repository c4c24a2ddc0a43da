"""What a request asks for: text in, values out. Nothing here fails but with HttpError."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from strongroom.agent.compact_json import dump, encode
from strongroom.agent.path_id import path_id
from strongroom.serve.http import HttpError

if TYPE_CHECKING:
    from collections.abc import Iterable

# A target holds 65,534 bytes and so many more pairs than there are names to know; no client sends a dozen.
MAX_FIELDS = 1000
# Five times what BatchGetSecretValue takes at once; each item may be a call to AWS that blocks a thread.
MAX_BATCH_ITEMS = 100

BATCH_ERROR = "InvalidParameterException"

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html tells the characters of names and paths.
_ROLE_ARN = re.compile(r"arn:[\w-]+:iam::\d{12}:role/[\w+=,.@/-]+", re.ASCII)

_FLAGS = frozenset({"refreshNow", "withDecryption"})
_WORDS = {"true": True, "1": True, "false": False, "0": False}

_BATCH = frozenset({"secretId", "versionId", "versionStage", "refreshNow", "roleArn"})
_GET = _BATCH | {"jsonKey", "rejected"}
_PATH = _GET - {"secretId"}
_INVALIDATE = frozenset({"secretId", "roleArn"})
_SELECTORS = ("version", "label")
_PARAMETER = frozenset({"name", *_SELECTORS, "withDecryption", "refreshNow", "roleArn", "jsonKey"})


@dataclass(frozen=True, slots=True)
class SecretQuery:
    """One secret, as asked for.

    Attributes:
        id: A name, an ARN, or an ARN without its random end; never empty.
        version_id: As sent, even if empty: AWS judges it.
        version_stage: As sent, even if empty.
        role_arn: The role to ask with, or None: the agent's own credentials.
        refresh_now: Whether AWS is asked although the secret is cached.
        rejected: The version that did not work for the client, or None.
        json_key: Which value of a JSON secret is wanted, or None: the whole secret.
    """

    id: str
    version_id: str | None = None
    version_stage: str | None = None
    role_arn: str | None = None
    refresh_now: bool = False
    rejected: str | None = None
    json_key: str | None = None


@dataclass(frozen=True, slots=True)
class ParameterQuery:
    """One parameter of Parameter Store, as asked for.

    Attributes:
        name: A name, with its hierarchy, or an ARN; never empty.
        selector: A version's number or a label, never empty, or None: the latest version.
        with_decryption: Whether a SecureString is wanted as plain text.
        role_arn: The role to ask with, or None: the agent's own credentials.
        refresh_now: Whether AWS is asked although the parameter is cached.
        json_key: Which value of a JSON parameter is wanted, or None: the whole parameter.
    """

    name: str
    selector: str | None = None
    with_decryption: bool = False
    role_arn: str | None = None
    refresh_now: bool = False
    json_key: str | None = None


def secret_query(query: str) -> SecretQuery:
    """What ``/secretsmanager/get?query`` asks for.

    Names are case-sensitive and the last of several counts. The first mistake from the left is told, then a missing
    id, then a role ARN that is none.

    Args:
        query: As sent, percent-encoded.

    Raises:
        HttpError: 400 for each mistake.
    """
    values = _read(_pairs(query), _GET)
    return _secret(_required(values, "secretId", "missing parameter secretId"), values)


def secret_path(path: str, query: str, prefix: str) -> SecretQuery:
    """What ``path?query`` asks for, where *path* starts with *prefix*; see `strongroom.agent.path_id`.

    Args:
        path: As sent, percent-encoded.
        query: As sent, percent-encoded.
        prefix: As configured.

    Raises:
        HttpError: 400 for each mistake: a missing id first, whatever the query holds.
    """
    secret_id = path_id(path, prefix)
    if secret_id is None:
        raise HttpError(400, "missing secret ID")
    return _secret(secret_id, _read(_pairs(query), _PATH))


def parameter_query(query: str) -> ParameterQuery:
    """What ``/systemsmanager/parameters/get?query`` asks for.

    Of ``version`` and ``label`` the first counts, as in AWS's Lambda extension; one without a value counts as not sent.

    Args:
        query: As sent, percent-encoded.

    Raises:
        HttpError: 400 for each mistake.
    """
    pairs = _pairs(query)
    values = _read(pairs, _PARAMETER)
    return ParameterQuery(
        name=_required(values, "name", "missing parameter name"),
        selector=next((value for name, value in pairs if name in _SELECTORS and value), None),
        with_decryption=_flag(values, "withDecryption"),
        role_arn=_role_arn(values),
        refresh_now=_flag(values, "refreshNow"),
        json_key=values.get("jsonKey"),
    )


def invalidation(query: str) -> tuple[str, str | None]:
    """What ``/invalidate?query`` is to forget: a secret's id, ``*`` for all, and a role's ARN or None.

    Raises:
        HttpError: 400 for each mistake.
    """
    values = _read(_pairs(query), _INVALIDATE)
    return _required(values, "secretId", "missing parameter secretId"), _role_arn(values)


def batch(body: bytes) -> list[tuple[str | None, SecretQuery | HttpError]]:
    """What the JSON *body* of a batch asks for.

    ``{"secrets": [...]}`` holds ids and objects with the names of a query, ``{"secretIds": [...]}`` is the same by the
    name that people know from the query. A mistake in one item is that item's alone.

    Returns:
        For each item its id, as far as it has one, and what it asks for.

    Raises:
        HttpError: 400 if the whole is not understood.
    """
    try:
        asked = json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise HttpError(400, "the body is not JSON", BATCH_ERROR) from error
    if not isinstance(asked, dict) or len(asked) != 1 or not asked.keys() <= {"secrets", "secretIds"}:
        raise HttpError(400, 'the body must be an object with one member, "secrets"', BATCH_ERROR)
    ((name, items),) = asked.items()
    if not isinstance(items, list):
        raise HttpError(400, f'"{name}" must be a list', BATCH_ERROR)
    if len(items) > MAX_BATCH_ITEMS:
        raise HttpError(400, f'"{name}" must hold at most {MAX_BATCH_ITEMS} items, not {len(items)}', BATCH_ERROR)
    return [_item(item) for item in items]


def batch_body(results: Iterable[tuple[str | None, bytes | HttpError]]) -> bytes:
    """The answer to a batch.

    Args:
        results: For each item its id and either the secret's JSON, which is taken as it is, or why there is none.
    """
    return b'{"secrets":[' + b",".join(_result(secret_id, result) for secret_id, result in results) + b"]}"


def _result(secret_id: str | None, result: bytes | HttpError) -> bytes:
    head = b'{"secretId":' + encode(dump(secret_id))
    if isinstance(result, bytes):
        return head + b',"status":200,"value":' + result + b"}"
    error = {"__type": result.code, "message": result.message}
    told = encode(dump({name: value for name, value in error.items() if value}))
    return head + b',"status":' + str(result.status).encode() + b',"error":' + told + b"}"


def _item(item: Any) -> tuple[str | None, SecretQuery | HttpError]:
    told = item if isinstance(item, str) else item.get("secretId") if isinstance(item, dict) else None
    secret_id = encode(told).decode() if isinstance(told, str) else None
    try:
        values = _read(_item_pairs(item), _BATCH)
        return secret_id, _secret(_required(values, "secretId", "missing parameter secretId"), values)
    except HttpError as error:
        return secret_id, HttpError(error.status, encode(error.message).decode(), BATCH_ERROR)


def _item_pairs(item: Any) -> Iterable[tuple[str, str]]:
    """The members of an item as the pairs of a query; a generator, so that the first mistake counts."""
    if isinstance(item, str):
        item = {"secretId": item}
    if not isinstance(item, dict):
        raise HttpError(400, "an item must be a secret id or an object")
    for name, value in item.items():
        if name not in _BATCH or value is None:
            text = ""
        elif isinstance(value, bool) and name in _FLAGS:
            text = "true" if value else "false"
        elif isinstance(value, str) and _is_text(value):
            text = value
        else:
            raise HttpError(400, f"invalid {name} value")
        if value is not None or name not in _BATCH:
            yield name, text


def _is_text(value: str) -> bool:
    """Whether *value* has a UTF-8 form and so can be sent to AWS; see `strongroom.agent.compact_json.encode`."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _pairs(query: str) -> list[tuple[str, str]]:
    """The names and values of *query*: https://url.spec.whatwg.org/#urlencoded-parsing."""
    try:
        return parse_qsl(query, keep_blank_values=True, errors="replace", separator="&", max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise HttpError(400, "too many parameters") from error


def _read(pairs: Iterable[tuple[str, str]], known: frozenset[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            raise HttpError(400, f"unknown parameter: {name}")
        if name in _FLAGS and value.lower() not in _WORDS:
            raise HttpError(400, f"invalid {name} value")
        values[name] = value
    return values


def _required(values: dict[str, str], name: str, message: str) -> str:
    value = values.get(name)
    if not value:
        raise HttpError(400, message)
    return value


def _flag(values: dict[str, str], name: str) -> bool:
    return _WORDS[values.get(name, "false").lower()]


def _role_arn(values: dict[str, str]) -> str | None:
    role_arn = values.get("roleArn")
    if role_arn is not None and not _ROLE_ARN.fullmatch(role_arn):
        raise HttpError(400, "invalid roleArn format, expected arn:<partition>:iam::<account>:role/<name>")
    return role_arn


def _secret(secret_id: str, values: dict[str, str]) -> SecretQuery:
    return SecretQuery(
        id=secret_id,
        version_id=values.get("versionId"),
        version_stage=values.get("versionStage"),
        role_arn=_role_arn(values),
        refresh_now=_flag(values, "refreshNow"),
        rejected=values.get("rejected"),
        json_key=values.get("jsonKey"),
    )
