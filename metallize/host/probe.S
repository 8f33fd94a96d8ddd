/*
 * A guest that runs what a kernel runs in its first seconds, and says so on COM1.
 *
 * /dev/kvm can open, make a VM and still be unable to run one: under a hypervisor that passes an instruction
 * on to KVM's emulator, the first VEX-encoded one ends the guest. So this goes through real mode (the BIOS that
 * loads it), protected mode, long mode with paging, x87, SSE2, whatever CPUID announces of XSAVE, AVX, AVX2,
 * BMI1 and BMI2, a timer interrupt, and a loop of loads, stores, calls and branches whose time tells the
 * host's speed. It leaves through isa-debug-exit at port 0xf4.
 *
 * Built by:  as --64 probe.S -o probe.o && ld -m elf_x86_64 -Ttext=0x100000 --oformat binary probe.o -o probe.bin
 */
        .set    MAGIC, 0x1BADB002
        .set    FLAGS, 0x00010000               /* the addresses below are given: no ELF header is needed */
        .set    COM1, 0x3f8
        .set    PML4, 0x200000
        .set    PDPT, 0x201000
        .set    PD, 0x202000
        .set    IDT, 0x203000
        .set    STACK, 0x210000
        .set    BUFFER, 0x400000
        .set    ROUNDS, 5000000

        .text
        .code32
        .globl  _start
_start:
        .balign 4
header:
        .long   MAGIC, FLAGS, -(MAGIC + FLAGS)
        .long   header, _start, 0, 0, entry

entry:
        cli
        cld
        movl    $STACK, %esp
        movl    $text_begin, %esi
        call    print32

        /* identity-map the first GiB with 2 MiB pages */
        movl    $PML4, %edi
        xorl    %eax, %eax
        movl    $(0x4000 / 4), %ecx
        rep stosl
        movl    $(PDPT + 3), PML4
        movl    $(PD + 3), PDPT
        movl    $PD, %edi
        movl    $0x83, %eax
        movl    $512, %ecx
1:      movl    %eax, (%edi)
        addl    $0x200000, %eax
        addl    $8, %edi
        loop    1b

        movl    $0x620, %eax                    /* CR4: PAE, OSFXSR, OSXMMEXCPT */
        movl    %eax, %cr4
        movl    $PML4, %eax
        movl    %eax, %cr3
        movl    $0xC0000080, %ecx               /* EFER: long mode, SYSCALL, NX left off */
        rdmsr
        orl     $0x101, %eax
        wrmsr
        movl    $0x80000033, %eax               /* CR0: PG, NE, ET, MP, PE */
        movl    %eax, %cr0
        lgdt    gdt_pointer
        ljmp    $0x08, $long_mode

print32:
        movw    $COM1, %dx
1:      lodsb
        testb   %al, %al
        jz      2f
        outb    %al, %dx
        jmp     1b
2:      ret

        .code64
long_mode:
        movw    $0x10, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movq    $STACK, %rsp

        /* every vector says "trap"; the timer's has a handler of its own */
        movq    $IDT, %rdi
        movl    $256, %ecx
        movq    $trap, %rax
1:      call    set_gate
        loop    1b
        movq    $(IDT + 0x20 * 16), %rdi
        movq    $timer, %rax
        call    set_gate
        lidt    idt_pointer
        movq    $text_long, %rsi
        call    print

        /* x87: pi * pi rounds to 10 */
        movq    $text_x87, %rsi
        call    print
        fninit
        fldpi
        fldpi
        fmulp
        fistpl  scratch
        cmpl    $10, scratch
        jne     failed

        /* SSE2 */
        movq    $text_sse2, %rsi
        call    print
        movdqu  numbers, %xmm0
        movdqa  %xmm0, %xmm1
        paddd   %xmm0, %xmm1
        pmuludq %xmm0, %xmm1
        movd    %xmm1, %eax
        cmpl    $(3 * 6), %eax
        jne     failed

        movl    $1, %eax
        xorl    %ecx, %ecx
        cpuid
        movl    %ecx, %r12d                     /* bit 26 XSAVE, bit 28 AVX */
        xorl    %eax, %eax
        cpuid
        xorl    %r13d, %r13d
        cmpl    $7, %eax
        jb      1f
        movl    $7, %eax
        xorl    %ecx, %ecx
        cpuid
        movl    %ebx, %r13d                     /* bit 3 BMI1, bit 5 AVX2, bit 8 BMI2 */
1:
        btl     $26, %r12d
        jnc     no_xsave
        movq    $text_xsave, %rsi
        call    print
        movq    %cr4, %rax
        orq     $0x40000, %rax
        movq    %rax, %cr4
        xorl    %ecx, %ecx
        xgetbv
        orl     $3, %eax
        btl     $28, %r12d
        jnc     1f
        orl     $4, %eax
1:      xsetbv
        btl     $28, %r12d
        jnc     no_xsave
        movq    $text_avx, %rsi
        call    print
        vmovdqu numbers, %xmm0
        vpaddd  %xmm0, %xmm0, %xmm2
        vmovd   %xmm2, %eax
        cmpl    $6, %eax
        jne     failed
        btl     $5, %r13d
        jnc     no_xsave
        movq    $text_avx2, %rsi
        call    print
        vpbroadcastd numbers, %ymm0
        vpaddd  %ymm0, %ymm0, %ymm2
        vextracti128 $1, %ymm2, %xmm3
        vmovd   %xmm3, %eax
        vzeroupper
        cmpl    $6, %eax
        jne     failed
