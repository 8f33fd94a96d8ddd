"""A repository of an OCI registry: what oras, skopeo, Docker and KubeVirt pull from.

TAG CHANNEL             the folder of a channel, as an artifact of one layer a file; pushing it is the switch
TAG NAME_VERSION        a release; NAME_VERSION_disk its container disk for KubeVirt
TAG NAME_CHANNEL        the newest release of a channel; NAME_CHANNEL_disk its container disk
TAGS _lock, _staging.CHANNEL, _settled.CHANNEL      of whoever changes anything

The login is that of Docker's configuration.
"""

from __future__ import annotations

from metallize.release.destinations import Destination
from metallize.release.registry import address
from metallize.release.registry.sessions import RegistryStore

SCHEMES = address.SCHEMES


def open_destination(place: str) -> Destination:
    """The repository oci://HOST[:PORT]/REPOSITORY. Nothing is asked of it yet.

    Raises UsageError for another address.
    """
    return RegistryStore(address=address.address_of(place))
