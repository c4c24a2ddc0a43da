import pytest

from strongroom.cli import shadows
from strongroom.cli.flags import Arguments
from strongroom.cli.settings import Settings
from strongroom.cli.terminal import Talk


@pytest.fixture
def found(tmp_path):
    """What stands before a server, if the files of the AWS CLI have these contents."""
    (tmp_path / ".aws").mkdir()
    paths = {name: tmp_path / ".aws" / name for name in ("credentials", "config")}
    variables = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}

    def find(more=None, **texts):
        for name, text in texts.items():
            paths[name].write_bytes(text if isinstance(text, bytes) else text.encode())
        settings = Settings(Arguments({}, []), variables, Talk("strongroom"), "exec")
        return [line.replace(str(tmp_path), "~") for line in shadows.of(settings, variables | (more or {}))]

    return find


def said(path, key):
    return (
        f"SDKs take what [default] in {path} says ({key}) before they ask a server: "
        "give that section another name, or use exec without a server"
    )


def test_nothing(found):
    """No files, or files in which [default] is no source of credentials."""
    assert found() == []
    assert found(config="[default]\nregion = x\nmfa_serial = y\n", credentials="[other]\naws_access_key_id = x\n") == []


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("aws_access_key_id", "AWS_ACCESS_KEY_ID=x"),
        ("credential_process", "credential_process = x"),
        ("role_arn", "role_arn = x"),
        ("sso_session", "sso_session = x"),
        ("sso_start_url", "sso_start_url = x"),
    ],
)
def test_a_source(found, key, line):
    """Whichever it is, in either file, in any letter case."""
    assert found(config=f"[default]\n{line}\n") == [said("~/.aws/config", key)]
    assert found(credentials=f"[default]\n{line}\n", config="") == [said("~/.aws/credentials", key)]


def test_files_elsewhere(found, tmp_path):
    """Those that the command's variables name; one file for both is told of once; what is no file is nobody's."""
    (tmp_path / "own").write_text("[default]\naws_access_key_id = x\n")
    both = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), str(tmp_path / "own"))
    assert found(both) == [said("~/own", "aws_access_key_id")]
    assert found(dict.fromkeys(both, str(tmp_path))) == []


def test_a_broken_file(found):
    """Is for others to complain of."""
    assert found(config=b"\xff\xfe[default\n\0") == []
