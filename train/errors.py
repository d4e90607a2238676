"""What a user can mend: each error states the rule, the value seen and the remedy.

TrainError
├── RecipeError      the recipe, or a --set
├── DataError        the reviews or their labels
├── ModelError       the base model, or a saved one
├── RunError         the run folder
├── Diverged         the loss stopped being a number
├── Interrupted      Ctrl-C or SIGTERM, after a checkpoint
└── HubError         the Hub refused, or can't be reached
    └── HubBusy      the same request may succeed a moment later
"""


class TrainError(Exception):
    """Base of everything that the command line answers in one plain sentence."""

    exit_status = 1


class RecipeError(TrainError):
    """A recipe, or a `--set` on top of it, breaks a rule."""

    exit_status = 2


class DataError(TrainError):
    """Reviews or labels that can't be trained or evaluated on."""


class ModelError(TrainError):
    """A base model or a saved model that can't be used."""


class RunError(TrainError):
    """A run folder that is incomplete, or another run's."""


class Diverged(TrainError):
    """The training loss became NaN or infinite."""


class Interrupted(TrainError):
    """Training stopped on request, after writing a checkpoint."""

    exit_status = 130


class HubError(TrainError):
    """The Hub refused a request or could not be reached."""


class HubBusy(HubError):
    """The Hub was in trouble or could not be reached: the same may succeed a moment later."""


def shorten(value: object, most: int = 200) -> str:
    """The beginning of a value in a message, which may be a whole file by mistake."""
    text = str(value)
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"
