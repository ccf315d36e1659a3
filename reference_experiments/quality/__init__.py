"""The quality metrics on real images: what each says of faces that were blurred, made noisy, or are no faces."""
