"""Numbers that give a sensitivity its meaning: distortion, diversity, and the quality of a set of outputs."""
