"""What a guest prints and what it means: its port, its text, the rules, how far a boot has come. No QEMU in it."""
