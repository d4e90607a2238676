"""The web service: the app's page and a REST API behind one port.

In: HTTP requests. Out: predictions in JSON, the page, and problem details (RFC 9457) for errors.
`app`: puts it together. `api`, `operations`, `schemas`: the routes. `access`: keys and rate limits.
`observer`: logs, metrics, errors. `lifecycle`: shutdown and new models.
"""
