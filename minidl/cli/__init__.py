"""The command `minidl`."""
