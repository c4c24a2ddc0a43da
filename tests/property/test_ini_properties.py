"""What holds for every text: one section read alone, profiles resolved alone, and a section appended."""

import itertools
import sys

import pytest
from botocore.configloader import raw_config_parse
from hypothesis import example, given
from hypothesis import strategies as st

from strongroom import ini, profiles
from strongroom.errors import ProfileLoop, StrongroomError

NAMES = (
    "default",
    "DEFAULT",
    "profile a",
    "profile b",
    "profile default",
    "sso-session s",
    "profile a] # [",
    "",
    "x y ",
)
BLANKS = ("", " ", "\t", "  ", "\v", "\x1c", "\x1f", "\x85", "\xa0", "\u2003", "\u2028", "\r")
KEYS = (
    "region",
    "Region",
    "source_profile",
    "include_profile",
    "sso_session",
    "sso_start_url",
    "duration_seconds",
    "role_arn",
    "session_tags",
    "'k'",
    '"k"',
    "`k`",
    '"""k"""',
    '"k',
    "",
)
VALUES = (
    "a",
    "b",
    "s",
    "default",
    "1h",
    "3600",
    "abc",
    "k=v",
    "a # c",
    "a ; c",
    "a#;",
    '"a"',
    "'a'",
    "'a' 'b'",
    '""',
    "",
    "`",
    "`a`",
    '"""',
    '"""a"""',
    "a\\",
    "\\",
    "%(region)s",
    "x%(source_profile)s%(nobody)s",
    "%()s",
    "%(",
    "\udcff",
    "é",
    "[profile a]",
    "\ud800",
)

blanks = st.sampled_from(BLANKS)
headers = st.builds("{}[{}]{}".format, blanks, st.sampled_from(NAMES), st.sampled_from(("", " # c", " ]", "x", "\r")))
unclosed = st.builds("{}[{}{}".format, blanks, st.sampled_from(NAMES), blanks)
settings = st.builds(
    "{}{}{}{}{}{}".format,
    blanks,
    st.sampled_from(KEYS),
    blanks,
    st.sampled_from(("=", ":", " = ", "")),
    st.sampled_from(VALUES),
    blanks,
)
comments = st.sampled_from(("", "# c", " ; c", "#\udcff", "; [profile a]", "# a\\"))
lines = st.one_of(headers, headers, settings, settings, settings, unclosed, comments, st.text(max_size=8))
texts = st.builds(
    "{}{}{}".format,
    st.sampled_from(("", "\ufeff")),
    st.lists(st.tuples(lines, st.sampled_from(("\n", "\r\n"))), max_size=14).map(
        lambda found: "".join(line + end for line, end in found)
    ),
    st.one_of(st.just(""), lines),
)
# Few names and many values that reach over lines: here a header may be hidden, or hide another.
spanning_lines = st.sampled_from(
    (
        "[profile a]",
        "[profile b]",
        " [profile a]",
        "\v[profile b]",
        "[profile a",
        "region =",
        "region = a",
        "k = `",
        "k = `a",
        "`",
        'k = """',
        'k = """a',
        '"""',
        "k = a\\",
        "k = a\\ ",
        "\\",
        "# a\\",
        "",
        " ",
    )
)
spanning_texts = st.lists(spanning_lines, max_size=10).map("\n".join)
ordinary_texts = st.lists(
    st.one_of(
        st.sampled_from([f"[{name}]" for name in NAMES]),
        st.builds("{} = {}".format, st.sampled_from(KEYS[:9]), st.sampled_from(VALUES[:9])),
    ),
    max_size=14,
).map("\n".join)


def shape(section):
    """A section as plain values."""
    if section is None:
        return None
    return (
        section.name,
        section.line,
        [(key, entry.key, entry.value, entry.line, entry.nested) for key, entry in section.entries.items()],
        [(mistake.line, mistake.reason) for mistake in section.mistakes],
    )


def resolved(document, name):
    """A profile, or the error instead of it, as plain values."""
    try:
        profile = profiles.resolve(document, name, flags={}, environ={})
    except StrongroomError as error:
        return type(error), str(error)
    shapes = []
    while profile is not None:
        values = [getattr(profile, field.name) for field in profiles.FIELDS]
        shapes.append((profile.name, profile.exists, values, profile.origins, profile.warnings))
        profile = profile.source
    return shapes


def aws_cli_reads(text, tmp_path_factory):
    """A config file as the AWS CLI reads it; None where that depends on the locale."""
    if sys.platform == "win32" and not text.isascii():
        return None
    path = tmp_path_factory.mktemp("config") / "config"
    path.write_bytes(ini.encode(text))
    return raw_config_parse(str(path))


