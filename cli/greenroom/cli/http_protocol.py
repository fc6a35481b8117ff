"""HTTP/1.1 as uvicorn speaks it, also with clients that offer HTTP/2 along with their first request."""

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_OFFER = frozenset({b"connection", b"upgrade", b"http2-settings"})


class HttpProtocol(HttpToolsProtocol):
    """Java's own client, and what is built on it, sends `Upgrade: h2c` before it knows better. A server may pass that over
    (RFC 9110, 7.8). The parser stops there, though, and uvicorn would take the request for one without a body."""

    _offered = False
    """Whether the head that is being read has an offer."""

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                if not self._offered:
                    self._unsupported_upgrade_warning()
                    return
                data = self._without_offer() + data[upgrade.args[0] :]
            except httptools.HttpParserError:
                message = "Invalid HTTP request received."
                self.logger.warning(message)
                self.send_400_response(message)
                return

    def on_headers_complete(self) -> None:
        self._offered = self.parser.should_upgrade() and any(name == b"upgrade" for name, _ in self.headers)
        if not self._offered:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self._offered:
            super().on_message_complete()

    def _without_offer(self) -> bytes:
        """The request's head, to be read once more by a new parser."""
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % header for header in self.headers if header[0] not in _OFFER]
        if any(name == b"connection" and b"close" in value.lower() for name, value in self.headers):
            lines.append(b"connection: close")
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn sets it
        return b"\r\n".join([*lines, b"", b""])
