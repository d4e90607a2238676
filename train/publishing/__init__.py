"""Publishing: a run folder -> ONNX files, model card, a commit on the Hub, a running Space.

Files: `export` (with `onnx_graph`), `card` (with `examples`). Hub: `hub` publishes a model and
`deployment` a Space, both through `commits`. Checks: `release_gate` and the smoke tests.
"""
