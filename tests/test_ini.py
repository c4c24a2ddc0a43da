import pytest

from strongroom import ini


def values(text, name="profile a", **how):
    """Key to value of one section."""
    section = ini.Document(text, **how).section(name)
    return None if section is None else {key: entry.value for key, entry in section.entries.items()}


def mistakes(text, name="profile a"):
    section = ini.Document(text).section(name)
    return None if section is None else [(mistake.line, mistake.reason) for mistake in section.mistakes]


def value(line):
    """The value that a line gives its key ``k``."""
    assert mistakes(f"[profile a]\n{line}\n") == []
    return values(f"[profile a]\n{line}\n")["k"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("k=v", "v"),
        ("k:v", "v"),
        ("k = v:w", "v:w"),
        ("k : v=w", "v=w"),
        ("K = V", "V"),
        ("\t k = v \t", "v"),
        ("\xa0k\u2003=\x85v\u3000\r", "v"),
        ("k = \x1cv\x1f", "\x1cv\x1f"),
        ("k =", ""),
        ("'k' = v", None),
        ('"k" = v', "v"),
        ('"""k""" = v', "v"),
        ("`k` = v", "v"),
        ('"k" x = v', "v"),
    ],
)
def test_a_setting_is_a_key_and_a_value(line, expected):
    """The delimiter is the first of `=` and `:`; keys lose case and quotes; only what Go calls space is trimmed."""
    if expected is None:
        assert values(f"[profile a]\n{line}") == {"'k'": "v"}
    else:
        assert value(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("k = a # c", "a"),
        ("k = a ; c", "a"),
        ("k = a ; b # c", "a ; b"),
        ("k = a # b ; c", "a"),
        ("k = https://h/s#/", "https://h/s#/"),
        ("k = a;b", "a;b"),
        ("k = a\t# c", "a\t# c"),
        ("k = # c", "# c"),
    ],
)
def test_a_comment_in_a_line_begins_after_a_blank(line, expected):
    """` #` begins a comment, or else ` ;`; a mark without a blank before it belongs to the value."""
    assert value(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('k = "a b"', "a b"),
        ("k = 'a'", "a"),
        ("k = ''", ""),
        ("k = '", "'"),
        ("k = 'a' or 'b'", "'a' or 'b'"),
        ("k = \"a'", "\"a'"),
        ('k = "a" # c', "a"),
        ('k = "a # c"', '"a'),
        ("k = `a # b` c", "a # b"),
        ("k = `a`b`c", "a`b"),
        ('k = """a "b" # c""" d', 'a "b" # c'),
        ("k = `` ", ""),
    ],
)
def test_quotes_are_removed(line, expected):
    """A quote that stands just at both ends goes; backticks and triple quotes keep everything up to the last one."""
    assert value(line) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("k = `a\n [profile b]\n# c\n`\nl = m", {"k": "a\n [profile b]\n# c\n", "l": "m"}),
        ('k = """\na\n""" x\nl = m', {"k": "\na\n", "l": "m"}),
        ("a`b = `x\ny`", {"a`b": "x\ny"}),
        ("k = a\\\n  b\\\nc # d\nl = m", {"k": "abc # d", "l": "m"}),
        ("k = a\\  \nb", {"k": "ab"}),
        ("k = a\\\n\nl = m", {"k": "a", "l": "m"}),
        ("k = a\\\n[profile b]\nl = m", {"k": "a[profile b]", "l": "m"}),
        ("k = a\\", {"k": "a"}),
        ("k = \\\n\\\nb", {"k": "b"}),
        ("k = C:\\x\nl = m", {"k": "C:\\x", "l": "m"}),
    ],
)
def test_values_that_span_lines(text, expected):
    """Backticks and triple quotes reach over lines; a backslash joins the next line, and a blank one ends that."""
    text = "[profile a]\n" + text
    assert values(text) == expected
    assert values(text, index=False) == expected
    assert values(text, "profile b") is None


def test_nested_values_belong_to_the_key_above():
    """Indented lines under a key without a value are kept with it; they are no settings, headers or comments."""
    document = ini.Document("[profile a]\ns3 =\n  max = 1\n\n\t[profile b]\n # x\nregion = r\n  mfa_serial = m\n")
    section = document.section("profile a")
    assert section.entries["s3"].nested == ("max = 1", "[profile b]", "# x")
    assert {key: entry.value for key, entry in section.entries.items()} == {"s3": "", "region": "r", "mfa_serial": "m"}
    assert section.entries["region"].nested == ()
    assert document.section("profile b") is None


def test_a_header_ends_a_nested_value():
    """An empty value at the end of a section does not take the first lines of the next one."""
    assert values("[profile b]\ns3 =\n[profile a]\n  region = r\n") == {"region": "r"}


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("[profile a]", "profile a"),
        ("[profile   a ]", "profile   a "),
        ("[a] # see [b]", "a] # see [b"),
        ("[a]b", "a"),
        ("  [a]", "a"),
        ("\v[a]\r", "a"),
    ],
)
def test_a_section_is_named_up_to_the_last_bracket(header, name):
    """The name is the text up to the last `]` of the line, untrimmed; case counts."""
    document = ini.Document(f"{header}\nk = v\n")
    assert document.names() == (name,)
    assert values(f"{header}\nk = v\n", name) == {"k": "v"}
    assert document.section(name.upper()) is None


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


def test_variables_that_lead_to_themselves_end():
    """A loop of variables stops after a bounded number of steps, and a doubling one does not grow without end."""
    assert values("[profile a]\nx = %(y)s\ny = %(z)s\nz = %(y)s")["x"] == "%(z)s"
    doubling = "".join(f"v{n} = %(v{n + 1})s%(v{n + 1})s\n" for n in range(200))
    assert len(values(f"[profile a]\n{doubling}")["v0"]) < 2_000


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


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nonsense here", "key-value delimiter not found: 'nonsense here'"),
        ("= v", "empty key name: '= v'"),
        ('"" = v', "empty key name: '\"\" = v'"),
        ('"k = v', "missing closing quote of a key: '\"k = v'"),
        ("`k` v", "key-value delimiter not found: '`k` v'"),
        ("k = `v", "missing closing quote: 'k = `v'"),
        ('k = """v', 'missing closing quote: \'k = """v\''),
        ("k = \udcff", "not UTF-8: 'k = \\udcff'"),
        ("\udcffk = v", "not UTF-8: '\\udcffk = v'"),
    ],
)
def test_a_mistake_belongs_to_its_section(line, reason):
    """A bad line is reported where it stands; the rest of its section and all others are read."""
    text = f"[profile b]\nx = 1\n\n[profile a]\n{line}\nregion = r\n[profile c]\nx = 2\n"
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


def test_a_message_shows_no_secret():
    """A broken line with something as long as a secret key is shown without it, and a long line is cut."""
    (found,) = mistakes("[profile a]\naws_secret_access_key wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n")
    assert found == (2, "key-value delimiter not found: 'aws_secret_access_key wJal...'")
    assert len(mistakes("[profile a]\n" + "x " * 1000)[0][1]) < 200


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
