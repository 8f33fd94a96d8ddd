"""What a channel shows of its releases, written anew with every switch: for people, and for clients of all kinds."""
