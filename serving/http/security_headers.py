"""Headers of every answer that limit what a browser does with it."""

from starlette.types import Message

PAGE_POLICY = (
    "default-src 'none'; style-src {styles}; img-src https: data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
"""The Content-Security-Policy of pages; `styles` has the hash of the one style sheet."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    # an address contains a user id, so no other site may receive it; "no-referrer" makes forms send `Origin: null`
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # answers contain feeds and opt-outs of users, so neither a proxy nor a browser stores them
    "Cache-Control": "no-store",
}
OVER_TLS = {"Strict-Transport-Security": "max-age=31536000"}
"""Browsers use this host through TLS only, for a year."""


class SecurityHeaders:
    """Adds the headers that an answer does not set itself."""

    def __init__(self, *, tls: bool) -> None:
        """With `tls`, the server itself ends TLS."""
        headers = {**HEADERS, **(OVER_TLS if tls else {})}
        self._encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    def add_to(self, start: Message) -> None:
        """Add to the `http.response.start` message of an answer."""
        present = {name.lower() for name, _ in start["headers"]}
        start["headers"] = [*start["headers"], *(pair for pair in self._encoded if pair[0] not in present)]
