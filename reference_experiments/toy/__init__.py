"""The paper's toy studies: sections 4 and 5.1, appendices B.1, C, D and E.1."""
