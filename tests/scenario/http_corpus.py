# SPDX-License-Identifier: Apache-2.0
"""Good, odd and hostile requests, and what RFC 9112 and 9110 want of their answers."""

H = b"Host: x\r\n"
LINE = b"GET /healthz HTTP/1.1\r\n"
GET = LINE + H
LIMIT = 1 << 20


def rows(token):
    """(name, bytes sent, the statuses that are right). "close": the connection has to end after the last of them."""
    auth = b"Authorization: Bearer " + token.encode() + b"\r\nIdempotency-Key: corpus\r\n"
    body = b'{"message":"[delay 0] corpus","sessionKey":"corpus"}'
    post = b"POST /v1/agents/main/runs HTTP/1.1\r\n" + H + auth
    chunked = post + b"Transfer-Encoding: chunked\r\n\r\n"
    one = b"%x\r\n%s\r\n" % (len(body), body)
    bad = [("400",), ("close",)]
    fine = [("200", "202")]
    return [
        ("plain", GET + b"\r\n", fine),
        ("dup CL differing", post + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc", bad),
        ("dup CL same", post + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nab", bad),
        ("CL list 2,2", post + b"Content-Length: 2,2\r\n\r\nab", bad),
        ("CL+TE", post + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", bad),
        ("TE xchunked", post + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", [("400", "501"), ("close",)]),
        ("TE chunked, identity", post + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", bad),
        ("TE twice chunked", post + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", bad),
        ("TE in HTTP/1.0", post.replace(b"/1.1", b"/1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", bad),
        ("chunked ok", chunked + one + b"0\r\n\r\n", fine),
        ("chunk-size overflow", chunked + b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n", [("400", "413"), ("close",)]),
        ("chunk 0x2", chunked + b"0x2\r\nab\r\n0\r\n\r\n", bad),
        ("chunk size -1", chunked + b"-1\r\nab\r\n0\r\n\r\n", bad),
        ("chunk bare LF", chunked + b"2\nab\n0\n\n", bad),
        ("chunk ext LF", chunked + b"2;x\nab\r\n0\r\n\r\n", bad),
        ("chunk no CRLF after data", chunked + b"2\r\nabXX0\r\n\r\n", bad),
        ("trailers", chunked + one + b"0\r\nX-Evil: 1\r\n\r\n", bad),
        ("giant chunk", chunked + b"7fffffff\r\n" + b"a" * LIMIT, [("413",), ("close",)]),
        ("zeros before a chunk's size", chunked + b"0" * (LIMIT * 10), [("400", "413"), ("close",)]),
        ("bare LF lines", b"GET /healthz HTTP/1.1\nHost: x\n\n", [("200", "400")]),
        ("bare CR in value", GET + b"X: a\rb\r\n\r\n", bad),
        ("NUL in value", GET + b"X: a\0b\r\n\r\n", bad),
        ("NUL in name", GET + b"X\0Y: b\r\n\r\n", bad),
        ("obs-fold", GET + b"X: a\r\n b\r\n\r\n", bad),
        ("space before colon", GET + b"X : a\r\n\r\n", bad),
        ("space before first hdr", LINE + b" Host: x\r\n\r\n", bad),
        ("empty name", GET + b": a\r\n\r\n", bad),
        ("no colon", GET + b"nonsense\r\n\r\n", bad),
        ("missing Host", LINE + b"\r\n", bad),
        ("dup Host", GET + H + b"\r\n", bad),
        ("bad Host", LINE + b"Host: a b\r\n\r\n", bad),
        ("1MB header", GET + b"X: " + b"a" * LIMIT + b"\r\n\r\n", [("431",), ("close",)]),
        ("100k headers", GET + b"A: b\r\n" * 100000 + b"\r\n", [("431",), ("close",)]),
        ("long URI 32K", b"GET /" + b"a" * 32768 + b" HTTP/1.1\r\n" + H + b"\r\n", [("414",), ("close",)]),
        ("negative CL", post + b"Content-Length: -1\r\n\r\n", bad),
        ("CL +2", post + b"Content-Length: +2\r\n\r\nab", bad),
        ("CL overflow", post + b"Content-Length: 99999999999999999999\r\n\r\nab", [("400", "413"), ("close",)]),
        ("CL 2x", post + b"Content-Length: 2x\r\n\r\nab", bad),
        ("absolute-form", b"GET http://x/healthz HTTP/1.1\r\n" + H + b"\r\n", fine),
        ("HTTP/0.9", b"GET /healthz HTTP/0.9\r\n" + H + b"\r\n", [("400", "505"), ("close",)]),
        ("HTTP/2.0 vers", b"GET /healthz HTTP/2.0\r\n" + H + b"\r\n", [("505",), ("close",)]),
        ("HTTP/1.9 vers", b"GET /healthz HTTP/1.9\r\n" + H + b"\r\n", [("200", "505")]),
        ("junk version", b"GET /healthz HTTP/1.x\r\n" + H + b"\r\n", bad),
        ("pipelined x3", (GET + b"\r\n") * 3, fine * 3),
        ("pipelined bad 2nd", GET + b"\r\n" + LINE + b"\r\n" + GET + b"\r\n", [("200",), ("400",), ("close",)]),
        ("Expect 100", post + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(body), [("100",)]),
        ("Expect bogus", post + b"Content-Length: 2\r\nExpect: 200-maybe\r\n\r\nab", [("417",), ("close",)]),
        ("CL over limit", post + b"Content-Length: 3000000\r\n\r\n" + b"a" * 3000000, [("413",), ("close",)]),
        ("CL over limit, no body sent", post + b"Content-Length: 3000000\r\n\r\n", [("413",), ("close",)]),
        ("chunked over limit", chunked + b"1000\r\n" * 1 + (b"a" * 4096 + b"\r\n1000\r\n") * 400, [("413",), ("close",)]),
        ("early close mid-body", post + b"Content-Length: 10\r\n\r\nabc", "shut"),
        ("early close mid-head", LINE + b"Hos", "shut"),
        ("invalid UTF-8 path", b"GET /%ff%fe HTTP/1.1\r\n" + H + b"\r\n", bad),
        ("%00 in path", b"GET /a%00b HTTP/1.1\r\n" + H + b"\r\n", [("400", "404")]),
        ("CTL in path", b"GET /a\x01 HTTP/1.1\r\n" + H + b"\r\n", bad),
        ("lower-case method", b"get /healthz HTTP/1.1\r\n" + H + b"\r\n", [("400", "405", "501"), ("close",)]),
        ("unknown method", b"BREW /healthz HTTP/1.1\r\n" + H + b"\r\n", [("405", "501"), ("close",)]),
        ("HEAD", b"HEAD /healthz HTTP/1.1\r\n" + H + b"\r\n", "head"),
        ("CONNECT", b"CONNECT x:80 HTTP/1.1\r\n" + H + b"\r\n", [("400", "404", "405", "501")]),
        ("Upgrade h2c", GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n", fine),
        ("tab sep request line", b"GET\t/healthz\tHTTP/1.1\r\n" + H + b"\r\n", bad),
        ("two spaces req line", b"GET  /healthz HTTP/1.1\r\n" + H + b"\r\n", bad),
        ("leading CRLF", b"\r\n" + GET + b"\r\n", fine),
        ("PRI h2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [("400", "505"), ("close",)]),
        ("GET with body smuggle", GET + b"Content-Length: 38\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n\r\n\r\n", fine),
        ("TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", [("400",), ("close",)]),
    ]
