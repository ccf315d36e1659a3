"""The demo: four small GANs complete hand-written digits, Table 1 and Figure 1 in minutes."""
