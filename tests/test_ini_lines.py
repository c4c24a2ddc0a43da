import pytest

from strongroom.ini_lines import Entry, Placed, end_of_line, read_body, read_header


def read(text):
    """The settings and mistakes of a section without a header, and the text after it."""
    entries, mistakes = {}, []
    end = read_body(text, 0, entries, mistakes)
    return (
        {key: entry.value for key, entry in entries.items()},
        [(mistake.line, mistake.reason) for mistake in mistakes],
        text[end:],
    )


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
        ('"k" = v', "v"),
        ('"""k""" = v', "v"),
        ("`k` = v", "v"),
        ('"k" x = v', "v"),
    ],
)
def test_a_setting_is_a_key_and_a_value(line, expected):
    """The delimiter is the first of `=` and `:`; keys lose case and quotes; only what Go calls space is trimmed."""
    assert read(line) == read(f"{line}\n") == ({"k": expected}, [], "")


def test_a_single_quote_is_part_of_a_key():
    """Only double quotes and backticks enclose keys."""
    assert read("'k' = v") == ({"'k'": "v"}, [], "")


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
    assert read(line) == ({"k": expected}, [], "")


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
    assert read(line) == ({"k": expected}, [], "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("k = `a\n [profile b]\n# c\n`\nl = m", {"k": "a\n [profile b]\n# c\n", "l": "m"}),
        ('k = """\na\n""" x\nl = m', {"k": "\na\n", "l": "m"}),
        ("a`b = `x\ny`", {"a`b": "x\ny"}),
        ("k = a\\\n  b\\\nc # d\nl = m", {"k": "abc # d", "l": "m"}),
        ("k = a\\  \nb", {"k": "ab"}),
        ("k = a\\\n\nl = m", {"k": "a", "l": "m"}),
        ("k = a\\\\\n\nl = m", {"k": "a\\", "l": "m"}),
        ("k = a\\\n[profile b]\nl = m", {"k": "a[profile b]", "l": "m"}),
        ("k = a\\", {"k": "a"}),
        ("k = \\\n\\\nb", {"k": "b"}),
        ("k = C:\\x\nl = m", {"k": "C:\\x", "l": "m"}),
    ],
)
def test_values_that_span_lines(text, expected):
    """Backticks and triple quotes reach over lines; a backslash joins the next line, and a blank one ends that."""
    assert read(text) == (expected, [], "")


def test_nested_values_belong_to_the_key_above():
    """Indented lines under a key without a value are kept with it; they are no settings, headers or comments."""
    entries = {}
    read_body("s3 =\n  max = 1\n\n\t[profile b]\n # x\nregion = r\n  mfa_serial = m\n", 0, entries, [])
    assert entries["s3"].nested == ("max = 1", "[profile b]", "# x")
    assert {key: entry.value for key, entry in entries.items()} == {"s3": "", "region": "r", "mfa_serial": "m"}
    assert entries["region"].nested == ()


@pytest.mark.parametrize("header", ["[a]\nk = v", " [a]\nk = v", "\v[a"])
def test_a_body_ends_before_the_next_header(header):
    """A header may be indented or broken, but not hidden in a comment."""
    assert read(f"# [c]\nl = m\n; [d]\n{header}") == ({"l": "m"}, [], header)


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
def test_a_line_that_is_no_setting_is_a_mistake(line, reason):
    """The mistake has the line's number and text, and what stands around it is read."""
    assert read(f"k = 1\n\n{line}\nregion = r\n") == ({"k": "1", "region": "r"}, [(3, reason)], "")


def test_a_value_that_is_no_utf8_is_left_out_whole():
    """The lines of such a value are not taken for settings."""
    assert read("k = `\udcff\nrole_arn = r\n`\nl = m\n") == ({"l": "m"}, [(1, "not UTF-8: 'k = `\\udcff'")], "")


def test_a_message_shows_no_secret():
    """A broken line with something as long as a secret key is shown without it, and a long line is cut."""
    assert read("aws_secret_access_key wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n")[1] == [
        (1, "key-value delimiter not found: 'aws_secret_access_key wJal...'")
    ]
    assert len(read("x " * 1_000)[1][0][1]) < 200


@pytest.mark.parametrize(
    ("line", "name", "reason"),
    [
        ("[profile a]", "profile a", ""),
        ("[profile   a ]", "profile   a ", ""),
        ("[a] # see [b]", "a] # see [b", ""),
        ("[a]b", "a", ""),
        ("\v [a]\r", "a", ""),
        ("[profile a \r", "profile a", "unclosed section: '[profile a'"),
        ("[]", "", "empty section name: '[]'"),
        ("[\udcff]", "\udcff", "not UTF-8: '[\\udcff]'"),
        ("[\udcff", "\udcff", "unclosed section: '[\\udcff'"),
    ],
)
def test_a_header_names_a_section_up_to_the_last_bracket(line, name, reason):
    """The name is the text up to the last `]` of the line, untrimmed; without one the rest of the line stands for it."""
    text = f"k = v\n{line}\nl = m"
    assert read_header(text, 6) == (name, reason, text.index("l = m"))


def test_unknown_variables_stay():
    """What no key is called, or is no variable at all, is text; what follows it is replaced still."""
    own = {"x": Entry("", 0, "x", "%(no)s %(y) %(y)d %()s %(%(y)s %("), "y": Entry("", 0, "y", "1")}
    assert own["x"].expanded(own, {}).value == "%(no)s %(y) %(y)d %()s %(1 %("


def test_a_value_without_variables_is_itself():
    """Nothing is copied where there is nothing to replace; the rest of a copy stays."""
    own = {"x": Entry("a\nb", 2, "x", "%(y)s"), "y": Entry("", 0, "y", "100%")}
    assert own["y"].expanded(own, {}) is own["y"]
    expanded = own["x"].expanded(own, {})
    assert (expanded.key, expanded.value, expanded.line, expanded.nested) == ("x", "100%", 2, ())


def test_variables_that_lead_to_themselves_end():
    """A loop of variables stops after a bounded number of steps, and a doubling one does not grow without end."""
    loop = {key: Entry("", 0, key, value) for key, value in {"x": "%(y)s", "y": "%(z)s", "z": "%(y)s"}.items()}
    assert loop["x"].expanded(loop, {}).value == "%(z)s"
    doubling = {f"v{n}": Entry("", 0, f"v{n}", f"%(v{n + 1})s%(v{n + 1})s") for n in range(200)}
    assert len(doubling["v0"].expanded(doubling, {}).value) < 2_000


def test_lines_are_counted_from_one():
    """A place knows its line, the text its line ends."""
    text = "a\nb\n\nc"
    assert [Placed(text, offset).line for offset in (0, 1, 2, 4, 5)] == [1, 1, 2, 3, 4]
    assert [end_of_line(text, offset) for offset in (0, 1, 2, 5)] == [1, 1, 3, 6]
