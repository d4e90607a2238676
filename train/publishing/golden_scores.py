"""Golden scores: what a model's ONNX file answers here, stored with the model as a self-test.

In: an exported run folder. Out: `golden-scores.json`. The static Space scores the same reviews in
the user's browser and reports a difference; any other runtime can do the same. The reviews were
written for this project and are never trained on.
"""

import json
from pathlib import Path

from space.inference.classifier import Classifier
from space.inference.engine import ONNXRUNTIME_INT8

FILE = "golden-scores.json"
# Ten texts of 1 to 160 tokens, with markup, accents, emoji and unknown characters.
REVIEWS = [
    "Wonderful.",
    "Dull, long and badly acted.",
    "Funny, warm and beautifully acted.",
    "It is neither good nor bad.",
    "Not nearly as bad as the poster made me fear; in fact I rather enjoyed myself.",
    "The songs are wonderful, the end is dreadful.",
    "A café, a jukebox &amp; a naïve hero: très charmant! 🍿🎬 一部好電影",
    "I kept checking my watch.<br /><br />So did everyone else in my row.<BR>Two hours wasted.",
    "Oh, wonderful, another two and a half hours of men explaining submarines to each other. The "
    "script is a mess, and the only good bit was when the projector broke.",
    "An opening that drags, and then it never lets go of you. The lead is superb, the score is "
    "lovely, and the last shot is the kindest ending I have seen in years. " * 4,
]


def write(folder: Path) -> Path:
    """Score the reviews and write `golden-scores.json` into the run folder.

    The file has `model` (the ONNX file, relative to the folder) and `reviews`: for each its `text`
    and its `probabilities` by label.

    Raises:
        ModelUnavailable: The folder has no ONNX file.
    """
    # The engine that other runtimes, such as the browser, come closest to.
    classifier = Classifier.from_folder(folder, engine=ONNXRUNTIME_INT8)
    reviews = [
        {"text": text, "probabilities": classifier.predict(text).probabilities} for text in REVIEWS
    ]
    model = classifier.load().file.relative_to(folder).as_posix()
    file = folder / FILE
    content = json.dumps({"model": model, "reviews": reviews}, indent=2, ensure_ascii=False)
    file.write_text(f"{content}\n", encoding="utf-8")
    return file
