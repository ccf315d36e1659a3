"""The paper's studies, retrained and evaluated with the public names of stochrobust only."""
