import pytest

from strongroom import ini


def values(text, name="profile a", **how):
    """Key to value of one section."""
    section = ini.Document(text, **how).section(name)
    return None if section is None else {key: entry.value for key, entry in section.entries.items()}


def mistakes(text, name="profile a"):
    section = ini.Document(text).section(name)
    return None if section is None else [(mistake.line, mistake.reason) for mistake in section.mistakes]


def test_a_header_ends_a_nested_value():
    """An empty value at the end of a section does not take the first lines of the next one."""
    assert values("[profile b]\ns3 =\n[profile a]\n  region = r\n") == {"region": "r"}


@pytest.mark.parametrize("header", ["[profile a]", "  [profile a]", "\v[profile a]\r", "\x85[profile a] # c"])
def test_a_header_may_be_indented(header):
    """What Go calls space before a header does not hide it, and case counts."""
    document = ini.Document(f"k = v\n{header}\nk = w\n")
    assert document.names() == ("profile a",)
    assert values(f"k = v\n{header}\nk = w\n") == {"k": "w"}
    assert document.section("profile A") is None


def test_a_header_inside_a_value_is_none():
    """One section is not looked for where values span lines: only a full walk tells what is inside one."""
    for text in ("k = `\n[profile a]\n`", 'k = """\n[profile a]\n"""', "k = a \\ \n[profile a]", "k =\n [profile a]"):
        assert values(f"[b]\n{text}\n[c]") is None


def test_sections_of_one_name_are_one():
    """Later sections add to earlier ones, later keys win, and the lines are those of the keys that won."""
    document = ini.Document("[profile a]\nk = 1\nl = 2\n\n[b]\n[profile a]\nK = 3\n")
    section = document.section("profile a")
    assert [(entry.key, entry.value, entry.line) for entry in section.entries.values()] == [
        ("k", "3", 7),
        ("l", "2", 3),
    ]
    assert section.line == 1
    assert document.names() == ("profile a", "b")


def test_a_dot_in_a_section_name_means_nothing():
    """`[profile foo.bar]` takes nothing from `[profile foo]`, unlike with go-ini."""
    assert values("[profile foo]\nmfa_serial = m\n[profile foo.bar]\nregion = r\n", "profile foo.bar") == {
        "region": "r"
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[profile a]\nx = %(Y)s-%(y)s\ny = 1", "1-1"),
        ("[profile a]\nx = %(y)s\ny = <%(z)s>\nz = 2", "<2>"),
        ("h = 3\n[profile a]\nx = %(h)s", "3"),
        ("[DEFAULT]\nh = 3\n[profile a]\nx = %(h)s\n[DEFAULT]\nh = 4", "4"),
        ("x = 5\n[profile a]\nx = %(x)s", "5"),
        ("[profile a]\nx = %(x)s", "%(x)s"),
        ("[profile a]\nx = %(nobody)s %(y)s %()s %(y) %(y)d %(\ny = 1", "%(nobody)s 1 %()s %(y) %(y)d %("),
        ("[profile a]\nx = 100%", "100%"),
        ("y = 1\n[default]\ny = 2\n[profile a]\nx = %(y)s", "1"),
    ],
)
def test_variables_in_values(text, expected):
    """`%(name)s` is a value of the same section or of the implicit one, again and again; unknown names stay."""
    assert values(text)["x"] == expected


def test_an_expanded_setting_keeps_its_line():
    """A value with a variable knows its line as any other does."""
    section = ini.Document("[profile a]\n\nx = %(y)s\ny =\n n\n").section("profile a")
    assert (section.entries["x"].line, section.entries["x"].value, section.entries["y"].nested) == (3, "", ("n",))


def test_keys_before_any_section_belong_to_the_implicit_one():
    """Head and `[DEFAULT]` are one section, which has a name only where a header gives it one."""
    text = "# head\nregion = r\n[DEFAULT]\nk = v\n"
    assert values(text, ini.IMPLICIT) == {"region": "r", "k": "v"}
    assert ini.Document(text).names() == ("DEFAULT",)
    assert ini.Document("region = r\n").names() == ()
    assert ini.Document("# nothing\n[a]\n").section(ini.IMPLICIT) is None


