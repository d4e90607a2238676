"""The tabs of the page: layout and handlers; what they show is computed beside this folder."""
