"""Credentials that are around: of the environment, of the machine, of the AWS CLI's console sign-in.

botocore reads them, as every SDK does; nothing of its chain runs that was not asked for.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import botocore.config
import botocore.credentials
import botocore.exceptions
import botocore.session
import botocore.utils

from strongroom.credentials import Credentials
from strongroom.errors import CredentialsError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Instance metadata answers at once where there is any.
METADATA_SECONDS = 2
METADATA_ATTEMPTS = 2


def credentials(source: str, environ: Mapping[str, str]) -> Credentials | None:
    """Credentials of a ``credential_source``; None if it has none.

    Args:
        source: ``Environment``, ``Ec2InstanceMetadata`` or ``EcsContainer``.
        environ: The environment.

    Raises:
        CredentialsError: They are there, and cannot be had.
    """
    if source == "Environment":
        provider = botocore.credentials.EnvProvider(environ=environ)
    elif source == "EcsContainer":
        provider = botocore.credentials.ContainerProvider(environ=environ)
    else:
        fetcher = botocore.utils.InstanceMetadataFetcher(
            timeout=METADATA_SECONDS,
            num_attempts=METADATA_ATTEMPTS,
            env=environ,
            user_agent="strongroom",
            config={
                "ec2_metadata_service_endpoint": environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT"),
                "ec2_metadata_service_endpoint_mode": environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"),
                "ec2_metadata_v1_disabled": environ.get("AWS_EC2_METADATA_V1_DISABLED", "").lower() == "true",
            },
        )
        provider = botocore.credentials.InstanceMetadataProvider(iam_role_fetcher=fetcher)
    return _value(source, provider)


def login_session(profile: str, session: str, region: str | None, environ: Mapping[str, str]) -> Credentials:
    """Credentials of a session that ``aws login`` began.

    Args:
        profile: Whose session it is.
        session: The ARN that its ``login_session`` names.
        region: The profile's region, or None.
        environ: The environment.

    Raises:
        CredentialsError: There is no such session, it has ended, or what reads it is not installed.
    """
    provider_class = getattr(botocore.credentials, "LoginProvider", None)
    cache_directory = environ.get("AWS_LOGIN_CACHE_DIRECTORY") or os.path.join(
        environ.get("HOME") or environ.get("USERPROFILE") or "~", ".aws", "login", "cache"
    )
    if provider_class is None:
        raise CredentialsError(
            f"profile {profile!r}: this botocore cannot read login_session", "install a botocore of 2026 or later"
        )
    maker = botocore.session.Session(session_vars={"profile": (None, None, None, None)})

    def create_client(service: str, **settings: Any) -> Any:
        settings.setdefault("region_name", region or "us-east-1")
        return maker.create_client(service, **settings)

    provider = provider_class(
        load_config=lambda: {"profiles": {profile: {"login_session": session}}},
        client_creator=create_client,
        profile_name=profile,
        token_cache=botocore.utils.JSONFileCache(cache_directory),
    )
    found = _value("login_session", provider)
    if found is None:
        raise CredentialsError(f"profile {profile!r}: there is no session of `aws login`", "type `aws login`")
    return found


def _value(what: str, provider: Any) -> Credentials | None:
    """What a provider of botocore has just now."""
    try:
        found = provider.load()
        if found is None:
            return None
        frozen = found.get_frozen_credentials()
    except botocore.exceptions.MissingDependencyException as error:
        raise CredentialsError(
            f"{what} cannot be read without the package awscrt", 'install strongroom together with "botocore[crt]"'
        ) from error
    except Exception as error:  # noqa: BLE001
        # A chain of files, programs and servers of others: any of them may fail in ways of its own.
        known = isinstance(error, botocore.exceptions.BotoCoreError)
        reason = " ".join(str(error).split())[:300] if known else type(error).__name__
        raise CredentialsError(f"{what}: no credentials can be had: {reason}") from None
    expiry = getattr(found, "_expiry_time", None)
    return Credentials(
        frozen.access_key, frozen.secret_key, frozen.token or "", None if expiry is None else int(expiry.timestamp())
    )
