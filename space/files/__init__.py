"""Files with rows: `reader` reads them, here and in `train`."""
