"""`doctor`: what it says of a machine that is well, and of one that is not."""

import pytest


def test_all_is_well(c1):
    """The store that is used, how many keys are in it, who could ask, the files."""
    result = c1.call("doctor")
    assert (result.status, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    [used] = [line.split() for line in lines if line.startswith(" * ")]
    assert used == ["*", "file", f"{c1.keys}:", "1", "keys", "(used:", "AWS_VAULT_BACKEND)"]
    assert f"   config    {c1.config}: 6 profiles" in lines
    assert lines[-1] == "No problems."


def test_as_json(c1):
    """The same for programs; no secret is opened: a wrong passphrase does not matter."""
    found = c1.call("doctor", "--json", env={"AWS_VAULT_FILE_PASSPHRASE": "wrong"}).json()
    used = next(row for row in found["keystores"] if row["used"])
    assert (used["name"], used["keys"], used["usable"], used["why"]) == ("file", 1, True, "AWS_VAULT_BACKEND")
    assert {row["name"] for row in found["questions"]} >= {"terminal", "pinentry"}
    assert found["problems"] == []


def test_nobody_named_a_store(c1):
    """Then it says what decided."""
    used = [
        row for row in c1.call("doctor", "--json", env={"AWS_VAULT_BACKEND": ""}).json()["keystores"] if row["used"]
    ]
    assert [row["why"] for row in used] == ["there are keys in it"]
    c1.put_key("ann")
    empty = c1.call("doctor", "--json", env={"AWS_VAULT_BACKEND": "", "AWS_VAULT_FILE_DIR": str(c1.path / "none")})
    assert (
        next(row for row in empty.json()["keystores"] if row["used"])["why"] == "it is the first that can be used here"
    )


@pytest.mark.parametrize(
    ("config", "env", "problem"),
    [
        ("[profile x]\nno equals sign\n", {}, "key-value delimiter not found"),
        ("", {"STRONGROOM_LOCK_WAIT": "soon"}, "STRONGROOM_LOCK_WAIT: invalid duration 'soon'"),
        (
            "",
            {"AWS_VAULT_FILE_DIR": "/dev/null/keys"},
            "the keystore 'file', which AWS_VAULT_BACKEND names, cannot be used",
        ),
    ],
)
def test_problems(home, config, env, problem):
    """Each is said, all at once, and the exit status tells."""
    home.write_config(config)
    result = home.call("doctor", env=env)
    assert (result.status, result.stderr) == (1, "")
    assert problem in result.stdout.partition("Problems:")[2]
