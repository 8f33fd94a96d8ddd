"""The servers together: their ports taken or refused at once, and given back on leaving."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from metallize.errors import HostError, of_thread
from metallize.serve.files import Offer
from metallize.serve.http import MOST_CONNECTIONS, HttpServer
from metallize.serve.log import FetchLog
from metallize.serve.tftp import TftpServer

EVERYWHERE = "0.0.0.0"  # noqa: S104 - whoever boots comes from somewhere else
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Servers that answer."""

    log: FetchLog
    http: HttpServer
    tftp: TftpServer | None = None

    def stop(self) -> None:
        """From now on nobody is answered, and what is under way is cut off."""
        self.http.shutdown()
        self.http.server_close()
        self.http.hang_up()
        if self.tftp is not None:
            self.tftp.stop()


@contextmanager
def serving(
    files: Offer,
    log: FetchLog,
    *,
    address: str = EVERYWHERE,
    http_port: int,
    tftp_port: int | None = None,
    most: int = MOST_CONNECTIONS,
) -> Iterator[Running]:
    """Serve while the body runs; port 0 is any that is free, and without a `tftp_port` there is no TFTP.

    Over HTTP `most` connections are taken at a time.

    Raises HostError where a port cannot be had, with what helps; at the end, what a server has died of meanwhile.
    """
    with ExitStack() as stack:
        try:
            http = HttpServer(address, http_port, files, log, most=most)
        except (OSError, OverflowError) as exc:
            raise _refused(exc, address, http_port, "TCP", "--http-port") from exc
        stack.callback(http.server_close)
        tftp = None
        if tftp_port is not None:
            try:
                tftp = TftpServer(address, tftp_port, files, log, http_port=http.port)
            except (OSError, OverflowError) as exc:
                raise _refused(exc, address, tftp_port, "UDP", "--tftp-port") from exc
            stack.callback(tftp.close)
        running = Running(log=log, http=http, tftp=tftp)
        broken: list[BaseException] = []
        serve = [partial(http.serve_forever, _POLL_SECONDS), *([tftp.serve_forever] if tftp is not None else [])]
        threads = [threading.Thread(target=_until_broken, args=(each, broken), daemon=True) for each in serve]
        for thread in threads:
            thread.start()
        stack.callback(_join, threads)
        stack.callback(running.stop)
        yield running
    if broken:
        raise of_thread("a server", broken[0])


def _until_broken(serve: Callable[[], None], broken: list[BaseException]) -> None:
    """Serve, and keep what that died of for the thread that began it."""
    try:
        serve()
    except BaseException as exc:  # noqa: BLE001 - raised where the server is stopped
        broken.append(exc)


def _join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join()


def _refused(exc: Exception, address: str, port: int, kind: str, option: str) -> HostError:
    place = f"{kind} port {port}"
    number = exc.errno if isinstance(exc, OSError) else None
    if number in {errno.EACCES, errno.EPERM}:
        return HostError(
            f"{place} is not permitted: ports below 1024 are for root",
            hint=f"run it with sudo, or permit it: sudo sysctl net.ipv4.ip_unprivileged_port_start={port}",
        )
    if number == errno.EADDRINUSE:
        ask = "ss -lntp" if kind == "TCP" else "ss -lnup"
        return HostError(
            f"{place} is taken by another program",
            hint=f"see which: sudo {ask} 'sport = :{port}'; or choose another port with {option}",
        )
    if number == errno.EADDRNOTAVAIL:
        return HostError(f"{address} is no address of this host", hint="see `ip -brief address`")
    return HostError(f"{address}, {place}: {exc}", hint=f"choose another with --address or {option}")
