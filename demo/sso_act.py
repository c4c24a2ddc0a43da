"""The demo's act about IAM Identity Center: one browser window, then none, by the fake that the tests use."""

import json
import os
import shlex
import sys
from typing import Any

from cloud import REGION

TESTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests")
sys.path.insert(0, TESTS)

from fakes.identity_center import START_URL, IdentityCenter  # noqa: E402 - it is no package that is installed

ACCOUNT = "111111111111"
CONFIG = """\

[sso-session corp]
sso_start_url = {start_url}
sso_region = {region}

[profile corp-dev]
sso_session = corp
sso_account_id = {account}
sso_role_name = Developer
endpoint_url = {url}

[profile corp-read]
include_profile = corp-dev
sso_role_name = ReadOnly
"""


def play(stage: Any, write_config: Any) -> None:
    """From nobody signed in to two profiles with one look at a browser."""
    stage.say("IAM Identity Center: a session, and profiles of it")
    with IdentityCenter().serve() as center:
        center.account(ACCOUNT, "Developer", "ReadOnly")
        center.token_seconds = 30  # so that there is something to renew
        write_config(CONFIG.format(start_url=START_URL, region=REGION, account=ACCOUNT, url=center.url), "a")
        browser = os.path.join(TESTS, "fakes", "browser.py")
        # A display that nobody looks at, and a browser whose human allows everything.
        human = {"DISPLAY": ":99", "BROWSER": f"{shlex.quote(sys.executable)} {shlex.quote(browser)}"}
        nobody = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "SSH_CONNECTION": ""}

        stage.say("The first command opens a browser, and the human signs in")
        who = "strongroom exec corp-dev -- aws sts get-caller-identity"
        shown = stage.run(who, "opening a browser to sign in", **nobody | human)
        arn = json.loads(shown)["Arn"]
        stage.expect("AWSReservedSSO_Developer" in arn, f"that is {arn}")
        stage.expect(center.visits == ["Authorize", "Decide"], f"the browser saw {center.visits}")

        stage.say(
            "The sign-in is kept: another profile needs no browser, even though the access token is as good as over"
        )
        shown = stage.run("strongroom exec corp-read -- aws sts get-caller-identity", **nobody)
        stage.expect("AWSReservedSSO_ReadOnly" in shown, "that is somebody else")
        stage.expect(center.visits == ["Authorize", "Decide"], "a browser was needed again")
        stage.expect(center.count("CreateToken", grantType="refresh_token") == 1, "the token was not renewed")
        stage.run("strongroom list", "oidc:corp", "sso.GetRoleCredentials:")
        stage.run("strongroom clear corp-dev", "Cleared 2 sessions.")
        stage.run("strongroom clear corp-read", "Cleared 1 sessions.")
