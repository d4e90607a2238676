"""Languages that the model was not trained on: the static Space answers as the app does."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import sample_rows
from test_languages import CAUTIONS, FRENCH, NO_CAUTION, SPANISH

from space.inference.languages import LanguageCheck
from train.publishing import static_space

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
NORWEGIAN = "Filmen er altfor lang, og skuespillerne virker slitne."
MODELS = [  # the languages and scripts of their training texts
    (["en"], ["Latin"]),
    (["en", "fr", "nb"], ["Latin"]),
    (["ko", "en"], ["Hangul", "Latin"]),
    ([], ["Latin"]),
    (["tlh"], ["Latin"]),  # Klingon: no detector knows it
    ([], []),
]
CODE = """
import { LanguageCheck } from "./languages.js";
let input = "";
for await (const part of process.stdin) input += part;
const { models, texts } = JSON.parse(input);
console.log(JSON.stringify(models.map(([languages, scripts]) => {
  const check = new LanguageCheck(languages, scripts);
  return texts.map((text) => check.caution(text));
})));
"""


def test_javascript_gives_the_cautions_of_python(tmp_path: Path) -> None:
    files = static_space.files("user/model", "0" * 40, frozenset(), "https://huggingface.co")
    static_space.write(tmp_path, files)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    texts = [text for text, _ in CAUTIONS] + NO_CAUTION + [NORWEGIAN]
    texts += [row["text"] for row in sample_rows("test")]
    done = subprocess.run(
        ["node", "--input-type=module", "-e", CODE],
        cwd=tmp_path, input=json.dumps({"models": MODELS, "texts": texts}),
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    for (languages, scripts), cautions in zip(MODELS, answers, strict=True):
        check = LanguageCheck(languages, scripts)
        for text, caution in zip(texts, cautions, strict=True):
            if text == NORWEGIAN:  # Danish looks the same
                assert (caution is None) == (check.caution(text) is None)
            else:
                assert caution == check.caution(text), text
    french, spanish = (texts.index(text) for text in (FRENCH, SPANISH))
    assert answers[1][french] is None
    assert answers[1][spanish].endswith(
        "French, Norwegian Bokmål, and this text looks like Spanish."
    )
