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

ACCOUNT, ACCOUNT_NAME = "111111111111", "sandbox"
CONFIG = """\

[sso-session corp]
sso_start_url = {start_url}
sso_region = {region}
"""


def play(stage: Any, write_config: Any) -> None:
    """From nobody signed in to profiles, with one look at a browser."""
    stage.say("IAM Identity Center: a session, and no profile yet")
    with IdentityCenter().serve() as center:
        center.account(ACCOUNT, "Developer", "ReadOnly", name=ACCOUNT_NAME)
        center.token_seconds = 30  # so that there is something to renew
        write_config(CONFIG.format(start_url=START_URL, region=REGION), "a")
        browser = os.path.join(TESTS, "fakes", "browser.py")
        # A display that nobody looks at, and a browser whose human allows everything.
        human = {"DISPLAY": ":99", "BROWSER": f"{shlex.quote(sys.executable)} {shlex.quote(browser)}"}
        nobody = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "SSH_CONNECTION": "", "AWS_ENDPOINT_URL": center.url}

        stage.say("Which accounts and roles are there? A browser opens, the human signs in, and profiles are written")
        stage.run("strongroom sso discover corp --write --yes", "opening a browser to sign in", **nobody | human)
        stage.expect(center.visits == ["Authorize", "Decide"], f"the browser saw {center.visits}")

        stage.say("The sign-in is kept: no profile needs a browser, even though the access token is as good as over")
        for name in ("Developer", "ReadOnly"):
            shown = stage.run(f"strongroom exec {ACCOUNT_NAME}-{name} -- aws sts get-caller-identity", **nobody)
            arn = json.loads(shown)["Arn"]
            stage.expect(f"AWSReservedSSO_{name}" in arn, f"that is {arn}")
        stage.expect(center.visits == ["Authorize", "Decide"], "a browser was needed again")
        stage.expect(center.count("CreateToken", grantType="refresh_token") > 0, "the token was not renewed")
        stage.run("strongroom list", "oidc:corp", "sso.GetRoleCredentials:")
        stage.run(f"strongroom clear {ACCOUNT_NAME}-Developer --logout", "Cleared 2 sessions.", **nobody)
        stage.run(f"strongroom clear {ACCOUNT_NAME}-ReadOnly", "Cleared 1 sessions.")