def test_a_mistake_belongs_to_its_section():
    """A bad line is reported where it stands; the rest of its section and all others are read."""
    text = "[profile b]\nx = 1\n\n[profile a]\nnonsense\nregion = r\n[profile c]\nx = 2\n"
    reason = "key-value delimiter not found: 'nonsense'"
    assert mistakes(text) == [(5, reason)]
    assert values(text) == {"region": "r"}
    assert mistakes(text, "profile b") == mistakes(text, "profile c") == []
    assert values(text, "profile c") == {"x": "2"}
    assert [(found.line, found.reason) for found in ini.Document(text).mistakes()] == [(5, reason)]


@pytest.mark.parametrize(
    ("header", "name", "reason"),
    [
        ("[profile a", "profile a", "unclosed section: '[profile a'"),
        ("[profile a \r", "profile a", "unclosed section: '[profile a'"),
        ("[]", "", "empty section name: '[]'"),
        ("[profile \udcff]", "profile \udcff", "not UTF-8: '[profile \\udcff]'"),
    ],
)
def test_a_broken_header_opens_a_section_of_its_own(header, name, reason):
    """What follows a broken header never lands in the section above it."""
    text = f"[profile b]\nregion = r\n{header}\nrole_arn = x\n[profile c]\n"
    assert mistakes(text, name) == [(3, reason)]
    assert values(text, "profile b") == {"region": "r"}
    assert mistakes(text, "profile b") == mistakes(text, "profile c") == []


def test_mistakes_are_listed_in_the_order_of_lines():
    """All mistakes of a file, those before any section first."""
    text = "one\n[b]\ntwo\n[a]\nthree\n[b]\nfour\n"
    assert [mistake.line for mistake in ini.Document(text).mistakes()] == [1, 3, 5, 7]


