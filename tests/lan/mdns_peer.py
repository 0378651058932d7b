"""``mdns_peer.py TYPE PORT ADDRESS``: advertise this host's name as a service and print what is browsed.

Lines: ``+ NAME ADDRESS PORT`` when a service is resolved, ``- NAME`` when it is gone.  SIGTERM says goodbye
and ends.  Uses zeroconf itself rather than the package's discovery, which has tests of its own.
"""

from __future__ import annotations

import signal
import socket
import sys

from zeroconf import ServiceBrowser, ServiceInfo, ServiceListener, Zeroconf

RESOLVE_TIMEOUT_MS = 5000


class Printer(ServiceListener):
    def add_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        info = zc.get_service_info(type_, name, RESOLVE_TIMEOUT_MS)
        if info is not None:
            label = name.removesuffix("." + type_)
            print("+", label, info.parsed_scoped_addresses()[0], info.port, flush=True)

    def remove_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        print("-", name.removesuffix("." + type_), flush=True)

    def update_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        pass


def main() -> None:
    kind, port, address = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    host = socket.gethostname()
    zc = Zeroconf()
    zc.register_service(ServiceInfo(kind, f"{host}.{kind}", port, parsed_addresses=[address], server=f"{host}.local."))
    ServiceBrowser(zc, kind, Printer())
    signal.sigwait({signal.SIGTERM})
    zc.unregister_all_services()
    zc.close()


if __name__ == "__main__":
    main()
