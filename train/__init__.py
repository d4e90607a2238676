"""Movie reviews in, a published sentiment model out.

The flow, one module a room; each imports only from those on its left:

    recipe <- sources <- reviews <- tokens <- model <- loop <- evaluation <- card <- hub <- __main__
"""