no_xsave:
        btl     $3, %r13d
        jnc     1f
        movq    $text_bmi1, %rsi
        call    print
        movl    $0xf0, %eax
        movl    $0xff, %ebx
        andnl   %ebx, %eax, %ecx
        cmpl    $0x0f, %ecx
        jne     failed
1:      btl     $8, %r13d
        jnc     1f
        movq    $text_bmi2, %rsi
        call    print
        movq    $3, %rax
        movq    $4, %rbx
        shlxq   %rbx, %rax, %rcx
        shrxq   %rax, %rcx, %rdx
        cmpq    $48, %rcx
        jne     failed
        cmpq    $6, %rdx
        jne     failed
1:
        /* three interrupts of the PIT at 1 kHz, through the PIC */
        movq    $text_timer, %rsi
        call    print
        movb    $0x11, %al
        outb    %al, $0x20
        outb    %al, $0xa0
        movb    $0x20, %al
        outb    %al, $0x21
        movb    $0x28, %al
        outb    %al, $0xa1
        movb    $4, %al
        outb    %al, $0x21
        movb    $2, %al
        outb    %al, $0xa1
        movb    $1, %al
        outb    %al, $0x21
        outb    %al, $0xa1
        movb    $0xfe, %al
        outb    %al, $0x21
        movb    $0xff, %al
        outb    %al, $0xa1
        movb    $0x34, %al
        outb    %al, $0x43
        movb    $0xa9, %al
        outb    %al, $0x40
        movb    $0x04, %al
        outb    %al, $0x40
1:      sti
        hlt
        cli
        cmpl    $3, ticks
        jb      1b

        /* the same work three times: the shortest tells the speed, whatever else the host does */
        movl    $3, %r15d
round:  movq    $text_loop, %rsi
        call    print
        movl    $ROUNDS, %ecx
        movl    $1, %eax
        xorl    %ebx, %ebx
work:   imull   $1103515245, %eax, %eax
        addl    $12345, %eax
        movl    %eax, %edx
        shrl    $8, %edx
        andl    $0xffff8, %edx
        addl    BUFFER(%rdx), %ebx
        movl    %ebx, BUFFER(%rdx)
        testl   $0x10000, %eax
        jz      1f
        call    step
1:      decl    %ecx
        jnz     work
        movq    $text_end, %rsi
        call    print
        decl    %r15d
        jnz     round

        movq    $text_done, %rsi
        call    print
        movb    $0x10, %al
        outb    %al, $0xf4
1:      hlt
        jmp     1b

step:   xorl    %eax, %ebx
        ret

failed: movq    $text_failed, %rsi
        call    print
        movb    $0x11, %al
        outb    %al, $0xf4
1:      hlt
        jmp     1b

trap:   movq    $text_trap, %rsi
        call    print
        movb    $0x12, %al
        outb    %al, $0xf4
1:      hlt
        jmp     1b

timer:  pushq   %rax
        incl    ticks
        movb    $0x20, %al
        outb    %al, $0x20
        popq    %rax
        iretq

set_gate:                                       /* rdi: the gate, moved on; rax: the handler, below 4 GiB */
        movw    %ax, (%rdi)
        movw    $0x08, 2(%rdi)
        movw    $0x8e00, 4(%rdi)
        movl    %eax, %edx
        shrl    $16, %edx
        movw    %dx, 6(%rdi)
        movq    $0, 8(%rdi)
        addq    $16, %rdi
        ret

print:  movw    $COM1, %dx
1:      lodsb
        testb   %al, %al
        jz      2f
        outb    %al, %dx
        jmp     1b
2:      ret

        .balign 8
gdt:    .quad   0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
        .word   gdt_pointer - gdt - 1
        .quad   gdt
idt_pointer:
        .word   256 * 16 - 1
        .quad   IDT
        .balign 16
numbers:
        .long   3, 5, 7, 11
scratch:
        .long   0
ticks:  .long   0
text_begin:
        .asciz  "probe: protected mode\n"
text_long:
        .asciz  "probe: long mode\n"
text_x87:
        .asciz  "probe: x87\n"
text_sse2:
        .asciz  "probe: SSE2\n"
text_xsave:
        .asciz  "probe: XSAVE\n"
text_avx:
        .asciz  "probe: AVX\n"
text_avx2:
        .asciz  "probe: AVX2\n"
text_bmi1:
        .asciz  "probe: BMI1\n"
text_bmi2:
        .asciz  "probe: BMI2\n"
text_timer:
        .asciz  "probe: timer interrupt\n"
text_loop:
        .asciz  "probe: loop\n"
text_end:
        .asciz  "probe: end of loop\n"
text_done:
        .asciz  "probe: done\n"
text_failed:
        .asciz  "probe: wrong result\n"
text_trap:
        .asciz  "probe: unexpected exception\n"
