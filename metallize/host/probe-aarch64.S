/*
 * probe.S for 64-bit ARM: the same loop, whose time tells the host's speed.
 *
 * On a Raspberry Pi 3, which only TCG runs, it speaks on the board's PL011 and leaves through semihosting
 * (SYS_EXIT_EXTENDED) with status 33. On QEMU's virt it leaves as KVM's guests can too: PSCI's SYSTEM_OFF, status 0.
 *
 * Built by:  aarch64-linux-gnu-as probe-aarch64.S -o probe.o &&
 *            aarch64-linux-gnu-objcopy -O binary -j .text probe.o probe-aarch64.bin
 *            and with --defsym VIRT=1 as probe-virt.bin
 */
        .ifdef  VIRT
        .set    UART, 0x09000000
        .set    BUFFER, 0x44000000
        .set    TABLE, 0x44200000
        .set    ROUNDS, 2000000
        .else
        .set    UART, 0x3f201000
        .set    BUFFER, 0x400000
        .set    ROUNDS, 500000
        .endif
        .text
        .globl  _start
_start:
        .ifdef  VIRT
        // An identity map of two blocks of 1 GiB, devices and memory: without it nothing is cached, and the loop
        // would tell of the memory. The table is read as it is written, past the caches.
        ldr     x0, =TABLE
        mov     x1, #0x405
        ldr     x2, =0x40000701
        stp     x1, x2, [x0]
        stp     xzr, xzr, [x0, #16]
        dsb     sy
        mov     x1, #0xff
        msr     mair_el1, x1
        ldr     x1, =0x800020
        msr     tcr_el1, x1
        msr     ttbr0_el1, x0
        isb
        tlbi    vmalle1
        dsb     sy
        mrs     x1, sctlr_el1
        mov     x2, #0x1005
        orr     x1, x1, x2
        msr     sctlr_el1, x1
        isb
        .endif
        ldr     x20, =BUFFER
        mov     w15, #3
round:  adr     x0, text_loop
        bl      print
        ldr     w1, =ROUNDS
        mov     w2, #1
        mov     w3, #0
        ldr     w4, =1103515245
        ldr     w5, =12345
        ldr     w6, =0xffff8
work:   mul     w2, w2, w4
        add     w2, w2, w5
        lsr     w7, w2, #8
        and     w7, w7, w6
        ldr     w8, [x20, x7]
        add     w3, w3, w8
        str     w3, [x20, x7]
        tbz     w2, #16, 1f
        bl      step
1:      subs    w1, w1, #1
        b.ne    work
        adr     x0, text_end
        bl      print
        subs    w15, w15, #1
        b.ne    round
        adr     x0, text_done
        bl      print
        .ifdef  VIRT
        ldr     w0, =0x84000008
        hvc     #0
        .else
        mov     w0, #0x20
        adr     x1, leave
        hlt     #0xf000
        .endif
1:      wfi
        b       1b

step:   eor     w3, w3, w2
        ret

print:  ldr     x9, =UART
1:      ldrb    w10, [x0], #1
        cbz     w10, 2f
        str     w10, [x9]
        b       1b
2:      ret

        .balign 8
leave:  .quad   0x20026, 33
text_loop: .asciz "probe: loop\n"
text_end:  .asciz "probe: end of loop\n"
text_done: .asciz "probe: done\n"