@given(st.one_of(texts, spanning_texts, spanning_texts, ordinary_texts))
@example("[profile b]\nregion=a\\\n[profile a]\nregion=b")
@example("[profile b]\nregion=a\\ \r\n[profile a]\nregion=b")
@example("region=`\n[profile a]\nregion=b\n`\n[profile a]\nregion=c")
@example('region="""\n[profile a]\nregion=b\n"""\n[profile a]\nregion=c')
@example("x=\n [profile a]\nregion=b")
@example("x=\n\x85[profile a]\nregion=b")
@example("[profile a] # [profile a]\n[profile a\n[profile a \n")
def test_a_section_read_alone_equals_the_section_of_a_full_walk(text):
    """For any text and any name, looking for one section and walking the whole file give the same."""
    walked = ini.Document(text, "c", index=False)
    for name in (*NAMES, *walked.names(), "profile nobody"):
        assert shape(ini.Document(text, "c").section(name)) == shape(walked.section(name))
    indexed = ini.Document(text, "c")
    assert indexed.names() == walked.names()
    assert [(found.line, found.reason) for found in indexed.mistakes()] == [
        (found.line, found.reason) for found in walked.mistakes()
    ]
    for name in walked.names():
        assert shape(indexed.section(name)) == shape(walked.section(name))


@given(st.one_of(texts, spanning_texts, ordinary_texts))
def test_a_profile_resolved_alone_equals_that_of_a_full_walk(text):
    """For any text, every profile, or the error instead of it, is the same with and without the index."""
    walked = ini.Document(text, "c", index=False)
    assert profiles.names(ini.Document(text, "c")) == profiles.names(walked)
    assert profiles.sso_sessions(ini.Document(text, "c")) == profiles.sso_sessions(walked)
    for name in {"a", "b", "default", "nobody", *profiles.names(walked)}:
        assert resolved(ini.Document(text, "c"), name) == resolved(walked, name)


@given(
    st.one_of(texts, spanning_texts),
    st.sampled_from(("profile new", "profile team/dev 100%", "profile 🗝", "default", "profile a")),
)
def test_an_appended_section_changes_no_byte_before_it(text, name):
    """Every byte of the file stays, each section stays what it was, and the new one holds what was asked."""
    asked = {"mfa_serial": "arn:aws:iam::111111111111:mfa/jon", "region": "eu-west-1"}
    before = ini.Document(text)
    if before.section(name) is not None:
        with pytest.raises(ValueError, match="already"):
            ini.append_section(text, name, asked)
        return
    written = ini.append_section(text, name, asked)
    assert written.startswith(text)
    after = ini.Document(written)
    section = after.section(name)
    assert section is not None
    assert {key: entry.value for key, entry in section.entries.items()} == asked
    assert section.mistakes == ()
    for old in before.names():
        assert shape(after.section(old)) == shape(before.section(old))


@given(st.sampled_from(("region", "k2")), st.one_of(st.text(), st.sampled_from(VALUES)))
def test_a_value_is_read_back_as_written_or_refused(tmp_path_factory, key, value):
    """Any value comes back as it was given, from us and from the AWS CLI's own reader, or it is refused."""
    try:
        written = ini.append_section("", "profile a", {key: value, "last": "1"})
    except ValueError:
        return
    assert ini.Document(written).mistakes() == ()
    section = ini.Document(written).section("profile a")
    assert section is not None
    assert {name: entry.value for name, entry in section.entries.items()} == {key: value, "last": "1"}
    assert aws_cli_reads(written, tmp_path_factory) in ({"profile a": {key: value, "last": "1"}}, None)


@given(st.text())
@example(ini.IMPLICIT)
def test_a_name_is_read_back_as_written_or_refused(tmp_path_factory, name):
    """Any section name comes back as it was given, from us and from the AWS CLI's own reader, or it is refused."""
    try:
        written = ini.append_section("[other]\n", name, {"region": "a"})
    except ValueError:
        return
    assert ini.Document(written).names() == ("other", name)
    assert aws_cli_reads(written, tmp_path_factory) in ({"other": {}, name: {"region": "a"}}, None)


@given(
    st.one_of(
        st.binary(), st.builds(bytes.__add__, st.sampled_from((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")), st.binary())
    )
)
def test_any_bytes_survive_decoding(data):
    """Whatever bytes a file holds, UTF-8, UTF-16 or neither, decoding and encoding gives them back."""
    assert ini.encode(ini.decode(data), data) == data


@given(
    st.dictionaries(
        st.sampled_from("abcde"), st.tuples(*[st.one_of(st.none(), st.sampled_from("abcde"))] * 2), min_size=1
    )
)
def test_any_graph_of_profiles_ends(graph):
    """Whatever sources and includes profiles name, each resolves to a finite chain or to an error that names the loop."""
    text = ""
    for name, (source, include) in graph.items():
        text += f"[profile {name}]\n"
        text += f"source_profile = {source}\n" if source else ""
        text += f"include_profile = {include}\n" if include else ""
    document = ini.Document(text)
    for name in "abcde":
        chain, loop = [], None
        try:
            profile = profiles.resolve(document, name, flags={}, environ={})
            while profile is not None:
                chain.append(profile.name)
                profile = profile.source
        except ProfileLoop as error:
            loop = error
        if loop is None:
            assert chain[0] == name
            assert len(set(chain)) == len(chain)
        else:
            assert loop.names[0] == loop.names[-1]
            assert len(set(loop.names)) == len(loop.names) - 1
            if loop.field == "include_profile":
                assert all(graph[one][1] == other for one, other in itertools.pairwise(loop.names))
