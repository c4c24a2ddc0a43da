"""The command line: the only place that reads the environment, writes to the standard streams, and ends the program."""
