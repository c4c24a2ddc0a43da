import os

from strongroom.cli import private_file
from strongroom.cli.flags import Arguments
from strongroom.cli.settings import Settings
from strongroom.cli.terminal import Talk


def test_beside_the_locks(tmp_path):
    """Where a reboot may clean up."""
    variables = {"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    settings = Settings(Arguments({}, []), variables, Talk("strongroom"), "exec")
    assert private_file.runtime_directory(settings) == os.path.join(settings.lock_directory(), "servers")


def test_written_whole(tmp_path):
    """With the directories above it, and again."""
    path = tmp_path / "a" / "b" / "c"
    for content in (b"one", b"two"):
        private_file.write(str(path), content)
        assert path.read_bytes() == content
