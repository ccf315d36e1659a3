"""Section 6.2 and Figure 7: super-resolvers by 4 under I-FGSM, a normalising flow trained here among them."""
