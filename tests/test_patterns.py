import re

import pytest

from strongroom.patterns import compiled, fits


@pytest.mark.parametrize(
    ("patterns", "fitting", "others"),
    [
        (["db"], ["db"], ["DB", "db ", "xdb", "dbx", ""]),
        (["prod/*"], ["prod/", "prod/a/b"], ["prod", "prod/a:b", "xprod/a"]),
        (["*"], ["a", "a/b\n"], ["a:b", ":", ""]),
        (["**"], ["a"], ["a:b", ""]),
        (["?"], ["a", "\n"], [":", "", "ab"]),
        (["a*b*c"], ["abc", "axbxc", "abbcbc"], ["acb", "ab", "a:bc"]),
        (
            ["arn:*:secret:x-??????"],
            ["arn:aws:secret:x-AbCdEf"],
            ["arn:aws:b:secret:x-AbCdEf", "arn:aws:secret:x-AbCde"],
        ),
        (["a.c", "[a]", "a|b", "(", "\\d"], ["a.c", "[a]", "a|b", "(", "\\d"], ["abc", "a", "b", "1"]),
        (["a", "b*"], ["a", "b", "bc"], ["ab", "c"]),
        (["", "a"], ["a"], ["", "b"]),
    ],
)
def test_patterns(patterns, fitting, others):
    """Whole texts, with stars and question marks that stop at colons, and nothing else that is special."""
    expression = compiled(patterns)
    assert [text for text in (*fitting, *others) if fits(expression, text)] == fitting


@pytest.mark.parametrize("patterns", [[], [""], iter(())])
def test_no_patterns(patterns):
    """They fit nothing."""
    expression = compiled(patterns)
    assert not any(fits(expression, text) for text in ("", "a", "*"))


def test_one_expression_for_all():
    """However many there are, a text is looked at once."""
    assert isinstance(compiled(f"a{number}*" for number in range(100)), re.Pattern)
    assert compiled([]) is None


def test_a_pattern_that_would_take_for_ever():
    """Many stars and a text that nearly fits: the time does not grow by powers, or this would not end."""
    assert not fits(compiled(["*a" * 40 + "b"]), "a" * 5000)
