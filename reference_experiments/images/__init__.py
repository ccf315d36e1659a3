"""The paper's GAN studies on images: inpainting and super-resolution (section 6.1, Table 1, Figures 1 and 3)."""
