"""HTTP around the Gradio page: limits, load shedding, and errors in sentences.

In: requests as they arrive. Out: requests that Gradio can handle, or an error with its reason.
`json_body`: checks bodies. `middleware`: errors and disconnects. `load_shedding`: a full queue.
"""
