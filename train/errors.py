"""Errors that a user can fix: each message states the rule, the value seen and the remedy."""


class TrainError(Exception):
    """Base of all errors that the command line prints without a stack trace."""

    exit_status = 1


class RecipeError(TrainError):
    """A recipe or a `--set` breaks a rule."""

    exit_status = 2


class UsageError(TrainError):
    """Arguments of a command that don't go together."""

    exit_status = 2


class DataError(TrainError):
    """Reviews or labels can't be used for training or evaluation."""


class ModelError(TrainError):
    """A base model or a saved model can't be used."""


class RunError(TrainError):
    """A run folder is incomplete, in use, or of another recipe."""


class Diverged(TrainError):
    """The loss or the weights became NaN or infinite."""


class Interrupted(TrainError):
    """Training was stopped by Ctrl-C or SIGTERM, after writing a checkpoint."""

    exit_status = 130


class HubError(TrainError):
    """The Hub refused a request or could not be reached."""


class HubBusy(HubError):
    """The Hub is temporarily unavailable; the same request may succeed later."""


def shorten(value: object, max_length: int = 200) -> str:
    """The beginning of a value for a message, because a value can be as long as a file."""
    text = str(value)
    if len(text) <= max_length:
        return text
    return f"{text[:max_length]}… ({len(text):,} characters)"
