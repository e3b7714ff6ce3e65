"""Addresses that try to leave the site, made from what browsers and parsers are known to read differently.

``URL standard`` (url.spec.whatwg.org), RFC 9700 §4.11, and the lists of those who test for open redirects. They are made,
not listed, so that each trick meets each other one.
"""

from __future__ import annotations

from itertools import product

SITE = "http://testserver"
ELSEWHERE = "evil.example"

SLASHES = ["/", "\\", "%2f", "%5c", "%252f", "／", "＼", "⁄", "∕", "⧸"]
"""What is a slash, becomes one when it is decoded, or looks like one."""

DROPPED = [
    "\t",
    "\n",
    "\r",
    "\0",
    " ",
    "\x0b",
    "\x0c",
    "\x1f",
    "\x7f",
    "\xa0",
    "\xad",
    "​",
    "\u2028",
    "﻿",
    "%09",
    "%0d%0a",
]
"""What a browser, a server or a proxy drops or trims."""

SCHEMES = [
    "http",
    "hTtPs",
    "ftp",
    "file",
    "javascript",
    "data",
    "vbscript",
    "blob",
    "about",
    "view-source",
    "ws",
    "intent",
]

AFTER_SCHEME = [":", ":/", "://", ":///", ":\\\\", ":/\\", "%3a//", "：//", ":%2f%2f"]

HOSTS = [
    ELSEWHERE,
    f"{ELSEWHERE}.",
    "EVIL.example:80",
    f"testserver.{ELSEWHERE}",
    f"testserver-{ELSEWHERE}",
    f"testserver@{ELSEWHERE}",
    f"testserver:80@{ELSEWHERE}",
    f"testserver%40{ELSEWHERE}",
    f"testserver%2f@{ELSEWHERE}",
    f"testserver;@{ELSEWHERE}",
    f"testserver\\@{ELSEWHERE}",
    f"{ELSEWHERE}\\@testserver",
    f"{ELSEWHERE}%5c@testserver",
    f"{ELSEWHERE}#@testserver",
    f"{ELSEWHERE}?@testserver",
    f"{ELSEWHERE}/@testserver",
    f"{ELSEWHERE}%00.testserver",
    f"{ELSEWHERE}%23.testserver",
    "evil。example",
    "evil．example",
    "evil%E3%80%82example",
    "еvil.example",
    "ｅｖｉｌ.example",
    "ⓔⓥⓘⓛ.example",
    "xn--vil-qdd.example",
    "2130706433",
    "0x7f000001",
    "127.1",
    "0177.0.0.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "testserver:81",
    "testserver:0080",
    "testserver:",
    "testserver:80:80",
    "testserver:99999",
    "testserver.",
    "ｔｅｓｔｓｅｒｖｅｒ",
    "testſerver",
    "a:b@testserver",
]

WITHIN = [
    "/..//{}", "/.//{}", "/./\\{}", "/%2e%2e//{}", "/.%2e/\\{}", "/a/../..//{}", "..//{}", "./\\{}", "/;//{}", "/;@{}",
    "//;@{}", "/x;/..//{}", "/#//{}", "#//{}", "?//{}", "/?\\\\{}", "/@{}", "/:80@{}", "@{}", ":80/{}", ".{}", "/.{}",
    "/zaikio/sessions/new/../../..//{}", "/%0d%0aLocation:%20//{}", "/\r\nLocation: //{}", "/x\r\n\r\n<a href=//{}>",
    "http:{}", "https:{}", "http:/{}", "//", "/\\", "///", "http://", "http:///", "\\", "{}",
]  # fmt: skip
"""Paths, or what may be taken for one: dots, parameters, fragments, and a second header line."""


def addresses() -> list[str]:
    """Return at least 500 different addresses, always the same ones in the same order."""
    made = [f"{first}{second}{ELSEWHERE}/x" for first, second in product(SLASHES, SLASHES)]
    made += [f"{a}{b}{c}{ELSEWHERE}" for a, b, c in product(SLASHES[:2], SLASHES[:2], SLASHES[:4])]
    for dropped in DROPPED:
        made += [
            f"{dropped}//{ELSEWHERE}",
            f"/{dropped}/{ELSEWHERE}",
            f"//{dropped}{ELSEWHERE}",
            f"/{dropped}\\{ELSEWHERE}",
        ]
        made += [f"{dropped}https://{ELSEWHERE}", f"ht{dropped}tps://{ELSEWHERE}", f"https:{dropped}//{ELSEWHERE}"]
        made += [f"java{dropped}script:alert(1)"]
    made += [f"{scheme}{after}{ELSEWHERE}/x" for scheme, after in product(SCHEMES, AFTER_SCHEME)]
    made += [f"{before}{host}/x" for before, host in product(["//", "http://", "/\\"], HOSTS)]
    made += [within.format(ELSEWHERE) for within in WITHIN]
    return list(dict.fromkeys(made))
