"""Errors that a person can act on.

Only errors that end a command or a run belong here. What is wrong with one piece of footage is
data: it becomes the `error` of a row and is never raised past its stage.
"""


class UserError(Exception):
    """A mistake in what was asked or configured, or a service that can't be reached.

    The message is one line: it names the thing and the remedy. The command line prints it and
    exits with 2, without a traceback.
    """
