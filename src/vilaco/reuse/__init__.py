"""The same pixels in two pictures of a collection: copies, shared regions, and repeats within one picture.

::

    scan.sources ─▶ scan's engines: describe, a picture at a time ─▶ rows ─▶ index: who may share what
                                                                          ─▶ scan's engines: check, a pair at a time
                                                                          ─▶ pairs, groups, page, reports

Keypoints say which pictures to lay over each other and how; what is reported is what the pixels then say.
"""
