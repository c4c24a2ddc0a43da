"""Answers of AWS's JSON protocol, before botocore reads them: it makes errors up where an answer has none."""

from __future__ import annotations

import json
from typing import Any


class Unreadable(Exception):
    """A good answer that is no JSON object. Says nothing more: it may be part of a secret."""


def read_json(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Look at a JSON answer before botocore does; a handler of its event ``before-parse``.

    Args:
        response_dict: ``status_code``, ``headers``, ``body``; an error's body is replaced by what botocore understands.
        customized_response_dict: Gets ``Told``: code, message (None for no message) and body of an error.

    Raises:
        Unreadable: An answer that is no error is no JSON object.
    """
    body = response_dict["body"]
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    if response_dict["status_code"] < 300:
        if not isinstance(said, dict):
            raise Unreadable
        return
    told = said if isinstance(said, dict) else {}
    header = {name.lower(): value for name, value in response_dict["headers"].items()}.get("x-amzn-errortype")
    code = next((text for text in (header, told.get("code"), told.get("__type")) if text and isinstance(text, str)), "")
    code = code.partition(":")[0].rpartition("#")[2]
    texts = (told.get(name) for name in ("message", "Message", "errorMessage"))
    message = next((text for text in texts if isinstance(text, str)), None)
    customized_response_dict["Told"] = code, message if code else None, body
    # What botocore decides by about trying again.
    shown = {"__type": code or str(response_dict["status_code"]), "message": message or ""}
    response_dict["body"] = json.dumps(shown).encode()
