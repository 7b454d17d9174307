"""Authentication by API key (`Authorization: Bearer KEY`) with two roles. Without keys, only requests of the same
machine are allowed."""

import base64
import binascii
import hashlib
import hmac
import ipaddress
from enum import IntEnum

from fastapi import Request
from fastapi.security import HTTPBearer

from contracts import Settings
from contracts.errors import TastefeedError, UnsafeBinding

HOW_TO_SET_KEYS = "set TASTEFEED_FEED_KEYS and TASTEFEED_ADMIN_KEYS (comma-separated) to serve others"
FINGERPRINT_DIGITS = 8
BEARER = HTTPBearer(auto_error=False, description="a feed key or an admin key; none where the server has no keys")


class NotAuthenticated(TastefeedError):
    """The request has no key, or an unknown one."""


class NotAllowed(TastefeedError):
    """The key is valid, but its role does not allow the request."""


class NotLocal(TastefeedError):
    """A server without keys was called from another machine, or under a name that is not local."""


class Role(IntEnum):
    """What a key allows; admin allows everything."""

    NONE = 0
    FEED = 1
    ADMIN = 2


class ApiKeys:
    """The API keys of the settings."""

    def __init__(self, settings: Settings) -> None:
        """Comma-separated keys of each role."""
        self._keys = {
            Role.ADMIN: _split(settings.admin_keys.get_secret_value()),
            Role.FEED: _split(settings.feed_keys.get_secret_value()),
        }

    @property
    def any(self) -> bool:
        """Whether at least one key is set."""
        return any(self._keys.values())

    def role(self, key: str) -> Role:
        """The role of a key. Every key is compared, each in constant time."""
        given = key.encode()
        roles = [role for role, keys in self._keys.items() for valid in keys if hmac.compare_digest(valid, given)]
        return max(roles, default=Role.NONE)

    def allows(self, request: Request, needed: Role) -> bool:
        """Whether the request may do what `needed` allows."""
        return not self.any or self.role(_key_of(request)) >= needed

    def caller(self, request: Request) -> str:
        """Who calls, for the audit: the fingerprint of the key, never the key; `local` where the server has no keys."""
        return f"key:{fingerprint(_key_of(request))}" if self.any else "local"

    def check(self, request: Request, needed: Role) -> None:
        """Raise `NotAuthenticated` or `NotAllowed` unless the request is allowed."""
        if self.allows(request, needed):
            return
        role = self.role(_key_of(request))
        if role is Role.NONE:
            raise NotAuthenticated("send a valid key of this server as `Authorization: Bearer KEY`")
        raise NotAllowed(f"this takes an {needed.name.lower()} key, the request came with a {role.name.lower()} key")


def check_same_origin(request: Request) -> None:
    """Refuse a form that another site's page sent (cross-site request forgery). Raises `NotAllowed`.

    The rule is that of Go's `http.CrossOriginProtection`. `Sec-Fetch-Site` decides where the browser sends it. In other
    browsers `Origin` must be this server's. A client that sends neither is no browser, so no page controls it.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    own = origin is None or _host_of(origin) == request.headers.get("host")
    if not (site in {"same-origin", "none"} if site else own):
        raise NotAllowed("this form was sent from another site; open this server's own page and use its button")


def fingerprint(key: str) -> str:
    """A short hash that names a key: the first digits of `printf %s KEY | sha256sum`."""
    return hashlib.sha256(key.encode()).hexdigest()[:FINGERPRINT_DIGITS]


def caller(request: Request) -> str:
    """Who calls, for the audit."""
    keys: ApiKeys = request.app.state.api_keys
    return keys.caller(request)


def may_read(request: Request) -> None:
    """Require a feed key or an admin key."""
    request.app.state.api_keys.check(request, Role.FEED)


def may_administer(request: Request) -> None:
    """Require an admin key."""
    request.app.state.api_keys.check(request, Role.ADMIN)


def check_binding(settings: Settings, host: str) -> None:
    """Refuse to listen beyond loopback without keys. Raises `UnsafeBinding`."""
    if not ApiKeys(settings).any and not is_loopback(host):
        raise UnsafeBinding(
            f"without keys the server listens on loopback only, not on {host!r}; {HOW_TO_SET_KEYS}, or leave out --host"
        )


def check_local(request_host: str, client: str | None) -> None:
    """Without keys, require a local client and a loopback name. With DNS rebinding, another site's name points to
    127.0.0.1, but the browser still sends that name as `Host`. Raises `NotLocal`."""
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


def _key_of(request: Request) -> str:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":  # a browser sends the key as the password
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""
