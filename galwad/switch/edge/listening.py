"""The addresses in `[sip] listen`: their sockets, their advertised addresses and certificates."""

from __future__ import annotations

import ssl

import structlog

from galwad.settings.switch import SipSection
from net.addresses import host_of_family
from net.tls import Tls, client_context, server_context
from telephony.aio.connection import ConnectionLimits
from telephony.aio.transport import SipTransport
from telephony.sip.endpoint import SUPPORTED
from telephony.sip.events import Address
from telephony.sip.message.header_values import RELIABLE

log = structlog.get_logger()


def limits_of(sip: SipSection) -> ConnectionLimits:
    """Return the limits for SIP connections, as set in the `[sip]` settings."""
    return ConnectionLimits(connections=sip.max_connections)


def supported_by(sip: SipSection) -> tuple[str, ...]:
    """Return the option tags of the SIP extensions that the `[sip]` settings allow."""
    return tuple(tag for tag in SUPPORTED if sip.prack or tag != RELIABLE)


class Listening:
    """Opens the listening addresses, and can load a new certificate."""

    def __init__(self, sip: SipSection, transport: SipTransport) -> None:
        self._sip = sip
        self._transport = transport
        self._tls: Tls | None = None

    async def start(self) -> None:
        """Bind every listening address; raise OSError if one, or a certificate, cannot be used."""
        for listener in self._sip.listen:
            wanted = Address(listener.host, listener.port, listener.transport.upper())
            told = host_of_family(self._sip.advertise, listener.host)
            bound = await self._transport.listen(
                wanted,
                advertised=Address(told, listener.port, wanted.transport) if told else None,
                tls=self._contexts() if wanted.transport == "TLS" else None,
            )
            log.info(
                "sip.listening", transport=listener.transport, host=bound.host, port=bound.port
            )

    def reload(self) -> None:
        """Load the certificate for new connections. If that fails, keep the old certificate."""
        certificate, key = self._sip.tls_certificate, self._sip.tls_key
        if self._tls is None or certificate is None:
            return
        try:
            # If the new certificate and its key cannot be used, `server_context` raises an error
            # here, before the present certificate is replaced.
            server_context(certificate, key)
            for context in (self._tls.server, self._tls.client):
                if context is not None:
                    context.load_cert_chain(certificate, key)
        except OSError as error:
            log.error("sip.certificate_refused", reason=_reason(error))  # noqa: TRY400 - no traceback needed
        else:
            log.info("sip.certificate_renewed")

    def _contexts(self) -> Tls:
        if self._tls is None:
            sip = self._sip
            if sip.tls_certificate is None:
                # cannot happen: the settings require a certificate for TLS
                raise OSError("no certificate")
            pair = sip.tls_certificate, sip.tls_key
            self._tls = Tls(
                server_context(*pair, client_ca=sip.tls_client_ca),
                client_context(ca=sip.tls_ca, certificate=pair[0], key=pair[1]),
            )
        return self._tls


def _reason(error: OSError) -> str:
    return (error.reason if isinstance(error, ssl.SSLError) else error.strerror) or "unusable"
