import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.agent.path_id import path_id

# Everything that a path may hold raw, and that stays as it is.
PLAIN = string.ascii_letters + string.digits + "/_+=.@!-~$'()*,;:&^|[]"


@pytest.mark.parametrize(
    ("path", "secret_id"),
    [
        ("/v1/MyTest", "MyTest"),
        ("/v1/My/Test", "My/Test"),
        ("/v1//app/db", "/app/db"),
        ("/v1///app", "//app"),
        ("/v1/a/", "a/"),
        ("/v1/a//", "a//"),
        ("/v1/a+b", "a+b"),
        (
            "/v1/arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-AbCdEf",
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-AbCdEf",
        ),
        # escapes are left alone, also broken ones, and those of a slash
        ("/v1/app%2Fdb", "app%2Fdb"),
        ("/v1/a%20b", "a%20b"),
        ("/v1/a%00b", "a%00b"),
        ("/v1/a%zz%", "a%zz%"),
        # what a browser escapes is escaped
        ("/v1/é", "%C3%A9"),
        ("/v1/\U0001f600", "%F0%9F%98%80"),
        ('/v1/"{}`<>', "%22%7B%7D%60%3C%3E"),
        ("/v1/a b\x7f\x00", "a%20b%7F%00"),
        ("/v1/^|'~!$()*,;=:@[]&", "^|'~!$()*,;=:@[]&"),
        # backslashes are slashes
        ("/v1/a\\b", "a/b"),
        ("/v1/x\\..\\b", "b"),
        # dot segments lead where they say
        ("/v1/a/../b", "b"),
        ("/v1/a/../app/db", "app/db"),
        ("/v1/./a", "a"),
        ("/v1/a/.", "a/"),
        ("/v1/a/..", None),
        ("/v1/a/b/..", "a/"),
        ("/v1/%2e/a", "a"),
        ("/v1/x/%2e%2E/a", "a"),
        ("/v1/x/.%2E/a", "a"),
        ("/v1/x/%2e./a", "a"),
        ("/v1//../a", "a"),
        ("/v1/../v1/a", "a"),
        # what only looks like one does not
        ("/v1/...", "..."),
        ("/v1/.hidden", ".hidden"),
        ("/v1/a..", "a.."),
        ("/v1/%2e%2e%2e", "%2e%2e%2e"),
        # no id, or none below the prefix
        ("/v1/", None),
        ("/v1/.", None),
        ("/v1/..", None),
        ("/v1/../x", None),
        ("/v1/../../../x", None),
        ("/v1/%2e%2e/ping/abc", None),
        ("/v1/../secretsmanager/get", None),
        ("/v1\\a", "a"),
    ],
)
def test_normalised_as_a_url(path, secret_id):
    """The id is what the WHATWG URL standard makes of the path, without the prefix."""
    assert path_id(path, "/v1/") == secret_id


@pytest.mark.parametrize(
    ("path", "prefix", "secret_id"),
    [
        ("/other/app/db", "/other", "/app/db"),
        ("/otherapp/db", "/other", "app/db"),
        ("/other", "/other", None),
        ("/app/db", "/", "app/db"),
        ("/", "/", None),
        ("/../app", "/", "app"),
        ("/a/b/c", "/a/b/", "c"),
        ("/é{/app", "/é{/", "app"),
        ("/%C3%A9/app", "/%C3%A9/", "app"),
        ("/a/../x", "/a/../", None),
    ],
)
def test_any_prefix(path, prefix, secret_id):
    """A prefix is cut where it ends, also one that a URL cannot hold as it is."""
    assert path_id(path, prefix) == secret_id


@given(st.lists(st.text(PLAIN.replace("/", ""), min_size=1).filter(lambda part: part not in {".", ".."}), min_size=1))
def test_names_are_kept(parts):
    """An id of characters that need no escape is that id, but for dot segments."""
    secret_id = "/".join(parts)
    assert path_id("/v1/" + secret_id, "/v1/") == secret_id


@given(st.text(st.characters(codec="utf-8")), st.sampled_from(["/", "/v1/", "/other"]))
def test_never_leaves(rest, prefix):
    """Whatever is sent, an id is plain ASCII, holds no dot segment, and is found again where it leads."""
    secret_id = path_id(prefix + rest, prefix)
    if secret_id is not None:
        assert secret_id.isascii()
        assert not {"?", "#", "\\", " ", '"'} & set(secret_id)
        assert not {".", ".."} & set((prefix + secret_id).split("/"))
        assert path_id(prefix + secret_id, prefix) == secret_id
