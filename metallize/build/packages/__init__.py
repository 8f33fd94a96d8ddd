"""Which packages a rootfs holds, and whether they are those that a profile has locked."""
