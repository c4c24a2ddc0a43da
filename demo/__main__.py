"""``make demo``: strongroom's main jobs, for real, on an AWS emulator and in a throw-away home directory.

Every command that is shown is run, and its output is what is printed, with secrets shortened. Each step checks what it
must show; the first that does not ends the demo with exit status 1.
"""

import base64
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import agent_act
import server_act
import sso_act
import totp
from cloud import REGION, Cloud

CLONE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PLACE = os.path.join(CLONE, ".demo")
HOME = os.path.join(PLACE, "home")
LIMIT_SECONDS = 60  # for one command: enough for a loaded machine, short enough not to hang anywhere

CONFIG = """\
[default]
region = {region}
endpoint_url = {url}

[profile jon]
mfa_serial = {mfa_serial}
mfa_process = {mfa_process}

[profile admin]
source_profile = jon
role_arn = {role_arn}
mfa_serial = {mfa_serial}
"""
FOR_SDKS = """
[profile sdk]
region = {region}
endpoint_url = {url}
credential_process = strongroom export --format=json admin
"""


class Failed(Exception):
    """A step did not show what it must."""


class Stage:
    """Runs commands in the throw-away home, prints them with their output, and checks it."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "STRONGROOM", "XDG_", "PYTHON"))}
        self.environ = kept | {
            "HOME": HOME,
            "USERPROFILE": HOME,
            "PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ.get("PATH", os.defpath),
            "AWS_VAULT_BACKEND": "file",
            "AWS_VAULT_FILE_PASSPHRASE": "a passphrase for the demo",
            "NO_PROXY": "127.0.0.1",
        }
        self.step = ""
        self.place = PLACE

    def say(self, step: str) -> None:
        """Begin a step."""
        self.step = step
        print(f"\n# {step}")

    def run(self, line: str, *shows: str, calls: int = 0, status: int = 0, **environ: str) -> str:
        """Run one command and check it.

        Args:
            line: The command as one would type it.
            shows: What its output must contain, stdout and stderr together.
            calls: How many calls for credentials it may and must make to AWS.
            status: The exit status it must have.
            environ: Additions to the environment.

        Returns:
            What it wrote to stdout.

        Raises:
            Failed: It did not do that.
        """
        print(f"$ {line}", flush=True)
        before = self.cloud.asked()
        argv = shlex.split(line)
        program = shutil.which(argv[0], path=self.environ["PATH"]) or argv[0]
        try:
            done = subprocess.run(
                [program, *argv[1:]],
                env=self.environ | environ,
                cwd=PLACE,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                timeout=LIMIT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Failed(f"{argv[0]} did not run to its end: {error}") from error
        output = done.stdout + done.stderr
        print(self.shortened(output), end="" if output.endswith("\n") or not output else "\n", flush=True)
        if done.returncode != status:
            raise Failed(f"exit status {done.returncode} where {status} was due")
        for text in shows:
            if text not in output:
                raise Failed(f"{text!r} is missing in the output")
        self.expect(self.cloud.asked() - before == calls, f"it made {self.cloud.asked() - before} calls, not {calls}")
        return done.stdout

    def expect(self, true: bool, otherwise: str) -> None:
        """Check one thing more.

        Raises:
            Failed: It is not true.
        """
        if not true:
            raise Failed(otherwise)

    def shortened(self, output: str) -> str:
        """Return *output* with each secret cut to its first four characters."""
        output = re.sub(r'("(?:SecretAccessKey|SessionToken)": "....)[^"]*', r"\1...", output)
        return output.replace(self.cloud.secret_access_key, self.cloud.secret_access_key[:4] + "...")


def prepare(cloud: Cloud) -> None:
    """Make the home directory: the AWS config file and the MFA device's seed."""
    os.makedirs(os.path.join(HOME, ".aws"), mode=0o700)
    seed = os.path.join(PLACE, "seed")
    with open(seed, "w", encoding="ascii", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(base64.b32encode(cloud.door.seed).decode())
    mfa_process = " ".join(f'"{word}"' for word in (sys.executable, totp.__file__, seed))
    config = CONFIG.format(
        region=REGION, url=cloud.url, mfa_serial=cloud.mfa_serial, mfa_process=mfa_process, role_arn=cloud.role_arn
    )
    write_config(config, "w")


def write_config(text: str, mode: str) -> None:
    """Write or append to the config file, and show what was written."""
    print(f"$ cat {'>' if mode == 'w' else '>>'} ~/.aws/config\n{text.strip()}")
    with open(os.path.join(HOME, ".aws", "config"), mode, encoding="utf-8") as file:
        file.write(text)


def play(stage: Stage, cloud: Cloud) -> None:
    """The story, from an empty vault to an empty vault."""
    user, role = ":user/jon", ":assumed-role/admin/"

    stage.say("A user with an MFA device, and a role")
    prepare(cloud)

    stage.say("Store the user's long-term key, encrypted")
    keys = {"AWS_ACCESS_KEY_ID": cloud.access_key_id, "AWS_SECRET_ACCESS_KEY": cloud.secret_access_key}
    stage.run("strongroom add --env jon", 'Added credentials to profile "jon" in vault', **keys)
    stage.run("strongroom list", "jon", "admin")

    stage.say("Run a command as the user: one MFA code, from mfa_process, for a session of an hour")
    shown = stage.run("strongroom exec jon -- aws sts get-caller-identity", user, calls=1)
    stage.expect(json.loads(shown)["Arn"].endswith(user), "that is somebody else")
    stage.expect(cloud.door.calls["GetSessionToken"] == 1, "no session was asked for")

    stage.say("The same through the role: the session above, with its MFA, is used again")
    stage.run("strongroom exec admin -- aws sts get-caller-identity", role, calls=1)
    stage.expect(cloud.door.calls["AssumeRole"] == 1, "no role was assumed")

    stage.say("Once more: everything comes out of the vault, and AWS is not asked for credentials")
    stage.run("strongroom exec admin -- aws sts get-caller-identity", role, calls=0)

    stage.say("For programs: the format of credential_process")
    shown = stage.run("strongroom export --format=json admin", calls=0)
    stage.expect(
        list(json.loads(shown)) == ["Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"],
        "that is not what an SDK reads",
    )

    stage.say("Every AWS SDK can ask by itself, here the AWS CLI")
    write_config(FOR_SDKS.format(region=REGION, url=cloud.url), "a")
    stage.run("aws sts get-caller-identity --profile sdk", role, calls=0)

    stage.say("What is there, and why")
    stage.run("strongroom list", "sts.GetSessionToken:", "sts.AssumeRole:")
    stage.run("strongroom explain admin", "sts.GetSessionToken", "sts.AssumeRole", "stored and good")

    server_act.play(stage)
    agent_act.play(stage, cloud)
    sso_act.play(stage, write_config)

    stage.say("Forget the sessions; the key stays")
    stage.run("strongroom clear", "Cleared 2 sessions.")

    stage.say("With a wrong code AWS says no, and nothing is cached")
    wrong = next(code for code in ("000000", "111111", "222222", "333333") if not cloud.door.shows(code))
    stage.run(f"strongroom export --mfa-token={wrong} admin", "MultiFactorAuthentication failed", status=1, calls=1)
    stage.expect(cloud.door.refused == 1, "AWS did not refuse")
    stage.expect("sts." not in stage.run("strongroom list --sessions"), "a session is left")


def main() -> int:
    """Play the demo; return the exit status."""
    shutil.rmtree(PLACE, ignore_errors=True)
    with Cloud() as cloud:
        stage = Stage(cloud)
        try:
            play(stage, cloud)
        except Failed as error:
            print(f"\ndemo: failed at {stage.step!r}: {error}; {PLACE} is left for a look", file=sys.stderr)
            return 1
    shutil.rmtree(PLACE)
    print("\ndemo: every step showed what it should; nothing is left running or lying about")
    return 0


sys.exit(main())
