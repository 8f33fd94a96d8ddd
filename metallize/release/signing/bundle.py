"""A signed envelope as a Sigstore bundle (v0.3), which `cosign verify-blob-attestation --bundle` reads."""

from __future__ import annotations

import json
from base64 import b64encode

from securesystemslib.dsse import Envelope

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def bundle_text(envelope: Envelope, keyid: str) -> str:
    """The bundle of one envelope, signed with a key that whoever verifies has; no transparency log knows of it.

    The encoding is the JSON of protobuf: sigstore_bundle.proto, envelope.proto of sigstore/protobuf-specs.
    """
    content = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": keyid}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": b64encode(envelope.payload).decode(),
            "payloadType": envelope.payload_type,
            "signatures": [
                {"keyid": each.keyid, "sig": b64encode(bytes.fromhex(each.signature)).decode()}
                for each in envelope.signatures.values()
            ],
        },
    }
    return json.dumps(content, sort_keys=True) + "\n"
