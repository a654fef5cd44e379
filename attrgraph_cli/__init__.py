"""The command line: `attrgraph`."""
