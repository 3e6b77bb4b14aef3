"""simple-salesforce, signed in to the stand-in of Salesforce as if it were at its own name."""

from __future__ import annotations

import ssl

from requests import Session
from requests.adapters import HTTPAdapter
from simple_salesforce.api import Salesforce as SimpleSalesforce

from helpers.certificates import Authority
from helpers.salesforce import CLIENT_ID, MY_DOMAIN, SECRET


class ToLoopback(HTTPAdapter):
    """Sends requests to a server on the loopback, which must prove the name of My Domain."""

    def __init__(self, url):
        self._url = url
        super().__init__()

    def init_poolmanager(self, connections, maxsize, block=False, **options):  # noqa: FBT002
        options |= {"server_hostname": MY_DOMAIN, "assert_hostname": MY_DOMAIN}
        super().init_poolmanager(connections, maxsize, block, **options)

    def send(self, request, *arguments, **options):
        request.headers["Host"] = MY_DOMAIN
        request.url = request.url.replace(f"https://{MY_DOMAIN}", self._url)
        return super().send(request, *arguments, **options)


def certified(folder):
    """Return the path of an authority's certificate, and TLS of a server that it has certified."""
    authority = Authority(folder, "salesforce-ca")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("my-domain", MY_DOMAIN, "127.0.0.1"))
    return authority.path, context


def session(url, ca):
    """Return a session whose requests to My Domain go to the server at `url`."""
    made = Session()
    made.trust_env = False
    made.verify = str(ca)
    made.mount(f"https://{MY_DOMAIN}", ToLoopback(url))
    return made


def signed_in(made, *, client_id=CLIENT_ID, secret=SECRET, version="65.0"):
    """Return simple-salesforce after its request for a token with the client's credentials."""
    return SimpleSalesforce(
        consumer_key=client_id,
        consumer_secret=secret,
        domain="council.my",
        session=made,
        version=version,
    )
