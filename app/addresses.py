"""Whose request it is: the address that limits are counted for."""

import ipaddress
from collections.abc import Sequence


def caller_address(peer: str, forwarded: Sequence[str], proxies: int) -> str:
    """The address of whoever sent a request; of IPv6 the network, for one subscriber has 2 ** 64 addresses of it.

    Args:
        peer: Who opened the connection.
        forwarded: Values of all headers ``X-Forwarded-For``. Each proxy adds the address that it was called from at
            the end; what stands before the trusted ones' entries is the caller's own invention.
        proxies: Trusted ones in front of the page; with 0 the headers are not read.
    """
    entries = [entry.strip() for value in forwarded for entry in value.split(",")]
    trusted = entries[-proxies:] if proxies else []
    named = trusted[0] if len(trusted) == proxies and proxies else ""
    return _network(named) or _network(peer) or peer[:60]


def _network(text: str) -> str:
    """Empty if the text is no address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.ip_network((int(address), 64), strict=False))
        address = address.ipv4_mapped
    return str(address)
