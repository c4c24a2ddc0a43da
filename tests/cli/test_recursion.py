import pytest

from strongroom.cli.recursion import Running
from strongroom.errors import CredentialsError


def test_a_program_that_leads_back_to_itself():
    """However many there are in between, of other profiles."""
    outer = Running("MARK", {"PATH": "/bin"}).environment("jon")
    inner = Running("MARK", outer).environment("ann")
    assert (outer, inner) == ({"PATH": "/bin", "MARK": "jon"}, {"PATH": "/bin", "MARK": "jon\nann"})
    for name in ("jon", "ann"):
        with pytest.raises(CredentialsError) as caught:
            Running("MARK", inner).refuse(name, "mfa_process", "use another")
        message = f"the mfa_process of profile '{name}' asks strongroom for that same profile"
        assert (caught.value.message, caught.value.hint) == (message, "use another")
    Running("MARK", inner).refuse("an", "mfa_process", "")
    Running("OTHER", inner).refuse("jon", "mfa_process", "")


def test_what_such_a_program_does_not_see():
    """Credentials, and what opens the vault."""
    inherited = {"AWS_SECRET_ACCESS_KEY": "s", "AWS_VAULT_FILE_PASSPHRASE": "p", "AWS_REGION": "r"}
    assert Running("MARK", inherited).environment("jon") == {"AWS_REGION": "r", "MARK": "jon"}
