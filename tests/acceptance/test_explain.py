"""`explain`: what would be done for a profile's credentials, and why, without doing it."""

from harness.home import ADM, CODE, M

LOCKED = {"AWS_VAULT_FILE_PASSPHRASE": None}


def states(text):
    """What it says of each step: the lines that begin with "now:"."""
    return [line.partition("now:    ")[2] for line in text.splitlines() if line.startswith("   now:")]


def test_a_plan(c1, cloud):
    """Each step with its reason and what is stored, then each setting with the place where it stands."""
    result = c1.call("explain", "admin")
    assert (result.status, result.stderr) == (0, "")
    where = c1.config
    steps, _, settings = result.stdout.partition("\nSettings:\n")
    assert steps == (
        "Credentials of profile admin:\n\n"
        "1. read the long-term key of profile jon\n"
        "   why:    a long-term key is stored for profile 'jon'\n"
        "   now:    stored\n\n"
        f"2. sts.GetSessionToken for profile jon, for 8h0m0s, with a code of {M}\n"
        "   why:    one session of 'jon' serves every profile that shares its MFA device: one code\n"
        "   now:    nothing stored; AWS will be asked\n\n"
        f"3. sts.AssumeRole for profile admin, role {ADM}, for 1h0m0s, without MFA\n"
        f"   why:    profile 'admin' has role {ADM}, and its MFA device is proved already\n"
        "   now:    nothing stored; AWS will be asked\n"
    )
    assert [line.split() for line in settings.splitlines()] == [
        ["admin", "region", "us-east-1", f"{where}:2", "[default]"],
        ["admin", "source_profile", "jon", f"{where}:13", "[profile", "admin]"],
        ["admin", "role_arn", ADM, f"{where}:14", "[profile", "admin]"],
        ["admin", "mfa_serial", M, f"{where}:15", "[profile", "admin]"],
        ["admin", "endpoint_url", cloud.url, f"{where}:3", "[default]"],
        ["jon", "region", "us-east-1", f"{where}:2", "[default]"],
        ["jon", "mfa_serial", M, f"{where}:6", "[profile", "jon]"],
        ["jon", "endpoint_url", cloud.url, f"{where}:3", "[default]"],
    ]
    assert cloud.calls == []


def test_what_is_stored(c1):
    """Opened and fitting; by its name only, without the passphrase, which is never asked for; or for something else."""
    assert c1.call("export", "-t", CODE, "admin").status == 0
    times = [line.split("good until ")[1][:20] for line in states(c1.call("explain", "admin").stdout)[1:]]
    assert states(c1.call("explain", "admin").stdout) == [
        "stored",
        f"stored and good until {times[0]}; AWS will not be asked",
        f"stored and good until {times[1]}; AWS will not be asked",
    ]
    unchecked = "cached, not checked: the keystore is locked; good until {} by its name; AWS will not be asked"
    for env in (LOCKED, {"AWS_VAULT_FILE_PASSPHRASE": "wrong"}):
        result = c1.call("explain", "admin", env=env)
        assert (result.status, result.stderr) == (0, "")
        assert states(result.stdout) == ["stored", unchecked.format(times[0]), unchecked.format(times[1])]
        told = c1.call("explain", "--json", "admin", env=env).json()["steps"]
        assert [step["cached"] for step in told] == ["no", "cached, not checked", "cached, not checked"]
    c1.write_config(c1.config.read_text().replace(ADM, f"{ADM}Other"))
    assert states(c1.call("explain", "admin").stdout)[1:] == [
        f"stored and good until {times[0]}; AWS will not be asked",
        "what is stored was made for something else; AWS will be asked",
    ]


def test_what_should_be_known(c1):
    """Notes stand with their step; tags are shown as they are written."""
    c1.write_config(
        c1.config.read_text().replace("[profile r2]\n", "[profile r2]\nsession_tags = a=1, b=2\n")
        + "\n[profile ann]\ncredential_source = Environment\n"
    )
    result = c1.call("explain", "-d", "2h", "r2")
    note = "   note:   profile 'r2': role arn:aws:iam::111111111111:role/R2 is assumed by another role, and AWS gives "
    assert [line for line in result.stdout.splitlines() if "note:" in line] == [
        note + "such a session an hour at most, not 2h0m0s"
    ]
    rows = [line.split() for line in result.stdout.partition("Settings:")[2].splitlines()]
    assert ["r2", "session_tags", "a=1,b=2", f"{c1.config}:23", "[profile", "r2]"] in rows
    assert ["r2", "assume_role_duration", "7200", "--duration"] in rows
    c1.put_key("ann")
    told = c1.call("explain", "ann").stdout
    assert (
        "   note:   profile 'ann': credential_source is not used, because credentials come from its stored key" in told
    )


def test_no_settings(home):
    """A key without a section and without a config: a plan, and nothing to show for settings."""
    home.put_key("jon")
    result = home.call("explain", "jon")
    assert (result.status, result.stderr) == (0, "")
    assert "Settings:" not in result.stdout
    assert states(result.stdout) == ["stored", "nothing stored; AWS will be asked"]
