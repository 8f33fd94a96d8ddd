"""What a store answers, as an error that names the place, the cause and the next step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own name
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
)

from metallize.errors import HostError

AGAIN = "see the connection, then run it again: what the store has by now is used"
_CREDENTIALS = (
    "give them as boto3 takes them: AWS_PROFILE, ~/.aws, the host's role,"
    " or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)
_RIGHTS = (
    "it takes s3:ListBucket, GetObject, PutObject, DeleteObject, ListBucketMultipartUploads,"
    " ListMultipartUploadParts and AbortMultipartUpload there"
)
_HINTS = {
    "NoSuchBucket": "make the bucket, or name another; for a store that is not Amazon's, set AWS_ENDPOINT_URL",
    **dict.fromkeys(("AccessDenied", "AllAccessDisabled", "Forbidden", "403"), _RIGHTS),
    **dict.fromkeys(
        ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "AuthFailure"), _CREDENTIALS
    ),
    **dict.fromkeys(
        ("QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "507"),
        "make room in the store, or raise the bucket's quota; what is written already is kept for the next attempt",
    ),
    **dict.fromkeys(
        ("PreconditionFailed", "NoSuchUpload", "412"), "somebody else has changed it meanwhile: run it again"
    ),
    "RequestTimeTooSkewed": "set this host's clock",
    "PermanentRedirect": "the bucket is in another region: set AWS_REGION",
    "AuthorizationHeaderMalformed": "the bucket is in another region: set AWS_REGION",
    "SlowDown": "the store is busy: run it again later",
    "NotImplemented": "the store lacks something that a release needs; docs/release.md names what",
}
LACKING = frozenset({"NoSuchKey", "NotFound", "404"})
"""Answers that mean that there is no such object. One with HEAD has no body, and so no better name."""
UNMET = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
"""Answers that mean that a condition of a write does not hold, or that another write was quicker."""


def code_of(exc: ClientError) -> str:
    """`NoSuchBucket`; for an answer without a body its status."""
    return str(exc.response.get("Error", {}).get("Code", ""))


@contextmanager
def told(place: str) -> Iterator[None]:
    """Raises HostError for whatever boto3 raises about a place."""
    try:
        yield
    except ClientError as exc:
        code, text = code_of(exc), str(exc.response.get("Error", {}).get("Message", ""))
        status = str(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
        words = ": ".join(dict.fromkeys(each for each in (code, text) if each)) or f"status {status}"
        hint = _HINTS.get(code) or _HINTS.get(status) or (AGAIN if status.startswith("5") else "see the store's log")
        raise HostError(f"{place}: {exc.operation_name} was refused ({words})", hint=hint) from exc
    except (NoCredentialsError, PartialCredentialsError, ProfileNotFound) as exc:
        raise HostError(f"{place}: {_words(exc)}", hint=_CREDENTIALS) from exc
    except (CredentialRetrievalError, TokenRetrievalError) as exc:
        raise HostError(f"{place}: {_words(exc)}", hint=_CREDENTIALS) from exc
    except (ConnectionError, HTTPClientError) as exc:
        raise HostError(f"{place}: {_words(exc)}", hint=AGAIN) from exc
    except BotoCoreError as exc:
        raise HostError(f"{place}: {_words(exc)}", hint="see AWS_ENDPOINT_URL, AWS_PROFILE and ~/.aws/config") from exc


def _words(exc: BotoCoreError) -> str:
    """In one line, and without boto3's advice to its programmer."""
    return " ".join(str(exc).split()) or type(exc).__name__
