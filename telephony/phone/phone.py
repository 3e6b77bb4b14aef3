"""A SIP phone for programs: one account on a server, and any number of calls."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Final, Literal, Self

import structlog

from net.tls import Tls, client_context
from telephony.aio.ports import PortPool
from telephony.aio.resolver import Resolver
from telephony.aio.transport import SipTransport
from telephony.aio.udp import host_towards
from telephony.b2bua.referral import refer_to
from telephony.b2bua.session_timer import IntervalTooSmallError
from telephony.b2bua.settings import SessionInterval
from telephony.errors import NoPortsError, ParseError
from telephony.phone.account import DnsClient, PhoneAccount, find_servers
from telephony.phone.call import VoIPCall
from telephony.phone.dispatch import handle
from telephony.phone.media import SDP
from telephony.phone.registration import PhoneRequest, RegistrationClient, ping
from telephony.phone.state import CallState, Changes, InvalidStateError, RegistrationError
from telephony.phone.transferred import notify_progress, replaced_call, target_of
from telephony.sdp import Srtp
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import (
    Address,
    DialogRequest,
    IncomingInvite,
    InviteCancelled,
    InviteFailed,
    InviteProgress,
    PeerLost,
    PrackMissing,
    SipEvent,
    StandaloneRequest,
    StandaloneResponse,
)
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.uri import Uri
from telephony.sip.ua.auth import DigestClient
from telephony.sip.ua.uas import InviteServer

logger = structlog.get_logger(__name__)

CallCallback = Callable[[VoIPCall], Awaitable[None]]
TransferCallback = Callable[[VoIPCall, VoIPCall], Awaitable[None]]

_ALLOW: Final = (
    *("INVITE", "ACK", "PRACK", "CANCEL", "BYE", "UPDATE"),
    *("OPTIONS", "INFO", "NOTIFY"),
)
_FAREWELL: Final = 2.0
"""The seconds that `stop` waits for calls and registration to end before it closes the socket."""


class VoIPPhone:
    """A SIP phone with pyVoIP's names. Methods that wait are coroutines.

    ```python
    async with VoIPPhone("192.0.2.10", 5060, "201", password, call_callback=on_call) as phone:
        call = await phone.call("202")
        await call.wait_for(CallState.ANSWERED)
        await call.write_audio(pcm)
        await call.hangup()
    ```
    """

    def __init__(
        self,
        server: str,
        port: int,
        username: str,
        password: str,
        *,
        my_ip: str = "",
        rtp_ports: tuple[int, int] = (10_000, 20_000),
        sip_port: int = 0,
        register: bool = True,
        call_callback: CallCallback | None = None,
        transfer_callback: TransferCallback | None = None,
        srtp: Literal["off", "optional", "required"] = "optional",
        transport: Literal["udp", "tcp", "tls"] = "udp",
        tls: ssl.SSLContext | None = None,
        server_name: str = "",
        resolver: DnsClient | None = None,
        session_expires: int = 1800,
    ) -> None:
        """Prepare a phone without opening a socket; `start` opens the socket.

        Args:
            server: The server's IP literal or name. For a name, `start` uses the first address that
                the system finds.
            port: The server's SIP port. With 0, `server` is a domain: `start` asks DNS for its
                servers (SRV, RFC 3263), and registers at the first that answers (503 is no answer).
            username: The account's name, which called parties see as our phone number.
            password: The password for digest authentication, used only if the server asks for it.
            my_ip: Our IP literal, for the sockets and for Via, Contact and SDP. If empty, the
                address from which this machine reaches the server.
            rtp_ports: The first and the last port for media. Each call uses two ports.
            sip_port: The local SIP port; 0 lets the system choose.
            register: False if the server already knows the phone by its address.
            call_callback: Runs in its own task for each received call as soon as it rings; without
                it, calls are refused with 480. If it raises an exception, the phone logs the type
                and the place in the code, and ends the call. A call that still rings gets 500.
            transfer_callback: Runs in its own task when the other party transfers us (REFER). It
                gets the call of the REFER and the new call, whose INVITE has been sent. Without it,
                a REFER is refused with 405.
            srtp: "off" uses only plain RTP, "required" only SRTP (SDES). With "optional", we offer
                plain RTP and accept both.
            transport: With "tls", the phone opens no port for connections: received calls use the
                connection by which the phone registered.
            tls: The context that verifies the server, only for "tls". The default trusts the
                system's certificate authorities. `net.tls.client_context` makes other contexts.
            server_name: The name that the server's certificate must contain; `server` if empty.
            resolver: The DNS client. If None, the phone asks the system's name servers.
            session_expires: The session interval that we ask for, in seconds, at least 90. A call
                ends if its session is not refreshed in the agreed interval (RFC 4028).

        Raises:
            ValueError: `session_expires` is less than 90.
        """
        self._server = Address(server, port, transport.upper(), server_name)
        self._tls = tls
        self._username = username
        self._password = password
        self._my_ip = my_ip
        self._sip_port = sip_port
        self._resolver = resolver or Resolver()
        self._rtp_ports = rtp_ports
        self._srtp = Srtp(srtp)
        self._session = SessionInterval(session_expires)
        self._register = register
        self._callback = call_callback
        self._transfer_callback = transfer_callback
        self._account: PhoneAccount | None = None
        self._registration: RegistrationClient | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.calls: list[VoIPCall] = []
        """The calls of this phone that have not ended."""
        self.address = Address(my_ip, sip_port, transport.upper())
        """The address on which the phone listens; before `start`, `my_ip` and `sip_port`."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the socket and register at the server.

        Raises `OSError` if the server has no address or the socket cannot be bound. If the server
        refuses or does not answer, close the socket and raise `RegistrationError`.
        """
        *first, last = await find_servers(self._server, self._resolver, self._my_ip)
        for server in first:
            try:
                await self._open(server)
            except RegistrationError as error:
                if error.status not in {408, 503}:
                    raise
            else:
                return
        await self._open(last)

    async def _open(self, server: Address) -> None:
        endpoint = Endpoint(
            allow=_ALLOW if self._transfer_callback is None else (*_ALLOW, "REFER"),
            supported=("100rel", "timer", "replaces"),
            user_agent="Galwad phone",
        )
        transport = SipTransport(endpoint, self._on_event)
        here = self._my_ip or host_towards(server.host)
        wanted = Address(here, self._sip_port, server.transport)
        tls = Tls(client=self._tls or client_context()) if wanted.transport == "TLS" else None
        self.address = await transport.listen(wanted, tls=tls)
        pool = PortPool(here, *self._rtp_ports)
        digest = DigestClient(self._username, self._password)
        endpoint.authenticate(
            lambda request, response, _: digest.answer(request, response, secrets.token_hex(8))
        )
        domain = Uri(host=self._server.host, port=self._server.port or None)
        self._account = PhoneAccount(
            *(server, domain, self._username, transport, pool),
            srtp=self._srtp,
            session=self._session,
        )
        if not self._register:
            return
        self._registration = RegistrationClient(self._account, self.address)
        try:
            await self._registration.start()
        except BaseException:
            self._registration = None
            await self.stop()
            raise

    async def stop(self) -> None:
        """End all calls, unregister and close the socket; do nothing if not started."""
        if self._account is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                await asyncio.gather(*(call.hangup() for call in list(self.calls)))
                if self._registration is not None:
                    await self._registration.stop()
        for call in list(self.calls):
            call.become(CallState.ENDED)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._account.transport.close()
        self._account = self._registration = None
        self.calls.clear()

    async def call(
        self,
        number: str,
        headers: Iterable[tuple[str, str]] = (),
        *,
        late_offer: bool = False,
        follow: bool = False,
    ) -> VoIPCall:
        """Place a call to a number at the server, or to a SIP URI through it.

        Return as soon as the INVITE has been sent; `VoIPCall.wait_for` waits for progress.
        Credentials are sent if the server asks for them (401, 407).

        Args:
            number: A phone number, or a URI that begins with `sip:`, `sips:` or `tel:`.
            headers: Header fields to add to the INVITE, such as P-Asserted-Identity or Privacy.
            late_offer: Send an INVITE without SDP, as some gateways do: the called side offers.
            follow: After a 3xx, call its URIs through the server until one answers, the preferred
                first. One call tries each URI at most once, and ten URIs at most.

        Raises:
            InvalidStateError: The phone is not started.
            NoPortsError: No pair of media ports is free.
            SipParseError: `number` begins like a URI but is not valid.
            ProtocolError: `number` has characters that a URI must escape.
        """
        account = self._started()
        return self._place(
            account, account.uri(number), headers, late_offer=late_offer, follow=follow
        )

    async def ping(self) -> int:
        """Send OPTIONS; return the final status. Any status shows that the server works.

        Raises `InvalidStateError` before `start`, `CallFailedError` without an answer.
        """
        return await ping(self._started())

    def _started(self) -> PhoneAccount:
        if self._account is None:
            raise InvalidStateError("the phone is not started")
        return self._account

    def _place(
        self,
        account: PhoneAccount,
        uri: Uri,
        headers: Iterable[tuple[str, str]],
        *,
        late_offer: bool = False,
        follow: bool = False,
    ) -> VoIPCall:
        to = NameAddr("", uri)
        call = VoIPCall(account, to, Changes())
        call.redirection.follow = follow
        call.client = account.transport.endpoint.invite(
            uri,
            from_=account.address,
            to=to,
            destination=account.server,
            headers=(*headers, *call.session.request_headers(), *(() if late_offer else (SDP,))),
            body=b"" if late_offer else call.media.offer(),
            owner=call,
            now=account.now,
        )
        self.calls.append(call)
        account.transport.flush()
        return call

    def _on_event(self, event: SipEvent) -> None:
        account = self._account
        if account is None:
            return
        match event:
            case IncomingInvite():
                self._on_invite(account, event.invite)
            case StandaloneResponse():
                if isinstance(event.transaction.owner, PhoneRequest):
                    event.transaction.owner.on_response(event)
            case PeerLost(peer):
                if peer == account.server and self._registration is not None:
                    self._registration.on_lost()
            case StandaloneRequest():
                known = event.request.method == "OPTIONS"
                event.transaction.respond(200 if known else 481, now=account.now)
            case DialogRequest() if event.request.method == "REFER":
                self._on_refer(account, event)
            case _:
                call = _call_of(event)
                if call is not None:
                    handle(account, call, event)
        self.calls = [call for call in self.calls if call.state is not CallState.ENDED]

    def _on_invite(self, account: PhoneAccount, invite: InviteServer) -> None:
        if self._callback is None:
            invite.respond(480, now=account.now)
            return
        try:
            call = VoIPCall(account, invite.request.from_, Changes(), invite)
        except (NoPortsError, ParseError) as error:
            invite.respond(getattr(error, "status", 503), now=account.now)
            return
        try:
            call.session.validate(invite.request)
            call.takes_over = replaced_call(account.transport.endpoint, invite.request)
        except IntervalTooSmallError:
            invite.respond(422, headers=call.session.rejection_headers, now=account.now)
        except ParseError as error:
            invite.respond(error.status, now=account.now)
        if invite.answered:
            call.become(CallState.ENDED)
            return
        invite.owner = call
        invite.respond(180, now=account.now)
        self.calls.append(call)
        self._run(self._ring(self._callback(call), call))

    def _on_refer(self, account: PhoneAccount, event: DialogRequest) -> None:
        call, to = event.dialog.owner, refer_to(event.request)
        if not isinstance(call, VoIPCall) or isinstance(to, int):
            event.transaction.respond(to if isinstance(to, int) else 481, now=account.now)
            return
        if self._transfer_callback is None or call.state is not CallState.ANSWERED:
            event.transaction.respond(603, now=account.now)
            return
        uri, headers = target_of(event.request, to)
        try:
            new = self._place(account, uri, headers)
        except NoPortsError:
            event.transaction.respond(503, now=account.now)
            return
        event.transaction.respond(202, now=account.now)
        self._run(notify_progress(call, event.dialog, event.request, new))
        self._run(self._ring(self._transfer_callback(call, new), new))

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _ring(callback: Awaitable[None], call: VoIPCall) -> None:
        try:
            await callback
        except Exception as error:  # noqa: BLE001 - the user's code must not end the phone
            # We log only the exception's type and its place in the code, because the text of an
            # exception may contain a phone number.
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{place.filename}:{place.lineno}"
            logger.error("phone.callback_failed", error=type(error).__name__, where=where)  # noqa: TRY400
            if call.state is CallState.RINGING and call.invite is not None:
                call.refuse(500)
            await call.hangup()


def _call_of(event: SipEvent) -> VoIPCall | None:
    match event:
        case InviteCancelled() | PrackMissing():
            owner = event.invite.owner
        case InviteProgress() | InviteFailed():
            owner = event.client.owner
        case _:
            dialog = getattr(event, "dialog", None)
            owner = dialog.owner if dialog is not None else None
    return owner if isinstance(owner, VoIPCall) else None
