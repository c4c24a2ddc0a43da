"""botocore begins each session with nothing: it reads its files and works out its names anew.

A program has one session. Tests make thousands, and would spend a sixth of their time on that.
"""

import botocore.hooks
import botocore.loaders
import pytest

from strongroom.aws import chain


@pytest.fixture(scope="session", autouse=True)
def _botocore_once():
    """Keep what depends on nothing but the name that is asked for."""
    names = {}
    begin = botocore.hooks.EventAliaser.__init__

    def with_names(self, *args, **kwargs):
        begin(self, *args, **kwargs)
        if self._event_aliases is botocore.hooks.EVENT_ALIASES:
            self._alias_name_cache = names

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.hooks.EventAliaser, "__init__", with_names)
        for reader in (botocore.loaders.JSONFileLoader, chain._LeanFiles):
            patch.setattr(reader, "load_file", _once(reader.load_file))
        yield


def _once(read):
    files = {}

    def load_file(self, path):
        if files.get(path) is None:  # it may come yet
            files[path] = read(self, path)
        return files[path]

    return load_file
