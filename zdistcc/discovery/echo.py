"""Whether an announcement made on an interface can be heard there: firewalls that drop multicast show here.

Two responders of their own, as two programs would use them; what the one sends, the kernel hands back to the other
through the same filters as everybody else's packets.
"""

from __future__ import annotations

import contextlib
import secrets
from typing import Final

from zeroconf.asyncio import AsyncServiceInfo

from zdistcc.discovery.interfaces import Interface
from zdistcc.discovery.mdns import open_responder

PROBE_TYPE: Final = "_zdistcc-echo._tcp.local."
HEARD_WITHIN_MS: Final = 3000


async def is_heard(interface: Interface) -> bool:
    """Return whether an announcement on ``interface`` comes back.

    Raises :class:`NoMulticast` or :class:`OSError` where none can be made.
    """
    name = f"{secrets.token_hex(6)}.{PROBE_TYPE}"
    host = f"{secrets.token_hex(6)}.local."
    info = AsyncServiceInfo(PROBE_TYPE, name, port=9, server=host, addresses=[b"\x7f\0\0\1"])
    speaker = open_responder((interface,))
    try:
        listener = open_responder((interface,))
        try:
            await speaker.async_register_service(info, cooperating_responders=True)
            return await AsyncServiceInfo(PROBE_TYPE, name).async_request(listener.zeroconf, HEARD_WITHIN_MS)
        finally:
            await listener.async_close()
    finally:
        with contextlib.suppress(OSError):
            await speaker.async_unregister_all_services()
        await speaker.async_close()
