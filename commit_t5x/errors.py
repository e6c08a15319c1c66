"""What bad input raises."""


class InputError(Exception):
    """Bad input from the user: a file, a line, a key or a flag.

    The message is one line that names the place, what is wrong and the remedy; the command line
    prints it without a traceback and exits with code 2.

    Example:
      >>> raise InputError("dicts/en-hi.txt:17: expected 2 columns, found 3; mend it")
    """
