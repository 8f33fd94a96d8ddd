"""The ways into a guest: a talk on its serial port, a login there, and SSH. They know `metallize.guest` alone."""
