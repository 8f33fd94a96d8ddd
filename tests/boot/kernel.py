"""A kernel of a few bytes that GRUB boots: it prints a text on COM1 and halts, so an image boots in a second."""

from __future__ import annotations

_PRINT = bytes.fromhex(
    "fc"  # cld
    "e8 00 00 00 00"  # call the next instruction
    "5e"  # pop esi: where that is
    "83 c6 13"  # add esi, from there to the text
    "66 ba f8 03"  # mov dx, 0x3f8
    "ac"  # lodsb
    "84 c0"  # test al, al
    "74 03"  # jz end
    "ee"  # out dx, al
    "eb f8"  # jmp to lodsb
    "f4 eb fd"  # hlt, for ever
)
_SECTOR = 512
_SETUP_SECTORS = 1


def tiny_kernel(text: str, *, turns: int = 0) -> bytes:
    """A bzImage whose 32-bit entry does the printing (Documentation/arch/x86/boot.rst, protocol 2.03).

    Before that it goes through a loop so many times: 2**30 take some seconds, fewer where the processor is no emulated
    one.
    """
    wait = b"\xb9" + turns.to_bytes(4, "little") + b"\xe2\xfe" if turns else b""  # mov ecx, turns; loop to itself
    body = wait + _PRINT + text.encode() + b"\0"
    body = body.ljust(-(-len(body) // 16) * 16, b"\0")
    head = bytearray(_SECTOR * (1 + _SETUP_SECTORS))
    head[0x1F1] = _SETUP_SECTORS
    head[0x1F4:0x1F8] = (len(body) // 16).to_bytes(4, "little")  # syssize, in paragraphs
    head[0x1FE:0x200] = b"\x55\xaa"
    head[0x200:0x202] = b"\xeb\x62"  # where the header ends
    head[0x202:0x206] = b"HdrS"
    head[0x206:0x208] = (0x0203).to_bytes(2, "little")
    head[0x211] = 1  # loaded high
    head[0x214:0x218] = (0x100000).to_bytes(4, "little")  # code32_start
    head[0x22C:0x230] = (0x37FFFFFF).to_bytes(4, "little")  # where the initrd may end
    return bytes(head) + body
