"""From encoded images to pixels, chunk by chunk, in one process or in several."""
