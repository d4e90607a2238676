"""`pipeline()` behind FastAPI, as its tutorials show: one function per request, in a thread pool.

python -m benchmarks.baselines.fastapi_pipeline MODEL_FOLDER PORT
"""

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Review(BaseModel):
    """A request."""

    text: str


def main() -> None:
    """Load the model of a folder, and serve `POST /classify` until the process is ended."""
    from transformers import pipeline

    folder, port = sys.argv[1], int(sys.argv[2])
    app, classify = FastAPI(), pipeline("sentiment-analysis", model=folder)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/classify")
    def answer(review: Review) -> Any:
        return classify(review.text)[0]

    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False)


if __name__ == "__main__":
    main()
