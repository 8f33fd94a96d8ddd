"""A bucket of Amazon S3, or of any store that speaks its protocol and keeps conditional writes.

PREFIX/CHANNEL/NAME                         what clients fetch: files that never change, and pointers
PREFIX/.metallize/channels/CHANNEL.json     what the channel shows; compared and swapped, and what decides
PREFIX/.metallize/lock                      of whoever changes anything

A file is an object from when it is whole; none is read into memory, and none is written over. Clients find it when a
pointer tells of it. Endpoint, region and credentials are those that boto3 finds by itself.
"""

from __future__ import annotations

import re

from metallize.errors import HostError, UsageError
from metallize.release.destinations import Destination

SCHEMES = ("s3",)
_ADDRESS = re.compile(r"s3://([A-Za-z0-9][A-Za-z0-9._-]{1,254})(?:/(.*))?")


def open_destination(place: str) -> Destination:
    """What is below s3://BUCKET/PREFIX. Nothing is asked of the store yet.

    Raises UsageError for another address, HostError where boto3 is not installed or knows no such profile.
    """
    match = _ADDRESS.fullmatch(place)
    if match is None:
        raise UsageError(f"{place}: it is no place in a bucket", hint="s3://BUCKET/PREFIX")
    try:
        # An extra, which takes a while to import: no other destination needs it.
        import boto3  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415

        from metallize.release.objects.bucket import Bucket  # noqa: PLC0415
        from metallize.release.objects.errors import told  # noqa: PLC0415
        from metallize.release.objects.sessions import ObjectStore  # noqa: PLC0415
    except ModuleNotFoundError as exc:
        raise HostError(
            f"{place}: boto3 is needed for that, and is not installed ({exc.name})", hint="pip install 'metallize[s3]'"
        ) from exc
    # Stores that are not Amazon's know no checksum but Content-MD5, which each write has.
    config = Config(
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        connect_timeout=10,
        read_timeout=120,  # to make one object of many parts takes a store a while
        tcp_keepalive=True,
        user_agent_extra="metallize",
    )
    prefix = (match[2] or "").strip("/")
    with told(place):
        client = boto3.session.Session().client("s3", config=config)
    return ObjectStore(bucket=Bucket(client=client, bucket=match[1], prefix=f"{prefix}/" if prefix else ""))
