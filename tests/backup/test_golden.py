"""Files that were written once, and must open for ever. They are never made anew."""

import shutil
from pathlib import Path

VECTORS = Path(__file__).parent.parent / "vectors"
NAME = "team/dev 100%"
KEY = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")


def exported(home):
    found = home.call("export", "-n", "--format=json", NAME)
    assert (found.status, found.stderr) == (0, "")
    return found.json()["AccessKeyId"], found.json()["SecretAccessKey"]


def test_an_item_of_the_age_keystore(home, tmp_path):
    """Under the name that it had."""
    identity = tmp_path / "identity"
    shutil.copy(VECTORS / "identity.txt", identity)
    identity.chmod(0o600)
    store = tmp_path / "age"
    store.mkdir(mode=0o700)
    shutil.copy(VECTORS / "item.age", store / "team%2Fdev 100%25.age")
    home.environ |= {"AWS_VAULT_BACKEND": "age", "STRONGROOM_AGE_DIR": str(store)}
    home.environ["STRONGROOM_AGE_IDENTITY"] = str(identity)
    assert exported(home) == KEY


def test_a_backup_of_the_first_format(home, tmp_path):
    """Into an empty store of another kind."""
    identity = tmp_path / "identity"
    shutil.copy(VECTORS / "identity.txt", identity)
    identity.chmod(0o600)
    restored = home.call("restore", str(VECTORS / "backup-1.age"), "-i", str(identity), "--yes")
    assert restored.status == 0, restored.stderr
    assert exported(home) == KEY
