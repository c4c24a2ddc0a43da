"""Check a signature as AWS does: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.

The one reader of signatures that strongroom and botocore do not share with us: written from that page.
"""

import hashlib
import hmac
import re
from urllib.parse import parse_qsl, quote, urlsplit

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/,]+)/(?P<day>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request,"
    r" ?SignedHeaders=(?P<headers>[^,]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)


class Signed:
    """What the ``Authorization`` header of one request says, and whether a secret key agrees with it."""

    def __init__(self, match: re.Match[str], environ: dict, body: bytes) -> None:
        self.access_key_id = match["key"]
        self.day = match["day"]
        self.region = match["region"]
        self.service = match["service"]
        self.headers = match["headers"].split(";")
        self.signature = match["signature"]
        self.at = environ.get("HTTP_X_AMZ_DATE", "")
        self.token = environ.get("HTTP_X_AMZ_SECURITY_TOKEN")
        self._environ = environ
        self._body = body

    @classmethod
    def read(cls, environ: dict, body: bytes) -> "Signed | None":
        """The signature of a WSGI request; None if it has none."""
        match = AUTHORIZATION.fullmatch(environ.get("HTTP_AUTHORIZATION", ""))
        return cls(match, environ, body) if match else None

    def agrees_with(self, secret_access_key: str) -> bool:
        """Whether the request was signed with this secret."""
        # What a client sends to a proxy is the whole address, and its path is what it signs.
        address = urlsplit(self._environ["RAW_URI"])
        path, query = address.path, address.query
        pairs = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in parse_qsl(query, True))
        canonical = "\n".join(
            [
                self._environ["REQUEST_METHOD"],
                quote(path, safe="/-_.~") or "/",
                "&".join(f"{name}={value}" for name, value in pairs),
                *(f"{name}:{' '.join(self._header(name).split())}" for name in self.headers),
                "",
                ";".join(self.headers),
                hashlib.sha256(self._body).hexdigest(),
            ]
        )
        scope = f"{self.day}/{self.region}/{self.service}/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", self.at, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = f"AWS4{secret_access_key}".encode()
        for part in (self.day, self.region, self.service, "aws4_request", text):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.compare_digest(key.hex(), self.signature)

    def _header(self, name: str) -> str:
        wsgi = name.upper().replace("-", "_")
        return self._environ.get(wsgi if wsgi in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{wsgi}", "")
