"""Hand out a network boot archive over HTTP and TFTP, and keep a log of who fetched what."""

from metallize.serve import archive, bridge
from metallize.serve.dhcp import advice, own_address
from metallize.serve.files import Files, opened, opened_parts
from metallize.serve.log import MOST_FETCHES, Fetch, FetchLog, Protocol
from metallize.serve.pointers import pointers
from metallize.serve.server import Running, serving

__all__ = [
    "MOST_FETCHES",
    "Fetch",
    "FetchLog",
    "Files",
    "Protocol",
    "Running",
    "advice",
    "archive",
    "bridge",
    "opened",
    "opened_parts",
    "own_address",
    "pointers",
    "serving",
]
