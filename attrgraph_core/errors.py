"""What goes wrong in a way its user can mend."""


class AttrGraphError(Exception):
    """An error whose message, one line or a few, names the wrong value and the way out.

    Command lines print the message alone; every other exception is a defect of ours and keeps its trace.
    """


class UnreachableError(AttrGraphError):
    """The server does not answer: it is gone or not there yet, and trying again may help."""
