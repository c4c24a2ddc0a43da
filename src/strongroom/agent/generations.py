"""The two originals that the agent stands in for, and all in which they differ: one table, no other branches.

``agent`` behaves as the AWS Secrets Manager Agent 2.0, ``sm`` as the AWS Workload Credentials Provider 3.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Generation:
    """One original.

    Attributes:
        word: The command that chooses it.
        banner: What stands before the version in the line that tells that we listen.
        log_name: The log file's name without its ending.
        log_target: What log records give as their source.
        role_session_name: As CloudTrail shows sessions of ``roleArn``.
        error_separator: What stands between the two members of an error's JSON.
        error_prefix: What stands before a message that ends the start.
        default_config: Per platform, the config file that is read if it exists and none is named.
        converts: Whether values in the config file are converted between text, numbers and booleans.
        other_formats: Whether JSON and YAML files are read, by their extension.
        numbered_mistakes: Whether mistakes of the config file are shown as a numbered list.
        wants_session_token: Whether a credentials file must hold temporary credentials.
    """

    word: str
    banner: str
    log_name: str
    log_target: str
    role_session_name: str
    error_separator: str
    error_prefix: str
    default_config: tuple[tuple[str, str], ...]
    converts: bool
    other_formats: bool
    numbered_mistakes: bool
    wants_session_token: bool


GENERATIONS = {
    "agent": Generation(
        word="agent",
        banner="Agent",
        log_name="secrets_manager_agent",
        log_target="strongroom::agent",
        role_session_name="secrets-manager-agent",
        error_separator=", ",
        error_prefix="",
        default_config=(),
        converts=True,
        other_formats=True,
        numbered_mistakes=False,
        wants_session_token=False,
    ),
    "sm": Generation(
        word="sm",
        banner="Secrets Manager Provider",
        log_name="secrets_manager_provider",
        log_target="strongroom::sm",
        role_session_name="secrets-manager-provider",
        error_separator=",",
        error_prefix="Error: ",
        default_config=(
            ("win32", r"%PROGRAMDATA%\AWS\WorkloadCredentialsProvider\config.toml"),
            ("", "/etc/aws-workload-credentials-provider/config.toml"),
        ),
        converts=False,
        other_formats=False,
        numbered_mistakes=True,
        wants_session_token=True,
    ),
}
