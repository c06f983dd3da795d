"""Why an answer is what it is: the parts of its row and how far each pushed it, computed on what is served."""
