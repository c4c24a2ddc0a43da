"""A browser and the human before it: follows links and redirections, and clicks. Only the standard library.

As a program: ``python browser.py [--click deny] URL``.
"""

import html
import re
import sys
import urllib.error
import urllib.parse
import urllib.request


class Browser:
    """One that clicks on the link called *click* wherever there is one.

    Args:
        click: The text of the link; empty to click on nothing.
        edit: Changes an address before it is gone to, as an attacker or a bug on the way would.
    """

    def __init__(self, click="allow", edit=lambda url: url):
        self.click = click
        self.edit = edit
        self.opened = []  # what it was started with
        self.seen = []  # (status, address) of every page, the last one last
        self.text = ""  # of the last page

    def open(self, url):
        """Go to *url*, click, and go on until there is nothing to click on; tells that it came."""
        self.opened.append(url)
        while url:
            url = self._next(self.edit(url))
        return True

    def _next(self, url):
        request = urllib.request.Request(url, headers={"Accept": "text/html"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay())
        try:
            with opener.open(request, timeout=30) as answer:
                status, headers, body = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, headers, body = error.code, error.headers, error.read()
        self.seen.append((status, url))
        self.text = body.decode()
        if 300 <= status < 400:
            return urllib.parse.urljoin(url, headers["Location"])
        found = re.search(rf'<a href="([^"]*)">{re.escape(self.click)}</a>', self.text) if self.click else None
        return urllib.parse.urljoin(url, html.unescape(found[1])) if found else ""


class _Stay(urllib.request.HTTPRedirectHandler):
    """Redirections are followed above, so that they are seen."""

    def redirect_request(self, *_):
        return None


if __name__ == "__main__":
    click = sys.argv[2] if sys.argv[1] == "--click" else "allow"
    browser = Browser(click)
    browser.open(sys.argv[-1])
    sys.exit(0 if browser.seen[-1][0] == 200 else 1)
