"""Where a class finds its pages: the address that students open, and the teacher's link."""

import ipaddress
import socket
from urllib.parse import urlsplit

import psutil

from app.own_hosts import is_loopback


def join_address(host: str, port: int, set_address: str = "") -> str:
    """The address that students open.

    Args:
        host: That the page listens on.
        port: Of the page.
        set_address: Of the page as its owner has set it, such as that of a proxy.
    """
    if set_address:
        return f"{set_address.rstrip('/')}/class"
    name = _own_address() if host in ("0.0.0.0", "::") else host.strip("[]")
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/class"


def told(host: str, address: str, token: str) -> str:
    """What the program says when a class begins; the only place where the teacher's link is shown."""
    lines = [f"Students join at {address}", f"The teacher's page, keep it to yourself: {address}/teacher/{token}"]
    if is_loopback(host) and is_loopback(urlsplit(address).hostname or ""):
        lines.append("Only this machine can open these: start again with --host 0.0.0.0, so that a class can join.")
    return "\n".join(lines)


def _own_address() -> str:
    """The address of this machine in its network; of several, the one that other machines most likely reach."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("10.255.255.255", 9))  # sends nothing: it asks for the way there
            if not is_loopback(found := str(probe.getsockname()[0])):
                return found
        except OSError:
            pass  # no network with a way out, such as a laptop's own
    interfaces = psutil.net_if_stats()
    for name, addresses in psutil.net_if_addrs().items():
        for each in addresses:
            if each.family == socket.AF_INET and name in interfaces and interfaces[name].isup:
                address = ipaddress.ip_address(each.address)
                if not address.is_loopback and not address.is_link_local:
                    return str(address)
    return "127.0.0.1"
