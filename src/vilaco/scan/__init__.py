"""Collections of photos, from a folder to millions: one row an image, on one machine or on many.

::

    sources ─▶ engine (pool | ray_engine): a task (judge), in workers ─▶ store (journal ─▶ Parquet) ─▶ summary

What looks at an image (`judge`) writes no file; what writes files (`store`) looks at no image, and there is one of it.
`run.scan` ties them together.
"""
