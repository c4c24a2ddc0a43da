"""The surroundings of providers, as a test sets them, and steps of plans."""

from strongroom.credentials import Credentials
from strongroom.errors import PromptDismissed
from strongroom.plan import ASSUME_ROLE, KEY, SESSION_TOKEN, Step
from strongroom.profiles import Profile

NOW = 1_795_300_000
M = "arn:aws:iam::111111111111:mfa/jon"
ROLE = "arn:aws:iam::111111111111:role/admin"
JON = Credentials("AKIAJONJONJONJONJON1", "secret of jon")


class World:
    """The surroundings as a test sets them: which codes there are, and what was said."""

    command = "strongroom export jon"
    lock_wait_seconds = 30.0
    has_own_code = False

    def __init__(self, lock_directory, codes=()):
        self.lock_directory = str(lock_directory)
        self.codes = list(codes)
        self.asked = []
        self.told = []
        self.warned = []

    def code(self, step, attempt):
        self.asked.append((step.serial, attempt))
        code = self.codes.pop(0) if self.codes else None
        if code == "dismissed":
            raise PromptDismissed("the question was dismissed")
        return code

    def tell(self, message):
        self.told.append(message)

    def waiting(self, message):
        self.told.append(message)

    def warn(self, message):
        self.warned.append(message)


def profile(name="jon", **settings):
    return Profile(name, settings)


def key_step(name="jon"):
    return Step(KEY, profile(name), "there is a key")


def session_step(serial=M, duration=3600, wanted=0, notes=(), **settings):
    made = profile(mfa_serial=serial or None, **settings)
    fingerprint = {"step": SESSION_TOKEN, "serial": serial}
    return Step(SESSION_TOKEN, made, "why not", serial=serial, duration_seconds=duration, wanted_seconds=wanted,
                fingerprint=fingerprint, notes=notes)  # fmt: skip


def role_step(serial="", duration=3600, **settings):
    made = profile("admin", role_arn=ROLE, **settings)
    return Step(ASSUME_ROLE, made, "why not", serial=serial, duration_seconds=duration,
                fingerprint={"step": ASSUME_ROLE, "roles": [ROLE]})  # fmt: skip
