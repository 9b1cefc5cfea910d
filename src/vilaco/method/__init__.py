"""The method of the paper: one file per box of its Figure 2, wired together in :mod:`vilaco.method.vilaco`."""
