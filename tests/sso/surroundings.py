"""The surroundings of a sign-in, as a test sets them; time is that of the fake Identity Center, and waiting passes it."""

import time

from fakes.browser import Browser
from strongroom.keystore.memory import MemoryKeystore
from strongroom.own_items import OwnItems
from strongroom.profiles import Profile

ACCOUNT, ROLE = "111111111111", "Admin"


class World:
    command = "strongroom export corp"
    lock_wait_seconds = 30.0

    def __init__(self, center, lock_directory, browser=None, wants_device=""):
        self.center = center
        self.lock_directory = str(lock_directory)
        self.browser = browser or Browser()
        self.wants_device = wants_device
        self.own = OwnItems(MemoryKeystore())
        self.tokens = {}
        self.told, self.warned, self.waited = [], [], []
        self.unheard = ""  # why nobody would see what we say
        self.opened = 0  # how often a token was read
        self.human, self.comes_after = None, 0  # with another device, after we have waited so many times

    def now(self):
        return self.center.now()

    def sleep(self, seconds):
        self.waited.append(seconds)
        self.center.pass_time(seconds)
        if self.human and len(self.waited) == self.comes_after:
            self.human.open(self.told[-1].split(", open ")[1].split(" in any")[0])

    def tell(self, message):
        self.told.append(message)

    def why_unheard(self):
        return self.unheard

    def waiting(self, message):
        self.told.append(message)

    def warn(self, message):
        self.warned.append(message)

    def open_url(self, url):
        return self.browser.open(url)

    def token(self, start_url):
        self.opened += 1
        return self.tokens.get(start_url, (None, None))[0]

    def token_changed_at(self, start_url):
        return self.tokens.get(start_url, (None, None))[1]

    def keep_token(self, start_url, fields):
        self.tokens[start_url] = fields, time.monotonic()

    def remove_token(self, start_url):
        self.tokens.pop(start_url, None)


class NoBrowser:
    """None comes."""

    def __init__(self):
        self.opened = []

    def open(self, url):
        self.opened.append(url)
        return False


def profile(center, start_url, *, session="corp", name="dev", **settings):
    """A profile that signs in; with an empty *session* in the older form."""
    fields = {
        "sso_session": session, "sso_start_url": start_url, "sso_region": "eu-west-1", "sso_account_id": ACCOUNT,
        "sso_role_name": ROLE, "endpoint_url": center.url,
    } | settings  # fmt: skip
    return Profile(name, {key: value for key, value in fields.items() if value})
