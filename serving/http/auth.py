"""Authentication by API key (`Authorization: Bearer KEY`) with two roles. Without keys, only requests of the same
machine are allowed."""

import base64
import binascii
import ipaddress
from functools import lru_cache

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from contracts import Settings
from contracts.errors import TastefeedError, UnsafeBinding
from serving.http.api_keys import HOW_TO_SET_KEYS, ApiKeys, Role, digest_of

FINGERPRINT_DIGITS = 8
BEARER = HTTPBearer(auto_error=False, description="a feed key or an admin key; none where the server has no keys")


class NotAuthenticated(TastefeedError):
    """The request has no key, or an unknown one."""


class NotAllowed(TastefeedError):
    """The key is valid, but its role does not allow the request."""


class NotLocal(TastefeedError):
    """A server without keys was called from another machine, or under a name that is not local."""


def allows(request: Request, needed: Role) -> bool:
    """Whether the request may do what `needed` allows."""
    keys: ApiKeys = request.app.state.api_keys
    return not keys.any or keys.role(key_of(request)) >= needed


def require(keys: ApiKeys, request: Request, needed: Role) -> None:
    """Raise `NotAuthenticated` or `NotAllowed` unless the request has a key that allows it."""
    role = keys.role(key_of(request)) if keys.any else Role.ADMIN
    if role is Role.NONE:
        raise NotAuthenticated("send a valid key of this server as `Authorization: Bearer KEY`")
    if role < needed:
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


def caller(request: Request) -> str:
    """Who calls, for the audit: the first digits of `printf %s KEY | sha256sum`, or `local` without keys."""
    keys: ApiKeys = request.app.state.api_keys
    return f"key:{digest_of(key_of(request)).hex()[:FINGERPRINT_DIGITS]}" if keys.any else "local"


async def may_read(request: Request) -> None:
    """Require a feed key or an admin key. FastAPI would call it in a thread if it were not async."""
    require(request.app.state.api_keys, request, Role.FEED)


async def may_administer(request: Request) -> None:
    """Require an admin key."""
    require(request.app.state.api_keys, request, Role.ADMIN)


# OpenAPI 3.1 lists the roles that a call requires beside its security scheme
FEED_KEY = [Security(BEARER, scopes=["feed"]), Depends(may_read)]
ADMIN_KEY = [Security(BEARER, scopes=["admin"]), Depends(may_administer)]


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


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether a host is this machine; each request asks it twice."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _host_of(origin: str) -> str:
    return origin.partition("://")[2]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def key_of(request: Request) -> str:
    """The key that the request carries, or empty text."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":  # a browser sends the key as the password
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""
