"""Example reviews on the page: of each kind, one that the loaded model predicts right.

In: the model service. Out: up to five reviews and their explanations. The texts were written for
this project and are never trained on.
"""

import re
from collections.abc import Sequence
from threading import Lock

from space.analysis.statistics import SYNONYMS
from space.inference.attribution import Explanation, explain
from space.inference.classifier import Classifier, Prediction
from space.inference.labels import label_values
from space.inference.serving import EXPLANATION, Service
from space.views.scale import side

# Kind -> reviews with their sentiment, in order of preference. The first kind opens the page.
CANDIDATES = {
    "Clearly positive": [
        (
            "I laughed, I cried, and I rang my sister from the car park to tell her to go tonight. "
            "The lead is wonderful, and the last shot is the kindest ending I have seen in years.",
            "positive",
        ),
        (
            "A wonderful film. The acting is superb, the music is beautiful, and I loved every "
            "minute of it.",
            "positive",
        ),
    ],
    "Clearly negative": [
        (
            "A dull script, wooden acting and an ending that insults you. I kept checking my "
            "watch, and half of my row had left before the credits. Two hours wasted.",
            "negative",
        ),
        (
            "A dreadful film. The acting is awful, the plot is boring and stupid, and I hated "
            "every minute of it.",
            "negative",
        ),
    ],
    "Mixed": [
        (
            "The lead is superb and the score is lovely, which makes it all the sadder that the "
            "script is dull, the second half is a mess, and the ending is a waste of her talent. "
            "I would watch her read a menu. I would not watch this again.",
            "negative",
        ),
        (
            "The songs are wonderful and the dances are charming. The jokes in between are old, "
            "the plot is thin, and the villain is dull. Worth a rainy evening, no more.",
            "mixed",
        ),
    ],
    "Negated": [
        (
            "I did not expect to enjoy this, and for once I was wrong. There is not a dull minute "
            "in it, nobody overacts, and the ending does not cheat.",
            "positive",
        ),
        (
            "This is not a good film. The jokes are not funny, the story never makes sense, and I "
            "can't recommend it to anyone.",
            "negative",
        ),
        (
            "Nothing in it works. It is not funny, it is not scary, and there is no reason to care "
            "about anyone: never have I been so bored. Don't waste your money on this.",
            "negative",
        ),
        (
            "Not bad at all: I never once looked at my watch, and I can't wait to see it again "
            "with my family. It was great fun.",
            "positive",
        ),
    ],
    "Long": [
        (
            "The film starts slowly. A lighthouse keeper counts ships, his daughter counts the "
            "days until the ferry, and for twenty minutes nobody says a word that matters. I was "
            "ready to give up on it.\n\nThen the storm comes, and with it a stranger who has to "
            "stay the night, and everything that looked like padding turns out to have been "
            "preparation. The three of them share one kitchen, one lamp and one bottle, and the "
            "director trusts them to hold our attention for an hour. They do. Ines Almada is "
            "wonderful as the daughter: watch her face when she understands, long before her "
            "father, who the stranger is. Peter Lund, whom I knew only from comedies, plays the "
            "father with great tenderness and not one false note.\n\nNot everything works. The "
            "dream scenes are a little too pretty, and the music tells us to be sad when we "
            "already are. The subplot about the insurance could go without anyone missing it.\n\n"
            "But the last half hour is as good as anything I have seen this year. The sea looks "
            "enormous and cold, the silence in the cinema was complete, and when the lamp finally "
            "goes out I heard people around me crying. It is a beautiful, patient and generous "
            "film about forgiving someone who has not asked for it. I walked home the long way, "
            "and I am going again on Sunday with my mother. Highly recommended.",
            "positive",
        ),
        (
            "I had looked forward to this for months. The trailer was funny, the cast is one of "
            "the best of the decade, and the director's first film is among my favorites.\n\nWhat "
            "a disappointment. The first act explains the rules of its world three times, in three "
            "different rooms, to three different people, and then breaks all of them. The hero "
            "has no reason to do anything that he does. His friends exist to be saved, his enemy "
            "exists to explain the plot, and the dialogue sounds as if nobody had ever read it "
            "aloud. I laughed twice, and neither time was meant to be funny.\n\nThe effects are "
            "expensive and ugly. Every fight is cut so fast that I could not tell who was hitting "
            "whom, and after the fourth one I no longer cared. To be fair, the costumes are "
            "lovely, and the song over the credits is good.\n\nAt two and a half hours it is also "
            "far too long. People in my row began to leave after ninety minutes, and I wish I had "
            "joined them. It is boring, it is loud, and it ends with an insulting twist that makes "
            "the rest pointless. The worst film of a talented director, and a waste of everyone's "
            "time and money. Avoid it.",
            "negative",
        ),
    ],
}


class Examples:
    """The examples for a model, selected and explained once it is loaded."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._texts: dict[str, str] | None = None
        self._explanations: dict[str, Explanation] = {}
        self._selecting = Lock()

    def get(self) -> dict[str, str]:
        """Kind -> review; empty until the model is loaded."""
        if self._service.classifier.commit is None:
            return {}
        with self._selecting:
            if self._texts is None:
                self._texts = select(self._service.classifier)
            return self._texts

    def explanation(self, text: object) -> Explanation | None:
        """The explanation of an example, computed on first use; None for any other text.

        Raises:
            ModelUnavailable: See `Classifier.load`.
            Busy: Too many requests are waiting.
            Cancelled: The client has gone.
        """
        if not isinstance(text, str) or text not in self.get().values():
            return None
        if text not in self._explanations:
            self._explanations[text] = explain(self._service.request(EXPLANATION), text)
        return self._explanations[text]


def select(classifier: Classifier) -> dict[str, str]:
    """Kind -> the first review of that kind that the model predicts right, if it does so for any.

    A review of which the model is sure is preferred; a mixed one is right if it is unsure. If the
    names of the labels don't tell their sentiment, the first review of each kind is taken.
    """
    known = sentiments(classifier.labels)
    selected = {}
    for name, reviews in CANDIDATES.items():
        predictions = classifier.predict_batch([text for text, _ in reviews])
        right = [
            (prediction.unsure and name != "Mixed", i)
            for i, prediction in enumerate(predictions)
            if isinstance(prediction, Prediction)
            and (not known or _is_right(prediction, known.get(prediction.label), reviews[i][1]))
        ]
        if right:
            selected[name] = reviews[min(right)[1]][0]
    return selected


def _is_right(prediction: Prediction, predicted: str | None, sentiment: str) -> bool:
    if sentiment == "mixed":
        return prediction.unsure or predicted == "neutral"
    return predicted == sentiment


def sentiments(labels: Sequence[str]) -> dict[str, str]:
    """The sentiment of each label whose name tells it, such as `positive`.

    Of a scale, such as stars, those below the middle are negative and those above it positive; of
    other numbers, the lowest is negative and the highest positive.
    """
    if values := label_values(labels):
        names = {"against": "negative", "unsure": "neutral", "for": "positive"}
        sides = [names[side(value, values)] for value in values]
        return dict(zip(labels, sides, strict=True))
    numbers = {label: int(match[0]) for label in labels if (match := re.match(r"\d+", label))}
    if len(numbers) == len(labels):
        ends = {min(numbers.values()): "negative", max(numbers.values()): "positive"}
        return {label: ends[number] for label, number in numbers.items() if number in ends}
    words = {word: sentiment for sentiment, names in SYNONYMS.items() for word in names}
    names = {label: re.split(r"[\s_-]+", label.casefold())[-1] for label in labels}
    return {label: words[name] for label, name in names.items() if name in words}
