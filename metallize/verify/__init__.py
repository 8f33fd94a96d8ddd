"""Verification: boot an image on a machine, look at it from every side, and report what holds."""

from metallize.verify.machine import verify_machine
from metallize.verify.prepared import PreparedBoot, prepared_boot
from metallize.verify.request import VerifyRequest

__all__ = ["PreparedBoot", "VerifyRequest", "prepared_boot", "verify_machine"]
