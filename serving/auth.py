"""Who may do what: `Authorization: Bearer KEY`, two roles. Without keys, the server is for its own machine alone."""

import base64
import binascii
import hmac
import ipaddress
from enum import IntEnum

from fastapi import Request
from fastapi.security import HTTPBearer

from contracts import Settings
from contracts.errors import TastefeedError, UnsafeBinding

HOW_TO_SET_KEYS = "set TASTEFEED_FEED_KEYS and TASTEFEED_ADMIN_KEYS (comma-separated) to serve others"
BEARER = HTTPBearer(auto_error=False, description="a feed key or an admin key; none where the server has no keys")


class NotAuthenticated(TastefeedError):
    """No key came, or none that the server knows."""


class NotAllowed(TastefeedError):
    """The key is known and may not do this."""


class NotLocal(TastefeedError):
    """A server without keys was reached from elsewhere, or under another name."""


class Role(IntEnum):
    """What a key may do; admin may do all."""

    NONE = 0
    FEED = 1
    ADMIN = 2


class Keys:
    """The keys of the settings."""

    def __init__(self, settings: Settings) -> None:
        """Comma-separated keys of each role."""
        self._keys = {
            Role.ADMIN: _split(settings.admin_keys.get_secret_value()),
            Role.FEED: _split(settings.feed_keys.get_secret_value()),
        }

    @property
    def any(self) -> bool:
        """Whether a single key is set."""
        return any(self._keys.values())

    def role(self, given: str) -> Role:
        """The role of a key. Every key is compared, each in constant time."""
        found = [role for role, keys in self._keys.items() for key in keys if hmac.compare_digest(key, given.encode())]
        return max(found, default=Role.NONE)

    def allows(self, request: Request, needed: Role) -> bool:
        """Whether `check` lets the request pass."""
        return not self.any or self.role(_given(request)) >= needed

    def check(self, request: Request, needed: Role) -> None:
        """Let the request pass. Raises `NotAuthenticated`, `NotAllowed`."""
        if self.allows(request, needed):
            return
        role = self.role(_given(request))
        if role is Role.NONE:
            raise NotAuthenticated("send a key that this server knows as `Authorization: Bearer KEY`")
        raise NotAllowed(f"this takes an {needed.name.lower()} key, the request came with a {role.name.lower()} key")


def check_same_origin(request: Request) -> None:
    """Refuse a form that another site's page sent (cross-site request forgery). Raises `NotAllowed`.

    The rule of Go's `http.CrossOriginProtection`: `Sec-Fetch-Site` decides where the browser sends it; else `Origin`
    must be this server's; a client that sends neither is no browser, and no page can make it send a key.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    own = origin is None or _host_of(origin) == request.headers.get("host")
    if not (site in {"same-origin", "none"} if site else own):
        raise NotAllowed("this form was sent from another site; open this server's own page and use its button")


def may_read(request: Request) -> None:
    """Pass feed and admin keys."""
    request.app.state.keys.check(request, Role.FEED)


def may_administer(request: Request) -> None:
    """Pass admin keys."""
    request.app.state.keys.check(request, Role.ADMIN)


def check_binding(settings: Settings, host: str) -> None:
    """Refuse to listen beyond loopback without keys. Raises `UnsafeBinding`."""
    if not Keys(settings).any and not is_loopback(host):
        raise UnsafeBinding(
            f"without keys the server listens on loopback only, not on {host!r}; {HOW_TO_SET_KEYS}, or leave out --host"
        )


def check_local(request_host: str, client: str | None) -> None:
    """Without keys: pass only this machine, asked for by a loopback name. A web page elsewhere that makes its own name
    point to 127.0.0.1 (DNS rebinding) still sends its own name. Raises `NotLocal`."""
    if not is_loopback(hostname(request_host)):
        raise NotLocal(f"this server has no keys and answers only to localhost and 127.0.0.1; {HOW_TO_SET_KEYS}")
    if client is not None and _is_address(client) and not is_loopback(client):
        raise NotLocal(f"this server has no keys and answers only its own machine; {HOW_TO_SET_KEYS}")


def hostname(header: str) -> str:
    """The name in a `Host` header, without its port."""
    return header[1:].split("]")[0] if header.startswith("[") else header.split(":")[0]


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _host_of(origin: str) -> str:
    return origin.partition("://")[2]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _split(keys: str) -> list[bytes]:
    return [key.strip().encode() for key in keys.split(",") if key.strip()]


def _given(request: Request) -> str:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":  # a browser that opens the page asks for a password: that is the key
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""
