"""How `make docs` builds the guides and the API reference: Sphinx, offline, a warning being an error."""

import vilaco.serve.app  # noqa: F401  autodoc reads types that are otherwise not imported, which FastAPI's do not survive
from vilaco import __version__

project = "vilaco"
copyright = "The vilaco authors"
release = version = __version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_parser"]
exclude_patterns = ["README.md"]  # the index as GitHub shows it; here it is index.md
suppress_warnings = ["myst.xref_missing"]  # files of the repository that are no pages; tests/test_guides.py follows all
default_role = "code"
highlight_language = "text"
html_theme = "furo"
html_title = "vilaco"
html_copy_source = False

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_use_ivar = True  # attributes are told where the class says so, and no second time
napoleon_google_docstring = True
napoleon_numpy_docstring = False

myst_heading_anchors = 3
