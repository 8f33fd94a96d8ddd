/*
 * probe.S for a board of 64-bit ARM cores that only TCG runs: the same loop, whose time tells the host's speed.
 *
 * It speaks on the PL011 of a Raspberry Pi 3 and leaves through semihosting (SYS_EXIT_EXTENDED) with status 33.
 *
 * Built by:  aarch64-linux-gnu-as probe-aarch64.S -o probe.o &&
 *            aarch64-linux-gnu-objcopy -O binary -j .text probe.o probe-aarch64.bin
 */
        .set    UART, 0x3f201000
        .set    BUFFER, 0x400000
        .set    ROUNDS, 500000

        .text
        .globl  _start
_start:
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
        mov     w0, #0x20
        adr     x1, leave
        hlt     #0xf000
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
