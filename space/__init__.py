"""The Gradio app; its own repository on the Hub, which imports nothing from `train`.

In: reviews, files of reviews, names of models. Out: a web page, API endpoints and MCP tools.
app.py starts it; tabs/ holds the page and views/ its HTML; endpoints.py the API of the page.
server.py starts the page with the REST API of service/. inference/ runs the model, files/ reads
uploads, analysis/ computes statistics, web/ guards the server.
"""
