"""The certificate of a server that ends TLS: checked before the start, and read again when its files change."""

import logging
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from contracts.atomic_files import Signature, signature_of
from contracts.errors import BadSetting

LOG = logging.getLogger("tastefeed.tls")


@dataclass
class CertificateFiles:
    """A PEM chain and its private key."""

    chain: Path
    key: Path
    _signatures: tuple[Signature | None, ...] = field(init=False, default=())

    def check(self) -> None:
        """Load both once. Raises `BadSetting`."""
        self._load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))

    def renew(self, context: ssl.SSLContext) -> None:
        """Use changed files for the connections that follow. Until they match, the old ones stay in use. The first
        call reads them too: they may have changed since the start."""
        now = signature_of(self.chain), signature_of(self.key)
        if now == self._signatures:
            return
        self._signatures = now
        try:
            self.check()  # a failure would leave half of the files in the context
        except BadSetting as error:
            LOG.error("%s; the certificate that was read before stays in use", error)
        else:
            self._load_into(context)
            LOG.info("the certificate was read again")

    def _load_into(self, context: ssl.SSLContext) -> None:
        try:
            # without `password`, OpenSSL would ask for one on the terminal
            context.load_cert_chain(self.chain, self.key, password="")
        except OSError as error:
            problem = error.strerror or getattr(error, "reason", "") or str(error)
            raise BadSetting(
                f"cannot use certificate {self.chain} with key {self.key} ({problem}); "
                "give a PEM chain and its unencrypted private key"
            ) from None
