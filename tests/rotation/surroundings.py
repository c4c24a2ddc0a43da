"""A rotation's surroundings as a test sets them: jon's key in memory, the fake AWS, a clock that nobody waits for."""

import time

from strongroom.aws import sts
from strongroom.aws.client import Endpoint
from strongroom.credentials import Credentials
from strongroom.errors import PromptUnavailable
from strongroom.keystore.memory import MemoryKeystore
from strongroom.own_items import COLLECTION, OwnItems
from strongroom.rotation import Rotation
from strongroom.rotation import journal as journals
from strongroom.vault import Vault

ARN = "arn:aws:iam::111111111111:user/jon"
M = "arn:aws:iam::111111111111:mfa/jon"
OLD = Credentials("AKIAJONJONJONJONJON1", "secret of jon")
START = 1_000.0


class Surroundings:
    """The world of a rotation, and what came of it.

    ``mfa``: whether IAM is called with a session. ``answers``: what the human says, in turn; nobody is there after that.
    """

    def __init__(self, cloud, *, mfa=False):
        cloud.key(OLD.access_key_id, OLD.secret_access_key)
        cloud.mfa[M] = {"123456"}
        cloud.iam.user("jon")
        self.cloud = cloud
        self.mfa = mfa
        self.iam = self.sts = Endpoint("eu-west-1", cloud.url)
        self.keystore = MemoryKeystore()
        self.own = OwnItems(self.keystore.beside(COLLECTION))
        self.vault = Vault(self.keystore)
        self.vault.store_key("jon", OLD)
        self.answers = []
        self.yes = False
        self.said, self.warned, self.questions, self.reasons, self.forgotten = [], [], [], [], []
        self.time = START

    # strongroom.rotation.owner.World

    def credentials(self):
        return self._session(self.stored()) if self.mfa else self.stored()

    def session(self, key, why):
        self.reasons.append(why)
        return self._session(key)

    def _session(self, key):
        return sts.get_session_token(self.sts, key, duration_seconds=3600, serial=M, token_code="123456")

    def forget_sessions(self, names):
        self.forgotten.append(list(names))

    def confirm(self, question, *, beforehand):
        if self.yes and beforehand:
            return True
        self.questions.append(question)
        if not self.answers:
            raise PromptUnavailable("there is no terminal")
        return self.answers.pop(0)

    def say(self, line):
        self.said.append(line)

    def warn(self, message):
        self.warned.append(message)

    # What a test does and looks at

    def rotation(self):
        """A run of its own, as another process would begin it."""
        return Rotation(
            "jon", Vault(self.keystore), self.own, self, pause=self.pause, clock=lambda: self.time, now=time.time
        )

    def rotate(self):
        """What `rotate` does."""
        work = self.rotation()
        journal = journals.find(self.own, "jon")
        ended = journal and work.resume(journal)
        return ended or work.begin(work.look())

    def pause(self, seconds):
        """Time passes, for AWS too."""
        self.time += seconds
        self.cloud.skew_seconds += seconds

    @property
    def waited(self):
        return self.time - START

    def stored(self, name="jon"):
        """The key that is stored."""
        return Vault(self.keystore).key(name)

    def journal(self):
        """The fields of the journal, or None."""
        return self.own.get(journals.KIND, "jon")

    def actions(self):
        """(action, kind of the signer, whether it was the old key or one that is not), without the proofs."""
        return [(call.action, call.signer) for call in self.cloud.calls if call.action != "GetCallerIdentity"]

    def check_done(self):
        """One key, active, stored, and it works; no journal."""
        key = self.stored()
        assert self.cloud.iam.status() == {key.access_key_id: "Active"}
        self.cloud.skew_seconds += 60  # until AWS knows it everywhere
        self.cloud.iam.flaps = []
        assert sts.caller_arn(self.sts, key) == ARN
        assert self.own.names(journals.KIND) == []
        assert key != OLD


def shown(key_id):
    return "*" * 16 + key_id[-4:]
