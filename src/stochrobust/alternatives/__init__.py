"""Other regularizers one might weigh against Eq. 7, with the call shape of the robustness loss.

Three reward seeds that matter (:mod:`.diversity`), two penalise the Jacobian with respect to y (:mod:`.jacobian`).
"""
