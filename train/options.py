"""Arguments and options that commands of the command line share.

In: nothing. Out: annotated types for the parameters of a command.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="a YAML file, or the name of one in train/recipes")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="override a key of the recipe; repeatable"),
]
Out = Annotated[Path | None, typer.Option(help="the run folder; default: runs/NAME")]
Resume = Annotated[
    bool, typer.Option("--resume", help="fail if there is no run to resume, here or on the Hub")
]
CheckpointsTo = Annotated[
    str | None,
    typer.Option(metavar="USER/REPO", help="a private repository for checkpoints, also to resume"),
]
To = Annotated[str, typer.Option("--to", metavar="USER/REPO", help="the model repository")]
Private = Annotated[bool, typer.Option("--private", help="create private repositories")]
AllowRegression = Annotated[bool, typer.Option("--allow-regression", help="skip the release gate")]
Space = Annotated[
    str | None, typer.Option(metavar="USER/SPACE", help="also deploy the app as this Space")
]
SpaceHardware = Annotated[
    Literal["cpu-basic", "zero-a10g"] | None,  # see train.publishing.deployment
    typer.Option(help="zero-a10g: free for two Spaces per account; cpu-basic: PRO or Team plan"),
]
SpaceKind = Annotated[Literal["gradio", "static"], typer.Option(help="static: free, in browsers")]
TextColumn = Annotated[str, typer.Option("--text", help="column of the text")]
SpaceWait = Annotated[
    float, typer.Option(min=0, metavar="MINUTES", help="wait this long for the Space, then call it")
]
AspectModel = Annotated[
    str | None,
    typer.Option(
        metavar="USER/REPO", help="a model of text pairs for the Space's table of aspects"
    ),
]
TextPairColumn = Annotated[
    str | None, typer.Option(help="column of the second text, for a model of text pairs")
]
Aspects = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES", help="combine each text with these, such as acting,story; or all"
    ),
]
