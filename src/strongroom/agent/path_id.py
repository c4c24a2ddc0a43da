"""The secret id in a request's path, which is the path after the prefix, normalised as browsers do.

The AWS agent reads the path with a library that follows the WHATWG URL standard (https://url.spec.whatwg.org/#url-parsing)
and cuts the prefix off afterwards: dot segments are gone by then, other escapes are not decoded.
"""

from __future__ import annotations

from urllib.parse import quote

# What the standard leaves alone in a path, besides letters, digits and "_.-~", which quote never touches.
# "^" is left alone although the standard has since added it to the set: so does the AWS agent.
_PLAIN = "!$%&'()*+,/:;=@[]^|"

# A client that spells dots in hexadecimal means the same by them: https://url.spec.whatwg.org/#single-dot-path-segment
_DOT = frozenset({".", "%2e"})
_DOTS = frozenset({"..", ".%2e", "%2e.", "%2e%2e"})


def path_id(path: str, prefix: str) -> str | None:
    """The secret id that *path* names below *prefix*, or None.

    None also when dot segments lead out of the prefix. The AWS agent cuts by length there and asks for what is left,
    a secret that nobody named.

    Args:
        path: As sent, from the first slash, without query and fragment. It starts with *prefix*.
        prefix: As configured.
    """
    normalised = _without_dots(_encoded(path))
    start = _encoded(prefix)
    return normalised[len(start) :] or None if normalised.startswith(start) else None


def _encoded(path: str) -> str:
    return quote(path.replace("\\", "/"), safe=_PLAIN)


def _without_dots(path: str) -> str:
    segments = path.split("/")[1:]
    kept: list[str] = []
    for segment in segments:
        spelled = segment.lower()
        if spelled in _DOTS:
            del kept[-1:]
        elif spelled not in _DOT:
            kept.append(segment)
    if segments and segments[-1].lower() in _DOT | _DOTS:
        kept.append("")
    return "/" + "/".join(kept)
