"""The command line: one file per command group; it parses, calls and prints, and decides nothing."""
