"""Publishing: a run folder -> ONNX files, model card, a commit on the Hub, a running Space.

Files: `export` (with `onnx_graph`), `card` (with `examples`), `golden_scores`. Hub: `hub` publishes
a model and `deployment` a Space (with `static_space` and `npm_packages`), both through `commits`.
Checks: `release_gate` and the smoke tests.
"""