def test_a_byte_order_mark_is_no_text():
    """A mark before the first header or key is skipped, with one section read as well as with all."""
    text = "\ufeff[profile a]\nregion = r\n"
    assert values(text) == values(text, index=False) == {"region": "r"}
    assert values("\ufeffregion = r", ini.IMPLICIT) == {"region": "r"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_are_told_by_their_marks(encoding):
    """UTF-8 with or without a mark and UTF-16 are read, and written back in the same encoding."""
    data = "[profile ü]\nregion = r\n".encode(encoding)
    text = ini.decode(data)
    assert values(text, "profile ü") == {"region": "r"}
    assert ini.encode(text, data) == data


def test_big_endian_and_broken_utf_16():
    """Both byte orders are read; a mark before an odd number of bytes is taken for UTF-8 gone wrong."""
    assert ini.decode(b"\xfe\xff\x00a") == "\ufeffa"
    assert ini.decode(b"\xff\xfea") == "\udcff\udcfea"
    assert ini.encode("\udcff\udcfea", b"\xff\xfea") == b"\xff\xfea"


def test_many_lookups_are_answered_from_one_scan():
    """Asking for every section of a large file gives each its own values."""
    text = "".join(f"[profile p{number}]\nregion = r{number}\n" for number in range(100))
    document = ini.Document(text)
    for number in range(100):
        assert document.section(f"profile p{number}").entries["region"].value == f"r{number}"
    assert document.section("profile p100") is None


def test_a_backslash_inside_a_line_joins_nothing():
    """Paths of Windows, and a backslash before a comment, leave headers where they are."""
    text = "[b]\nk = C:\\x\\y z\n[profile a]\nk = a\\ # c\n"
    assert values(text) == {"k": "a\\"}


def test_one_name_may_begin_another():
    """Looking for one section passes those whose names only begin alike."""
    text = "[profile ab]\nk = 1\n[profile a b]\nk = 2\n[profile a]\nk = 3\n[profile a ]\nk = 4\n"
    assert values(text) == {"k": "3"}


def test_the_implicit_section_is_read_once():
    """Asking for it and for what refers to it gives one and the same."""
    document = ini.Document("k = 1\n[profile a]\nx = %(k)s\n")
    assert document.section(ini.IMPLICIT).entries["k"].value == "1"
    assert document.section("profile a").entries["x"].value == "1"


def test_brackets_inside_lines_are_no_headers():
    """What looks like a header in a comment or a value is none."""
    text = "# [profile a]\nx = [profile a]\n; see\n[profile b] [profile a\n"
    assert values(text) is None
    assert values(text, "profile b") == {}
    assert ini.Document(text).names() == ("profile b",)


@pytest.mark.parametrize(
    ("before", "between"),
    [
        ("", ""),
        ("\ufeff", ""),
        ("[profile b]\nk = v\n", "\n"),
        ("[profile b]\nk = v", "\n\n"),
        ("[profile b]\nk = v\n\n", ""),
        ("[profile b]\nk = v\\\n", "\n"),
        ("# only a comment", "\n\n"),
    ],
)
def test_a_section_is_appended_below_a_blank_line(before, between):
    """What was there stays byte for byte; a blank line and, where it is missing, the last line's end are added."""
    expected = before + between + "[profile a]\nmfa_serial=m\nregion=r\n"
    assert ini.append_section(before, "profile a", {"mfa_serial": "m", "region": "r"}) == expected
    assert values(expected) == {"mfa_serial": "m", "region": "r"}


@pytest.mark.parametrize(
    ("before", "between"), [("[b]\r\nk = v\r\n", "\r\n"), ("[b]\r\nk = v", "\r\n\r\n"), ("[b]\r\n\r\n", "")]
)
def test_an_appended_section_keeps_the_line_ends_of_the_file(before, between):
    """A file with CRLF gets CRLF."""
    assert ini.append_section(before, "default", {"k": "v"}) == before + between + "[default]\r\nk=v\r\n"


def test_an_appended_section_may_be_empty():
    """A header alone is a section."""
    assert ini.append_section("", "profile team/dev 100% 🗝", {}) == "[profile team/dev 100% 🗝]\n"


def test_an_existing_section_is_not_appended_again():
    """The caller is told instead of getting two sections."""
    with pytest.raises(ValueError) as raised:
        ini.append_section("[profile a]\n", "profile a", {})
    assert str(raised.value) == "there is a section [profile a] already"


@pytest.mark.parametrize("name", ["", " a", "a ", "a\nb", "a]b", "a\x00", "\udcff", "a`", 'x"""', "\x1ca"])
def test_names_that_cannot_be_written_are_refused(name):
    """A name that some reader would see differently is no name of a section."""
    with pytest.raises(ValueError) as raised:
        ini.append_section("", name, {})
    assert str(raised.value) == f"{name!r} cannot be the name of a section"


@pytest.mark.parametrize("key", ["", "K", "a b", "a=b", "é", "_", "[a", "#a", "a\n"])
def test_keys_that_cannot_be_written_are_refused(key):
    """A key is letters, digits and underscores in lower case."""
    with pytest.raises(ValueError) as raised:
        ini.append_section("", "a", {key: "v"})
    assert str(raised.value) == f"{key!r} cannot be a key"


@pytest.mark.parametrize(
    "refused",
    [
        "",
        " a",
        "a ",
        "\xa0a",
        "a\nb",
        "a\rb",
        "a # b",
        "a ; b",
        "`a",
        'a"""',
        "a\\",
        "'a'",
        '"a"',
        "%(a)s",
        "\udcff",
        "\x85",
    ],
)
def test_values_that_cannot_be_written_are_refused(refused):
    """A value that go-ini or the AWS CLI would read differently is refused, and not repeated in the message."""
    with pytest.raises(ValueError) as raised:
        ini.append_section("", "a", {"k": refused})
    assert str(raised.value) == "the value of 'k' cannot be written to a config file as it is"
