"""Labels that look wrong: what models that did not see them make of them, as a list to look at."""
